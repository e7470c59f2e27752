//! One broken kernel per rule.

use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal};
use warploom_ir::nest::{AssignOp, Order};

use super::*;

fn var(name: &str) -> Index {
    Index::Var(name.into())
}

fn read(array: &str, index: Index) -> Typed<Index> {
    Typed { dtype: DType::F32, kind: TypedKind::Read { array: array.into(), indices: vec![index] } }
}

fn buffer(name: &str, role: Role) -> Buffer {
    Buffer { name: name.into(), role, dtype: DType::F32, shape: vec![var("N")], of: None }
}

fn store() -> Store<Index> {
    let product =
        TypedKind::Binary(BinOp::Mul, Box::new(read("A", var("i"))), Box::new(read("A", var("i"))));
    Store {
        statement: "S".into(),
        array: "B".into(),
        dtype: DType::F32,
        indices: vec![var("i")],
        op: AssignOp::Add,
        value: Typed { dtype: DType::F32, kind: product },
        guard: None,
        order: Order::Serial,
        strict: false,
    }
}

fn around(mode: LoopMode, var_name: &str, body: Vec<KernelNode>) -> KernelLoop {
    KernelLoop {
        var: var_name.into(),
        label: var_name.into(),
        lower: Index::Const(0),
        upper: var("N"),
        step: 1,
        mode,
        body,
    }
}

fn with(body: Vec<KernelNode>) -> Kernel {
    Kernel {
        name: "k".into(),
        params: vec!["N".into()],
        buffers: vec![buffer("A", Role::In), buffer("B", Role::InOut)],
        body,
    }
}

fn codes(k: Kernel) -> Vec<&'static str> {
    match kernel(k) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|f| f.code).collect(),
    }
}

fn one(change: impl FnOnce(&mut Store<Index>)) -> Vec<&'static str> {
    let mut s = store();
    change(&mut s);
    codes(with(vec![KernelNode::Loop(around(LoopMode::Serial, "i", vec![KernelNode::Store(s)]))]))
}

#[test]
fn a_sound_kernel_is_sealed_unchanged() {
    let l = around(LoopMode::Vector, "i", vec![KernelNode::Store(store())]);
    let k = with(vec![KernelNode::Loop(l)]);
    assert_eq!(kernel(k.clone()).unwrap().get(), &k);
}

#[test]
fn names_resolve() {
    assert_eq!(one(|s| s.array = "X".into()), ["E1001"]);
    assert_eq!(one(|s| s.indices = vec![var("j")]), ["E1001"]);
    let twice = around(
        LoopMode::Serial,
        "i",
        vec![KernelNode::Loop(around(LoopMode::Serial, "i", vec![]))],
    );
    assert_eq!(codes(with(vec![KernelNode::Loop(twice)])), ["E1001"]);
}

#[test]
fn ranks_and_access() {
    assert_eq!(one(|s| s.indices.push(Index::Const(0))), ["E1002"]);
    assert_eq!(one(|s| s.array = "A".into()), ["E1002"]);
    assert_eq!(one(|s| s.indices = vec![Index::Mod(Box::new(var("i")), 0)]), ["E1002"]);
}

#[test]
fn loops() {
    let inner = around(LoopMode::Serial, "j", vec![]);
    let outer = around(LoopMode::Vector, "i", vec![KernelNode::Loop(inner)]);
    assert_eq!(codes(with(vec![KernelNode::Loop(outer)])), ["E1003"]);
    let guarded = KernelNode::If(Condition::All(vec![]), vec![], vec![]);
    let outer = around(LoopMode::Vector, "i", vec![guarded]);
    assert_eq!(codes(with(vec![KernelNode::Loop(outer)])), ["E1003"]);
    let still = KernelLoop { step: 0, ..around(LoopMode::Serial, "i", vec![]) };
    assert_eq!(codes(with(vec![KernelNode::Loop(still)])), ["E1003"]);
}

#[test]
fn types() {
    assert_eq!(one(|s| s.dtype = DType::F64), ["E1004"]);
    assert_eq!(one(|s| s.guard = Some(read("A", var("i")))), ["E1004"]);
    let half = Typed { dtype: DType::F16, kind: TypedKind::Literal(Literal::Int(1)) };
    assert_eq!(one(|s| s.value = half.clone()), ["E1004"]);
    let byte = |v| Typed::<Index> { dtype: DType::U8, kind: TypedKind::Literal(Literal::Int(v)) };
    assert_eq!(one(|s| s.value = byte(256)), ["E1004"]);
    assert!(one(|s| s.value = byte(255)).is_empty());
    let mixed = TypedKind::Binary(BinOp::Add, Box::new(byte(1)), Box::new(read("A", var("i"))));
    assert_eq!(one(|s| s.value = Typed { dtype: DType::U8, kind: mixed }), ["E1004"]);
}

fn local(name: &str, shape: &[i64], body: Vec<KernelNode>) -> KernelNode {
    let (name, shape, across) = (name.into(), shape.into(), Vec::new());
    KernelNode::Local(Local { name, dtype: DType::F32, shape, across, body })
}

#[test]
fn local_buffers_have_names_of_their_own() {
    let sibling = || local("T", &[4], vec![]);
    assert!(codes(with(vec![sibling(), sibling()])).is_empty());
    assert_eq!(codes(with(vec![local("T", &[4], vec![sibling()])])), ["E1001"]);
    assert_eq!(codes(with(vec![local("A", &[4], vec![])])), ["E1001"]);
    let mut after = store();
    after.array = "T".into();
    after.indices = vec![Index::Const(0)];
    after.value = Typed { dtype: DType::F32, kind: TypedKind::Literal(Literal::Float(1.0)) };
    let inside = local("T", &[4], vec![KernelNode::Store(after.clone())]);
    assert!(codes(with(vec![inside])).is_empty());
    assert_eq!(codes(with(vec![sibling(), KernelNode::Store(after.clone())])), ["E1001"]);
    let rank = local("T", &[4, 2], vec![KernelNode::Store(after.clone())]);
    assert_eq!(codes(with(vec![rank])), ["E1002"]);
    after.dtype = DType::F64;
    assert_eq!(codes(with(vec![local("T", &[4], vec![KernelNode::Store(after)])])), ["E1004"]);
}

#[test]
fn local_buffers_have_positive_extents_and_fit() {
    for (shape, code) in [
        (vec![], None),
        (vec![1 << 22], None),
        (vec![(1 << 22) + 1], Some("E1007")),
        (vec![i64::MAX, i64::MAX], Some("E1007")),
        (vec![i64::MAX], Some("E1007")),
        (vec![4, 0], Some("E1006")),
        (vec![-1], Some("E1006")),
    ] {
        let found = codes(with(vec![local("T", &shape, vec![])]));
        assert_eq!(found, code.into_iter().collect::<Vec<_>>(), "{shape:?}");
    }
    let half = |body| local("T", &[1 << 21], body);
    let other = local("U", &[1 << 21], vec![]);
    assert!(codes(with(vec![half(vec![other.clone()]), other.clone()])).is_empty());
    let third = local("V", &[1], vec![other]);
    assert_eq!(codes(with(vec![half(vec![third])])), ["E1007"]);
}
