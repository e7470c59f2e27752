//! Tiles that two groups of warpgroups take in turn: one multiplies while the results of the
//! other's tile leave.
//!
//! In: the loop of tiles that is mapped to `pingpong`, and what consumers do in one of its
//! iterations. Out: the loop over the iterations of a group, the barrier by which groups take
//! turns, and which part of a staging buffer is a group's own.
//! Requires: one product of warpgroups; the loop stands right inside the blocks', and its
//! iterations are tiles.
//! Keeps: the producer fills the ring in the order of all tiles. The group of tile `t` begins to
//! wait for slots once that of tile `t - 1` has waited for all of its own, so nobody is more than
//! one phase of a slot behind. For that `turn` has a slot for each group, which it alone waits for,
//! in every phase: each warp of the other group arrives there.
//! Why here: slots, parities and counts are those of one group that takes all tiles.
//! Source: CUTLASS, `sm90_gemm_tma_warpspecialized_pingpong.hpp` (the order of main loops).

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::kernel::device::{Barrier, Device, Teams, WARPGROUP};
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, TypedKind};
use warploom_ir::schedule::{Tree, Unit};

use super::elements::Instance;
use super::roles::{Program, Scope, add, call, one, parity, remainder, slot, unused, var};
use super::skeleton::holds;
use super::{Plan, Site, Work, misplaced};
use crate::index::{difference, simplify};

/// Groups that take turns.
pub(crate) const GROUPS: i64 = 2;

/// What makes iterations tiles.
const TILES: &str = "make one loop of all tiles, `raster m.0, n.0 as t`, and stage the sums inside";

/// The loop of tiles.
pub(super) struct Pong {
    /// Its name in the tree.
    label: Name,
    /// Its place in the products' paths.
    depth: usize,
}

/// What tells the groups whose turn it is.
pub(super) struct Turns {
    barrier: Name,
}

/// Refuses tiles in turn where nothing is tensorized.
pub(crate) fn none(tree: &Tree) -> Result<()> {
    match tree.loops().iter().find(|l| l.marks.unit == Some(Unit::PingPong)) {
        None => Ok(()),
        Some(l) => {
            let text =
                format!("loop `{}` is mapped to `pingpong`, and nothing is tensorized", l.name);
            let help = "groups of warpgroups take turns at the tensor cores: `tensorize` a \
                        statement inside";
            Err(Box::new(misplaced(text).help(help)))
        }
    }
}

impl Pong {
    /// The loop that groups take turns in, if there is one.
    pub(super) fn of(site: &Site<'_>) -> Result<Option<Self>> {
        let loops = site.tree.loops();
        let Some(l) = loops.iter().find(|l| l.marks.unit == Some(Unit::PingPong)) else {
            return Ok(None);
        };
        let inside = site.path.iter().skip(site.outside).enumerate();
        let mut inside = inside.skip_while(|(_, l)| l.marks.unit == Some(Unit::Cluster));
        match inside.next().filter(|(_, first)| first.name == l.name) {
            Some((at, _)) => Ok(Some(Self { label: l.name.clone(), depth: site.outside + at })),
            None => {
                let text = format!(
                    "loop `{}` is mapped to `pingpong`, and is not the loop of a block's tiles, \
                     right inside those of blocks and cluster",
                    l.name
                );
                let help = "share tiles out in turn: `split t by 132`, `skew t.1 by -132*t.0`, \
                            `reorder t.1, t.0`, `map t.1 to block.x`, `map t.0 to pingpong`";
                Err(Box::new(misplaced(text).help(help)))
            }
        }
    }
}

impl Plan {
    /// Whether two groups can take tiles in turn.
    pub(super) fn check_pingpong(&self) -> Result<()> {
        let Some(pong) = &self.pong else { return Ok(()) };
        let refused = |why: &str, help: &str| {
            let text = format!("loop `{}` is mapped to `pingpong`, and {why}", pong.label);
            Err(Box::new(misplaced(text).help(help)))
        };
        let product = self.main();
        if product.matrix.tensor || product.by_warps() {
            return refused(
                &format!("`{}` is no instruction of warpgroups", product.instruction),
                "leave it out: sums in tensor memory, and blocks beside each other, hide results \
                 by themselves",
            );
        }
        if self.products.len() > 1 {
            return refused(
                "the program has several products, which take turns already",
                "leave it out, or make the products nests of their own",
            );
        }
        if product.scope < pong.depth {
            return refused(&format!("`{}` is staged around it", product.accumulator), TILES);
        }
        if self.joint() {
            return refused(
                "results leave as boxes that all warpgroups write together",
                "leave it out, or store results with the accumulator's columns last",
            );
        }
        if self.works.iter().any(|w| self.reads_staged(w)) {
            return refused(
                "a statement reads the buffer that results are staged in",
                "read the accumulator instead",
            );
        }
        Ok(())
    }

    /// Whether statements read a buffer that elements are staged in.
    pub(super) fn reads_staged(&self, work: &Work) -> bool {
        let reads = |Instance { store, .. }: &Instance| {
            let mut found = false;
            store.value.visit(&mut |v| {
                found |= matches!(&v.kind, TypedKind::Read { array, .. }
                    if self.staging.contains_key(array));
            });
            found
        };
        work.elements().is_some_and(|elements| elements.statements.iter().any(reads))
    }
}

