//! isl's quasi-affine expressions and basic sets as values of our own.
//!
//! In: an isl object and the names of its parameters and dimensions. Out: [`Affine`]s and
//! constraints over those names.
//! Keeps: integer divisions become floor-div atoms; nothing is rounded.
//! Why here: steps that change the working nest ask isl for a set and keep the answer as a value.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::nest::Constraint;
use warploom_isl::{Aff, DimType, MultiAff, Set};

use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// What the parameters and dimensions of a space are called.
pub(crate) struct Names<'a> {
    /// The parameters.
    pub(crate) params: &'a [Name],
    /// The dimensions of the (flat) domain.
    pub(crate) dims: &'a [Name],
}

impl Names<'_> {
    /// An expression whose value is an integer everywhere.
    pub(crate) fn affine(&self, aff: &Aff) -> Answer<Affine> {
        let (numerator, denominator) = self.fraction(aff)?;
        if denominator == 1 { Ok(numerator) } else { Ok(numerator.floor_div(denominator)?) }
    }

    /// An expression as an integer one over a positive number.
    fn fraction(&self, aff: &Aff) -> Answer<(Affine, i64)> {
        let denominator = aff.denominator_val()?;
        let whole = aff.scale_val(&denominator)?;
        let mut out = Affine::constant(whole.constant_val()?.to_i64()?);
        for (kind, names) in [(DimType::Param, self.params), (DimType::In, self.dims)] {
            for (at, name) in names.iter().enumerate() {
                let c = whole.coefficient_val(kind, at)?.to_i64()?;
                out = out.add(&Affine::var(name.clone()).scale(c)?)?;
            }
        }
        for at in 0..whole.dim(DimType::Div)? {
            let c = whole.coefficient_val(DimType::Div, at)?.to_i64()?;
            if c != 0 {
                out = out.add(&self.affine(&whole.div_at(at)?)?.scale(c)?)?;
            }
        }
        Ok((out, denominator.to_i64()?))
    }

    /// The elements of a tuple.
    pub(crate) fn affines(&self, tuple: &MultiAff) -> Answer<Vec<Affine>> {
        (0..tuple.size()?).map(|at| self.affine(&tuple.at(at)?)).collect()
    }

    /// The constraints of a set, if they can be written as a conjunction.
    pub(crate) fn constraints(&self, set: &Set) -> Answer<Option<Vec<Constraint>>> {
        if set.is_empty()? {
            return Ok(Some(vec![Constraint::non_negative(Affine::constant(-1))]));
        }
        let set = set.coalesce()?.compute_divs()?.coalesce()?.remove_redundancies()?;
        let basic = set.basic_sets()?;
        let [basic] = basic.as_slice() else {
            return Ok(None);
        };
        let mut out = Vec::new();
        for constraint in basic.constraints()? {
            let (expr, _) = self.fraction(&constraint.aff()?)?;
            out.push(Constraint { expr, equality: constraint.is_equality()? });
        }
        Ok(Some(out))
    }
}
