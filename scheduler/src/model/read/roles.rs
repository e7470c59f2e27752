//! Block programs as [`Work`]: what the roles of a block do, and which of them the others wait for.
//!
//! In: a block program and its grid. Out: work, and bytes from and to memory.
//! Keeps: roles run at the same time, so that a block's main part is its longest role; what a role
//! that multiplies does besides, between its products, is its epilogue.

mod elements;
mod teams;

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::instruction::fragment::FragmentLayout;
use warploom_ir::instruction::{Action, PAIR, descriptor, find, layout};
use warploom_ir::kernel::device::{
    Block, Call, Choosing, Device, Operand, Role, Shared, Taking, Tile, WARP,
};
use warploom_ir::kernel::{Index, KernelLoop, KernelNode};

use super::super::machine::Machine;
use super::super::work::{LINE, Ring, Rows, Work, arrival, in_turns, uneven};
use super::access::{Env, Pattern, value};
use super::sites::{Site, reads};
use super::{Counted, Launch, Used, depends, iterations, starts};

/// Registers of a thread that nothing redistributes.
const REGISTERS: f64 = 128.0;
/// Schedulers of a multiprocessor, over which warps are dealt.
const SCHEDULERS: f64 = 4.0;
/// Rows, and their bytes, that a warp moves together between fragments and shared memory.
const MATRIX_ROWS: i64 = 8;
const MATRIX_BYTES: i64 = 16;
/// Rows of a box that stand for all of them.
const SOME_ROWS: i64 = 32;

/// What a role does in a block, in clocks.
#[derive(Default)]
struct Tally {
    /// Matrix instructions.
    tensor: f64,
    /// It issues matrix instructions of its own registers, which are loaded step by step.
    by_warps: bool,
    steps: bool,
    /// Bringing slices.
    loads: f64,
    /// The bytes of its first slice.
    first: f64,
    /// Instructions between matrix instructions.
    beside: f64,
    /// Everything else, one after the other.
    serial: f64,
    /// Groups of teams that take iterations in turn.
    groups: f64,
    /// Waits at barriers, and the slots of those at the role's own level.
    waits: f64,
    slots: i64,
    /// Bytes and waits of asynchronous copies by threads, and groups in flight.
    copied: f64,
    turns: f64,
    flying: f64,
    stores: bool,
}

struct Walk<'a, 'k> {
    launch: &'a Launch<'k>,
    block: &'k Block,
    m: &'a Machine,
    env: Env,
    /// Executions after each other, and at the same time by several teams.
    times: f64,
    copies: f64,
    /// Warps of the team, or 0 where one thread runs.
    warps: f64,
    loops: Vec<&'k KernelLoop>,
    fragments: BTreeMap<Name, (FragmentLayout, [i64; 2])>,
    /// Loops around each of them.
    depths: BTreeMap<&'k Name, usize>,
    /// Inside a loop that multiplies.
    hot: bool,
    work: Work,
    tally: Tally,
    sites: Vec<Site<'k>>,
    written: Used,
    /// Sums that are made one after the other, and bytes of them that leave from these buffers.
    tiles: f64,
    left: f64,
    staged: BTreeSet<Name>,
    patterns: BTreeSet<Pattern>,
}

/// The work of a launch whose blocks have roles.
pub(super) fn work<'k>(
    launch: &Launch<'k>,
    block: &'k Block,
    clusters: &[(Name, i64)],
    m: &Machine,
) -> Counted {
    let members: i64 = clusters.iter().map(|c| c.1).product();
    let blocks = (launch.blocks() * members) as f64;
    let resident = resident(block, m);
    let samples = launch.samples();
    let (mut all, mut most) = (Work::of(blocks, resident), 0.0_f64);
    let (mut used, mut patterns) = (Used::new(), BTreeSet::new());
    for (k, number) in samples.iter().enumerate() {
        let mut env = launch.block(*number);
        env.extend(clusters.iter().map(|(name, _)| (name.clone(), 0)));
        let mut walk = Walk {
            launch,
            block,
            m,
            env,
            times: 1.0,
            copies: 1.0,
            warps: 0.0,
            loops: Vec::new(),
            fragments: BTreeMap::new(),
            depths: BTreeMap::new(),
            hot: false,
            work: Work::of(blocks, resident),
            tally: Tally::default(),
            sites: Vec::new(),
            written: Used::new(),
            tiles: 1.0,
            left: 0.0,
            staged: BTreeSet::new(),
            patterns: BTreeSet::new(),
        };
        let one = walk.block();
        most = most.max(one.main + one.epilogue);
        patterns.append(&mut walk.patterns);
        all.add(&one, 1.0 / samples.len() as f64);
        if k == samples.len() / 2 {
            let slots = [blocks.min(m.multiprocessors * resident), m.cache_bytes];
            used = reads(&walk.sites, launch, clusters, slots);
            for (name, (_, bytes)) in walk.written {
                let whole = launch.arrays.get(&name).map_or(0.0, |a| a.bytes);
                used.entry(name).or_insert((0.0, 0.0)).1 += bytes.min(whole);
            }
        }
    }
    all.uneven = most / (all.main + all.epilogue).max(1.0);
    all.fill += if members > 1 { m.fitted.cluster } else { 0.0 };
    Counted { work: all, used, patterns }
}

