//! The text form of a kernel, which [`super::parse`] reads back to the same value.
//!
//! Keeps: every conversion, type, order and mode is written; the grouping of sums survives.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{Buffer, Condition, Index, Kernel, KernelNode, LoopMode, Store, Typed, TypedKind};
use crate::expr::{Literal, Rounding};
use crate::nest::Role;

/// The suffix of a rounding; nearest-even has none.
pub(super) const fn rounding_word(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::Nearest => "",
        Rounding::Zero => ".rtz",
        Rounding::Up => ".rup",
        Rounding::Down => ".rdn",
    }
}

/// The word of a loop's mode; serial has none.
pub(super) const fn mode_word(mode: LoopMode) -> &'static str {
    match mode {
        LoopMode::Serial => "",
        LoopMode::Parallel => "parallel",
        LoopMode::Vector => "vector",
        LoopMode::Unroll => "unroll",
        LoopMode::Mapped(place) => place.name(),
    }
}

/// Items between commas.
pub(super) struct List<'a, T>(pub(super) &'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            item.fmt(f)?;
        }
        Ok(())
    }
}

/// An index as an operand of `*` or on the right of `+`.
struct Factor<'a>(&'a Index);

impl Display for Factor<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Index::Add(..) | Index::Sub(..) => write!(f, "({})", self.0),
            Index::Const(_)
            | Index::Var(_)
            | Index::Mul(..)
            | Index::FloorDiv(..)
            | Index::Mod(..)
            | Index::Min(..)
            | Index::Max(..)
            | Index::Select(..) => self.0.fmt(f),
        }
    }
}

impl Display for Index {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Const(v) => write!(f, "{v}"),
            Self::Var(name) => f.write_str(name),
            Self::Add(a, b) => write!(f, "{a} + {}", Factor(b)),
            Self::Sub(a, b) => write!(f, "{a} - {}", Factor(b)),
            Self::Mul(c, a) => write!(f, "{c} * {}", Factor(a)),
            Self::FloorDiv(a, d) => write!(f, "floordiv({a}, {d})"),
            Self::Mod(a, d) => write!(f, "mod({a}, {d})"),
            Self::Min(a, b) => write!(f, "min({a}, {b})"),
            Self::Max(a, b) => write!(f, "max({a}, {b})"),
            Self::Select(c, a, b) => write!(f, "select({c}, {a}, {b})"),
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ge(a, b) => write!(f, "{a} >= {b}"),
            Self::Eq(a, b) => write!(f, "{a} == {b}"),
            Self::All(parts) => write!(f, "all({})", List(parts)),
            Self::Any(parts) => write!(f, "any({})", List(parts)),
        }
    }
}

/// A literal without its type.
struct Number(Literal);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Literal::Int(v) => write!(f, "{v}"),
            Literal::Float(v) if v.is_finite() => write!(f, "{v:?}"),
            Literal::Float(v) => write!(f, "bits({:#x})", v.to_bits()),
            Literal::Bool(v) => write!(f, "{v}"),
        }
    }
}

impl Display for Typed<Index> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let t = self.dtype;
        match &self.kind {
            TypedKind::Literal(v) => write!(f, "{}:{t}", Number(*v)),
            TypedKind::Index(i) => write!(f, "index.{t}({i})"),
            TypedKind::Read { array, indices } => write!(f, "{array}[{}]:{t}", List(indices)),
            TypedKind::Unary(op, a) => write!(f, "{}.{t}({a})", op.name()),
            TypedKind::Binary(op, a, b) => write!(f, "{}.{t}({a}, {b})", op.name()),
            TypedKind::Fma(a, b, c) => write!(f, "fma.{t}({a}, {b}, {c})"),
            TypedKind::Select(c, a, b) => write!(f, "select.{t}({c}, {a}, {b})"),
            TypedKind::Convert { rounding, saturate, value } => {
                let sat = if *saturate { ".sat" } else { "" };
                write!(f, "cast.{t}{}{sat}({value})", rounding_word(*rounding))
            }
            TypedKind::Bitcast(a) => write!(f, "bitcast.{t}({a})"),
        }
    }
}

impl Display for Store<Index> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (s, array, dtype) = (&self.statement, &self.array, self.dtype);
        write!(
            f,
            "{s}: {array}[{}]:{dtype} {} {}",
            List(&self.indices),
            self.op.text(),
            self.value
        )?;
        if let Some(guard) = &self.guard {
            write!(f, " when {guard}")?;
        }
        write!(f, " order {}", self.order.text())?;
        f.write_str(if self.strict { " strict" } else { "" })
    }
}

fn buffer(f: &mut Formatter<'_>, b: &Buffer) -> fmt::Result {
    let role = match &b.role {
        Role::In => "in",
        Role::Out => "out",
        Role::InOut => "inout",
        Role::Temp => "temp",
        Role::Const(_) => "const",
    };
    write!(f, "  {role} {}: {}[{}]", b.name, b.dtype, List(&b.shape))?;
    if let Some(of) = &b.of {
        write!(f, " of [{}]", List(of))?;
    }
    if let Role::Const(values) = &b.role {
        let values: Vec<Number> = values.iter().map(|v| Number(*v)).collect();
        write!(f, " = [{}]", List(&values))?;
    }
    f.write_char('\n')
}

pub(super) fn nodes(f: &mut Formatter<'_>, body: &[KernelNode], indent: usize) -> fmt::Result {
    let pad = "  ".repeat(indent);
    for node in body {
        match node {
            KernelNode::Store(s) => writeln!(f, "{pad}{s}")?,
            KernelNode::Device(d) => super::device::print::device(f, d, indent)?,
            KernelNode::If(c, then, otherwise) => {
                writeln!(f, "{pad}if {c} {{")?;
                nodes(f, then, indent + 1)?;
                if !otherwise.is_empty() {
                    writeln!(f, "{pad}}} else {{")?;
                    nodes(f, otherwise, indent + 1)?;
                }
                writeln!(f, "{pad}}}")?;
            }
            KernelNode::Local(l) => {
                write!(f, "{pad}local {}: {}[{}]", l.name, l.dtype, List(&l.shape))?;
                for (k, place) in l.across.iter().enumerate() {
                    write!(f, "{} {}", if k == 0 { " across" } else { "," }, place.name())?;
                }
                writeln!(f, " {{")?;
                nodes(f, &l.body, indent + 1)?;
                writeln!(f, "{pad}}}")?;
            }
            KernelNode::Loop(l) => {
                write!(f, "{pad}for {} in {}..{}", l.var, l.lower, l.upper)?;
                if l.step != 1 {
                    write!(f, " step {}", l.step)?;
                }
                if l.mode != LoopMode::Serial {
                    write!(f, " {}", mode_word(l.mode))?;
                }
                if l.label != l.var {
                    write!(f, " label {}", l.label)?;
                }
                writeln!(f, " {{")?;
                nodes(f, &l.body, indent + 1)?;
                writeln!(f, "{pad}}}")?;
            }
        }
    }
    Ok(())
}

/// The `.kernel` text.
impl Display for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel {}({}) {{", self.name, List(&self.params))?;
        for b in &self.buffers {
            buffer(f, b)?;
        }
        nodes(f, &self.body, 1)?;
        writeln!(f, "}}")
    }
}
