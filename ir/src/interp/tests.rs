//! Both interpreters on nests and kernels whose results are known.

use std::collections::BTreeMap;

use super::kernel::{ParallelOrder, run_with};
use super::nest::{instances, run, run_bounded, run_order};
use crate::affine::Name;
use crate::diag::Result;
use crate::dtype::DType;
use crate::expr::BinOp;
use crate::kernel::{
    Buffer, Condition, Index, Kernel, KernelLoop, KernelNode, LoopMode, Store, Typed, TypedKind,
};
use crate::nest::{AssignOp, Nest, Order, Role};
use crate::tensor::Tensor;

type Tensors = BTreeMap<Name, Tensor>;

fn parse(text: &str) -> Nest {
    text.parse().unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn sizes(all: &[(&str, i64)]) -> BTreeMap<Name, i64> {
    all.iter().map(|&(n, v)| (n.into(), v)).collect()
}

fn tensors(all: Vec<(&str, Tensor)>) -> Tensors {
    all.into_iter().map(|(n, t)| (n.into(), t)).collect()
}

fn floats(dtype: DType, values: &[f64]) -> Tensor {
    Tensor::from_f64s(dtype, &[values.len()], values).unwrap()
}

fn code(result: Result<Tensors>) -> &'static str {
    result.expect_err("the nest is wrong").code
}

const MATMUL: &str = "param M, N, K
in A: bf16[M, K] in B: bf16[K, N] out C: f32[M, N] temp T: f32[M, N]
for m in 0..M, n in 0..N {
  S0: T[m, n] = 0
  for k in 0..K { S1: T[m, n] += A[m, k] * B[k, n] }
  S2: C[m, n] = max(T[m, n], 0)
}";

#[test]
fn matmul_rounds_as_f32_does() {
    let nest = parse(MATMUL);
    let (m, n, k) = (5, 4, 7);
    let a = Tensor::random(DType::Bf16, &[m, k], 1).unwrap();
    let b = Tensor::random(DType::Bf16, &[k, n], 2).unwrap();
    let at = sizes(&[("M", 5), ("N", 4), ("K", 7)]);
    let inputs = tensors(vec![("A", a.clone()), ("B", b.clone())]);
    let got = run(&nest, &at, &inputs).unwrap();
    let wide = run_bounded(&nest, &at, &inputs).unwrap();
    assert_eq!(got.keys().map(|n| &**n).collect::<Vec<_>>(), ["C"]);
    for i in 0..m {
        for j in 0..n {
            let (mut sum, mut exact, mut magnitude) = (0_f32, 0_f64, 0_f64);
            for q in 0..k {
                let (x, y) = (a.get(&[i, q]).to_f64(), b.get(&[q, j]).to_f64());
                sum += x as f32 * y as f32;
                exact += x * y;
                magnitude += (x * y).abs();
            }
            assert_eq!(got["C"].get(&[i, j]).to_f64(), f64::from(sum.max(0.0)));
            let w = &wide["C"];
            assert_eq!(w.value[i * n + j], exact.max(0.0));
            // a product and a sum per term, in any order; the maximum does not round
            let per_u = w.bound[i * n + j] / (magnitude * 2_f64.powi(-24));
            assert!((k as f64..k as f64 + 1.01).contains(&per_u), "{per_u}");
        }
    }
}

#[test]
fn an_in_place_stencil_sees_its_own_writes() {
    let up = parse("param N inout A: i32[N] for i in 1..N { S: A[i] = A[i] + A[i - 1] }");
    let down = parse("param N inout A: i32[N] for i in N-1 downto 1 { S: A[i] = A[i] + A[i - 1] }");
    let start = floats(DType::I32, &[1.0, 2.0, 3.0, 4.0]);
    let go = |nest| {
        run(nest, &sizes(&[("N", 4)]), &tensors(vec![("A", start.clone())])).unwrap()["A"].to_f64s()
    };
    assert_eq!(go(&up), [1.0, 3.0, 6.0, 10.0]);
    assert_eq!(go(&down), [1.0, 3.0, 5.0, 7.0]);
    // the other order, asked for outright, is the other nest
    let order: Vec<_> = instances(&down, &sizes(&[("N", 4)]), 10).unwrap();
    assert_eq!(order.iter().map(|(_, i)| i[0]).collect::<Vec<_>>(), [3, 2, 1]);
    let inputs = tensors(vec![("A", start.clone())]);
    let got = run_order(&up, &sizes(&[("N", 4)]), &inputs, &order).unwrap();
    assert_eq!(got["A"].to_f64s(), go(&down));
    assert_eq!(instances(&up, &sizes(&[("N", 100)]), 50).unwrap_err().code, "E0520");
}

