//! Mutation test of block programs: kernels that schedules become, and kernels written by hand,
//! with one barrier, fence, wait, count, phase, slot or bound removed or changed. The verifier
//! refuses them, the interpreter finds a race, a deadlock or unfinished work, or the result is
//! another one.
//!
//! Keeps: at least 300 texts are kernels of the right shape; of these at least 95 % are noticed,
//! and what is not is listed here with the reason.

use std::collections::BTreeMap;

use warploom::compile;
use warploom_ir::affine::Name;
use warploom_ir::interp::kernel::run;
use warploom_ir::kernel::{Buffer, Index, Kernel};
use warploom_ir::nest::Role;
use warploom_ir::tensor::Tensor;
use warploom_tests::tensor::{product, replayed, values};
use warploom_tests::weaken::{Weakened, weakened};

const BF16: &str = include_str!("../../../examples/kernels/gemm_wgmma_bf16.kernel");
const MMA: &str = include_str!("../../../examples/kernels/gemm_mma.kernel");
const MULTICAST: &str = include_str!("../../../examples/kernels/gemm_wgmma_multicast.kernel");
const TENSOR: &str = include_str!("../../../examples/kernels/gemm_tcgen05.kernel");

/// Changes that nobody can notice, as the program is right with them: the change's text, and why.
const HARMLESS: [(&str, &str); 26] = [
    ("if -32 * ahead - column + 231 >= ", "the slices that are filled first end before the sum"),
    ("do mbarrier.wait(empty[mod(k_0_2 + 1, 3)], mod(", IN_ORDER),
    ("do mbarrier.wait(empty[mod(k + 1, 3)], mod(", IN_ORDER),
    ("do mbarrier.wait(empty[mod(k + 1, 4)], mod(", IN_ORDER),
    ("do mbarrier.wait(free[mod(t_0_4 + 1, 2)], mod(", IN_ORDER),
    ("do tcgen05.commit(empty[mod(k_0_3 + 1, 3)])", TOLD_IN_ORDER),
    ("do tcgen05.commit(empty[mod(q + 1, 4)])", TOLD_IN_ORDER),
    ("do mbarrier.arrive(empty[mod(k_0_3 + 1, 3)])", TOLD_IN_ORDER),
    ("do mbarrier.arrive(free[mod(t_0_2 + 1, 2)])", TOLD_IN_ORDER),
    ("do mbarrier.arrive(empty_2[mod(j_0_3 + 1, 2)])", TOLD_IN_ORDER),
    ("do mbarrier.wait(empty_2[mod(j_0_2 + 1, 2)], mod(", IN_ORDER),
    ("do mbarrier.arrive.cluster(free[mod(t_0_2 + 1, 2)]", TOLD_IN_ORDER),
    ("do mbarrier.wait(empty[mod(k_0_2 + 2 * t_0_3 + 1, 4)], mod(", IN_ORDER),
    ("do tcgen05.commit.pair(empty[mod(k_0_3 + 2 * t_0_4 + 1, 4)]", TOLD_IN_ORDER),
    ("do mbarrier.arrive(read[mod(turn + 1, 2)])", TOLD_IN_ORDER),
    ("do mbarrier.arrive(read[mod(turn_2 + 1, 2)])", TOLD_IN_ORDER),
    ("do mbarrier.arrive(read[mod(turn_3 + 1, 2)])", TOLD_IN_ORDER),
    ("do mbarrier.arrive(read[mod(turn_4 + 1, 2)])", TOLD_IN_ORDER),
    ("do mbarrier.arrive.cluster(read[mod(turn + 1, 2)]", TOLD_IN_ORDER),
    ("do mbarrier.arrive.cluster(read[mod(turn_2 + 1, 2)]", TOLD_IN_ORDER),
    ("do mbarrier.arrive.cluster(read[mod(turn_3 + 1, 2)]", TOLD_IN_ORDER),
    ("do mbarrier.arrive.cluster(read[mod(turn_4 + 1, 2)]", TOLD_IN_ORDER),
    ("do mbarrier.wait(read[mod(turn_4 + 1, 2)], mod(", IN_ORDER),
    (
        "do mbarrier.expect(full[mod(k_0_2 + 1, 3)]",
        "a tile has as many steps as slots: each barrier gets one arrival in each turn, and bytes \
         may come before they are announced",
    ),
    ("32) + 1 {", "a step behind the end of K adds zeros"),
    ("for k_0_2 in 0..8 + 1 label", "threads fill one more slot, and nobody reads it"),
];
const IN_ORDER: &str = "slots become free in order: the producer waits for the next slot, one turn \
                        earlier or in the turn before, and so for its own";
