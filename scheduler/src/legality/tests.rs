//! Legality of known orders: the wavefront stencil and a matrix product.

use std::collections::BTreeMap;

use warploom_ir::affine::Affine;
use warploom_ir::diag::{Source, Span};
use warploom_ir::dtype::DType;
use warploom_ir::expr::{Access, BinOp, Expr, Literal};
use warploom_ir::nest::{Array, AssignOp, Loop, Nest, Node, Order, Param, Role, Statement};
use warploom_ir::schedule::{Marks, Poly, Tree, TreeLoop};

use crate::{DepContext, DepKind, Instance};

fn v(name: &str) -> Affine {
    Affine::var(name)
}

fn access(array: &str, indices: &[Affine]) -> Access {
    Access { array: array.into(), indices: indices.to_vec(), span: Span::NONE }
}

fn set(name: &str, target: Access, op: AssignOp, value: Expr) -> Node {
    let order = Order::Fixed;
    Node::Statement(Statement { order, ..Statement::plain(name.into(), target, op, value) })
}

fn over(var: &str, lower: i64, upper: &str, body: Vec<Node>) -> Node {
    Node::Loop(Loop {
        var: var.into(),
        lower: vec![Affine::constant(lower)],
        upper: vec![v(upper)],
        step: 1,
        descending: false,
        body,
        span: Span::NONE,
    })
}

fn param(name: &str) -> Param {
    Param { name: name.into(), value: None, span: Span::NONE }
}

fn array(name: &str, shape: &[&str]) -> Array {
    let shape = shape.iter().map(|s| v(s)).collect();
    Array { name: name.into(), role: Role::InOut, dtype: DType::F32, shape, span: Span::NONE }
}

/// `A[i,j] = A[i-1,j] + A[i,j-1] + A[i-1,j+1]` over `1 <= i,j < N`.
fn wavefront() -> Nest {
    let at = |i: i64, j: i64| {
        let indices = [v("i").add_const(i).unwrap(), v("j").add_const(j).unwrap()];
        Expr::Read(access("A", &indices))
    };
    let add = |a, b| Expr::Binary(BinOp::Add, Box::new(a), Box::new(b));
    let value = add(add(at(-1, 0), at(0, -1)), at(-1, 1));
    let s = set("S", access("A", &[v("i"), v("j")]), AssignOp::Set, value);
    Nest {
        params: vec![param("N")],
        arrays: vec![array("A", &["N", "N"])],
        body: vec![over("i", 1, "N", vec![over("j", 1, "N", vec![s])])],
        ..Nest::default()
    }
}

fn matmul() -> Nest {
    let (i, j, k) = (v("i"), v("j"), v("k"));
    let c = access("C", &[i.clone(), j.clone()]);
    let read =
        |a: &str, x: &Affine, y: &Affine| Box::new(Expr::Read(access(a, &[x.clone(), y.clone()])));
    let product = Expr::Binary(BinOp::Mul, read("A", &i, &k), read("B", &k, &j));
    let zero = set("S0", c.clone(), AssignOp::Set, Expr::Literal(Literal::Int(0)));
    let update = over("k", 0, "K", vec![set("S1", c, AssignOp::Add, product)]);
    let arrays = vec![array("A", &["M", "K"]), array("B", &["K", "N"]), array("C", &["M", "N"])];
    Nest {
        params: vec![param("M"), param("N"), param("K")],
        arrays,
        body: vec![over("i", 0, "M", vec![over("j", 0, "N", vec![zero, update])])],
        ..Nest::default()
    }
}

fn context(nest: &Nest) -> (DepContext, Tree) {
    let (poly, tree) = Poly::from_nest(nest).unwrap();
    (DepContext::new(&poly, &tree, &Source::default()).unwrap(), tree)
}

/// Loops over statement `S`, outermost first.
fn band(rows: &[(&str, Affine)]) -> Tree {
    rows.iter().rev().fold(Tree::Statement("S".into()), |body, (name, row)| {
        Tree::Loop(TreeLoop {
            name: (*name).into(),
            rows: BTreeMap::from([("S".into(), row.clone())]),
            marks: Marks::default(),
            body: Box::new(body),
        })
    })
}

