//! Kernels as readable C99: for people, for other compilers, and as a second opinion in tests.
//!
//! In: a kernel. Out: one translation unit with a function of the kernel's name: parameters
//! first, then the buffers that are not constant tables, in the kernel's order.
//! Requires: a compiler that rounds every operation (`-ffp-contract=off`, no `-ffast-math`).
//! Keeps: results equal compiled host code bit for bit on machines with fused multiply-add, NaN
//! payloads aside; only the helpers that are used are written.

mod expr;
mod helpers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal, Rounding};
use warploom_ir::kernel::{
    Buffer, Condition, Index, Kernel, KernelLoop, KernelNode, Local, LoopMode, Store, Typed,
    TypedKind,
};
use warploom_ir::nest::{AssignOp, Role};

/// Words a name must not be.
const RESERVED: &str = " auto break case char const continue default do double else enum extern \
    float for goto if inline int long register restrict return short signed sizeof static struct \
    switch typedef union unsigned void volatile while exp exp2 log log2 sqrt tanh erf pow fma rint \
    floor ceil trunc fabs ldexp main bool true false memcpy malloc free abort INFINITY NAN ";

/// Largest local buffer that is an array of its block, in bytes.
const MAX_STACK_LOCAL: i64 = 4 << 10;

/// The C text of a kernel.
///
/// # Panics
/// The kernel has a block program, which a processor cannot run.
#[must_use]
pub fn emit(kernel: &Kernel) -> String {
    let mut e = Emitter {
        kernel,
        names: BTreeMap::new(),
        taken: BTreeSet::new(),
        locals: Vec::new(),
        out: String::new(),
    };
    e.function();
    let body = e.out;
    let mut out = format!(
        "/* kernel {}: generated C99; compile with -ffp-contract=off */\n\
         #include <math.h>\n#include <stdint.h>\n#include <stdlib.h>\n#include <string.h>\n\n",
        e.names[&(Space::Function, kernel.name.clone())]
    );
    out.push_str(&helpers::used_by(&body));
    out.push_str(&body);
    out
}

/// What a name names: two spaces of the kernel share one in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Function,
    Array,
    Variable,
}

struct Emitter<'k> {
    kernel: &'k Kernel,
    names: BTreeMap<(Space, Name), String>,
    taken: BTreeSet<String>,
    /// Local buffers around what is being written, outermost first.
    locals: Vec<&'k Local>,
    out: String,
}

/// C's type of an element in memory.
pub(super) const fn memory_type(t: DType) -> &'static str {
    match t {
        DType::F64 => "double",
        DType::F32 | DType::Tf32 => "float",
        DType::I64 => "int64_t",
        DType::U64 => "uint64_t",
        DType::I32 => "int32_t",
        DType::U32 => "uint32_t",
        DType::I16 => "int16_t",
        DType::U16 | DType::F16 | DType::Bf16 => "uint16_t",
        DType::I8 => "int8_t",
        DType::U8
        | DType::Bool
        | DType::E4m3
        | DType::E5m2
        | DType::E2m1
        | DType::Ue8m0
        | DType::Ue4m3 => "uint8_t",
    }
}

