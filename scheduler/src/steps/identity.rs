//! What an operator of a reduction leaves unchanged, as an expression.
//!
//! In: an update's operator and the type in which it is evaluated. Out: an expression of that type
//! that gives `x` when combined with any `x`, NaN and both zeros included.
//! Why here: accumulators that a step adds start with it.

use warploom_ir::dtype::DType;
use warploom_ir::expr::{Expr, Literal};
use warploom_ir::nest::AssignOp;
use warploom_ir::planted::{Bug, planted};
use warploom_ir::value::int_range;

/// What the operator leaves unchanged; for `=`, which changes everything, that of `+`.
pub(crate) fn identity(op: AssignOp, dtype: DType) -> Expr {
    let float = |v: f64| Expr::Literal(Literal::Float(v));
    let (low, high) = int_range(dtype);
    // only the greatest u64 is no literal
    let int = |v: i128| match i64::try_from(v) {
        Ok(v) => Expr::Literal(Literal::Int(v)),
        Err(_) => Expr::Bitcast(DType::U64, Box::new(Expr::Literal(Literal::Int(-1)))),
    };
    match (dtype, op) {
        (DType::Bool, AssignOp::Min | AssignOp::Mul) => Expr::Literal(Literal::Bool(true)),
        (DType::Bool, AssignOp::Max | AssignOp::Add | AssignOp::Set) => {
            Expr::Literal(Literal::Bool(false))
        }
        // -0 + x is x for every x
        (t, AssignOp::Add | AssignOp::Set) if t.is_float() => float(-0.0),
        (t, AssignOp::Mul) if t.is_float() => {
            float(f64::from(u8::from(!planted(Bug::WrongIdentity))))
        }
        (t, AssignOp::Min) if t.is_float() => float(f64::INFINITY),
        (t, AssignOp::Max) if t.is_float() => float(f64::NEG_INFINITY),
        (_, AssignOp::Add | AssignOp::Set) => int(0),
        (_, AssignOp::Mul) => int(i128::from(!planted(Bug::WrongIdentity))),
        (_, AssignOp::Min) => int(high),
        (_, AssignOp::Max) => int(low),
    }
}

#[cfg(test)]
mod tests {
    use warploom_ir::interp;
    use warploom_ir::nest::Nest;
    use warploom_ir::tensor::Tensor;

    use super::*;

    /// The bits of `x op identity` for several x.
    #[test]
    fn nothing_changes() {
        let ops = [AssignOp::Add, AssignOp::Mul, AssignOp::Min, AssignOp::Max];
        let types = [DType::F64, DType::F32, DType::I64, DType::U64, DType::I8, DType::Bool];
        for dtype in types {
            for op in ops {
                if dtype == DType::Bool && matches!(op, AssignOp::Add | AssignOp::Mul) {
                    continue;
                }
                let text = format!(
                    "in A: {dtype}[8]\nout C: {dtype}[8]\n\
                     for i in 0..8 {{ S0: C[i] = A[i]; S1: C[i] {} A[i] order fixed }}",
                    op.text()
                );
                let mut nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
                let value = identity(op, dtype);
                replace(&mut nest.body, &value);
                let bytes: Vec<u8> = specials(dtype);
                let a = Tensor::from_bytes(dtype, &[8], &bytes).unwrap();
                let inputs = [("A".into(), a)].into();
                let out = interp::nest::run(&nest, &[].into(), &inputs).unwrap();
                assert_eq!(out["C"].bytes(), bytes, "{dtype} {}", op.text());
            }
        }
    }

    fn replace(nodes: &mut [warploom_ir::nest::Node], value: &Expr) {
        use warploom_ir::nest::Node;
        for node in nodes {
            match node {
                Node::Loop(l) => replace(&mut l.body, value),
                Node::If(_, body) => replace(body, value),
                Node::Statement(s) if s.op.is_update() => s.value = value.clone(),
                Node::Statement(_) => {}
            }
        }
    }

    /// Eight values with both zeros, infinities and the extremes where the type has them.
    fn specials(dtype: DType) -> Vec<u8> {
        let f = [0.0, -0.0, 1.5, -1.5, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN];
        let i = [0, 1, -1, i64::MAX, i64::MIN, 7, -128, 127];
        match dtype {
            DType::F64 => f.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DType::F32 => f.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
            DType::I8 => i.iter().map(|v| v.to_le_bytes()[0]).collect(),
            DType::Bool => i.iter().map(|v| u8::from(*v > 0)).collect(),
            _wide => i.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}
