//! Operands that stay on the chip: elements of one product's accumulator are written to shared
//! memory, and another product multiplies them.
//!
//! In: the products, and the statements over elements of one of them. Out: which operands are
//! written so, and the elements of them that are multiplied: what is written beside these are
//! zeros, as what copies bring from beside an array.
//! Requires: each warpgroup multiplies rows that it has written itself.
//! Keeps: a warpgroup needs nothing of others, so it meets by itself between writing and
//! multiplying.

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::expr::Access;
use warploom_ir::schedule::Poly;
use warploom_isl::Map;

use super::filling::independent;
use super::operand::Operand;
use super::product::{Product, elements, is_counter};
use super::{Answer, Plan, Site, misplaced, unfit};
use crate::footprint::Iterations;
use crate::poly_isl::Model;
use crate::steps::stage::all_accesses;

/// Whether elements of one of these accumulators are written to a buffer.
pub(super) fn is_held(poly: &Poly, accumulators: &[Name], buffer: &Name) -> bool {
    let statements = poly.statements.iter().map(|s| &s.statement);
    let written = |array: &Name| array == buffer && !accumulators.contains(array);
    let mut all = statements.filter(|s| written(&s.target.array));
    all.any(|s| all_accesses(s).any(|a| accumulators.contains(&a.array)))
}

/// Where operands have to be staged.
pub(super) const APART: &str =
    "the operands are staged at one loop, inside or at that of the accumulator";

/// The place in the path of the loop at which operands are staged. One that another product leaves
/// on the chip is there as well, or further outside.
pub(super) fn ring(site: &Site<'_>, factors: &[Access; 2]) -> Answer<usize> {
    let mut depths = [0; 2];
    for (depth, access) in depths.iter_mut().zip(factors) {
        *depth = site.depth_of(&access.array, "an operand")?;
    }
    let held = factors.each_ref().map(|a| is_held(site.poly, &site.accumulators, &a.array));
    match (held, depths) {
        ([false, false], [a, b]) if a == b => Ok(a),
        ([true, false], [held, ring]) | ([false, true], [ring, held]) if held <= ring => Ok(ring),
        ([true, true], _) => Err(unfit(format!(
            "both factors of `{}` are results of other products: one of them has to be an array",
            site.name()
        ))
        .into()),
        ([true, false], _) | ([false, true], _) | ([false, false], _) => Err(unfit(APART).into()),
    }
}

impl Plan {
    /// Whether all products can be of one program.
    pub(super) fn check_products(&self, sites: &[Site<'_>]) -> Answer<()> {
        let (main, root) = (self.main(), &sites[self.root]);
        for (product, site) in self.products.iter().zip(sites) {
            let same = |d: usize| site.path.get(d).is_some_and(|l| l.name == root.path[d].name);
            let text = if !(0..=main.scope).all(same) {
                format!(
                    "`{}` is summed up outside loop `{}`, which holds `{}`",
                    product.accumulator, root.path[main.scope].name, main.accumulator
                )
            } else if product.teams != main.teams {
                format!(
                    "`{}` is for {} warpgroups and `{}` for {}: all products of a program have as \
                     many",
                    site.name(),
                    product.teams,
                    root.name(),
                    main.teams
                )
            } else if self.products.len() > 1 && (product.by_warps() || product.matrix.tensor) {
                format!(
                    "{} statements are tensorized, and `{}` can be the only instruction of a \
                     program; those of several are `wgmma`",
                    self.products.len(),
                    product.instruction
                )
            } else {
                continue;
            };
            return Err(misplaced(text).into());
        }
        Ok(())
    }

    /// The elements that another product multiplies of what a statement over elements of product
    /// `p` writes; none where that is no operand.
    pub(super) fn multiplied(
        &self,
        sites: &[Site<'_>],
        model: &Model,
        p: usize,
        statement: usize,
    ) -> Answer<Option<Map>> {
        let poly = sites[p].poly;
        let buffer = &poly.statements[statement].statement.target.array;
        let Some(q) = self.multiplying(buffer) else { return Ok(None) };
        let (site, held) = (&sites[q], &self.products[p]);
        let operand = self.products[q].operand(buffer).expect("it multiplies the buffer");
        if poly.statements.iter().filter(|s| s.statement.target.array == *buffer).count() > 1 {
            let text = format!("several statements write `{buffer}`, which is multiplied");
            return Err(misplaced(text).into());
        }
        self.check_rows(p, q, operand)?;
        let iterations = Iterations::of(poly, site.tree, &sites[p].path[held.scope].name);
        let reads = poly.statements[site.statement].statement.value.reads();
        let access = reads.into_iter().find(|a| a.array == *buffer);
        let access = access.expect("an operand is read by the product");
        let own = poly.scopes[buffer].coordinates;
        let used = elements(site, model, site.statement, &iterations, &access.indices[own..])?;
        if independent(&used)? {
            return Ok(Some(used));
        }
        Err(unfit(format!(
            "what the product touches of `{buffer}` is not all combinations of some indices along \
             each dimension, so zeros in the rest of its tile could meet infinities"
        ))
        .into())
    }

    /// Whether each warpgroup multiplies rows of an operand that it writes.
    fn check_rows(&self, p: usize, q: usize, operand: &Operand) -> Answer<()> {
        let (from, to) = (&self.products[p], &self.products[q]);
        let name = &operand.buffer;
        let last = [from.rank.wrapping_sub(2), from.rank.wrapping_sub(1)];
        let sides = operand.sides.each_ref().map(|s| s.alone());
        if sides != last.map(Some) || from.dims() != Some(last) {
            let text = format!("rows and columns of `{name}` are no two dimensions of it");
            return Err(unfit(text).into());
        }
        let whole = from.whole();
        if operand.extents != whole {
            let text = format!(
                "`{name}` is multiplied as {:?} elements and written as {whole:?}",
                operand.extents
            );
            return Err(unfit(text).into());
        }
        let own = |team: i64| -> bool {
            let [first, _] = from.rows_of(team);
            let (start, size) = &operand.tile[0];
            let counted = |(atom, _): (&Atom, i64)| to.counters.iter().any(|c| is_counter(atom, c));
            let read = to.at_team(start, team);
            start.terms().all(counted)
                && read[0] >= first
                && read[1] + size <= first + from.fragment[0]
        };
        if to.teams > 1 && !(0..to.teams).all(own) {
            let text = format!("a warpgroup multiplies rows of `{name}` that another one writes");
            let help = "map the same rows of both products to a warpgroup, or to one warpgroup all";
            return Err(Box::new(misplaced(text).help(help)).into());
        }
        Ok(())
    }
}

impl Product {
    /// The first value and the last one of an expression over the counters for a team.
    fn at_team(&self, e: &Affine, team: i64) -> [i64; 2] {
        let mut out = [e.constant_part(); 2];
        for (atom, c) in e.terms() {
            let mut around = 1;
            for counter in self.counters.iter().rev() {
                let own = is_counter(atom, counter);
                if counter.team {
                    if own {
                        let at = team / around % counter.extent;
                        out = out.map(|v| v + c * at);
                    }
                    around *= counter.extent;
                } else if own {
                    let step = c * (counter.extent - 1);
                    out = [out[0] + step.min(0), out[1] + step.max(0)];
                }
            }
        }
        out
    }

    /// The first row and the first column of a team.
    fn rows_of(&self, team: i64) -> [i64; 2] {
        self.team_first.each_ref().map(|e| self.at_team(e, team)[0])
    }
}
