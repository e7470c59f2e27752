//! Products whose factors are in registers: all warps of a block fill slots of the ring and
//! multiply what is in them.
//!
//! In: the loops that isl made, with pieces of work as leaves. Out: a program of one role. Before
//! the first product of a tile all slots but one are on their way; then, for each slice, the
//! threads wait for their own copies into its slot, meet, start those of the slice that comes
//! `stages - 1` later, and each warp loads fragments and multiplies.
//! Requires: loops inside the accumulator's that are nested in each other and, but for the
//! outermost, of known length.
//! Keeps: the slot that is filled in an iteration is the one of the iteration before, which every
//! warp has read before it came to the meeting. Rows in shared memory are as long as the staged
//! buffer's, so that `pad` says where they lie in its banks.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::instruction::Part;
use warploom_ir::kernel::device::{Across, Block, Device, Fragment, Role, Shared, Slice, Teams};
use warploom_ir::kernel::{
    Condition, Index, KernelLoop, KernelNode, LoopMode, Store, Typed, TypedKind,
};
use warploom_ir::nest::{AssignOp, Order};

use super::epilogue::unroll;
use super::moves::divisor;
use super::operand::Operand as Factor;
use super::product::{Counter, is_counter};
use super::roles::{Program, Scope, add, call, number, remainder, tile, unused, var};
use super::skeleton::{holds, work_of};
use super::{Answer, Plan, Work, misplaced, unfit};
use crate::index::{difference, replace, simplify, simplify_condition, substitute};

/// Bytes at whose multiples rows in shared memory start.
const ROW: i64 = 16;
/// Bytes of a matrix that `ldmatrix` loads, and most of them at once.
const MATRIX: i64 = 128;
const MATRICES: i64 = 4;

/// The loops of a tile's slices, outermost first, and the pieces of work inside all of them.
struct Slices<'n> {
    loops: Vec<&'n KernelLoop>,
    works: Vec<&'n Store<Index>>,
    /// Iterations of all of them together, and of each of them.
    total: Index,
    lengths: Vec<i64>,
}

impl Plan {
    /// Whether a product of fragments has nothing around it that it cannot have.
    pub(super) fn check_warps(&self) -> Answer<()> {
        if !self.main().by_warps() {
            return Ok(());
        }
        let name = &self.main().instruction;
        if self.cluster.is_some() {
            let text = format!("blocks of a cluster have nothing in common for `{name}`");
            return Err(misplaced(text).into());
        }
        for copy in &self.fills {
            let operand = self.main().operand(&copy.buffer).expect("fills are of operands");
            let dims = operand.sides.each_ref().map(|s| s.alone());
            if dims[0].is_none() || dims[1].is_none_or(|d| d + 1 != operand.extents.len()) {
                let text = format!("the rows of `{}` are no one index of `{name}`", copy.buffer);
                let help = format!("let threads fill it: `map {}.0 to thread.x`", copy.buffer);
                return Err(Box::new(unfit(text).help(help)).into());
            }
        }
        Ok(())
    }
}

