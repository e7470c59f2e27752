//! Sums in the order of the text on tensor cores that add in order (f64): their bits are those of a
//! chain of fused multiply-adds, whatever the tiles are; what would change the order is refused.
//!
//! The expectation is another nest, whose statement says `fma`, in the interpreter of nests; data
//! are random and of many magnitudes, so that another order or a product rounded by itself shows.

use std::collections::BTreeMap;

use warploom::{Kernel, Name, Nest, Schedule, compile};
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::Role;
use warploom_ir::target::Target;
use warploom_ir::tensor::{Tensor, random_word};
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees_on, refused, replayed};

/// Numbers of many magnitudes.
fn values(shape: &[usize], seed: u64) -> Tensor {
    let value = |i: usize| {
        let word = random_word(seed, i as u64);
        let mantissa = 1.0 + (word >> 12) as f64 / (1_u64 << 52) as f64;
        let sign = if word & 1 == 0 { 1.0 } else { -1.0 };
        sign * mantissa * 2.0_f64.powi((word >> 1 & 31) as i32 - 16)
    };
    let all: Vec<f64> = (0..shape.iter().product()).map(value).collect();
    Tensor::from_f64s(DType::F64, shape, &all).expect("a small tensor")
}

fn inputs(nest: &Nest) -> BTreeMap<Name, Tensor> {
    let given = nest.arrays.iter().filter(|a| matches!(a.role, Role::In | Role::InOut));
    let shape = |e: &warploom_ir::affine::Affine| {
        usize::try_from(e.as_constant().expect("sizes are fixed")).expect("positive")
    };
    let shaped = (1..).zip(given).map(|(seed, a)| {
        let shape: Vec<usize> = a.shape.iter().map(shape).collect();
        (a.name.clone(), values(&shape, seed))
    });
    shaped.collect()
}

fn parsed(text: &str) -> Nest {
    text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Compares a schedule's kernel, bit for bit, with a nest that says `fma`.
fn same_bits(schedule: &Schedule, fused: &str) -> Kernel {
    let fused = parsed(fused);
    let inputs = inputs(&fused);
    let want = interp::nest::run(&fused, &BTreeMap::new(), &inputs);
    let want = want.unwrap_or_else(|e| panic!("{e}"));
    let lowered = compile::lower(schedule).unwrap_or_else(|e| panic!("{e}\n{}", schedule.script()));
    let have = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), &inputs);
    let have = have.unwrap_or_else(|e| panic!("{e}\n{}", lowered.kernel()));
    for (name, tensor) in &want {
        assert!(have[name].bytes() == tensor.bytes(), "{name}\n{}", lowered.kernel());
    }
    lowered.kernel().clone()
}

