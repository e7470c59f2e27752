//! Register tiles: array elements that a loop updates in every iteration stay in registers.
//!
//! In: a loop and its body. Out: the elements whose addresses do not change in the loop and that
//! no other access in it can touch. They are loaded before the loop and stored after it; inside,
//! their accesses go to a stack slot that LLVM turns into registers.
//! Requires: the loop runs at least once where the slots are opened (the caller's guard).
//! Keeps: an array with one access that cannot be told apart from a tile is left in memory.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Index, KernelNode, Store, Typed, TypedKind};
use warploom_ir::nest::{AssignOp, Order};

use super::emit::{Counted, Emitter, Expansion};
use super::lin::{Atom, Env, Lin};
use super::memory::mem_elem;

/// Most elements groups kept at once.
const MAX_TILES: usize = 256;

/// Which elements: an array, an index per dimension (with lanes in the last), and how many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TileKey {
    /// The array.
    pub(crate) array: Name,
    /// One index per dimension.
    pub(crate) dims: Vec<Lin>,
    /// Lanes.
    pub(crate) width: u32,
    /// Partial results of a reduction over the lanes, to be combined into one element.
    pub(crate) partial: Option<(AssignOp, DType)>,
}

/// A tile's stack slot.
#[derive(Clone, Debug)]
pub(crate) struct Tile {
    /// Its address.
    pub(crate) slot: String,
}

/// How a store in lanes is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreForm {
    /// One lane.
    Scalar,
    /// Neighbouring elements at once.
    Vector,
    /// All lanes reduce to one element, in a fixed tree.
    Reduce,
    /// All lanes are computed at once and written one by one, each to an element of its own.
    Scatter,
    /// One lane after another.
    Lanes,
}

/// One access in a loop's body.
struct Use {
    key: TileKey,
    write: bool,
    /// Not in every iteration, or not one run of neighbours.
    unfit: bool,
}

/// How this store is carried out in `width` lanes.
pub(crate) fn form(s: &Store<Index>, env: &Env, width: u32) -> StoreForm {
    if width == 1 {
        return StoreForm::Scalar;
    }
    let dims: Vec<Lin> = s.indices.iter().map(|i| Lin::of(i, env)).collect();
    match contiguous(&dims) {
        Some(1) => StoreForm::Vector,
        Some(0) => {
            let free = s.op.is_update()
                && s.order != Order::Serial
                && s.dtype == s.value.dtype
                && s.dtype.compute_type() == s.dtype
                && s.dtype != DType::Bool
                && !reads(&s.value, &s.array)
                && !s.guard.as_ref().is_some_and(|g| reads(g, &s.array));
            if free { StoreForm::Reduce } else { StoreForm::Lanes }
        }
        Some(_) | None => {
            let moves = |d: &Lin| d.lane_stride().is_some_and(|stride| stride != 0);
            let apart = s.guard.is_none() && dims.iter().any(moves);
            if apart { StoreForm::Scatter } else { StoreForm::Lanes }
        }
    }
}

/// The distance of neighbouring lanes in elements, where only the last index differs by lane.
pub(crate) fn contiguous(dims: &[Lin]) -> Option<i64> {
    let Some((last, rest)) = dims.split_last() else { return Some(0) };
    if rest.iter().any(Lin::has_lane) {
        return None;
    }
    last.lane_stride()
}

fn reads(value: &Typed<Index>, array: &str) -> bool {
    let mut found = false;
    walk(value, &mut |a, _| found |= &**a == array);
    found
}

/// Calls `f` on every array element read.
fn walk(value: &Typed<Index>, f: &mut dyn FnMut(&Name, &[Index])) {
    match &value.kind {
        TypedKind::Literal(_) | TypedKind::Index(_) => {}
        TypedKind::Read { array, indices } => f(array, indices),
        TypedKind::Unary(_, a) | TypedKind::Bitcast(a) | TypedKind::Convert { value: a, .. } => {
            walk(a, f);
        }
        TypedKind::Binary(_, a, b) => {
            walk(a, f);
            walk(b, f);
        }
        TypedKind::Fma(a, b, c) | TypedKind::Select(a, b, c) => {
            walk(a, f);
            walk(b, f);
            walk(c, f);
        }
    }
}

