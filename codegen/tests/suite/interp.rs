//! Loops, lanes, guards and register tiles of compiled code against the kernel interpreter.

use crate::support::*;
use warploom_ir::dtype::DType::{self, Bf16, Bool, F32, F64, I32};
use warploom_ir::expr::{BinOp, Rounding};
use warploom_ir::kernel::*;
use warploom_ir::nest::{AssignOp, Order, Role};

fn kernel(params: &[&str], buffers: Vec<Buffer>, body: Vec<KernelNode>) -> Kernel {
    let params = params.iter().map(|p| (*p).into()).collect();
    Kernel { name: "k".into(), params, buffers, body }
}

fn with(node: KernelNode, change: impl FnOnce(&mut Store<Index>)) -> KernelNode {
    let KernelNode::Store(mut s) = node else { panic!("a store") };
    change(&mut s);
    KernelNode::Store(s)
}

const OPS: [AssignOp; 4] = [AssignOp::Add, AssignOp::Mul, AssignOp::Min, AssignOp::Max];

/// `S[m] op= A[m, k]`, guarded or not, for k in lanes.
#[test]
fn reductions_over_lanes() {
    for t in [F32, F64, I32, DType::U8] {
        for op in OPS {
            for (order, guarded) in [(Order::Fixed, false), (Order::Any, true)] {
                let a = || read(t, "A", vec![v("m"), v("k")]);
                let zero = Typed { dtype: t, kind: TypedKind::Index(c(2)) };
                let s = with(store(t, "S", vec![v("m")], op, a()), |s| {
                    s.order = order;
                    s.guard = guarded.then(|| bin(BinOp::Lt, a(), zero));
                });
                for upper in [v("K"), c(13), c(16), c(300)] {
                    let sizes = if upper == v("K") { vec![0, 1, 7, 16, 61] } else { vec![300] };
                    let shape = vec![v("M"), upper.clone()];
                    let lanes = for_("k", c(0), upper, LoopMode::Vector, vec![s.clone()]);
                    let outer = for_("m", c(0), v("M"), LoopMode::Parallel, vec![lanes]);
                    let buffers = vec![
                        buffer("A", Role::In, t, shape),
                        buffer("S", Role::InOut, t, vec![v("M")]),
                    ];
                    let k = kernel(&["M", "K"], buffers, vec![outer]);
                    for n in sizes {
                        if op != AssignOp::Mul || t.is_int() || n < 8 {
                            same(&k, &[3, n]);
                        }
                    }
                }
            }
        }
    }
}

/// A sum over lanes whose partial results stay in registers over an outer loop.
#[test]
fn dot_product_in_tiles() {
    let i = add(mul(8, v("k.0")), v("k.1"));
    let ab = bin(BinOp::Mul, read(F32, "A", vec![i.clone()]), read(F32, "B", vec![i]));
    let lanes =
        for_("k.1", c(0), c(8), LoopMode::Vector, vec![store(F32, "S", vec![], AssignOp::Add, ab)]);
    let outer =
        for_("k.0", c(0), Index::FloorDiv(Box::new(v("K")), 8), LoopMode::Serial, vec![lanes]);
    let one = |name| buffer(name, Role::In, F32, vec![v("K")]);
    let k = kernel(
        &["K"],
        vec![one("A"), one("B"), buffer("S", Role::InOut, F32, vec![])],
        vec![outer],
    );
    for n in [0, 8, 80] {
        same(&k, &[n]);
    }
}

/// `B[f(i)] = A[g(i)] + B[f(i)]` where the data says, for odd trips, steps and strides.
#[test]
fn lanes_of_every_shape() {
    let reversed = Index::Sub(Box::new(c(63)), Box::new(v("i")));
    let strided = add(mul(2, v("i")), c(1));
    let wrapped = Index::Mod(Box::new(add(v("i"), c(5))), 64);
    let divided = Index::FloorDiv(Box::new(Index::Sub(Box::new(v("i")), Box::new(c(9)))), 4);
    let divided = add(divided, c(3));
    for (target, source) in [
        (v("i"), v("i")),
        (v("i"), strided.clone()),
        (strided, reversed.clone()),
        (reversed, wrapped),
        (v("i"), divided),
        (v("i"), c(3)),
    ] {
        for (lower, trip, step, guarded) in [
            (0, 1, 1, false),
            (1, 7, 1, true),
            (0, 40, 1, false),
            (3, 11, 3, true),
            (0, 64, 1, true),
        ] {
            let a = || read(F32, "A", vec![source.clone()]);
            let s = with(store(F32, "B", vec![target.clone()], AssignOp::Add, a()), |s| {
                s.guard = guarded.then(|| bin(BinOp::Gt, a(), lit(F32, 0.0)));
            });
            let buffers = vec![
                buffer("A", Role::In, F32, vec![c(140)]),
                buffer("B", Role::InOut, F32, vec![c(140)]),
            ];
            let capped = Index::Min(Box::new(v("N")), Box::new(c(64)));
            for upper in [c((lower + trip * step).min(64)), capped] {
                let KernelNode::Loop(mut l) =
                    for_("i", c(lower), upper, LoopMode::Vector, vec![s.clone()])
                else {
                    panic!("a loop")
                };
                l.step = step;
                let k = kernel(&["N"], buffers.clone(), vec![KernelNode::Loop(l)]);
                same(&k, &[lower + trip * step]);
            }
        }
    }
}

