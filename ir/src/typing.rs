//! Typing: from a statement as written to a [`Store`] in which every conversion stands.
//!
//! A statement has one evaluation type E: `acc T`, else the join of the right-hand side's natural
//! compute type and the target's. E is pushed down through arithmetic, selections and functions
//! to the reads (which widen), literals and indices. Comparisons, casts, bitcasts, `exponent`,
//! `isfinite` and everything boolean have a type of their own, which then widens to E.
//! In: a statement and the arrays. Out: a typed store. Errors: `E0301`–`E0307`, at the statement.

mod check;

use std::convert::Infallible;

use crate::affine::Affine;
use crate::diag::{Diagnostic, Result, Source, Span};
use crate::dtype::DType;
use crate::expr::{Access, BinOp, Expr, Literal, Rounding, UnOp};
use crate::kernel::{Store, Typed, TypedKind};
use crate::nest::{Array, AssignOp, Nest, Order, Statement};
use crate::value::int_range;

/// Types a statement of a nest.
///
/// # Errors
/// See the module's page.
pub fn type_statement(nest: &Nest, statement: &Statement) -> Result<Store<Affine>> {
    type_statement_in(&nest.arrays, &nest.source, statement)
}

/// Types a statement over these arrays; `source` is what its spans point into.
///
/// # Errors
/// See the module's page.
pub fn type_statement_in(
    arrays: &[Array],
    source: &Source,
    statement: &Statement,
) -> Result<Store<Affine>> {
    Typing { arrays, source, span: statement.span }.statement(statement)
}

/// A value to be stored, without a conversion to the array's type that storing makes anyway.
fn stored(value: Typed<Affine>, target: DType) -> Typed<Affine> {
    let narrowed = |v: &Typed<Affine>| match &v.kind {
        TypedKind::Convert { rounding: Rounding::Nearest, saturate: false, value } => {
            Some(value.clone())
        }
        TypedKind::Convert { .. }
        | TypedKind::Literal(_)
        | TypedKind::Index(_)
        | TypedKind::Read { .. }
        | TypedKind::Unary(..)
        | TypedKind::Binary(..)
        | TypedKind::Fma(..)
        | TypedKind::Select(..)
        | TypedKind::Bitcast(_) => None,
    };
    let rounded = narrowed(&value)
        .filter(|v| v.dtype == target && target.is_float())
        .filter(|_| target.widens_to(value.dtype));
    let exact = rounded.and_then(|v| narrowed(&v)).filter(|v| v.dtype == value.dtype);
    exact.map_or(value, |v| *v)
}

struct Typing<'a> {
    arrays: &'a [Array],
    source: &'a Source,
    span: Span,
}

