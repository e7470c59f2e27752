//! A schedule for a GPU found automatically: which loops run on blocks and threads.
//!
//! In: a schedule (usually a nest in its own order). Out: the same schedule after `distribute`,
//! `order`, `split`, `reorder`, `unroll` and `map` steps; its script replays without this module.
//! Keeps: always legal, always compiles. A nest's independent loops run on blocks and threads, as
//! many as can be moved outermost; the one along which most accesses are contiguous runs along the
//! threads of a warp. Where none can, the host runs the outermost loop and the nests inside are
//! mapped; `host` finds an order in which that leaves much to run at once. Where an access of a
//! reduction does not move with the second loop, threads compute several rows and columns at once.
//! Everything else is serial inside a thread; a nest without independent loops runs as one thread.

use warploom_ir::affine::{Atom, Name};
use warploom_ir::diag::Result;
use warploom_ir::kernel::{Index, Kernel, KernelNode, LoopMode};
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Poly, Tree, TreeLoop};
use warploom_ir::target::{Axis, Place, Target};

use super::holes::Hole;
use super::tiles::{Stride, extent, own_chain, stride};
use super::{Auto, Choices, CpuOptions, Explored, children};
use crate::lower::lower_within;
use crate::model::Machine;
use crate::steps::ancestors;
use crate::steps::stage::accesses;
use crate::{Schedule, launches};

/// Where products are multiplied by pairs of blocks, on a GPU that has such instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paired {
    /// Where the performance model predicts that it is faster.
    Predicted,
    /// Wherever tiles allow it.
    Always,
    /// Nowhere.
    Never,
}

/// What a GPU schedule is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuOptions {
    /// Threads along the contiguous loop where it is the only one.
    pub line: i64,
    /// Threads along the contiguous loop where there is a second one.
    pub columns: i64,
    /// Threads along the second loop.
    pub rows: i64,
    /// Iterations of each of the two loops that one thread runs where that saves loads.
    pub tile: i64,
    /// The GPU, whose matrix instructions may be used.
    pub target: Target,
    /// Its multiprocessors.
    pub multiprocessors: i64,
    /// Whether products may run on tensor cores.
    pub tensor_cores: bool,
    /// Where pairs of blocks multiply together.
    pub paired: Paired,
}

impl GpuOptions {
    /// For a GPU that is known by its target alone: the largest of its kind.
    #[must_use]
    pub fn of(target: Target) -> Self {
        let multiprocessors = match target {
            Target::Cpu | Target::Sm80 => 108,
            Target::Sm86 => 84,
            Target::Sm89 => 142,
            Target::Sm90a => 132,
            Target::Sm100a | Target::Sm103a => 148,
            Target::Sm120 => 170,
        };
        Self { target, multiprocessors, ..Self::default() }
    }

    /// What the performance model knows of the GPU; none of the processor.
    pub(super) fn machine(&self) -> Option<Machine> {
        let machine = Machine::of(self.target)?;
        Some(Machine { multiprocessors: self.multiprocessors as f64, ..machine })
    }
}

impl Default for GpuOptions {
    fn default() -> Self {
        let (target, multiprocessors) = (Target::Sm80, 108);
        Self {
            line: 128,
            columns: 32,
            rows: 8,
            tile: 4,
            target,
            multiprocessors,
            tensor_cores: true,
            paired: Paired::Predicted,
        }
    }
}

/// Operations of isl in which loops must be generated for an order that is not the text's.
pub(super) const LOWER: u32 = 25_000_000;

/// Most iterations of a loop of the host that become launches one by one.
const REPEATED: i64 = 8;

/// Most threads along one loop, and more than a loop in tiles has.
const MAX_THREADS: i64 = 256;

/// Most blocks along y and z.
const MAX_BLOCKS: i64 = 65535;

/// The schedule with steps for a GPU added.
///
/// # Errors
/// `E0601` when isl takes too long.
pub fn auto_gpu(schedule: &Schedule, options: &GpuOptions) -> Result<Schedule> {
    Ok(auto_gpu_lowered(schedule, options)?.0)
}

