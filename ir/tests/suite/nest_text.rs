//! The text of nests: what parses, how it prints, and that nothing makes the parser panic.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use warploom_ir::affine::Affine;
use warploom_ir::diag::Span;
use warploom_ir::dtype::DType;
use warploom_ir::expr::{Access, BinOp, Expr, Literal, Rounding, UnOp};
use warploom_ir::nest::{
    Array, AssignOp, Constraint, Keeps, Loop, Nest, Node, Order, Param, Role, Statement, ValueRange,
};

const EXAMPLES: [&str; 6] = [
    include_str!("../nests/every_declaration.nest"),
    "param M, N, K in A: bf16[M, K] in B: bf16[K, N] out C: f32[M, N]
C[m, n] += A[m, k] * B[k, n]",
    include_str!("../nests/every_clause.nest"),
    include_str!("../nests/integer_operators.nest"),
    "in A: f16[8, 8] out C: bf16[8] C[i] += A[i, j]",
    "in x: f32[4] in w: f32[4] out y: f32[7] y[p + r] += x[p] * w[r] order any",
];

fn parse(text: &str) -> Nest {
    text.parse().unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn round_trip(nest: &Nest) {
    let text = nest.to_string();
    let back: Nest = text.parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    assert_eq!(back, *nest, "\n{text}");
    assert_eq!(back.to_string(), text);
}

#[test]
fn examples_round_trip() {
    for text in EXAMPLES {
        round_trip(&parse(text));
        parse(text).validate().unwrap();
    }
}

#[test]
fn long_chains_round_trip() {
    // found by fuzzing: words between operands may be as many as an expression may be high
    let chain = |word: &str, operand: &str| vec![operand; 500].join(word);
    for value in [
        chain(" and ", "A[x] > 0"),
        chain(" or ", "A[x] > 0 and A[x] < 9"),
        "A[x] > 0 and (A[x] < 9 or A[x] == 3 and not(A[x] == 4)) or A[x] == 5".to_owned(),
        "(A[x] > 0 or A[x] < 9) and (A[x] == 3 or A[x] == 4)".to_owned(),
        format!("{} > 0", chain(" mod ", "A[x]")),
        "A[x] mod (A[x] * 3) + 5 * (A[x] mod 7) mod -A[x] > 0".to_owned(),
    ] {
        let text = format!(
            "in A: i32[4]  out C: i32[4]\nfor x in 0..4 {{ S: C[x] = A[x] when {value} }}\n"
        );
        round_trip(&parse(&text));
    }
}

#[test]
fn a_formula_is_its_loops() {
    let loops = "param M, N, K in A: bf16[M, K] in B: bf16[K, N] out C: f32[M, N]
for m in 0..M, n in 0..N { C[m, n] = 0
for k in 0..K { C[m, n] += A[m, k] * B[k, n] order fixed } }";
    assert_eq!(parse(EXAMPLES[1]), parse(loops));
}

#[test]
fn a_narrow_output_accumulates_in_a_temporary() {
    let loops = "in A: f16[8, 8] out C: bf16[8] temp C_acc: f32[8]
for i in 0..8 { C_acc[i] = 0 for j in 0..8 { C_acc[i] += A[i, j] order fixed } C[i] = C_acc[i] }";
    assert_eq!(parse(EXAMPLES[4]), parse(loops));
}

#[test]
fn a_scattered_target_is_initialised_before() {
    let loops = "in x: f32[4] in w: f32[4] out y: f32[7]
for d0 in 0..7 { y[d0] = 0 } for p in 0..4, r in 0..4 { y[p + r] += x[p] * w[r] order any }";
    assert_eq!(parse(EXAMPLES[5]), parse(loops));
}

#[test]
fn a_second_formula_adds_to_the_first() {
    let text = "in b: f32[4] in A: f32[4, 4] out y: f32[4] y[i] = b[i] y[i] += A[i, k]";
    let loops = "in b: f32[4] in A: f32[4, 4] out y: f32[4]
for i in 0..4 { y[i] = b[i] } for i in 0..4 { for k in 0..4 { y[i] += A[i, k] order fixed } }";
    assert_eq!(parse(text), parse(loops));
}

#[test]
fn a_formula_on_inout_accumulates() {
    let text = "in A: f16[4, 4] inout y: f16[4] y[i] max= A[i, k]";
    let loops = "in A: f16[4, 4] inout y: f16[4] temp y_acc: f32[4]
for i in 0..4 { y_acc[i] = y[i]
for k in 0..4 { y_acc[i] max= A[i, k] order fixed } y[i] = y_acc[i] }";
    assert_eq!(parse(text), parse(loops));
}

#[test]
fn scalars_are_written_both_ways() {
    let a = parse("in s: f32 out t: f32 t = s");
    assert_eq!(a, parse("in s: f32 out t: f32 t[] = s[]"));
    assert!(a.to_string().ends_with("S0: t[] = s[]\n"), "{a}");
}

#[test]
fn automatic_names_avoid_given_ones() {
    let nest = parse("out x: f32[9] x[0] = 1 S1: x[1] = 1 x[2] = 1 S0: x[3] = 1");
    let names: Vec<String> =
        nest.statements().iter().map(|p| p.statement.name.to_string()).collect();
    assert_eq!(names, ["S2", "S1", "S3", "S0"]);
}

fn affine(vars: &'static [&'static str]) -> BoxedStrategy<Affine> {
    let coefficient = prop_oneof![-4i64..5, any::<i64>()];
    let leaf = prop_oneof![
        prop_oneof![-9i64..10, any::<i64>()].prop_map(Affine::constant),
        prop::sample::select(vars).prop_map(Affine::var),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.add(&b).unwrap_or(a)),
            (inner.clone(), coefficient.clone()).prop_map(|(a, c)| a.scale(c).unwrap_or(a)),
            (inner.clone(), 1i64..9).prop_map(|(a, d)| a.floor_div(d).unwrap()),
            (inner, 1i64..9).prop_map(|(a, d)| a.modulo(d).unwrap()),
        ]
    })
    .boxed()
}