#[test]
fn undefined_elements_are_named() {
    let nest = parse(
        "param N in x: f32[N] temp T: f32[N] out y: f32[N]
for i in 0..N { if i mod 2 == 0 { S0: T[i] = x[i] } }
for i in 0..N { S1: y[i] = T[i] }",
    );
    let inputs = tensors(vec![("x", floats(DType::F32, &[1.0, 2.0, 3.0]))]);
    let error = run(&nest, &sizes(&[("N", 3)]), &inputs).unwrap_err();
    assert_eq!(error.code, "E0516");
    assert_eq!(error.witness.as_deref(), Some("`S1` at (i = 1) reads T[1]"));
    assert_eq!(error.labels[0].span, nest.statement("S1").unwrap().span);
}

#[test]
fn elements_out_of_bounds_are_named() {
    let nest =
        parse("param N in x: f32[N, 2] out y: f32[N] for i in 0..N { S: y[i] = x[i + 1, 1] }");
    let x = Tensor::random(DType::F32, &[3, 2], 1).unwrap();
    let error = run(&nest, &sizes(&[("N", 3)]), &tensors(vec![("x", x)])).unwrap_err();
    assert_eq!(error.code, "E0515");
    let wanted = "`S` at (i = 2) accesses x[3, 1], and its extents are [3, 2]";
    assert_eq!(error.witness.as_deref(), Some(wanted));
}

#[test]
fn wrong_inputs_are_refused() {
    let nest = parse(
        "param N assume N >= 2 in x: i8[N] out y: i8[N] assume -3 <= x <= 3
for i in 0..N { S: y[i] = x[i] }",
    );
    let go = |n, x: Tensor| run(&nest, &sizes(&[("N", n)]), &tensors(vec![("x", x)]));
    let fine = floats(DType::I8, &[3.0, -3.0]);
    assert_eq!(go(2, fine.clone()).unwrap()["y"], fine);
    assert_eq!(code(go(3, fine.clone())), "E0514");
    assert_eq!(code(go(2, floats(DType::F32, &[1.0, 2.0]))), "E0514");
    assert_eq!(code(go(2, floats(DType::I8, &[1.0, 4.0]))), "E0512");
    assert_eq!(code(go(1, floats(DType::I8, &[1.0]))), "E0512");
    assert_eq!(code(go(-1, fine.clone())), "E0512");
    assert_eq!(code(run(&nest, &sizes(&[("N", 2)]), &tensors(vec![]))), "E0513");
    let extra = tensors(vec![("x", fine.clone()), ("z", fine.clone())]);
    assert_eq!(code(run(&nest, &sizes(&[("N", 2)]), &extra)), "E0513");
    assert_eq!(code(run(&nest, &sizes(&[]), &tensors(vec![("x", fine)]))), "E0511");
}

#[test]
fn guards_constants_and_triangles() {
    let nest = parse(
        "param N const P: i32[3] = [10, 20, 30] in x: i32[N] inout y: i32[N]
for i in 0..N, j in i..min(N, i + 2) step 1 {
  S: y[i] += P[j mod 3] when x[j] > 0
}",
    );
    let inputs = tensors(vec![
        ("x", floats(DType::I32, &[1.0, -1.0, 1.0, 1.0])),
        ("y", floats(DType::I32, &[0.0; 4])),
    ]);
    let got = run(&nest, &sizes(&[("N", 4)]), &inputs).unwrap();
    assert_eq!(got["y"].to_f64s(), [10.0, 30.0, 40.0, 10.0]);
}

