//! A product whose blocks take tiles by cluster launch control: a script for any sizes.
//!
//! In: whether pairs of blocks multiply together, and whether sizes are those that are timed. Out:
//! the script's text. Why here: automatic schedules share tiles out in turn, so that only a script
//! shows the other way.

/// The script of `Out[m, n] = sum over k of A[m, k] * B[k, n]` in bf16, as the einsum becomes it.
pub(super) fn script(pairs: bool, timed: bool) -> String {
    let columns = if timed { 256 } else { 128 };
    let (rows, member, cluster) = match pairs {
        true => (
            "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nsplit m.0.0 by 8\n\
             reorder m.0.0.0, n.0, m.0.0.1, m.0.1\nraster m.0.0.0, n.0, m.0.0.1 as t\n\
             reorder t, m.0.1, m.0.0.0, n.0, m.0.0.1\n",
            "m.0.0.1",
            "map m.0.1 to cluster\n",
        ),
        false => (
            "split m.0 by 8\nreorder m.0.0, n.0, m.0.1\nraster m.0.0, n.0, m.0.1 as t\n",
            "m.0.1",
            "",
        ),
    };
    let (instruction, stages) = if pairs { ("pair.m256", 6) } else { ("m128", 4) };
    format!(
        "tile m, n by 128, {columns}\n{rows}map t to block.x\ntake t by 3\n{cluster}\
         distribute n.1\ndistribute m.1\nsplit k by 64\nreorder k.0, S1.m.1, S1.n.1, k.1\n\
         split S1.m.1 by 128\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {member}\nstage A at k.0 as As\nmap As.0 to tma\nstage B at k.0 as Bs\n\
         map Bs.0 to tma\nsplit S2.n.1 by 64\nreorder S2.n.1.0, S2.m.1, S2.n.1.1\n\
         ring S2.n.1.0 by 2\nstage Out at S2.n.1.0 as Os\nmap Os_back.0 to tma\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with \
         tcgen05.mma.{instruction}n{columns}k16.f32.bf16.bf16\nring k.0 by {stages}\n"
    )
}
