//! Operands whose slices are the same for all tiles of a block: they have a slot for each slice,
//! which the first tile's iterations of the ring fill. Each program is sealed, computes what the
//! nest says, and is assembled; where another block, tile or team would have to wait, slices come
//! anew.
//!
//! Data are small integers, so that every sum is exact and results must agree bit for bit.

use warploom_ir::target::Target;
use warploom_tests::tensor::{agrees_cleanly, contraction, replayed};

/// `Out[m, n] = sum over k of A[m, k] * B[n, k]` in tiles of 64 x 16 or so, slices of 64 terms: two
/// blocks take tile after tile.
struct Shape {
    sizes: [i64; 3],
    /// Columns of a tile.
    columns: i64,
    stages: i64,
    /// How `A` and `B` come.
    units: [&'static str; 2],
    /// Whether results leave as boxes, from all rows that tiles have.
    boxes: bool,
    /// Further steps.
    more: &'static str,
}

const PLAIN: Shape = Shape {
    sizes: [320, 16, 64],
    columns: 16,
    stages: 3,
    units: ["tma", "tma"],
    boxes: false,
    more: "",
};

/// The kernel's text.
fn check(s: &Shape) -> String {
    let Shape { sizes: [m, n, k], columns, stages, units: [a, b], boxes, more } = s;
    let nest = contraction("mk,nk->mn", &format!("m={m},n={n},k={k}"));
    let leave = if *boxes { "stage Out at n.0 as Os\nmap Os_back.0 to tma\n" } else { "" };
    let script = format!(
        "tile m, n by 64, {columns}\nraster m.0, n.0 as t\nsplit t by 2\nskew t.1 by -2*t.0\n\
         reorder t.1, t.0\ndistribute n.1\ndistribute m.1\nsplit k by 64\n\
         reorder k.0, S1.m.1, S1.n.1, k.1\nsplit k.1 by 16\n\
         reorder k.0, k.1.0, S1.m.1, S1.n.1, k.1.1\nstage Acc at n.0 as acc\n\
         stage A at k.0 as As\nstage B at k.0 as Bs\nmap As.0 to {a}\nmap Bs.0 to {b}\n{leave}\
         tensorize S1.m.1, S1.n.1, k.1.1 with wgmma.m64n{columns}k16.f32.bf16.bf16\n\
         ring k.0 by {stages}\n{more}map t.1 to block.x\n"
    );
    let (nest, schedule) = replayed(&nest, &script);
    agrees_cleanly(&nest, &schedule, Target::Sm90a)
}

/// How many slots a buffer has.
fn slots(text: &str, buffer: &str) -> usize {
    let start = format!("shared {buffer}: bf16[");
    let line = text.lines().find_map(|l| l.trim().strip_prefix(start.as_str()));
    let slots = line.and_then(|l| l.split(',').next()).and_then(|n| n.parse().ok());
    slots.unwrap_or_else(|| panic!("no {buffer} in {text}"))
}

#[test]
fn a_factor_without_tiles_comes_once() {
    for (units, stages) in [(["tma", "tma"], 3), (["tma", "async"], 2), (["async", "tma"], 3)] {
        let text = check(&Shape { units, stages, ..PLAIN });
        let ring = usize::try_from(stages).unwrap();
        assert_eq!([slots(&text, "As"), slots(&text, "Bs")], [ring, 1], "{text}");
        assert!(text.contains("if 0 >= t_0"), "{text}");
    }
}

#[test]
fn a_factor_of_some_slices_has_a_slot_for_each() {
    let text = check(&Shape { sizes: [320, 16, 184], ..PLAIN });
    assert_eq!([slots(&text, "As"), slots(&text, "Bs")], [3, 3], "{text}");
    assert!(text.contains("if 2 >= k_0_2 + 3 * t_0"), "{text}");
    let text = check(&Shape { sizes: [200, 16, 128], units: ["async", "async"], ..PLAIN });
    assert_eq!([slots(&text, "As"), slots(&text, "Bs")], [3, 2], "{text}");
}

#[test]
fn the_factor_of_rows_comes_once_where_columns_have_tiles() {
    let text = check(&Shape { sizes: [64, 80, 64], boxes: true, ..PLAIN });
    assert_eq!([slots(&text, "As"), slots(&text, "Bs")], [1, 3], "{text}");
}

/// More slices than slots of the ring, both factors in tiles, or groups that take tiles in turn:
/// slices come anew.
#[test]
fn others_come_in_every_iteration() {
    let anew = [
        Shape { sizes: [320, 16, 184], stages: 2, ..PLAIN },
        Shape { sizes: [192, 32, 64], ..PLAIN },
        Shape { more: "map t.0 to pingpong\n", ..PLAIN },
    ];
    for shape in anew {
        let text = check(&shape);
        let ring = usize::try_from(shape.stages).unwrap();
        assert_eq!([slots(&text, "As"), slots(&text, "Bs")], [ring; 2], "{text}");
    }
}

/// Rows of a tile that no array has are not written to shared memory.
#[test]
fn rows_beyond_the_results_are_left_out() {
    let text = check(&Shape { sizes: [40, 80, 64], boxes: true, ..PLAIN });
    let rows = text.lines().find(|l| l.contains("if -1 * i + 39 >= 0"));
    assert!(rows.is_some(), "{text}");
}