/// A triangle of parallel and serial loops with guards on indices.
#[test]
fn triangles_and_guards() {
    let neg = Index::Sub(Box::new(v("j")), Box::new(mul(2, v("i"))));
    let element = read(I32, "A", vec![v("i"), v("j")]);
    let set = |x: Typed<Index>| store(I32, "B", vec![v("i"), v("j")], AssignOp::Set, x);
    let index = |i: Index| Typed { dtype: I32, kind: TypedKind::Index(i) };
    let odd = Condition::Any(vec![
        Condition::Eq(Index::Mod(Box::new(neg.clone()), 3), c(1)),
        Condition::All(vec![Condition::Ge(v("j"), c(4)), Condition::Ge(v("i"), v("j"))]),
    ]);
    let chosen = Index::Select(
        Box::new(Condition::Ge(v("j"), v("i"))),
        Box::new(Index::Min(Box::new(neg.clone()), Box::new(c(-3)))),
        Box::new(Index::Max(Box::new(neg.clone()), Box::new(c(2)))),
    );
    let quotient = index(Index::FloorDiv(Box::new(neg), 3));
    let then = vec![set(bin(BinOp::Add, quotient, index(chosen)))];
    let branch = KernelNode::If(odd, then, vec![set(element)]);
    let inner = for_("j", c(0), add(v("i"), c(1)), LoopMode::Parallel, vec![branch]);
    let outer = for_("i", c(0), v("N"), LoopMode::Parallel, vec![inner]);
    let square = |name, role| buffer(name, role, I32, vec![v("N"), v("N")]);
    let k = kernel(&["N"], vec![square("A", Role::In), square("B", Role::InOut)], vec![outer]);
    for n in [0, 1, 2, 17] {
        same(&k, &[n]);
    }
}

/// Accesses that only look like tiles: neighbours read and written in one loop.
#[test]
fn elements_that_are_not_apart_stay_in_memory() {
    let at = |i: Index| read(F32, "B", vec![i]);
    let bodies = [
        // B[j] += B[j + 1], B[j + 1] += A[k]
        vec![
            store(F32, "B", vec![v("j")], AssignOp::Add, at(add(v("j"), c(1)))),
            store(F32, "B", vec![add(v("j"), c(1))], AssignOp::Add, read(F32, "A", vec![v("k")])),
        ],
        // the same element under two names that only the sizes tell
        vec![
            store(F32, "B", vec![v("j")], AssignOp::Add, read(F32, "A", vec![v("k")])),
            store(F32, "B", vec![Index::Mod(Box::new(v("j")), 3)], AssignOp::Add, lit(F32, 1.0)),
        ],
        // a prefix sum over the loop itself
        vec![store(F32, "B", vec![add(v("k"), c(1))], AssignOp::Add, at(v("k")))],
        // under a guard on the index
        vec![KernelNode::If(
            Condition::Ge(v("k"), c(2)),
            vec![store(F32, "B", vec![v("j")], AssignOp::Mul, lit(F32, -1.0))],
            vec![store(F32, "B", vec![v("j")], AssignOp::Add, at(v("j")))],
        )],
    ];
    for body in bodies {
        let inner = for_("k", c(0), v("N"), LoopMode::Serial, body);
        let outer = for_("j", c(0), v("N"), LoopMode::Serial, vec![inner]);
        let buffers = vec![
            buffer("A", Role::In, F32, vec![v("N")]),
            buffer("B", Role::InOut, F32, vec![add(v("N"), c(1))]),
        ];
        let k = kernel(&["N"], buffers, vec![outer]);
        for n in [0, 1, 6] {
            same(&k, &[n]);
        }
    }
}

/// Narrow targets round at every update, and bools load and store.
#[test]
fn narrow_targets_and_bools() {
    let value = Typed {
        dtype: F32,
        kind: TypedKind::Convert {
            rounding: Rounding::Nearest,
            saturate: false,
            value: Box::new(read(Bf16, "A", vec![v("k"), v("j")])),
        },
    };
    let sum =
        store(Bf16, "B", vec![v("j")], AssignOp::Add, bin(BinOp::Mul, value, lit(F32, 100.5)));
    let sum = with(sum, |s| s.strict = true);
    let flag = bin(BinOp::Gt, read(Bf16, "B", vec![v("j")]).widened(), lit(F32, 3.0));
    let flags = store(Bool, "F", vec![v("j")], AssignOp::Max, flag);
    let lanes = for_("j", c(0), v("N"), LoopMode::Vector, vec![sum, flags]);
    let outer = for_("k", c(0), v("N"), LoopMode::Serial, vec![lanes]);
    let buffers = vec![
        buffer("A", Role::In, Bf16, vec![v("N"), v("N")]),
        buffer("B", Role::InOut, Bf16, vec![v("N")]),
        buffer("F", Role::InOut, Bool, vec![v("N")]),
    ];
    let k = kernel(&["N"], buffers, vec![outer]);
    for n in [1, 9, 37] {
        same(&k, &[n]);
    }
}

trait Widened {
    fn widened(self) -> Self;
}

impl Widened for Typed<Index> {
    fn widened(self) -> Self {
        let kind = TypedKind::Convert {
            rounding: Rounding::Nearest,
            saturate: false,
            value: Box::new(self),
        };
        Self { dtype: F32, kind }
    }
}

/// Buffers of single iterations: packed tiles, accumulators, one in the other, on the stack and in
/// scratch memory, seen by parallel loops, lanes and unrolled copies.
#[test]
fn local_buffers() {
    for (text, sizes) in local_kernels() {
        let k: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        same(&k, &sizes);
    }
}
