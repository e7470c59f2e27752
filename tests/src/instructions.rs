//! One-instruction kernels: what an entry of the instruction table does, alone.
//!
//! In: an entry. Out: the text of a kernel `D = A B^T + A B^T` that executes it twice, the second
//! time keeping the accumulator, by a pair of blocks if it is one of pairs; inputs; and what the
//! declared adder makes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::instruction::{Instruction, Matrix, Part};
use warploom_ir::tensor::Tensor;
use warploom_ir::value::Scalar;

/// How operands lie in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of a panel.
    pub panel: i64,
    /// The summed index is the rows.
    pub transposed: bool,
}

/// The layouts to try for an instruction: every panel that its operands fill, transposed ones
/// where it can read them; one where its operands are in registers.
#[must_use]
pub fn layouts(m: &Matrix) -> Vec<Layout> {
    let mut all = vec![Layout { panel: 32, transposed: false }];
    if !m.shared {
        return all;
    }
    all.push(Layout { panel: 16, transposed: false });
    if m.transposable {
        let bits = i64::try_from(m.b.bits()).expect("few");
        let fits = |panel: &i64| m.held(Part::B)[0] * bits % (8 * panel) == 0;
        let panels = [16, 32, 64, 128].into_iter().filter(fits);
        all.extend(panels.map(|panel| Layout { panel, transposed: true }));
    }
    all
}

/// The shape of an operand's array.
fn shape(m: &Matrix, part: Part, layout: Layout) -> [i64; 2] {
    let [rows, cols] = m.extents(part);
    if layout.transposed && part != Part::D { [cols, rows] } else { [rows, cols] }
}

/// Arrays of scales: four steps of the sum for each row of whole blocks.
const SCALES: [(&str, Part); 2] = [("SA", Part::A), ("SB", Part::B)];

/// The first step that each of the two instructions takes.
const fn steps(m: &Matrix) -> [i64; 2] {
    match m.steps() {
        2 => [2, 0],
        4 => [0, 0],
        _one => [1, 3],
    }
}

/// Rows of an array of scales: those of both blocks of a pair, where each has its own.
fn scaled_rows(m: &Matrix, part: Part) -> i64 {
    let members = if part == Part::A { m.blocks } else { 1 };
    128 * m.scaled_blocks(part) * members
}

/// The shape of what a block holds of an operand.
fn held(m: &Matrix, part: Part, layout: Layout) -> [i64; 2] {
    let [rows, cols] = m.held(part);
    if layout.transposed && part != Part::D { [cols, rows] } else { [rows, cols] }
}

/// The kernel's text.
#[must_use]
pub fn kernel(instruction: &Instruction, m: &Matrix, layout: Layout) -> String {
    let name = &instruction.name;
    let mut text = "kernel one() {\n".to_owned();
    for (array, role, part) in [("A", "in", Part::A), ("B", "in", Part::B), ("D", "out", Part::D)] {
        let [rows, cols] = shape(m, part, layout);
        let _ = writeln!(text, "{role} {array}: {}[{rows}, {cols}]", m.dtype(part));
    }
    if let Some(s) = m.scales {
        for (array, part) in SCALES {
            let _ = writeln!(text, "in {array}: {}[{}, 4]", s.dtype, scaled_rows(m, part));
        }
    }
    let pair = m.blocks > 1;
    let cluster = if pair { "for r in 0..2 cluster { " } else { "" };
    let _ = writeln!(text, "for b in 0..1 block.x {{ {cluster}block {{");
    let body = match (m.tensor, m.shared) {
        (true, _) => in_tensor_memory(name, m, layout),
        (false, true) => from_shared(name, m, layout),
        (false, false) => from_registers(name, m),
    };
    text.push_str(&body);
    text.push_str(if pair { "} } } }\n" } else { "} } }\n" });
    text
}

