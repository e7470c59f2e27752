//! The roles of a block program whose sums are in tensor memory: one warp fills the operands'
//! buffers, one thread multiplies, four warps store results.
//!
//! In: the loops that isl made, with pieces of work as leaves. Out: the program.
//! Keeps: tile `t`, counted over all loops of the program, accumulates in copy `t mod copies` of
//! the tensor memory. `done` tells that its products are over, `free` that all its sums have been
//! loaded; with two copies results of one tile are stored while the next one is multiplied. An
//! operand's slot is released by a commit, when the instructions that read it are done.
//! Why here: who multiplies and who stores are two roles, where on registers they are one.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::instruction::Part;
use warploom_ir::instruction::tensor_memory::{COLUMNS, LANES};
use warploom_ir::kernel::device::{
    Barrier, Block, Device, Fragment, Role, Slice, Tensor, WARP, WARPGROUP,
};
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, LoopMode, Store};

use super::chosen::Made;
use super::elements::Elements;
use super::epilogue::{Held, unroll};
use super::roles::{
    Program, Scope, add, call, iteration, number, one, parity, remainder, slot, tile, unused, var,
};
use super::skeleton::{holds, work_of};
use super::slabs::Slabs;
use super::{Plan, Work, misplaced, unfit};
use crate::index::simplify;

/// Most columns that a thread loads at once: so many registers hold them.
const LOADED: i64 = 32;
/// Copies of the accumulator where they fit: one that is multiplied, one that is stored.
const COPIES: i64 = 2;

/// The accumulator in tensor memory and its barriers.
pub(super) struct Memory {
    buffer: Name,
    done: Name,
    free: Name,
    copies: i64,
    /// Buffers of the scales of both factors, where there are some.
    scales: Vec<Name>,
}

/// A loop from 0.
fn repeat(name: &Name, count: i64, body: Vec<KernelNode>) -> KernelNode {
    KernelNode::Loop(KernelLoop {
        label: name.clone(),
        var: name.clone(),
        lower: Index::Const(0),
        upper: Index::Const(count),
        step: 1,
        mode: LoopMode::Serial,
        body,
    })
}

/// A loop over parts of something; none where there is one part.
fn over(name: &Name, count: i64, body: Vec<KernelNode>) -> Vec<KernelNode> {
    if count == 1 { body } else { vec![repeat(name, count, body)] }
}

/// `size` times the number of a part, where there are several.
fn start(name: &Name, count: i64, size: i64) -> Index {
    let at = if count == 1 { Index::Const(0) } else { var(name) };
    simplify(&Index::Mul(size, Box::new(at)))
}

const fn whole(extent: i64) -> Slice {
    Slice { start: Index::Const(0), extent: Some(extent), step: 1 }
}

const fn single(start: Index) -> Slice {
    Slice { start, extent: None, step: 1 }
}

impl Plan {
    /// Whether the sums can be in tensor memory, where the statement's instruction has them there.
    pub(super) fn check_tensor_memory(&self) -> Result<()> {
        let product = self.main();
        if !product.matrix.tensor {
            return Ok(());
        }
        let [rows, columns] = product.fragment;
        let all = rows / LANES * columns;
        let scales = product.scale_columns();
        if all + scales > COLUMNS {
            let beside = if scales > 0 { format!(", its scales {scales}") } else { String::new() };
            return Err(unfit(format!(
                "the sums of a tile take {all} columns of tensor memory{beside}, and {COLUMNS} \
                 exist: take a smaller tile"
            )));
        }
        let at = self.works.iter().position(|w| matches!(w, Work::Product)).unwrap_or(0);
        let reads = |w: &Work| matches!(w, Work::Elements(_) | Work::Drain(_) | Work::Slabs(_));
        if !product.starts_at_zero || self.works[..at].iter().any(reads) {
            let refusal = unfit("sums in tensor memory start at zero, and these do not");
            let help = "sum into a temporary that is set to zero, and add it to the rest after";
            return Err(Box::new(refusal.help(help)));
        }
        let changes =
            |e: &Elements| e.statements.iter().any(|i| i.store.array == product.accumulator);
        let changed = |w: &Work| w.elements().is_some_and(changes);
        if self.works.iter().any(|w| w.slabs().is_some()) && self.works.iter().any(changed) {
            let text = "results leave in slabs, and another statement changes the sums first";
            return Err(misplaced(text));
        }
        Ok(())
    }
}