#[test]
fn a_split_in_the_language_is_exact() {
    // x = hi + lo with hi in bf16: the cast must round in the wide reference too
    let nest = parse(
        "param N in x: f32[N] out lo: f32[N]
for i in 0..N { S: lo[i] = x[i] - cast_bf16_rtz(x[i]) }",
    );
    let x = Tensor::random(DType::F32, &[64], 3).unwrap();
    let inputs = tensors(vec![("x", x.clone())]);
    let got = run(&nest, &sizes(&[("N", 64)]), &inputs).unwrap();
    let wide = run_bounded(&nest, &sizes(&[("N", 64)]), &inputs).unwrap();
    assert_eq!(got["lo"].to_f64s(), wide["lo"].value);
    for (x, lo) in x.to_f64s().iter().zip(got["lo"].to_f64s()) {
        assert!(lo.abs() < x.abs() * 2f64.powi(-7) && lo * x >= 0.0);
    }
}

#[test]
fn what_is_evaluated_before_a_cast_rounds_in_its_own_type() {
    let nest = parse(
        "param N in x: f32[N] out y: f64[N] out z: f32[N]
for i in 0..N { S: y[i] = cast_f64(x[i] * x[i] + 0.1); T: z[i] = cast_bf16(x[i] * x[i] + 0.1) }",
    );
    let inputs = tensors(vec![("x", Tensor::random(DType::F32, &[64], 5).unwrap())]);
    let got = run(&nest, &sizes(&[("N", 64)]), &inputs).unwrap();
    let wide = run_bounded(&nest, &sizes(&[("N", 64)]), &inputs).unwrap();
    for (name, least, most) in [("y", 2f64.powi(-30), 2f64.powi(-20)), ("z", 0.0, 2f64.powi(-5))] {
        let (got, wide) = (got[name].to_f64s(), &wide[name]);
        for (i, got) in got.iter().enumerate() {
            let (off, bound) = ((got - wide.value[i]).abs(), wide.bound[i]);
            assert!(off <= bound && least < bound && bound < most, "{name}[{i}]: {off} {bound}");
        }
    }
}

fn var(name: &str) -> Index {
    Index::Var(name.into())
}

fn buffer(name: &str, role: Role) -> Buffer {
    Buffer { name: name.into(), role, dtype: DType::I32, shape: vec![var("N")], of: None }
}

/// `for i in 1..N { A[i] = A[i - 1] + 1 }` in a mode, where `i >= 2`.
fn shift_kernel(mode: LoopMode) -> Kernel {
    let back = Index::Sub(Box::new(var("i")), Box::new(Index::Const(1)));
    let typed = |kind| Typed { dtype: DType::I32, kind };
    let read = typed(TypedKind::Read { array: "A".into(), indices: vec![back] });
    let one = typed(TypedKind::Literal(crate::expr::Literal::Int(1)));
    let store = Store {
        statement: "S".into(),
        array: "A".into(),
        dtype: DType::I32,
        indices: vec![var("i")],
        op: AssignOp::Set,
        value: typed(TypedKind::Binary(BinOp::Add, Box::new(read), Box::new(one))),
        guard: None,
        order: Order::Serial,
        strict: false,
    };
    let guard = Condition::Ge(var("i"), Index::Const(2));
    Kernel {
        name: "k".into(),
        params: vec!["N".into()],
        buffers: vec![buffer("A", Role::InOut)],
        body: vec![KernelNode::Loop(KernelLoop {
            var: "i".into(),
            label: "S.i".into(),
            lower: Index::Const(1),
            upper: var("N"),
            step: 1,
            mode,
            body: vec![KernelNode::If(guard, vec![KernelNode::Store(store)], Vec::new())],
        })],
    }
}