/// The fragment of the accumulator, and its elements to `D` at the end.
fn accumulator(name: &str, m: &Matrix, body: &str) -> String {
    let Matrix { m: rows, n: cols, acc, .. } = m;
    format!(
        "fragment F: {acc}[{rows}, {cols}] as {name}.d {{\n{body}\
         for i, j across F {{ S: D[i, j]:{acc} = F[i, j]:{acc} order serial }}\n}}\n"
    )
}

/// Operands in shared memory: their declarations and barrier, how they are loaded, and the two
/// calls with this accumulator.
fn shared_operands(name: &str, m: &Matrix, layout: Layout, d: &str) -> [String; 3] {
    let Layout { panel, transposed } = layout;
    let side = if transposed { " transposed" } else { "" };
    let tile = |part: Part| {
        let [rows, cols] = held(m, part, layout);
        format!("[0 : {rows}, 0 : {cols}]")
    };
    // block `r` of a pair has its share of the rows of A and B
    let own = |part: Part| match (held(m, part, layout), m.blocks > 1, transposed) {
        (_, false, _) => tile(part),
        ([rows, cols], true, false) => format!("[{rows} * r : {rows}, 0 : {cols}]"),
        ([rows, cols], true, true) => format!("[0 : {rows}, {cols} * r : {cols}]"),
    };
    let shared = |part: Part| {
        let [rows, cols] = held(m, part, layout);
        format!("{}[{rows}, {cols}] panel {panel}", m.dtype(part))
    };
    let (a, b) = (tile(Part::A), tile(Part::B));
    let (from_a, from_b) = (own(Part::A), own(Part::B));
    let bytes = (m.m + m.n) * 32;
    let declared = format!(
        "shared As: {}\nshared Bs: {}\n$tensorbarrier full[1] count 1\n",
        shared(Part::A),
        shared(Part::B)
    );
    let (expect, load) = match m.blocks > 1 {
        true => (format!("if r == 0 {{ do mbarrier.expect(full[0], {bytes}) }}"), "tma.load.pair"),
        false => (format!("do mbarrier.expect(full[0], {bytes})"), "tma.load"),
    };
    let loads = format!(
        "{expect}\ndo {load}(As{a}, A{from_a}, full[0])\n\
         do {load}(Bs{b}, B{from_b}, full[0])\n"
    );
    let scales = |step: i64| match m.scales {
        None => String::new(),
        Some(_) => SCALES
            .map(|(array, part)| {
                let blocks = m.scaled_blocks(part);
                format!(", {array}t[0 : {blocks}, 0 : 32, {step} : 4 step 4]")
            })
            .concat(),
    };
    let call = |keep: i64| {
        let scales = scales(steps(m)[usize::from(keep > 0)]);
        format!("do {name}({d}, As{a}{side}, Bs{b}{side}{scales}, {keep})\n")
    };
    [declared, loads, call(0) + &call(1)]
}

fn from_shared(name: &str, m: &Matrix, layout: Layout) -> String {
    let d = format!("F[0 : {}, 0 : {}]", m.m, m.n);
    let [declared, loads, calls] = shared_operands(name, m, layout, &d);
    let declared = declared.replace("$tensor", "");
    let products =
        |calls: &str| format!("do wgmma.fence()\n{calls}do wgmma.commit()\ndo wgmma.wait(0)\n");
    let products = if m.fragment_a {
        let [rows, cols] = m.extents(Part::A);
        let part = format!("[0 : {rows}, 0 : {cols}]");
        let side = if layout.transposed { " transposed" } else { "" };
        let [down, along] = held(m, Part::A, layout);
        let shared = format!("As[0 : {down}, 0 : {along}]{side}");
        let calls = calls.replace(&shared, &format!("Af{part}"));
        let at = if layout.transposed { "aj, ai" } else { "ai, aj" };
        let t = m.dtype(Part::A);
        format!(
            "fragment Af: {t}[{rows}, {cols}] as {name}.a {{\nfor ai, aj across Af {{ \
             A0: Af[ai, aj]:{t} = As[{at}]:{t} order serial }}\n{}}}\n",
            products(&calls)
        )
    } else {
        products(&calls)
    };
    let body = format!("do mbarrier.wait(full[0], 0)\n{products}");
    format!("{declared}role all warps 4 {{\none {{\n{loads}}}\n{}}}\n", accumulator(name, m, &body))
}

