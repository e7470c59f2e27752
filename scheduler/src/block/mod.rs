//! Schedule -> block program: statements on tensor cores, with copies by the copy engine.
//!
//! In: a poly and a legal tree in which three loops of one statement or several are `tensorize`d.
//! Out: a kernel whose launches for their nests are block programs; other nests are lowered as
//! always. Requires: the operands of each are staged at one loop, but for those that stay on the
//! chip ([`held`]), its accumulator at a loop around it. Those of one launch are inside the same
//! loops mapped to blocks, and one program.
//! Keeps: nothing here knows what is computed. Tiles are the boxes that accesses touch, an index is
//! an instruction's `m`, `n` or `k` by the accesses it appears in, and what runs where follows from
//! which buffers a statement touches. What a box holds beyond what the statement touches is shown
//! to be outside the arrays, where the copy engine gives zero, or never used.
//! Why here: isl has the footprints; the loops around the program are isl's as well ([`skeleton`]).
//!
//! Who runs what: what fills operands is the producer's, everything else the consumers'. Each
//! iteration of the loop where the operands are staged has a slot of a ring; a barrier pair per
//! slot says when it is full and when it is empty.

mod ascending;
mod boxes;
mod chosen;
mod combined;
mod combining;
mod consumer;
mod determined;
mod digits;
mod elements;
mod epilogue;
pub(crate) mod factor;
pub(crate) mod filler;
mod filling;
mod held;
mod joint;
mod lasting;
mod leaving;
mod masked;
mod moves;
pub(crate) mod multiplied;
mod operand;
mod pairs;
mod partial;
mod pieces;
pub(crate) mod pingpong;
mod producer;
mod product;
mod roles;
mod rounds;
mod scaled;
mod skeleton;
mod slabs;
pub(crate) mod streaming;
mod sums;
pub(crate) mod taking;
mod tensor_memory;
mod totals;
mod warp_steps;
mod warps;

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result, Source};
use warploom_ir::dtype::DType;
use warploom_ir::kernel::Kernel;
use warploom_ir::schedule::{Poly, Tree, TreeLoop, Unit};
use warploom_ir::target::Place;

use crate::deps::{LIMIT, with_source};
use crate::footprint::{Box_, Iterations};
use crate::poly_isl::Model;
use crate::steps::ancestors;
use crate::trouble::Trouble;

use chosen::Chosen;
use elements::Elements;
use filling::Filling;
use moves::Move;
use pingpong::Pong;
use product::Product;
use slabs::Slabs;
use streaming::Streamed;
use taking::Taken;

pub(crate) use warps::fragment_parts;

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
pub(crate) fn lower(model: &Model, tree: &Tree, source: &Source, limit: u32) -> Result<Kernel> {
    let poly = &*model.poly;
    let plans = Plan::all(model, tree, source, limit)?;
    streaming::check(tree, &plans).map_err(|d| with_source(d, source))?;
    let (mut reduced, mut order) = (poly.clone(), tree.clone());
    for plan in &plans {
        (reduced, order) = skeleton::reduced(&reduced, &order, plan)?;
    }
    let kernel = crate::lower::generated(Some(model), &reduced, &order, source, limit)?;
    skeleton::completed(kernel, poly, &plans).map_err(|d| with_source(d, source))
}

/// Where a tensorized statement stands.
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
    /// What the program's products add to.
    accumulators: Vec<Name>,
}

/// A piece of work of the program, which runs once in each iteration of its loop.
enum Work {
    /// A tensorized statement.
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

