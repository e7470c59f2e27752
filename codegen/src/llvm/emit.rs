//! Control flow: a kernel's loops and guards as LLVM IR text.
//!
//! In: nodes of a verified kernel. Out: their code in the function being written.
//! Keeps: loops are written in final form; `Unroll` and constant `Vector` loops leave no loop.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Buffer, Kernel, KernelLoop, KernelNode, LoopMode, Store};

use super::build::{Function, Value};
use super::guards;
use super::lin::{Atom, Cond, Env, Lin};
use super::quotients::Quotients;
use super::range::{Range, Ranges};
use super::storage::Storage;
use super::team::Team;
use super::tile::{Tile, TileKey};
use crate::ptx::block::Program;

/// Most copies of one loop's body that unrolling makes.
const MAX_UNROLL: i64 = 1024;
/// Most stores one loop may grow to by unrolling; beyond it a loop stays a loop.
const MAX_STORES: i64 = 8192;

/// A buffer's registers in the current function.
#[derive(Clone, Debug)]
pub(crate) struct BufferRegs {
    /// Its alias class.
    pub(crate) class: Option<usize>,
    /// Its address.
    pub(crate) pointer: Value,
    /// Elements between neighbours, per dimension.
    pub(crate) strides: Vec<Value>,
    /// Element type.
    pub(crate) dtype: DType,
    /// Elements share bytes: it is an array that is only read.
    pub(crate) packed: bool,
    /// It lies on this function's stack, so LLVM knows which elements hold no value.
    pub(crate) stack: bool,
}

/// A loop that stays a loop: `trip` iterations of `var = lower + step · i`.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    /// The variable.
    pub(crate) var: Name,
    /// Its first value.
    pub(crate) lower: Lin,
    /// How many iterations; not negative.
    pub(crate) trip: Lin,
    /// Distance of iterations.
    pub(crate) step: i64,
    /// Lanes of one iteration.
    pub(crate) width: u32,
    /// Distance of neighbouring lanes.
    pub(crate) lane_step: i64,
}

impl Counted {
    /// What is known of the variable inside.
    fn range(&self, around: &Ranges) -> Option<Range> {
        let (lower, trip) = (self.lower.range(around)?, self.trip.range(around)?);
        let last = trip.1.checked_sub(1)?.max(0).checked_mul(self.step)?;
        Some((lower.0.checked_add(last.min(0))?, lower.1.checked_add(last.max(0))?))
    }

    /// What the variable stands for inside.
    pub(crate) fn inside(&self) -> Lin {
        let base = Lin::var(&self.var);
        if self.width > 1 { base.plus(self.lane_step, &Lin::atom(Atom::Lane)) } else { base }
    }
}

/// What becomes of a loop.
#[derive(Clone, Debug)]
pub(crate) enum Expansion {
    /// The body once per entry: the variable's value and the lanes.
    Copies(Vec<(Lin, u32)>),
    /// Loops, one after another.
    Loops(Vec<Counted>),
    /// Runs through the pool.
    Parallel(Counted),
}

/// What the code runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// A processor with vector registers of so many bytes.
    Host {
        /// Bytes of a vector register.
        vector_bytes: u32,
    },
    /// One thread of a GPU.
    Gpu,
}

/// A function that the code calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extern {
    /// Its name.
    pub(crate) name: &'static str,
    /// `float` or `double`: of the operands and the result.
    pub(crate) elem: &'static str,
    /// How many operands.
    pub(crate) operands: usize,
}

impl Extern {
    /// Its symbol.
    pub(crate) fn symbol(&self) -> String {
        let suffix = if self.elem == "float" { "f32" } else { "f64" };
        format!("warploom_{}_{suffix}", self.name)
    }
}