/// Blocks that a multiprocessor has room for.
pub(super) fn resident(block: &Block, m: &Machine) -> f64 {
    let shared = (m.shared_bytes / (block.bytes().unwrap_or(0) as f64 + 1024.0)).floor();
    let threads = (block.warps() * WARP) as f64;
    let registers = match block.roles.iter().all(|r| r.registers.is_some()) {
        true => {
            block.roles.iter().map(|r| (r.registers.unwrap_or(0) * r.warps * WARP) as f64).sum()
        }
        false => held(block) * threads,
    };
    let columns = block.columns().filter(|c| *c > 0).map_or(f64::MAX, |c| (512 / c) as f64);
    let fits = shared.min((m.registers / registers).floor()).min((m.threads / threads).floor());
    fits.min(columns).max(1.0)
}

/// Registers that a thread of the block has: those of its fragments and some more.
fn held(block: &Block) -> f64 {
    fn most(nodes: &[KernelNode]) -> f64 {
        let of = |node: &KernelNode| match node {
            KernelNode::Loop(l) => most(&l.body),
            KernelNode::If(_, a, b) => most(a).max(most(b)),
            KernelNode::Local(l) => most(&l.body),
            KernelNode::Store(_) => 0.0,
            KernelNode::Device(d) => {
                let own = match &**d {
                    Device::Fragment(f) => {
                        let threads = layout(&f.layout).map_or(WARP, |l| l.n_threads());
                        let bytes = f.shape[0] * f.shape[1] * f.dtype.size_bytes() as i64;
                        (bytes / threads / 4) as f64
                    }
                    Device::Block(_)
                    | Device::Teams(_)
                    | Device::One(_)
                    | Device::Across(_)
                    | Device::Share(_)
                    | Device::Taking(_)
                    | Device::Choosing(_)
                    | Device::Call(_) => 0.0,
                };
                own + d.bodies().into_iter().map(|b| most(b)).fold(0.0, f64::max)
            }
        };
        nodes.iter().map(of).fold(0.0, f64::max)
    }
    let fragments = block.roles.iter().map(|r| most(&r.body)).fold(0.0, f64::max);
    if fragments > 0.0 { (fragments + 40.0).min(255.0) } else { REGISTERS }
}

