//! Totals: what elements of an accumulator are added up to over loops around it, in registers.
//!
//! In: buffers staged at a loop between the blocks' and the accumulator's, which statements over
//! elements of the accumulator use. Out: which of them are totals, and which sums a statement over
//! elements stands at.
//! Requires: a total has the accumulator's shape, and the statements touch it at the place of the
//! accumulator's element: the thread that holds one holds the other.
//! Keeps: the order of the statements, so additions are those of the nest.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Index, KernelNode};
use warploom_ir::nest::{Array, Statement};

use super::digits::{Digit, Digits};
use super::product::{Product, innermost};
use super::roles::Program;
use super::skeleton::holds;
use super::{Answer, Site, unfit};
use crate::poly_isl::Model;
use crate::steps::stage::all_accesses;

/// Sums that threads hold: an accumulator, or a total of its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) buffer: Name,
    pub(super) dtype: DType,
    /// The place in the path of the loop that holds them.
    pub(super) scope: usize,
    /// The dimensions that are the instruction's `m` and `n`, and how many there are in all.
    pub(super) sides: [Digits; 2],
    pub(super) rank: usize,
}

impl Sums {
    /// Elements in each dimension, for all teams.
    pub(super) fn whole(&self) -> Vec<i64> {
        let mut out = vec![1; self.rank];
        for digit in self.sides.iter().flat_map(|side| &side.0) {
            out[digit.dim] = digit.extent;
        }
        out
    }

    /// The values of [`Elements::names`](super::elements::Elements) for the element at a row and
    /// column, which a fragment has at others; what stands behind the coordinates of the sums' loop
    /// comes last.
    pub(super) fn values(
        &self,
        coordinates: &[Index],
        at: &[Index; 2],
        held: &[Index; 2],
    ) -> Vec<Index> {
        let (own, behind) = coordinates.split_at(self.scope + 1);
        let places = Digits::element(&self.sides, at, self.rank);
        own.iter().chain(&places).chain(held).chain(behind).cloned().collect()
    }

    /// The indices of an access to them that say which element it is, slowest first for `m`, then
    /// for `n`.
    pub(super) fn element<'a>(&self, own: &'a [Affine]) -> Vec<&'a Affine> {
        self.sides.iter().flat_map(|side| &side.0).map(|digit| &own[digit.dim]).collect()
    }
}

impl Product {
    /// The accumulator.
    pub(super) fn own_sums(&self) -> Sums {
        let (buffer, dtype) = (self.accumulator.clone(), self.matrix.acc);
        Sums { buffer, dtype, scope: self.scope, sides: self.sides.clone(), rank: self.rank }
    }

    /// The accumulator, then the totals of its elements.
    pub(super) fn sums(&self) -> impl Iterator<Item = Sums> {
        std::iter::once(self.own_sums()).chain(self.totals.iter().cloned())
    }

    /// Whether threads hold the elements of a buffer where they hold the accumulator's.
    pub(super) fn in_registers(&self, buffer: &str) -> bool {
        self.sums().any(|sums| *sums.buffer == *buffer)
    }

    /// The loops up to that of the outermost total, or to the accumulator's where there is none.
    pub(super) fn outer_scopes(&self) -> &[Name] {
        let scope = self.sums().map(|t| t.scope).min().unwrap_or(self.scope);
        &self.loops[..=scope]
    }

    /// Finds the totals.
    pub(super) fn find_totals(&mut self, site: &Site<'_>, model: &Model) -> Answer<()> {
        let own = &self.accumulator;
        let inside = site.depth_of(own, "the accumulator")?;
        let statements = || site.poly.statements.iter().map(|s| &s.statement);
        let multiplied = |buffer: &Name| {
            let mut products = statements().filter(|s| site.accumulators.contains(&s.target.array));
            products.any(|s| s.value.reads().iter().any(|a| a.array == *buffer))
        };
        let mut found = Vec::new();
        for (buffer, scope) in &site.poly.scopes {
            let depth = site.path[..inside].iter().position(|l| l.name == scope.at);
            let beside = |s: &Statement| {
                let uses = |array: &Name| all_accesses(s).any(|a| a.array == *array);
                uses(own) && uses(buffer)
            };
            let sums = site.accumulators.contains(buffer) || multiplied(buffer);
            if let Some(depth) = depth.filter(|_| !sums && statements().any(beside)) {
                let array = site.poly.array(buffer).expect("buffers are of known arrays");
                let scope = innermost(site, model, buffer, depth)?;
                found.push(self.total(site, array, scope)?);
            }
        }
        self.totals = found;
        Ok(())
    }