/// The state of code generation (see the file's page).
pub(crate) struct Emitter<'k> {
    pub(crate) kernel: &'k Kernel,
    pub(crate) f: Function,
    /// Finished functions beside the one being written.
    pub(crate) functions: Vec<String>,
    pub(crate) env: Env,
    pub(crate) vars: BTreeMap<Name, Value>,
    /// What is known of the variables around.
    pub(crate) ranges: Ranges,
    pub(crate) buffers: BTreeMap<Name, BufferRegs>,
    pub(crate) storage: Storage,
    pub(crate) tiles: BTreeMap<TileKey, Tile>,
    pub(crate) width: u32,
    pub(crate) in_parallel: bool,
    /// What the code runs on.
    pub(crate) machine: Machine,
    /// The threads of a GPU's block, outside their loops.
    pub(crate) team: Option<Team>,
    /// The block program that is written.
    pub(crate) program: Option<Program>,
    /// The math functions used.
    pub(crate) externs: BTreeSet<Extern>,
    /// The types that the module gives names.
    pub(crate) structures: Vec<String>,
    /// Quotients that are being made together.
    pub(super) quotients: Option<Quotients>,
    /// What the expression that is being written reads, where that is loaded already.
    pub(super) ahead: Option<Value>,
}

impl<'k> Emitter<'k> {
    /// Writes a function of this header, without vector lanes so far.
    pub(crate) fn new(kernel: &'k Kernel, machine: Machine, header: String) -> Self {
        Self {
            kernel,
            f: Function::new(header),
            functions: Vec::new(),
            env: Env::new(),
            vars: BTreeMap::new(),
            ranges: Ranges::new(),
            buffers: BTreeMap::new(),
            storage: Storage::new(kernel.buffers.len()),
            tiles: BTreeMap::new(),
            width: 1,
            in_parallel: false,
            machine,
            team: None,
            program: None,
            externs: BTreeSet::new(),
            structures: Vec::new(),
            quotients: None,
            ahead: None,
        }
    }
}