impl Typing<'_> {
    fn error(&self, code: &'static str, message: String, label: &str) -> Box<Diagnostic> {
        Box::new(Diagnostic::input(code, message).in_source(self.source).label(self.span, label))
    }

    fn statement(&self, s: &Statement) -> Result<Store<Affine>> {
        let target = self.array(&s.target)?.dtype;
        let e = self.evaluation_type(s, target)?;
        let value = self.push(&s.value, e)?;
        let value = if s.op == AssignOp::Set { stored(value, target) } else { value };
        let guard = s.guard.as_ref().map(|g| self.boolean(g, "the guard")).transpose()?;
        Ok(Store {
            statement: s.name.clone(),
            array: s.target.array.clone(),
            dtype: target,
            indices: s.target.indices.clone(),
            op: s.op,
            value,
            guard,
            order: s.order,
            strict: s.strict,
        })
    }

    /// The statement's evaluation type, with the conversions around it checked.
    fn evaluation_type(&self, s: &Statement, target: DType) -> Result<DType> {
        let natural = self.natural(&s.value)?.map(DType::compute_type);
        let e = match (s.acc, natural) {
            (Some(acc), _) if acc.compute_type() != acc => {
                let message = format!("nothing is computed in {acc}, so it cannot be `acc`");
                return Err(self
                    .error("E0303", message, "here")
                    .with_help(format!("write `acc {}`", acc.compute_type())));
            }
            (Some(acc), Some(natural)) if !natural.widens_to(acc) => {
                return Err(self.no_join("the right-hand side", natural, "`acc`", acc));
            }
            (Some(acc), _) => acc,
            (None, None) => target.compute_type(),
            (None, Some(natural)) => natural.join(target.compute_type()).ok_or_else(|| {
                self.no_join("the right-hand side", natural, "the target", target)
            })?,
        };
        let e = e.compute_type();
        let floats = e.is_float() && target.is_float();
        if !(floats || e.widens_to(target)) {
            let own = natural.filter(|_| s.acc.is_none()).unwrap_or(e);
            let message = format!(
                "a value of type {own} is stored in `{}`, which is {target}",
                s.target.array
            );
            return Err(self
                .error("E0302", message, "this would lose values silently")
                .with_help(format!("write a cast: `cast_{target}(…)`")));
        }
        if s.op.is_update() && !target.widens_to(e) {
            let message = format!("`{}` is {target}, which does not fit `acc {e}`", s.target.array);
            return Err(self
                .error("E0302", message, "the old value would be rounded before the update")
                .with_help("give `acc` a wider type or the array a narrower one".into()));
        }
        self.kept(s, e)?;
        let arithmetic = matches!(s.op, AssignOp::Add | AssignOp::Mul);
        if arithmetic && e == DType::Bool {
            let message = format!("`{}` is not defined on bool", s.op.text());
            return Err(self
                .error("E0303", message, "here")
                .with_help("use `max=` for or, `min=` for and".into()));
        }
        Ok(e)
    }

    /// `keeps` stands at a sum of floats whose order is free.
    fn kept(&self, s: &Statement, e: DType) -> Result<()> {
        let Some(keeps) = s.keeps else { return Ok(()) };
        let why = if s.op != AssignOp::Add || !e.is_float() {
            "is no sum of floats".to_owned()
        } else if matches!(s.order, Order::Serial | Order::Exact) || s.strict {
            format!("rounds as written (`order {}`)", s.order.text())
        } else if keeps.bits > e.precision_bits() {
            format!("has no more than the {} bits of {e}", e.precision_bits())
        } else {
            return Ok(());
        };
        let message = format!("`{keeps}` is said of `{}`, which {why}", s.name);
        let help = "`keeps N` loosens `+=` of floats with `order fixed` or `order any`";
        Err(self.error("E0303", message, "in this statement").with_help(help.into()))
    }

    fn array(&self, access: &Access) -> Result<&Array> {
        let at = |message: String| {
            let span = if access.span == Span::NONE { self.span } else { access.span };
            Box::new(Diagnostic::input("E0307", message).in_source(self.source).label(span, "here"))
        };
        let array = self
            .arrays
            .iter()
            .find(|a| a.name == access.array)
            .ok_or_else(|| at(format!("there is no array `{}`", access.array)))?;
        let (rank, given) = (array.shape.len(), access.indices.len());
        if rank != given {
            return Err(at(format!(
                "`{}` has {rank} dimensions but {given} indices are given",
                array.name
            )));
        }
        Ok(array)
    }

    fn no_join(&self, a: &str, x: DType, b: &str, y: DType) -> Box<Diagnostic> {
        let message = format!("{a} is {x} and {b} is {y}: no type holds the values of both");
        self.error("E0301", message, "in this statement")
            .with_help(format!("write a cast, such as `cast_{y}(…)`"))
    }

    fn join(&self, a: Option<DType>, b: Option<DType>) -> Result<Option<DType>> {
        match (a, b) {
            (Some(x), Some(y)) => match x.join(y) {
                Some(t) => Ok(Some(t)),
                None => Err(self.no_join("one operand", x, "the other", y)),
            },
            (Some(x), None) | (None, Some(x)) => Ok(Some(x)),
            (None, None) => Ok(None),
        }
    }

    /// The type an expression has by itself; `None` where its context decides. Reads, casts and
    /// bitcasts have storage types, everything else a compute type.
    fn natural(&self, expr: &Expr) -> Result<Option<DType>> {
        Ok(match expr {
            Expr::Literal(Literal::Bool(_)) | Expr::Unary(UnOp::IsFinite, _) => Some(DType::Bool),
            Expr::Literal(Literal::Int(_) | Literal::Float(_)) | Expr::Index(_) => None,
            Expr::Read(access) => Some(self.array(access)?.dtype),
            Expr::Unary(UnOp::Exponent, _) => Some(DType::I32),
            Expr::Unary(_, a) | Expr::Binary(BinOp::Ldexp, a, _) => {
                self.natural(a)?.map(DType::compute_type)
            }
            Expr::Binary(op, _, _) if op.is_comparison() => Some(DType::Bool),
            Expr::Binary(_, a, b) | Expr::Select(_, a, b) => {
                self.join(self.natural(a)?, self.natural(b)?)?.map(DType::compute_type)
            }
            Expr::Fma(a, b, c) => {
                let ab = self.join(self.natural(a)?, self.natural(b)?)?;
                self.join(ab, self.natural(c)?)?.map(DType::compute_type)
            }
            Expr::Cast { to, .. } | Expr::Bitcast(to, _) => Some(*to),
        })
    }

    /// The natural type, or for an untyped expression i64, or f64 where it holds a float literal
    /// or a function of floats.
    fn natural_or_default(&self, exprs: &[&Expr]) -> Result<DType> {
        let mut natural = None;
        let mut float = false;
        for expr in exprs {
            natural = self.join(natural, self.natural(expr)?)?;
            expr.visit(&mut |e| {
                float |= match e {
                    Expr::Literal(Literal::Float(_)) => true,
                    Expr::Unary(op, _) => check::unary(*op, DType::I64).is_err(),
                    Expr::Binary(op, ..) => {
                        matches!(op, BinOp::Div | BinOp::Pow | BinOp::Ldexp)
                    }
                    Expr::Literal(Literal::Int(_) | Literal::Bool(_))
                    | Expr::Index(_)
                    | Expr::Read(_)
                    | Expr::Fma(..)
                    | Expr::Select(..)
                    | Expr::Cast { .. }
                    | Expr::Bitcast(..) => false,
                };
            });
        }
        Ok(natural.unwrap_or(if float { DType::F64 } else { DType::I64 }))
    }

    /// An expression in its own type: what casts, bitcasts and `exponent` take.
    fn own(&self, expr: &Expr) -> Result<Typed<Affine>> {
        match expr {
            Expr::Read(access) => self.read(access),
            Expr::Cast { to, rounding, saturate, value } => Ok(Typed {
                dtype: *to,
                kind: TypedKind::Convert {
                    rounding: *rounding,
                    saturate: *saturate,
                    value: Box::new(self.own(value)?),
                },
            }),
            Expr::Bitcast(to, value) => self.bitcast(*to, value),
            Expr::Literal(_)
            | Expr::Index(_)
            | Expr::Unary(..)
            | Expr::Binary(..)
            | Expr::Fma(..)
            | Expr::Select(..) => self.push(expr, self.natural_or_default(&[expr])?),
        }
    }

    fn read(&self, access: &Access) -> Result<Typed<Affine>> {
        let dtype = self.array(access)?.dtype;
        let (array, indices) = (access.array.clone(), access.indices.clone());
        Ok(Typed { dtype, kind: TypedKind::Read { array, indices } })
    }

    fn bitcast(&self, to: DType, value: &Expr) -> Result<Typed<Affine>> {
        let value = self.own(value)?;
        if value.dtype.bits() != to.bits() || (to == DType::Bool) != (value.dtype == DType::Bool) {
            let message = format!("the bits of a {} are no {to}", value.dtype);
            return Err(self
                .error("E0305", message, "in this statement")
                .with_help("a bitcast is between types of one size, neither of them bool".into()));
        }
        Ok(Typed { dtype: to, kind: TypedKind::Bitcast(Box::new(value)) })
    }

    fn widen(&self, value: Typed<Affine>, to: DType) -> Result<Typed<Affine>> {
        if value.dtype == to {
            return Ok(value);
        }
        if !value.dtype.widens_to(to) {
            return Err(self.no_join("a value", value.dtype, "its context", to));
        }
        let kind = TypedKind::Convert {
            rounding: Rounding::Nearest,
            saturate: false,
            value: Box::new(value),
        };
        Ok(Typed { dtype: to, kind })
    }

    /// An expression evaluated in the compute type `e`.
    fn push(&self, expr: &Expr, e: DType) -> Result<Typed<Affine>> {
        let kind = match expr {
            Expr::Literal(Literal::Bool(b)) => {
                let kind = TypedKind::Literal(Literal::Bool(*b));
                return self.widen(Typed { dtype: DType::Bool, kind }, e);
            }
            Expr::Literal(literal) => TypedKind::Literal(self.literal(*literal, e)?),
            Expr::Unary(UnOp::Neg, a) if matches!(**a, Expr::Literal(Literal::Int(_))) => {
                TypedKind::Literal(self.negated(a, e)?)
            }
            Expr::Index(_) if e == DType::Bool => {
                return Err(self
                    .error("E0304", "an index is no bool".into(), "in this statement")
                    .with_help("compare it".into()));
            }
            Expr::Index(index) => TypedKind::Index(index.clone()),
            Expr::Read(_) | Expr::Cast { .. } | Expr::Bitcast(..) => {
                return self.widen(self.own(expr)?, e);
            }
            Expr::Unary(op @ (UnOp::Exponent | UnOp::IsFinite), a) => {
                return self.widen(self.inspect(*op, a)?, e);
            }
            Expr::Unary(op, a) => {
                if self.is_boolean(expr, e)? {
                    return self.widen(self.push(expr, DType::Bool)?, e);
                }
                self.defined(check::unary(*op, e))?;
                TypedKind::Unary(*op, Box::new(self.push(a, e)?))
            }
            Expr::Binary(op, a, b) if op.is_comparison() => {
                let t = self.natural_or_default(&[a, b])?.compute_type();
                let (a, b) = (Box::new(self.push(a, t)?), Box::new(self.push(b, t)?));
                let kind = TypedKind::Binary(*op, a, b);
                return self.widen(Typed { dtype: DType::Bool, kind }, e);
            }
            Expr::Binary(op, a, b) => {
                if self.is_boolean(expr, e)? {
                    return self.widen(self.push(expr, DType::Bool)?, e);
                }
                self.defined(check::binary(*op, e))?;
                let second = if *op == BinOp::Ldexp { DType::I32 } else { e };
                TypedKind::Binary(*op, Box::new(self.push(a, e)?), Box::new(self.push(b, second)?))
            }
            Expr::Fma(a, b, c) => {
                self.defined(check::binary(BinOp::Mul, e))?;
                TypedKind::Fma(
                    Box::new(self.push(a, e)?),
                    Box::new(self.push(b, e)?),
                    Box::new(self.push(c, e)?),
                )
            }
            Expr::Select(c, a, b) => {
                if self.is_boolean(expr, e)? {
                    return self.widen(self.push(expr, DType::Bool)?, e);
                }
                TypedKind::Select(
                    Box::new(self.boolean(c, "the condition")?),
                    Box::new(self.push(a, e)?),
                    Box::new(self.push(b, e)?),
                )
            }
        };
        Ok(Typed { dtype: e, kind })
    }

    /// Whether an expression is boolean by itself but wanted in another type.
    fn is_boolean(&self, expr: &Expr, e: DType) -> Result<bool> {
        Ok(e != DType::Bool && self.natural(expr)? == Some(DType::Bool))
    }

    /// `exponent(a)` and `isfinite(a)`, of an operand in its own type.
    fn inspect(&self, op: UnOp, a: &Expr) -> Result<Typed<Affine>> {
        let mut operand = self.own(a)?;
        if self.natural(a)?.is_none() {
            operand = self.push(a, DType::F64)?;
        }
        if !operand.dtype.is_float() {
            self.defined(check::unary(op, operand.dtype))?;
        }
        let dtype = if op == UnOp::Exponent { DType::I32 } else { DType::Bool };
        Ok(Typed { dtype, kind: TypedKind::Unary(op, Box::new(operand)) })
    }

    fn boolean(&self, expr: &Expr, what: &str) -> Result<Typed<Affine>> {
        match self.natural(expr)? {
            Some(DType::Bool) => self.push(expr, DType::Bool),
            other => {
                let dtype = other.map_or("a number", DType::name);
                let message = format!("{what} is {dtype}, not bool");
                Err(self.error("E0306", message, "here").with_help("compare it: `… != 0`".into()))
            }
        }
    }

    fn defined(&self, checked: Result<(), String>) -> Result<()> {
        checked.map_err(|message| {
            self.error("E0303", message, "in this statement").with_help("write a cast".into())
        })
    }

    fn negated(&self, literal: &Expr, e: DType) -> Result<Literal> {
        match literal {
            Expr::Literal(Literal::Int(v)) => match v.checked_neg() {
                // the sign of a zero is visible in floats
                Some(0) if e.is_float() => Ok(Literal::Float(-0.0)),
                Some(v) => self.literal(Literal::Int(v), e),
                None => Err(self.misfit("-(-9223372036854775808)", e)),
            },
            _ => Err(self.misfit("this", e)),
        }
    }

    fn literal(&self, literal: Literal, e: DType) -> Result<Literal> {
        match literal {
            Literal::Float(v) if !e.is_float() => Err(self.misfit(&format!("{v:?}"), e)),
            Literal::Int(v) if !e.is_float() => {
                let (low, high) = int_range(e);
                if e == DType::Bool || !(low..=high).contains(&i128::from(v)) {
                    return Err(self.misfit(&v.to_string(), e));
                }
                Ok(literal)
            }
            Literal::Int(_) | Literal::Float(_) | Literal::Bool(_) => Ok(literal),
        }
    }

    fn misfit(&self, literal: &str, e: DType) -> Box<Diagnostic> {
        let message = format!("the number {literal} does not fit {e}, the type of its context");
        self.error("E0304", message, "in this statement")
            .with_help("write a cast, or `acc` with a type that holds it".into())
    }
}