/// [`auto_gpu`], and the kernel of the schedule where it was made to see whether it can be: what
/// lowering would give.
///
/// # Errors
/// As [`auto_gpu`].
pub fn auto_gpu_lowered(
    schedule: &Schedule,
    options: &GpuOptions,
) -> Result<(Schedule, Option<Kernel>)> {
    let mut auto = Auto::new(schedule, &CpuOptions::default(), &Choices::default());
    auto.exploring = false;
    auto.for_gpu(options)?;
    Ok(auto.with_kernel())
}

/// [`auto_gpu`] with sizes that the caller chooses.
pub(crate) fn auto_gpu_with(
    schedule: &Schedule,
    options: &GpuOptions,
    choices: &Choices,
) -> Result<Explored> {
    let mut auto = Auto::new(schedule, &CpuOptions::default(), choices);
    auto.for_gpu(options)?;
    Ok(Explored { schedule: auto.at, holes: auto.holes })
}

/// The schedule with each nest's independent loops on blocks and threads, in the order of the text
/// and without tensor cores: legal for every nest, and found in a fraction of the time.
///
/// # Errors
/// `E0601` when isl takes too long.
pub fn plain_gpu(schedule: &Schedule, options: &GpuOptions) -> Result<Schedule> {
    let mut auto = Auto::new(schedule, &CpuOptions::default(), &Choices::default());
    auto.map_tree(&schedule.tree().clone(), options)?;
    Ok(auto.at)
}

/// Whether a statement is in a nest that runs on tensor cores.
pub(super) fn tensorized(tree: &Tree, statement: &Name) -> bool {
    let inside = |l: &TreeLoop| l.body.loops().iter().any(|inner| inner.marks.tensor.is_some());
    ancestors(tree, statement).iter().find(|l| l.marks.map.is_some()).is_some_and(|top| inside(top))
}

/// A loop of a nest's chain.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: Name,
    /// Iterations, where known.
    pub(super) extent: Option<i64>,
    pub(super) free: bool,
    /// Its iterations are phases, each of them launches of the host.
    pub(super) phase: bool,
    /// How many accesses are contiguous along it, less four times those that jump.
    pub(super) contiguous: i64,
}

/// Loops of a nest by what becomes of them, outermost first.
struct Plan {
    /// Run on blocks and threads; the first along the threads of a warp, at most three.
    mapped: Vec<Line>,
    /// Serial, independent.
    serial: Vec<Name>,
    /// Serial, in their order.
    rest: Vec<Name>,
    /// Threads compute several iterations of the first two.
    tiled: bool,
}

impl Auto {
    /// Everything for a GPU.
    fn for_gpu(&mut self, options: &GpuOptions) -> Result<()> {
        let start = self.at.clone();
        if options.tensor_cores {
            self.on_tensor_cores(options);
            self.products_on_tensor_cores(&start, options)?;
        }
        if self.at.tree().statements().iter().all(|s| tensorized(self.at.tree(), s)) {
            return Ok(());
        }
        self.privatise();
        self.rows_on_blocks()?;
        self.distribute(false);
        if !self.mapped() {
            self.components()?;
            self.copies()?;
            self.recalls(options)?;
        }
        self.parts_on_blocks()?;
        self.rows_on_blocks()?;
        let text = self.at.clone();
        // an order of all statements would undo what is mapped
        let changed = !self.mapped() && self.order_for_host(options)?;
        self.map_tree(&self.at.tree().clone(), options)?;
        if changed && !self.launchable() {
            self.at = text;
            self.map_tree(&self.at.tree().clone(), options)?;
        }
        self.loads_ahead()?;
        Ok(())
    }

    /// Maps the loops of each nest; where none of a nest's outer loops can be, the host runs the
    /// outermost and those inside are mapped.
    pub(super) fn map_tree(&mut self, tree: &Tree, options: &GpuOptions) -> Result<()> {
        for nest in children(tree) {
            match nest {
                Tree::Loop(l) if l.marks.map.is_some() => {}
                Tree::Loop(l) if is_mapped(&l) => self.map_tree(&l.body, options)?,
                Tree::Loop(l) if !self.map_nest(&l, options)? => {
                    if divides(&l) && self.length(&l)?.is_some_and(|n| n <= REPEATED) {
                        // launches whose bounds are those of one iteration alone
                        self.step(StepKind::Unroll(Ref::from(l.name.clone())));
                    }
                    self.map_tree(&l.body, options)?;
                }
                Tree::Loop(_) | Tree::Statement(_) => {}
                Tree::Sequence(_) => self.map_tree(&nest, options)?,
            }
        }
        Ok(())
    }

