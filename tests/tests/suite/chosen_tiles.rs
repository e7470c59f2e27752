//! Tiles of products that data leave out, by a `when` on the product and on what uses its sums:
//! each schedule's kernel is sealed, leaves alone what the nest leaves alone, whatever is chosen,
//! and is assembled without spills. Guards that no tile can be left out by are refused.

use warploom::compile;
use warploom_ir::kernel::Kernel;
use warploom_ir::target::Target;
use warploom_tests::tensor::{agrees_on, refused, replayed};

/// Products of which those are made that `which` names as `s` does; the results of others stay 7.
fn product(s: i64, when: [&str; 2]) -> String {
    let [product, result] = when;
    format!(
        "in RA: i8[4, 136, 80]\nin RB: i8[4, 80, 80]\nout U: i8[4, 136, 80]\n\
         temp S: i32[4, 136, 80]\nconst which: i32[4] = [1, 0, 1, 3]\ntemp s: i32[]\n\
         Q: s[] = {s}\nfor l in 0..4, m in 0..136, n in 0..80 {{ Y: U[l, m, n] = 7 }}\n\
         for l in 0..4 {{\nfor m in 0..136 {{\nfor n in 0..80 {{\nG0: S[l, m, n] = 0\n\
         for k in 0..80 {{\nG1: S[l, m, n] += RA[l, m, k] * RB[l, n, k]{product} order any\n}}\n\
         G2: U[l, m, n] = cast_i8(S[l, m, n] - 3){result}\n}}\n}}\n}}\n"
    )
}

const WHEN: &str = " when which[l] == s[]";

/// Blocks that go through tiles of 128 rows and 64 columns one after the other.
fn script(instruction: &str, places: [&str; 2], slices: i64) -> String {
    let [blocks, unit] = places;
    let rows = if instruction.starts_with("wgmma") { 64 } else { 128 };
    format!(
        "tile G0.m, G0.n by 128, 64\n{blocks}distribute G0.n.1\ndistribute G0.m.1\n\
         split G1.k by 32\nreorder G1.k.0, G1.m.1, G1.n.1, G1.k.1\nsplit G1.m.1 by {rows}\n\
         split G1.k.1 by 32\nreorder G1.k.0, G1.m.1.0, G1.k.1.0, G1.m.1.1, G1.n.1, G1.k.1.1\n\
         stage S at G0.n.0 as acc\nstage RA at G1.k.0 as As\nstage RB at G1.k.0 as Bs\n\
         stage U at G0.n.0 as Us\nmap As.0 to tma\nmap Bs.0 to tma\nmap Us_back.0 to tma\n{unit}\
         tensorize G1.m.1.1, G1.n.1, G1.k.1.1 with {instruction}\nring G1.k.0 by {slices}\n"
    )
}

const IN_TURN: &str = "raster G0.l, G0.m.0, G0.n.0 as t\nsplit t by 3\nskew t.1 by -3*t.0\n\
                       reorder t.1, t.0\nmap t.1 to block.x\n";
const ALONE: &str = "map G0.l to block.z\nmap G0.m.0 to block.y\nmap G0.n.0 to block.x\n";
/// Two blocks of a cluster beside each other, of the 256 rows that tiles are padded to.
const IN_CLUSTERS: &str = "split G0.m.0 by 2\nskew G0.m.0.1 by -2*G0.m.0.0\n\
     reorder G0.l, G0.m.0.0, G0.n.0, G0.m.0.1\nraster G0.l, G0.m.0.0, G0.n.0 as t\n\
     split t by 3\nskew t.1 by -3*t.0\nreorder t.1, G0.m.0.1, t.0, G0.l, G0.m.0.0, G0.n.0\n\
     map t.1 to block.x\nmap G0.m.0.1 to cluster\n";
const BY_TEAMS: &str = "map G1.m.1.0 to warpgroup\n";
const HOPPER: &str = "wgmma.m64n64k32.i32.i8.i8";
const BLACKWELL: &str = "tcgen05.mma.m128n64k32.i32.i8.i8";

/// The kernel's text, where those products are made that `s` is given for.
fn check(s: i64, script: &str, target: Target) -> String {
    let (nest, schedule) = replayed(&product(s, [WHEN; 2]), script);
    let (text, report) = agrees_on(&nest, &schedule, target);
    assert!(report.contains(" 0 bytes spill loads") && !report.contains("C75"), "{report}");
    text
}

#[test]
fn blocks_leave_out_tiles_whatever_was_before_them() {
    // two of four, one, and none: rings of two slots have three iterations a tile
    for (s, slices) in [(1, 2), (0, 3), (2, 2)] {
        let text = check(s, &script(HOPPER, [IN_TURN, BY_TEAMS], slices), Target::Sm90a);
        let choice = "when eq.bool(which[floordiv(t_1 + 3 * tile, 4)]:i32, s[]:i32) {";
        assert_eq!(text.matches(choice).count(), 1, "{text}");
        assert!(text.contains("mod(k_0_2 + 3 * turn, 2)") || slices == 3, "{text}");
        // what guards said of elements is said of tiles
        assert!(
            !text.contains(" when eq.bool(which[floordiv(t_1 + 3 * tile_2, 4)]:i32, s[]:i32) o")
        );
    }
}

