//! The Nest: *what* is computed, as affine loops over statements (docs/ARCHITECTURE.md).
//!
//! Meaning: the body runs in textual order. A loop's bounds are evaluated once, before its first
//! iteration. A statement evaluates its guard, its right-hand side and then stores. Arrays are
//! dense and row-major; `temp` arrays start undefined, `out` arrays too.
//! Keeps: a plain value; equality ignores spans and source.

pub mod builder;
mod expand;
pub mod formula;
mod names;
mod parse;
mod parse_expr;
pub(crate) mod print;

use std::collections::BTreeSet;

use crate::affine::{Affine, Name};
use crate::diag::{Source, Span};
use crate::dtype::DType;
use crate::expr::{Access, Expr, Literal};

/// A whole program of loops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nest {
    /// Symbolic sizes.
    pub params: Vec<Param>,
    /// Arrays in declaration order.
    pub arrays: Vec<Array>,
    /// Facts the user guarantees: value ranges.
    pub ranges: Vec<ValueRange>,
    /// Facts about the parameters (`assume N >= 4`), all of which hold.
    pub assumptions: Vec<Constraint>,
    /// Loops, guards and statements in execution order.
    pub body: Vec<Node>,
    /// The text that spans point into.
    pub source: Source,
}

/// A symbolic size, fixed or given when the program is run.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: Name,
    /// Its value, if the nest fixes it.
    pub value: Option<i64>,
    /// Where it was declared.
    pub span: Span,
}

impl PartialEq for Param {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

impl Eq for Param {}

/// What an array is to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read only, given by the caller.
    In,
    /// Written; undefined before.
    Out,
    /// Given by the caller and written.
    InOut,
    /// Neither given nor returned.
    Temp,
    /// A table of constants, row-major, as many as the shape holds.
    Const(Vec<Literal>),
}

/// A dense row-major array.
#[derive(Clone, Debug)]
pub struct Array {
    /// Its name.
    pub name: Name,
    /// What it is to the caller.
    pub role: Role,
    /// Element type.
    pub dtype: DType,
    /// Extents in elements, affine in the parameters; rank 0 is a scalar.
    pub shape: Vec<Affine>,
    /// Where it was declared.
    pub span: Span,
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.role == other.role
            && self.dtype == other.dtype
            && self.shape == other.shape
    }
}

impl Eq for Array {}

/// `assume lower <= ARRAY <= upper [, integer]`.
#[derive(Clone, Debug)]
pub struct ValueRange {
    /// The array.
    pub array: Name,
    /// Least value of any element.
    pub lower: Literal,
    /// Greatest value of any element.
    pub upper: Literal,
    /// Every element is an integer.
    pub integer: bool,
    /// Where it was written.
    pub span: Span,
}

impl PartialEq for ValueRange {
    fn eq(&self, other: &Self) -> bool {
        self.array == other.array
            && self.lower == other.lower
            && self.upper == other.upper
            && self.integer == other.integer
    }
}

impl Eq for ValueRange {}

/// `expr >= 0` or `expr == 0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// The expression compared with zero.
    pub expr: Affine,
    /// Equality instead of `>=`.
    pub equality: bool,
}

impl Constraint {
    /// `expr >= 0`.
    #[must_use]
    pub const fn non_negative(expr: Affine) -> Self {
        Self { expr, equality: false }
    }

    /// `expr == 0`.
    #[must_use]
    pub const fn zero(expr: Affine) -> Self {
        Self { expr, equality: true }
    }

    /// In isl's notation, with variables renamed.
    #[must_use]
    pub fn to_isl(&self, rename: &dyn Fn(&str) -> String) -> String {
        let op = if self.equality { "=" } else { ">=" };
        format!("{} {op} 0", self.expr.to_isl(rename))
    }

    /// Whether it holds; `None` for an unknown variable or an overflow.
    pub fn holds(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Option<bool> {
        let value = self.expr.eval(lookup)?;
        Some(if self.equality { value == 0 } else { value >= 0 })
    }
}

/// An item of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A loop.
    Loop(Loop),
    /// `if c1 and c2 { … }`: the body runs where every constraint holds.
    If(Vec<Constraint>, Vec<Node>),
    /// A statement.
    Statement(Statement),
}

/// A counted loop over `max(lower) .. min(upper)` (exclusive) in steps of `step`.
///
/// Ascending: `lower, lower + step, …`. Descending: `upper - 1, upper - 1 - step, …` down to
/// `lower`.
#[derive(Clone, Debug)]
pub struct Loop {
    /// The iterator; unique among the loops around it and the parameters.
    pub var: Name,
    /// Inclusive lower bounds; the loop starts at their maximum. Not empty.
    pub lower: Vec<Affine>,
    /// Exclusive upper bounds; the loop ends at their minimum. Not empty.
    pub upper: Vec<Affine>,
    /// Distance of iterations, positive.
    pub step: i64,
    /// From high to low.
    pub descending: bool,
    /// What runs in each iteration.
    pub body: Vec<Node>,
    /// Where the header was written.
    pub span: Span,
}

impl PartialEq for Loop {
    fn eq(&self, other: &Self) -> bool {
        self.var == other.var
            && self.lower == other.lower
            && self.upper == other.upper
            && self.step == other.step
            && self.descending == other.descending
            && self.body == other.body
    }
}

impl Eq for Loop {}

/// How a statement combines its value with the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssignOp {
    /// `=`.
    Set,
    /// `+=`.
    Add,
    /// `*=`.
    Mul,
    /// `min=`.
    Min,
    /// `max=`.
    Max,
}