impl Emitter<'_> {
    /// A kernel's buffer at this address, with its strides.
    pub(crate) fn bind(&mut self, index: usize, buffer: &Buffer, pointer: Value) {
        let shape: Vec<Lin> = buffer.shape.iter().map(|s| Lin::of(s, &self.env)).collect();
        let mut strides = vec![Value::int("i64", 1); shape.len()];
        let mut known = Some(1_i64);
        for d in (1..shape.len()).rev() {
            known = known.zip(shape[d].as_constant()).and_then(|(a, b)| a.checked_mul(b));
            strides[d - 1] = if let Some(v) = known {
                Value::int("i64", v.into())
            } else {
                let extent = self.lin(&shape[d]);
                let inner = strides[d].clone();
                self.f.bin("mul nuw nsw", &inner, &extent)
            };
        }
        let (class, dtype, packed) = (Some(index), buffer.dtype, buffer.packed());
        let regs = BufferRegs { class, pointer, strides, dtype, packed, stack: false };
        self.buffers.insert(buffer.name.clone(), regs);
    }

    /// The nodes of a body, in order.
    pub(crate) fn nodes(&mut self, nodes: &[KernelNode]) {
        for node in nodes {
            match self.team.take() {
                Some(team) => self.team_node(team, node),
                None => self.control(node),
            }
        }
    }

    /// One node, run by whoever runs the code around it.
    pub(super) fn control(&mut self, node: &KernelNode) {
        match node {
            KernelNode::Loop(l) => self.run_loop(l),
            KernelNode::If(c, then, otherwise) => {
                let c = Cond::of(c, &self.env);
                self.branch(&c, |e| e.nodes(then), |e| e.nodes(otherwise));
            }
            KernelNode::Store(s) => self.store(s),
            KernelNode::Local(l) => self.local(l),
            KernelNode::Device(d) => self.device(d),
        }
    }

    /// Emits what runs where a condition holds, and what runs elsewhere.
    pub(crate) fn branch(
        &mut self,
        c: &Cond,
        then: impl FnOnce(&mut Self),
        otherwise: impl FnOnce(&mut Self),
    ) {
        match c.as_constant() {
            Some(true) => return then(self),
            Some(false) => return otherwise(self),
            None => {}
        }
        let test = self.cond(c);
        let (yes, no, end) = (self.f.label("then"), self.f.label("else"), self.f.label("end"));
        self.f.cond_br(&test, &yes, &no);
        self.f.start(&yes);
        let around = std::mem::take(&mut self.ranges);
        self.ranges = c.within(&around);
        then(self);
        self.ranges = around;
        self.f.br(&end);
        self.f.start(&no);
        otherwise(self);
        self.f.br(&end);
        self.f.start(&end);
    }

    fn run_loop(&mut self, l: &KernelLoop) {
        let guarded = if self.width == 1 { guards::shared(l) } else { None };
        if let Some((guard, rest)) = guarded {
            let test = self.typed(&guard);
            let (yes, end) = (self.f.label("then"), self.f.label("end"));
            self.f.cond_br(&test, &yes, &end);
            self.f.start(&yes);
            self.run_loop(&rest);
            self.f.br(&end);
            self.f.start(&end);
            return;
        }
        match self.expand(l, &self.env, self.width) {
            Expansion::Copies(copies) => {
                if self.products_in_a_row(l, &copies)
                    || self.quotients_together(l, &copies)
                    || self.moves_together(l, &copies)
                {
                    return;
                }
                let outside = self.width;
                for (value, width) in copies {
                    self.env.insert(l.var.clone(), value);
                    self.width = width;
                    self.nodes(&l.body);
                }
                self.width = outside;
                self.env.remove(&l.var);
            }
            Expansion::Loops(loops) => {
                for counted in loops {
                    self.counted(&counted, &l.body);
                }
            }
            Expansion::Parallel(counted) => self.parallel(&counted, &l.body),
        }
    }

    /// What a loop becomes where its surroundings are `env` and `width`.
    pub(crate) fn expand(&self, l: &KernelLoop, env: &Env, width: u32) -> Expansion {
        let (lower, upper) = (Lin::of(&l.lower, env), Lin::of(&l.upper, env));
        let trip =
            upper.plus(-1, &lower).offset(l.step - 1).floor_div(l.step).larger(&Lin::constant(0));
        let serial = Counted {
            var: l.var.clone(),
            lower: lower.clone(),
            trip: trip.clone(),
            step: l.step,
            width,
            lane_step: 0,
        };
        let known = trip.as_constant();
        if known.is_some_and(|n| n <= 1) {
            let copies = if known == Some(1) { vec![(lower, width)] } else { Vec::new() };
            return Expansion::Copies(copies);
        }
        match (l.mode, self.machine) {
            (LoopMode::Parallel | LoopMode::Mapped(_), Machine::Host { .. })
                if !self.in_parallel =>
            {
                Expansion::Parallel(serial)
            }
            (LoopMode::Vector, Machine::Host { vector_bytes })
                if width == 1 && self.vectorizable(&l.body, env) =>
            {
                expand_vector(l, &serial, vector_bytes)
            }
            (LoopMode::Unroll, _) | (LoopMode::Vector, Machine::Gpu) => match known {
                // in a role an unrolled loop tells which registers are meant
                Some(n)
                    if self.program.is_some()
                        || n <= MAX_UNROLL
                            && n.saturating_mul(unrolled_stores(&l.body)) <= MAX_STORES =>
                {
                    Expansion::Copies(
                        (0..n).map(|i| (lower.offset(i.wrapping_mul(l.step)), width)).collect(),
                    )
                }
                Some(_) | None => Expansion::Loops(vec![serial]),
            },
            (
                LoopMode::Serial | LoopMode::Parallel | LoopMode::Mapped(_) | LoopMode::Vector,
                Machine::Host { .. } | Machine::Gpu,
            ) => Expansion::Loops(vec![serial]),
        }
    }

    /// Whether a vector loop's body can run in lanes: stores and unrolled loops only.
    fn vectorizable(&self, body: &[KernelNode], env: &Env) -> bool {
        body.iter().all(|node| match node {
            KernelNode::Store(_) => true,
            KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => false,
            KernelNode::Loop(l) => {
                let mut inner = env.clone();
                inner.remove(&l.var);
                l.mode == LoopMode::Unroll
                    && matches!(self.expand(l, env, 2), Expansion::Copies(_))
                    && self.vectorizable(&l.body, &inner)
            }
        })
    }

    /// A loop with a counter from 0 to the trip count.
    pub(crate) fn counted(&mut self, c: &Counted, body: &[KernelNode]) {
        let (outside, shadow) = (self.width, self.env.get(&c.var).cloned());
        let plan = if self.team.is_some() { Vec::new() } else { self.plan_tiles(c, body) };
        let trip = self.lin(&c.trip);
        let lower = self.lin(&c.lower);
        let (pre, head, done, end) =
            (self.f.label("pre"), self.f.label("loop"), self.f.label("done"), self.f.label("end"));
        if c.trip.as_constant().is_some() {
            self.f.br(&pre);
        } else {
            let some = self.f.cmp_int("sgt", &trip, 0);
            self.f.cond_br(&some, &pre, &end);
        }
        self.f.start(&pre);
        let opened = self.open_tiles(plan);
        let from = self.f.current_block();
        self.f.br(&head);
        self.f.start(&head);
        let (i, next) = (self.f.fresh(), self.f.fresh());
        let latch = self.f.label("latch");
        self.f.line(&format!("{i} = phi i64 [ 0, %{from} ], [ {next}, %{latch} ]"));
        let counter = Value::register(i.clone(), "i64", 1);
        let scaled = self.f.bin_int("mul nsw", &counter, c.step.into());
        let var = self.f.bin("add nsw", &lower, &scaled);
        self.vars.insert(c.var.clone(), var);
        self.env.insert(c.var.clone(), c.inside());
        let around = self.ranges.clone();
        match c.range(&around) {
            Some(range) => self.ranges.insert(c.var.clone(), range),
            None => self.ranges.remove(&c.var),
        };
        self.width = c.width;
        self.nodes(body);
        self.ranges = around;
        self.f.br(&latch);
        self.f.start(&latch);
        self.f.line(&format!("{next} = add nuw nsw i64 {i}, 1"));
        self.f.line(&format!("{next}.more = icmp slt i64 {next}, {}", trip.text));
        self.f.line(&format!("br i1 {next}.more, label %{head}, label %{done}"));
        self.f.start(&done);
        self.width = outside;
        self.vars.remove(&c.var);
        match shadow {
            Some(v) => self.env.insert(c.var.clone(), v),
            None => self.env.remove(&c.var),
        };
        self.close_tiles(opened);
        self.f.br(&end);
        self.f.start(&end);
    }

    /// The registers of a linear form; a vector where it differs between lanes.
    pub(crate) fn lin(&mut self, lin: &Lin) -> Value {
        let mut sum: Option<Value> = None;
        for (atom, c) in &lin.terms {
            let v = self.atom(atom);
            let v = if *c == 1 { v } else { self.f.bin_int("mul", &v, (*c).into()) };
            sum = Some(match sum {
                Some(s) => self.f.bin("add", &s, &v),
                None => v,
            });
        }
        match sum {
            None => Value::int("i64", lin.constant.into()),
            Some(s) if lin.constant == 0 => s,
            Some(s) => self.f.bin_int("add", &s, lin.constant.into()),
        }
    }

    fn atom(&mut self, atom: &Atom) -> Value {
        match atom {
            Atom::Var(name) | Atom::Digit(name, _) => {
                self.vars.get(name).cloned().expect("verified: names resolve")
            }
            Atom::Lane => Function::lane_numbers(self.width),
            Atom::FloorDiv(a, d) if self.few(a, *d) => {
                let a = self.lin(a);
                self.few_div(&a, *d)
            }
            Atom::Mod(a, d) if self.few(a, *d) => {
                let a = self.lin(a);
                let a = self.f.cast("trunc", &a, "i32");
                let rest = self.f.bin_int("urem", &a, (*d).into());
                self.f.cast("zext nneg", &rest, "i64")
            }
            Atom::FloorDiv(a, d) => {
                let a = self.lin(a);
                self.floor_div(&a, *d)
            }
            Atom::Mod(a, d) => {
                let a = self.lin(a);
                let q = self.floor_div(&a, *d);
                let back = self.f.bin_int("mul", &q, (*d).into());
                self.f.bin("sub", &a, &back)
            }
            Atom::Min(a, b) => {
                let (a, b) = (self.lin(a), self.lin(b));
                self.f.intrinsic("smin", &[&a, &b])
            }
            Atom::Max(a, b) => {
                let (a, b) = (self.lin(a), self.lin(b));
                self.f.intrinsic("smax", &[&a, &b])
            }
            Atom::Select(c, a, b) => {
                let c = self.cond(c);
                let (a, b) = (self.lin(a), self.lin(b));
                self.f.select(&c, &a, &b)
            }
        }
    }

    /// Whether a GPU, which has no division of 64 bits, divides numbers of 32 bits here.
    fn few(&self, a: &Lin, divisor: i64) -> bool {
        let few = |n: i64| (0..i64::from(i32::MAX)).contains(&n);
        self.machine == Machine::Gpu
            && few(divisor)
            && a.range(&self.ranges).is_some_and(|(least, most)| few(least) && few(most))
    }

    /// Quotient of a number below 2^31 by a constant; where this is no power of two, a product
    /// shifted right by more than 32 bits (Warren, Hacker's Delight, 10-9). LLVM makes one shifted
    /// by 32 where it can, of which ptxas (13.0) gets differences of 64 bits wrong (decision 0043).
    fn few_div(&mut self, a: &Value, d: i64) -> Value {
        let a = self.f.cast("trunc", a, "i32");
        if d.count_ones() == 1 {
            let quotient = self.f.bin_int("udiv", &a, d.into());
            return self.f.cast("zext nneg", &quotient, "i64");
        }
        let log = 63 - d.leading_zeros();
        let times = (1_u64 << (32 + log)).div_ceil(d.unsigned_abs());
        let a = self.f.cast("zext nneg", &a, "i64");
        let product = self.f.bin_int("mul", &a, times.into());
        self.f.bin_int("lshr", &product, (32 + log).into())
    }

    /// Quotient by a positive constant, rounded down.
    fn floor_div(&mut self, a: &Value, d: i64) -> Value {
        if d.count_ones() == 1 {
            return self.f.bin_int("ashr", a, d.trailing_zeros().into());
        }
        let q = self.f.bin_int("sdiv", a, d.into());
        let r = self.f.bin_int("srem", a, d.into());
        let below = self.f.cmp_int("slt", &r, 0);
        let one = self.f.cast("sext", &below, "i64");
        self.f.bin("add", &q, &one)
    }

    /// The register of a condition.
    pub(crate) fn cond(&mut self, c: &Cond) -> Value {
        match c {
            Cond::Ge(a, b) | Cond::Eq(a, b) => {
                let predicate = if matches!(c, Cond::Ge(..)) { "sge" } else { "eq" };
                let (a, b) = (self.lin(a), self.lin(b));
                self.f.cmp(predicate, &a, &b)
            }
            Cond::All(parts) => self.join("and", "true", parts),
            Cond::Any(parts) => self.join("or", "false", parts),
        }
    }

    fn join(&mut self, op: &str, empty: &'static str, parts: &[Cond]) -> Value {
        let mut out = Value::literal("i1", empty);
        for part in parts {
            let v = self.cond(part);
            out = self.f.bin(op, &out, &v);
        }
        out
    }
}