#[test]
fn loop_modes_show_what_depends_on_order() {
    let start = floats(DType::I32, &[0.0, 10.0, 20.0, 30.0]);
    let go = |mode, order| {
        let inputs = tensors(vec![("A", start.clone())]);
        let kernel = shift_kernel(mode);
        run_with(&kernel, &sizes(&[("N", 4)]), &inputs, order).unwrap()["A"].to_f64s()
    };
    let serial = [0.0, 10.0, 11.0, 12.0];
    let lockstep = [0.0, 10.0, 11.0, 21.0];
    assert_eq!(go(LoopMode::Serial, ParallelOrder::Reverse), serial);
    assert_eq!(go(LoopMode::Unroll, ParallelOrder::Reverse), serial);
    assert_eq!(go(LoopMode::Vector, ParallelOrder::Reverse), lockstep);
    assert_eq!(go(LoopMode::Parallel, ParallelOrder::Forward), serial);
    assert_eq!(go(LoopMode::Parallel, ParallelOrder::Reverse), lockstep);
    let shuffled: std::collections::BTreeSet<String> = (0..16)
        .map(|seed| format!("{:?}", go(LoopMode::Parallel, ParallelOrder::Shuffled(seed))))
        .collect();
    assert_eq!(shuffled.len(), 2);
}

#[test]
fn kernels_are_checked_too() {
    let mut kernel = shift_kernel(LoopMode::Serial);
    let inputs = tensors(vec![("A", floats(DType::I32, &[0.0; 4]))]);
    let go = |k: &Kernel| code(super::kernel::run(k, &sizes(&[("N", 4)]), &inputs));
    let KernelNode::Loop(l) = &mut kernel.body[0] else { unreachable!("built above") };
    l.upper = Index::Add(Box::new(var("N")), Box::new(Index::Const(1)));
    assert_eq!(go(&kernel), "E0515");
    let KernelNode::Loop(l) = &mut kernel.body[0] else { unreachable!("built above") };
    l.upper = Index::Const(i64::MAX);
    l.lower = Index::Mul(2, Box::new(Index::Const(i64::MAX)));
    assert_eq!(go(&kernel), "E0517");
}

const PRIVATE: &str = "kernel k(N) {
  in A: i32[N, 3]
  out B: i32[N, 3]
  for i in 0..N MODE {
    local T: i32[3] {
      for j in 0..3 unroll { S0: T[2 - j]:i32 = A[i, j]:i32 order serial }
      local U: i32[] {
        S1: U[]:i32 = T[0]:i32 order serial
        for k in 0..3 unroll { S2: B[i, k]:i32 = add.i32(T[k]:i32, U[]:i32) order serial }
      }
    }
    local T: i32[1] { S3: T[0]:i32 = A[i, 0]:i32 order serial }
  }
}";

#[test]
fn each_iteration_has_local_buffers_of_its_own() {
    let a: Vec<f64> = (0..15).map(f64::from).collect();
    let inputs = tensors(vec![("A", Tensor::from_f64s(DType::I32, &[5, 3], &a).unwrap())]);
    let go = |text: &str| {
        let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
        run_with(&kernel, &sizes(&[("N", 5)]), &inputs, ParallelOrder::Reverse)
    };
    let want: Vec<f64> =
        (0..5).flat_map(|i| (0..3).map(move |k| f64::from(3 * i + 2 - k + 3 * i + 2))).collect();
    for mode in ["", "parallel", "vector", "unroll"] {
        let text = PRIVATE.replace("MODE", mode);
        assert_eq!(go(&text).unwrap()["B"].to_f64s(), want, "{mode}");
        // what the iteration before wrote is gone
        let stale = text.replace("S0: T[2 - j]:i32 = A[i, j]", "S0: T[0]:i32 = A[i, j]");
        let found = go(&stale).expect_err("T[1] is not written");
        assert_eq!(found.code, "E0516", "{mode}");
        assert!(found.witness.as_ref().is_some_and(|w| w.contains("reads T[1]")), "{found:?}");
        let outside =
            text.replace("S2: B[i, k]:i32 = add.i32(T[k]", "S2: B[i, k]:i32 = add.i32(T[k + 1]");
        assert_eq!(code(go(&outside)), "E0515", "{mode}");
    }
    let shadow = PRIVATE.replace("MODE", "").replace("local U: i32[]", "local T: i32[]");
    assert_eq!(code(go(&shadow)), "E0511");
    let gone = PRIVATE.replace("MODE", "").replace("S3: T[0]:i32 = ", "S3: U[]:i32 = ");
    assert_eq!(code(go(&gone)), "E0307");
    let huge = PRIVATE.replace("MODE", "").replace("i32[1]", "i32[10000000000]");
    assert_eq!(code(go(&huge)), "E0511");
}
