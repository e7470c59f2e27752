//! Expands a formula statement (`C[m, n] += A[m, k] * B[k, n]` without loops) into plain loops.
//!
//! In: a statement and the indices that nothing declares. Out: loops, an initialisation, the
//! reduction, and a final store where the accumulation type is not the target's.
//! Keeps: nothing after parsing knows that a formula was written.

use std::collections::BTreeSet;

use super::{Array, AssignOp, Keeps, Loop, Nest, Node, Order, Role, Statement};
use crate::affine::{Affine, Name};
use crate::diag::{Diagnostic, Result, Span};
use crate::dtype::DType;
use crate::expr::{Access, Expr, Literal, Rounding};

/// A statement as written.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) name: Option<Name>,
    pub(super) target: Access,
    pub(super) op: AssignOp,
    pub(super) value: Expr,
    pub(super) guard: Option<Expr>,
    pub(super) acc: Option<DType>,
    pub(super) keeps: Option<Keeps>,
    pub(super) order: Option<Order>,
    pub(super) strict: bool,
    pub(super) span: Span,
    /// Indices that nothing declares, in order of appearance; empty for a plain statement.
    pub(super) free: Vec<(Name, Span)>,
}

impl Raw {
    /// The statement itself, unnamed if it was.
    pub(super) fn plain(self) -> Statement {
        Statement {
            name: self.name.unwrap_or_else(|| "".into()),
            target: self.target,
            op: self.op,
            value: self.value,
            guard: self.guard,
            acc: self.acc,
            keeps: self.keeps,
            order: self.order.unwrap_or_default(),
            strict: self.strict,
            span: self.span,
        }
    }

    /// The target and every read, in textual order.
    pub(super) fn accesses(&self) -> Vec<&Access> {
        let mut out = vec![&self.target];
        out.extend(self.value.reads());
        out.extend(self.guard.iter().flat_map(|g| g.reads()));
        out
    }
}

/// An index of a formula and its extent.
pub(super) struct Dim {
    pub(super) name: Name,
    pub(super) extent: Affine,
    pub(super) span: Span,
}

/// The nodes that a formula stands for; may declare a temporary in `nest`. `written` says whether
/// an earlier statement writes the target.
pub(super) fn expand(nest: &mut Nest, raw: Raw, written: bool) -> Result<Vec<Node>> {
    let dims = extents(nest, &raw)?;
    expand_over(nest, raw, written, dims)
}

/// As [`expand`], with the extents given.
pub(super) fn expand_over(
    nest: &mut Nest,
    raw: Raw,
    written: bool,
    dims: Vec<Dim>,
) -> Result<Vec<Node>> {
    let target_vars: BTreeSet<Name> = raw.target.indices.iter().flat_map(Affine::vars).collect();
    let (outer, inner): (Vec<Dim>, Vec<Dim>) =
        dims.into_iter().partition(|d| target_vars.contains(&d.name));
    if raw.op == AssignOp::Set {
        if let Some(d) = inner.first() {
            let message =
                format!("index `{}` is reduced but the statement assigns with `=`", d.name);
            return Err(Diagnostic::input("E0212", message)
                .in_source(&nest.source)
                .label(d.span, "occurs only on the right")
                .help("write +=, *=, min= or max=")
                .into());
        }
        return Ok(nested(outer, vec![Node::Statement(raw.plain())]));
    }
    let Some(array) = nest.array(&raw.target.array).cloned() else {
        return Err(
            Diagnostic::input("E0201", format!("unknown name `{}`", raw.target.array)).into()
        );
    };
    let defined = array.role == Role::InOut || written;
    let kind = raw.acc.unwrap_or(array.dtype.compute_type());
    let sum = if kind == array.dtype {
        raw.target.clone()
    } else {
        Access { array: accumulator(nest, &array, kind), ..raw.target.clone() }
    };
    let start = match (defined, kind == array.dtype) {
        (true, true) => None,
        (true, false) => Some(Expr::Read(raw.target.clone())),
        (false, _) => Some(identity(raw.op, kind)),
    };
    let store = (kind != array.dtype).then(|| (raw.target.clone(), Expr::Read(sum.clone())));
    let separate = !one_to_one(&raw.target);
    let prefix = raw.name.clone();
    let named = |suffix: &str| -> Name {
        prefix.as_ref().map_or_else(|| "".into(), |n| format!("{n}_{suffix}").into())
    };
    let span = raw.span;
    let init = start.map(|value| assign(named("init"), sum.clone(), value, span));
    let store = store.map(|(to, value)| assign(named("store"), to, value, span));
    let update = Statement { target: sum, order: raw.order.unwrap_or(Order::Fixed), ..raw.plain() };
    let update = nested(inner, vec![Node::Statement(update)]);
    if !separate {
        let body = init.into_iter().map(Node::Statement).chain(update);
        return Ok(nested(outer, body.chain(store.map(Node::Statement)).collect()));
    }
    let mut out = init.map_or_else(Vec::new, |s| over_array(nest, &array, s));
    out.extend(nested(outer, update));
    out.extend(store.map_or_else(Vec::new, |s| over_array(nest, &array, s)));
    Ok(out)
}

