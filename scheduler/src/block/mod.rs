//! Schedule -> block program: a statement on tensor cores, with copies by the copy engine.
//!
//! In: a poly and a legal tree in which three loops of a statement are `tensorize`d. Out: a kernel
//! whose launch for that nest is a block program; other nests are lowered as always.
//! Requires: the operands are staged at one loop, the accumulator at a loop around it, all inside
//! loops mapped to blocks.
//! Keeps: nothing here knows what is computed. Tiles are the boxes that accesses touch, an index is
//! an instruction's `m`, `n` or `k` by the accesses it appears in, and what runs where follows from
//! which buffers a statement touches. What a box holds beyond what the statement touches is shown
//! to be outside the arrays, where the copy engine gives zero, or never used.
//! Why here: isl has the footprints; the loops around the program are isl's as well ([`skeleton`]).
//!
//! Who runs what: what fills operands is the producer's, everything else the consumers'. Each
//! iteration of the loop where the operands are staged has a slot of a ring; a barrier pair per
//! slot says when it is full and when it is empty.

mod boxes;
mod combined;
mod determined;
mod digits;
mod elements;
mod epilogue;
pub(crate) mod factor;
pub(crate) mod filler;
mod filling;
mod joint;
mod leaving;
mod moves;
mod operand;
mod pairs;
mod product;
mod roles;
mod rounds;
mod skeleton;
mod slabs;
mod sums;
mod tensor_memory;
mod warps;

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result, Source};
use warploom_ir::dtype::DType;
use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::{Poly, Tree, TreeLoop, Unit};
use warploom_ir::target::Place;

use crate::deps::{LIMIT, with_source};
use crate::footprint::{Box_, Iterations};
use crate::poly_isl::Model;
use crate::steps::ancestors;
use crate::trouble::Trouble;

use elements::Elements;
use filling::Filling;
use moves::Move;
use product::Product;
use slabs::Slabs;

type Answer<T> = std::result::Result<T, Trouble>;

/// Whether some statement of the tree is to run on tensor cores.
pub(crate) fn wanted(tree: &Tree) -> bool {
    tree.loops().iter().any(|l| l.marks.tensor.is_some())
}

/// The kernel of a tree with a tensorized statement.
///
/// # Errors
/// `E0731` where the statement is not what its instruction computes, `E0732` where a statement has
/// no place in a block program, `E0601` when isl takes too long.
pub(crate) fn lower(poly: &Poly, tree: &Tree, source: &Source, limit: u32) -> Result<Kernel> {
    let plan = Plan::of(poly, tree, source, limit)?;
    let (reduced, order) = skeleton::reduced(poly, tree, &plan)?;
    let kernel = crate::lower::generated(&reduced, &order, source, limit)?;
    skeleton::completed(kernel, poly, &plan).map_err(|d| with_source(d, source))
}

/// Where the statement stands.
struct Site<'a> {
    poly: &'a Poly,
    tree: &'a Tree,
    source: &'a Source,
    /// The tensorized statement's place in the poly.
    statement: usize,
    /// The loops around it, outermost first.
    path: Vec<&'a TreeLoop>,
    /// How many of them stand outside the block program.
    outside: usize,
}

/// A piece of work of the program, which runs once in each iteration of its loop.
enum Work {
    /// The tensorized statement.
    Product,
    /// A copy into an operand's buffer: its place in [`Plan::fills`].
    Fill(usize),
    /// A statement that threads run for each element of an operand's buffer.
    Threads(Filling),
    /// Statements over elements of the accumulator.
    Elements(Elements),
    /// A copy of the copy engine out of a buffer.
    Drain(Move),
    /// Elements that leave through the copy engine, some columns after others.
    Slabs(Slabs),
    /// The accumulator's initial zeros, which the first product gives.
    Nothing,
}

impl Work {
    fn slabs(&self) -> Option<&Slabs> {
        match self {
            Self::Slabs(slabs) => Some(slabs),
            Self::Product
            | Self::Fill(_)
            | Self::Threads(_)
            | Self::Elements(_)
            | Self::Drain(_)
            | Self::Nothing => None,
        }
    }

    fn threads(&self) -> Option<&Filling> {
        match self {
            Self::Threads(filling) => Some(filling),
            Self::Product
            | Self::Fill(_)
            | Self::Elements(_)
            | Self::Drain(_)
            | Self::Slabs(_)
            | Self::Nothing => None,
        }
    }
}