const TOLD_IN_ORDER: &str = "slots are waited for in order: who is told of the next one in the \
                             place of each has been told of its own, or will be later";

/// Of chains.
const OWN_ROWS: &str = "a warp multiplies the rows of the operand on the chip that it wrote, which \
                        the manual does not promise";

/// A kernel.
struct Program {
    name: &'static str,
    text: String,
}

/// What the schedule of a product becomes: in tiles of 64 x 8, or of 128 x 8 for two warpgroups by
/// blocks that stay.
fn scheduled(name: &'static str, out: &str, sizes: [usize; 3], persistent: bool) -> Program {
    let (rows, teams) = if persistent { (128, "map S1.m.1.0 to warpgroup\n") } else { (64, "") };
    let instruction = "wgmma.m64n8k16.f32.bf16.bf16";
    let steps = format!("{ENGINE}{teams}");
    by_script(name, out, sizes, (persistent, [rows, 8], 64, &steps, instruction))
}

/// The same in tiles of 64 rows for a warpgroup, or 128 for two, that two groups take in turn.
fn in_turns(name: &'static str, out: &str, sizes: [usize; 3], teams: i64) -> Program {
    let several = if teams > 1 { "map S1.m.1.0 to warpgroup\n" } else { "" };
    let steps = format!("{ENGINE}{several}map t.0 to pingpong\n");
    let instruction = "wgmma.m64n8k16.f32.bf16.bf16";
    by_script(name, out, sizes, (true, [64 * teams, 8], 64, &steps, instruction))
}

/// The same where threads fill the operands. That the threads of a warp meet before one arrives is
/// left out: here they run in step, so nobody could notice.
fn filled(name: &'static str, sizes: [usize; 3], b: &str) -> Program {
    let steps = format!("map As.0 to thread.x\nmap Bs.0 to {b}\n");
    let instruction = "wgmma.m64n8k16.f32.bf16.bf16";
    let program = by_script(name, "f32", sizes, (false, [64, 8], 64, &steps, instruction));
    let (before, after) = program.text.split_once("warps 1 {").expect("warps arrive by themselves");
    let text = format!("{before}warps 1 {{{}", after.replacen("do sync()", "", 1));
    Program { text, ..program }
}

/// The same on the tensor cores of warps, in tiles of 32 x 16 for two of them, three slices of 32
/// terms in shared memory; `b` says how B comes there. A block takes one tile, or all of some
/// columns.
fn by_warps(name: &'static str, [m, n, k]: [usize; 3], b: &str, one: bool) -> Program {
    let (around, at, blocks) = match one {
        true => ("", "n.0", "map n.0 to block.x\nmap m.0 to block.y\n"),
        false => ("reorder n.0, m.0\n", "m.0", "map n.0 to block.x\n"),
    };
    let script = format!(
        "tile m, n by 32, 16\n{around}distribute n.1\ndistribute m.1\nsplit k by 32\n\
         reorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 16\nsplit S1.n.1 by 8\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.n.1.0, S1.m.1.1, S1.n.1.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As pad 8\nstage B at k.0 as Bs pad 8\n\
         map As.0 to async\nmap Bs.0 to {b}\nmap S1.m.1.0 to warp\n\
         tensorize S1.m.1.1, S1.n.1.1, k.1.1 with mma.m16n8k16.f32.bf16.bf16\nring k.0 by 3\n\
         {blocks}"
    );
    replayed_program(name, "f32", [m, n, k], &script)
}

/// The same in tensor memory, in tiles of so many rows and 16 columns.
fn in_tensor_memory(
    name: &'static str,
    out: &str,
    sizes: [usize; 3],
    (persistent, rows): (bool, i64),
) -> Program {
    let instruction = "tcgen05.mma.m128n16k16.f32.bf16.bf16";
    by_script(name, out, sizes, (persistent, [rows, 16], 128, ENGINE, instruction))
}

