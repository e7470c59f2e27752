//! Tiles that blocks share out to the last slice of their sums: stream-K.
//!
//! In: the loop over tiles that is mapped to blocks and shared out (`stream t by 132`), with isl's
//! loops inside. Out: a loop over so many blocks, in which a block has every so many-th tile of the
//! whole waves, then its share of the slices of the tiles that are left, which may end one tile and
//! begin another; behind it the launch that adds up their parts ([`super::combining`]).
//! Requires: one product whose sums begin at zero and may be added in parts; one loop of slices,
//! with the same number of them in every tile.
//! Keeps: every block has as many slices, to one share; a share is less than a tile, so that a
//! block has parts of two tiles at most, each in a place of its own. Slices are counted through all
//! that a block does: rings go on from tile to tile. What uses sums sees those of whole tiles, or
//! of all parts of a tile in the order of the sum.
//! Why here: which tiles and slices there are is known when isl has made the loops.
//! Source: M. Osama et al., Stream-K: Work-centric Parallel Decomposition for Dense Matrix-Matrix
//! Multiplication on the GPU (PPoPP 2023), with its whole waves in front.

use std::collections::BTreeSet;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::expr::Literal;
use warploom_ir::kernel::{
    Buffer, Index, KernelLoop, KernelNode, LoopMode, Store, Typed, TypedKind,
};
use warploom_ir::nest::{AssignOp, Order, Role};
use warploom_ir::schedule::Tree;
use warploom_ir::target::{Axis, Place};

use super::elements::{Elements, Instance};
use super::product::Product;
use super::roles::{Program, Scope, add, unused, var};
use super::rounds::fixed;
use super::skeleton::{holds, placeholder, work_of};
use super::{Answer, Plan, Site, Work, misplaced, unfit};
use crate::footprint::fresh;
use crate::index::{difference, max, min, simplify};

/// Parts of tiles that a block has at most.
const PARTS: i64 = 2;
/// Columns that four threads hold of a row.
const NEAR: i64 = 8;

/// The loop that is shared out.
pub(super) struct Streamed {
    /// Its name in the tree.
    label: Name,
    /// How many blocks, or clusters, share its iterations out.
    blocks: i64,
    /// The array of parts.
    pub(super) parts: Name,
    /// The piece of work that writes a part.
    work: usize,
}

impl Streamed {
    /// The loop, where it runs once and isl has left it out.
    pub(super) fn one(&self, body: Vec<KernelNode>, taken: &mut BTreeSet<Name>) -> KernelLoop {
        KernelLoop {
            var: unused("tile", taken),
            label: self.label.clone(),
            lower: Index::Const(0),
            upper: Index::Const(1),
            step: 1,
            mode: LoopMode::Mapped(Place::Block(Axis::X)),
            body,
        }
    }
}

/// How tiles and slices are shared out.
#[derive(Clone)]
pub(super) struct Division {
    /// The block's number.
    pub(super) block: Name,
    /// The loop over tiles that a block has parts of, and that over slices of a part: their
    /// variables, by which the loops are known.
    part: [Name; 2],
    pub(super) blocks: i64,
    tiles: i64,
    /// Slices of a tile, and the first one.
    pub(super) slices: i64,
    first: i64,
    /// Tiles of whole waves.
    pub(super) whole: i64,
    /// Slices of the other tiles that a block has; all of a tile's where no tile has parts.
    pub(super) share: i64,
}

/// Refuses loops that are shared out where no program does.
pub(super) fn check(tree: &Tree, plans: &[Plan]) -> Result<()> {
    let shares = |l: &Name| plans.iter().any(|p| p.streams(l));
    match tree.loops().iter().find(|l| l.marks.streamed.is_some() && !shares(&l.name)) {
        None => Ok(()),
        Some(l) => {
            let text =
                format!("loop `{}` is shared out, and its blocks are no block program", l.name);
            let help = "leave `stream` out, or `tensorize` a statement inside";
            Err(Box::new(misplaced(text).help(help)))
        }
    }
}

/// [`check`] where nothing is tensorized.
pub(crate) fn none(tree: &Tree) -> Result<()> {
    check(tree, &[])
}

impl Plan {
    /// Whether a loop is the one that the program's blocks share out.
    pub(super) fn streams(&self, label: &Name) -> bool {
        self.streamed.as_ref().is_some_and(|s| s.label == *label)
    }

