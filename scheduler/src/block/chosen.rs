//! Tiles that data leave out: under which condition a tile is made, and the loop over those that
//! are.
//!
//! In: the guards (`when`) of a product and of all that uses its sums. Out: their one condition,
//! over the coordinates of a tile; and what a role does for the tiles for which it holds.
//! Requires: the condition reads nothing that moves inside a tile, or that the program writes; a
//! block's tiles are iterations of one loop.
//! Keeps: all that leaves a tile is under the condition, and sums stay on the chip: a tile for
//! which it does not hold is left out as a whole, in every role. Rings, tiles and parities count
//! those that are made, by a number of their own, so that what is left out takes a test and no
//! slot.
//! Why here: which tiles there are is known when the roles are made.

use std::collections::BTreeSet;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::kernel::device::{Choosing, Device};
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, Store, Typed, TypedKind};

use super::roles::{Around, Program, Scope, by_name, unused, var};
use super::skeleton::{holds, variables, work_of};
use super::{Answer, Plan, Site, Work, misplaced, place_of};
use crate::footprint::Iterations;
use crate::index::substitute;
use crate::poly_isl::Model;

/// Under which condition a tile is made.
#[derive(PartialEq, Eq)]
pub(super) struct Chosen {
    /// Over the coordinates of the accumulator's loop.
    value: Typed<Affine>,
    names: Vec<Name>,
}

/// What a role does in a tile, and when all are done: the nodes inside the loop of tiles, and what
/// is known in one.
pub(super) type Made = [Vec<KernelNode>; 2];

/// The loop of a block's tiles.
struct Tiles {
    vars: [Name; 2],
    lower: Index,
    upper: Index,
    /// What isl's loops have inside.
    nodes: Vec<KernelNode>,
    scope: Scope,
}

impl Plan {
    /// Finds the condition of the tiles, where the product has one, and takes it off what is under
    /// it.
    pub(super) fn choose(&mut self, sites: &[Site<'_>], model: &Model) -> Answer<()> {
        let site = &sites[self.root];
        let all: Vec<(usize, usize)> = (self.works.iter().zip(&self.members).enumerate())
            .filter(|(_, (work, _))| leaves(work))
            .flat_map(|(w, (_, names))| names.iter().map(move |n| (w, place_of(site.poly, n))))
            .collect();
        let guarded = |at: usize| site.poly.statements[at].statement.guard.is_some();
        let product = |w: usize| matches!(self.works[w], Work::Product);
        let copies = |w: usize| matches!(self.works[w], Work::Drain(_));
        let asks = |&&(w, at): &&(usize, usize)| (product(w) || copies(w)) && guarded(at);
        let Some(&(_, first)) = all.iter().find(asks) else { return Ok(()) };
        let condition = self.condition(site, model, first)?;
        for (_, at) in &all {
            if !guarded(*at) || self.condition(site, model, *at)? != condition {
                return Err(differ(site, [first, *at]).into());
            }
        }
        self.refuse(site, &condition, first)?;
        for work in &mut self.works {
            let elements = match work {
                Work::Elements(elements) => elements,
                Work::Slabs(slabs) => &mut slabs.elements,
                Work::Product
                | Work::Fill(_)
                | Work::Threads(_)
                | Work::Drain(_)
                | Work::Nothing => continue,
            };
            elements.statements.iter_mut().for_each(|i| i.store.guard = None);
        }
        self.chosen = Some(condition);
        Ok(())
    }

    /// The guard of a statement, over the coordinates of the accumulator's loop.
    fn condition(&self, site: &Site<'_>, model: &Model, at: usize) -> Answer<Chosen> {
        let around = Iterations::of(site.poly, site.tree, &site.path[self.main().scope].name);
        let s = &site.poly.statements[at];
        let name = &s.statement.name;
        let guard = crate::lower::typed(site.poly, site.source, s)?.guard;
        let guard = guard.ok_or_else(|| unlike(format!("`{name}` has no guard")))?;
        let value = guard.try_map_index(&mut |index: &Affine| -> Answer<Affine> {
            let value = around.value(model, site.tree, at, index)?;
            let moves = || unlike(format!("the guard of `{name}` is not one for a whole tile"));
            Ok(value.ok_or_else(moves)?)
        })?;
        Ok(Chosen { value, names: around.names })
    }

    /// Refuses what the blocks, or other parts of the program, do not allow.
    fn refuse(&self, site: &Site<'_>, chosen: &Chosen, at: usize) -> Result<()> {
        let name = &site.poly.statements[at].statement.name;
        let refused = |why: &str| Err(unlike(format!("the guard of `{name}` {why}")));
        if self.products.len() > 1 {
            return refused("leaves out tiles of a program with several products");
        }
        if self.taken.is_some() || self.pong.is_some() {
            return refused("leaves out tiles that blocks or groups take in turn");
        }
        let written = |array: &Name| {
            let targets = self.members.iter().flatten().map(|n| place_of(site.poly, n));
            let mut targets = targets.map(|k| &site.poly.statements[k].statement.target.array);
            targets.any(|t| t == array) || site.poly.scopes.contains_key(array)
        };
        let mut own = false;
        chosen.value.visit(&mut |v| {
            own |= matches!(&v.kind, TypedKind::Read { array, .. } if written(array));
        });
        if own {
            return refused("reads what the program writes");
        }
        let position = self.cluster.as_ref().and_then(|c| chosen.names.get(c.depth));
        let mut apart = false;
        chosen
            .value
            .visit_indices(&mut |i| apart |= position.is_some_and(|p| i.vars().contains(p)));
        if apart {
            return refused("differs between the blocks of a cluster");
        }
        Ok(())
    }
}

/// Whether a piece of work does more than bring operands or begin sums.
fn leaves(work: &Work) -> bool {
    match work {
        Work::Product | Work::Elements(_) | Work::Drain(_) | Work::Slabs(_) => true,
        Work::Fill(_) | Work::Threads(_) | Work::Nothing => false,
    }
}

fn unlike(text: String) -> Box<Diagnostic> {
    let help = "`when` may leave out whole tiles of a product: the same condition on the product \
                and on all that uses its sums, which reads nothing along their rows and columns";
    Box::new(misplaced(text).help(help))
}

fn differ(site: &Site<'_>, statements: [usize; 2]) -> Box<Diagnostic> {
    let [a, b] = statements.map(|at| &site.poly.statements[at].statement.name);
    unlike(format!("`{a}` and `{b}` of a tile have not the same guard"))
}

impl Program<'_> {
    /// What a role does for all of a block's tiles, from what it does inside and behind its loops.
    pub(super) fn in_chosen(
        &mut self,
        nodes: &[KernelNode],
        make: impl FnOnce(&mut Self, &[KernelNode], &Scope) -> Result<Made>,
    ) -> Result<Vec<KernelNode>> {
        let Some(chosen) = &self.plan.chosen else {
            let [mut body, last] = make(self, nodes, &Scope::default())?;
            body.extend(last);
            return Ok(body);
        };
        let tiles = self.tiles(nodes)?;
        let when = self.asked(chosen, &tiles)?;
        let [body, last] = make(self, &tiles.nodes, &tiles.scope)?;
        let Tiles { vars, lower, upper, .. } = tiles;
        Ok(vec![Device::Choosing(Choosing { vars, lower, upper, when, body, last }).into()])
    }

