//! The typing table, and its agreement with evaluation.

use super::*;
use crate::value::{Scalar, binary, unary};

#[test]
fn definitions_agree_with_evaluation() {
    for e in DType::ALL.into_iter().filter(|t| t.compute_type() == *t) {
        let one = Scalar::from_i64(e, 1);
        for op in UnOp::ALL {
            assert_eq!(unary(op, one).is_ok(), check::unary(op, e).is_ok(), "{op:?} {e}");
        }
        for op in BinOp::ALL {
            let second = if op == BinOp::Ldexp { Scalar::from_i64(DType::I32, 1) } else { one };
            assert_eq!(binary(op, one, second).is_ok(), check::binary(op, e).is_ok(), "{op:?} {e}");
        }
    }
}

/// One array per type, named as the type in capitals, rank 0, and `OUT` of the target's type.
fn arrays(target: DType) -> Vec<Array> {
    let array = |name: String, dtype| Array {
        name: name.into(),
        role: crate::nest::Role::InOut,
        dtype,
        shape: Vec::new(),
        span: Span::NONE,
    };
    let mut out: Vec<Array> =
        DType::ALL.into_iter().map(|t| array(t.name().to_uppercase(), t)).collect();
    out.push(array("OUT".into(), target));
    out
}

fn access(name: &str) -> Access {
    Access { array: name.into(), indices: Vec::new(), span: Span::NONE }
}

fn rd(dtype: DType) -> Expr {
    Expr::Read(access(&dtype.name().to_uppercase()))
}

fn bin(op: BinOp, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(b))
}

fn int(v: i64) -> Expr {
    Expr::Literal(Literal::Int(v))
}

fn float(v: f64) -> Expr {
    Expr::Literal(Literal::Float(v))
}

fn cast(to: DType, value: Expr) -> Expr {
    Expr::Cast { to, rounding: Rounding::Zero, saturate: true, value: Box::new(value) }
}

fn typed(target: DType, op: AssignOp, acc: Option<DType>, value: Expr) -> Result<Store<Affine>> {
    let statement = Statement { acc, ..Statement::plain("S".into(), access("OUT"), op, value) };
    type_statement_in(&arrays(target), &Source::default(), &statement)
}

/// Every operand of every operator has the type its documentation names.
fn check_tree(t: &Typed<Affine>) {
    t.visit(&mut |t| match &t.kind {
        TypedKind::Unary(UnOp::Exponent, a) => {
            assert!(t.dtype == DType::I32 && a.dtype.is_float());
        }
        TypedKind::Unary(UnOp::IsFinite, a) => {
            assert!(t.dtype == DType::Bool && a.dtype.is_float());
        }
        TypedKind::Unary(_, a) => assert_eq!(t.dtype, a.dtype),
        TypedKind::Binary(BinOp::Ldexp, a, b) => {
            assert_eq!((t.dtype, DType::I32), (a.dtype, b.dtype));
        }
        TypedKind::Binary(op, a, b) => {
            assert_eq!(a.dtype, b.dtype);
            assert_eq!(t.dtype, if op.is_comparison() { DType::Bool } else { a.dtype });
        }
        TypedKind::Select(c, a, b) => {
            assert_eq!((c.dtype, a.dtype, b.dtype), (DType::Bool, t.dtype, t.dtype));
        }
        TypedKind::Fma(a, b, c) => {
            assert!([a, b, c].into_iter().all(|x| x.dtype == t.dtype));
        }
        TypedKind::Convert { value, .. } => assert!(
            value.dtype.compute_type() == value.dtype
                || !matches!(value.kind, TypedKind::Binary(..))
        ),
        TypedKind::Literal(_)
        | TypedKind::Index(_)
        | TypedKind::Read { .. }
        | TypedKind::Bitcast(_) => {}
    });
}