/// A vector loop as whole chunks, or as loops of two registers' lanes, of one's, and of one lane.
fn expand_vector(l: &KernelLoop, serial: &Counted, vector_bytes: u32) -> Expansion {
    let native = i64::from((vector_bytes / widest(&l.body)).max(2));
    let lane = |offset: i64| {
        let base = serial.lower.offset(offset.wrapping_mul(l.step));
        base.plus(l.step, &Lin::atom(Atom::Lane))
    };
    match serial.trip.as_constant() {
        Some(n) if n <= 8 * native => {
            let (mut done, mut copies) = (0, Vec::new());
            while done < n {
                let mut w = 4 * native;
                while w > n - done {
                    w /= 2;
                }
                let value = if w == 1 {
                    serial.lower.offset(done.wrapping_mul(l.step))
                } else {
                    lane(done)
                };
                copies.push((value, u32::try_from(w).expect("few lanes")));
                done += w;
            }
            Expansion::Copies(copies)
        }
        Some(_) | None => {
            let mut loops: Vec<Counted> = Vec::new();
            let mut done = Lin::default();
            for width in [2 * native, native, 1] {
                let left = serial.trip.plus(-1, &done);
                let trip = left.floor_div(width);
                if trip.as_constant() == Some(0) {
                    continue;
                }
                loops.push(Counted {
                    lower: serial.lower.plus(l.step, &done),
                    trip: trip.clone(),
                    step: l.step.wrapping_mul(width),
                    width: u32::try_from(width).expect("few lanes"),
                    lane_step: if width == 1 { 0 } else { l.step },
                    ..serial.clone()
                });
                done = done.plus(width, &trip);
            }
            Expansion::Loops(loops)
        }
    }
}