impl<'k> Emitter<'k> {
    /// The C name of a kernel's name.
    fn name(&mut self, space: Space, name: &Name) -> String {
        if let Some(known) = self.names.get(&(space, name.clone())) {
            return known.clone();
        }
        let mut text: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || text.starts_with("wl_") {
            text.insert_str(0, "x_");
        }
        while self.taken.contains(&text) || RESERVED.contains(&format!(" {text} ")) {
            text.push('_');
        }
        self.taken.insert(text.clone());
        self.names.insert((space, name.clone()), text.clone());
        text
    }

    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.out, "{}{text}", "    ".repeat(depth));
    }

    fn function(&mut self) {
        let kernel = self.kernel;
        let name = self.name(Space::Function, &kernel.name);
        let mut args = Vec::new();
        for p in &kernel.params {
            args.push(format!("int64_t {}", self.name(Space::Variable, p)));
        }
        for b in &kernel.buffers {
            let array = self.name(Space::Array, &b.name);
            let ty = memory_type(b.dtype);
            match b.role {
                Role::In => args.push(format!("const {ty} *restrict {array}")),
                Role::Out | Role::InOut | Role::Temp => {
                    args.push(format!("{ty} *restrict {array}"))
                }
                Role::Const(_) => {}
            }
        }
        let args = if args.is_empty() { "void".to_owned() } else { args.join(", ") };
        self.line(0, &format!("void {name}({args})"));
        self.line(0, "{");
        for b in &kernel.buffers {
            self.table(b);
        }
        self.nodes(&kernel.body, 1);
        self.line(0, "}");
    }

    fn table(&mut self, b: &Buffer) {
        let Role::Const(values) = &b.role else { return };
        let array = self.name(Space::Array, &b.name);
        let size = values.len().max(1);
        let ty = memory_type(b.dtype);
        let list: Vec<String> = values.iter().map(|v| expr::table_entry(*v, b.dtype)).collect();
        let list = if list.is_empty() { "0".to_owned() } else { list.join(", ") };
        self.line(1, &format!("static const {ty} {array}[{size}] = {{{list}}};"));
    }

    fn nodes(&mut self, nodes: &'k [KernelNode], depth: usize) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) => self.run_loop(l, depth),
                KernelNode::If(c, then, otherwise) => {
                    let c = self.condition(c);
                    self.line(depth, &format!("if ({c}) {{"));
                    self.nodes(then, depth + 1);
                    if !otherwise.is_empty() {
                        self.line(depth, "} else {");
                        self.nodes(otherwise, depth + 1);
                    }
                    self.line(depth, "}");
                }
                KernelNode::Store(s) => self.store(s, depth),
                KernelNode::Local(l) => self.local(l, depth),
                KernelNode::Device(_) => {
                    unreachable!("a block program runs on a GPU, and C is for processors")
                }
            }
        }
    }

    fn local(&mut self, l: &'k Local, depth: usize) {
        let (ty, array) = (memory_type(l.dtype), self.name(Space::Array, &l.name));
        let size: Vec<String> = l.shape.iter().map(|e| expr::int64(*e)).collect();
        let size = if size.is_empty() { "1".to_owned() } else { size.join(" * ") };
        let small = l.bytes().is_some_and(|b| b <= MAX_STACK_LOCAL);
        self.line(depth, "{");
        if small {
            self.line(depth + 1, &format!("{ty} {array}[{size}];"));
            self.line(depth + 1, &format!("(void){array};"));
        } else {
            let call = format!("wl_alloc({size}, sizeof({ty}))");
            self.line(depth + 1, &format!("{ty} *const {array} = {call};"));
        }
        self.locals.push(l);
        self.nodes(&l.body, depth + 1);
        self.locals.pop();
        if !small {
            self.line(depth + 1, &format!("free({array});"));
        }
        self.line(depth, "}");
    }

    fn run_loop(&mut self, l: &'k KernelLoop, depth: usize) {
        let (lower, upper) = (self.index(&l.lower), self.index(&l.upper));
        let var = self.name(Space::Variable, &l.var);
        let step = if l.step == 1 { format!("{var}++") } else { format!("{var} += {}", l.step) };
        let mode = match l.mode {
            LoopMode::Serial => String::new(),
            LoopMode::Parallel => " /* parallel */".to_owned(),
            LoopMode::Vector => " /* vector */".to_owned(),
            LoopMode::Unroll => " /* unroll */".to_owned(),
            LoopMode::Mapped(place) => format!(" /* {} */", place.name()),
        };
        self.line(
            depth,
            &format!("for (int64_t {var} = {lower}; {var} < {upper}; {step}) {{{mode}"),
        );
        self.nodes(&l.body, depth + 1);
        self.line(depth, "}");
    }

    fn store(&mut self, s: &Store<Index>, depth: usize) {
        let target = self.element(&s.array, &s.indices);
        let value = if s.op.is_update() {
            let old = expr::loaded(&target, s.dtype);
            let old = expr::convert(&old, s.dtype, s.value.dtype, Rounding::Nearest, false);
            self.combined(s, &old)
        } else {
            self.typed(&s.value)
        };
        let value = expr::convert(&value, s.value.dtype, s.dtype, Rounding::Nearest, false);
        match &s.guard {
            Some(guard) => {
                let guard = self.typed(guard);
                self.line(depth, &format!("if ({guard}) {target} = {value};"));
            }
            None => self.line(depth, &format!("{target} = {value};")),
        }
    }

    /// `old op value`; a sum of products rounds once where that is allowed.
    fn combined(&mut self, s: &Store<Index>, old: &str) -> String {
        let t = s.value.dtype;
        let op = match s.op {
            AssignOp::Set => return self.typed(&s.value),
            AssignOp::Add => BinOp::Add,
            AssignOp::Mul => BinOp::Mul,
            AssignOp::Min => BinOp::Min,
            AssignOp::Max => BinOp::Max,
        };
        if let (BinOp::Add, false, DType::F32 | DType::F64, TypedKind::Binary(BinOp::Mul, a, b)) =
            (op, s.strict, t, &s.value.kind)
        {
            let suffix = if t == DType::F32 { "f" } else { "" };
            let (a, b) = (self.typed(a), self.typed(b));
            return format!("fma{suffix}({a}, {b}, {old})");
        }
        let value = self.typed(&s.value);
        expr::binary(op, t, old, &value)
    }

    /// `A[(i * N) + j]`.
    fn element(&mut self, array: &Name, indices: &[Index]) -> String {
        let kernel = self.kernel;
        let mut packed = false;
        let shape: Vec<String> = match self.locals.iter().rev().find(|l| l.name == *array) {
            Some(local) => local.shape.iter().map(|e| expr::int64(*e)).collect(),
            None => {
                let buffer = kernel.buffers.iter().find(|b| b.name == *array);
                packed = buffer.is_some_and(Buffer::packed);
                buffer.map_or(&[][..], |b| &b.shape).iter().map(|e| self.index(e)).collect()
            }
        };
        let mut flat = String::new();
        for (d, index) in indices.iter().enumerate() {
            let i = self.index(index);
            flat = match shape.get(d) {
                Some(extent) if d > 0 => format!("({flat}) * {extent} + {i}"),
                Some(_) | None => i,
            };
        }
        let flat = if flat.is_empty() { "0".to_owned() } else { flat };
        if packed {
            return format!("wl_half({}, {flat})", self.name(Space::Array, array));
        }
        format!("{}[{flat}]", self.name(Space::Array, array))
    }

    fn index(&mut self, index: &Index) -> String {
        match index {
            Index::Const(v) => expr::int64(*v),
            Index::Var(name) => self.name(Space::Variable, name),
            Index::Add(a, b) => format!("({} + {})", self.index(a), self.index(b)),
            Index::Sub(a, b) => format!("({} - {})", self.index(a), self.index(b)),
            Index::Mul(c, a) => format!("{} * {}", expr::int64(*c), self.index(a)),
            Index::FloorDiv(a, d) => format!("wl_div_s({}, {})", self.index(a), expr::int64(*d)),
            Index::Mod(a, d) => format!("wl_mod_s({}, {})", self.index(a), expr::int64(*d)),
            Index::Min(a, b) => format!("wl_min_i64({}, {})", self.index(a), self.index(b)),
            Index::Max(a, b) => format!("wl_max_i64({}, {})", self.index(a), self.index(b)),
            Index::Select(c, a, b) => {
                let c = self.condition(c);
                format!("({c} ? {} : {})", self.index(a), self.index(b))
            }
        }
    }

    fn condition(&mut self, c: &Condition) -> String {
        let mut join = |parts: &[Condition], op: &str, empty: &str| {
            let parts: Vec<String> = parts.iter().map(|p| self.condition(p)).collect();
            if parts.is_empty() { empty.to_owned() } else { format!("({})", parts.join(op)) }
        };
        match c {
            Condition::All(parts) => join(parts, " && ", "1"),
            Condition::Any(parts) => join(parts, " || ", "0"),
            Condition::Ge(a, b) => format!("({} >= {})", self.index(a), self.index(b)),
            Condition::Eq(a, b) => format!("({} == {})", self.index(a), self.index(b)),
        }
    }

    fn typed(&mut self, t: &Typed<Index>) -> String {
        match &t.kind {
            TypedKind::Literal(v) => literal(*v, t.dtype),
            TypedKind::Index(i) => {
                let i = self.index(i);
                expr::convert(&i, DType::I64, t.dtype, Rounding::Nearest, false)
            }
            TypedKind::Read { array, indices } => {
                let element = self.element(array, indices);
                expr::loaded(&element, t.dtype)
            }
            TypedKind::Unary(op, a) => {
                let v = self.typed(a);
                expr::unary(*op, a.dtype, &v)
            }
            TypedKind::Binary(op, a, b) => {
                let (x, y) = (self.typed(a), self.typed(b));
                expr::binary(*op, a.dtype, &x, &y)
            }
            TypedKind::Fma(a, b, c) => {
                let (x, y, z) = (self.typed(a), self.typed(b), self.typed(c));
                match t.dtype {
                    DType::F32 => format!("fmaf({x}, {y}, {z})"),
                    DType::F64 => format!("fma({x}, {y}, {z})"),
                    other => {
                        let product = expr::binary(BinOp::Mul, other, &x, &y);
                        expr::binary(BinOp::Add, other, &product, &z)
                    }
                }
            }
            TypedKind::Select(c, a, b) => {
                format!("({} ? {} : {})", self.typed(c), self.typed(a), self.typed(b))
            }
            TypedKind::Convert { rounding, saturate, value } => {
                let v = self.typed(value);
                expr::convert(&v, value.dtype, t.dtype, *rounding, *saturate)
            }
            TypedKind::Bitcast(a) => {
                let v = self.typed(a);
                expr::bitcast(&v, a.dtype, t.dtype)
            }
        }
    }
}

/// A literal as a value of a type.
fn literal(v: Literal, t: DType) -> String {
    match t {
        DType::Bool => expr::table_entry(v, t),
        _ => format!("(({}){})", memory_type(t), expr::table_entry(v, t)),
    }
}