#[test]
fn interchanging_the_wavefront_is_refused_with_the_smallest_pair() {
    let (deps, tree) = context(&wavefront());
    deps.check_order(&tree).unwrap();
    let illegal = deps.check_order(&band(&[("j", v("j")), ("i", v("i"))])).unwrap_err();
    let witness = illegal.witness.unwrap();
    assert_eq!(witness.first, Instance { statement: "S".into(), at: vec![1, 2] });
    assert_eq!(witness.second, Instance { statement: "S".into(), at: vec![2, 1] });
    assert_eq!(witness.params["N"], 3);
    assert_eq!(witness.element, [1, 2]);
    assert_eq!(illegal.diagnostic.code, "E0701");
    let text = illegal.diagnostic.witness.unwrap();
    assert_eq!(text, "with N = 3, S[1,2] must run before S[2,1]; the new order runs S[2,1] first");
}

#[test]
fn tiling_the_wavefront_needs_a_skew() {
    let (deps, _) = context(&wavefront());
    let tiled = |j: Affine| {
        let tile = |e: &Affine| e.floor_div(8).unwrap();
        band(&[("i.0", tile(&v("i"))), ("j.0", tile(&j)), ("i.1", v("i")), ("j.1", j)])
    };
    let illegal = deps.check_order(&tiled(v("j"))).unwrap_err();
    let witness = illegal.witness.unwrap();
    assert_eq!((witness.first.at, witness.second.at), (vec![1, 8], vec![2, 7]));
    deps.check_order(&tiled(v("j").add(&v("i")).unwrap())).unwrap();
}

#[test]
fn the_outer_loops_of_a_product_are_independent() {
    let (deps, tree) = context(&matmul());
    assert_eq!(deps.coincident(&tree, "i").unwrap(), None);
    assert_eq!(deps.coincident(&tree, "j").unwrap(), None);
    let why = deps.coincident(&tree, "k").unwrap().unwrap();
    assert_eq!((why.kind, why.distance), (DepKind::Reduction, 1));
    assert_eq!(deps.check_parallel(&tree, "k").unwrap_err().diagnostic.code, "E0702");
    deps.check_vector(&tree, "k").unwrap();
    assert_eq!(deps.coincident(&tree, "x").unwrap_err().code, "E0705");
}

#[test]
fn relaxed_updates_stay_behind_their_start() {
    let (deps, _) = context(&matmul());
    let one = |name: &str, statement: &str, row: Affine, body: Tree| {
        Tree::Loop(TreeLoop {
            name: name.into(),
            rows: BTreeMap::from([(statement.into(), row)]),
            marks: Marks::default(),
            body: Box::new(body),
        })
    };
    let s0 = one("a", "S0", v("i"), one("b", "S0", v("j"), Tree::Statement("S0".into())));
    let back = v("k").scale(-1).unwrap();
    let s1 = one("c", "S1", v("i"), one("d", "S1", v("j"), Tree::Statement("S1".into())));
    let s1 = one("e", "S1", back, s1);
    deps.check_order(&Tree::Sequence(vec![s0.clone(), s1.clone()])).unwrap();
    let illegal = deps.check_order(&Tree::Sequence(vec![s1, s0])).unwrap_err();
    let witness = illegal.witness.unwrap();
    assert_eq!(&*witness.first.statement, "S0");
    assert_eq!(&*witness.second.statement, "S1");
}

#[test]
fn an_order_must_be_total_for_each_statement() {
    let (deps, _) = context(&wavefront());
    let illegal = deps.check_order(&band(&[("i", v("i"))])).unwrap_err();
    assert_eq!(illegal.diagnostic.code, "E0703");
    let missing = deps.check_order(&Tree::Sequence(Vec::new())).unwrap_err();
    assert_eq!(missing.diagnostic.code, "E0704");
}

#[test]
fn flow_is_shown_with_the_users_names() {
    let (deps, _) = context(&matmul());
    let all = deps.dependences().unwrap();
    let flow = all.iter().find(|d| d.kind == DepKind::Flow && &*d.target == "S1").unwrap();
    assert!(flow.relation.contains("S0[") && flow.relation.contains("K"), "{}", flow.relation);
    assert!(flow.direct.as_ref().unwrap().contains("0]"), "{:?}", flow.direct);
    assert!(all.iter().any(|d| d.kind == DepKind::Reduction));
}
