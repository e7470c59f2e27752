//! Guards and stores that the threads of a team share out.
//!
//! In: a [`Share`]. Out: for each thread the pieces that are its own, some at a time: first all
//! loads, from global memory or, for what goes there, from shared memory, then the values and their
//! stores, so that the loads are on their way together. Neighbours are loaded and stored together
//! where their first is at a multiple of their bytes.
//! Keeps: there are no branches between loads: one whose guard is false is not made, or, in
//! an array that is written too, reads the first element, and what depends on it is not used.
//! Why here: the chunks of shared memory are permuted, and a block's place in an array is a long
//! expression, so LLVM does not see what lies side by side.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::expr::Literal;
use warploom_ir::instruction::guarded_load;
use warploom_ir::kernel::device::{Share, WARP};
use warploom_ir::kernel::{Condition, Index, KernelNode, Store, TypedKind};
use warploom_ir::nest::{AssignOp, Role};

use super::deal::Deal;
use super::guards::{terms, together};
use crate::llvm::build::{Function, Value, bits, ty as ty_of};
use crate::llvm::convert::half_elem;
use crate::llvm::emit::{BufferRegs, Emitter};
use crate::llvm::lin::{Cond, Env, Lin};
use crate::llvm::memory::mem_elem;
use crate::llvm::storage::alias;
use crate::llvm::tile::{Tile, TileKey};

/// Most registers of a thread that loads fill which are on their way together.
const AHEAD: i64 = 32;
/// More than what neighbours of a thread are apart.
const FAR: i64 = 1 << 29;
/// Bytes of the widest access.
const WIDE: i64 = 16;

/// A body that is one store, or one where a condition holds and another value else.
struct Filled<'s> {
    condition: Option<&'s Condition>,
    store: &'s Store<Index>,
    otherwise: Option<&'s Store<Index>>,
    /// The elements that the value reads, each once: of the kernel's arrays, or, of a store to
    /// these, of shared buffers without panels.
    reads: Vec<(&'s Name, &'s [Index])>,
    /// The store is to a shared buffer.
    inside: bool,
}

impl Filled<'_> {
    /// Whether it gives an element of an array, or zero.
    fn copies(&self) -> bool {
        let zero = |s: &Store<Index>| match &s.value.kind {
            TypedKind::Literal(Literal::Int(n)) => *n == 0,
            TypedKind::Literal(Literal::Float(x)) => x.to_bits() == 0,
            _other => false,
        };
        let same = self.store.value.dtype == self.store.dtype;
        let read = matches!(self.store.value.kind, TypedKind::Read { .. });
        same && read && self.otherwise.is_none_or(zero)
    }
}

/// An element of a piece.
struct Element {
    /// What the indices are.
    at: Vec<Lin>,
    /// Its condition; none is true.
    cond: Option<Cond>,
    /// That, as an integer (i32) that is at least a constant.
    limit: Option<(Value, i64)>,
    /// What was loaded for it.
    loaded: Vec<(TileKey, Tile)>,
    /// That is zero where the condition does not hold.
    zeroed: bool,
}

/// A vector of neighbours: every how many elements of the piece, and how many.
#[derive(Clone, Copy)]
struct Run {
    step: usize,
    wide: usize,
}

const ALONE: Run = Run { step: 1, wide: 1 };