    /// Finds the loop that is shared out around the program, if one is, and adds the piece of work
    /// that writes a part of a tile.
    pub(super) fn stream(&mut self, sites: &[Site<'_>]) -> Answer<()> {
        let site = &sites[self.root];
        let outside = &site.path[..site.outside];
        let found = outside.iter().find_map(|l| Some((l.name.clone(), l.marks.streamed?)));
        let Some((label, blocks)) = found else { return Ok(()) };
        let mapped = outside.iter().filter(|l| matches!(l.marks.map, Some(Place::Block(_))));
        if mapped.count() > 1 {
            let refusal = misplaced(format!(
                "loop `{label}` is shared out, and is not the one loop mapped to blocks around \
                 `{}`",
                site.name()
            ));
            let help = "number the tiles by one loop: `raster m.0, n.0 as t`, `map t to block.x`, \
                        `stream t by 132`";
            return Err(Box::new(refusal.help(help)).into());
        }
        self.check_sums_in_parts(site, &label)?;
        self.check_uses_of_parts(&label)?;
        let taken: Vec<Name> = site.poly.arrays.iter().map(|a| a.name.clone()).collect();
        let base = format!("{}_parts", self.main().accumulator);
        let parts = match taken.iter().any(|n| **n == *base) {
            true => fresh(&taken, &format!("{base}_"), 1).remove(0),
            false => base.into(),
        };
        let part = self.part(site, &parts)?;
        self.streamed = Some(Streamed { label, blocks, parts, work: self.works.len() });
        self.works.push(Work::Elements(part));
        self.owners.push(self.root);
        self.members.push(Vec::new());
        Ok(())
    }

    /// Whether the sums may be added in parts, and tiles be shared out.
    fn check_sums_in_parts(&self, site: &Site<'_>, label: &Name) -> Result<()> {
        let s = &site.poly.statements[site.statement].statement;
        let product = self.main();
        if s.order == Order::Serial {
            let refusal = unfit(format!(
                "loop `{label}` is shared out to parts of sums, and `{}` is a sum in the order of \
                 the text (`order serial`)",
                s.name
            ));
            let help =
                format!("write `order fixed` behind `{}` if other roundings will do", s.name);
            return Err(Box::new(refusal.label(s.span, "this statement").help(help)));
        }
        if !product.starts_at_zero {
            let refusal = unfit(format!(
                "loop `{label}` is shared out to parts of sums, and those of `{}` begin with other \
                 values than zeros",
                s.name
            ));
            let help = "sum into a temporary that is set to zero, and add it to the rest after";
            return Err(Box::new(refusal.help(help)));
        }
        if product.ring != product.scope + 1 {
            let refusal = shared(label, "several loops are between its tiles and their slices");
            return Err(Box::new(refusal.help("`coalesce` the loops that are summed over")));
        }
        Ok(())
    }

    /// Whether all that uses sums can do so after parts have been added up.
    fn check_uses_of_parts(&self, label: &Name) -> Result<()> {
        let refused = |why: &str, help: &str| Err(Box::new(shared(label, why).help(help)));
        let apart = "leave `stream` out, and share tiles out in turn: `split t by 132`, `skew t.1 \
                     by -132*t.0`, `reorder t.1, t.0`, `map t.1 to block.x`";
        if self.products.len() > 1 {
            return refused("the program has several products", "make them nests of their own");
        }
        if !self.main().totals.is_empty() {
            return refused("sums of its tiles are added up to totals in registers", apart);
        }
        if self.chosen.is_some() {
            return refused("data leave out tiles, so shares would not be even", apart);
        }
        if self.pong.is_some() {
            return refused("groups of warpgroups take tiles in turn", apart);
        }
        let elements = || self.works.iter().filter_map(Work::elements);
        let mut all = elements().flat_map(|e| &e.statements);
        if all.any(|i| i.row.is_some() || i.held) {
            return refused("a statement combines rows of its tiles", apart);
        }
        if self.works.iter().any(|w| self.reads_staged(w)) {
            let help = "read the accumulator instead";
            return refused("a statement reads the buffer that results are staged in", help);
        }
        Ok(())
    }

    /// What writes each element of a part of a tile to the block's place for it.
    fn part(&self, site: &Site<'_>, parts: &Name) -> Answer<Elements> {
        let product = self.main();
        let coordinates = &product.coordinates[..=product.scope];
        let places = fresh(coordinates, "e", product.rank);
        let own: [Name; 4] = ["@row".into(), "@column".into(), "@block".into(), "@part".into()];
        let [row, column, block, part] = own.each_ref().map(|n| Affine::var(n.clone()));
        let mut indices = vec![block];
        if let Some(c) = &self.cluster {
            indices.push(Affine::var(coordinates[c.depth].clone()).sub(&c.first)?);
        }
        indices.push(part);
        let of = product.own_sums();
        let places_of: Vec<Affine> = places.iter().cloned().map(Affine::var).collect();
        let [row_of, column_of] = [&of.sides[0], &of.sides[1]].map(|side| side.of(&places_of));
        let (row_of, column_of, near) = (row_of?, column_of?, near(product));
        indices.extend([column_of.floor_div(near)?, row_of, column_of.modulo(near)?]);
        let read = TypedKind::Read { array: of.buffer.clone(), indices: vec![row, column] };
        let store = Store {
            statement: parts.clone(),
            array: parts.clone(),
            indices,
            dtype: of.dtype,
            op: AssignOp::Set,
            value: Typed { dtype: of.dtype, kind: read },
            guard: None,
            order: Order::Serial,
            strict: false,
        };
        let (names, iterators, guard) = (Vec::new(), Vec::new(), Vec::new());
        let (statement, held, row) = (site.statement, false, None);
        let instance = Instance { statement, store, names, iterators, guard, held, row };
        let names = coordinates.iter().chain(&places).chain(&own).cloned().collect();
        Ok(Elements { statements: vec![instance], names, of })
    }
}

/// Columns of a part that lie beside each other: those that the threads of an instruction's row
/// hold, so that the rows of a warp are one piece of memory.
pub(super) fn near(product: &Product) -> i64 {
    let columns = product.sides[1].whole();
    if columns % NEAR == 0 { NEAR } else { 1 }
}

/// A loop that cannot be shared out.
fn shared(label: &Name, why: &str) -> Box<Diagnostic> {
    misplaced(format!("loop `{label}` is shared out to parts of sums, and {why}"))
}

impl Division {
    fn new(names: [Name; 3], blocks: i64, tiles: i64, [first, slices]: [i64; 2]) -> Self {
        let whole = tiles / blocks * blocks;
        let share = ((tiles - whole) * slices + blocks - 1) / blocks;
        // shares of whole tiles are a wave of them
        let parts = (1..slices).contains(&share);
        let (whole, share) = if parts { (whole, share) } else { (tiles, slices) };
        let blocks = if parts { blocks } else { blocks.min(tiles) };
        let [block, tile, slice] = names;
        Self { block, part: [tile, slice], blocks, tiles, slices, first, whole, share }
    }

