//! Prints a nest and its parts in the text form that [`super::parse`] reads.
//!
//! Keeps: for every nest that [`Nest::validate`](super::Nest::validate) accepts, parsing the
//! printed text gives an equal nest.

use std::fmt::{self, Display, Formatter};

use super::{Array, Constraint, Keeps, Loop, Nest, Node, Order, Role, Statement};
use crate::affine::Affine;
use crate::expr::{Access, BinOp, Expr, Literal, Rounding, UnOp};

/// The bits of the NaN that is printed as `nan`.
pub(crate) const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(v) => write!(f, "{v}"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Float(v) if v.is_nan() => {
                let bits = v.to_bits();
                let sign = if bits >> 63 == 1 { "-" } else { "" };
                match bits & (u64::MAX >> 1) {
                    NAN_BITS => write!(f, "{sign}nan"),
                    payload => write!(f, "{sign}nan({payload:#x})"),
                }
            }
            Self::Float(v) => write!(f, "{v:?}"),
        }
    }
}

impl Display for Access {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.array, List(&self.indices))
    }
}

/// The function's name, or `-` for negation.
pub(crate) const fn unary_name(op: UnOp) -> &'static str {
    if matches!(op, UnOp::Neg) { "-" } else { op.name() }
}

/// The operator's or function's text, and the binding strength of an infix operator (0 for a
/// function).
pub(crate) const fn binary_name(op: BinOp) -> (&'static str, u8) {
    match op {
        BinOp::Add => ("+", 4),
        BinOp::Sub => ("-", 4),
        BinOp::Mul => ("*", 5),
        BinOp::Div => ("/", 5),
        BinOp::FloorDiv => ("div", 0),
        BinOp::Mod
        | BinOp::Min
        | BinOp::Max
        | BinOp::Pow
        | BinOp::And
        | BinOp::Or
        | BinOp::Xor
        | BinOp::Shl
        | BinOp::Shr
        | BinOp::MulHi
        | BinOp::Ldexp => (op.name(), 0),
        BinOp::Lt => ("<", 3),
        BinOp::Le => ("<=", 3),
        BinOp::Gt => (">", 3),
        BinOp::Ge => (">=", 3),
        BinOp::Eq => ("==", 3),
        BinOp::Ne => ("!=", 3),
    }
}

/// The binding strength of a function that may stand between its operands, as a word.
pub(crate) const fn word_strength(op: BinOp) -> Option<u8> {
    if matches!(op, BinOp::Mod) {
        Some(5)
    } else if matches!(op, BinOp::And) {
        Some(2)
    } else if matches!(op, BinOp::Or) {
        Some(1)
    } else {
        None
    }
}

/// The binding strength that an operator with this right operand is printed with; 0 for a function.
/// Words stand between operands where the right one needs no parentheses: so chains, which texts
/// may have of any length, do not nest.
fn strength(op: BinOp, right: &Expr) -> u8 {
    match (binary_name(op).1, word_strength(op)) {
        (0, Some(word)) if !in_parentheses(right, word + 1) => word,
        (strength, _) => strength,
    }
}

/// Whether an operand has parentheses where one that binds at least as strongly as `min` may stand.
fn in_parentheses(e: &Expr, min: u8) -> bool {
    matches!(e, Expr::Binary(op, _, b) if (1..min).contains(&strength(*op, b)))
}

/// The suffix of a cast's name for its rounding.
pub(crate) const fn rounding_suffix(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::Nearest => "",
        Rounding::Zero => "_rtz",
        Rounding::Up => "_rup",
        Rounding::Down => "_rdn",
    }
}

/// Prints `e` where an operand that binds at least as strongly as `min` may stand.
fn expr(f: &mut Formatter<'_>, e: &Expr, min: u8) -> fmt::Result {
    match e {
        Expr::Literal(v) => write!(f, "{v}"),
        Expr::Index(index) => match index.as_var() {
            Some(name) => f.write_str(name),
            None => write!(f, "index({index})"),
        },
        Expr::Read(access) => write!(f, "{access}"),
        Expr::Unary(UnOp::Neg, a) => match &**a {
            Expr::Literal(v) => write!(f, "-({v})"),
            a => {
                f.write_str("-")?;
                expr(f, a, 6)
            }
        },
        Expr::Unary(op, a) => call(f, unary_name(*op), &[a]),
        Expr::Binary(op, a, b) => match (binary_name(*op).0, strength(*op, b)) {
            (name, 0) => call(f, name, &[a, b]),
            (name, strength) => {
                let parens = strength < min;
                f.write_str(if parens { "(" } else { "" })?;
                expr(f, a, if op.is_comparison() { strength + 1 } else { strength })?;
                write!(f, " {name} ")?;
                expr(f, b, strength + 1)?;
                f.write_str(if parens { ")" } else { "" })
            }
        },
        Expr::Fma(a, b, c) => call(f, "fma", &[a, b, c]),
        Expr::Select(a, b, c) => call(f, "select", &[a, b, c]),
        Expr::Cast { to, rounding, saturate, value } => {
            let sat = if *saturate { "_sat" } else { "" };
            call(f, &format!("cast_{to}{}{sat}", rounding_suffix(*rounding)), &[value])
        }
        Expr::Bitcast(to, a) => call(f, &format!("bitcast_{to}"), &[a]),
    }
}