impl<'a> Program<'a> {
    /// The program that runs these nodes.
    pub(super) fn with_tensor_memory(mut self, nodes: &[KernelNode]) -> Result<Device> {
        let product = self.product();
        let again = self.answers.is_some() || self.repeated(nodes);
        let tensors = self.accumulator(again);
        let store = self.storing(nodes)?;
        let load = self.loading_all(nodes)?;
        let loaders = if self.fills_itself() { self.fillers() } else { 1 };
        let multiply = self.multiplying(nodes)?;
        // the first role's warps reach all lanes: their numbers are 0 to 3
        let role =
            |name: &str, warps, body| Role { name: name.into(), warps, registers: None, body };
        let mut roles = vec![
            role("store", WARPGROUP, store),
            role("load", loaders, load),
            role("multiply", 1, multiply),
        ];
        let memory = self.memory();
        let mut barriers = self.ring(self.product().stages);
        let slots = memory.copies;
        barriers.push(Barrier { name: memory.done.clone(), slots, count: 1 });
        if again {
            // every thread that has loaded its part
            let count = WARPGROUP * WARP * product.matrix.blocks;
            barriers.push(Barrier { name: memory.free.clone(), slots, count });
        }
        debug_assert_eq!(product.teams, 1, "refused where the statement is looked at");
        let (cluster, mut shared) = (self.cluster(), self.shared()?);
        self.asks(&mut shared, &mut barriers, &mut roles);
        Ok(Device::Block(Block { cluster, shared, tensors, barriers, roles }))
    }

    /// What the warps that store results do.
    fn storing(&mut self, nodes: &[KernelNode]) -> Result<Vec<KernelNode>> {
        let ends = self.answers.is_some() || self.ends_behind(nodes);
        let mut out = self.in_tiles(nodes, |p, nodes, scope| {
            Ok([p.consumer(nodes, scope, Self::stored, true)?, Vec::new()])
        })?;
        if ends && self.drains() {
            out.push(one(vec![call("tma.wait.read", vec![number(0)])]));
        }
        Ok(out)
    }

    /// What the warps that fill operands' buffers do.
    fn loading_all(&mut self, nodes: &[KernelNode]) -> Result<Vec<KernelNode>> {
        self.in_tiles(nodes, |p, nodes, scope| {
            let loads = p.loading(nodes, scope)?;
            let last = match p.releasing() {
                1 => Vec::new(),
                _several => vec![p.tail(nodes, scope)?],
            };
            Ok([loads, last])
        })
    }

    /// What the thread that multiplies does, and its warp.
    fn multiplying(&mut self, nodes: &[KernelNode]) -> Result<Vec<KernelNode>> {
        self.in_tiles(nodes, |p, nodes, scope| {
            let products = p.consumer(nodes, scope, Self::multiplied, false)?;
            Ok([vec![one(p.by_first(products))], Vec::new()])
        })
    }

    /// What a role does for all tiles of the block, those that it takes and those that data choose.
    fn in_tiles(
        &mut self,
        nodes: &[KernelNode],
        make: impl FnOnce(&mut Self, &[KernelNode], &Scope) -> Result<Made>,
    ) -> Result<Vec<KernelNode>> {
        if self.answers.is_none() {
            return self.in_chosen(nodes, make);
        }
        let (scope, taken) = self.taking(nodes);
        let [body, last] = make(self, nodes, &scope)?;
        Ok(self.in_taken(taken, body, last))
    }