    /// A total: its dimensions with several elements are the accumulator's.
    fn total(&self, site: &Site<'_>, array: &Array, scope: usize) -> Answer<Sums> {
        let buffer = &array.name;
        let several = |array: &Array| -> Vec<(usize, Option<i64>)> {
            let all = array.shape.iter().map(Affine::as_constant).enumerate();
            all.filter(|(_, extent)| *extent != Some(1)).collect()
        };
        let held = site.poly.array(&self.accumulator).expect("buffers are of known arrays");
        let (own, dims) = (several(held), several(array));
        let fixed = own.iter().all(|(_, extent)| extent.is_some());
        if !fixed || !own.iter().map(|d| d.1).eq(dims.iter().map(|d| d.1)) {
            let text = format!(
                "`{buffer}` adds up elements of `{}` and has not its shape in a tile",
                self.accumulator
            );
            return Err(Box::new(unfit(text).help("stage it at the loop over tiles")).into());
        }
        if self.matrix.tensor || self.by_warps() {
            let text = format!(
                "`{buffer}` adds up elements of `{}` around its loop, which threads can where \
                 `wgmma` leaves them in registers",
                self.accumulator
            );
            let help = format!("leave out `stage {buffer}`: then it is in memory");
            return Err(Box::new(unfit(text).help(help)).into());
        }
        let moved = |digit: &Digit| {
            let at = own.iter().position(|(dim, _)| *dim == digit.dim)?;
            Some(Digit { dim: dims[at].0, extent: digit.extent })
        };
        let sides = self.sides.each_ref().map(|s| Digits(s.0.iter().filter_map(moved).collect()));
        let (buffer, dtype, rank) = (buffer.clone(), array.dtype, array.shape.len());
        Ok(Sums { buffer, dtype, scope, sides, rank })
    }
}

impl Program<'_> {
    /// The totals that begin and end with these nodes: not all that uses them is inside loops of
    /// theirs, and no nodes around have begun them.
    pub(super) fn totals_begun(&mut self, nodes: &[KernelNode]) -> Vec<(usize, Sums)> {
        let plan = self.plan;
        let mut out = Vec::new();
        for (p, product) in plan.products.iter().enumerate() {
            for total in &product.totals {
                if self.totals.contains(&total.buffer) {
                    continue;
                }
                let used = |w: usize| plan.owners[w] == p && self.sums(w);
                if begins(nodes, &product.loops[..=total.scope], &used) {
                    out.push((p, total.clone()));
                }
            }
        }
        self.totals.extend(out.iter().map(|(_, total)| total.buffer.clone()));
        out
    }

    /// A total in registers, for the nodes that begin and end it.
    pub(super) fn total_ended(
        &mut self,
        (p, total): &(usize, Sums),
        body: Vec<KernelNode>,
    ) -> KernelNode {
        self.totals.remove(&total.buffer);
        self.plan.products[*p].fragment_like(&total.buffer, total.dtype, body)
    }
}

/// Whether what uses sums begins with these nodes: some of it is not inside the loops around them.
pub(super) fn begins(nodes: &[KernelNode], scopes: &[Name], own: &dyn Fn(usize) -> bool) -> bool {
    let deeper = |n: &KernelNode| matches!(n, KernelNode::Loop(l) if scopes.contains(&l.label));
    nodes.iter().any(|n| holds(n, own) && !deeper(n))
}