/// All that is known before code is made.
struct Plan {
    product: Product,
    fills: Vec<Move>,
    works: Vec<Work>,
    /// The statements of each piece of work.
    members: Vec<Vec<Name>>,
    /// The loops outside the program, those up to the accumulator's, and those up to the ring.
    outside: BTreeSet<Name>,
    scope: BTreeSet<Name>,
    /// The loop of the ring with those around it, outermost first, and their coordinates' names.
    ring: Vec<Name>,
    coordinates: Vec<Name>,
    /// The place in the ring's path of the loop over the blocks of a cluster.
    cluster: Option<Cluster>,
    /// The coordinates of all iterations of the ring, as constraints; without the cluster's and
    /// those that are determined.
    iterations: Vec<Constraint>,
    /// What each coordinate is that follows from those outside.
    determined: Vec<Option<Affine>>,
    stages: i64,
    /// Buffers that elements are written to before they are drained, with type and shape.
    staging: BTreeMap<Name, (DType, Vec<i64>)>,
}

/// A loop over the blocks of a cluster.
struct Cluster {
    /// Its place in the path.
    depth: usize,
    /// Its first value, over the coordinates before it.
    first: Affine,
    /// How many blocks.
    count: i64,
}

/// A refusal because of what a statement is.
fn unfit(message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E0731", Blame::Schedule, message))
}

/// A refusal because of where a statement stands.
fn misplaced(message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E0732", Blame::Schedule, message))
}

impl<'a> Site<'a> {
    fn of(poly: &'a Poly, tree: &'a Tree, source: &'a Source) -> Result<Self> {
        let marked = |s: &Name| ancestors(tree, s).iter().any(|l| l.marks.tensor.is_some());
        let all: Vec<Name> = tree.statements().into_iter().filter(marked).collect();
        let [name] = all.as_slice() else {
            return Err(misplaced(format!(
                "{} statements are tensorized, and a schedule can have one",
                all.len()
            )));
        };
        let path = ancestors(tree, name);
        let block = |l: &&TreeLoop| matches!(l.marks.map, Some(Place::Block(_)));
        let Some(last) = path.iter().rposition(block) else {
            let refusal = misplaced(format!("`{name}` is tensorized outside blocks"));
            let help = "map loops around it to blocks: `map m.0 to block.y`";
            return Err(Box::new(refusal.help(help)));
        };
        let statement = place_of(poly, name);
        Ok(Self { poly, tree, source, statement, path, outside: last + 1 })
    }

    /// The place in the path of the loop that holds a buffer.
    fn depth_of(&self, array: &str, what: &str) -> Result<usize> {
        let scope = self.poly.scopes.get(array).ok_or_else(|| {
            let refusal =
                unfit(format!("`{array}` is {what} of the instruction and is not staged"));
            Box::new(refusal.help("stage it at a loop around the tensorized ones"))
        })?;
        let at = self.path.iter().position(|l| l.name == scope.at);
        at.ok_or_else(|| misplaced(format!("`{array}` is not staged around the statement")))
    }
}

/// The place of a statement of the tree in its poly.
fn place_of(poly: &Poly, name: &Name) -> usize {
    let found = poly.statements.iter().position(|s| s.statement.name == *name);
    found.expect("a tree's statements are the poly's")
}

impl Plan {
    fn of(poly: &Poly, tree: &Tree, source: &Source, limit: u32) -> Result<Self> {
        let make = || -> Answer<Self> {
            let site = Site::of(poly, tree, source)?;
            let model = Model::new(poly)?;
            let ctx = model.ctx.clone();
            let made = || {
                let padded = model.unguarded(site.statement)?.is_some();
                // where guards leave out iterations, zeros may take their place
                match padded.then(|| Self::make(&site, &model, true)) {
                    Some(Ok(plan)) => Ok(plan),
                    Some(Err(_)) | None => Self::make(&site, &model, false),
                }
            };
            ctx.with_deadline(LIMIT, || ctx.with_quota(limit, made))
        };
        let explained = make().map_err(|t: Trouble| t.explain("planning the block program"));
        explained.map_err(|d| with_source(d, source))
    }