impl Emitter<'_> {
    /// What the threads of the team share out.
    pub(super) fn share(&mut self, s: &Share) {
        let (warp, lane, threads) = {
            let p = self.state();
            (p.team.warp.clone(), p.lane.clone(), p.team.warps * WARP)
        };
        let first = self.f.bin_int("shl", &warp, 5);
        let thread = self.f.bin("or", &first, &lane);
        let pieces = s.pieces().expect("verified: whole pieces");
        let (rounds, rest) = (pieces / threads, pieces % threads);
        let elements: i64 = s.piece.iter().product();
        let together = (self.ahead(s) / elements).max(1);
        let mut from = 0;
        while from < rounds {
            let to = (from + together).min(rounds);
            self.rounds(s, &thread, threads, from..to);
            from = to;
        }
        if rest > 0 {
            let (yes, end) = (self.f.label("rest"), self.f.label("end"));
            let has = self.f.cmp_int("ult", &thread, rest.into());
            self.f.cond_br(&has, &yes, &end);
            self.f.start(&yes);
            self.rounds(s, &thread, threads, rounds..rounds + 1);
            self.f.br(&end);
            self.f.start(&end);
        }
    }

    /// Most elements of a thread whose loads are on their way together: neighbours of two bytes
    /// share registers, alone each takes one.
    fn ahead(&mut self, s: &Share) -> i64 {
        let Some(filled) = self.filled(&s.body) else { return AHEAD };
        if filled.reads.is_empty() {
            return AHEAD;
        }
        let piece = |(var, wide): (&Name, &i64)| {
            let extent = s.vars.iter().position(|v| v == var).map_or(1, |d| s.extents[d]);
            Lin::default()
                .plus(*wide, &Lin::digit(&format!("piece of {var}").into(), extent / wide))
        };
        let first: Vec<Lin> = s.vars.iter().zip(&s.piece).map(piece).collect();
        let at = |e| first.iter().zip(s.at(0, e)).map(|(lin, i)| lin.offset(i)).collect();
        let all: Vec<Element> =
            (0..s.piece.iter().product()).map(|e| self.element(s, &filled, at(e))).collect();
        let mut least = AHEAD * WIDE;
        for (array, indices) in &filled.reads {
            let dims = self.places(s, indices, &all);
            let wide = self.side_by_side(s, array, &dims, &all).wide as i64;
            let bytes = wide * self.buffers[*array].dtype.size_bytes() as i64;
            least = least.min(AHEAD * wide / (bytes / 4).max(1));
        }
        for var in &s.vars {
            self.env.remove(var);
        }
        least / filled.reads.len() as i64
    }

    /// What indices are at elements of a piece.
    fn places(&self, s: &Share, indices: &[Index], elements: &[Element]) -> Vec<Vec<Lin>> {
        let place = |e: &Element| {
            let mut env: Env = self.env.clone();
            env.extend(s.vars.iter().cloned().zip(e.at.iter().cloned()));
            indices.iter().map(|i| Lin::of(i, &env)).collect()
        };
        elements.iter().map(place).collect()
    }

    /// One piece in each of these rounds.
    fn rounds(&mut self, s: &Share, thread: &Value, threads: i64, rounds: std::ops::Range<i64>) {
        let mut pieces = Vec::new();
        let mut names = Vec::new();
        for round in rounds {
            let mut deal = Deal::new(thread, threads, round * threads);
            let mut first = vec![Lin::default(); s.vars.len()];
            for d in (0..s.vars.len()).rev() {
                let (moving, fixed) = deal.digit(&mut self.f, s.extents[d] / s.piece[d]);
                first[d] = Lin::constant(fixed * s.piece[d]);
                if let Some(moving) = moving {
                    let name: Name = format!("piece {round}, {}", s.vars[d]).into();
                    let value = self.f.cast("zext nneg", &moving, "i64");
                    self.vars.insert(name.clone(), value);
                    let digit = Lin::digit(&name, s.extents[d] / s.piece[d]);
                    first[d] = first[d].plus(s.piece[d], &digit);
                    names.push(name);
                }
            }
            pieces.push(first);
        }
        let elements: i64 = s.piece.iter().product();
        let at = |first: &Vec<Lin>, element: i64| -> Vec<Lin> {
            let inside = s.at(0, element);
            first.iter().zip(inside).map(|(lin, i)| lin.offset(i)).collect()
        };
        match self.filled(&s.body) {
            Some(filled) => {
                let mut all: Vec<Vec<Element>> = Vec::new();
                for first in &pieces {
                    let list = (0..elements).map(|e| self.element(s, &filled, at(first, e)));
                    all.push(list.collect());
                }
                if filled.inside {
                    self.limits(&mut all);
                }
                for piece in &mut all {
                    self.load_piece(s, &filled, piece);
                }
                for piece in all {
                    self.store_piece(s, &filled, piece);
                }
            }
            None => {
                for (first, element) in
                    pieces.iter().flat_map(|p| (0..elements).map(move |e| (p, e)))
                {
                    self.enter(s, &at(first, element));
                    self.nodes(&s.body);
                }
            }
        }
        for name in names {
            self.vars.remove(&name);
        }
        for var in &s.vars {
            self.env.remove(var);
        }
    }

    fn enter(&mut self, s: &Share, at: &[Lin]) {
        for (var, lin) in s.vars.iter().zip(at) {
            self.env.insert(var.clone(), lin.clone());
        }
    }

    /// The body, where it is one store of values that global memory gives to shared memory, or
    /// shared memory to an array.
    fn filled<'s>(&self, body: &'s [KernelNode]) -> Option<Filled<'s>> {
        let single = |nodes: &'s [KernelNode]| match nodes {
            [KernelNode::Store(s)] if s.op == AssignOp::Set && s.guard.is_none() => Some(s),
            _other => None,
        };
        let (condition, store, otherwise) = match body {
            [KernelNode::If(c, then, otherwise)] if otherwise.is_empty() => {
                (Some(c), single(then)?, None)
            }
            [KernelNode::If(c, then, otherwise)] => {
                (Some(c), single(then)?, Some(single(otherwise)?))
            }
            nodes => (None, single(nodes)?, None),
        };
        let shared = |name: &Name| {
            let block = self.program.as_ref().map(|p| &p.block)?;
            block.shared.iter().find(|b| b.name == *name)
        };
        let inside = shared(&store.array).is_some();
        // what is left as it is where the condition does not hold is memory
        if condition.is_some() && inside == otherwise.is_none() {
            return None;
        }
        let mut own = true;
        let mut reads: Vec<(&'s Name, &'s [Index])> = Vec::new();
        store.value.visit(&mut |v| {
            if let TypedKind::Read { array, indices } = &v.kind {
                own &= match inside {
                    true => self.kernel.buffers.iter().any(|b| b.name == *array),
                    false => shared(array).is_some_and(|b| b.panel.is_none()),
                };
                if !reads.contains(&(array, indices)) {
                    reads.push((array, indices));
                }
            }
        });
        let mut plain = true;
        if let Some(other) = otherwise {
            plain = other.array == store.array && other.indices == store.indices;
            other.value.visit(&mut |v| plain &= !matches!(v.kind, TypedKind::Read { .. }));
        }
        (own && plain).then_some(Filled { condition, store, otherwise, reads, inside })
    }

    fn element(&mut self, s: &Share, filled: &Filled<'_>, at: Vec<Lin>) -> Element {
        self.enter(s, &at);
        let cond = filled.condition.map(|c| Cond::of(c, &self.env));
        let cond = cond.filter(|c| c.as_constant() != Some(true));
        Element { at, cond, limit: None, loaded: Vec::new(), zeroed: true }
    }

    /// Guards as integers that are at least constants: the elements of a thread then share few of
    /// them, and need no registers for truth values, of which a thread has seven.
    fn limits(&mut self, pieces: &mut [Vec<Element>]) {
        let guards: Option<Vec<Vec<Lin>>> =
            pieces.iter().flatten().map(|e| terms(e.cond.as_ref()?)).collect();
        let Some(guards) = guards else { return };
        let rank = guards.first().map_or(0, Vec::len);
        if rank == 0 || guards.iter().any(|g| g.len() != rank) {
            return;
        }
        // the term that moves most stays an integer
        let distinct = |t: &usize| {
            let all: BTreeSet<i64> = guards.iter().map(|g| g[*t].constant).collect();
            all.len()
        };
        let varied = (0..rank).max_by_key(distinct).expect("there is a term");
        if guards.iter().any(|g| g[varied].constant.abs() > FAR) {
            return;
        }
        let mut known: BTreeMap<Vec<Lin>, Value> = BTreeMap::new();
        for (element, mut guard) in pieces.iter_mut().flatten().zip(guards) {
            let least = -guard[varied].constant;
            guard[varied].constant = 0;
            let limit = match known.get(&guard) {
                Some(limit) => limit.clone(),
                None => {
                    let limit = self.limit(&guard, varied);
                    known.insert(guard, limit.clone());
                    limit
                }
            };
            element.limit = Some((limit, least));
        }
    }

    /// One term, where the others are not negative, else less than any; between -2 [`FAR`] and
    /// 2 [`FAR`].
    fn limit(&mut self, terms: &[Lin], at: usize) -> Value {
        let others = terms.iter().enumerate().filter(|(i, _)| *i != at);
        let others = others.map(|(_, t)| Cond::Ge(t.clone(), Lin::default())).collect();
        let holds = self.cond(&Cond::All(others));
        let term = self.lin(&terms[at]);
        let (low, high) =
            (Value::int("i64", (-2 * FAR).into()), Value::int("i64", (2 * FAR).into()));
        let term = self.f.intrinsic("smax", &[&term, &low]);
        let term = self.f.intrinsic("smin", &[&term, &high]);
        let term = self.f.select(&holds, &term, &low);
        self.f.cast("trunc", &term, "i32")
    }

    /// Loads what the elements of a piece need.
    fn load_piece(&mut self, s: &Share, filled: &Filled<'_>, out: &mut [Element]) {
        for (array, indices) in &filled.reads {
            let dims = self.places(s, indices, out);
            let run = self.side_by_side(s, array, &dims, out);
            for first in starts(out.len(), run) {
                let members: Vec<usize> = (0..run.wide).map(|i| first + i * run.step).collect();
                let (slots, zeroed) = match filled.inside {
                    true => self.load_run(array, &dims[first], &out[first], run.wide),
                    false => (self.load_shared(array, &dims[first], run.wide), false),
                };
                for (member, slot) in members.into_iter().zip(slots) {
                    let dims = dims[member].clone();
                    let key = TileKey { array: (*array).clone(), dims, width: 1, partial: None };
                    out[member].loaded.push((key, Tile { slot }));
                    out[member].zeroed &= zeroed;
                }
            }
        }
    }

    /// The position of an element in its array, where the array's shape is known.
    pub(super) fn flat(&self, array: &Name, dims: &[Lin]) -> Option<Lin> {
        let shared = self.program.as_ref().map(|p| &p.block.shared);
        if let Some(buffer) = shared.and_then(|all| all.iter().find(|b| b.name == *array)) {
            let places = dims.iter().zip(&buffer.shape);
            let inner = |sum: Lin, (i, e): (&Lin, &i64)| Lin::default().plus(*e, &sum).plus(1, i);
            return Some(places.fold(Lin::default(), inner));
        }
        let mut flat = Lin::default();
        for (dim, stride) in dims.iter().zip(&self.buffers[array].strides) {
            flat = flat.plus(stride.text.parse().ok()?, dim);
        }
        Some(flat)
    }

    /// How many neighbours of a piece lie side by side in an array or a buffer without panels: all
    /// inside, or none.
    fn side_by_side(
        &self,
        s: &Share,
        array: &Name,
        dims: &[Vec<Lin>],
        elements: &[Element],
    ) -> Run {
        if self.buffers[array].packed {
            return ALONE;
        }
        let bytes = self.buffers[array].dtype.size_bytes() as i64;
        let flat: Option<Vec<Lin>> = dims.iter().map(|d| self.flat(array, d)).collect();
        let Some(flat) = flat else { return ALONE };
        let fits = |run: Run| {
            starts(flat.len(), run).into_iter().all(|first| {
                let last = first + (run.wide - 1) * run.step;
                let same = match (&elements[first].cond, &elements[last].cond) {
                    (None, None) => true,
                    (Some(a), Some(b)) => together(a, b, run.wide as i64),
                    _one => false,
                };
                let next = |i: usize| flat[first + i * run.step].difference(&flat[first]);
                same && flat[first].is_multiple(run.wide as i64)
                    && (1..run.wide).all(|i| next(i) == Some(i as i64))
            })
        };
        widest_run(s, WIDE / bytes, fits)
    }

    /// Slots with neighbours from global memory; where the guard is false with zeros, or anything.
    fn load_run(
        &mut self,
        array: &Name,
        dims: &[Lin],
        element: &Element,
        wide: usize,
    ) -> (Vec<String>, bool) {
        let regs = self.buffers[array].clone();
        let (elem, space) = (mem_elem(regs.dtype), regs.pointer.elem);
        let bytes = wide * regs.dtype.size_bytes();
        let flat = self.flat(array, dims);
        let zeroed = element.limit.is_some() && flat.is_some() && self.only_read(array);
        if regs.packed {
            let half = self.guarded_half(&regs, dims, element);
            return (self.in_slots(&half), element.limit.is_some());
        }
        let all = match (&element.limit, flat) {
            (Some(limit), Some(flat)) if zeroed => {
                let moving = flat.offset(flat.constant.wrapping_neg());
                let base = self.lin(&moving);
                let p = self.element_pointer(&regs, &base);
                let at = flat.constant.wrapping_mul(regs.dtype.size_bytes() as i64);
                self.guarded_load(&p, at, limit, (elem, wide))
            }
            (_, flat) => {
                let mut at = match flat {
                    Some(flat) => self.lin(&flat),
                    None => self.position(&regs, dims),
                };
                if let Some(cond) = &element.cond {
                    let holds = self.cond(cond);
                    at = self.f.select(&holds, &at, &Value::int("i64", 0));
                }
                let p = self.element_pointer(&regs, &at).text;
                let lanes = u32::try_from(wide).expect("at most 16");
                let alias = alias(regs.class);
                let ty = ty_of(elem, lanes);
                let text = format!("load {ty}, {space} {p}, align {bytes}{alias}");
                self.f.def(elem, lanes, &text)
            }
        };
        (self.in_slots(&all), zeroed)
    }

    /// An element that shares its byte; zero where the guard is false, or that of the first.
    fn guarded_half(&mut self, regs: &BufferRegs, dims: &[Lin], element: &Element) -> Value {
        let mut position = self.position(regs, dims);
        if let (None, Some(cond)) = (&element.limit, &element.cond) {
            let holds = self.cond(cond);
            position = self.f.select(&holds, &position, &Value::int("i64", 0));
        }
        let at = self.f.bin_int("ashr", &position, 1);
        let p = self.element_pointer(regs, &at);
        let byte = match &element.limit {
            Some(limit) => self.guarded_load(&p, 0, limit, ("i8", 1)),
            None => {
                let (space, alias) = (regs.pointer.elem, alias(regs.class));
                let text = format!("load i8, {space} {}, align 1{alias}", p.text);
                self.f.def("i8", 1, &text)
            }
        };
        self.half_of(&byte, &position)
    }

    /// Slots with neighbours from shared memory.
    fn load_shared(&mut self, array: &Name, dims: &[Lin], wide: usize) -> Vec<String> {
        let (elem, bytes) = {
            let dtype = self.buffers[array].dtype;
            (mem_elem(dtype), wide * dtype.size_bytes())
        };
        let p = self.address(array, dims);
        let space = self.buffers[array].pointer.elem;
        let lanes = u32::try_from(wide).expect("at most 16");
        let text = format!("load {}, {space} {p}, align {bytes}", ty_of(elem, lanes));
        let all = self.f.def(elem, lanes, &text);
        self.in_slots(&all)
    }

    /// Each lane in a slot of its own.
    fn in_slots(&mut self, all: &Value) -> Vec<String> {
        let slots = (0..all.lanes).map(|lane| {
            let one = self.f.extract(all, lane);
            let slot = self.f.alloca(one.elem, 1, 1, 64);
            self.f.line(&format!("store {}, ptr {slot}, align 64", one.arg()));
            slot
        });
        slots.collect()
    }

    pub(super) fn element_pointer(&mut self, regs: &BufferRegs, at: &Value) -> Value {
        let (elem, space) = (mem_elem(regs.dtype), regs.pointer.elem);
        let text = format!("getelementptr {elem}, {space} {}, {}", regs.pointer.text, at.arg());
        self.f.def(space, 1, &text)
    }

    /// Whether no thread of the block program writes an array.
    fn only_read(&self, array: &Name) -> bool {
        let buffer = self.kernel.buffers.iter().find(|b| b.name == *array);
        buffer.is_some_and(|b| matches!(b.role, Role::In | Role::Const(_)))
    }

    /// Neighbours `offset` bytes from a pointer, zeros where the guard is false.
    fn guarded_load(
        &mut self,
        p: &Value,
        offset: i64,
        (limit, least): &(Value, i64),
        (elem, wide): (&'static str, usize),
    ) -> Value {
        let bytes = i64::from(bits(elem) / 8) * wide as i64;
        let words = usize::try_from(bytes / 4).expect("at most 4").max(1);
        let (part, kind) = if bytes < 4 { ("i16", "=&h") } else { ("i32", "=&r") };
        let mut text = guarded_load(bytes)
            .replace("{d}", "$0")
            .replace("{limit}", &format!("${}", words + 1))
            .replace("{least}", &least.to_string())
            .replace("{at}", &format!("${words}+{offset}"));
        for word in 0..words {
            text = text.replace(&format!("{{d{word}}}"), &format!("${word}"));
        }
        let all = vec![part; words].join(", ");
        let ty = if words == 1 { all } else { format!("{{ {all} }}") };
        let (kinds, at) = (vec![kind; words].join(","), format!("ptrtoint {} to i64", p.arg()));
        let at = self.f.def("i64", 1, &at);
        let (at, limit) = (at.arg(), limit.arg());
        let call = format!("call {ty} asm \"{text}\", \"{kinds},l,r\"({at}, {limit})");
        let out = self.f.def(part, 1, &call);
        let raw = if words == 1 {
            out
        } else {
            let get = |f: &mut Function, i: usize| {
                f.def(part, 1, &format!("extractvalue {ty} {}, {i}", out.text))
            };
            let parts: Vec<Value> = (0..words).map(|i| get(&mut self.f, i)).collect();
            self.f.gather(&parts)
        };
        let lanes = u32::try_from(wide).expect("at most 16");
        if bytes == 1 {
            return self.f.cast("trunc", &raw, elem);
        }
        if raw.ty() == ty_of(elem, lanes) {
            return raw;
        }
        let whole = format!("bitcast {} to {}", raw.arg(), ty_of(elem, lanes));
        self.f.def(elem, lanes, &whole)
    }

    /// Computes and stores the elements of a piece.
    fn store_piece(&mut self, s: &Share, filled: &Filled<'_>, piece: Vec<Element>) {
        let mut values = Vec::new();
        let mut dims: Vec<Vec<Lin>> = Vec::new();
        for element in &piece {
            self.enter(s, &element.at);
            self.tiles.extend(element.loaded.iter().cloned());
            let mut value = self.updated(filled.store, None);
            for (key, _) in &element.loaded {
                self.tiles.remove(key);
            }
            // what is only copied is zero already
            let copied = filled.copies() && element.zeroed;
            if let (Some(cond), Some(other), false) = (&element.cond, filled.otherwise, copied) {
                let holds = self.cond(cond);
                let other = self.updated(other, None);
                value = self.f.select(&holds, &value, &other);
            }
            values.push(value);
            dims.push(filled.store.indices.iter().map(|i| Lin::of(i, &self.env)).collect());
        }
        let run = match filled.inside {
            true => self.stores_together(s, &filled.store.array, &dims),
            false => self.side_by_side(s, &filled.store.array, &dims, &piece),
        };
        for first in starts(values.len(), run) {
            let members: Vec<Value> =
                (0..run.wide).map(|i| values[first + i * run.step].clone()).collect();
            let end = piece[first].cond.as_ref().filter(|_| !filled.inside).map(|cond| {
                let (yes, end) = (self.f.label("inside"), self.f.label("outside"));
                let holds = self.cond(cond);
                self.f.cond_br(&holds, &yes, &end);
                self.f.start(&yes);
                end
            });
            self.store_run(filled.store, &dims[first], &members);
            if let Some(end) = end {
                self.f.br(&end);
                self.f.start(&end);
            }
        }
    }

    /// How many neighbours of a piece lie side by side in a chunk of a shared buffer.
    fn stores_together(&mut self, s: &Share, array: &Name, dims: &[Vec<Lin>]) -> Run {
        let shared = self.state().block.shared.iter().find(|b| b.name == *array).cloned();
        let shared = shared.expect("a shared buffer");
        let bytes = shared.dtype.size_bytes() as i64;
        if shared.panel.is_none() || bytes > 4 {
            return ALONE;
        }
        let fits = |run: Run| {
            let words = run.wide as i64 * bytes % 4 == 0;
            words
                && starts(dims.len(), run).into_iter().all(|first| {
                    let Some((last, outer)) = dims[first].split_last() else { return false };
                    last.is_multiple(run.wide as i64)
                        && (1..run.wide).all(|i| {
                            let other = &dims[first + i * run.step];
                            other.starts_with(outer)
                                && other[outer.len()].difference(last) == Some(i as i64)
                        })
                })
        };
        widest_run(s, WIDE / bytes, fits)
    }

    /// Stores neighbours.
    fn store_run(&mut self, s: &Store<Index>, dims: &[Lin], values: &[Value]) {
        let [first, _, ..] = values else {
            return self.store_memory(&s.array, dims, &values[0], None);
        };
        let bytes = s.dtype.size_bytes();
        let elem = half_elem(s.dtype).unwrap_or(first.elem);
        let mut words = Vec::new();
        for word in values.chunks((4 / bytes).max(1)) {
            if let [one] = word {
                words.push(one.clone());
                continue;
            }
            // pairs of floats are a vector, so that two conversions become one instruction
            let lanes = u32::try_from(word.len()).expect("2 or 4");
            let mut whole = Value::register("poison", elem, lanes);
            for (lane, one) in word.iter().enumerate() {
                let one = self.f.cast("bitcast", one, elem);
                let text = format!("insertelement {}, {}, i32 {lane}", whole.arg(), one.arg());
                whole = self.f.def(elem, lanes, &text);
            }
            words.push(self.f.def("i32", 1, &format!("bitcast {} to i32", whole.arg())));
        }
        let all = if words.len() == 1 { words[0].clone() } else { self.f.gather(&words) };
        let p = self.address(&s.array, dims);
        let regs = &self.buffers[&s.array];
        let (space, alias) = (regs.pointer.elem, alias(regs.class));
        let align = values.len() * bytes;
        self.f.line(&format!("store {}, {space} {p}, align {align}{alias}", all.arg()));
    }
}

/// The first elements of all runs of a piece.
fn starts(elements: usize, run: Run) -> Vec<usize> {
    let first = |e: &usize| (e / run.step).is_multiple_of(run.wide);
    (0..elements).filter(first).collect()
}

/// The widest run along some index, of at most so many elements, that fits.
fn widest_run(s: &Share, most: i64, fits: impl Fn(Run) -> bool) -> Run {
    let mut wide = most;
    while wide > 1 {
        let mut step = 1;
        for piece in s.piece.iter().rev() {
            let run = Run {
                step: usize::try_from(step).expect("verified: few elements"),
                wide: usize::try_from(wide).expect("at most 16"),
            };
            if piece % wide == 0 && fits(run) {
                return run;
            }
            step *= piece;
        }
        wide /= 2;
    }
    ALONE
}