impl<'k> Walk<'_, 'k> {
    /// All roles, and how they wait for each other.
    fn block(&mut self) -> Work {
        let f = &self.m.fitted;
        let (mut main, mut other, mut loads, mut first) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        let (mut epilogue, mut tiles, mut slots) = (0.0, 1.0_f64, 1);
        let mut groups = 1.0_f64;
        for role in &self.block.roles {
            let t = self.role(role);
            first = first.max(t.first);
            loads = loads.max(t.loads);
            if t.tensor > 0.0 {
                let warps = role.warps as f64;
                let (alone, steps) = if t.steps { (f.alone / warps, f.steps) } else { (0.0, 0.0) };
                let uneven = if t.by_warps { uneven(warps * self.work.resident) } else { 1.0 };
                self.work.tensor += t.tensor * (uneven * (1.0 + steps) - 1.0);
                let bring = if t.turns > 0.0 {
                    first = first.max(t.copied / t.turns);
                    let (slices, bytes) = (t.turns, t.copied / t.turns);
                    Ring { slices, bytes, stages: t.flying + 2.0 }.clocks(self.m)
                } else {
                    0.0
                };
                let busy = t.tensor * (1.0 + alone) + t.waits * f.slice;
                main = main.max(busy.max(t.beside)).max(bring);
                epilogue += t.serial;
                groups = groups.max(t.groups);
            } else if t.stores {
                (other, tiles, slots) = (t.serial, t.waits.max(1.0), t.slots);
            }
        }
        main = main.max(loads);
        let mut work = self.work;
        let exposed = work.written + work.leaving * (1.0 - self.hidden());
        if other == 0.0 {
            epilogue = epilogue.max(exposed);
            (main, epilogue) = in_turns(main, epilogue, [groups, groups * self.tiles]);
        } else {
            other = other.max(work.leaving + work.written);
        }
        // results that another role stores are hidden where it has sums of its own meanwhile
        let (longest, left) = (main.max(other), main.min(other) / tiles);
        (work.main, work.epilogue) = match slots >= 2 || other == 0.0 {
            true => (longest, epilogue + left),
            false => (main, epilogue + other),
        };
        work.fill = f.block + f.cold + arrival(first, self.m);
        work
    }

    /// The share of results that leave while the next tile's sums are made: where there is room for
    /// a whole tile of them in shared memory, so that threads wait for none to have left. Of tiles
    /// in panels the records do not show it: they count as leaving in the open.
    fn hidden(&self) -> f64 {
        let staged = self.block.shared.iter().filter(|s| self.staged.contains(&s.name));
        let plain = staged.filter(|s| s.panel.is_none());
        let room: f64 = plain.filter_map(|s| s.bytes()).map(|b| b as f64).sum();
        let tiles = self.tiles.max(1.0);
        if room * tiles < self.left { 0.0 } else { (tiles - 1.0) / tiles }
    }

    fn role(&mut self, role: &'k Role) -> Tally {
        self.tally = Tally::default();
        (self.times, self.copies, self.warps) = (1.0, 1.0, role.warps as f64);
        self.nodes(&role.body);
        std::mem::take(&mut self.tally)
    }

    fn nodes(&mut self, nodes: &'k [KernelNode]) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) => self.a_loop(l),
                KernelNode::If(c, then, otherwise) => {
                    let env = &self.env;
                    let holds = c.holds(&|n| env.get(n).copied()).unwrap_or(true);
                    self.nodes(if holds { then } else { otherwise });
                }
                KernelNode::Local(l) => self.nodes(&l.body),
                KernelNode::Store(_) => {}
                KernelNode::Device(d) => self.device(d),
            }
        }
    }

    fn a_loop(&mut self, l: &'k KernelLoop) {
        let (times, hot) = (self.times, self.hot);
        let differ = l.body.iter().any(|n| depends(n, &l.var));
        self.hot = hot || l.body.iter().any(multiplies);
        self.loops.push(l);
        for (at, weight) in iterations(l, &self.env, differ) {
            self.env.insert(l.var.clone(), at);
            self.times = times * weight;
            self.nodes(&l.body);
        }
        self.env.remove(&l.var);
        self.loops.pop();
        (self.times, self.hot) = (times, hot);
    }

    fn device(&mut self, device: &'k Device) {
        match device {
            Device::Block(_) => {}
            Device::Teams(t) => self.teams(t),
            Device::One(body) => {
                let warps = std::mem::replace(&mut self.warps, 0.0);
                self.nodes(body);
                self.warps = warps;
            }
            Device::Fragment(f) => {
                self.depths.insert(&f.name, self.loops.len());
                if let Some(layout) = layout(&f.layout) {
                    self.fragments.insert(f.name.clone(), (layout, f.shape));
                }
                if is_sums(&f.layout, f.dtype) {
                    self.tiles = self.tiles.max(self.times);
                }
                self.nodes(&f.body);
            }
            Device::Across(a) => self.across(a),
            Device::Share(s) => self.share(s),
            // of a kernel in which blocks take turns instead (`taken`) and all is chosen (`chosen`)
            Device::Taking(Taking { body, last, .. })
            | Device::Choosing(Choosing { body, last, .. }) => {
                self.nodes(body);
                self.nodes(last);
            }
            Device::Call(c) => self.call(c),
        }
    }

    /// Bytes into or out of shared memory by the team's threads.
    fn through_shared(&mut self, bytes: f64) {
        if self.hot {
            self.work.shared += bytes;
        } else {
            self.work.written += bytes / self.m.shared;
        }
    }

    /// Instructions of each warp of the team: they take their turn at the schedulers, and inside
    /// the role's own time.
    fn instructions(&mut self, each: f64) {
        let f = &self.m.fitted;
        let warps = self.warps.max(1.0);
        self.work.issue += self.times * self.copies * each * warps / self.m.issue;
        let all = warps * self.copies;
        let clocks = self.times * each * (all / SCHEDULERS).ceil().max(f.dependent / 2.0);
        if self.hot {
            self.tally.beside += clocks;
        } else {
            self.tally.serial += clocks;
        }
    }

    fn wait(&mut self, clocks: f64) {
        if !self.hot {
            self.tally.serial += self.times * clocks;
        }
    }

    /// Matrices of eight rows between registers and this tile in shared memory.
    fn matrices(&mut self, shared: Option<&Tile>, load: bool) {
        if let Some(tile) = shared {
            self.matrix_rows(tile, load);
        }
        let bytes = shared.map_or(0.0, |t| self.bytes(t));
        self.through_shared(self.times * self.copies * bytes);
        self.instructions(bytes / 512.0 / self.warps.max(1.0));
    }

    fn call(&mut self, call: &'k Call) {
        let Some(instruction) = find(&call.instruction) else { return };
        let f = self.m.fitted;
        let tile = |k: usize| match call.operands.get(k) {
            Some(Operand::Tile(t)) => Some(t),
            Some(Operand::Value(_)) | None => None,
        };
        let number = |k: usize| match call.operands.get(k) {
            Some(Operand::Value(i)) => Some(value(i, &self.env)),
            Some(Operand::Tile(_)) | None => None,
        };
        match instruction.action {
            Action::Matrix(matrix) => {
                // teams whose fragments are in registers of one warp each run it at the same time
                let count = self.times * self.copies;
                let warps = if matrix.shared { 1.0 } else { self.warps.max(1.0) };
                let m = self.m;
                self.tally.tensor += self.work.multiply(&matrix, count * warps, m);
                if !matrix.shared && !matrix.tensor {
                    // those of factors that outlive a step are loaded while others are multiplied
                    let [sums, factor] = [0, 1].map(|k| self.depths.get(&tile(k)?.array));
                    self.tally.by_warps = true;
                    self.tally.steps |= factor > sums;
                }
            }
            Action::BoxLoad | Action::BoxMulticast | Action::BoxPair => {
                self.load(call, tile(0), tile(1))
            }
            Action::Expect => {
                // the first of a pair announces what comes to both
                let blocks = if self.block.paired() { PAIR } else { 1 };
                let bytes = (number(1).unwrap_or(0) / blocks) as f64;
                let stages = tile(0).map_or(1, |t| self.slots(t)) as f64;
                let ring = Ring { slices: self.times, bytes, stages };
                self.tally.loads += ring.clocks(self.m);
                self.tally.first = self.tally.first.max(bytes);
            }
            Action::CopyAsync(bytes) => self.copy(bytes, tile(0), tile(1)),
            Action::CopyWait if self.hot => {
                self.tally.turns += self.times;
                self.tally.flying = number(0).unwrap_or(0) as f64;
            }
            Action::LoadMatrix => self.matrices(tile(1), true),
            Action::StoreMatrix => self.matrices(tile(0), false),
            Action::BoxStore => self.leave(tile(0), tile(1)),
            Action::BoxCommit => self.wait(f.slab),
            Action::Wait => {
                self.tally.waits += self.times;
                self.tally.slots = self.tally.slots.max(tile(0).map_or(1, |t| self.slots(t)));
            }
            Action::Sync | Action::TensorLoad(_) => self.wait(f.meeting),
            Action::ScaleCopy(_) => self.scales(tile(1)),
            Action::BoxWaitRead
            | Action::CopyWait
            | Action::CopyCommit
            | Action::CopyArrive
            | Action::Arrive
            | Action::ArriveCluster
            | Action::MatrixFence
            | Action::MatrixCommit
            | Action::MatrixWait
            | Action::TensorWait
            | Action::TensorCommit
            | Action::TensorCommitCluster
            | Action::TensorCommitPair
            | Action::TensorBefore
            | Action::TensorAfter
            | Action::Take
            | Action::TakeMulticast
            | Action::Answer
            | Action::ProxyFence
            | Action::Implied => {}
        }
    }

    /// Scales on their way to tensor memory.
    fn scales(&mut self, from: Option<&'k Tile>) {
        let bytes = from.map_or(0.0, |t| self.bytes(t));
        self.through_shared(self.times * self.copies * bytes);
    }

    /// The slots of a barrier.
    fn slots(&self, tile: &Tile) -> i64 {
        self.block.barriers.iter().find(|b| b.name == tile.array).map_or(1, |b| b.slots)
    }

    /// Bits of an element of a shared buffer or array.
    fn bits(&self, name: &Name) -> i64 {
        let shared = self.block.shared.iter().find(|s| s.name == *name);
        let array = || self.launch.arrays.get(name).map(|a| a.bits);
        shared.map(Shared::bits).or_else(array).unwrap_or(32)
    }

    fn bytes(&self, tile: &Tile) -> f64 {
        tile.extents().iter().fold(self.bits(&tile.array) as f64 / 8.0, |n, e| n * *e as f64)
    }

    fn site(&mut self, array: &Name, at: Vec<Index>, bytes: f64) {
        let (loops, fixed) = (self.loops.clone(), self.env.clone());
        let bytes = bytes * self.work.blocks;
        self.sites.push(Site { array: array.clone(), at, loops, fixed, bytes });
    }

    /// Bytes of a row of a box in shared memory.
    fn row(&self, tile: &Tile) -> f64 {
        let panel = self.block.shared.iter().find(|s| s.name == tile.array).and_then(|s| s.panel);
        let last = tile.extents().last().copied().unwrap_or(1) * self.bits(&tile.array) / 8;
        panel.map_or(last, |p| p.min(last)).max(1) as f64
    }

    /// A box by the copy engine.
    fn load(&mut self, call: &Call, to: Option<&'k Tile>, from: Option<&'k Tile>) {
        let (Some(to), Some(from)) = (to, from) else { return };
        let (bytes, row) = (self.bytes(to), self.row(to));
        // a box for several blocks comes once for all; the others bring what this one lacks
        let members = match call.operands.get(3) {
            Some(Operand::Tile(blocks)) => blocks.extents().iter().product::<i64>().max(1),
            Some(Operand::Value(_)) | None => 1,
        } as f64;
        let rows = self.rows(from, self.times * self.copies * bytes / row * members, row);
        let m = self.m;
        self.work.copy(&rows, 1.0 / members, m);
        self.box_row(from, true);
        self.site(&from.array, starts(from), self.times * self.copies * bytes);
    }

    /// Rows of a box of an array, of so many bytes each: of some of them, where they begin and
    /// whether they are inside the array.
    fn rows(&self, tile: &Tile, count: f64, bytes: f64) -> Rows {
        let Some(array) = self.launch.arrays.get(&tile.array) else {
            return Rows::aligned(count, bytes);
        };
        let extents: Vec<i64> = tile.at.iter().map(|s| s.extent.unwrap_or(1)).collect();
        let per_row = (8 * bytes as i64 / array.bits).max(1);
        let (mut inside, mut lines) = (0.0, 0.0);
        for k in 0..SOME_ROWS {
            let mut at = 0;
            let mut within = true;
            for (d, (s, extent)) in tile.at.iter().zip(&extents).enumerate() {
                let last = d + 1 == extents.len();
                let places = if last { (extent / per_row).max(1) } else { *extent };
                // neighbours and rows far from them, along each dimension at another pace
                let place = (k * (1 + 3 * d as i64) + k / 5) % places;
                let index = value(&s.start, &self.env)
                    + if last { place * per_row } else { place * s.step };
                within &= (0..array.shape[d]).contains(&index);
                at = at * array.shape[d] + index;
            }
            if within {
                let first = (at * array.bits / 8).rem_euclid(LINE as i64) as f64;
                inside += 1.0;
                lines += ((first + bytes) / LINE).ceil();
            }
        }
        let share = inside / SOME_ROWS as f64;
        Rows { count: count * share, bytes, lines: if inside > 0.0 { lines / inside } else { 1.0 } }
    }

    /// A row of a box in memory: its first bytes may lie between two sectors only if it is long.
    fn box_row(&mut self, tile: &Tile, read: bool) {
        let bits = self.bits(&tile.array);
        let row = tile.extents().last().map_or(1, |n| n * bits / 8);
        let at = tile.at.last().map_or(0, |s| value(&s.start, &self.env) * bits / 8);
        self.patterns.insert(Pattern::of(&tile.array, false, read, &[at], row));
    }

    /// Eight rows of 16 bytes that a warp loads or stores together.
    fn matrix_rows(&mut self, tile: &Tile, read: bool) {
        let Some(shared) = self.block.shared.iter().find(|s| s.name == tile.array) else { return };
        let first: Vec<i64> = tile.at.iter().map(|s| value(&s.start, &self.env)).collect();
        let Some(row) = first.len().checked_sub(2) else { return };
        let place = |k: i64| {
            let mut at = first.clone();
            at[row] += k;
            let plain = shared.offset(&at);
            shared.panel.map_or(plain, |panel| descriptor::swizzle(plain, panel))
        };
        let addresses: Vec<i64> = (0..MATRIX_ROWS).map(place).collect();
        let pattern = Pattern::of(&tile.array, true, read, &addresses, MATRIX_BYTES);
        self.patterns.insert(pattern);
    }

    /// Chunks that the threads of the team copy.
    fn copy(&mut self, chunk: i64, to: Option<&'k Tile>, from: Option<&'k Tile>) {
        let (Some(to), Some(from)) = (to, from) else { return };
        let bytes = self.bytes(to);
        let all = self.times * self.copies * bytes;
        (self.work.port, self.work.shared) = (self.work.port + all, self.work.shared + all);
        self.work.cache += all * self.work.blocks;
        self.tally.copied += if self.hot { all } else { 0.0 };
        self.instructions(2.0 * bytes / (chunk * WARP) as f64 / self.warps.max(1.0));
        self.site(&from.array, starts(from), all);
    }

    /// A box on its way out.
    fn leave(&mut self, to: Option<&'k Tile>, from: Option<&'k Tile>) {
        let (Some(to), Some(from)) = (to, from) else { return };
        let bytes = self.times * self.copies * self.bytes(to);
        let row = self.row(from);
        let rows = self.rows(to, bytes / row, row);
        self.left += bytes;
        self.staged.insert(from.array.clone());
        let m = self.m;
        self.tally.stores = true;
        self.work.leave(&rows, m);
        self.box_row(to, false);
        self.write(&to.array, bytes);
    }

    fn write(&mut self, array: &Name, bytes: f64) {
        let all = bytes * self.work.blocks;
        self.written.entry(array.clone()).or_insert((0.0, 0.0)).1 += all;
    }
}