/// Builder calls on boxed diagnostics.
trait WithHelp {
    fn with_help(self, text: String) -> Self;
}

impl WithHelp for Box<Diagnostic> {
    fn with_help(mut self, text: String) -> Self {
        self.help = Some(text);
        self
    }
}

impl<I> Typed<I> {
    /// The same expression over another kind of index.
    pub fn map_index<J>(&self, f: &mut dyn FnMut(&I) -> J) -> Typed<J> {
        match self.try_map_index(&mut |i| Ok::<J, Infallible>(f(i))) {
            Ok(out) => out,
            Err(never) => match never {},
        }
    }

    /// The same expression over another kind of index, or the first error of `f`.
    ///
    /// # Errors
    /// What `f` gives.
    pub fn try_map_index<J, E>(
        &self,
        f: &mut dyn FnMut(&I) -> Result<J, E>,
    ) -> Result<Typed<J>, E> {
        let mut go = |t: &Self| t.try_map_index(f).map(Box::new);
        let kind = match &self.kind {
            TypedKind::Literal(l) => TypedKind::Literal(*l),
            TypedKind::Index(i) => TypedKind::Index(f(i)?),
            TypedKind::Read { array, indices } => TypedKind::Read {
                array: array.clone(),
                indices: indices.iter().map(f).collect::<Result<_, E>>()?,
            },
            TypedKind::Unary(op, a) => TypedKind::Unary(*op, go(a)?),
            TypedKind::Binary(op, a, b) => TypedKind::Binary(*op, go(a)?, go(b)?),
            TypedKind::Fma(a, b, c) => TypedKind::Fma(go(a)?, go(b)?, go(c)?),
            TypedKind::Select(c, a, b) => TypedKind::Select(go(c)?, go(a)?, go(b)?),
            TypedKind::Convert { rounding, saturate, value } => {
                TypedKind::Convert { rounding: *rounding, saturate: *saturate, value: go(value)? }
            }
            TypedKind::Bitcast(a) => TypedKind::Bitcast(go(a)?),
        };
        Ok(Typed { dtype: self.dtype, kind })
    }