/// Everything a loop's body touches.
struct Collector<'a, 'k> {
    emitter: &'a Emitter<'k>,
    uses: Vec<Use>,
    /// Variables of loops that stay loops.
    bound: BTreeSet<Name>,
    failed: bool,
}

impl Collector<'_, '_> {
    fn nodes(&mut self, nodes: &[KernelNode], env: &Env, width: u32, always: bool) {
        for node in nodes {
            if self.failed || self.uses.len() > 16 * MAX_TILES {
                self.failed = true;
                return;
            }
            match node {
                KernelNode::Store(s) => self.store(s, env, width, always),
                KernelNode::Device(_) => self.failed = true,
                KernelNode::If(_, a, b) => {
                    self.nodes(a, env, width, false);
                    self.nodes(b, env, width, false);
                }
                KernelNode::Loop(l) => {
                    let mut inner = env.clone();
                    match self.emitter.expand(l, env, width) {
                        Expansion::Copies(copies) => {
                            for (value, width) in copies {
                                inner.insert(l.var.clone(), value);
                                self.nodes(&l.body, &inner, width, always);
                            }
                        }
                        Expansion::Loops(loops) => {
                            for c in loops {
                                let runs = c.trip.as_constant().is_some_and(|n| n > 0);
                                self.bound.insert(c.var.clone());
                                inner.insert(c.var.clone(), c.inside());
                                self.nodes(&l.body, &inner, c.width, always && runs);
                            }
                        }
                        Expansion::Parallel(_) => self.failed = true,
                    }
                }
                KernelNode::Local(l) => {
                    // its elements do not outlive the body, so they are no tiles of this loop
                    let before = self.uses.len();
                    self.nodes(&l.body, env, width, always);
                    let inside = self.uses.split_off(before);
                    self.uses.extend(inside.into_iter().filter(|u| u.key.array != l.name));
                }
            }
        }
    }

    fn store(&mut self, s: &Store<Index>, env: &Env, width: u32, always: bool) {
        let dims: Vec<Lin> = s.indices.iter().map(|i| Lin::of(i, env)).collect();
        let form = form(s, env, width);
        let key = |dims: Vec<Lin>, width, partial| TileKey {
            array: s.array.clone(),
            dims,
            width,
            partial,
        };
        match form {
            StoreForm::Scalar => self.push(key(dims, 1, None), true, !always),
            StoreForm::Vector => self.push(key(dims, width, None), true, !always),
            StoreForm::Reduce => {
                self.push(key(dims, width, Some((s.op, s.dtype))), true, !always);
            }
            StoreForm::Scatter | StoreForm::Lanes => {
                for lane in 0..i64::from(width) {
                    let dims = dims.iter().map(|d| d.in_lane(lane)).collect();
                    self.push(key(dims, 1, None), true, !always);
                }
            }
        }
        let lanes = form == StoreForm::Lanes;
        let mut read = |array: &Name, indices: &[Index]| {
            let dims: Vec<Lin> = indices.iter().map(|i| Lin::of(i, env)).collect();
            let key = |dims, width| TileKey { array: array.clone(), dims, width, partial: None };
            if lanes {
                for lane in 0..i64::from(width) {
                    let dims = dims.iter().map(|d| d.in_lane(lane)).collect();
                    self.push(key(dims, 1), false, !always);
                }
                return;
            }
            match contiguous(&dims) {
                Some(0) => self.push(key(dims, 1), false, !always),
                Some(1) => self.push(key(dims, width), false, !always),
                Some(_) | None => self.push(key(dims, width), false, true),
            }
        };
        walk(&s.value, &mut read);
        if let Some(guard) = &s.guard {
            walk(guard, &mut read);
        }
    }