    /// Waits until every slot is released for the last time: commits of other blocks arrive at this
    /// block's barriers, which must still be there.
    fn tail(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<KernelNode> {
        let all = self.all_slices(nodes, scope)?;
        let later = unused("tail", self.taken);
        let q = add(all, var(&later));
        let wait = vec![slot(self.empty(), self.slot_of(&q)), self.parity(&q, 1)];
        let body = vec![call("mbarrier.wait", wait)];
        Ok(one(vec![repeat(&later, self.product().stages, body)]))
    }

    /// Whether a block goes through several tiles.
    pub(super) fn repeated(&self, nodes: &[KernelNode]) -> bool {
        let product = |w: usize| matches!(self.plan.works[w], Work::Product);
        let tiles = |n: &KernelNode| match n {
            KernelNode::Loop(l) => self.product().scopes().contains(&l.label) && holds(n, &product),
            KernelNode::If(..)
            | KernelNode::Local(_)
            | KernelNode::Store(_)
            | KernelNode::Device(_) => false,
        };
        nodes.iter().any(tiles)
    }

    /// Names the accumulator and its barriers, and gives its buffer and those of scales.
    fn accumulator(&mut self, repeated: bool) -> Vec<Tensor> {
        let product = self.product();
        let [rows, columns] = product.fragment;
        let all = rows / LANES * columns;
        let room = (COLUMNS - product.scale_columns()) / all;
        let copies = if repeated { COPIES.min(room) } else { 1 };
        let buffer = unused("sums", self.taken);
        let (done, free) = (unused("done", self.taken), unused("free", self.taken));
        let shape = vec![copies, rows / LANES, LANES, columns];
        let dtype = product.matrix.dtype(Part::D);
        let mut tensors = vec![Tensor { name: buffer.clone(), dtype, shape }];
        tensors.extend(self.scale_tensors());
        let scales = tensors[1..].iter().map(|t| t.name.clone()).collect();
        self.memory = Some(Memory { buffer, done, free, copies, scales });
        tensors
    }

    /// The buffers of scales in tensor memory.
    pub(super) fn scale_buffers(&self) -> &[Name] {
        self.memory.as_ref().map_or(&[], |m| &m.scales)
    }

    fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("named before any role is made")
    }

    /// One tile for the thread that multiplies.
    fn multiplied(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        let t = self.count(scope)?;
        let memory = self.memory();
        let (copies, at) = (memory.copies, remainder(&t, memory.copies));
        let done = slot(&memory.done, at.clone());
        let mut out = Vec::new();
        if !scope.around.is_empty() {
            let wait = vec![slot(&memory.free, at), parity(&t, copies, 1)];
            out.push(call("mbarrier.wait", wait));
        }
        out.extend(self.products(nodes, scope, [scope.around.len(); 2])?);
        out.push(self.finished(done));
        Ok(out)
    }

    /// One iteration of the ring, for the thread that multiplies.
    pub(super) fn issued(&mut self, scope: &Scope, from: usize) -> Result<Vec<KernelNode>> {
        let q = self.count(scope)?;
        let at = self.slot_of(&q);
        let mut tiles = scope.clone();
        tiles.around.truncate(from);
        let t = self.count(&tiles)?;
        let first = iteration(&scope.around[from..]);
        let memory = self.memory();
        let (buffer, copy) = (memory.buffer.clone(), remainder(&t, memory.copies));
        let accumulator = |at: Vec<Slice>| {
            let [rows, columns] = <[Slice; 2]>::try_from(at).expect("rows and columns");
            let block = simplify(&Index::FloorDiv(Box::new(rows.start), LANES));
            let at = vec![single(copy.clone()), single(block), whole(LANES), columns];
            tile(&buffer, at, false)
        };
        let wait = vec![slot(self.full(), at.clone()), self.parity(&q, 0)];
        let mut out = vec![call("mbarrier.wait", wait)];
        out.push(call("tcgen05.fence.after", Vec::new()));
        out.extend(self.scales_copied(&at));
        out.extend(self.unrolled(&at, &[], &first, (&accumulator, None)));
        let empty = slot(self.empty(), at);
        out.push(self.committed(empty));
        Ok(out)
    }

