//! Coordinates that follow from those of the loops outside, such as rows and columns of tiles that
//! a loop numbers (`raster`).
//!
//! In: the coordinates of iterations. Out: for each that is a digit of what the outer ones say, the
//! quotient that it is.
//! Keeps: a coordinate is left out of the loops only if it has one value for each of the outer
//! ones: `floor(u / a)` where bounds say `0 ≤ u - a·c < a`, else what isl finds. Either all that
//! have one are left out or none, as loops over the others would be conditions; and only where that
//! adds no iterations.
//! Why here: isl scans mixed radices as loops that run once under conditions, and a block program
//! must not depend on conditions.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::nest::Constraint;
use warploom_isl::{DimType, Map, Set};

use crate::footprint::Iterations;
use crate::isl_affine::Names;
use crate::poly_isl::Model;

use super::product::{Product, elements};
use super::{Answer, Site, place_of, put, unfit};

impl Product {
    /// Whether the same coordinates follow from others in the loops that two products share.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let loops = self.loops.iter().zip(&other.loops);
        let shared = loops.take_while(|(a, b)| a == b).count();
        self.determined[..shared] == other.determined[..shared]
    }

    /// Finds the coordinates of the ring's iterations in which the statement runs, without one of
    /// them and, if that is asked, those that follow from others; and what these are.
    pub(super) fn run(
        &mut self,
        site: &Site<'_>,
        model: &Model,
        without: Option<usize>,
        follow: bool,
    ) -> Answer<()> {
        let mut at = Iterations::of(site.poly, site.tree, &site.path[self.ring].name);
        let one = [zero()];
        let mut touched = elements(site, model, site.statement, &at, &one)?;
        if let Some(padded) = &self.padded {
            touched = Map::from_domain(padded)?;
        }
        if let Some(depth) = without {
            touched = touched.project_out(DimType::In, depth, 1)?;
            at.names.remove(depth);
        }
        let mut values =
            determined(model, &at, &touched, if follow { site.outside } else { usize::MAX })?;
        let left_out: Vec<usize> = (0..values.len()).filter(|d| values[*d].is_some()).collect();
        let mut scope = self.scope + 1 - usize::from(without.is_some());
        for depth in left_out.into_iter().rev() {
            touched = touched.project_out(DimType::In, depth, 1)?;
            at.names.remove(depth);
            scope -= usize::from(depth < scope);
        }
        if let Some(depth) = without {
            values.insert(depth, None);
        }
        let mut all = at.hull_of_domain(&touched)?;
        // what runs outside the ring's loops keeps the bounds that follow from theirs
        if scope < at.names.len() {
            let inner = at.names.len() - scope;
            let outside = touched.project_out(DimType::In, scope, inner)?;
            at.names.truncate(scope);
            all.extend(at.hull_of_domain(&outside)?);
            self.tiles = self.more_tiles(site, model, (&at, without, &values), &outside)?;
        }
        (self.around, self.determined) = (all, values);
        Ok(())
    }

    /// The iterations of the accumulator's loop, where some have elements to work on and no terms:
    /// the last rows of a triangle may have no sum. `outside` are those with terms.
    fn more_tiles(
        &self,
        site: &Site<'_>,
        model: &Model,
        (at, without, values): (&Iterations, Option<usize>, &[Option<Affine>]),
        outside: &Map,
    ) -> Answer<Option<Vec<Constraint>>> {
        let tiles = Iterations::of(site.poly, site.tree, &site.path[self.scope].name);
        let mut more = all_work(site, model, &tiles)?;
        for depth in (0..tiles.names.len()).rev() {
            if without == Some(depth) || values.get(depth).is_some_and(Option::is_some) {
                more = more.project_out(DimType::Set, depth, 1)?;
            }
        }
        if more.is_subset(&outside.domain()?)? {
            return Ok(None);
        }
        let facts = at.hull_of_domain(&Map::from_domain(&more)?)?;
        if model.relation(&at.names, &[], &facts)?.domain()?.is_subset(&more)? {
            return Ok(Some(facts));
        }
        let text =
            format!("the tiles of `{}` with elements to work on are no convex set", site.name());
        Err(unfit(text).into())
    }
}

/// The iterations of a loop of a product's path in which some statement runs.
pub(super) fn all_work(site: &Site<'_>, model: &Model, at: &Iterations) -> Answer<Set> {
    let l = at.loops.last().and_then(|name| site.path.iter().find(|l| l.name == *name));
    let inside = l.map(|l| l.body.statements()).unwrap_or_default();
    let others = inside.iter().map(|name| place_of(site.poly, name));
    let others = others.filter(|k| *k != site.statement);
    let rows = |k: usize| (k, at.rows(site.tree, &site.poly.statements[k].statement.name));
    let all: Vec<_> = std::iter::once(site.statement).chain(others).map(rows).collect();
    model.values(&all)
}

fn zero() -> Affine {
    Affine::constant(0)
}

