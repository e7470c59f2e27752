//! Instances that an order leaves at one time.
//!
//! In: the times of all statements. Out: nothing, or the refusal `E0703` with the smallest pair of
//! instances that share a time.
//! Why here: `order` with times may leave two statements at one time, which no tree can.

use std::collections::BTreeMap;
use std::fmt;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic};
use warploom_isl::Map;

use crate::deps::DepContext;
use crate::legality::{Answer, Illegal, Instance, smallest_point};
use crate::trouble::Trouble;

/// Two instances at one time.
pub(crate) struct Tie {
    params: BTreeMap<Name, i64>,
    first: Instance,
    second: Instance,
    time: Vec<i64>,
}

impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.params.iter().map(|(n, v)| format!("{n} = {v}")).collect();
        if !values.is_empty() {
            write!(f, "with {}, ", values.join(", "))?;
        }
        write!(f, "{} and {} both run at time {:?}", self.first, self.second, self.time)
    }
}

impl DepContext {
    /// Whether no two instances have one time; `rows` has a list of equal length for each
    /// statement.
    ///
    /// # Errors
    /// `E0703` with a witness, `E0601` when isl takes too long.
    pub(crate) fn check_distinct(&self, rows: &[Vec<Affine>]) -> Result<(), Box<Illegal>> {
        self.ask("looking for instances at one time", || {
            for a in 0..rows.len() {
                for b in a..rows.len() {
                    if let Some(tie) = self.tie(rows, a, b)? {
                        return Err(Trouble::Diagnostic(self.refuse_tie(&tie, a, b)));
                    }
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The smallest instances of statements `a` and `b` at one time.
    pub(crate) fn tie(&self, rows: &[Vec<Affine>], a: usize, b: usize) -> Answer<Option<Tie>> {
        let apart = |(x, y): (&Affine, &Affine)| {
            x.as_constant().zip(y.as_constant()).is_some_and(|(x, y)| x != y)
        };
        if rows[a].iter().zip(&rows[b]).any(apart) {
            return Ok(None);
        }
        let (first, second) = (self.model.rows(a, &rows[a])?, self.model.rows(b, &rows[b])?);
        let mut pairs = first.apply_range(&second.reverse()?)?;
        if a == b {
            pairs = pairs.intersect(&Map::lex_lt(&self.model.domains[a].space()?)?)?;
        }
        if pairs.is_empty()? {
            return Ok(None);
        }
        let point = smallest_point(&self.model.ctx, &pairs)?;
        let poly = &self.model.poly;
        let (values, rest) = point[1..].split_at(poly.params.len());
        let (at_a, at_b) = rest.split_at(poly.statements[a].iters.len());
        let params: BTreeMap<Name, i64> =
            poly.params.iter().map(|p| p.name.clone()).zip(values.iter().copied()).collect();
        let instance = |k: usize, at: &[i64]| Instance {
            statement: poly.statements[k].statement.name.clone(),
            at: at.to_vec(),
        };
        let lookup = |name: &str| {
            let iter = poly.statements[a].iters.iter().position(|i| &**i == name);
            iter.map_or_else(|| params.get(name), |i| at_a.get(i)).copied()
        };
        let time = rows[a].iter().map(|e| e.eval(&lookup).unwrap_or_default()).collect();
        Ok(Some(Tie { first: instance(a, at_a), second: instance(b, at_b), time, params }))
    }

    fn refuse_tie(&self, tie: &Tie, a: usize, b: usize) -> Box<Diagnostic> {
        let statement = |k: usize| &self.model.poly.statements[k].statement;
        let (message, help) = if a == b {
            (
                format!("the order runs several instances of `{}` at one time", statement(a).name),
                "add parts to the time until all iterators determine it".to_string(),
            )
        } else {
            (
                format!(
                    "the order does not say which of `{}` and `{}` runs first",
                    statement(a).name,
                    statement(b).name
                ),
                "give them different constants at one place of the time, as in `[i, 0]` and \
                 `[i, 1]`"
                    .to_string(),
            )
        };
        let mut diagnostic = Diagnostic::new("E0703", Blame::Schedule, message)
            .in_source(&self.source)
            .label(statement(a).span, "this statement")
            .witness(tie.to_string())
            .help(help);
        if a != b {
            diagnostic = diagnostic.label(statement(b).span, "and this one");
        }
        Box::new(diagnostic)
    }
}