    /// Whether some loop runs on blocks or threads.
    fn mapped(&self) -> bool {
        self.at.tree().loops().iter().any(|l| l.marks.map.is_some())
    }

    /// Whether loops can be generated in time, and each launch's threads have constant bounds and
    /// are as few as the tiles ask for.
    pub(super) fn launchable(&self) -> bool {
        let (tree, nest) = (self.at.tree(), self.at.nest());
        let Ok(kernel) = lower_within(self.at.poly(), tree, &nest.source, LOWER) else {
            return false;
        };
        let fixed = nest.params.iter().filter_map(|p| Some((p.name.clone(), p.value?)));
        launches(&kernel.bind(&fixed.collect())).body.iter().all(is_launch)
    }

    /// Maps the loops of one nest, as many as can be; false where none can.
    fn map_nest(&mut self, top: &TreeLoop, options: &GpuOptions) -> Result<bool> {
        let (mut chain, single) = self.chain(top)?;
        if chain.iter().any(|l| l.phase) {
            return Ok(false);
        }
        if let Some(name) = &single
            && (self.transposed(name)?
                || self.lines(name)?
                || self.guarded_sums(name)?
                || self.in_tiles(name)?)
        {
            return Ok(true);
        }
        self.coalesced(&mut chain);
        let leading = chain.iter().take_while(|l| l.free).count();
        let all: Vec<usize> = (0..chain.len()).filter(|k| chain[*k].free).collect();
        let first: Vec<usize> = (0..leading).collect();
        for free in [all, first] {
            for tiled in [true, false] {
                let plan = plan(&chain, &free, tiled && single.is_some());
                let reuse = || single.as_ref().is_some_and(|s| self.reuse(s, &plan));
                if plan.mapped.is_empty() || plan.tiled && !reuse() {
                    continue;
                }
                let before = self.at.clone();
                if self.carry_out(&plan, options) {
                    self.sums_in_registers(&top.body.statements());
                    return Ok(true);
                }
                self.at = before;
            }
        }
        Ok(false)
    }

    /// Keeps what a thread sums up in a register, where a statement reads other elements of the
    /// same array: a compiler that knows less about them would store each partial sum.
    fn sums_in_registers(&mut self, names: &[Name]) {
        for name in names {
            let tree = self.at.tree().clone();
            let around = ancestors(&tree, name);
            let Some(s) = self.at.poly().statement(name).map(|s| s.statement.clone()) else {
                return;
            };
            let Some(last) = around.iter().rposition(|l| l.marks.map.is_some()) else { return };
            let still = |l: &&TreeLoop| {
                let iter = l.rows.get(name).and_then(|row| row.as_var());
                !l.marks.unroll && iter.is_some_and(|i| stride(&s.target, i) == Stride::None)
            };
            let alone = accesses(&s, &s.target.array).len() == 1;
            if !alone && s.op.is_update() && around[last + 1..].iter().any(still) {
                self.sum_in_register(&around[last].name.clone(), &s.target.array);
            }
        }
    }

    /// Keeps what the statements below a thread's loop write to an array in registers.
    fn sum_in_register(&mut self, at: &Name, array: &Name) {
        let (before, poly) = (self.at.clone(), self.at.poly().clone());
        let old = self.at.tree().statements();
        let below = self.at.tree().find(at).map(|l| l.body.statements()).unwrap_or_default();
        let writes =
            |n: &&Name| poly.statement(n).is_some_and(|s| s.statement.target.array == *array);
        let first = |n: &Name| Ref::from(Name::from(format!("{n}.0")));
        let readers = below.iter().filter(writes).map(first).collect();
        let step = StepKind::Stage {
            array: Ref::from(array.clone()),
            readers,
            at: Some(Ref::from(at.clone())),
            name: None,
            layout: Vec::new(),
            pad: 0,
            across: Vec::new(),
        };
        if !self.step(step) {
            return;
        }
        let tree = self.at.tree().clone();
        let copies = tree.statements().into_iter().filter(|s| !old.contains(s));
        let mut loops = copies.flat_map(|c| own_chain(&tree, &c));
        if !loops.all(|l| self.step(StepKind::Unroll(Ref::from(l.name)))) {
            self.at = before;
        }
    }