const SCOPE: &[&str] = &["M", "N", "i", "j"];

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        any::<i64>().prop_map(Literal::Int),
        any::<u64>().prop_map(|b| Literal::Float(f64::from_bits(b))),
        prop::sample::select(vec![
            0.0,
            -0.0,
            5e-324,
            -5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            -f64::NAN,
            f64::MAX,
            1e16,
            0.1
        ])
        .prop_map(Literal::Float),
        any::<bool>().prop_map(Literal::Bool),
    ]
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        (affine(SCOPE), affine(SCOPE)).prop_map(|(a, b)| ("A", vec![a, b])),
        affine(SCOPE).prop_map(|a| ("x", vec![a])),
        Just(("s", vec![])),
    ]
    .prop_map(|(array, indices)| Access { array: array.into(), indices, span: Span::NONE })
}

fn unary() -> impl Strategy<Value = UnOp> {
    use UnOp::*;
    prop::sample::select(vec![
        Neg, Neg, Neg, Neg, Not, Abs, Rint, Floor, Ceil, Trunc, Exponent, IsFinite, Exp, Exp2, Log,
        Log2, Sqrt, Rsqrt, Tanh, Erf,
    ])
}

fn binary() -> impl Strategy<Value = BinOp> {
    use BinOp::*;
    prop::sample::select(vec![
        Add, Sub, Mul, Div, FloorDiv, Mod, Min, Max, Pow, And, Or, Xor, Shl, Shr, MulHi, Ldexp, Lt,
        Le, Gt, Ge, Eq, Ne, Add, Sub, Mul, Div,
    ])
}

fn expr() -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![
        literal().prop_map(Expr::Literal),
        affine(SCOPE).prop_map(Expr::Index),
        access().prop_map(Expr::Read),
    ];
    let roundings = vec![Rounding::Nearest, Rounding::Zero, Rounding::Up, Rounding::Down];
    leaf.prop_recursive(5, 24, 3, move |inner| {
        let b = inner.prop_map(Box::new);
        let dtype = prop::sample::select(DType::ALL.to_vec());
        prop_oneof![
            (unary(), b.clone()).prop_map(|(op, a)| Expr::Unary(op, a)),
            (binary(), b.clone(), b.clone()).prop_map(|(op, x, y)| Expr::Binary(op, x, y)),
            (binary(), b.clone(), b.clone()).prop_map(|(op, x, y)| Expr::Binary(op, x, y)),
            (binary(), b.clone(), b.clone()).prop_map(|(op, x, y)| Expr::Binary(op, x, y)),
            (b.clone(), b.clone(), b.clone()).prop_map(|(x, y, z)| Expr::Fma(x, y, z)),
            (b.clone(), b.clone(), b.clone()).prop_map(|(x, y, z)| Expr::Select(x, y, z)),
            (dtype.clone(), prop::sample::select(roundings.clone()), any::<bool>(), b.clone())
                .prop_map(|(to, rounding, saturate, value)| Expr::Cast {
                    to,
                    rounding,
                    saturate,
                    value
                }),
            (dtype, b).prop_map(|(to, a)| Expr::Bitcast(to, a)),
        ]
    })
    .boxed()
}

fn statement() -> impl Strategy<Value = Statement> {
    use AssignOp::{Add, Max, Min, Mul, Set};
    (
        access(),
        prop::sample::select(vec![Set, Add, Mul, Min, Max]),
        expr(),
        prop::option::of(expr()),
        prop::option::of(prop::sample::select(DType::ALL.to_vec())),
        prop::option::of((1_u32..60, prop::option::of(1_u32..5000))),
        prop::sample::select(vec![Order::Serial, Order::Fixed, Order::Any, Order::Exact]),
        any::<bool>(),
    )
        .prop_map(|(target, op, value, guard, acc, keeps, order, strict)| Statement {
            name: "".into(),
            target,
            op,
            value,
            guard,
            acc,
            keeps: keeps.map(|(bits, over)| Keeps { bits, over }),
            order,
            strict,
            span: Span::NONE,
        })
}

fn constraint() -> impl Strategy<Value = Constraint> {
    (affine(SCOPE), any::<bool>()).prop_map(|(expr, equality)| Constraint { expr, equality })
}