fn call(f: &mut Formatter<'_>, name: &str, args: &[&Expr]) -> fmt::Result {
    write!(f, "{name}({})", List(args))
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        expr(f, self, 0)
    }
}

impl Display for Constraint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} 0", self.expr, if self.equality { "==" } else { ">=" })
    }
}

impl Display for Keeps {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "keeps {}", self.bits)?;
        self.over.map_or(Ok(()), |terms| write!(f, " over {terms}"))
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {} {}", self.name, self.target, self.op.text(), self.value)?;
        if let Some(guard) = &self.guard {
            write!(f, " when {guard}")?;
        }
        if let Some(acc) = self.acc {
            write!(f, " acc {acc}")?;
        }
        if let Some(keeps) = self.keeps {
            write!(f, " {keeps}")?;
        }
        if self.order != Order::Serial {
            write!(f, " order {}", self.order.text())?;
        }
        f.write_str(if self.strict { " strict" } else { "" })
    }
}

fn bound(function: &str, bounds: &[Affine]) -> String {
    match bounds {
        [one] => one.to_string(),
        many => format!("{function}({})", List(many)),
    }
}

/// Prints the header: `for i in 0..N step 2`.
impl Display for Loop {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lower = bound("max", &self.lower);
        write!(f, "for {} in ", self.var)?;
        if self.descending {
            // a bound of i64::MIN is refused by `validate`, so the fallback is never parsed
            let last: Vec<Affine> =
                self.upper.iter().map(|u| u.add_const(-1).unwrap_or_else(|_| u.clone())).collect();
            write!(f, "{} downto {lower}", bound("min", &last))?;
        } else {
            write!(f, "{lower}..{}", bound("min", &self.upper))?;
        }
        if self.step == 1 { Ok(()) } else { write!(f, " step {}", self.step) }
    }
}

/// Prints the declaration: `in A: f32[M, K]`.
impl Display for Array {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let role = match &self.role {
            Role::In => "in",
            Role::Out => "out",
            Role::InOut => "inout",
            Role::Temp => "temp",
            Role::Const(_) => "const",
        };
        write!(f, "{role} {}: {}", self.name, self.dtype)?;
        if !self.shape.is_empty() {
            write!(f, "[{}]", List(&self.shape))?;
        }
        match &self.role {
            Role::Const(values) => write!(f, " = [{}]", List(values)),
            Role::In | Role::Out | Role::InOut | Role::Temp => Ok(()),
        }
    }
}

fn nodes(f: &mut Formatter<'_>, body: &[Node], indent: usize) -> fmt::Result {
    let pad = "  ".repeat(indent);
    for node in body {
        match node {
            Node::Statement(statement) => writeln!(f, "{pad}{statement}")?,
            Node::Loop(l) => {
                writeln!(f, "{pad}{l} {{")?;
                nodes(f, &l.body, indent + 1)?;
                writeln!(f, "{pad}}}")?;
            }
            Node::If(constraints, inner) => {
                let all: Vec<String> = constraints.iter().map(ToString::to_string).collect();
                writeln!(f, "{pad}if {} {{", all.join(" and "))?;
                nodes(f, inner, indent + 1)?;
                writeln!(f, "{pad}}}")?;
            }
        }
    }
    Ok(())
}

impl Display for Nest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for p in &self.params {
            match p.value {
                Some(value) => writeln!(f, "param {} = {value}", p.name)?,
                None => writeln!(f, "param {}", p.name)?,
            }
        }
        for array in &self.arrays {
            writeln!(f, "{array}")?;
        }
        for r in &self.ranges {
            let integer = if r.integer { ", integer" } else { "" };
            writeln!(f, "assume {} <= {} <= {}{integer}", r.lower, r.array, r.upper)?;
        }
        for c in &self.assumptions {
            writeln!(f, "assume {c}")?;
        }
        nodes(f, &self.body, 0)
    }
}