    /// Makes one of the outermost independent loops while there are more than places for them.
    fn coalesced(&mut self, chain: &mut Vec<Line>) {
        while chain.iter().take_while(|l| l.free).count() > 3 {
            let [outer, inner, ..] = chain.as_slice() else { return };
            let extent = outer.extent.zip(inner.extent).and_then(|(a, b)| a.checked_mul(b));
            let most = chain.iter().map(|l| l.contiguous).max();
            let along = |l: &Line| Some(l.contiguous) == most;
            if along(outer) || along(inner) || extent.is_none_or(|n| n > MAX_BLOCKS) {
                return;
            }
            let name: Name = format!("{}_{}", outer.name, inner.name).replace('.', "_").into();
            let step = StepKind::Coalesce {
                outer: Ref::from(outer.name.clone()),
                inner: Ref::from(inner.name.clone()),
                name: Some(Ref::from(name.clone())),
            };
            if !self.step(step) {
                return;
            }
            chain.splice(
                ..2,
                [Line { name, extent, free: true, phase: false, contiguous: i64::MIN }],
            );
        }
    }

    /// The perfectly nested loops from `top`, and the statement where there is only one.
    pub(super) fn chain(&mut self, top: &TreeLoop) -> Result<(Vec<Line>, Option<Name>)> {
        let poly = self.at.poly().clone();
        let tree = self.at.tree().clone();
        let mut out = Vec::new();
        let mut at = top;
        loop {
            let phase = divides(at);
            let free = !phase && self.session.deps(&self.at)?.independent(&tree, &at.name)?;
            let (extent, contiguous) = measure(&poly, &tree, at);
            let extent = if extent.is_some() { extent } else { self.length(at)? };
            out.push(Line { name: at.name.clone(), extent, free, phase, contiguous });
            match &*at.body {
                Tree::Loop(l) => at = l,
                Tree::Statement(name) => return Ok((out, Some(name.clone()))),
                Tree::Sequence(_) => return Ok((out, None)),
            }
        }
    }

    /// Whether reads of a statement stay in place along one of the first two mapped loops, while
    /// some loop that is not mapped runs.
    fn reuse(&self, statement: &Name, plan: &Plan) -> bool {
        let (poly, tree) = (self.at.poly(), self.at.tree());
        let (Some(s), [x, y, ..]) = (poly.statement(statement), plan.mapped.as_slice()) else {
            return false;
        };
        let row = |l: &Line| tree.find(&l.name)?.rows.get(statement)?.as_var().cloned();
        let (Some(x), Some(y)) = (row(x), row(y)) else { return false };
        let reads = s.statement.value.reads();
        let still = |iter| reads.iter().any(|a| stride(a, iter) == Stride::None);
        !plan.rest.is_empty() && s.statement.op.is_update() && still(&x) && still(&y)
    }

    /// Carries out a plan; false where one of its steps is refused.
    fn carry_out(&mut self, plan: &Plan, options: &GpuOptions) -> bool {
        let (mut blocks, mut threads, mut inner) = (Vec::new(), Vec::new(), Vec::new());
        let options = &self.block_sizes(plan, options);
        let near = plan.mapped.iter().any(|l| l.contiguous > 0);
        let sizes = match plan.mapped.len() {
            1 => vec![(options.line, 1)],
            // rows of threads that touch nothing in common make bounds complicated for nothing
            _ if !near => vec![(options.columns, 1)],
            _ => vec![(options.columns, options.tile), (options.rows, options.tile)],
        };
        for (k, l) in plan.mapped.iter().enumerate() {
            let Some(&(wide, tile)) = sizes.get(k) else {
                blocks.push((l.name.clone(), l.extent));
                continue;
            };
            let tile = if plan.tiled { tile } else { 1 };
            let wide = l.extent.map_or(wide, |e| fitting(wide, (e + tile - 1) / tile));
            let Some((block, point)) = self.halves(&l.name, wide * tile) else { return false };
            blocks.push((block, l.extent.map(|e| (e + wide * tile - 1) / (wide * tile))));
            if tile == 1 {
                threads.push(point);
                continue;
            }
            let Some((outer, point)) = self.halves(&point, tile) else { return false };
            threads.push(outer);
            inner.insert(0, point);
        }
        let mut order: Vec<Name> = blocks.iter().rev().map(|(n, _)| n.clone()).collect();
        order.extend(threads.iter().rev().cloned());
        order.extend(plan.serial.iter().chain(&plan.rest).chain(&inner).cloned());
        self.ordered(&order)
            && self.places(&blocks, &threads)
            && inner.into_iter().all(|l| self.step(StepKind::Unroll(Ref::from(l))))
    }