fn assign(name: Name, target: Access, value: Expr, span: Span) -> Statement {
    Statement { span, ..Statement::plain(name, target, AssignOp::Set, value) }
}

fn nested(dims: Vec<Dim>, body: Vec<Node>) -> Vec<Node> {
    dims.into_iter().rev().fold(body, |body, d| {
        vec![Node::Loop(Loop {
            var: d.name,
            lower: vec![Affine::constant(0)],
            upper: vec![d.extent],
            step: 1,
            descending: false,
            body,
            span: d.span,
        })]
    })
}

/// Whether different iterations of the target's indices write different elements: every index is
/// a variable of its own or has none.
fn one_to_one(target: &Access) -> bool {
    let mut seen = BTreeSet::new();
    target.indices.iter().all(|e| match e.as_var() {
        Some(v) => seen.insert(v.clone()),
        None => e.as_constant().is_some(),
    })
}

/// `statement`, an assignment to elements of `array`'s shape, over the whole shape.
fn over_array(nest: &Nest, array: &Array, statement: Statement) -> Vec<Node> {
    let mut used: BTreeSet<Name> = nest.arrays.iter().map(|a| a.name.clone()).collect();
    used.extend(nest.params.iter().map(|p| p.name.clone()));
    let dims: Vec<Dim> = (0..array.shape.len())
        .map(|i| {
            let name = fresh(&format!("d{i}"), &used);
            used.insert(name.clone());
            Dim { name, extent: array.shape[i].clone(), span: statement.span }
        })
        .collect();
    let indices: Vec<Affine> = dims.iter().map(|d| Affine::var(d.name.clone())).collect();
    let value = match statement.value {
        Expr::Read(access) => Expr::Read(Access { indices: indices.clone(), ..access }),
        other => other,
    };
    let target = Access { indices, ..statement.target };
    nested(dims, vec![Node::Statement(Statement { target, value, ..statement })])
}

fn fresh(base: &str, used: &BTreeSet<Name>) -> Name {
    let mut name: Name = base.into();
    while used.contains(&name) {
        name = format!("{name}_").into();
    }
    name
}

/// Declares a temporary of `array`'s shape and type `kind`.
fn accumulator(nest: &mut Nest, array: &Array, kind: DType) -> Name {
    let mut used: BTreeSet<Name> = nest.arrays.iter().map(|a| a.name.clone()).collect();
    used.extend(nest.params.iter().map(|p| p.name.clone()));
    let name = fresh(&format!("{}_acc", array.name), &used);
    nest.arrays.push(Array { name: name.clone(), role: Role::Temp, dtype: kind, ..array.clone() });
    name
}