    /// Calls `f` on this expression and everything below it, operands first.
    pub fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a Self)) {
        match &self.kind {
            TypedKind::Literal(_) | TypedKind::Index(_) | TypedKind::Read { .. } => {}
            TypedKind::Unary(_, a)
            | TypedKind::Bitcast(a)
            | TypedKind::Convert { value: a, .. } => a.visit(f),
            TypedKind::Binary(_, a, b) => {
                a.visit(f);
                b.visit(f);
            }
            TypedKind::Fma(a, b, c) | TypedKind::Select(a, b, c) => {
                a.visit(f);
                b.visit(f);
                c.visit(f);
            }
        }
        f(self);
    }

    /// Calls `f` on every index: of numbers and of elements read.
    pub fn visit_indices(&self, f: &mut dyn FnMut(&I)) {
        self.visit(&mut |t| match &t.kind {
            TypedKind::Index(index) => f(index),
            TypedKind::Read { indices, .. } => indices.iter().for_each(&mut *f),
            TypedKind::Literal(_)
            | TypedKind::Unary(..)
            | TypedKind::Binary(..)
            | TypedKind::Fma(..)
            | TypedKind::Select(..)
            | TypedKind::Convert { .. }
            | TypedKind::Bitcast(_) => {}
        });
    }
}

impl<I> Store<I> {
    /// The same store over another kind of index.
    pub fn map_index<J>(&self, f: &mut dyn FnMut(&I) -> J) -> Store<J> {
        match self.try_map_index(&mut |i| Ok::<J, Infallible>(f(i))) {
            Ok(out) => out,
            Err(never) => match never {},
        }
    }

    /// The same store over another kind of index, or the first error of `f`.
    ///
    /// # Errors
    /// What `f` gives.
    pub fn try_map_index<J, E>(
        &self,
        f: &mut dyn FnMut(&I) -> Result<J, E>,
    ) -> Result<Store<J>, E> {
        Ok(Store {
            statement: self.statement.clone(),
            array: self.array.clone(),
            dtype: self.dtype,
            indices: self.indices.iter().map(&mut *f).collect::<Result<_, E>>()?,
            op: self.op,
            value: self.value.try_map_index(f)?,
            guard: self.guard.as_ref().map(|g| g.try_map_index(f)).transpose()?,
            order: self.order,
            strict: self.strict,
        })
    }
}

#[cfg(test)]
mod tests;