    /// The sizes of blocks for a plan.
    fn block_sizes(&mut self, plan: &Plan, options: &GpuOptions) -> GpuOptions {
        let (usual, several) = (*options, plan.mapped.len() > 1);
        let Some(name) = plan.mapped.first().map(|l| l.name.clone()) else { return usual };
        if !several {
            let lines = [32, 64, 128, 256, 512];
            let line = self.choose_one(&name, "block", &["line"], usual.line, &lines);
            return GpuOptions { line, ..usual };
        }
        let tiles: &[i64] = if plan.tiled { &[1, 2, 4, 8] } else { &[1] };
        let first = [usual.columns, usual.rows, if plan.tiled { usual.tile } else { 1 }].to_vec();
        let mut others = Vec::new();
        for (columns, rows) in [(16, 8), (16, 16), (32, 1), (32, 2), (32, 4), (32, 8), (32, 16)] {
            others.extend(tiles.iter().map(|tile| vec![columns, rows, *tile]));
        }
        others.extend(tiles.iter().flat_map(|t| [vec![64, 4, *t], vec![128, 2, *t]]));
        let sizes = &["columns", "rows", "tile"];
        match *self.choose(Hole::new(&name, "block", sizes, first, others)) {
            [columns, rows, tile] => GpuOptions { columns, rows, tile, ..usual },
            _ => usual,
        }
    }

    /// The two loops of a split.
    pub(super) fn halves(&mut self, name: &Name, size: i64) -> Option<(Name, Name)> {
        let half = |k: u8| Name::from(format!("{name}.{k}"));
        let step = StepKind::Split { target: Ref::from(name.clone()), size, names: Vec::new() };
        self.step(step).then(|| (half(0), half(1)))
    }

    /// Puts loops of one chain into this order.
    pub(super) fn ordered(&mut self, order: &[Name]) -> bool {
        let now: Vec<Name> = (self.at.tree().loops().iter())
            .map(|l| l.name.clone())
            .filter(|n| order.contains(n))
            .collect();
        let loops = || order.iter().cloned().map(Ref::from).collect();
        now == order || self.step(StepKind::Reorder { loops: loops() })
    }

    /// Maps blocks, the first along x unless another has more than y can have, and threads.
    pub(super) fn places(&mut self, blocks: &[(Name, Option<i64>)], threads: &[Name]) -> bool {
        let many = |b: &(Name, Option<i64>)| b.1.is_some_and(|n| n > MAX_BLOCKS);
        let mut blocks = blocks.to_vec();
        if let Some(k) = blocks.iter().position(many) {
            let long = blocks.remove(k);
            blocks.insert(0, long);
        }
        let axes = [Axis::X, Axis::Y, Axis::Z];
        let blocks = blocks.into_iter().map(|b| b.0).zip(axes.map(Place::Block));
        let threads = threads.iter().cloned().zip(axes.map(Place::Thread));
        blocks.chain(threads).all(|(l, place)| self.step(StepKind::Map(Ref::from(l), place)))
    }
}

/// Whether block loops stand outermost in a node's launches, and threads have constant bounds.
fn is_launch(node: &KernelNode) -> bool {
    let all = |nodes: &[KernelNode]| nodes.iter().all(is_launch);
    match node {
        KernelNode::Loop(l) => match l.mode {
            LoopMode::Mapped(Place::Block(_)) => is_block(&l.body),
            LoopMode::Mapped(Place::Thread(_)) => is_phase(node),
            LoopMode::Serial | LoopMode::Parallel | LoopMode::Vector | LoopMode::Unroll => {
                all(&l.body)
            }
        },
        KernelNode::If(_, a, b) => all(a) && all(b),
        KernelNode::Local(_) | KernelNode::Store(_) | KernelNode::Device(_) => true,
    }
}