    /// Tiles that have parts.
    pub(super) const fn left(&self) -> i64 {
        self.tiles - self.whole
    }

    /// Slices of parts before those of a block.
    fn before(&self) -> Index {
        Index::Mul(self.share, Box::new(var(&self.block)))
    }

    /// The first of the tiles with parts that a block has a part of.
    fn begins(&self) -> Index {
        simplify(&Index::FloorDiv(Box::new(self.before()), self.slices))
    }

    /// Slices of parts before a tile's.
    fn before_tile(&self, tile: &Index) -> Index {
        let at = add(tile.clone(), Index::Const(-self.whole));
        simplify(&Index::Mul(self.slices, Box::new(at)))
    }

    /// How often a block's ring runs in all, where some tiles have parts.
    pub(super) fn runs(&self) -> Index {
        let left = Index::Const(self.left() * self.slices);
        let left = simplify(&Index::Sub(Box::new(left), Box::new(self.before())));
        let own = max(min(Index::Const(self.share), left), Index::Const(0));
        add(own, Index::Const(self.whole / self.blocks * self.slices))
    }

    /// The first slice of a block's part of a tile.
    fn enters(&self, tile: &Index) -> Index {
        let left = Index::Sub(Box::new(self.before()), Box::new(self.before_tile(tile)));
        max(Index::Const(0), simplify(&left))
    }

    /// The slices of parts that a block has before those of a tile.
    fn before_part(&self, tile: &Index) -> Index {
        let done = Index::Sub(Box::new(self.before_tile(tile)), Box::new(self.before()));
        max(Index::Const(0), simplify(&done))
    }