/// One thread loads and multiplies; four warps load 16 columns of tensor memory at a time.
fn in_tensor_memory(name: &str, m: &Matrix, layout: Layout) -> String {
    let (Matrix { n, acc, .. }, [rows, _]) = (m, m.held(Part::D));
    let [declared, loads, calls] =
        shared_operands(name, m, layout, &format!("T[0 : {rows}, 0 : {n}]"));
    let [shared, tensors, filled, copied] = scales(m);
    let tensors = format!("{shared}tensor T: {acc}[{rows}, {n}]\n{tensors}");
    let declared = declared.replace("$tensor", &tensors);
    let load = "tcgen05.ld.32x32b.x16";
    let (first, commit, end, row) = match m.blocks > 1 {
        true => {
            ("if r == 0 {\n", "tcgen05.commit.pair(done[0], cluster[0 : 2])", "}\n", "128 * r + i")
        }
        false => ("", "tcgen05.commit(done[0])", "", "i"),
    };
    format!(
        "{declared}barrier done[1] count 1\nrole all warps 4 {{\n{filled}one {{\n{loads}{first}\
         do mbarrier.wait(full[0], 0)\ndo tcgen05.fence.after()\n{copied}{calls}\
         do {commit}\n{end}}}\n\
         do mbarrier.wait(done[0], 0)\ndo tcgen05.fence.after()\nfor c in 0..{} {{\n\
         fragment F: {acc}[{rows}, 16] as {load}.d {{\n\
         do {load}(F[0 : {rows}, 0 : 16], T[0 : {rows}, 16 * c : 16])\ndo tcgen05.wait.ld()\n\
         for i, j across F {{ S: D[{row}, 16 * c + j]:{acc} = F[i, j]:{acc} order serial }}\n\
         }}\n}}\n}}\n",
        n / 16
    )
}

/// Scales, where there are some: their buffers in shared and in tensor memory, how threads fill
/// these, and how one copies them. In a pair the first block waits for what the other one fills.
fn scales(m: &Matrix) -> [String; 4] {
    let mut out: [String; 4] = Default::default();
    let Some(s) = m.scales else { return out };
    let pair = m.blocks > 1;
    for (array, part) in SCALES {
        let blocks = m.scaled_blocks(part);
        let shape = format!("{}[{blocks}, 32, 16]", s.dtype);
        let _ = writeln!(out[0], "shared {array}s: {shape} panel 16");
        let _ = writeln!(out[1], "tensor {array}t: {shape}");
        let own = if pair && part == Part::A { "128 * r + " } else { "" };
        let v = |name: &str| format!("{array}{name}");
        let [b, g, l, c] = ["b", "g", "l", "c"].map(v);
        let _ = writeln!(
            out[2],
            "for {b}, {g}, {l}, {c} over {blocks}, 4, 32, 4 by 1, 1, 1, 4 {{ {array}0: \
             {array}s[{b}, {l}, 4 * {g} + {c}]:{t} = {array}[{own}128 * {b} + 32 * {g} + {l}, \
             {c}]:{t} order serial }}",
            t = s.dtype
        );
        let copy =
            if pair { "tcgen05.cp.pair.32x128b.warpx4" } else { "tcgen05.cp.32x128b.warpx4" };
        for block in 0..blocks {
            let tile = format!("[{block}, 0 : 32, 0 : 16]");
            let _ = writeln!(out[3], "do {copy}({array}t{tile}, {array}s{tile})");
        }
    }
    let count = if pair { 256 } else { 128 };
    let _ = writeln!(out[1], "barrier scaled[1] count {count}");
    let arrive = match pair {
        true => "do mbarrier.arrive.cluster(scaled[0], cluster[0])",
        false => "do mbarrier.arrive(scaled[0])",
    };
    let _ = writeln!(out[2], "do fence.async()\n{arrive}");
    out[3].insert_str(0, "do mbarrier.wait(scaled[0], 0)\ndo tcgen05.fence.after()\n");
    out
}

