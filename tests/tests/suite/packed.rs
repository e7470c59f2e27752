//! Packed operands, compiled: products with panels of both operands in local buffers compute what
//! the nest says, for whole and ragged tiles, in every memory order of the operands.
//!
//! Integers, so that every order of the sums gives the same bits.

use std::collections::BTreeMap;

use warploom::{Schedule, Script, compile};
use warploom_ir::interp;
use warploom_ir::nest::Nest;
use warploom_tests::random_inputs;

const TILES: &str = "tile S1.m, S1.n, k by 12, 32, 8
tile S1.m.1, S1.n.1 by 4, 16 as m.1, n.1, m.2, n.2
reorder k.1, m.2, n.2
";
const MARKS: &str = "parallel S1.m.0; vectorize n.2; unroll m.2\n";

/// Compiled code and the kernel's interpreter give what the nest's interpreter gives.
fn agree(text: &str, script: &str) {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    let script: Script = script.parse().unwrap_or_else(|e| panic!("{script}\n{e}"));
    let schedule = Schedule::new(&nest).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let schedule = schedule.replay(&script).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let program = compile::compile(&schedule).unwrap_or_else(|e| panic!("{text}\n{e}"));
    assert!(program.kernel().to_string().contains("local "), "{}", program.kernel());
    let none = BTreeMap::new();
    let inputs = random_inputs(&nest, &none, 1);
    let want = interp::nest::run(&nest, &none, &inputs).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let kernel = interp::kernel::run(program.kernel(), &none, &inputs);
    let kernel = kernel.unwrap_or_else(|e| panic!("{text}\n{e}"));
    let have = program.run(&inputs, Some(3)).unwrap_or_else(|e| panic!("{text}\n{e}"));
    for (name, tensor) in &want {
        assert!(kernel[name].bytes() == tensor.bytes(), "the kernel of {text}{script}");
        assert!(have[name].bytes() == tensor.bytes(), "the compiled code of {text}{script}");
    }
}

#[test]
fn products_in_every_memory_order() {
    for (m, n, k) in [(24, 64, 16), (13, 37, 9), (1, 1, 1), (12, 33, 8)] {
        for (a, a_layout) in [("m, k", "0/4, 1, 0%4"), ("k, m", "1/4, 0, 1%4")] {
            for (b, b_layout) in [("k, n", "1/16, 0, 1%16"), ("n, k", "0/16, 1, 0%16")] {
                let (upper_a, upper_b) = (a.to_uppercase(), b.to_uppercase());
                let text = format!(
                    "param M = {m}\nparam N = {n}\nparam K = {k}
in A: i32[{upper_a}]\nin B: i32[{upper_b}]\nout C: i32[M, N]
for m in 0..M, n in 0..N {{ S0: C[m, n] = 0 }}
for m in 0..M, n in 0..N, k in 0..K {{ S1: C[m, n] += A[{a}] * B[{b}] order fixed }}\n"
                );
                let stages = format!(
                    "stage B at k.0 as Bp layout {b_layout}
stage A at k.0 as Ap layout {a_layout}\n"
                );
                agree(&text, &format!("{TILES}{stages}{MARKS}"));
            }
        }
    }
}

#[test]
fn a_contraction_of_four_dimensions() {
    for (p, q, t) in [(8, 4, 32), (7, 5, 37)] {
        let text = format!(
            "param P = {p}\nparam Q = {q}\nparam T = {t}\nparam R = 6\nparam S = 9
in A: i32[P, R, Q, S]\nin B: i32[S, T, R]\nout C: i32[P, T, Q]
for p in 0..P, q in 0..Q, t in 0..T {{ S0: C[p, t, q] = 0 }}
for p in 0..P, q in 0..Q, t in 0..T, r in 0..R, s in 0..S {{
  S1: C[p, t, q] += A[p, r, q, s] * B[s, t, r] order fixed
}}\n"
        );
        let script = "tile S1.p, S1.q, S1.t, r, s by 4, 2, 16, 4, 4
reorder r.1, s.1, S1.p.1, S1.q.1, S1.t.1
stage A at s.0 as Ap layout 1, 3, 0, 2
stage B at s.0 as Bp layout 2, 0, 1
parallel S1.p.0; vectorize S1.t.1; unroll S1.q.1";
        agree(&text, script);
    }
}

#[test]
fn copies_of_narrow_floats_keep_their_bits() {
    let text = "param N = 37\nin A: bf16[N]\nin B: e4m3[N]\nout C: f32[N]\nout D: e4m3[N]
for i in 0..N { S0: C[i] = A[i] * 2.0 }
for i in 0..N { S1: D[i] = B[N - 1 - i] }\n";
    agree(text, "split S0.i by 8; stage A at S0.i.0; split S1.i by 8; stage B at S1.i.0 as R");
}