    /// One tile for the warps that store results.
    fn stored(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let again = !scope.around.is_empty();
        let t = self.count(scope)?;
        let memory = self.memory();
        let (copies, copy) = (memory.copies, remainder(&t, memory.copies));
        let free = slot(&memory.free, copy.clone());
        let wait = vec![slot(&memory.done, copy.clone()), parity(&t, copies, 0)];
        let mut body = vec![call("mbarrier.wait", wait), call("tcgen05.fence.after", Vec::new())];
        let drains = plan.works.iter().any(|w| matches!(w, Work::Drain(_)));
        if again && drains {
            body.push(one(vec![call("tma.wait.read", vec![number(0)])]));
            body.push(call("sync", Vec::new()));
        }
        let works: Vec<(&Work, &Store<Index>)> = (nodes.iter())
            .filter_map(|node| match node {
                KernelNode::Store(s) => Some((&plan.works[work_of(s)?], s)),
                KernelNode::Loop(_)
                | KernelNode::If(..)
                | KernelNode::Local(_)
                | KernelNode::Device(_) => None,
            })
            .collect();
        let elements: Vec<(&Elements, Vec<Index>)> = (works.iter())
            .filter_map(|(work, store)| Some((work.elements()?, self.values(scope, store))))
            .collect();
        let slabs = works.iter().filter_map(|(work, store)| Some((work.slabs()?, *store)));
        let slabs: Vec<(&Slabs, &Store<Index>)> = slabs.collect();
        if !elements.is_empty() {
            body.extend(self.parts(&elements, &copy));
        }
        for (slabs, store) in slabs {
            let values = self.values(scope, store);
            let before = match slabs.count % slabs.stages {
                0 => Index::Const(0),
                _left => simplify(&Index::Mul(slabs.count, Box::new(t.clone()))),
            };
            body.extend(self.slabs_of_lanes(slabs, &values, [&copy, &before]));
        }
        if again {
            body.push(call("tcgen05.fence.before", Vec::new()));
            body.push(self.told_first(free));
        }
        body.extend(self.drains_of(&works, scope));
        if !again && plan.works.iter().any(|w| matches!(w, Work::Slabs(_))) {
            body.push(one(vec![call("tma.wait.read", vec![number(0)])]));
        }
        Ok(body)
    }

    /// The copies of a tile's results out of the block.
    fn drains_of(&mut self, works: &[(&Work, &Store<Index>)], scope: &Scope) -> Vec<KernelNode> {
        let (joint, again) = (self.plan.joint(), !scope.around.is_empty());
        let mut out = Vec::new();
        for (work, store) in works {
            let Work::Drain(copy) = work else { continue };
            let (values, drained) = (self.values(scope, store), !out.is_empty());
            if !joint {
                out.extend(self.drain(copy, &values, drained, again));
                continue;
            }
            if !drained {
                out.push(call("fence.async", Vec::new()));
                out.push(call("sync", Vec::new()));
            }
            if copy.threads() {
                out.push(self.threads_leave(copy, &values));
                continue;
            }
            let mut stores = vec![self.box_leaves(copy, &values), call("tma.commit", Vec::new())];
            if !again {
                stores.push(call("tma.wait.read", vec![number(0)]));
            }
            out.push(one(stores));
        }
        out
    }

    /// Columns that a thread loads at once, of so many.
    fn width(columns: i64) -> i64 {
        if columns % LOADED == 0 { LOADED } else { LOADED / 2 }
    }