/// The same by pairs of blocks, which have 256 rows and 32 columns; two pairs take tile after tile,
/// or each takes one.
fn paired(name: &'static str, out: &str, sizes: [usize; 3], stay: bool) -> Program {
    let (turns, at, places, stages) = match stay {
        true => (
            "raster m.0.0, n.0 as t\nsplit t by 2\nskew t.1 by -2*t.0\n\
             reorder t.1, m.0.1, t.0, m.0.0, n.0\n",
            "n.0",
            "map t.1 to block.x\n",
            4,
        ),
        false => ("", "m.0.1", "map m.0.0 to block.y\nmap n.0 to block.x\n", 3),
    };
    let drain = match out {
        "bf16" => format!("stage Out at {at} as Os\nmap Os_back.0 to tma\n"),
        _ => String::new(),
    };
    let script = format!(
        "tile m, n by 128, 32\nsplit m.0 by 2\nskew m.0.1 by -2*m.0.0\n\
         reorder m.0.0, n.0, m.0.1\n{turns}distribute n.1\ndistribute m.1\n\
         split k by 64\nreorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 128\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{drain}{ENGINE}\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with tcgen05.mma.pair.m256n32k16.f32.bf16.bf16\n\
         ring k.0 by {stages}\n{places}map m.0.1 to cluster\n"
    );
    replayed_program(name, out, sizes, &script)
}

/// The same where blocks of their own or pairs take tiles that none has begun.
fn taken(name: &'static str, out: &str, sizes: [usize; 3], pairs: bool) -> Program {
    let (rows, columns, instruction, cluster) = match pairs {
        true => (
            "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nreorder m.0.0, n.0, m.0.1\n\
             raster m.0.0, n.0 as t\nreorder t, m.0.1, m.0.0, n.0\n",
            32,
            "pair.m256n32",
            "map m.0.1 to cluster\n",
        ),
        false => ("raster m.0, n.0 as t\n", 16, "m128n16", ""),
    };
    let drain = match out {
        "bf16" => "stage Out at n.0 as Os\nmap Os_back.0 to tma\n",
        _wide => "",
    };
    let script = format!(
        "tile m, n by 128, {columns}\n{rows}map t to block.x\ntake t by 2\n{cluster}\
         distribute n.1\ndistribute m.1\nsplit k by 64\nreorder k.0, S1.m.1, S1.n.1, k.1\n\
         split S1.m.1 by 128\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{drain}{ENGINE}\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with \
         tcgen05.mma.{instruction}k16.f32.bf16.bf16\nring k.0 by 4\n"
    );
    replayed_program(name, out, sizes, &script)
}

/// The same where rows are two indices, of which a tile has 8 and 16.
fn boxed_pairs(name: &'static str, out: &str, [a, b, n, k]: [usize; 4]) -> Program {
    let text = format!(
        "in A: bf16[{a}, {b}, {k}]\nin B: bf16[{n}, {k}]\nout Out: {out}[{a}, {b}, {n}]\n\
         temp Acc: f32[{a}, {b}, {n}]\nfor a in 0..{a}, b in 0..{b}, n in 0..{n} {{\n\
         S0: Acc[a, b, n] = 0.0\n\
         for k in 0..{k} {{ S1: Acc[a, b, n] += A[a, b, k] * B[n, k] order fixed }}\n\
         S2: Out[a, b, n] = Acc[a, b, n]\n}}\n"
    );
    let drain = match out {
        "bf16" => "stage Out at a.0.1 as Os\nmap Os_back.0 to tma\n",
        _wide => "",
    };
    let script = format!(
        "split a by 8\nsplit n by 32\nreorder a.0, n.0, a.1, b, n.1\nsplit a.0 by 2\n\
         skew a.0.1 by -2*a.0.0\nreorder a.0.0, n.0, a.0.1\ndistribute n.1\ndistribute b\n\
         distribute a.1\nsplit k by 64\nreorder k.0, S1.a.1, S1.b, S1.n.1, k.1\n\
         coalesce S1.a.1, S1.b as deep\nsplit deep by 128\nsplit k.1 by 16\n\
         reorder k.0, deep.0, k.1.0, deep.1, S1.n.1, k.1.1\nstage Acc at a.0.1 as acc\n\
         stage A at k.0 as As\nstage B at k.0 as Bs\n{drain}{ENGINE}\
         tensorize deep.1, S1.n.1, k.1.1 with tcgen05.mma.pair.m256n32k16.f32.bf16.bf16\n\
         ring k.0 by 3\nmap a.0.0 to block.y\nmap n.0 to block.x\nmap a.0.1 to cluster\n"
    );
    replayed_nest(name, &text, &script)
}

