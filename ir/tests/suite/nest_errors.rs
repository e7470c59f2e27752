//! Wrong nests and formulas: the code, the message and the place of each error; one-line formulas
//! and the builder.

use warploom_ir::affine::Affine;
use warploom_ir::dtype::DType;
use warploom_ir::expr::{Access, Expr, Literal};
use warploom_ir::nest::builder::{NestBuilder, assign, at, count};
use warploom_ir::nest::formula::{Formula, FormulaTypes};
use warploom_ir::nest::{AssignOp, Constraint, Nest, Node, Role};

const HEAD: &str = "param M, N = 8 in A: f32[M, N], v: f32[N]
out C: f32[M, N], y: f32[N], z: f32[7] const P: i32[2] = [1, 2]\n";

/// What follows [`HEAD`], the code, a part of the message or help, and the text under the carets.
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("y[0] = 1 $ 2", "E0101", "`$`", "$"),
    ("y[0] = é", "E0101", "unexpected character", "é"),
    ("y[0] = 1e999", "E0102", "exceeds f64", "1e999"),
    ("y[0] = 99999999999999999999", "E0102", "64 bits", "99999999999999999999"),
    ("y[0] = 9223372036854775808", "E0102", "64 bits", "9223372036854775808"),
    ("y[0] = 3x", "E0102", "letters", "3x"),
    ("y[0] = 0xg", "E0102", "hexadecimal", "0xg"),
    ("y[9223372036854775807 + 1] = 0", "E0102", "64 bits", "9223372036854775807 + 1"),
    ("y[0] = nan(3)", "E0102", "NaN", "3"),
    ("for i 0..N { }", "E0103", "expected `in`", "0"),
    ("for i in 0 N { }", "E0103", "expected `..`", "N"),
    ("for i in 0..N { y[i] = 0", "E0103", "expected `}`, found the end", ""),
    ("y[0] == 1", "E0103", "assignment", "=="),
    ("y[0] -= 1", "E0103", "assignment", "-"),
    ("y[0] =", "E0103", "expected a value", ""),
    ("y[0] = (1", "E0103", "expected `)`", ""),
    ("} y[0] = 1", "E0103", "a declaration, a loop or a statement", "}"),
    ("in B f32[3]", "E0103", "expected `:`", "f32"),
    ("if M { }", "E0103", "comparison", "{"),
    ("if M > 2 { } else { }", "E0105", "no `else`", "else"),
    ("for i in 0..=N { }", "E0105", "exclusive", "..="),
    ("if M != 2 { }", "E0105", "`!=`", "!="),
    ("if M < 2 or M > 4 { }", "E0105", "`or`", "or"),
    ("y[0] = 1 order random", "E0105", "serial, fixed, any", "random"),
    ("y[0] = 1 strict strict", "E0105", "twice", "strict"),
    ("for i in 0..2 { param Q }", "E0105", "top", "param"),
    ("y[0] = v[0] < 1 < 2", "E0105", "chain", "<"),
    ("assume A >= 0", "E0105", "two bounds", "A"),
    ("y[floor(1 + M / 2)] = 0", "E0105", "parentheses", "+"),
    ("in B: bf61[3]", "E0107", "did you mean `bf16`?", "bf61"),
    ("y[0] = 1 acc float", "E0107", "unknown type", "float"),
    ("y[0] = exp(1, 2)", "E0108", "takes 1", "exp(1, 2)"),
    ("y[0] = max(1)", "E0108", "takes 2", "max(1)"),
    ("y[0] = select(true, 1)", "E0108", "takes 3", "select(true, 1)"),
    ("param step", "E0109", "reserved", "step"),
    ("for max in 0..2 { }", "E0109", "reserved", "max"),
    ("for i in 0..N { Q[i] = 1 }", "E0201", "`Q`", "Q[i]"),
    ("for i in 0..N { y[ii] = 1 }", "E0201", "did you mean `i`?", "ii"),
    ("for i in 0..NN { }", "E0201", "did you mean `N`?", "NN"),
    ("temp T: f32[Q]", "E0201", "`Q`", "Q"),
    ("param M", "E0202", "twice", "M"),
    ("temp A: f32", "E0202", "twice", "A"),
    ("for i in 0..N, i in 0..N { }", "E0203", "loop around", "i"),
    ("for M in 0..N { }", "E0203", "a parameter", "M"),
    ("for A in 0..N { }", "E0203", "an array", "A"),
    ("for e in 0..N { y[e] = 0 } temp e: f32", "E0203", "an iterator before", "e"),
    ("C[a, b] = 0 temp b: f32", "E0203", "an iterator before", "b"),
    ("for i in 0..N { y[i] = A[i] }", "E0204", "2 dimension(s) but 1", "A[i]"),
    ("y = 1", "E0204", "1 dimension(s) but 0", "y"),
    ("v[0] = 1", "E0205", "read-only", "v[0]"),
    ("P[0] = 1", "E0205", "out, inout or temp", "P[0]"),
    ("for i in 0..N, j in 0..N { y[i * j] = 0 }", "E0206", "product", "i * j"),
    ("for i in 0..N { y[i * N] = 0 }", "E0206", "fix a size", "i * N"),
    ("y[v[0]] = 0", "E0206", "depend on data", "v"),
    ("y[M / 2] = 0", "E0206", "floor(i / 4)", "M /"),
    ("y[M mod N] = 0", "E0206", "constant", "N"),
    ("y[floor(M / 0)] = 0", "E0206", "positive", "0"),
    ("y[max(M, 2)] = 0", "E0206", "lower bound", "max"),
    ("y[1.5] = 0", "E0206", "fraction", "1.5"),
    ("for i in min(0, M)..N { }", "E0206", "max(…)", "min"),
    ("for i in 0..N step M { }", "E0206", "step", "M"),
    ("for i in 0..N step 0 { }", "E0207", "not positive", "0"),
    ("for i in 0..N step -1 { }", "E0207", "downto", "-1"),
    ("S: y[0] = 0 S: y[1] = 0", "E0208", "`S`", "S"),
    ("const Q: i32[3] = [1, 2]", "E0209", "2 value(s), its shape 3", "[1, 2]"),
    ("const Q: i32[M] = [1, 2]", "E0209", "must be known", "[1, 2]"),
    ("y[i] = v[i] * q", "E0210", "index `q`", "q"),
    ("y[i] += v[i + k]", "E0210", "index `k`", "k"),
    ("z[i] = v[i]", "E0211", "7 and over N", "v[i]"),
    ("y[j] = A[i, j]", "E0212", "index `i` is reduced", "i"),
    ("assume 3 <= A <= 2", "E0215", "no value", "assume 3 <= A <= 2"),
    ("y[0] = sine(1)", "E0216", "unknown function", "sine"),
    ("y[0] = sqr(1)", "E0216", "did you mean", "sqr"),
    ("y[0] = v(0)", "E0216", "A[i, j]", "v"),
    ("y[0] = cast_f33(1)", "E0216", "unknown function", "cast_f33"),
    ("y[0] = bitcast_u32_sat(1)", "E0216", "unknown function", "bitcast_u32_sat"),
    ("y[0] = f32_rtz(1)", "E0216", "unknown function", "f32_rtz"),
];