impl AssignOp {
    /// True for the operators that read the target.
    #[must_use]
    pub const fn is_update(self) -> bool {
        !matches!(self, Self::Set)
    }

    /// Its text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Set => "=",
            Self::Add => "+=",
            Self::Mul => "*=",
            Self::Min => "min=",
            Self::Max => "max=",
        }
    }
}

/// In which orders the updates of one element may be combined (docs/ARCHITECTURE.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// Bit for bit as written.
    #[default]
    Serial,
    /// Any association, the same bits on every run.
    Fixed,
    /// Any association and order.
    Any,
    /// Value ranges prove that nothing rounds: every order gives the same bits.
    Exact,
}

impl Order {
    /// Its text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Fixed => "fixed",
            Self::Any => "any",
            Self::Exact => "exact",
        }
    }
}

/// What the additions of a sum may drop: `keeps 13 over 128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keeps {
    /// Each addition may drop what is below 2^-bits of the largest of the terms and of the sums of
    /// terms that it adds.
    pub bits: u32,
    /// Only inside partial sums of at most so many terms, which are then added in the
    /// accumulation type; `None`: in the whole sum.
    pub over: Option<u32>,
}

/// How a sum adds, as the command line says it: `f32 keeps 13 over 128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accumulation {
    /// The type.
    pub acc: DType,
    /// What additions may drop.
    pub keeps: Option<Keeps>,
}

/// `NAME: target op value [when guard] [acc T] [keeps N [over P]] [order O] [strict]`.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Unique in the nest.
    pub name: Name,
    /// The element written.
    pub target: Access,
    /// How it is combined.
    pub op: AssignOp,
    /// The right-hand side.
    pub value: Expr,
    /// A data-dependent condition: the statement runs only where it is true.
    pub guard: Option<Expr>,
    /// The type in which the value is evaluated and combined; by default the target's compute
    /// type joined with the value's.
    pub acc: Option<DType>,
    /// What its additions may drop; nothing but the roundings of `acc` where nothing is said.
    pub keeps: Option<Keeps>,
    /// Order of a reduction.
    pub order: Order,
    /// Forbids contracting a·b + c into fma.
    pub strict: bool,
    /// Where it was written.
    pub span: Span,
}

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.target == other.target
            && self.op == other.op
            && self.value == other.value
            && self.guard == other.guard
            && self.acc == other.acc
            && self.keeps == other.keeps
            && self.order == other.order
            && self.strict == other.strict
    }
}

impl Eq for Statement {}

impl Statement {
    /// `target op value` with every clause at its default, written nowhere.
    #[must_use]
    pub fn plain(name: Name, target: Access, op: AssignOp, value: Expr) -> Self {
        Self {
            name,
            target,
            op,
            value,
            guard: None,
            acc: None,
            keeps: None,
            order: Order::default(),
            strict: false,
            span: Span::NONE,
        }
    }

    /// Every element read, each once: the right-hand side's, the guard's and, for an update, the
    /// target.
    #[must_use]
    pub fn reads(&self) -> Vec<&Access> {
        let guard = self.guard.iter().flat_map(|g| g.reads());
        let target = self.op.is_update().then_some(&self.target);
        let mut out: Vec<&Access> = Vec::new();
        for access in self.value.reads().into_iter().chain(guard).chain(target) {
            if !out.contains(&access) {
                out.push(access);
            }
        }
        out
    }

    /// Calls `f` on every access, to change it: the target's, then reads in the order of the text.
    pub fn visit_accesses_mut(&mut self, f: &mut dyn FnMut(&mut Access)) {
        f(&mut self.target);
        self.value.visit_reads_mut(f);
        if let Some(guard) = &mut self.guard {
            guard.visit_reads_mut(f);
        }
    }
}

/// A statement with the loops and guards around it, outermost first.
#[derive(Clone, Debug)]
pub struct Placed<'a> {
    /// The statement.
    pub statement: &'a Statement,
    /// The loops around it.
    pub loops: Vec<&'a Loop>,
    /// The guards around it.
    pub guards: Vec<&'a Constraint>,
}

impl Nest {
    /// The array of this name.
    #[must_use]
    pub fn array(&self, name: &str) -> Option<&Array> {
        self.arrays.iter().find(|a| &*a.name == name)
    }

    /// The parameter of this name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| &*p.name == name)
    }

    /// Every statement with its surroundings, in textual order.
    #[must_use]
    pub fn statements(&self) -> Vec<Placed<'_>> {
        let mut out = Vec::new();
        collect(&self.body, &mut Vec::new(), &mut Vec::new(), &mut out);
        out
    }

    /// The statement of this name.
    #[must_use]
    pub fn statement(&self, name: &str) -> Option<&Statement> {
        self.statements().into_iter().map(|p| p.statement).find(|s| &*s.name == name)
    }

    /// Arrays some statement writes.
    #[must_use]
    pub fn written(&self) -> BTreeSet<Name> {
        self.statements().into_iter().map(|p| p.statement.target.array.clone()).collect()
    }
}

fn collect<'a>(
    body: &'a [Node],
    loops: &mut Vec<&'a Loop>,
    guards: &mut Vec<&'a Constraint>,
    out: &mut Vec<Placed<'a>>,
) {
    for node in body {
        match node {
            Node::Loop(l) => {
                loops.push(l);
                collect(&l.body, loops, guards, out);
                loops.pop();
            }
            Node::If(constraints, inner) => {
                guards.extend(constraints);
                collect(inner, loops, guards, out);
                guards.truncate(guards.len() - constraints.len());
            }
            Node::Statement(statement) => {
                out.push(Placed { statement, loops: loops.clone(), guards: guards.clone() });
            }
        }
    }
}
