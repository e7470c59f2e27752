//! Whether value ranges prove that a reduction with `order exact` never rounds.
//!
//! In: a nest whose types are sound. Out: `E0808` for each such statement that is not proved.
//! Keeps: only what is promised (`assume LOW <= A <= HIGH, integer`) or what a type holds is
//! believed. A sum of n integers of magnitude at most v is exact in p bits in every order where its
//! first value and n·v together are at most 2^p; integers wrap, which no order changes; a minimum
//! or maximum never rounds.
//! Why here: every tile and order of such a statement gives the same bits, so schedules rest on it.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Diagnostic;
use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal, UnOp};
use warploom_ir::kernel::{Store, Typed, TypedKind};
use warploom_ir::nest::{AssignOp, Nest, Order, Placed, Role};
use warploom_ir::typing::type_statement;
use warploom_isl::{Ctx, Extremum, Set};

use super::{domain, var};

/// The statements whose exactness does not follow.
pub(super) fn inexact(ctx: &Ctx, nest: &Nest) -> warploom_isl::Result<Vec<Diagnostic>> {
    let mut out = Vec::new();
    for placed in nest.statements() {
        let s = placed.statement;
        if s.order != Order::Exact || !s.op.is_update() {
            continue;
        }
        let Ok(store) = type_statement(nest, s) else { continue };
        if let Err(why) = proof(ctx, nest, &placed, &store)? {
            let message = format!("`order exact` of `{}` is not proved: {why}", s.name);
            out.push(Diagnostic::input("E0808", message).label(s.span, "this statement").help(
                "state `assume LOW <= A <= HIGH, integer` for what it reads and fix the sizes, or \
                 write `order any`",
            ));
        }
    }
    Ok(out)
}

/// Nothing where the statement is exact, else the reason why that does not follow.
fn proof(
    ctx: &Ctx,
    nest: &Nest,
    placed: &Placed<'_>,
    store: &Store<Affine>,
) -> warploom_isl::Result<Result<(), String>> {
    let integers = !store.dtype.is_float() && !store.value.dtype.is_float();
    match store.op {
        AssignOp::Set | AssignOp::Min | AssignOp::Max => return Ok(Ok(())),
        AssignOp::Add | AssignOp::Mul if integers => return Ok(Ok(())),
        AssignOp::Mul => return Ok(Err("products of floats may round".to_owned())),
        AssignOp::Add => {}
    }
    let bits = store.dtype.precision_bits().min(store.value.dtype.precision_bits());
    let limit = (f64::from(bits)).exp2();
    let (Some(term), Some(first)) = (magnitude(nest, &store.value), first_value(nest, store))
    else {
        return Ok(Err("what it adds is not known to be integers of a limited size".to_owned()));
    };
    let Some(updates) = updates(ctx, nest, placed, store)? else {
        return Ok(Err("the number of its updates has no known limit".to_owned()));
    };
    let most = first + term * updates;
    let fits = most <= limit;
    Ok(if fits {
        Ok(())
    } else {
        Err(format!(
            "{updates} updates of at most {term} reach {most}, beyond the 2^{bits} to which {} \
             holds integers",
            if store.dtype.precision_bits() == bits { store.dtype } else { store.value.dtype }
        ))
    })
}

/// The largest magnitude that other statements, or the caller, give the target; 0 for zeros.
fn first_value(nest: &Nest, store: &Store<Affine>) -> Option<f64> {
    let array = nest.array(&store.array)?;
    let mut most = match array.role {
        Role::In | Role::InOut | Role::Const(_) => element(nest, &store.array, array.dtype)?,
        Role::Out | Role::Temp => 0.0,
    };
    for placed in nest.statements() {
        let s = placed.statement;
        if s.target.array != store.array || s.name == store.statement {
            continue;
        }
        let other = type_statement(nest, s).ok().filter(|_| s.op == AssignOp::Set)?;
        most = magnitude(nest, &other.value)?.max(most);
    }
    Some(most)
}

/// The largest magnitude of an array's elements, if they are promised to be, or are, integers.
fn element(nest: &Nest, array: &str, dtype: DType) -> Option<f64> {
    let number = |l: &Literal| match l {
        Literal::Int(v) => Some(*v as f64),
        Literal::Float(v) => Some(*v),
        Literal::Bool(_) => None,
    };
    let promised = nest.ranges.iter().filter(|r| &*r.array == array);
    let promised = promised
        .filter(|r| r.integer || !dtype.is_float())
        .find_map(|r| Some(number(&r.lower)?.abs().max(number(&r.upper)?.abs())));
    let held = (!dtype.is_float()).then(|| f64::from(dtype.precision_bits()).exp2());
    promised.or(held)
}

/// The largest magnitude of a value that is an integer and was computed without rounding.
fn magnitude(nest: &Nest, value: &Typed<Affine>) -> Option<f64> {
    let of = |v: &Typed<Affine>| magnitude(nest, v);
    let bound = match &value.kind {
        TypedKind::Literal(Literal::Int(v)) => (*v as f64).abs(),
        TypedKind::Literal(Literal::Float(v)) if v.fract() == 0.0 => v.abs(),
        TypedKind::Literal(_) | TypedKind::Index(_) | TypedKind::Bitcast(_) => return None,
        TypedKind::Read { array, .. } => element(nest, array, value.dtype)?,
        TypedKind::Unary(UnOp::Neg | UnOp::Abs, a) => of(a)?,
        TypedKind::Unary(..) => return None,
        TypedKind::Binary(BinOp::Add | BinOp::Sub, a, b) => of(a)? + of(b)?,
        TypedKind::Binary(BinOp::Mul, a, b) => of(a)? * of(b)?,
        TypedKind::Binary(BinOp::Min | BinOp::Max, a, b) | TypedKind::Select(_, a, b) => {
            of(a)?.max(of(b)?)
        }
        TypedKind::Binary(..) => return None,
        TypedKind::Fma(a, b, c) => of(a)? * of(b)? + of(c)?,
        TypedKind::Convert { value, .. } => of(value)?,
    };
    (bound <= f64::from(value.dtype.precision_bits()).exp2()).then_some(bound)
}

/// The most instances that update one element: the product of the extents of the loops that are
/// not an index of the target by themselves.
fn updates(
    ctx: &Ctx,
    nest: &Nest,
    placed: &Placed<'_>,
    store: &Store<Affine>,
) -> warploom_isl::Result<Option<f64>> {
    let mut names: Vec<&Name> = nest.params.iter().map(|p| &p.name).collect();
    let first = names.len();
    names.extend(placed.loops.iter().map(|l| &l.var));
    let dims: Vec<String> = names.iter().map(|n| var(n)).collect();
    let text = format!("{{ [{}] : {} }}", dims.join(","), domain(nest, placed));
    let set = Set::parse(ctx, &text)?;
    let mut product = 1.0;
    for (k, l) in placed.loops.iter().enumerate() {
        if store.indices.iter().any(|i| i.as_var() == Some(&l.var)) {
            continue;
        }
        let ends = (set.dim_min_val(first + k)?, set.dim_max_val(first + k)?);
        match ends {
            (Extremum::Value(low), Extremum::Value(high)) => {
                product *= (high.to_i64()? as f64) - (low.to_i64()? as f64) + 1.0;
            }
            (Extremum::Empty, _) | (_, Extremum::Empty) => return Ok(Some(0.0)),
            (Extremum::Unbounded, _) | (_, Extremum::Unbounded) => return Ok(None),
        }
    }
    Ok(Some(product))
}