    fn elements(&self) -> Option<&Elements> {
        match self {
            Self::Elements(elements) => Some(elements),
            Self::Product
            | Self::Fill(_)
            | Self::Threads(_)
            | Self::Drain(_)
            | Self::Slabs(_)
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
    /// Its place among the programs of the tree.
    number: usize,
    products: Vec<Product>,
    fills: Vec<Move>,
    works: Vec<Work>,
    /// The product that each piece of work belongs to: the one it is, whose operand it fills, or
    /// whose sums it uses.
    owners: Vec<usize>,
    /// The statements of each piece of work; none of what writes parts of tiles.
    members: Vec<Vec<Name>>,
    /// The loops outside the program.
    outside: BTreeSet<Name>,
    /// The product whose accumulator stands outermost: a tile of the program is one of its.
    root: usize,
    /// The place in the products' paths of the loop over the blocks of a cluster.
    cluster: Option<Cluster>,
    /// The loop mapped to blocks whose iterations blocks take.
    taken: Option<Taken>,
    /// The loop mapped to blocks whose iterations, and parts of their sums, blocks share out.
    streamed: Option<Streamed>,
    /// The loop whose iterations two groups of warpgroups take in turn.
    pong: Option<Pong>,
    /// Under which condition a tile is made, if data leave out some.
    chosen: Option<Chosen>,
    /// Buffers that elements are written to before they are drained.
    staging: BTreeMap<Name, Staged>,
}

/// A buffer that elements of an accumulator are written to.
struct Staged {
    dtype: DType,
    shape: Vec<i64>,
    /// The product whose elements they are.
    of: usize,
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
    /// All tensorized statements, in the tree's order, those of each launch together. They stand
    /// inside the same blocks.
    fn all(poly: &'a Poly, tree: &'a Tree, source: &'a Source) -> Result<Vec<Vec<Self>>> {
        let marked = |s: &Name| ancestors(tree, s).iter().any(|l| l.marks.tensor.is_some());
        let mut out: Vec<Vec<Self>> = Vec::new();
        for name in tree.statements().iter().filter(|s| marked(s)) {
            let one = Self::of(poly, tree, source, name)?;
            let Some(launch) = out.iter_mut().find(|l| l[0].launch() == one.launch()) else {
                out.push(vec![one]);
                continue;
            };
            let block = |site: &Self| &site.path[site.outside - 1].name;
            if block(&launch[0]) != block(&one) {
                let refusal = misplaced(format!(
                    "`{}` and `{name}` are tensorized in different blocks of one launch, which has \
                     one block program",
                    launch[0].name()
                ));
                let help = "fuse them: `fuse-at` computes a product inside the loops of another; \
                            or `distribute` the loops around both";
                return Err(Box::new(refusal.help(help)));
            }
            launch.push(one);
        }
        for launch in &mut out {
            let accumulators: Vec<Name> = launch.iter().map(|s| s.target().clone()).collect();
            launch.iter_mut().for_each(|site| site.accumulators.clone_from(&accumulators));
        }
        Ok(out)
    }

    /// One tensorized statement, before it is known what the others of its launch add to.
    fn of(poly: &'a Poly, tree: &'a Tree, source: &'a Source, name: &Name) -> Result<Self> {
        let path = ancestors(tree, name);
        let Some(last) = path.iter().rposition(|l| on_blocks(l)) else {
            let refusal = misplaced(format!("`{name}` is tensorized outside blocks"));
            let help = "map loops around it to blocks: `map m.0 to block.y`";
            return Err(Box::new(refusal.help(help)));
        };
        let (statement, outside) = (place_of(poly, name), last + 1);
        Ok(Self { poly, tree, source, statement, path, outside, accumulators: Vec::new() })
    }

    /// The outermost loop mapped to blocks: its launch.
    fn launch(&self) -> &Name {
        let first = self.path.iter().find(|l| on_blocks(l));
        &first.expect("tensorized statements are in blocks").name
    }

    /// What the statement adds to.
    fn target(&self) -> &'a Name {
        &self.poly.statements[self.statement].statement.target.array
    }

    /// The tensorized statement's name.
    fn name(&self) -> &'a Name {
        &self.poly.statements[self.statement].statement.name
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

/// Whether iterations of a loop are blocks.
const fn on_blocks(l: &TreeLoop) -> bool {
    matches!(l.marks.map, Some(Place::Block(_)))
}

/// The place of a statement of the tree in its poly.
fn place_of(poly: &Poly, name: &Name) -> usize {
    let found = poly.statements.iter().position(|s| s.statement.name == *name);
    found.expect("a tree's statements are the poly's")
}

impl Plan {
    /// The programs of a tree, in its order.
    fn all(model: &Model, tree: &Tree, source: &Source, limit: u32) -> Result<Vec<Self>> {
        let launches = Site::all(&model.poly, tree, source).map_err(|d| with_source(d, source))?;
        let plan = |(number, sites): (usize, &Vec<Site<'_>>)| {
            Ok(Self { number, ..Self::of(sites, model, source, limit)? })
        };
        launches.iter().enumerate().map(plan).collect()
    }

    fn of(sites: &[Site<'_>], model: &Model, source: &Source, limit: u32) -> Result<Self> {
        let make = || -> Answer<Self> {
            let ctx = model.ctx.clone();
            let made = || {
                let mut padded = false;
                for site in sites {
                    padded |= model.unguarded(site.statement)?.is_some();
                }
                // where guards leave out iterations, zeros may take their place: of those that
                // are zeros alone, and of a sum's that are not the same for all of a tile, only if
                // they cannot be left out
                match padded.then(|| Self::make(sites, model, true)) {
                    Some(Ok(plan)) if plan.masks() || plan.adds_zeros(sites, model)? => {
                        Ok(Self::make(sites, model, false).unwrap_or(plan))
                    }
                    Some(Ok(plan)) => Ok(plan),
                    Some(Err(_)) | None => Self::make(sites, model, false),
                }
            };
            ctx.with_deadline(LIMIT, || ctx.with_quota(limit, made))
        };
        let explained = make().map_err(|t: Trouble| t.explain("planning the block program"));
        explained.map_err(|d| with_source(d, source))
    }

    fn make(sites: &[Site<'_>], model: &Model, padded: bool) -> Answer<Self> {
        let mut products = Vec::new();
        for site in sites {
            let mut product = Product::of(site, model)?;
            if padded && model.unguarded(site.statement)?.is_some() {
                product.pad_ring(site, model)?;
            }
            product.even_ring(site, model)?;
            products.push(product);
        }
        let cluster = Cluster::of(&sites[0], model)?;
        let depth = cluster.as_ref().map(|c| c.depth);
        for (product, site) in products.iter_mut().zip(sites) {
            product.run(site, model, depth, true)?;
        }
        if products.iter().any(|product| !product.agrees(&products[0])) {
            // a loop that two products share is left out for both or for none
            for (product, site) in products.iter_mut().zip(sites) {
                product.run(site, model, depth, false)?;
            }
        }
        let scopes = products.iter().enumerate().map(|(p, product)| (product.scope, p));
        let outside = sites[0].path[..sites[0].outside].iter().map(|l| l.name.clone()).collect();
        let mut plan = Self {
            number: 0,
            fills: Vec::new(),
            works: Vec::new(),
            owners: Vec::new(),
            members: Vec::new(),
            outside,
            root: scopes.min().map_or(0, |(_, p)| p),
            cluster,
            taken: Taken::of(&sites[0])?,
            streamed: None,
            pong: Pong::of(&sites[0])?,
            chosen: None,
            staging: BTreeMap::new(),
            products,
        };
        plan.check_products(sites)?;
        plan.collect(sites, model)?;
        plan.choose(sites, model)?;
        plan.check_fills(sites)?;
        for (p, site) in sites.iter().enumerate() {
            plan.mask(p, site, model)?;
        }
        for (p, site) in sites.iter().enumerate() {
            plan.check_padding(p, site, model)?;
        }
        plan.check_warps()?;
        plan.check_tensor_memory()?;
        plan.check_pair()?;
        plan.check_taken()?;
        plan.check_pingpong()?;
        plan.stream(sites)?;
        Ok(plan)
    }

    /// The product whose accumulator stands outermost.
    fn main(&self) -> &Product {
        &self.products[self.root]
    }

    /// The product that a buffer is an operand of.
    fn multiplying(&self, buffer: &str) -> Option<usize> {
        self.products.iter().position(|p| p.operand(buffer).is_some())
    }

    /// Whether results leave as boxes that all teams have written: the accumulator's rows and
    /// columns are not the last two dimensions of theirs, or threads share out the copy.
    fn joint(&self) -> bool {
        let threads = self.works.iter().any(|w| matches!(w, Work::Drain(m) if m.threads()));
        let product = self.main();
        let matrix = product.dims().is_some_and(|dims| {
            let last = [product.rank - 2, product.rank - 1];
            last.iter().all(|d| dims.contains(d))
        });
        threads || !self.staging.is_empty() && !matrix
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
        match around.box_around(model, site.tree, site.statement, &row)? {
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