/// Bytes of the widest type a body computes with, at least 4.
fn widest(body: &[KernelNode]) -> u32 {
    let of = |s: &Store<_>| {
        let bytes = s.dtype.size_bytes().max(s.value.dtype.size_bytes());
        u32::try_from(bytes).expect("few bytes")
    };
    body.iter()
        .map(|node| match node {
            KernelNode::Store(s) => of(s),
            KernelNode::Device(d) => d.bodies().into_iter().map(|b| widest(b)).max().unwrap_or(4),
            KernelNode::Loop(l) => widest(&l.body),
            KernelNode::Local(l) => widest(&l.body),
            KernelNode::If(_, a, b) => widest(a).max(widest(b)),
        })
        .max()
        .unwrap_or(4)
        .max(4)
}

/// Stores of a body after unrolling; an unknown trip count is taken as 64.
fn unrolled_stores(body: &[KernelNode]) -> i64 {
    body.iter()
        .map(|node| match node {
            KernelNode::Store(_) => 1,
            KernelNode::Device(d) => {
                let bodies = d.bodies().into_iter().map(|b| unrolled_stores(b));
                bodies.fold(1, i64::saturating_add)
            }
            KernelNode::Local(l) => unrolled_stores(&l.body),
            KernelNode::If(_, a, b) => unrolled_stores(a).saturating_add(unrolled_stores(b)),
            KernelNode::Loop(l) => {
                let env = Env::new();
                let trip = match l.mode {
                    LoopMode::Unroll => Lin::of(&l.upper, &env)
                        .difference(&Lin::of(&l.lower, &env))
                        .map_or(64, |d| (d / l.step).max(1)),
                    LoopMode::Vector => 4,
                    LoopMode::Serial | LoopMode::Parallel | LoopMode::Mapped(_) => 1,
                };
                trip.saturating_mul(unrolled_stores(&l.body))
            }
        })
        .fold(0, i64::saturating_add)
}