fn body() -> BoxedStrategy<Vec<Node>> {
    let bounds = || prop::collection::vec(affine(&["M", "N"]), 1..3);
    let node = statement().prop_map(Node::Statement).boxed();
    let guarded =
        (prop::collection::vec(constraint(), 1..4), prop::collection::vec(node.clone(), 0..3))
            .prop_map(|(c, b)| Node::If(c, b));
    let inner = prop::collection::vec(prop_oneof![3 => node, 1 => guarded], 0..4).boxed();
    (inner, bounds(), bounds(), bounds(), bounds(), 1i64..5, any::<(bool, bool)>())
        .prop_map(|(inner, l0, u0, l1, u1, step, (d0, d1))| {
            let make = |var: &str, lower, upper: Vec<Affine>, step, descending, body| {
                // the last value of a descending loop must fit
                let fits = upper.iter().all(|u| u.add_const(-1).is_ok());
                Node::Loop(Loop {
                    var: var.into(),
                    lower,
                    upper,
                    step,
                    descending: descending && fits,
                    body,
                    span: Span::NONE,
                })
            };
            vec![make("i", l0, u0, 1, d0, vec![make("j", l1, u1, step, d1, inner)])]
        })
        .boxed()
}

fn name_all(body: &mut [Node], next: &mut usize) {
    for node in body {
        match node {
            Node::Loop(l) => name_all(&mut l.body, next),
            Node::If(_, b) => name_all(b, next),
            Node::Statement(s) => {
                s.name = format!("X{next}").into();
                *next += 1;
            }
        }
    }
}

fn nest() -> impl Strategy<Value = Nest> {
    let facts = (affine(&["M", "N"]), any::<bool>());
    (body(), any::<Option<i64>>(), prop::collection::vec(literal(), 3), facts, literal()).prop_map(
        |(mut body, value, table, (fact, equality), bound)| {
            name_all(&mut body, &mut 0);
            let array = |name: &str, role, shape| Array {
                name: name.into(),
                role,
                dtype: DType::F32,
                shape,
                span: Span::NONE,
            };
            let (m, n) = (Affine::var("M"), Affine::var("N"));
            Nest {
                params: ["M", "N"]
                    .map(|p| Param { name: p.into(), value, span: Span::NONE })
                    .into(),
                arrays: vec![
                    array("A", Role::InOut, vec![m.clone(), n.clone()]),
                    array("x", Role::Out, vec![m]),
                    array("s", Role::Temp, vec![]),
                    array("P", Role::Const(table), vec![Affine::constant(3)]),
                ],
                ranges: vec![ValueRange {
                    array: "A".into(),
                    lower: bound,
                    upper: bound,
                    integer: equality,
                    span: Span::NONE,
                }],
                assumptions: vec![Constraint { expr: fact, equality }],
                body,
                ..Nest::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn every_nest_round_trips(nest in nest()) {
        round_trip(&nest);
    }
}

#[test]
fn deep_texts_are_refused() {
    let deep = |open: &str, close: &str| {
        format!("out x: f32[4] x[0] = {}1{}", open.repeat(100_000), close.repeat(100_000))
    };
    let for_loops: String = (0..5000).map(|i| format!("for i{i} in 0..2 {{ ")).collect();
    let headers: String = (0..5000).map(|i| format!("i{i} in 0..2, ")).collect();
    for text in [
        deep("(", ")"),
        deep("-", ""),
        deep("- -", ""),
        deep("exp(", ")"),
        deep("1 + ", ""),
        deep("abs(-(", "))"),
        format!("out x: f32[4] x[{}0] = 1", "(".repeat(100_000)),
        format!("out x: f32[4] x[{}0] = 1", "- ".repeat(100_000)),
        format!("out x: f32[4] x[{}0] = 1", "floor(".repeat(100_000)),
        for_loops,
        format!("for {headers} k in 0..1 {{}}"),
    ] {
        let e = text.parse::<Nest>().unwrap_err();
        assert!(matches!(e.code, "E0104" | "E0103"), "{} {}", e.code, e.message);
    }
}

/// Found by fuzzing: a formula is printed inside the loops that it stands for.
#[test]
fn formulas_may_be_as_deep_as_statements_in_loops() {
    let declared = "param N\nin X: f32[N, N]\nout Z: f16[N]\n";
    for depth in [100, 118, 125] {
        round_trip(
            &format!("{declared}Z[a] += {}X[a, e]", "-".repeat(depth)).parse().expect("a nest"),
        );
    }
    let indices = |count: usize| {
        let names: Vec<String> = (0..count).map(|i| format!("i{i}")).collect();
        let (shape, at) = (vec!["1"; count].join(", "), names.join(", "));
        format!("in X: f32[{shape}]\nout Z: f32[{shape}]\nZ[{at}] = X[{at}]")
    };
    round_trip(&indices(64).parse().expect("a nest"));
    let refused = indices(65).parse::<Nest>().expect_err("too many");
    assert_eq!(refused.code, "E0104");
    assert!(refused.message.contains("`i64` is one index more"), "{}", refused.message);
}