    /// Whether tiles are chosen in a loop: what a role does at its end is behind that.
    pub(super) fn ends_behind(&self, nodes: &[KernelNode]) -> bool {
        self.plan.chosen.is_some() && self.repeated(nodes)
    }

    /// The loop of a block's tiles, or the one tile that it has.
    fn tiles(&mut self, nodes: &[KernelNode]) -> Result<Tiles> {
        let vars = [unused("tile", self.taken), unused("turn", self.taken)];
        let mut scope = Scope::default();
        if !self.repeated(nodes) {
            let (lower, upper, nodes) = (Index::Const(0), Index::Const(1), nodes.to_vec());
            return Ok(Tiles { vars, lower, upper, nodes, scope });
        }
        let [KernelNode::Loop(l)] = nodes else {
            return Err(unlike("a block's tiles are not iterations of one loop".to_owned()));
        };
        if l.step != 1 {
            return Err(misplaced(format!("loop `{}` of a block program has a step", l.label)));
        }
        scope.renamed.insert(l.var.clone(), var(&vars[0]));
        let (each, before) = (self.all_runs(&l.body), self.none());
        let (label, at, lower) = (l.label.clone(), var(&vars[1]), Index::Const(0));
        scope.around.push(Around { label, at, lower, each, before, parts: None });
        let KernelLoop { lower, upper, body: nodes, .. } = l.clone();
        Ok(Tiles { vars, lower, upper, nodes, scope })
    }

    /// The condition of a tile.
    fn asked(&self, chosen: &Chosen, tiles: &Tiles) -> Result<Typed<Index>> {
        let product = |w: usize| matches!(self.plan.works[w], Work::Product);
        let store = first(&tiles.nodes, &product).expect("a program multiplies");
        let values = self.values(&tiles.scope, store);
        let lookup = by_name(&chosen.names, &values);
        let when = chosen.value.map_index(&mut |e| substitute(e, &lookup));
        let mut inside = BTreeSet::new();
        variables(&tiles.nodes, &mut inside);
        let mut moves = false;
        when.visit_indices(&mut |i| moves |= inside.iter().any(|v| i.uses(v)));
        match moves {
            false => Ok(when),
            true => Err(unlike("a block's tiles are not iterations of one loop".to_owned())),
        }
    }
}

/// The first piece of work of such a kind.
fn first<'n>(nodes: &'n [KernelNode], such: &dyn Fn(usize) -> bool) -> Option<&'n Store<Index>> {
    nodes.iter().filter(|n| holds(n, such)).find_map(|node| match node {
        KernelNode::Loop(l) => first(&l.body, such),
        KernelNode::If(_, a, b) => first(a, such).or_else(|| first(b, such)),
        KernelNode::Local(l) => first(&l.body, such),
        KernelNode::Store(s) => work_of(s).is_some_and(such).then_some(s),
        KernelNode::Device(_) => None,
    })
}