    fn push(&mut self, key: TileKey, write: bool, unfit: bool) {
        self.uses.push(Use { key, write, unfit });
    }
}

/// Whether two keys of one array share no element.
fn disjoint(a: &TileKey, b: &TileKey) -> bool {
    let range = |stride: i64, k: &TileKey| {
        let lanes = if k.partial.is_some() { 0 } else { i64::from(k.width) - 1 };
        stride * lanes
    };
    a.dims.iter().zip(&b.dims).any(|(x, y)| {
        let (Some(sx), Some(sy)) = (x.lane_stride(), y.lane_stride()) else { return false };
        let Some(d) = y.in_lane(0).difference(&x.in_lane(0)) else { return false };
        // elements x: 0..=range, y: d..=d+range; strides are 0 or 1
        d > range(sx, a) || d + range(sy, b) < 0
    })
}

impl Emitter<'_> {
    /// The tiles of a loop about to be written.
    pub(crate) fn plan_tiles(&self, c: &Counted, body: &[KernelNode]) -> Vec<TileKey> {
        let mut env = self.env.clone();
        env.insert(c.var.clone(), c.inside());
        let bound = BTreeSet::from([c.var.clone()]);
        let mut collector = Collector { emitter: self, uses: Vec::new(), bound, failed: false };
        collector.nodes(body, &env, c.width, true);
        if collector.failed {
            return Vec::new();
        }
        let Collector { uses, bound, .. } = collector;
        let mut arrays: BTreeMap<Name, Vec<Use>> = BTreeMap::new();
        for u in uses {
            arrays.entry(u.key.array.clone()).or_default().push(u);
        }
        let open: BTreeSet<&Name> = self.tiles.keys().map(|k| &k.array).collect();
        let mut plan = Vec::new();
        for (array, uses) in arrays {
            if open.contains(&array) || !uses.iter().any(|u| u.write) {
                continue;
            }
            let moves =
                |lin: &Lin| lin.any_atom(&|a| matches!(a, Atom::Var(n) if bound.contains(n)));
            if uses.iter().any(|u| u.unfit || u.key.dims.iter().any(moves)) {
                continue;
            }
            let keys: BTreeSet<TileKey> = uses.into_iter().map(|u| u.key).collect();
            let apart = keys.len() <= MAX_TILES
                && keys
                    .iter()
                    .enumerate()
                    .all(|(i, a)| keys.iter().skip(i + 1).all(|b| disjoint(a, b)));
            if apart {
                plan.extend(keys);
            }
        }
        plan
    }

    /// Loads tiles into stack slots, to which their accesses go from here on.
    pub(crate) fn open_tiles(&mut self, plan: Vec<TileKey>) -> Vec<TileKey> {
        for key in &plan {
            let dtype = self.buffers[&key.array].dtype;
            let elem = mem_elem(dtype);
            let first = match key.partial {
                Some((op, dtype)) => {
                    let identity = super::expr::identity(op, dtype);
                    self.f.splat(&identity, key.width)
                }
                None => self.load_memory(&key.array, &key.dims, key.width),
            };
            let slot = self.f.alloca(elem, key.width, 1, 64);
            self.f.line(&format!("store {}, ptr {slot}, align 64", first.arg()));
            self.tiles.insert(key.clone(), Tile { slot });
        }
        plan
    }

    /// Writes tiles back.
    pub(crate) fn close_tiles(&mut self, plan: Vec<TileKey>) {
        for key in plan {
            let tile = self.tiles.remove(&key).expect("opened before");
            let elem = mem_elem(self.buffers[&key.array].dtype);
            let ty = super::build::ty(elem, key.width);
            let load = format!("load {ty}, ptr {}, align 64", tile.slot);
            let value = self.f.def(elem, key.width, &load);
            match key.partial {
                Some((op, dtype)) => {
                    let one = self.reduce(op, dtype, value);
                    self.combine_element(&key.array, &key.dims, op, dtype, &one);
                }
                None => self.store_memory(&key.array, &key.dims, &value, None),
            }
        }
    }
}