#[test]
fn blocks_of_one_tile_leave_it_out() {
    let text = check(1, &script(HOPPER, [ALONE, BY_TEAMS], 2), Target::Sm90a);
    assert!(text.contains("in 0..1 when eq.bool(which["), "{text}");
    check(3, &script(BLACKWELL, [ALONE, ""], 2), Target::Sm100a);
}

#[test]
fn roles_of_sums_in_tensor_memory_leave_out_tiles() {
    for s in [1, 3, 2] {
        let text = check(s, &script(BLACKWELL, [IN_TURN, ""], 2), Target::Sm100a);
        assert_eq!(text.matches(" when eq.bool(which[").count(), 3, "{text}");
        assert!(text.contains("tensor sums: i32[2, 1, 128, 64]"), "{text}");
    }
}

#[test]
fn clusters_leave_out_tiles_together() {
    let pair = "tcgen05.mma.pair.m256n64k32.i32.i8.i8";
    for s in [1, 0, 2] {
        let text = check(s, &script(pair, [IN_CLUSTERS, ""], 3), Target::Sm100a);
        // commits of the other block are waited for behind the last tile that is made
        assert!(text.contains("} last {") && text.contains("for tail in 0..3"), "{text}");
    }
    let text = check(1, &script(HOPPER, [IN_CLUSTERS, BY_TEAMS], 2), Target::Sm90a);
    assert!(text.contains("mbarrier.arrive.cluster"), "{text}");
}

#[test]
fn automatic_schedules_leave_out_tiles() {
    for target in [Target::Sm80, Target::Sm90a, Target::Sm100a] {
        let nest = product(1, [WHEN; 2]).parse().unwrap_or_else(|e| panic!("{e}"));
        let schedule = compile::auto_for(&nest, target).unwrap_or_else(|e| panic!("{e}"));
        let (text, _) = agrees_on(&nest, &schedule, target);
        assert!(text.contains(" when eq.bool(which["), "{text}");
    }
}

#[test]
fn guards_that_leave_out_no_whole_tile_are_refused() {
    let script = script(HOPPER, [IN_TURN, BY_TEAMS], 2);
    for (when, words) in [
        ([WHEN, ""], "have not the same guard"),
        (["", WHEN], "have not the same guard"),
        ([WHEN, " when which[l] != s[]"], "have not the same guard"),
    ] {
        refused(&product(1, when), &script, "E0732", words);
    }
    let stored = script.replacen("stage U at G0.n.0 as Us\n", "", 1);
    let stored = stored.replacen("map Us_back.0 to tma\n", "", 1);
    let words = "is not one for a whole tile";
    refused(&product(1, [" when m < s[]"; 2]), &stored, "E0732", words);
    let turns = "map t.0 to pingpong\n";
    let groups = IN_TURN.to_owned() + turns;
    let one = script.replacen(IN_TURN, &groups, 1).replacen("by 128, 64", "by 64, 64", 1);
    refused(&product(1, [WHEN; 2]), &one, "E0732", "take in turn");
}

#[test]
fn choices_that_roles_cannot_make_are_refused() {
    let (_, schedule) = replayed(&product(1, [WHEN; 2]), &script(HOPPER, [IN_TURN, BY_TEAMS], 2));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let text = lowered.kernel().to_string();
    let choice = "eq.bool(which[floordiv(t_1 + 3 * tile, 4)]:i32, s[]:i32)";
    for (from, to, code, words) in [
        (choice, "cast.i32(s[]:i32)", "E1004", "not bool"),
        (choice, "eq.bool(As[0, 0, 0]:i8, 1:i8)", "E1016", "the block's own"),
        (choice, "eq.bool(s[1]:i32, 1:i32)", "E1002", "rank 0"),
        (choice, "eq.bool(which[tile]:i32, 1:i32)", "E08", "which"),
        (choice, "eq.bool(U[0, 0, 0]:i8, 1:i8)", "E08", "U"),
        (choice, "eq.bool(index.i32(turn), 1:i32)", "E1001", "no variable there"),
        ("for tile, turn in", "for tile_2, turn in", "E1001", "used by two loops"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is not in\n{text}");
        let kernel: Kernel = changed.parse().unwrap_or_else(|e| panic!("{e}\n{changed}"));
        let error = compile::kernel(kernel).expect_err(words);
        let said = format!("{error:?}");
        assert!(said.contains(code) && said.contains(words), "{from} {to}: {error}");
    }
}