    fn make(site: &Site<'_>, model: &Model, padded: bool) -> Answer<Self> {
        let mut product = Product::of(site, model)?;
        if padded {
            product.pad_ring(site, model)?;
        }
        let cluster = Cluster::of(site, model)?;
        let names = |upto: usize| site.path[..upto].iter().map(|l| l.name.clone());
        let without = cluster.as_ref().map(|c| c.depth);
        let (iterations, determined) = product.iterations(site, model, without)?;
        let mut plan = Self {
            fills: Vec::new(),
            works: Vec::new(),
            members: Vec::new(),
            outside: names(site.outside).collect(),
            scope: names(product.scope + 1).collect(),
            ring: names(product.ring + 1).collect(),
            coordinates: product.coordinates.clone(),
            iterations,
            determined,
            cluster,
            stages: site.path[product.ring].marks.ring.unwrap_or(1),
            staging: BTreeMap::new(),
            product,
        };
        let block = &site.path[site.outside - 1].body;
        plan.collect(site, model, block, site.outside)?;
        plan.check_fills(site)?;
        plan.check_padding(site, model)?;
        plan.check_warps()?;
        plan.check_tensor_memory()?;
        plan.check_pair()?;
        Ok(plan)
    }

    /// Whether results leave as boxes that all teams have written: the accumulator's rows and
    /// columns are not the last two dimensions of theirs, or threads share out the copy.
    fn joint(&self) -> bool {
        let threads = self.works.iter().any(|w| matches!(w, Work::Drain(m) if m.threads()));
        let matrix = self.product.dims().is_some_and(|dims| {
            let last = [self.product.rank - 2, self.product.rank - 1];
            last.iter().all(|d| dims.contains(d))
        });
        threads || !self.staging.is_empty() && !matrix
    }

    /// The pieces of work of a subtree inside `depth` loops of the path.
    fn collect(&mut self, site: &Site<'_>, model: &Model, tree: &Tree, depth: usize) -> Answer<()> {
        match tree {
            Tree::Sequence(children) => {
                children.iter().try_for_each(|child| self.collect(site, model, child, depth))
            }
            Tree::Loop(l) if depth <= self.product.ring && l.name == site.path[depth].name => {
                let cluster = self.cluster.as_ref().is_some_and(|c| c.depth == depth);
                let marks = &l.marks;
                let unit = marks.unit.is_some() && !cluster;
                if marks.map.is_some() || marks.vectorize || marks.parallel || unit {
                    let text = format!("loop `{}` of a block program is marked", l.name);
                    return Err(misplaced(text).into());
                }
                self.collect(site, model, &l.body, depth + 1)
            }
            piece @ (Tree::Loop(_) | Tree::Statement(_)) => self.piece(site, model, piece, depth),
        }
    }

    /// One piece of work.
    fn piece(&mut self, site: &Site<'_>, model: &Model, tree: &Tree, depth: usize) -> Answer<()> {
        let members = tree.statements();
        let own = &site.poly.statements[site.statement].statement.name;
        let work = if members.contains(own) {
            if depth != self.product.ring + 1 || members.len() != 1 {
                let text = format!("`{own}` shares loops with others below the ring's loop");
                return Err(misplaced(text).into());
            }
            Work::Product
        } else {
            self.other(site, model, tree, depth)?
        };
        self.works.push(work);
        self.members.push(members);
        Ok(())
    }

    fn other(&mut self, site: &Site<'_>, model: &Model, tree: &Tree, depth: usize) -> Answer<Work> {
        let copied = matches!(tree, Tree::Loop(l) if l.marks.unit.is_some());
        let (ring, scope) = (self.product.ring + 1, self.product.scope + 1);
        if let (Tree::Loop(l), true) = (tree, depth == scope)
            && l.body.loops().iter().any(|inner| inner.marks.unit.is_some())
        {
            return Ok(Work::Slabs(Slabs::of(site, model, l, &self.product)?));
        }
        if copied {
            let moved = Move::of(site, model, tree, &site.path[depth - 1].name)?;
            if self.product.operand(&moved.buffer).is_some() && depth == ring {
                let moved = moved.filling(site, model, &self.product)?;
                self.fills.push(moved);
                return Ok(Work::Fill(self.fills.len() - 1));
            }
            let staged = self.staging.contains_key(&moved.buffer);
            if staged && depth == scope {
                let whole = self.product.whole();
                return Ok(Work::Drain(moved.draining(site, model, whole, &self.product)?));
            }
            let text = format!("`{}` is no copy of a block program there", moved.statement);
            return Err(misplaced(text).into());
        }
        if let (true, Some(filling)) =
            (depth == ring, Filling::of(site, model, tree, &self.product)?)
        {
            return Ok(Work::Threads(filling));
        }
        if depth == scope && moves::on_threads(tree) {
            let moved = Move::of(site, model, tree, &site.path[depth - 1].name)?;
            if self.staging.contains_key(&moved.buffer) {
                let (whole, product) = (self.product.whole(), &self.product);
                return Ok(Work::Drain(moved.draining(site, model, whole, product)?));
            }
        }
        if depth != scope {
            let names: Vec<String> = tree.statements().iter().map(|n| format!("`{n}`")).collect();
            let text =
                format!("{}: a block program has no place for it at this loop", names.join(", "));
            return Err(misplaced(text).into());
        }
        if self.zeros(site, model, tree)? {
            return Ok(Work::Nothing);
        }
        let elements = Elements::of(site, model, tree, &self.product, None)?;
        for (name, dtype, shape) in elements.staged(site, &self.product)? {
            self.staging.insert(name, (dtype, shape));
        }
        Ok(Work::Elements(elements))
    }