    /// A fragment with some columns of a block of lanes, loaded, and what is done with it.
    fn loaded(
        &self,
        [copy, block, column]: [Index; 3],
        width: i64,
        body: Vec<KernelNode>,
    ) -> KernelNode {
        let product = self.product();
        let name = format!("tcgen05.ld.32x32b.x{width}");
        let to = tile(&self.fragment(), vec![whole(LANES), whole(width)], false);
        let columns = Slice { start: column, extent: Some(width), step: 1 };
        let at = vec![single(copy), single(block), whole(LANES), columns];
        let from = tile(&self.memory().buffer, at, false);
        let mut all = vec![call(&name, vec![to, from]), call("tcgen05.wait.ld", Vec::new())];
        all.extend(body);
        Device::Fragment(Fragment {
            name: self.fragment(),
            dtype: product.matrix.dtype(Part::D),
            shape: [LANES, width],
            layout: format!("{name}.d").into(),
            body: all,
        })
        .into()
    }

    /// Statements over all elements of a tile, some columns after others.
    fn parts(&mut self, elements: &[(&Elements, Vec<Index>)], copy: &Index) -> Vec<KernelNode> {
        let [rows, columns] = self.product().fragment;
        let width = Self::width(columns);
        let (blocks, parts) = (rows / LANES, columns / width);
        let (block, part) = (unused("lanes", self.taken), unused("part", self.taken));
        let (row, column) = (start(&block, blocks, LANES), start(&part, parts, width));
        let mut body = Vec::new();
        for (elements, values) in elements {
            body.push(self.elements(elements, values, [row.clone(), column.clone()]));
        }
        let at = [copy.clone(), start(&block, blocks, 1), column];
        let loaded = vec![self.loaded(at, width, body)];
        // columns that are several dimensions are no sum of a part's and an element's place: where
        // both are constant, so is each of them
        let digits = self.product().sides[1].alone().is_none();
        let all = match digits && parts > 1 {
            true => vec![unroll(&part, parts, loaded)],
            false => over(&part, parts, loaded),
        };
        over(&block, blocks, all)
    }

    /// Results that leave in slabs of columns; so many slabs left `before`.
    fn slabs_of_lanes(
        &mut self,
        slabs: &Slabs,
        coordinates: &[Index],
        [copy, before]: [&Index; 2],
    ) -> Vec<KernelNode> {
        let [rows, _] = self.product().fragment;
        let width = Self::width(slabs.width);
        let (blocks, parts) = (rows / LANES, slabs.width / width);
        let slab = unused("slab", self.taken);
        let (block, part) = (unused("lanes", self.taken), unused("part", self.taken));
        let ring = remainder(&add(before.clone(), var(&slab)), slabs.stages);
        let (row, inside) = (start(&block, blocks, LANES), start(&part, parts, width));
        let first = simplify(&Index::Mul(slabs.width, Box::new(var(&slab))));
        let column = add(first, inside.clone());
        let vars = self.element();
        let place = [
            Index::Const(0),
            ring.clone(),
            add(row.clone(), var(&vars[0])),
            add(inside, var(&vars[1])),
        ];
        let into = Some((&slabs.copy.buffer, place.as_slice()));
        let held = Held { vars, first: [row, column.clone()], part: Vec::new() };
        let stored = self.across(&slabs.elements, coordinates, held, into);
        let at = [copy.clone(), start(&block, blocks, 1), column];
        let loaded = vec![self.loaded(at, width, vec![stored])];
        let mut body = vec![
            one(vec![call("tma.wait.read", vec![number(slabs.stages - 1)])]),
            call("sync", Vec::new()),
        ];
        body.extend(over(&block, blocks, over(&part, parts, loaded)));
        body.push(call("fence.async", Vec::new()));
        body.push(call("sync", Vec::new()));
        let from = vec![single(Index::Const(0)), single(ring), whole(rows), whole(slabs.width)];
        let from = tile(&slabs.copy.buffer, from, false);
        let to = self.outside(&slabs.copy, &slab, slabs, coordinates);
        body.push(one(vec![call("tma.store", vec![to, from]), call("tma.commit", Vec::new())]));
        // a loop even where there is one slab: its number is the loop's variable
        vec![repeat(&slab, slabs.count, body)]
    }
}