#[test]
fn the_evaluation_type_is_the_join() {
    use DType::*;
    let mul = |a, b| bin(BinOp::Mul, rd(a), rd(b));
    let table = [
        (F32, None, mul(Bf16, Bf16), Ok(F32)),
        (Bf16, None, mul(Bf16, Bf16), Ok(F32)),
        (I32, None, mul(I8, I8), Ok(I32)),
        (I8, None, mul(I8, I8), Ok(I8)),
        (I32, None, mul(I8, U8), Ok(I32)),
        (F64, None, mul(F32, F32), Ok(F64)),
        (F32, None, mul(F64, F64), Ok(F64)),
        (F32, None, mul(I32, I32), Ok(F64)),
        (F32, Some(F64), mul(F32, F32), Ok(F64)),
        (F16, Some(F32), mul(F16, F16), Ok(F32)),
        (I8, None, mul(I32, I32), Err("E0302")),
        (I32, None, mul(F32, F32), Err("E0302")),
        (I8, None, mul(F32, F32), Err("E0302")),
        (F32, Some(F32), mul(F64, F64), Err("E0301")),
        (F16, Some(F16), mul(F16, F16), Err("E0303")),
        (F64, None, mul(I64, I64), Err("E0301")),
        (U64, None, mul(U64, I64), Err("E0301")),
        (Bool, None, bin(BinOp::Lt, rd(F32), rd(Bf16)), Ok(Bool)),
        (F32, None, bin(BinOp::Lt, rd(F32), rd(Bf16)), Ok(F32)),
        (F32, None, bin(BinOp::And, bin(BinOp::Lt, rd(F32), int(1)), rd(Bool)), Ok(F32)),
        (I8, None, int(-128), Ok(I8)),
        (I8, None, Expr::Unary(UnOp::Neg, Box::new(int(128))), Ok(I8)),
        (I8, None, int(128), Err("E0304")),
        (I32, None, bin(BinOp::Mul, rd(I32), float(0.5)), Err("E0304")),
        (F32, None, float(0.1), Ok(F32)),
        (I32, None, bin(BinOp::Div, rd(I32), rd(I32)), Err("E0303")),
        (F32, None, bin(BinOp::Mod, rd(F32), rd(F32)), Err("E0303")),
        (I32, None, Expr::Unary(UnOp::Exp, Box::new(rd(I32))), Err("E0303")),
        (I8, None, cast(I8, rd(F32)), Ok(I8)),
        (I32, None, bin(BinOp::Add, cast(I8, rd(F32)), rd(I16)), Ok(I32)),
        (I32, None, Expr::Unary(UnOp::Exponent, Box::new(rd(Bf16))), Ok(I32)),
        (
            F64,
            None,
            bin(BinOp::Ldexp, rd(F64), Expr::Unary(UnOp::Exponent, Box::new(rd(F64)))),
            Ok(F64),
        ),
        (U16, None, Expr::Bitcast(U16, Box::new(rd(Bf16))), Ok(U16)),
        (U32, None, Expr::Bitcast(U32, Box::new(rd(Bf16))), Err("E0305")),
        (
            F32,
            None,
            Expr::Select(Box::new(rd(I32)), Box::new(int(1)), Box::new(int(2))),
            Err("E0306"),
        ),
        (F32, None, Expr::Read(access("NOPE")), Err("E0307")),
        (Bool, None, bin(BinOp::Add, rd(Bool), rd(Bool)), Err("E0303")),
    ];
    for (target, acc, value, wanted) in table {
        let got = typed(target, AssignOp::Set, acc, value.clone());
        let short = got.as_ref().map(|s| s.value.dtype).map_err(|d| d.code);
        assert_eq!(short, wanted, "{target} = {value:?}");
        if let Ok(store) = got {
            check_tree(&store.value);
            assert_eq!(store.map_index(&mut Affine::clone), store);
        }
    }
}

#[test]
fn updates_keep_the_old_value_whole() {
    let codes = [
        (DType::F64, Some(DType::F32), Some("E0302")),
        (DType::Bf16, Some(DType::F32), None),
        (DType::I8, Some(DType::I32), Some("E0302")),
        (DType::Bool, None, Some("E0303")),
    ];
    for (target, acc, wanted) in codes {
        let value = if target.is_float() { rd(DType::Bf16) } else { rd(target) };
        assert_eq!(typed(target, AssignOp::Add, acc, value).err().map(|d| d.code), wanted);
    }
    assert!(typed(DType::Bool, AssignOp::Max, None, rd(DType::Bool)).is_ok());
}

#[test]
fn a_cast_takes_its_operand_in_its_own_type() {
    // the product is made in i8 and wraps before it widens
    let value = cast(DType::I32, bin(BinOp::Mul, rd(DType::I8), rd(DType::I8)));
    let store = typed(DType::I32, AssignOp::Set, None, value).unwrap();
    let TypedKind::Convert { value, rounding: Rounding::Zero, saturate: true } = store.value.kind
    else {
        panic!("a cast becomes a conversion")
    };
    assert_eq!(value.dtype, DType::I8);
    // an untyped float operand is binary64, so the cast rounds once
    let store = typed(DType::Bf16, AssignOp::Set, None, cast(DType::Bf16, float(0.1))).unwrap();
    let mut seen = Vec::new();
    store.value.visit(&mut |t| seen.push(t.dtype));
    assert_eq!(seen, [DType::F64, DType::Bf16, DType::F32]);
}

#[test]
fn sums_alone_may_drop_bits() {
    let check = |statement: &str| {
        let text = format!(
            "in A: f32[4]  in N: i32[4]  out C: f32[]  out I: i32[]\n\
             for i in 0..4 {{ S: {statement} }}\n"
        );
        let nest: crate::nest::Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
        type_statement(&nest, nest.statements()[0].statement).map_err(|e| e.code)
    };
    assert!(check("C[] += A[i] keeps 13 order any").is_ok());
    assert!(check("C[] += A[i] acc f64 keeps 30 over 8 order fixed").is_ok());
    for wrong in [
        "C[] += A[i] keeps 13",
        "C[] += A[i] keeps 13 order exact",
        "C[] += A[i] keeps 13 order any strict",
        "C[] += A[i] keeps 25 order any",
        "C[] *= A[i] keeps 13 order any",
        "C[] = A[i] keeps 13 order any",
        "I[] += N[i] keeps 13 order any",
    ] {
        assert!(check(wrong).is_err_and(|e| e == "E0303"), "{wrong}");
    }
}

/// A conversion that storing repeats is left to the store; one that rounds in another way stays.
#[test]
fn stores_round_once() {
    let rounded = |rounding, saturate| Expr::Cast {
        to: DType::Bf16,
        rounding,
        saturate,
        value: Box::new(bin(BinOp::Mul, rd(DType::F32), rd(DType::F32))),
    };
    let product = |op, value| {
        let store = typed(DType::Bf16, op, None, value).expect("it has a type");
        matches!(store.value.kind, TypedKind::Binary(BinOp::Mul, ..))
    };
    assert!(product(AssignOp::Set, rounded(Rounding::Nearest, false)));
    assert!(!product(AssignOp::Set, rounded(Rounding::Zero, false)));
    assert!(!product(AssignOp::Set, rounded(Rounding::Nearest, true)));
    assert!(!product(AssignOp::Max, rounded(Rounding::Nearest, false)));
}
