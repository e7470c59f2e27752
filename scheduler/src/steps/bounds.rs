//! The least and greatest value of a row over a statement's instances, by isl.
//!
//! Why here: `coalesce` needs extents that are numbers, and nothing else does.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_isl::{Extremum, Val};

use crate::deps::{DepContext, LIMIT};
use crate::trouble::Trouble;

impl DepContext {
    /// The bounds of `row` over the instances of `statement`; `None` if there are none or they
    /// are no numbers.
    pub(crate) fn row_bounds(&self, statement: &Name, row: &Affine) -> Result<Option<(i64, i64)>> {
        let ask = || -> std::result::Result<_, Trouble> {
            let statements = &self.model.poly.statements;
            let Some(k) = statements.iter().position(|s| s.statement.name == *statement) else {
                return Ok(None);
            };
            self.model.ctx.with_deadline(LIMIT, || {
                let values = self.model.rows(k, std::slice::from_ref(row))?.range()?;
                let number = |e: Extremum| -> std::result::Result<Option<i64>, Trouble> {
                    let fits = |v: Val| v.to_i64().ok();
                    Ok(match e {
                        Extremum::Value(v) => fits(v),
                        Extremum::Unbounded | Extremum::Empty => None,
                    })
                };
                let (low, high) = (values.dim_min_val(0)?, values.dim_max_val(0)?);
                Ok(number(low)?.zip(number(high)?))
            })
        };
        ask().map_err(|t| t.explain("finding the extent of a loop"))
    }
}