impl<'a> Program<'a> {
    /// The program of warps that run these nodes.
    pub(super) fn with_warps(mut self, nodes: &[KernelNode]) -> Result<Device> {
        let body = self.consumer(nodes, &Scope::default(), Self::tile_by_warps, false)?;
        let shared = self.product().operands.iter().map(|o| padded(o, self.product().stages));
        let shared = shared.collect::<Result<Vec<Shared>>>()?;
        let warps = self.product().teams;
        let roles = vec![Role { name: "multiply".into(), warps, registers: None, body }];
        let (cluster, tensors, barriers) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Device::Block(Block { cluster, shared, tensors, barriers, roles }))
    }

    /// One iteration of the accumulator's loop.
    fn tile_by_warps(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let own =
            |w: usize| matches!(plan.works[w], Work::Product | Work::Fill(_) | Work::Threads(_));
        let ring: Vec<KernelNode> = nodes.iter().filter(|n| holds(n, &own)).cloned().collect();
        let mut body = Vec::new();
        if !scope.around.is_empty() {
            // the slots of the tile before have been read
            body.push(call("sync", Vec::new()));
        }
        let mut done = false;
        for node in nodes {
            if holds(node, &own) {
                if !std::mem::replace(&mut done, true) {
                    if self.product().starts_at_zero {
                        body.push(self.zeroed());
                    }
                    body.extend(self.slices(&ring, scope)?);
                }
                continue;
            }
            let KernelNode::Store(store) = node else { continue };
            if let Some(Work::Elements(elements)) = work_of(store).map(|w| &plan.works[w]) {
                let values = self.values(scope, store);
                body.push(self.by_warp(|p| {
                    let first = p.team_starts();
                    vec![p.elements(elements, &values, first)]
                }));
            }
        }
        Ok(vec![self.fragment_of_sums(&self.fragment(), body)])
    }

    /// What each warp does by itself.
    fn by_warp(&mut self, body: impl FnOnce(&mut Self) -> Vec<KernelNode>) -> KernelNode {
        self.team = unused("warp", self.taken);
        let (var, count) = (self.team.clone(), self.product().teams);
        let body = body(self);
        Device::Teams(Teams { var, count, warps: 1, body }).into()
    }

    /// All slices of a tile.
    fn slices(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        let slices = self.nested(nodes, scope)?;
        let stages = self.product().stages;
        let ahead = stages - 1;
        let copies = !self.plan.fills.is_empty();
        let commit = |out: &mut Vec<KernelNode>| {
            if copies {
                out.push(call("cp.async.commit", Vec::new()));
            }
        };
        let wait = |out: &mut Vec<KernelNode>, left: i64| {
            if copies {
                out.push(call("cp.async.wait", vec![number(left)]));
            }
            out.push(call("sync", Vec::new()));
        };
        let mut out = Vec::new();
        if ahead > 0 {
            let name = unused("ahead", self.taken);
            let at = var(&name);
            let mut body = self.filled_slice(&slices, scope, &at, &at);
            if !matches!(slices.total, Index::Const(n) if n >= ahead) {
                body = Self::where_any(&slices, &at, body);
            }
            commit(&mut body);
            out.push(unroll(&name, ahead, body));
        }
        let label = slices.loops.last().map(|l| &l.var);
        let name = unused(label.map_or("slice", |l| l), self.taken);
        let q = var(&name);
        let mut body = Vec::new();
        let later = add(q.clone(), Index::Const(ahead));
        if ahead == 0 {
            body.push(call("sync", Vec::new()));
            body.extend(self.filled_slice(&slices, scope, &q, &Index::Const(0)));
            commit(&mut body);
            wait(&mut body, 0);
        } else {
            wait(&mut body, ahead - 1);
            let at = remainder(&later, stages);
            let next = self.filled_slice(&slices, scope, &later, &at);
            body.extend(Self::where_any(&slices, &later, next));
            commit(&mut body);
        }
        let at = self.slot_of(&q);
        body.push(self.by_warp(|p| p.multiplied_by_warp(&at)));
        out.push(KernelNode::Loop(KernelLoop {
            label: slices.loops.last().map_or_else(|| name.clone(), |l| l.label.clone()),
            var: name,
            lower: Index::Const(0),
            upper: slices.total,
            step: 1,
            mode: LoopMode::Serial,
            body,
        }));
        Ok(out)
    }

    /// The loops of a tile's slices.
    fn nested<'n>(&self, nodes: &'n [KernelNode], scope: &Scope) -> Result<Slices<'n>> {
        let plan = self.plan;
        let own =
            |w: usize| matches!(plan.works[w], Work::Product | Work::Fill(_) | Work::Threads(_));
        let apart = || misplaced("the loops of a tile's slices are not nested in each other");
        let (mut loops, mut nodes): (Vec<&KernelLoop>, _) = (Vec::new(), nodes);
        let works = loop {
            let inside: Vec<&KernelNode> = nodes.iter().filter(|n| holds(n, &own)).collect();
            let store = |n: &&'n KernelNode| match n {
                KernelNode::Store(s) => Some(s),
                KernelNode::Loop(_)
                | KernelNode::If(..)
                | KernelNode::Local(_)
                | KernelNode::Device(_) => None,
            };
            let all: Option<Vec<&Store<Index>>> = inside.iter().map(store).collect();
            match (all, inside.as_slice()) {
                (Some(works), _) => break works,
                (None, [KernelNode::Loop(l)]) if l.step == 1 => {
                    loops.push(l);
                    nodes = &l.body;
                }
                (None, _) => return Err(apart()),
            }
        };
        let mut total = Index::Const(1);
        let mut lengths = Vec::new();
        for (depth, l) in loops.iter().enumerate() {
            match (difference(&l.upper, &l.lower), depth) {
                (Some(n), 0) => {
                    total = Index::Const(n.max(0));
                    lengths.push(n);
                }
                (None, 0) => {
                    let lookup = |n: &str| scope.renamed.get(n).cloned();
                    let [upper, lower] = [&l.upper, &l.lower].map(|e| replace(e, &lookup));
                    total = simplify(&Index::Sub(Box::new(upper), Box::new(lower)));
                    lengths.push(1);
                }
                (Some(n), _) if n > 0 => {
                    total = simplify(&Index::Mul(n, Box::new(total)));
                    lengths.push(n);
                }
                (_, _) => {
                    let text = format!("how often loop `{}` runs is not known", l.label);
                    let help = "fix the sizes: `--size` or `param K = 512`";
                    return Err(Box::new(misplaced(text).help(help)));
                }
            }
        }
        Ok(Slices { loops, works, total, lengths })
    }

    /// The copies and stores of slice `q` into slot `at`.
    fn filled_slice(
        &mut self,
        slices: &Slices<'_>,
        scope: &Scope,
        q: &Index,
        at: &Index,
    ) -> Vec<KernelNode> {
        let plan = self.plan;
        let mut inner = scope.clone();
        let mut around: i64 = slices.lengths.iter().skip(1).product();
        for (depth, l) in slices.loops.iter().enumerate() {
            let mut count = Index::FloorDiv(Box::new(q.clone()), around);
            if depth > 0 {
                count = Index::Mod(Box::new(count), slices.lengths[depth]);
            }
            let lookup = |n: &str| inner.renamed.get(n).cloned();
            let value = add(replace(&l.lower, &lookup), simplify(&count));
            inner.renamed.insert(l.var.clone(), value);
            around /= slices.lengths.get(depth + 1).copied().unwrap_or(1);
        }
        let mut body = Vec::new();
        for store in &slices.works {
            let values = self.values(&inner, store);
            match work_of(store).map(|w| &plan.works[w]) {
                Some(Work::Fill(f)) => {
                    let copy = &plan.fills[*f];
                    let factor = self.product().operand(&copy.buffer);
                    let factor = factor.expect("fills are of operands");
                    body.push(call(&copy.instruction(), copy.matrix(factor, at, &values)));
                }
                Some(Work::Threads(filling)) => body.push(self.share(filling, &values, at)),
                Some(
                    Work::Product
                    | Work::Elements(_)
                    | Work::Drain(_)
                    | Work::Slabs(_)
                    | Work::Nothing,
                )
                | None => {}
            }
        }
        body
    }

    /// What is to be done for slice `q`, where there is such a slice.
    fn where_any(slices: &Slices<'_>, q: &Index, body: Vec<KernelNode>) -> Vec<KernelNode> {
        let last = add(slices.total.clone(), Index::Const(-1));
        match simplify_condition(&Condition::Ge(last, q.clone())) {
            Condition::All(parts) if parts.is_empty() => body,
            there => vec![KernelNode::If(there, body, Vec::new())],
        }
    }

    /// The products of a slot, by one warp.
    fn multiplied_by_warp(&mut self, at: &Index) -> Vec<KernelNode> {
        let product = self.product();
        let mut values: BTreeMap<Name, Index> = self.team_counters().into_iter().collect();
        let (sums, tiles): (Vec<&Counter>, Vec<&Counter>) =
            product.counters.iter().filter(|c| !c.team).partition(|c| c.reduction);
        let around = self.counted(&sums, &mut values);
        let names = [Part::A, Part::B].map(|part| {
            let base = if part == Part::A { "a" } else { "b" };
            unused(&format!("{}_{base}", self.fragment()), self.taken)
        });
        let mut body = Vec::new();
        for (side, name) in names.iter().enumerate() {
            body.extend(self.taken_by_warp(side, name, at, &values));
        }
        let inner = self.counted(&tiles, &mut values);
        let lookup = |n: &str| values.get(n).cloned();
        let start = product.tile.each_ref().map(|e| substitute(e, &lookup));
        let [rows, cols] = product.matrix.extents(Part::D);
        let slice =
            |start: &Index, n: i64| Slice { start: start.clone(), extent: Some(n), step: 1 };
        let k = slice(&Index::Const(0), product.matrix.k);
        let operands = vec![
            tile(&self.fragment(), vec![slice(&start[0], rows), slice(&start[1], cols)], false),
            tile(&names[0], vec![slice(&start[0], rows), k.clone()], false),
            tile(&names[1], vec![slice(&start[1], cols), k], false),
            number(1),
        ];
        body.extend(nest(inner, vec![call(&product.instruction, operands)]));
        for (side, name) in names.into_iter().enumerate().rev() {
            let part = [Part::A, Part::B][side];
            let letter = ["a", "b"][side];
            body = vec![
                Device::Fragment(Fragment {
                    name,
                    dtype: product.matrix.dtype(part),
                    shape: [product.fragment[side], product.matrix.k],
                    layout: format!("{}.{letter}", product.instruction).into(),
                    body,
                })
                .into(),
            ];
        }
        nest(around, body)
    }

    /// Unrolled loops over counters; those that run once are 0.
    fn counted(
        &mut self,
        counters: &[&Counter],
        values: &mut BTreeMap<Name, Index>,
    ) -> Vec<(Name, i64)> {
        let mut loops = Vec::new();
        for counter in counters {
            let value = if counter.extent == 1 {
                Index::Const(0)
            } else {
                let name = unused(&counter.var, self.taken);
                loops.push((name.clone(), counter.extent));
                var(&name)
            };
            values.insert(counter.var.clone(), value);
        }
        loops
    }

    /// Loads a factor's fragment: as matrices where shared memory holds them as they are or in a
    /// way that can be transposed, else element by element.
    fn taken_by_warp(
        &mut self,
        side: usize,
        name: &Name,
        at: &Index,
        values: &BTreeMap<Name, Index>,
    ) -> Vec<KernelNode> {
        let product = self.product();
        let factor = &product.operands[side];
        let size = product.matrix.extents([Part::A, Part::B][side])[0];
        let mine: Vec<&Counter> = (product.counters.iter())
            .filter(|c| !c.team && product.tile[side].vars().contains(&c.var))
            .collect();
        let mut values = values.clone();
        let mut loops = self.counted(&mine, &mut values);
        let own = own(factor);
        let bytes = factor.dtype.size_bytes() as i64;
        let divides = |d: usize, n: i64| divisor(&factor.tile[d].0) % n == 0;
        let matrices = bytes < 8 && (!factor.transposed || bytes == 2);
        let k = product.matrix.k;
        if !matrices || !divides(own[0], 8) || !divides(own[1], ROW / bytes) {
            let body = self.elements_by_warp(side, name, at, &values);
            return nest(loops, vec![body]);
        }
        let mut rows = size;
        let even =
            |c: &&Counter, e: &Affine| e.terms().any(|(atom, n)| n == size && is_counter(atom, c));
        if let (Some(last), Some(counter)) = (loops.last_mut(), mine.last())
            && last.1 % 2 == 0
            && values[&counter.var] == var(&last.0)
            && 2 * size * k * bytes / MATRIX <= MATRICES
            && even(counter, &product.tile[side])
            && even(counter, &factor.tile[own[0]].0)
        {
            rows *= 2;
            last.1 /= 2;
            values.insert(counter.var.clone(), Index::Mul(2, Box::new(var(&last.0))));
        }
        let lookup = |n: &str| values.get(n).cloned();
        let held =
            Slice { start: substitute(&product.tile[side], &lookup), extent: Some(rows), step: 1 };
        let all = Slice { start: Index::Const(0), extent: Some(k), step: 1 };
        let mut from = vec![Slice { start: at.clone(), extent: None, step: 1 }];
        for d in [0, 1] {
            let extent = Some(if d == own[0] { rows } else { k });
            from.push(Slice { start: substitute(&factor.tile[d].0, &lookup), extent, step: 1 });
        }
        let operands =
            vec![tile(name, vec![held, all], false), tile(&factor.buffer, from, factor.transposed)];
        nest(loops, vec![call("ldmatrix", operands)])
    }

    /// Loads a tile of a factor's fragment element by element.
    fn elements_by_warp(
        &mut self,
        side: usize,
        name: &Name,
        at: &Index,
        values: &BTreeMap<Name, Index>,
    ) -> KernelNode {
        let product = self.product();
        let factor = &product.operands[side];
        let [size, k] = product.matrix.extents([Part::A, Part::B][side]);
        let vars = self.element();
        let own = own(factor);
        let lookup = |n: &str| values.get(n).cloned();
        let start = substitute(&product.tile[side], &lookup);
        let mut indices = vec![at.clone()];
        for d in [0, 1] {
            let first = substitute(&factor.tile[d].0, &lookup);
            indices.push(if d == own[0] {
                let inside = add(var(&vars[0]), Index::Mul(-1, Box::new(start.clone())));
                add(first, inside)
            } else {
                add(first, var(&vars[1]))
            });
        }
        let dtype = factor.dtype;
        let kind = TypedKind::Read { array: factor.buffer.clone(), indices };
        let store = Store {
            statement: name.clone(),
            array: name.clone(),
            dtype,
            indices: vars.iter().map(var).collect(),
            op: AssignOp::Set,
            value: Typed { dtype, kind },
            guard: None,
            order: Order::Serial,
            strict: false,
        };
        let part = vec![
            Slice { start, extent: Some(size), step: 1 },
            Slice { start: Index::Const(0), extent: Some(k), step: 1 },
        ];
        let body = vec![KernelNode::Store(store)];
        let (fragment, reduce) = (name.clone(), false);
        Device::Across(Across { vars, fragment, part, reduce, body }).into()
    }
}