/// What each coordinate is, over those outside that are not determined themselves; none where it
/// is not determined, as those of the first `outside` loops are not. `touched` is a relation from
/// the coordinates of `at`.
fn determined(
    model: &Model,
    at: &Iterations,
    touched: &Map,
    outside: usize,
) -> Answer<Vec<Option<Affine>>> {
    let rank = at.names.len();
    let nothing = vec![None; rank];
    let mut out: Vec<Option<Affine>> = vec![None; outside.min(rank)];
    for depth in out.len()..rank {
        let known = touched.project_out(DimType::In, depth + 1, rank - depth - 1)?;
        let names = at.names[..=depth].to_vec();
        let part = Iterations { loops: Vec::new(), names, params: at.params.clone() };
        let found = match quotient(&part.hull_of_domain(&known)?, &at.names[depth])? {
            Some(found) => Some(found),
            None => match only(&part, &known)? {
                Only::Value(value) => Some(value),
                Only::Unclear => return Ok(nothing),
                Only::Several => None,
            },
        };
        let values: Vec<Affine> = (out.iter().zip(&at.names))
            .map(|(value, name)| value.clone().unwrap_or_else(|| Affine::var(name.clone())))
            .collect();
        out.push(found.map(|e| put(&e, &at.names[..depth], &values)).transpose()?);
    }
    Ok(if adds_nothing(model, at, touched, &out)? { out } else { nothing })
}

/// What is known of a coordinate that bounds do not tell.
enum Only {
    /// This is its only value.
    Value(Affine),
    /// It has one value, in some form that is no quasi-affine expression.
    Unclear,
    /// It has several, or the same everywhere, which loops may well run over.
    Several,
}

/// Whether the last coordinate has one value for each of those before it, by isl.
fn only(part: &Iterations, known: &Map) -> Answer<Only> {
    let depth = part.names.len() - 1;
    let all = Map::from_domain(&known.domain()?)?;
    let value = all.move_dims(DimType::Out, 0, DimType::In, depth, 1)?;
    if !value.is_single_valued()? {
        return Ok(Only::Several);
    }
    let pieces = value.dim_min(0)?.coalesce()?.pieces()?;
    let [(_, value)] = pieces.as_slice() else { return Ok(Only::Unclear) };
    let names = Names { params: &part.params, dims: &part.names[..depth] };
    let value = names.affine(value)?;
    Ok(if value.as_constant().is_some() { Only::Several } else { Only::Value(value) })
}

/// Whether loops over the other coordinates run for no more than those of `touched`.
fn adds_nothing(
    model: &Model,
    at: &Iterations,
    touched: &Map,
    values: &[Option<Affine>],
) -> Answer<bool> {
    if values.iter().all(Option::is_none) {
        return Ok(true);
    }
    let (mut left, mut names) = (touched.clone(), at.names.clone());
    for depth in (0..values.len()).rev().filter(|d| values[*d].is_some()) {
        left = left.project_out(DimType::In, depth, 1)?;
        names.remove(depth);
    }
    let rest = Iterations { loops: Vec::new(), names, params: at.params.clone() };
    let mut facts = rest.hull_of_domain(&left)?;
    for (name, value) in at.names.iter().zip(values) {
        if let Some(value) = value {
            facts.push(Constraint::zero(Affine::var(name.clone()).sub(value)?));
        }
    }
    let run = model.relation(&at.names, &[], &facts)?.domain()?;
    Ok(run.is_subset(&touched.domain()?)?)
}

/// `floor(u / a)` if that is what bounds leave of `c`.
fn quotient(bounds: &[Constraint], c: &Name) -> Answer<Option<Affine>> {
    // floors of the coordinate itself would be no bounds
    let plain = |e: &Affine| {
        let own = Affine::var(c.clone()).scale(e.coefficient(c)).and_then(|own| e.sub(&own));
        own.is_ok_and(|rest| !rest.vars().contains(c))
    };
    let bounds: Vec<&Constraint> = bounds.iter().filter(|b| plain(&b.expr)).collect();
    for upper in &bounds {
        let sign = if upper.equality && upper.expr.coefficient(c) > 0 { -1 } else { 1 };
        let above = upper.expr.scale(sign)?;
        let a = -above.coefficient(c);
        let number = above.add(&Affine::var(c.clone()).scale(a)?)?;
        if a <= 0 || number.as_constant().is_some() {
            continue;
        }
        // the bounds are apart by less than what one more iteration would add
        let near = |lower: &&&Constraint| {
            let gap = above.add(&lower.expr).ok().and_then(|e| e.as_constant());
            gap.is_some_and(|gap| gap < a)
        };
        if upper.equality || bounds.iter().any(|lower| near(&lower)) {
            return Ok(Some(number.floor_div(a)?));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(name: &str, factor: i64) -> Affine {
        Affine::var(name).scale(factor).expect("small numbers")
    }

    fn sum(parts: &[Affine], constant: i64) -> Affine {
        let all = parts.iter().try_fold(Affine::constant(constant), |all, e| all.add(e));
        all.expect("small numbers")
    }

    fn found(bounds: &[Constraint]) -> Option<Affine> {
        quotient(bounds, &"c".into()).expect("small numbers")
    }

    #[test]
    fn a_digit_is_a_quotient() {
        let above = Constraint::non_negative(sum(&[var("t", 1), var("c", -8)], 0));
        let below = |most| Constraint::non_negative(sum(&[var("t", -1), var("c", 8)], most));
        let quotient = var("t", 1).floor_div(8).expect("small numbers");
        assert_eq!(found(&[above.clone(), below(7)]), Some(quotient));
        assert_eq!(found(&[above.clone(), below(8)]), None, "two values");
        assert_eq!(found(&[above]), None, "no bound from below");
    }

    #[test]
    fn an_equality_is_enough_in_either_direction() {
        for sign in [1, -1] {
            let e = sum(&[var("t", sign), var("c", -sign)], 3 * sign);
            assert_eq!(found(&[Constraint::zero(e)]), Some(sum(&[var("t", 1)], 3)));
        }
    }

    #[test]
    fn a_number_alone_is_left_to_the_loop() {
        assert_eq!(found(&[Constraint::zero(sum(&[var("c", 1)], -3))]), None);
    }
}