/// The value that changes nothing under `op` in type `kind`.
pub(super) fn identity(op: AssignOp, kind: DType) -> Expr {
    let float = |v: f64| Expr::Literal(Literal::Float(v));
    let int = |v: i64| Expr::Literal(Literal::Int(v));
    let highest = op == AssignOp::Min;
    match op {
        AssignOp::Set | AssignOp::Add if kind == DType::Bool => Expr::Literal(Literal::Bool(false)),
        AssignOp::Set | AssignOp::Add => int(0),
        AssignOp::Mul if kind == DType::Bool => Expr::Literal(Literal::Bool(true)),
        AssignOp::Mul => int(1),
        AssignOp::Min | AssignOp::Max => match kind {
            DType::Bool => Expr::Literal(Literal::Bool(highest)),
            DType::E4m3 => float(if highest { 448.0 } else { -448.0 }),
            DType::E2m1 => float(if highest { 6.0 } else { -6.0 }),
            DType::Ue4m3 => float(if highest { 448.0 } else { 0.0 }),
            DType::Ue8m0 => float(2.0_f64.powi(if highest { 127 } else { -127 })),
            k if k.is_float() => float(if highest { f64::INFINITY } else { f64::NEG_INFINITY }),
            DType::U64 if highest => Expr::Bitcast(
                DType::U64,
                Box::new(Expr::Cast {
                    to: DType::I64,
                    rounding: Rounding::Nearest,
                    saturate: false,
                    value: Box::new(int(-1)),
                }),
            ),
            DType::I64 => int(if highest { i64::MAX } else { i64::MIN }),
            k if highest => int((1i64 << k.precision_bits().min(62)) - 1),
            k if k.is_signed_int() => int(-(1i64 << k.precision_bits().min(62))),
            _ => int(0),
        },
    }
}

/// The extent of every free index: that of the first dimension it indexes alone.
fn extents(nest: &Nest, raw: &Raw) -> Result<Vec<Dim>> {
    raw.free
        .iter()
        .map(|(name, span)| {
            let extent = extent(nest, raw, name, *span)?;
            Ok(Dim { name: name.clone(), extent, span: *span })
        })
        .collect()
}

fn extent(nest: &Nest, raw: &Raw, name: &Name, span: Span) -> Result<Affine> {
    let mut found: Option<(Affine, Span)> = None;
    for access in raw.accesses() {
        let Some(array) = nest.array(&access.array) else { continue };
        for (index, size) in access.indices.iter().zip(&array.shape) {
            if index.as_var() != Some(name) {
                continue;
            }
            match &found {
                None => found = Some((size.clone(), access.span)),
                Some((first, at)) => {
                    let fixed = |p: &str| nest.param(p).and_then(|p| p.value);
                    let differ = match (first.eval(&fixed), size.eval(&fixed)) {
                        (Some(a), Some(b)) => a != b,
                        (None, _) | (_, None) => {
                            first.sub(size).is_ok_and(|d| d.as_constant().is_some_and(|c| c != 0))
                        }
                    };
                    if differ {
                        let message = format!("index `{name}` runs over {first} and over {size}");
                        return Err(Diagnostic::input("E0211", message)
                            .in_source(&nest.source)
                            .label(access.span, format!("extent {size}"))
                            .label(*at, format!("extent {first}"))
                            .help("write the loops out, with the bounds you mean")
                            .into());
                    }
                }
            }
        }
    }
    found.map(|(extent, _)| extent).ok_or_else(|| {
        let known =
            nest.params.iter().map(|p| &*p.name).chain(nest.arrays.iter().map(|a| &*a.name));
        let help = crate::lex::nearest(name, known).map_or_else(
            || "use it alone as a subscript somewhere, or write the loops out".to_owned(),
            |n| format!("did you mean `{n}`? An index must stand alone in some subscript"),
        );
        Diagnostic::input("E0210", format!("the extent of index `{name}` cannot be told"))
            .in_source(&nest.source)
            .label(span, "")
            .help(help)
            .into()
    })
}