/// A product of factors with scales in tiles of 128 rows and these columns, by blocks of their own
/// or by pairs; each takes one tile, or two take tile after tile.
fn scaled(name: &'static str, sizes: [usize; 3], columns: i64, ways: (bool, bool)) -> Program {
    scaled_by(name, ("e4m3", "ue8m0", [32, 32]), sizes, (columns, ways))
}

/// The same of factors of these types, with scales of this type for so many terms, of which an
/// instruction has so many.
fn scaled_by(
    name: &'static str,
    (of, by, [terms, depth]): (&str, &str, [usize; 2]),
    [m, n, k]: [usize; 3],
    (columns, (pair, stay)): (i64, (bool, bool)),
) -> Program {
    let nest = format!(
        "in A: {of}[{m}, {k}]\nin SA: {by}[{m}, {s}]\nin B: {of}[{n}, {k}]\n\
         in SB: {by}[{n}, {s}]\nout Out: f32[{m}, {n}]\ntemp Acc: f32[{m}, {n}]\n\
         for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Acc[m, n] = 0.0\n\
         for k in 0..{k} {{ S1: Acc[m, n] += (A[m, k] * SA[m, floor(k / {terms})]) \
         * (B[n, k] * SB[n, floor(k / {terms})]) order fixed }}\n\
         S2: Out[m, n] = Acc[m, n]\n}}\n}}\n",
        s = k.div_ceil(terms)
    );
    let (rows, blocks, cluster) = match pair {
        true => (
            "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nreorder m.0.0, n.0, m.0.1\n",
            "m.0.0",
            "map m.0.1 to cluster\n",
        ),
        false => ("", "m.0", ""),
    };
    let (turns, at, places) = match stay {
        true => {
            let inner = if pair { "m.0.1, " } else { "" };
            let turns = format!(
                "raster {blocks}, n.0 as t\nsplit t by 2\nskew t.1 by -2*t.0\n\
                 reorder t.1, {inner}t.0, {blocks}, n.0\n"
            );
            (turns, "n.0", "map t.1 to block.x\n".to_owned())
        }
        false => {
            let places = format!("map {blocks} to block.y\nmap n.0 to block.x\n");
            (String::new(), if pair { "m.0.1" } else { "n.0" }, places)
        }
    };
    let instruction = if pair { "pair.m256" } else { "m128" };
    let stages = if stay { 4 } else { 3 };
    let script = format!(
        "tile m, n by 128, {columns}\n{rows}{turns}distribute n.1\ndistribute m.1\n\
         split k by 128\nreorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 128\n\
         split k.1 by {depth}\nreorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
         stage SA at k.0 as SAs\nstage SB at k.0 as SBs\n{ENGINE}\
         map SAs.0 to thread.x\nmap SBs.0 to thread.x\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with \
         tcgen05.mma.{instruction}n{columns}k{depth}.f32.{of}.{of}.{by}\n\
         ring k.0 by {stages}\n{places}{cluster}"
    );
    let Program { text, .. } = replayed_nest(name, &nest, &script);
    // that the threads of a warp meet before one arrives nobody can notice, as in `filled`
    let (before, after) = text.split_once("warps 1 {").expect("warps arrive by themselves");
    let text = format!("{before}warps 1 {{{}", after.replacen("do sync()", "", 1));
    Program { name, text }
}

/// The program that a person wrote for tensor memory, in tiles of 128 x 16.
fn by_hand() -> Program {
    let text = TENSOR
        .replace("tcgen05.mma.m128n256k16", "tcgen05.mma.m128n16k16")
        .replace("0 : 256", "0 : 16")
        .replace("256 * bn : 256", "16 * bn : 16")
        .replace("[4, 256, 64]", "[4, 16, 64]")
        .replace("N + 255, 256", "N + 15, 16")
        .replace("256 * bn", "16 * bn")
        .replace("[128, 256]", "[128, 16]")
        .replace("49152", "18432")
        .replace("in 0..8", "in 0..2")
        .replace("32x32b.x32", "32x32b.x8")
        .replace("[128, 32] as", "[128, 8] as")
        .replace("0 : 32]", "0 : 8]")
        .replace("32 * c : 32", "8 * c : 8")
        .replace("32 * c + j", "8 * c + j");
    written("by hand", &text, [128, 16, 520])
}

