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
    Buffer { name: name.into(), role, dtype: DType::F32, shape: vec![var("N")] }
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