/// What is inside a block loop: one more, or phases.
fn is_block(body: &[KernelNode]) -> bool {
    match body {
        [KernelNode::Loop(l)] if matches!(l.mode, LoopMode::Mapped(Place::Block(_))) => {
            is_block(&l.body)
        }
        phases => phases.iter().all(is_phase),
    }
}

fn is_phase(node: &KernelNode) -> bool {
    let all = |nodes: &[KernelNode]| nodes.iter().all(is_phase);
    let few = |a: &Index, b: &Index| match (a, b) {
        (Index::Const(a), Index::Const(b)) => b.saturating_sub(*a) <= MAX_THREADS,
        _ => false,
    };
    match node {
        KernelNode::Loop(l) => match l.mode {
            LoopMode::Mapped(Place::Block(_)) => false,
            LoopMode::Mapped(Place::Thread(_)) => {
                let inside = l.body.iter().filter(|n| n.has_mapped()).count();
                let nested = inside == 0 || matches!(&*l.body, [KernelNode::Loop(_)]);
                few(&l.lower, &l.upper) && nested && all(&l.body)
            }
            LoopMode::Serial | LoopMode::Parallel | LoopMode::Vector | LoopMode::Unroll => {
                all(&l.body)
            }
        },
        KernelNode::If(_, a, b) => all(a) && all(b),
        KernelNode::Local(l) => all(&l.body),
        KernelNode::Store(_) | KernelNode::Device(_) => true,
    }
}

/// Whether a loop tells instances apart by a quotient: before tiles are made, phases do.
pub(super) fn divides(l: &TreeLoop) -> bool {
    let quotient = |(a, _): (&Atom, i64)| !matches!(a, Atom::Var(_));
    l.rows.values().any(|row| row.terms().any(quotient))
}

/// Whether a nest runs on blocks or threads already.
pub(super) fn is_mapped(l: &TreeLoop) -> bool {
    Tree::Loop(l.clone()).loops().iter().any(|l| l.marks.map.is_some())
}

/// The least power of two that covers an extent, at most `most`.
pub(super) fn fitting(most: i64, extent: i64) -> i64 {
    std::iter::successors(Some(1_i64), |n| n.checked_mul(2))
        .find(|n| *n >= extent.min(most))
        .map_or(most, |n| n.min(most))
}

/// What becomes of the loops of a chain where `free` are independent.
fn plan(chain: &[Line], free: &[usize], tiled: bool) -> Plan {
    // the contiguous loop first, then the others from the inside
    let x = free.iter().copied().max_by_key(|k| (chain[*k].contiguous, *k));
    let mut order: Vec<usize> = x.into_iter().collect();
    order.extend(free.iter().rev().copied().filter(|k| Some(*k) != x));
    let mut mapped: Vec<Line> = order.iter().map(|k| chain[*k].clone()).collect();
    let serial = mapped.split_off(mapped.len().min(3));
    let serial: Vec<Name> = serial.into_iter().rev().map(|l| l.name).collect();
    let rest = (0..chain.len()).filter(|k| !free.contains(k)).map(|k| chain[k].name.clone());
    Plan { mapped, serial, rest: rest.collect(), tiled }
}

/// A loop's iterations, where known, and how many accesses are contiguous along it.
pub(super) fn measure(poly: &Poly, tree: &Tree, l: &TreeLoop) -> (Option<i64>, i64) {
    let (mut most, mut score) = (Some(1), 0);
    for (name, row) in &l.rows {
        let (Some(s), Some(iter)) = (poly.statement(name), row.as_var()) else {
            most = None;
            continue;
        };
        most = most.zip(extent(poly, s, iter)).map(|(a, b)| a.max(b));
        let skewed = |o: &TreeLoop| o.name != l.name && o.rows[name].coefficient(iter) != 0;
        if ancestors(tree, name).into_iter().any(skewed) {
            // other iterators move too
            score -= 4;
            continue;
        }
        let reads = s.statement.value.reads();
        for access in std::iter::once(&s.statement.target).chain(reads) {
            score += match stride(access, iter) {
                Stride::None => 0,
                Stride::One => 1,
                Stride::Far => -4,
            };
        }
    }
    (most, score)
}