#[test]
fn wrong_nests_say_what_is_wrong_and_where() {
    HEAD.parse::<Nest>().unwrap();
    for (text, code, part, place) in WRONG {
        let whole = format!("{HEAD}{text}");
        let e = match whole.parse::<Nest>() {
            Err(e) => e,
            Ok(nest) => panic!("parsed: {text}\n{nest}"),
        };
        assert_eq!(e.code, *code, "{text}\n{e}");
        assert!(e.to_string().contains(part), "{text}\n{e}");
        let span = e.labels[0].span;
        assert_eq!(&whole[span.start as usize..span.end as usize], *place, "{text}\n{e}");
    }
}

fn formula(text: &str) -> Nest {
    let f = Formula::parse(text).unwrap_or_else(|e| panic!("{e}"));
    f.nest(&FormulaTypes::all(DType::F32)).unwrap_or_else(|e| panic!("{e}"))
}

fn same(nest: &Nest, text: &str) {
    let want: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(nest.to_string(), want.to_string());
}

#[test]
fn a_formula_declares_what_it_uses() {
    same(
        &formula("C[m,n] += A[m,k]*B[k,n]"),
        "param K, M, N out C: f32[M, N] in A: f32[M, K], B: f32[K, N] C[m, n] += A[m, k] * B[k, n]",
    );
}

#[test]
fn a_convolution_has_a_wider_input() {
    let nest = formula("O[p] += I[2*p + r] * W[r]");
    assert_eq!(nest.array("I").unwrap().shape[0].to_string(), "2*P + R - 2");
    assert_eq!(nest.array("O").unwrap().shape[0].to_string(), "P");
}