    /// The tiles of whole waves that a block has.
    fn waves(&self, l: &KernelLoop, taken: &mut BTreeSet<Name>) -> Option<KernelNode> {
        let turns = match self.whole % self.blocks {
            0 => Index::Const(self.whole / self.blocks),
            _some => {
                let left =
                    Index::Sub(Box::new(Index::Const(self.whole - 1)), Box::new(var(&self.block)));
                add(Index::FloorDiv(Box::new(left), self.blocks), Index::Const(1))
            }
        };
        let name = unused("turn", taken);
        let tile = Index::Mul(self.blocks, Box::new(var(&name)));
        let body = fixed(&l.body, &l.var, &add(tile, var(&self.block)));
        let lower = Index::Const(0);
        let (label, step, mode) = (l.label.clone(), 1, LoopMode::Serial);
        let made =
            KernelLoop { var: name, label, lower, upper: simplify(&turns), step, mode, body };
        (self.whole > 0).then_some(KernelNode::Loop(made))
    }

    /// The tiles that a block has parts of: products of the slices, then the part leaves.
    fn parts(&self, l: &KernelLoop, plan: &Plan, streamed: &Streamed) -> Option<KernelNode> {
        let [name, slice] = &self.part;
        let tile = var(name);
        let left = Index::Sub(Box::new(self.before()), Box::new(self.before_tile(&tile)));
        let end = min(Index::Const(self.slices), add(simplify(&left), Index::Const(self.share)));
        let enters = self.enters(&tile);
        let mut body = Vec::new();
        let mut coordinates = Vec::new();
        for node in fixed(&l.body, &l.var, &tile) {
            match node {
                KernelNode::Loop(ring) => {
                    let at = add(enters.clone(), add(var(slice), Index::Const(self.first)));
                    let inside = fixed(&ring.body, &ring.var, &at);
                    let lower = Index::Const(0);
                    let upper = Index::Sub(Box::new(end.clone()), Box::new(enters.clone()));
                    coordinates = first_product(&inside, plan).map(<[Index]>::to_vec)?;
                    let var = slice.clone();
                    let ring = KernelLoop { var, lower, upper, body: inside, ..ring };
                    body.push(KernelNode::Loop(ring));
                }
                KernelNode::Store(store) => {
                    let nothing = |w: usize| matches!(plan.works[w], Work::Nothing);
                    if work_of(&store).is_some_and(nothing) {
                        body.push(KernelNode::Store(store));
                    }
                }
                KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => {}
            }
        }
        let cluster = usize::from(plan.cluster.is_some());
        coordinates.truncate(plan.main().scope + 1 - cluster);
        let number = add(tile, Index::Const(-self.whole));
        let number = Index::Sub(Box::new(number), Box::new(self.begins()));
        coordinates.extend([var(&self.block), simplify(&number)]);
        body.push(KernelNode::Store(placed(plan, streamed.work, coordinates)));
        let last = add(self.before(), Index::Const(self.share - 1));
        let last = Index::FloorDiv(Box::new(last), self.slices);
        let last = add(simplify(&last), Index::Const(self.whole + 1));
        let (label, step, mode) = (l.label.clone(), 1, LoopMode::Serial);
        let lower = add(self.begins(), Index::Const(self.whole));
        let upper = min(last, Index::Const(self.tiles));
        let var = name.clone();
        let made = KernelLoop { var, label, lower, upper, step, mode, body };
        (self.left() > 0).then_some(KernelNode::Loop(made))
    }
}

/// Where the first product among these nodes stands.
fn first_product<'n>(nodes: &'n [KernelNode], plan: &Plan) -> Option<&'n [Index]> {
    nodes.iter().find_map(|node| match node {
        KernelNode::Store(s) => {
            let product = |w: usize| matches!(plan.works[w], Work::Product);
            work_of(s).is_some_and(product).then_some(s.indices.as_slice())
        }
        KernelNode::Loop(l) => first_product(&l.body, plan),
        KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => None,
    })
}

/// What stands for a piece of work at these coordinates.
fn placed(plan: &Plan, work: usize, indices: Vec<Index>) -> Store<Index> {
    let (name, dtype) = (placeholder(plan, work), DType::I32);
    let zero = TypedKind::Literal(Literal::Int(0));
    Store {
        statement: name.clone(),
        array: name,
        indices,
        dtype,
        op: AssignOp::Set,
        value: Typed { dtype, kind: zero },
        guard: None,
        order: Order::Serial,
        strict: false,
    }
}