fn from_registers(name: &str, m: &Matrix) -> String {
    let mut body = String::new();
    for (array, part) in [("A", Part::A), ("B", Part::B)] {
        let (low, t) = (array.to_lowercase(), m.dtype(part));
        let _ = writeln!(
            body,
            "for {low}i, {low}j across {array}f {{ {array}0: {array}f[{low}i, {low}j]:{t} = \
             {array}[{low}i, {low}j]:{t} order serial }}"
        );
    }
    for keep in 0..2 {
        let [d, a, b] = [Part::D, Part::A, Part::B].map(|part| {
            let [rows, cols] = m.extents(part);
            format!("[0 : {rows}, 0 : {cols}]")
        });
        let _ = writeln!(body, "do {name}(F{d}, Af{a}, Bf{b}, {keep})");
    }
    let mut inside = accumulator(name, m, &body);
    for (array, side, part) in [("B", "b", Part::B), ("A", "a", Part::A)] {
        let ([rows, cols], t) = (m.extents(part), m.dtype(part));
        inside =
            format!("fragment {array}f: {t}[{rows}, {cols}] as {name}.{side} {{\n{inside}}}\n");
    }
    format!("role all warps 1 {{\n{inside}}}\n")
}

/// Random inputs; floats of many magnitudes, so that the adder cuts something off.
///
/// # Panics
/// Never: the tensors are small.
#[must_use]
pub fn inputs(m: &Matrix, layout: Layout, seed: u64) -> BTreeMap<Name, Tensor> {
    let of = |part: Part, seed: u64| {
        let extents = shape(m, part, layout).map(|e| usize::try_from(e).expect("positive"));
        let dtype = m.dtype(part);
        let mut tensor = Tensor::random(dtype, &extents, seed).expect("a small tensor");
        if dtype.is_float() {
            for i in 0..extents[0] * extents[1] {
                let scale = [1.0, 0.25, 8.0, 0.03125][(i * 7 + i / 5) % 4];
                let value = tensor.get_flat(i).to_f64() * scale;
                tensor.set_flat(i, Scalar::from_f64(dtype, value));
            }
        }
        tensor
    };
    let mut out =
        BTreeMap::from([("A".into(), of(Part::A, seed)), ("B".into(), of(Part::B, seed + 1))]);
    if let Some(s) = m.scales {
        for ((array, part), seed) in SCALES.into_iter().zip(seed + 2..) {
            let shape = [usize::try_from(scaled_rows(m, part)).expect("few"), 4];
            let tensor = Tensor::random(s.dtype, &shape, seed).expect("a small tensor");
            out.insert(array.into(), tensor);
        }
    }
    out
}

/// The same inputs with the terms of the sum in the opposite order, as operands in registers have
/// them.
#[must_use]
pub fn backwards(m: &Matrix, inputs: &BTreeMap<Name, Tensor>) -> BTreeMap<Name, Tensor> {
    let mut out = inputs.clone();
    let terms = usize::try_from(m.k).expect("few");
    for (name, tensor) in &mut out {
        for i in 0..tensor.shape().iter().product() {
            let (row, term) = (i / terms, i % terms);
            let other = inputs[name].get_flat(row * terms + terms - 1 - term);
            tensor.set_flat(i, other);
        }
    }
    out
}