/// Both operands by the copy engine.
const ENGINE: &str = "map As.0 to tma\nmap Bs.0 to tma\n";

/// A product by a script: whether blocks stay, a tile, an instruction's rows, further steps, and
/// the instruction's name.
fn by_script(
    name: &'static str,
    out: &str,
    [m, n, k]: [usize; 3],
    (persistent, [rows, columns], deep, teams, instruction): (bool, [i64; 2], i64, &str, &str),
) -> Program {
    let (around, blocks, at) = if persistent {
        (
            "split m.0 by 2\nreorder m.0.0, n.0, m.0.1\nraster m.0.0, n.0, m.0.1 as t\n\
             split t by 3\nskew t.1 by -3*t.0\nreorder t.1, t.0\n",
            "map t.1 to block.x\n",
            "m.0.1",
        )
    } else {
        ("", "map n.0 to block.x\nmap m.0 to block.y\n", "n.0")
    };
    let drain = match out {
        "bf16" => format!("stage Out at {at} as Os\nmap Os_back.0 to tma\n"),
        _ => String::new(),
    };
    let script = format!(
        "tile m, n by {rows}, {columns}\n{around}distribute n.1\ndistribute m.1\n\
         split k by 64\nreorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by {deep}\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{drain}\
         {teams}tensorize S1.m.1.1, S1.n.1, k.1.1 with {instruction}\nring k.0 by 3\n{blocks}"
    );
    replayed_program(name, out, [m, n, k], &script)
}

/// What a script makes of `Out = A B^T`.
fn replayed_program(name: &'static str, out: &str, sizes: [usize; 3], script: &str) -> Program {
    replayed_nest(name, &product(out, sizes), script)
}

/// The program of a nest with a script.
fn replayed_nest(name: &'static str, nest: &str, script: &str) -> Program {
    let (_, schedule) = replayed(nest, script);
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    Program { name, text: lowered.kernel().to_string() }
}

/// A product of tf32 whose second factor does not lie along the sum, and whose fragments a
/// warpgroup loads.
fn loaded(name: &'static str, [m, n, k]: [usize; 3]) -> Program {
    let nest = product("f32", [m, n, k]).replace("bf16", "tf32");
    let nest = nest.replace(&format!("B: tf32[{n}, {k}]"), &format!("B: tf32[{k}, {n}]"));
    let script = "tile m, n by 16, 64\ndistribute n.1\ndistribute m.1\nsplit k by 32\n\
         split k.1 by 8\nreorder k.0, k.1.0, S1.n.1, S1.m.1, k.1.1\nstage Acc at n.0 as acc\n\
         stage A at k.0 as As\nstage B at k.0 as Bs\nmap As.0 to tma\nmap Bs.0 to tma\n\
         tensorize S1.n.1, S1.m.1, k.1.1 with wgmma.rs.m64n16k8.f32.tf32.tf32\nring k.0 by 3\n\
         stage Out at n.0 as Os\nmap Os_back.0 to tma\n\
         map n.0 to block.x\nmap m.0 to block.y\n";
    replayed_nest(name, &nest.replace("B[n, k]", "B[k, n]"), script)
}

