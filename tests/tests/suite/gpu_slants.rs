//! Automatic GPU schedules of transpositions whose target's lines start at any element: tiles that
//! follow them are sealed, compute what the nests say in every order of threads, and assemble
//! without spills; what moves under guards is on its way together.

use warploom::compile;

use super::gpu_tiles::{assembled, assembled_by, nest, same, scheduled};

/// `Y[j, i] = X[i, j]`.
fn transposed(dtype: &str, m: i64, n: i64) -> String {
    format!(
        "in X: {dtype}[{m}, {n}]\nout Y: {dtype}[{n}, {m}]\n\
         for i in 0..{m}, j in 0..{n} {{ S: Y[j, i] = X[i, j] }}\n"
    )
}

/// Whether a kernel's tile follows the lines: a line of the target is a sum with the number of one.
fn slanted(kernel: &str) -> bool {
    let line = |l: &str| l.trim_start().starts_with("S: Y[") && l.contains("+ j_1");
    kernel.lines().any(|l| line(l) || l.contains("j_1_2]:") && l.trim_start().starts_with("S: Y["))
        && kernel.contains("label j.1 ")
}

#[test]
fn tiles_follow_lines_that_start_anywhere() {
    // lines of 32 bytes less one, less two, plus one, and half a sector on, of every width
    for (dtype, m, n) in [
        ("i32", 71, 67),
        ("i32", 191, 64),
        ("f32", 130, 70),
        ("f32", 133, 129),
        ("i32", 68, 65),
        ("bf16", 142, 67),
        ("i16", 143, 70),
        ("f16", 136, 65),
        ("i32", 67, 64),
        ("u8", 143, 65),
        ("i8", 136, 71),
        ("e4m3", 129, 64),
        ("f64", 35, 33),
        ("i64", 70, 37),
        ("f64", 33, 64),
    ] {
        let kernel = same(&transposed(dtype, m, n), &[]);
        assert!(slanted(&kernel), "{dtype} {m} {n}\n{kernel}");
    }
}

#[test]
fn tiles_are_upright_where_nothing_is_to_follow() {
    // whole sectors; shorter than a tile; an edge that would move too far
    for (dtype, m, n) in [
        ("i32", 72, 67),
        ("i32", 63, 67),
        ("i32", 71, 33),
        ("i32", 3, 1),
        ("u8", 37, 70),
        ("i16", 128, 129),
        ("f64", 31, 33),
    ] {
        let kernel = same(&transposed(dtype, m, n), &[]);
        assert!(!slanted(&kernel), "{dtype} {m} {n}\n{kernel}");
    }
}

#[test]
fn tiles_of_more_dimensions_follow_lines() {
    // the other indices move whole sectors
    let cases = [
        ("[3, 71, 72]", "[3, 72, 71]", "b in 0..3, i in 0..71, j in 0..72", "b, j, i", "b, i, j"),
        ("[71, 3, 64]", "[64, 3, 71]", "b in 0..3, i in 0..71, j in 0..64", "j, b, i", "i, b, j"),
        (
            "[2, 65, 3, 72]",
            "[72, 3, 2, 65]",
            "a in 0..2, c in 0..3, i in 0..65, j in 0..72",
            "j, c, a, i",
            "a, i, c, j",
        ),
    ];
    for (from, to, loops, y, x) in cases {
        let text =
            format!("in X: i32{from}\nout Y: i32{to}\nfor {loops} {{ S: Y[{y}] = X[{x}] }}\n");
        same(&text, &[]);
    }
    let text = "in X: i32[3, 71, 72]\nout Y: i32[3, 72, 71]
for b in 0..3, i in 0..71, j in 0..72 { S: Y[b, j, i] = X[b, i, j] }\n";
    let kernel = same(text, &[]);
    assert!(kernel.contains("label j.1 ") && kernel.contains("+ j_1]"), "{kernel}");
}