/// What the declared adder gives, element by element.
#[must_use]
pub fn expected(m: &Matrix, layout: Layout, inputs: &BTreeMap<Name, Tensor>) -> Vec<Scalar> {
    let row = |array: &str, part: Part, at: i64| -> Vec<Scalar> {
        let [_, cols] = shape(m, part, layout);
        let flat = |k: i64| if layout.transposed { k * cols + at } else { at * cols + k };
        (0..m.k).map(|k| inputs[array].get_flat(usize::try_from(flat(k)).unwrap_or(0))).collect()
    };
    let a: Vec<Vec<Scalar>> = (0..m.m).map(|i| row("A", Part::A, i)).collect();
    let b: Vec<Vec<Scalar>> = (0..m.n).map(|j| row("B", Part::B, j)).collect();
    // factors times the scale of their row in one of the two instructions
    let scaled = |of: &[Scalar], array: &str, row: usize, call: usize| -> Vec<Scalar> {
        let Some(scales) = inputs.get(array) else { return of.to_vec() };
        let first = usize::try_from(steps(m)[call]).expect("below four");
        let terms = of.len() / usize::try_from(m.steps()).expect("few");
        let by = |k: usize| scales.get(&[row, first + k / terms]).to_f64();
        of.iter().enumerate().map(|(k, v)| Scalar::f64(v.to_f64() * by(k))).collect()
    };
    let mut out = Vec::new();
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            let sum = (0..2).fold(Scalar::zero(m.acc), |sum, call| {
                m.adder.add(sum, &scaled(a, "SA", i, call), &scaled(b, "SB", j, call))
            });
            out.push(sum);
        }
    }
    out
}

/// The largest absolute value that the sum of an element passes through, at least.
#[must_use]
pub fn magnitude(m: &Matrix, layout: Layout, inputs: &BTreeMap<Name, Tensor>, at: usize) -> f64 {
    let element = |array: &str, part: Part, row: i64, k: i64| {
        let [_, cols] = shape(m, part, layout);
        let flat = if layout.transposed { k * cols + row } else { row * cols + k };
        inputs[array].get_flat(usize::try_from(flat).unwrap_or(0)).to_f64()
    };
    let (i, j) = (at as i64 / m.n, at as i64 % m.n);
    let term = |k: i64| (element("A", Part::A, i, k) * element("B", Part::B, j, k)).abs();
    2.0 * (0..m.k).map(term).sum::<f64>()
}

/// Types whose results are exact.
#[must_use]
pub const fn exact(m: &Matrix) -> bool {
    matches!(m.acc, DType::I32)
}

/// Transposes 64 x 64 elements of bf16: a box in, 8x8 matrices through registers, a box out.
#[must_use]
pub fn transposition(panel: i64) -> String {
    format!(
        "kernel turn() {{
          in A: bf16[64, 64]
          out C: bf16[64, 64]
          for b in 0..1 block.x {{ block {{
            shared X: bf16[64, 64] panel {panel}
            shared Y: bf16[64, 64] panel {panel}
            barrier full[1] count 1
            role all warps 4 {{
              one {{
                do mbarrier.expect(full[0], 8192)
                do tma.load(X[0 : 64, 0 : 64], A[0 : 64, 0 : 64], full[0])
              }}
              do mbarrier.wait(full[0], 0)
              for w in 0..4 warps 1 {{
                fragment F: bf16[16, 64] as mma.m16n8k16.f32.bf16.bf16.a {{
                  for u in 0..4 unroll {{
                    do ldmatrix(F[0 : 16, 16 * u : 16], X[16 * w : 16, 16 * u : 16])
                  }}
                  for v in 0..4 unroll {{
                    do stmatrix(Y[16 * v : 16, 16 * w : 16] transposed, F[0 : 16, 16 * v : 16])
                  }}
                }}
              }}
              do fence.async()
              do sync()
              one {{
                do tma.store(C[0 : 64, 0 : 64], Y[0 : 64, 0 : 64])
                do tma.commit()
                do tma.wait.read(0)
              }}
            }}
          }} }}
        }}"
    )
}