/// The automatic schedule on tensor cores: bits, and code that assembles without spills.
fn automatic(text: &str, fused: &str, target: Target, programs: usize) {
    let nest = parsed(text);
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let schedule = auto_gpu(&start, &GpuOptions::of(target)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(start.replay(schedule.script()).ok().as_ref(), Some(&schedule));
    let kernel = same_bits(&schedule, fused).to_string();
    assert_eq!(kernel.matches("role multiply").count(), programs, "{kernel}");
    assert_eq!(kernel.parse::<Kernel>().map(|k| k.to_string()).ok(), Some(kernel.clone()));
    let code = compile::lower(&schedule).and_then(|l| l.gpu(target));
    let said = code.and_then(|c| compile::resources(&c)).unwrap_or_else(|e| panic!("{e}"));
    assert!(!said.contains("C75") && said.contains("0 bytes spill stores"), "{said}");
}

/// `C = alpha A B + beta C`, where `add` adds a product.
fn scaled(add: &str, [i, j, k]: [i64; 3]) -> String {
    format!(
        "in alpha: f64  in beta: f64  in A: f64[{i}, {k}]  in B: f64[{k}, {j}]\n\
         inout C: f64[{i}, {j}]\n\
         for i in 0..{i} {{\nfor j in 0..{j} {{ S0: C[i, j] *= beta }}\n\
         for k in 0..{k}, j in 0..{j} {{ S1: {add} }}\n}}\n"
    )
}

/// `G = (A B) (C D)`.
fn chained(fuse: bool, [i, j, k, l]: [i64; 4]) -> String {
    let product = |s: &str, [d, a, b]: [&str; 3], [m, n, o]: [i64; 3]| {
        let add = match fuse {
            true => format!("{d}[i, j] = fma({a}[i, k], {b}[k, j], {d}[i, j])"),
            false => format!("{d}[i, j] += {a}[i, k] * {b}[k, j]"),
        };
        format!(
            "for i in 0..{m}, j in 0..{n} {{\n{s}0: {d}[i, j] = 0\n\
             for k in 0..{o} {{ {s}1: {add} }}\n}}\n"
        )
    };
    format!(
        "in A: f64[{i}, {k}]  in B: f64[{k}, {j}]  in C: f64[{j}, {k}]  in D: f64[{k}, {l}]\n\
         temp E: f64[{i}, {j}]  temp F: f64[{j}, {l}]  out G: f64[{i}, {l}]\n{}{}{}",
        product("R", ["E", "A", "B"], [i, j, k]),
        product("S", ["F", "C", "D"], [j, l, k]),
        product("T", ["G", "E", "F"], [i, l, j]),
    )
}

const GPUS: [Target; 2] = [Target::Sm80, Target::Sm90a];

#[test]
fn scaled_products_start_from_what_the_array_holds() {
    let plain = "C[i, j] += alpha * A[i, k] * B[k, j]";
    let fused = "C[i, j] = fma(alpha * A[i, k], B[k, j], C[i, j])";
    for target in GPUS {
        for shape in [[64, 64, 64], [29, 37, 41], [70, 45, 50]] {
            automatic(&scaled(plain, shape), &scaled(fused, shape), target, 1);
        }
    }
    // the number belongs to the other factor
    let plain = "C[i, j] += A[i, k] * (B[k, j] * -alpha)";
    let fused = "C[i, j] = fma(A[i, k], B[k, j] * -alpha, C[i, j])";
    automatic(&scaled(plain, [40, 24, 36]), &scaled(fused, [40, 24, 36]), Target::Sm90a, 1);
}

#[test]
fn each_launch_has_a_program() {
    for target in GPUS {
        let sizes = [30, 31, 33, 37];
        automatic(&chained(false, sizes), &chained(true, sizes), target, 3);
    }
}

/// `C = alpha A A' + C / 2`, the lower triangle.
fn lower(add: &str, [n, m]: [i64; 2]) -> String {
    format!(
        "in alpha: f64  in A: f64[{n}, {m}]  inout C: f64[{n}, {n}]\n\
         for i in 0..{n} {{\nfor j in 0..i + 1 {{ S0: C[i, j] *= 0.5 }}\n\
         for k in 0..{m}, j in 0..i + 1 {{ S1: {add} }}\n}}\n"
    )
}

/// `C = A' A / m`, the upper triangle, and the lower one by symmetry.
fn symmetric(add: &str, [n, m]: [i64; 2]) -> String {
    format!(
        "in A: f64[{m}, {n}]  out C: f64[{n}, {n}]\n\
         for i in 0..{n}, j in i..{n} {{\nS0: C[i, j] = 0\n\
         for k in 0..{m} {{ S1: {add} }}\n\
         S2: C[i, j] = C[i, j] / {m}.0\nS3: C[j, i] = C[i, j]\n}}\n"
    )
}

#[test]
fn triangles_of_an_array_with_itself() {
    for target in GPUS {
        for shape in [[50, 37], [70, 48]] {
            let plain = lower("C[i, j] += alpha * A[i, k] * A[j, k]", shape);
            let fused = lower("C[i, j] = fma(alpha * A[i, k], A[j, k], C[i, j])", shape);
            automatic(&plain, &fused, target, 1);
            let plain = symmetric("C[i, j] += A[k, i] * A[k, j]", shape);
            let fused = symmetric("C[i, j] = fma(A[k, i], A[k, j], C[i, j])", shape);
            automatic(&plain, &fused, target, 1);
        }
    }
}

/// `A[r, q, :] = A[r, q, :] C4`, with a temporary row.
fn in_place(add: &str, [r, q, p]: [i64; 3]) -> String {
    format!(
        "inout A: f64[{r}, {q}, {p}]  in C4: f64[{p}, {p}]\ntemp total: f64[{p}]\n\
         for r in 0..{r}, q in 0..{q} {{\nfor p in 0..{p} {{\nS0: total[p] = 0\n\
         for s in 0..{p} {{ S1: total[p] {add} }}\n}}\n\
         for p in 0..{p} {{ S2: A[r, q, p] = total[p] }}\n}}\n"
    )
}

#[test]
fn rows_that_iterations_share_by_name_are_results() {
    for target in GPUS {
        for shape in [[20, 3, 24], [17, 4, 33]] {
            let plain = in_place("+= A[r, q, s] * C4[s, p]", shape);
            let fused = in_place("= fma(A[r, q, s], C4[s, p], total[p])", shape);
            automatic(&plain, &fused, target, 1);
        }
    }
}

/// `B = alpha A' B`, in place, where `A` is triangular: the sum has the rows of these bounds.
fn triangular(add: &str, k: &str, [m, n]: [i64; 2]) -> String {
    format!(
        "in alpha: f64  in A: f64[{m}, {m}]  inout B: f64[{m}, {n}]\n\
         for i in 0..{m}, j in 0..{n} {{\nfor k in {k} {{ S0: {add} }}\n\
         S1: B[i, j] = alpha * B[i, j]\n}}\n"
    )
}

#[test]
fn sums_are_as_long_as_a_triangle_says() {
    for target in GPUS {
        for [m, n] in [[64, 48], [70, 29], [65, 24], [49, 40], [97, 17]] {
            let k = format!("i + 1..{m}");
            let plain = triangular("B[i, j] += A[k, i] * B[k, j]", &k, [m, n]);
            let fused = triangular("B[i, j] = fma(A[k, i], B[k, j], B[i, j])", &k, [m, n]);
            automatic(&plain, &fused, target, 1);
        }
    }
}

/// `C = alpha A B + beta C`, where the lower triangle of a symmetric `A` is read.
fn symmetric_factor([first, second]: [&str; 2], [m, n]: [i64; 2]) -> String {
    format!(
        "in alpha: f64  in beta: f64  in A: f64[{m}, {m}]  in B: f64[{m}, {n}]\n\
         inout C: f64[{m}, {n}]\ntemp total: f64\n\
         for i in 0..{m}, j in 0..{n} {{\nS0: total = 0\n\
         for k in 0..i {{\nS1: C[k, j] {first}\nS2: total {second}\n}}\n\
         S3: C[i, j] = beta * C[i, j] + alpha * B[i, j] * A[i, i] + alpha * total\n}}\n"
    )
}

#[test]
fn two_triangular_sums_have_a_program_each() {
    for target in GPUS {
        for shape in [[50, 24], [65, 33]] {
            let plain = ["+= alpha * B[i, j] * A[i, k]", "+= B[k, j] * A[i, k]"];
            let fused =
                ["= fma(alpha * B[i, j], A[i, k], C[k, j])", "= fma(B[k, j], A[i, k], total)"];
            let [plain, fused] = [plain, fused].map(|adds| symmetric_factor(adds, shape));
            automatic(&plain, &fused, target, 2);
        }
    }
}

#[test]
fn elements_are_worked_on_where_no_terms_are() {
    let some = |add: &str, rows: i64, guard: &str, last: &str| {
        format!(
            "in A: f64[64, 32]  in B: f64[32, 24]  out C: f64[{rows}, 24]\n\
             inout D: f64[{rows}, 24]\nfor i in 0..{rows}, j in 0..24 {{\nS0: C[i, j] = 0\n\
             for k in 0..32 {{ {guard} {{ S1: C[i, j] {add} }} }}\n{last}\n}}\n"
        )
    };
    let (plain, fused) = ("+= A[i, k] * B[k, j]", "= fma(A[i, k], B[k, j], C[i, j])");
    for target in GPUS {
        // tiles without terms, and a statement in some of the tiles
        for (rows, guard, last) in [
            (170, "if i < 64", "S2: D[i, j] = C[i, j] + 1"),
            (64, "if 0 <= i", "if i < 10 { S2: D[i, j] = C[i, j] }"),
        ] {
            let [plain, fused] = [plain, fused].map(|add| some(add, rows, guard, last));
            automatic(&plain, &fused, target, 1);
        }
    }
}

#[test]
fn threads_multiply_factors_of_other_types_by_numbers() {
    let text = "in s: f32  in A: f32[40, 48]  in B: bf16[48, 24]  out C: f32[40, 24]\n\
                for m in 0..40, n in 0..24 {\nS0: C[m, n] = 0\n\
                for k in 0..48 { S1: C[m, n] += cast_bf16(s * A[m, k]) * B[k, n] order any }\n}\n";
    let nest = parsed(text);
    for target in GPUS {
        let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
        let schedule = auto_gpu(&start, &GpuOptions::of(target)).unwrap_or_else(|e| panic!("{e}"));
        let kernel = agrees_on(&nest, &schedule, target).0;
        assert!(kernel.contains("mul.f32(s[]:f32, A["), "{kernel}");
    }
}

/// A product in the order of the text, and a script that puts it on an instruction.
fn product(add: &str, k: &str, dtype: &str) -> String {
    format!(
        "in A: {dtype}[40, 36]  in B: {dtype}[36, 24]  inout C: {}[40, 24]\n\
         for m in 0..40, n in 0..24 {{ for k in {k} {{ S1: C[m, n] += {add} }} }}\n",
        if dtype == "f64" { "f64" } else { "f32" }
    )
}

fn script(first: &str, instruction: &str) -> String {
    format!(
        "{first}tile m, n by 32, 16\nsplit k by 16\nreorder k.0, m.1, n.1, k.1\n\
         split m.1 by 16\nsplit n.1 by 8\nsplit k.1 by 8\n\
         reorder k.0, m.1.0, k.1.0, n.1.0, m.1.1, n.1.1, k.1.1\n\
         stage C at n.0 as acc\nstage A at k.0 as As pad 4\nstage B at k.0 as Bs pad 4\n\
         map As.0 to async\nmap Bs.0 to async\nmap m.1.0 to warp\n\
         tensorize m.1.1, n.1.1, k.1.1 with {instruction}\nring k.0 by 3\n\
         map n.0 to block.x\nmap m.0 to block.y\n"
    )
}

const F64: &str = "mma.m16n8k8.f64.f64.f64";

#[test]
fn scripts_keep_the_order() {
    let text = product("A[m, k] * B[k, n]", "0..36", "f64");
    let (_, schedule) = replayed(&text, &script("", F64));
    let fused = "C[m, n] = fma(A[m, k], B[k, n], C[m, n])";
    let whole = text.replace("C[m, n] += A[m, k] * B[k, n]", fused);
    same_bits(&schedule, &whole);
}

/// A sum as long as its row says.
fn rows_of_terms(add: &str, k: &str, dtype: &str) -> String {
    product(add, k, dtype).replace("A: f64[40, 36]", "A: f64[36, 40]")
}

#[test]
fn boxes_hold_terms_of_other_rows() {
    // from the row on, and up to it; 36 terms in slices of 16
    for k in ["m..36", "0..m"] {
        let text = |add: &str| rows_of_terms(add, k, "f64").replace("0..40", "0..36");
        let (_, schedule) = replayed(&text("A[k, m] * B[k, n]"), &script("", F64));
        let kernel = same_bits(
            &schedule,
            &text("A[k, m] * B[k, n]").replace(
                "C[m, n] += A[k, m] * B[k, n]",
                "C[m, n] = fma(A[k, m], B[k, n], C[m, n])",
            ),
        );
        assert!(kernel.to_string().contains("select.f64("), "{kernel}");
    }
    // elements of 32 bits are loaded as matrices: threads put zeros there
    let text = product("A[m, k] * B[k, n] order any", "m..36", "tf32").replace("0..40", "0..36");
    let copied = script("", "mma.m16n8k8.f32.tf32.tf32");
    refused(&text, &copied, "E0731", "holds elements of `A` that it does not touch");
    let filled = copied.replace("map As.0 to async", "map As.0 to thread.x");
    let (nest, schedule) = replayed(&text, &filled);
    let kernel = agrees_on(&nest, &schedule, Target::Sm80).0;
    assert!(kernel.contains("over 32, 16 by"), "{kernel}");
}

#[test]
fn boxes_of_temporaries_hold_what_was_written() {
    // the box of the first slice holds elements that nothing writes
    let text = |first: &str| {
        format!(
            "in A: f64[48, 48]  in B: f64[48, 24]  inout C: f64[48, 24]  temp T: f64[48, 48]\n\
             for k in {first}..48, m in 0..48 {{ S0: T[k, m] = A[k, m] + 1 }}\n\
             for m in 0..48, n in 0..24 {{ for k in m + 1..48 {{\n\
             S1: C[m, n] += T[k, m] * B[k, n] }} }}\n"
        )
    };
    let own = "tile S1.m, n by 32, 16\nsplit S1.k by 16\nreorder S1.k.0, S1.m.1, n.1, S1.k.1\n\
               split S1.m.1 by 16\nsplit n.1 by 8\nsplit S1.k.1 by 8\n\
               reorder S1.k.0, S1.m.1.0, S1.k.1.0, n.1.0, S1.m.1.1, n.1.1, S1.k.1.1\n\
               stage C at n.0 as acc\nstage T at S1.k.0 as Ts pad 4\n\
               stage B at S1.k.0 as Bs pad 4\nmap Ts.0 to async\nmap Bs.0 to async\n\
               map S1.m.1.0 to warp\ntensorize S1.m.1.1, n.1.1, S1.k.1.1 with \
               mma.m16n8k8.f64.f64.f64\nring S1.k.0 by 3\n\
               map n.0 to block.x\nmap S1.m.0 to block.y\n";
    let (_, schedule) = replayed(&text("0"), own);
    let fused = text("0")
        .replace("C[m, n] += T[k, m] * B[k, n]", "C[m, n] = fma(T[k, m], B[k, n], C[m, n])");
    same_bits(&schedule, &fused);
    refused(&text("1"), own, "E0731", "holds elements of `T` that it does not touch");
}

#[test]
fn other_orders_are_refused() {
    let text = product("A[m, k] * B[k, n]", "0..36", "f64");
    refused(&text, &script("reverse k\n", F64), "E0701", "C");
    // the dependences allow what the text says; the instruction goes the other way
    let down = product("A[m, k] * B[k, n]", "35 downto 0", "f64");
    refused(&down, &script("", F64), "E0731", "one element after the other");
    let parts = "split k by 12\nreorder k.0, m, n, k.1\nsplit-reduction k.0 as P\n";
    refused(&text, parts, "E0727", "order serial");
    let strict = product("A[m, k] * B[k, n] strict", "0..36", "f64");
    refused(&strict, &script("", F64), "E0702", "matrix instruction");
    let narrow = product("A[m, k] * B[k, n]", "0..36", "tf32");
    refused(&narrow, &script("", "mma.m16n8k8.f32.tf32.tf32"), "E0702", "matrix instruction");
}