#[test]
fn tiles_that_follow_lines_read_more_arrays() {
    for value in ["X[i, j] + Z[j, i]", "X[i, j] * W[i, j] + Z[j, i]", "X[i, j] + W[i, j + 1]"] {
        let text = format!(
            "in X: i32[71, 70]  in W: i32[71, 71]  in Z: i32[70, 71]\nout Y: i32[70, 71]
for i in 0..71, j in 0..70 {{ S: Y[j, i] = {value} }}\n"
        );
        same(&text, &[]);
    }
    // what the program makes itself is copied element by element as far as it is defined
    let text = "in A: i32[71, 70]\ntemp X: i32[71, 70]\nout Y: i32[70, 71]
for i in 0..71, j in 0..70 { T: X[i, j] = A[i, j] + 1 }
for i in 0..71, j in 0..70 { S: Y[j, i] = X[i, j] }\n";
    same(text, &[]);
    let text = "inout X: i32[71, 140]
for i in 0..70, j in 0..70 { S: X[j, 70 + i] = X[i, j] }\n";
    same(text, &[]);
}

#[test]
fn what_moves_under_guards_is_loaded_before_it_is_stored() {
    let cases = [("f32", "ld.global.nc.b32", 8), ("bf16", "ld.global.nc.b16", 16)];
    for (dtype, load, least) in cases {
        for ptx in assembled(&transposed(dtype, 3071, 4099)) {
            let kind = |l: &str| match l.trim_start() {
                l if l.starts_with(load) => Some('L'),
                l if l.starts_with("st.shared") => Some('S'),
                _ => None,
            };
            let moves: String = ptx.lines().filter_map(kind).collect();
            // one after the other without guards, and all of a thread's under guards
            let guarded = moves.trim_start_matches("LS");
            let together = ["L".repeat(least), "S".repeat(least)].concat();
            assert!(guarded.contains(&together), "{moves}\n{ptx}");
            assert!(!guarded.contains("SL"), "{moves}\n{ptx}");
        }
    }
}

/// The threads of a block along x and y in each part of a kernel.
fn threads(kernel: &str, axis: &str) -> Vec<i64> {
    let all = kernel.lines().filter(|l| l.contains(&format!(" thread.{axis} ")));
    let count = |l: &str| {
        let (from, to) = l.split_once(" in ")?.1.split_once(' ')?.0.split_once("..")?;
        Some(to.parse::<i64>().ok()? - from.parse::<i64>().ok()?)
    };
    all.map(|l| count(l).unwrap_or_else(|| panic!("{l}"))).collect()
}

#[test]
fn the_threads_that_read_a_tile_are_those_that_write_it() {
    // lines that start like the first after 2, 4, 8 and 16, and boxes of 68 to 143 rows: a thread
    // has 32 bytes of a tile, or more where it has fewer groups of lines than rows of threads
    for (dtype, m, n, shape) in [
        ("f32", 3071, 4099, [64, 8]),
        ("f32", 12284, 4099, [64, 8]),
        ("i32", 70, 67, [64, 8]),
        ("bf16", 24568, 4099, [64, 4]),
        ("bf16", 6142, 4099, [64, 4]),
        ("f16", 3076, 4099, [64, 4]),
        ("bf16", 3071, 4099, [64, 4]),
        ("u8", 143, 65, [64, 4]),
        ("f64", 35, 33, [32, 8]),
    ] {
        let text = transposed(dtype, m, n);
        let schedule = scheduled(&nest(&text));
        let lowered = compile::lower(&schedule).unwrap_or_else(|d| panic!("{d}"));
        let kernel = lowered.kernel().to_string();
        assert!(slanted(&kernel), "{kernel}");
        for (axis, want) in ["x", "y"].into_iter().zip(shape) {
            assert_eq!(threads(&kernel, axis), [want; 2], "{dtype} {m} {n}\n{kernel}");
        }
        for ptx in assembled_by(&schedule) {
            let block = format!(".reqntid {}, {}, 1", shape[0], shape[1]);
            assert!(ptx.contains(&block), "{block}\n{ptx}");
        }
    }
}