    /// Whether a piece sets the accumulator to zero before the products, which do so themselves.
    fn zeros(&mut self, site: &Site<'_>, model: &Model, tree: &Tree) -> Answer<bool> {
        let first = self.works.is_empty();
        if first && elements::zeros(site, model, tree, &self.product)? {
            self.product.starts_at_zero = true;
            return Ok(true);
        }
        Ok(false)
    }

    /// Both operands are filled, from arrays that the program does not write.
    fn check_fills(&self, site: &Site<'_>) -> Answer<()> {
        let fillings = || self.works.iter().filter_map(Work::threads);
        for operand in &self.product.operands {
            let copies = self.fills.iter().filter(|f| f.buffer == operand.buffer);
            let threads = fillings().filter(|f| f.buffer == operand.buffer);
            if copies.count() + threads.count() != 1 {
                let text = format!(
                    "`{}` is not filled by one copy or statement at the ring's loop",
                    operand.buffer
                );
                let by_warps = self.product.by_warps();
                let (unit, who) =
                    if by_warps { ("async", "they") } else { ("tma", "the copy engine") };
                let help = format!(
                    "write `map {0}.0 to {unit}`, or `map {0}.0 to thread.x` where {who} cannot",
                    operand.buffer
                );
                return Err(Box::new(misplaced(text).help(help)).into());
            }
        }
        let inside: Vec<&Name> = self.members.iter().flatten().collect();
        let written = |array: &Name| {
            site.poly
                .statements
                .iter()
                .any(|s| s.statement.target.array == *array && inside.contains(&&s.statement.name))
        };
        let mut read: Vec<Name> = self.fills.iter().map(|f| f.array.clone()).collect();
        read.extend(fillings().flat_map(Filling::reads));
        match read.iter().find(|array| written(array)) {
            Some(array) => {
                let text = format!("`{array}` is read ahead and written in the same program");
                Err(misplaced(text).into())
            }
            None => Ok(()),
        }
    }
}

impl Cluster {
    /// The loop over the blocks of a cluster, if there is one: the first inside the block loops.
    fn of(site: &Site<'_>, model: &Model) -> Answer<Option<Self>> {
        let inside = |l: &&&TreeLoop| l.marks.unit == Some(Unit::Cluster);
        let found: Vec<&&TreeLoop> = site.path.iter().filter(inside).collect();
        let depth = site.outside;
        let l = match found.as_slice() {
            [] => return Ok(None),
            [l] if l.name == site.path[depth].name => l,
            [first, ..] => {
                return Err(misplaced(format!(
                    "loop `{}` is not the one loop right inside the blocks', as a cluster's is",
                    first.name
                ))
                .into());
            }
        };
        let around = Iterations::of(site.poly, site.tree, &site.path[depth - 1].name);
        let statement = &site.poly.statements[site.statement].statement.name;
        let row = [l.rows[statement].clone()];
        let touched = product::elements(site, model, site.statement, &around, &row)?;
        match around.bounding_box(&touched)? {
            Some(Box_ { offset, extent, .. }) => {
                Ok(Some(Self { depth, first: offset[0].clone(), count: extent[0] }))
            }
            None => {
                Err(misplaced(format!("cluster loop `{}` has no constant length", l.name)).into())
            }
        }
    }
}

/// `e` where each name stands for an expression; other names stay.
fn put(e: &Affine, names: &[Name], values: &[Affine]) -> Answer<Affine> {
    let lookup =
        |v: &str| names.iter().position(|n| &**n == v).and_then(|at| values.get(at).cloned());
    Ok(e.substitute(&lookup)?)
}