/// Which side of a factor's matrix is its own index, and which the summed one: 0 for rows.
const fn own(factor: &Factor) -> [usize; 2] {
    if factor.transposed { [1, 0] } else { [0, 1] }
}

/// Unrolled loops inside each other, the first of them outermost.
fn nest(loops: Vec<(Name, i64)>, body: Vec<KernelNode>) -> Vec<KernelNode> {
    let inside = |body, (name, extent): (Name, i64)| vec![unroll(&name, extent, body)];
    loops.into_iter().rev().fold(body, inside)
}

/// An operand's slots in shared memory, row-major with the staged buffer's padding.
fn padded(factor: &Factor, stages: i64) -> Result<Shared> {
    let bytes = factor.dtype.size_bytes() as i64;
    let mut shape = vec![stages];
    shape.extend(factor.shape());
    let last = shape.last_mut().expect("it has dimensions");
    *last += factor.pad;
    if *last * bytes % ROW != 0 {
        let text = format!(
            "rows of `{}` have {} bytes in shared memory, no multiple of {ROW}",
            factor.buffer,
            *last * bytes
        );
        let help = format!("`pad` them by a multiple of {}", ROW / bytes);
        return Err(Box::new(misplaced(text).help(help)));
    }
    Ok(Shared { name: factor.buffer.clone(), dtype: factor.dtype, shape, panel: None })
}