/// What the example's script for chained products becomes in tiles of 64 rows, 48 columns between
/// the products and 8 results; the second product's operand comes whole, or in slices.
fn chained(name: &'static str, [m, k, j]: [usize; 3], slices: bool) -> Program {
    let nest = include_str!("../../../examples/nests/chained_gemm.nest");
    let nest = nest.replace("param M, K, J, N", &format!("param M = {m}, K = {k}, J = {j}, N = 8"));
    // neither ring holds the producer back where the other one has to
    let (around, at, slots) = if slices {
        ("S1.j.1.0, S1.m.1.0", "S1.j.1.0", 4)
    } else {
        ("S1.m.1.0, S1.j.1.0", "j.0", 2)
    };
    let script = format!(
        "split m by 64\ndistribute m.1\nsplit j by 48\nreorder j.0, T1.m.1, j.1\n\
         distribute j.1\ndistribute T1.m.1\nsplit k by 64\nreorder k.0, T1.m.1, T1.j.1, k.1\n\
         split T1.m.1 by 64\nsplit k.1 by 16\n\
         reorder k.0, T1.m.1.0, k.1.0, T1.m.1.1, T1.j.1, k.1.1\n\
         split S1.m.1 by 64\nsplit S1.j.1 by 16\nreorder {around}, S1.m.1.1, S1.n, S1.j.1.1\n\
         stage S at m.0 as acc\nstage T at j.0 as sums\nstage H at j.0 as Hs\n\
         stage C at {at} as Cs\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
         stage D at m.0 as Ds\nmap As.0 to tma\nmap Bs.0 to tma\nmap Cs.0 to tma\n\
         map Ds_back.0 to tma\n\
         tensorize T1.m.1.1, T1.j.1, k.1.1 with wgmma.m64n48k16.f32.bf16.bf16\n\
         tensorize S1.m.1.1, S1.n, S1.j.1.1 with wgmma.m64n8k16.f32.bf16.bf16\n\
         ring k.0 by 3\nring {at} by {slots}\nmap m.0 to block.x\n"
    );
    replayed_nest(name, &nest, &script)
}

/// Two blocks that load 8 rows of B each for both.
fn clustered() -> Program {
    let text = MULTICAST
        .replace("wgmma.m64n256k16", "wgmma.m64n16k16")
        .replace("Bs[mod(k, 4), 128 * r : 128", "Bs[mod(k, 4), 8 * r : 8")
        .replace("B[256 * bn + 128 * r : 128", "B[16 * bn + 8 * r : 8")
        .replace("0 : 256", "0 : 16")
        .replace("[4, 256, 64]", "[4, 16, 64]")
        .replace("256 * bn", "16 * bn")
        .replace("[64, 256]", "[64, 16]")
        .replace("49152", "18432");
    written("clustered", &text, [256, 16, 520])
}

/// A product that leaves through shared memory, in tiles of 64 x 8.
fn drained() -> Program {
    let text = BF16
        .replace("wgmma.m64n256k16", "wgmma.m64n8k16")
        .replace("0 : 256", "0 : 8")
        .replace("256 * bn : 256", "8 * bn : 8")
        .replace("[3, 256, 64]", "[3, 8, 64]")
        .replace("Cs: bf16[2, 64, 256] panel 128", "Cs: bf16[2, 64, 8] panel 16")
        .replace("[64, 256]", "[64, 8]")
        .replace("49152", "17408");
    written("drained", &text, [128, 8, 456])
}

/// A program that a person wrote, for these sizes.
fn written(name: &'static str, text: &str, [m, n, k]: [usize; 3]) -> Program {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let value = |v: usize| i64::try_from(v).expect("a small size");
    let sizes = [("M", value(m)), ("N", value(n)), ("K", value(k))];
    let bound = kernel.bind(&sizes.map(|(name, v)| (name.into(), v)).into());
    Program { name, text: bound.to_string() }
}

/// Inputs of a kernel whose sums are exact.
fn inputs(kernel: &Kernel) -> BTreeMap<Name, Tensor> {
    let size = |e: &Index| e.eval(&|_name| None).expect("sizes are fixed");
    let given = kernel.buffers.iter().filter(|b| b.role == Role::In).zip(1..);
    let one = |(b, seed): (&Buffer, u64)| {
        let shape = b.shape.iter().map(|e| usize::try_from(size(e)).expect("positive"));
        (b.name.clone(), values(b.dtype, &shape.collect::<Vec<usize>>(), seed))
    };
    given.map(one).collect()
}

/// Who noticed a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Noticed {
    /// It is no kernel, or not of the right shape: it does not count.
    Shape,
    Verifier,
    Interpreter,
    Result,
    Nobody,
}