/// The launches of a loop over blocks that is shared out, and the array that they need.
pub(super) fn launches(
    plan: &Plan,
    streamed: &Streamed,
    l: &KernelLoop,
    taken: &mut BTreeSet<Name>,
) -> Result<(Vec<KernelNode>, Option<Buffer>)> {
    let division = divided(plan, streamed, l, taken)?;
    let nodes = [division.waves(l, taken), division.parts(l, plan, streamed)];
    let nodes: Vec<KernelNode> = nodes.into_iter().flatten().collect();
    let mut program = Program::new(plan, taken);
    program.division = Some(division.clone());
    let body = vec![program.block(nodes)?.into()];
    let (lower, upper) = (Index::Const(0), Index::Const(division.blocks));
    let var = division.block.clone();
    let mut out = vec![KernelNode::Loop(KernelLoop { var, lower, upper, body, ..l.clone() })];
    if division.left() == 0 {
        return Ok((out, None));
    }
    out.push(Program::new(plan, taken).combined_parts((&division, &streamed.parts), l));
    let of = plan.main().own_sums();
    let members = plan.cluster.iter().map(|c| c.count);
    let (rows, columns, near) = (of.sides[0].whole(), of.sides[1].whole(), near(plan.main()));
    let tile = [PARTS, columns / near, rows, near];
    let shape = std::iter::once(division.blocks).chain(members).chain(tile);
    taken.insert(streamed.parts.clone());
    let buffer = Buffer {
        name: streamed.parts.clone(),
        role: Role::Temp,
        dtype: of.dtype,
        shape: shape.map(Index::Const).collect(),
        of: None,
    };
    Ok((out, Some(buffer)))
}

/// How the iterations of a loop over tiles are shared out.
fn divided(
    plan: &Plan,
    streamed: &Streamed,
    l: &KernelLoop,
    taken: &mut BTreeSet<Name>,
) -> Result<Division> {
    let label = &streamed.label;
    let (&Index::Const(0), &Index::Const(tiles)) = (&l.lower, &l.upper) else {
        let refusal = shared(label, "does not run from 0 to a number");
        let help = "fix the sizes, and number the tiles: `raster m.0, n.0 as t`";
        return Err(Box::new(refusal.help(help)));
    };
    let product = plan.main();
    let work = |w: usize| matches!(plan.works[w], Work::Product | Work::Fill(_) | Work::Threads(_));
    let rings: Vec<&KernelNode> = l.body.iter().filter(|n| holds(n, &work)).collect();
    let ring = match rings.as_slice() {
        [KernelNode::Loop(ring)] if ring.label == product.loops[product.ring] => Some(ring),
        all if all.iter().all(|n| matches!(n, KernelNode::Store(_))) => None,
        _others => {
            let refusal = shared(label, "an iteration of it is not one tile of one sum");
            let help = "put one loop of all tiles outside: `raster m.0, n.0 as t`, `map t to \
                        block.x`, and stage the sums right inside";
            return Err(Box::new(refusal.help(help)));
        }
    };
    let slices = match ring {
        None => Some([0, 1]),
        Some(ring) => match (&ring.lower, difference(&ring.upper, &ring.lower)) {
            (Index::Const(first), Some(count)) if ring.step == 1 => Some([*first, count]),
            _moving => None,
        },
    };
    let Some(slices) = slices else {
        let refusal = shared(label, "its tiles have not all as many slices");
        return Err(Box::new(refusal.help("leave `stream` out: triangles are shared out in turn")));
    };
    let slice = ring.map_or("slice".into(), |ring| format!("{}_part", ring.var));
    let names = ["owner", "tile", &slice].map(|name| unused(name, taken));
    Ok(Division::new(names, streamed.blocks, tiles, slices))
}

impl Program<'_> {
    /// Of the loop over tiles that a block has parts of, the iterations of the ring that have run
    /// in it before one of them.
    pub(super) fn before_part(&self, var: &Name, at: &Index) -> Option<Index> {
        let division = self.division.as_ref().filter(|d| d.part[0] == *var)?;
        Some(division.before_part(at))
    }

    /// How often the ring runs for all nodes of the program.
    pub(super) fn all_slices(&self, nodes: &[KernelNode], scope: &Scope) -> Result<Index> {
        match self.division.as_ref().filter(|d| d.left() > 0) {
            Some(division) => Ok(division.runs()),
            None => Ok(add(self.count(&self.last(nodes, scope))?, Index::Const(1))),
        }
    }
}