#[test]
fn indices_of_one_dimension_share_a_size() {
    let f = Formula::parse("T[i,j] += A[i,k]*A[j,k]; C[i] += T[i,q] * x[q]").unwrap();
    assert_eq!(f.sizes()["i"], f.sizes()["j"]);
    assert_eq!(f.sizes()["q"], f.sizes()["j"]);
    let nest = f.nest(&FormulaTypes::all(DType::Bf16)).unwrap();
    assert_eq!(nest.array("T").unwrap().role, Role::Temp);
    assert_eq!(nest.array("T").unwrap().dtype, DType::F32);
    assert_eq!(nest.array("C").unwrap().dtype, DType::Bf16);
    assert_eq!(nest.array("C").unwrap().role, Role::Out);
    assert!(nest.array("C_acc").is_some());
}

#[test]
fn a_stencil_and_taken_names() {
    same(
        &formula("B[i] = A[i] + A[i + 1]"),
        "param I out B: f32[I] in A: f32[I + 1] for i in 0..I { B[i] = A[i] + A[i + 1] }",
    );
    same(
        &formula("B[a] = A[a] * s[]"),
        "param a_size out B: f32[a_size] in A: f32[a_size], s: f32 B[a] = A[a] * s[]",
    );
    same(&formula("x[i] = x[i] * 2"), "param I inout x: f32[I] x[i] = x[i] * 2");
}

#[test]
fn types_of_a_formula_follow_the_caller() {
    let f = Formula::parse("C[m] += A[m,k]*x[k]").unwrap();
    let mut types = FormulaTypes { acc: Some(DType::I32), ..FormulaTypes::all(DType::I8) };
    types.out = Some(DType::I32);
    let nest = f.nest(&types).unwrap();
    assert_eq!(nest.array("C").unwrap().dtype, DType::I32);
    assert!(nest.array("C_acc").is_none());
    let mixed =
        FormulaTypes { arrays: [("A".into(), DType::I64)].into(), ..FormulaTypes::all(DType::F64) };
    assert_eq!(f.nest(&mixed).unwrap_err().code, "E0218");
}

#[test]
fn wrong_formulas_are_refused() {
    for (text, code) in [
        ("", "E0103"),
        ("C[i]", "E0103"),
        ("C[i] = A[i] B[i]", "E0103"),
        ("C[i] = A[i - 1]", "E0213"),
        ("C[i] = A[-i]", "E0213"),
        ("C[i] = A[i] + A[2*i]", "E0213"),
        ("C[i] = A[i] * s", "E0210"),
        ("C[i] = A[i, j] + A[i]", "E0204"),
        ("C[i] = C[j, i]", "E0204"),
        ("a[i] = B[a]", "E0206"),
        ("C[a] = a[i]", "E0203"),
        ("C[i] = A[i*j]", "E0206"),
        ("C[i] = A[i, j]", "E0212"),
    ] {
        let e = Formula::parse(text)
            .and_then(|f| f.nest(&FormulaTypes::all(DType::F32)))
            .err()
            .unwrap_or_else(|| panic!("{text} parsed"));
        assert_eq!(e.code, code, "{text}\n{e}");
    }
}

fn zero() -> Expr {
    Expr::Literal(Literal::Int(0))
}

fn built(target: Access) -> NestBuilder {
    let n = Affine::var("N");
    NestBuilder::new()
        .param("N", None)
        .array(Role::In, "v", DType::F32, [n.clone()])
        .array(Role::Out, "y", DType::F32, [n.clone()])
        .node(count("i", n, vec![assign(target, AssignOp::Set, zero())]))
}

#[test]
fn the_builder_makes_the_nest_of_the_text() {
    let nest = built(at("y", [Affine::var("i")])).build().unwrap();
    let text = "param N in v: f32[N] out y: f32[N] for i in 0..N { y[i] = 0 }";
    assert_eq!(nest, text.parse().unwrap());
}

#[test]
fn the_builder_refuses_what_the_parser_refuses() {
    let code = |b: NestBuilder| b.build().unwrap_err().code;
    let i = Affine::var("i");
    assert_eq!(code(built(at("v", [i.clone()]))), "E0205");
    assert_eq!(code(built(at("y", [i.clone(), i.clone()]))), "E0204");
    assert_eq!(code(built(at("q", [i.clone()]))), "E0201");
    let ok = || built(at("y", [i.clone()]));
    assert_eq!(code(ok().param("N", None)), "E0202");
    assert_eq!(code(ok().param("a, b", None)), "E0217");
    assert_eq!(code(ok().node(Node::If(vec![], vec![]))), "E0103");
    assert_eq!(code(ok().node(assign(at("y", [i.clone()]), AssignOp::Set, zero()))), "E0217");
    assert_eq!(code(ok().range("v", Literal::Int(2), Literal::Int(1), false)), "E0215");
    assert_eq!(code(ok().assume(Constraint::non_negative(i.clone()))), "E0201");
}