fn judge(text: &str, inputs: &BTreeMap<Name, Tensor>, right: &[u8]) -> Noticed {
    let Ok(kernel) = text.parse::<Kernel>() else { return Noticed::Shape };
    match compile::kernel(kernel.clone()) {
        Err(d) if d.code.starts_with("E10") && !["E1017", "E1020"].contains(&d.code) => {
            Noticed::Shape
        }
        Err(_) => Noticed::Verifier,
        Ok(_) => match run(&kernel, &BTreeMap::new(), inputs) {
            Err(_) => Noticed::Interpreter,
            Ok(out) if out.values().any(|t| t.bytes() != right) => Noticed::Result,
            Ok(_) => Noticed::Nobody,
        },
    }
}

/// Judges every weakened text of a program; gives the tally and the survivors.
fn tried(program: &Program) -> (BTreeMap<Noticed, usize>, Vec<Weakened>) {
    let kernel: Kernel = program.text.parse().unwrap_or_else(|e| panic!("{e}"));
    let inputs = inputs(&kernel);
    let out = run(&kernel, &BTreeMap::new(), &inputs).unwrap_or_else(|e| panic!("{e}"));
    let right = out.values().next().expect("an output").bytes().to_vec();
    let (mut tally, mut survivors) = (BTreeMap::new(), Vec::new());
    for one in weakened(&program.text) {
        let noticed = judge(&one.text, &inputs, &right);
        *tally.entry(noticed).or_insert(0) += 1;
        if noticed == Noticed::Nobody {
            survivors.push(one);
        }
    }
    println!("{}: {tally:?}", program.name);
    (tally, survivors)
}

#[test]
fn weakened_block_programs_are_noticed() {
    let programs = [
        scheduled("boxes", "bf16", [128, 8, 456], false),
        scheduled("stores", "f32", [128, 8, 456], false),
        scheduled("persistent", "bf16", [512, 16, 136], true),
        scheduled("persistent stores", "f32", [512, 16, 136], true),
        clustered(),
        drained(),
        written("warps", MMA, [64, 64, 136]),
    ];
    all_noticed(&programs, 300);
}

#[test]
fn weakened_programs_whose_threads_fill_operands_are_noticed() {
    let programs = [filled("both", [64, 8, 459], "thread.x"), filled("one", [64, 8, 456], "tma")];
    all_noticed(&programs, 60);
}

#[test]
fn weakened_programs_that_load_fragments_are_noticed() {
    all_noticed(&[loaded("fragments", [16, 64, 232])], 40);
}

#[test]
fn weakened_programs_whose_operands_last_are_noticed() {
    let script = "tile m, n by 64, 16\nraster m.0, n.0 as t\nsplit t by 2\nskew t.1 by -2*t.0\n\
         reorder t.1, t.0\ndistribute n.1\ndistribute m.1\nsplit k by 64\n\
         reorder k.0, S1.m.1, S1.n.1, k.1\nsplit k.1 by 16\n\
         reorder k.0, k.1.0, S1.m.1, S1.n.1, k.1.1\nstage Acc at n.0 as acc\n\
         stage A at k.0 as As\nstage B at k.0 as Bs\nmap As.0 to tma\nmap Bs.0 to tma\n\
         tensorize S1.m.1, S1.n.1, k.1.1 with wgmma.m64n16k16.f32.bf16.bf16\nring k.0 by 3\n\
         map t.1 to block.x\n";
    let lasting = replayed_program("an operand that lasts", "f32", [400, 16, 120], script);
    assert!(lasting.text.contains("Bs: bf16[2, 16, 64]"), "{}", lasting.text);
    all_noticed(&[lasting], 40);
}

#[test]
fn weakened_programs_that_take_turns_are_noticed() {
    let programs = [
        in_turns("boxes", "bf16", [256, 16, 136], 1),
        in_turns("stores", "f32", [256, 16, 72], 1),
        in_turns("one slice", "bf16", [512, 16, 64], 1),
        in_turns("groups of two", "bf16", [1024, 16, 136], 2),
    ];
    all_noticed(&programs, 100);
}

#[test]
fn weakened_programs_of_warps_are_noticed() {
    let programs = [
        by_warps("copies", [64, 16, 232], "async", true),
        by_warps("threads", [32, 16, 232], "thread.x", true),
        by_warps("few slices", [32, 16, 104], "async", true),
        by_warps("tiles", [96, 16, 136], "async", false),
    ];
    all_noticed(&programs, 60);
}