impl Program<'_> {
    /// Names the barrier of turns, where tiles are taken in turn; one tile is one group's.
    pub(super) fn name_turns(&mut self, nodes: &[KernelNode]) -> Result<()> {
        let Some(pong) = &self.plan.pong else { return Ok(()) };
        let tiles = |n: &KernelNode| matches!(n, KernelNode::Loop(l) if l.label == pong.label);
        if !nodes.iter().any(tiles) {
            return Ok(());
        }
        let refused = |why: &str, help: &str| {
            let text = format!("loop `{}` is mapped to `pingpong`, and {why}", pong.label);
            Err(Box::new(misplaced(text).help(help)))
        };
        let [KernelNode::Loop(l)] = nodes else {
            let help = "groups take turns where tiles have as many slices: leave it out";
            return refused("its tiles are not all alike", help);
        };
        if !self.one_tile(&l.body) {
            return refused("one of its iterations is not one tile of one product", TILES);
        }
        self.turns = Some(Turns { barrier: unused("turn", self.taken) });
        Ok(())
    }

    /// Whether all products stand together, in loops that run once and those of a ring.
    fn one_tile(&self, nodes: &[KernelNode]) -> bool {
        let works = &self.plan.works;
        let product = |w: usize| matches!(works[w], Work::Product);
        let uses = |w: usize| {
            !matches!(works[w], Work::Product | Work::Fill(_) | Work::Threads(_) | Work::Nothing)
        };
        let scopes = self.plan.main().scopes();
        let mut with = nodes.iter().filter(|n| holds(n, &product));
        match (with.next(), with.next()) {
            (Some(KernelNode::Loop(l)), None) if scopes.contains(&l.label) => {
                difference(&l.upper, &l.lower) == Some(1) && self.one_tile(&l.body)
            }
            (Some(all), None) => !holds(all, &uses),
            (_, _) => false,
        }
    }

    /// Warpgroups of all groups.
    pub(super) fn multipliers(&self) -> i64 {
        let groups = if self.turns.is_some() { GROUPS } else { 1 };
        self.product().teams * groups
    }

    /// The number of the group that a warpgroup belongs to, where there are groups.
    pub(super) fn group_of_team(&self) -> Option<Index> {
        self.turns.as_ref()?;
        let group = Index::FloorDiv(Box::new(var(&self.team)), self.product().teams);
        Some(simplify(&group))
    }

    /// The place of a warpgroup among all that multiply.
    pub(super) fn own_place(&self) -> Index {
        match self.turns {
            Some(_) => var(&self.team),
            None => self.team_index(),
        }
    }

    /// The extents of a staging buffer, of which each group has one.
    pub(super) fn of_groups(&self, shape: &[i64]) -> Vec<i64> {
        self.turns.iter().map(|_| GROUPS).chain(shape.iter().copied()).collect()
    }

    /// The loop of tiles with the iterations of a group only; other loops stay.
    pub(super) fn in_turns(&self, made: KernelLoop) -> KernelLoop {
        let tiles = self.plan.pong.as_ref().is_some_and(|p| p.label == made.label);
        match self.group_of_team().filter(|_| tiles) {
            Some(group) => KernelLoop { lower: add(made.lower, group), step: GROUPS, ..made },
            None => made,
        }
    }

    /// How many tiles the group had before this one.
    pub(super) fn own_tiles(&self, scope: &Scope) -> Result<Index> {
        let tiles = self.count(scope)?;
        Ok(match self.turns {
            Some(_) => simplify(&Index::FloorDiv(Box::new(tiles), GROUPS)),
            None => tiles,
        })
    }

    /// Waits until the products of the tile before have begun.
    pub(super) fn turn_begins(&self, scope: &Scope) -> Result<Vec<KernelNode>> {
        let Some(Turns { barrier }) = &self.turns else { return Ok(Vec::new()) };
        let tile = self.count(scope)?;
        let parity = parity(&add(tile.clone(), Index::Const(1)), GROUPS, 1);
        let wait = vec![slot(barrier, remainder(&tile, GROUPS)), parity];
        Ok(vec![call("mbarrier.wait", wait)])
    }

    /// Tells that the group of the next tile may begin with its products.
    pub(super) fn turn_ends(&mut self, scope: &Scope) -> Result<Vec<KernelNode>> {
        let Some(Turns { barrier }) = &self.turns else { return Ok(Vec::new()) };
        let next = add(self.count(scope)?, Index::Const(1));
        let other = slot(barrier, remainder(&next, GROUPS));
        let body = vec![one(vec![call("mbarrier.arrive", vec![other])])];
        let (var, count) = (unused("warp", self.taken), WARPGROUP);
        Ok(vec![Device::Teams(Teams { var, count, warps: 1, body }).into()])
    }

    /// The barrier of turns: every warp of the other group arrives.
    pub(super) fn turn_barrier(&self) -> Option<Barrier> {
        let name = self.turns.as_ref()?.barrier.clone();
        Some(Barrier { name, slots: GROUPS, count: WARPGROUP * self.product().teams })
    }
}