/// Whether a node holds a matrix instruction.
fn multiplies(node: &KernelNode) -> bool {
    let any = |nodes: &[KernelNode]| nodes.iter().any(multiplies);
    match node {
        // a loop over tiles is around the sums, not between the products
        KernelNode::Loop(l) => any(&l.body),
        KernelNode::If(_, a, b) => any(a) || any(b),
        KernelNode::Store(_) => false,
        KernelNode::Local(l) => any(&l.body),
        KernelNode::Device(d) => match &**d {
            Device::Call(c) => {
                find(&c.instruction).is_some_and(|i| matches!(i.action, Action::Matrix(_)))
            }
            // sums begin and end inside a loop that holds their fragment
            Device::Fragment(f) if is_sums(&f.layout, f.dtype) => false,
            Device::Block(_)
            | Device::Teams(_)
            | Device::One(_)
            | Device::Fragment(_)
            | Device::Across(_)
            | Device::Share(_)
            | Device::Taking(_)
            | Device::Choosing(_) => d.bodies().into_iter().any(|b| any(b)),
        },
    }
}

/// Whether a fragment holds what matrix instructions add up.
fn is_sums(layout: &Name, dtype: DType) -> bool {
    let Some((name, "d")) = layout.rsplit_once('.') else { return false };
    let action = find(name).map(|i| i.action);
    matches!(action, Some(Action::Matrix(matrix)) if matrix.acc == dtype)
}
