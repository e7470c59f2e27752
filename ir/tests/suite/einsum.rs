//! Einsum strings to nests: structure, names, types and errors. What the nests compute is compared
//! with NumPy in `einsum_numpy.rs`.

use std::collections::BTreeMap;

use warploom_ir::affine::Affine;
use warploom_ir::diag::{Blame, Diagnostic};
use warploom_ir::dtype::DType::{self, *};
use warploom_ir::einsum::{Einsum, EinsumOptions, OperandType};
use warploom_ir::expr::{Expr, Literal};
use warploom_ir::nest::{AssignOp, Nest, Order, Role};

fn nest(text: &str, dtype: DType, shapes: &[&[usize]]) -> Nest {
    try_nest(text, dtype, shapes).expect("NumPy accepts it")
}

fn try_nest(text: &str, dtype: DType, shapes: &[&[usize]]) -> Result<Nest, Box<Diagnostic>> {
    let operands: Vec<_> = shapes.iter().map(|s| OperandType::shaped(dtype, s)).collect();
    Einsum::parse(text)?.nest(&operands, &EinsumOptions::default())
}

fn loops(nest: &Nest, statement: usize) -> String {
    nest.statements()[statement].loops.iter().map(|l| &*l.var).collect::<Vec<_>>().join(" ")
}