#[test]
fn weakened_chains_of_products_are_noticed() {
    let programs = [chained("whole", [64, 72, 240], false), chained("slices", [64, 72, 240], true)];
    but_for(&programs, 60, &[("do sync() -> ", OWN_ROWS)]);
}

#[test]
fn weakened_programs_in_tensor_memory_are_noticed() {
    let programs = [
        in_tensor_memory("boxes", "bf16", [128, 16, 456], (false, 128)),
        in_tensor_memory("stores", "f32", [128, 16, 456], (false, 128)),
        in_tensor_memory("tall boxes", "bf16", [256, 16, 456], (false, 256)),
        in_tensor_memory("tall stores", "f32", [256, 16, 456], (false, 256)),
        in_tensor_memory("persistent", "bf16", [1024, 16, 136], (true, 128)),
        in_tensor_memory("persistent stores", "f32", [1024, 16, 136], (true, 128)),
        by_hand(),
    ];
    all_noticed(&programs, 200);
}

#[test]
fn weakened_programs_of_pairs_are_noticed() {
    let programs = [
        paired("boxes", "bf16", [256, 32, 264], false),
        paired("stores", "f32", [256, 32, 264], false),
        paired("persistent boxes", "bf16", [512, 96, 72], true),
        paired("persistent stores", "f32", [512, 96, 72], true),
        boxed_pairs("several indices", "bf16", [16, 16, 32, 200]),
        boxed_pairs("several indices, stores", "f32", [16, 16, 32, 200]),
    ];
    all_noticed(&programs, 200);
}

#[test]
fn weakened_programs_that_take_tiles_are_noticed() {
    let programs = [
        taken("taken boxes", "bf16", [128, 96, 72], false),
        taken("taken stores", "f32", [128, 96, 8], false),
        taken("pairs take", "bf16", [256, 160, 72], true),
    ];
    all_noticed(&programs, 200);
}

#[test]
fn weakened_programs_with_scales_are_noticed() {
    let programs = [
        scaled("one tile", [128, 32, 464], 32, (false, false)),
        scaled("two blocks of scales", [128, 144, 464], 144, (false, false)),
        scaled("persistent", [384, 32, 272], 16, (false, true)),
        scaled("pair", [256, 32, 464], 32, (true, false)),
        scaled("persistent pairs", [512, 96, 144], 32, (true, true)),
    ];
    all_noticed(&programs, 200);
}

#[test]
fn weakened_programs_of_four_bits_are_noticed() {
    let [mx, nv] = [("e2m1", "ue8m0", [32, 64]), ("e2m1", "ue4m3", [16, 64])];
    let programs = [
        scaled_by("powers", mx, [128, 32, 480], (32, (false, false))),
        scaled_by("persistent", nv, [384, 32, 288], (16, (false, true))),
        scaled_by("pair", nv, [256, 32, 480], (32, (true, false))),
        scaled_by("persistent pairs", mx, [512, 96, 160], (32, (true, true))),
    ];
    all_noticed(&programs, 160);
}

/// At least `least` texts count, at least 95 % of these are noticed, and the rest is known.
fn all_noticed(programs: &[Program], least: usize) {
    but_for(programs, least, &[]);
}

/// The same with further changes that nobody can notice, once for each program.
fn but_for(programs: &[Program], least: usize, once: &[(&str, &str)]) {
    let (mut counted, mut unnoticed) = (0, Vec::new());
    for program in programs {
        let (tally, survivors) = tried(program);
        let shapeless = tally.get(&Noticed::Shape).copied().unwrap_or(0);
        counted += tally.values().sum::<usize>() - shapeless;
        unnoticed.extend(survivors.into_iter().map(|s| (program.name, s)));
    }
    let mut unknown = Vec::new();
    for (program, s) in &unnoticed {
        let text = format!("not noticed: {program}: {}: {}", s.operator, s.change);
        println!("{text}");
        let known = once.iter().any(|(change, _)| {
            let same = |(other, o): &&(&str, Weakened)| other == program && o.change == s.change;
            s.change.contains(change) && unnoticed.iter().filter(same).count() == 1
        });
        if !known && !HARMLESS.iter().any(|(change, _)| s.change.contains(change)) {
            unknown.push(text);
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    assert!(counted >= least, "only {counted} texts");
    assert!(unnoticed.len() * 20 <= counted, "{} of {counted} are not noticed", unnoticed.len());
}