fn arrays(nest: &Nest) -> String {
    let show = |a: &warploom_ir::nest::Array| {
        let shape: Vec<String> = a.shape.iter().map(ToString::to_string).collect();
        format!("{}:{}[{}]", a.name, a.dtype, shape.join(","))
    };
    nest.arrays.iter().map(show).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_matmul_is_two_statements() {
    let n = nest("mk,kn->mn", F32, &[&[4, 5], &[5, 6]]);
    assert_eq!(arrays(&n), "A:f32[4,5] B:f32[5,6] Out:f32[4,6]");
    assert_eq!((loops(&n, 0).as_str(), loops(&n, 1).as_str()), ("m n", "m n k"));
    let update = n.statements()[1].statement;
    assert_eq!((update.op, update.order, update.acc), (AssignOp::Add, Order::Fixed, None));
    let reads: Vec<_> = update.value.reads().iter().map(|a| a.indices.clone()).collect();
    let var = |name: &str| Affine::var(name);
    assert_eq!(reads, [[var("m"), var("k")], [var("k"), var("n")]]);
}

#[test]
fn narrow_floats_sum_in_f32_and_store_once() {
    let n = nest("mk,kn->mn", Bf16, &[&[4, 5], &[5, 6]]);
    assert_eq!(arrays(&n), "A:bf16[4,5] B:bf16[5,6] Out:bf16[4,6] Acc:f32[4,6]");
    assert_eq!(n.statements().len(), 3);
    assert!(matches!(&n.statements()[2].statement.value, Expr::Read(a) if &*a.array == "Acc"));
    let wide = EinsumOptions { out_dtype: Some(F32), ..EinsumOptions::default() };
    let operands = [OperandType::shaped(Bf16, &[4, 5]), OperandType::shaped(Bf16, &[5, 6])];
    let n = Einsum::parse("mk,kn->mn").unwrap().nest(&operands, &wide).unwrap();
    assert_eq!(arrays(&n), "A:bf16[4,5] B:bf16[5,6] Out:f32[4,6]");
}

#[test]
fn bool_is_or_of_and() {
    let n = nest("ij,jk", Bool, &[&[2, 2], &[2, 2]]);
    let statements = n.statements();
    assert_eq!(statements[0].statement.value, Expr::Literal(Literal::Bool(false)));
    assert_eq!(statements[1].statement.op, AssignOp::Max);
}

#[test]
fn many_truth_values_nest_no_deeper_than_texts_may() {
    // found by fuzzing: as many operands as there may be, of open sizes, and many labels
    let labels: String = ('a'..='z').chain('A'..='Z').collect();
    let spec = format!("{labels}{}->", ",a".repeat(62));
    let einsum = Einsum::parse(&spec).unwrap_or_else(|e| panic!("{e}"));
    let ranks = std::iter::once(labels.len()).chain([1; 62]);
    let operands: Vec<_> = ranks.map(|rank| OperandType::ranked(DType::Bool, rank)).collect();
    let nest = einsum.nest(&operands, &EinsumOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    let again = nest.to_string().parse::<Nest>().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again, nest);
}

#[test]
fn permutations_and_diagonals_are_one_statement() {
    for (text, shape) in [("ij->ji", &[2, 3]), ("ii->i", &[3, 3]), ("...->...", &[2, 3])] {
        let n = nest(text, I64, &[shape]);
        assert_eq!(n.statements().len(), 1, "{text}");
        assert_eq!(n.statements()[0].statement.op, AssignOp::Set);
    }
}

#[test]
fn ellipsis_dimensions_align_right_and_repeat() {
    let n = nest("...a,...a", F64, &[&[2, 3], &[4, 1, 3]]);
    assert_eq!(loops(&n, 1), "e0 e1 a");
    assert_eq!(arrays(&n), "A:f64[2,3] B:f64[4,1,3] Out:f64[4,2]");
    let reads = n.statements()[1].statement.value.reads().into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(reads[1].indices[1], Affine::constant(0));
}

#[test]
fn names_do_not_clash_with_labels() {
    let n = nest("AB,BC,T", I32, &[&[2, 2], &[2, 2], &[3]]);
    let names: Vec<&str> = n.arrays.iter().map(|a| &*a.name).collect();
    assert_eq!(names[..3], ["D", "E", "F"]);
}

#[test]
fn unknown_sizes_become_parameters() {
    let e = Einsum::parse("mk,kn->mn").unwrap();
    let operands = [OperandType::new(F32), OperandType::new(F32)];
    let n = e.nest(&operands, &EinsumOptions::default()).unwrap();
    let params: Vec<&str> = n.params.iter().map(|p| &*p.name).collect();
    assert_eq!(params, ["size_m", "size_k", "size_n"]);
    let sizes = BTreeMap::from([("m".into(), 4), ("k".into(), 5), ("n".into(), 6)]);
    let options = EinsumOptions { sizes, ..EinsumOptions::default() };
    let sized = e.nest(&operands, &options).unwrap();
    assert_eq!(sized, nest("mk,kn->mn", F32, &[&[4, 5], &[5, 6]]));
    let d = Einsum::parse("...k").unwrap().nest(&operands[..1], &options).unwrap_err();
    assert_eq!(d.code, "E0411");
    let n = Einsum::parse("...k").unwrap();
    let n = n.nest(&[OperandType::ranked(F32, 3)], &EinsumOptions::default()).unwrap();
    assert_eq!(n.params.len(), 3);
    let sizes = BTreeMap::from([("q".into(), 4)]);
    let options = EinsumOptions { sizes, ..EinsumOptions::default() };
    assert_eq!(e.nest(&operands, &options).unwrap_err().code, "E0416");
    let sizes = BTreeMap::from([("k".into(), 6)]);
    let options = EinsumOptions { sizes, ..EinsumOptions::default() };
    let shaped = [OperandType::shaped(F32, &[4, 5]), OperandType::shaped(F32, &[5, 6])];
    assert_eq!(e.nest(&shaped, &options).unwrap_err().code, "E0417");
    let many = Einsum::parse("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ...").unwrap();
    let many = many.nest(&[OperandType::ranked(F32, 90)], &EinsumOptions::default());
    assert_eq!(many.unwrap_err().code, "E0415");
}

#[test]
fn chains_go_through_temporaries() {
    let shapes: [&[usize]; 3] = [&[50, 60], &[60, 2], &[2, 70]];
    let n = nest("ij,jk,kl->il", F32, &shapes);
    assert_eq!(arrays(&n), "A:f32[50,60] B:f32[60,2] C:f32[2,70] Out:f32[50,70] Tmp0:f32[50,2]");
    assert_eq!(n.arrays[4].role, Role::Temp);
    let e = Einsum::parse("ij,jk,kl->il").unwrap();
    let operands: Vec<_> = shapes.iter().map(|s| OperandType::shaped(F32, s)).collect();
    let serial = EinsumOptions { order: Order::Serial, ..EinsumOptions::default() };
    assert_eq!(e.nest(&operands, &serial).unwrap().statements().len(), 2);
}

#[test]
fn mistakes_about_operands_are_explained() {
    let cases: &[(&str, &[&[usize]], &str, &str)] = &[
        ("ij,jk", &[&[2, 3]], "E0406", "2 operand(s), 1 given"),
        ("ij", &[&[2, 3], &[2]], "E0406", "1 operand(s), 2 given"),
        ("ij", &[&[2]], "E0407", "fewer than the 2"),
        ("ij", &[&[2, 3, 4]], "E0407", "more than the 2"),
        ("ij,jk", &[&[2, 3], &[4, 2]], "E0408", "`j` has size 3 in operand 0 and 4 in operand 1"),
        ("...,...", &[&[2], &[3]], "E0408", "`e0` has size 2"),
        ("ii", &[&[1, 3]], "E0409", "the sizes 1 and 3"),
        ("i...->i", &[&[2, 2]], "E0410", "no `...`"),
        ("i,j", &[&[1 << 40], &[1 << 40]], "E0412", "2^63"),
        ("i", &[&[usize::MAX]], "E0412", "2^63"),
    ];
    for (text, shapes, code, words) in cases {
        let d = try_nest(text, F64, shapes).unwrap_err();
        assert_eq!((d.code, d.blame), (*code, Blame::Input), "{text}: {d}");
        assert!(d.message.contains(words) && d.help.is_some(), "{d}");
        assert!(d.source.is_some() && !d.labels.is_empty(), "{d}");
    }
}

#[test]
fn every_statement_types_for_all_types() {
    let wishes = || std::iter::once(None).chain(DType::ALL.into_iter().map(Some));
    let mut n_nests = 0;
    for (text, n_operands) in [("i", 1), ("i->", 1), ("i,i", 2), ("i,i->i", 2), ("i,j,j->", 3)] {
        let e = Einsum::parse(text).unwrap();
        let mut all: Vec<(DType, DType)> = Vec::new();
        DType::ALL.iter().for_each(|&a| all.extend(DType::ALL.map(|b| (a, b))));
        for (a, b) in all {
            let kinds = [a, b, b];
            let operands: Vec<_> =
                kinds[..n_operands].iter().map(|&t| OperandType::shaped(t, &[50])).collect();
            for (acc, out_dtype) in wishes().flat_map(|acc| wishes().map(move |out| (acc, out))) {
                let options = EinsumOptions { acc, out_dtype, ..EinsumOptions::default() };
                let Ok(n) = e.nest(&operands, &options) else {
                    assert!(acc.is_some() || out_dtype.is_some(), "{text} {kinds:?}");
                    continue;
                };
                n_nests += 1;
                for placed in n.statements() {
                    let typed = warploom_ir::typing::type_statement(&n, placed.statement);
                    typed.unwrap_or_else(|d| panic!("{text} {kinds:?} {acc:?} {out_dtype:?}: {d}"));
                }
            }
        }
    }
    assert!(n_nests > 50_000, "{n_nests}");
}
