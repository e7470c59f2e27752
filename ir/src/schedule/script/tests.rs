//! Round trips of scripts and a table of wrong ones.

use super::super::step::Script;
use super::super::{Marks, Tree, TreeLoop};
use super::*;

const GOOD: &[&str] = &[
    "tile m, n, k by 128, 256, 64",
    "tile S1.m, S1.n by 8, 8 as a, b, c, d",
    "split k by 8",
    "split m.1 by 16 as lo, hi",
    "reorder m.0, n.0, k",
    "fuse S0.i, S1.i",
    "fuse i, j shift -2 as ij",
    "distribute l",
    "distribute l at S1 as x, y",
    "skew j by 2*i",
    "skew j by -i",
    "skew m.1 by -9223372036854775808*m.0",
    "shift S1.i by 1",
    "shift S1.i by 2*N - 9223372036854775808",
    "shift i by floor((N + 3) / 4) - 3*((N) mod 7)",
    "coalesce i, j",
    "coalesce i, j as ij",
    "unroll k.1",
    "map k.1 to block.x",
    "map S1.k to thread.z",
    "vectorize n.1",
    "parallel m.0",
    "reverse k",
    "fuse-at S0, S1 at m.0",
    "stage A at k.0",
    "stage A for S1.2 as Ap",
    "stage A for S1, S2 at k.0 as Ap layout 1/16, 0, 1%64/4, 1%4",
    "split-reduction S1.k.1",
    "split-reduction S1.k.1 at i as P",
    "privatise w at S0.j",
    "privatise w at S0.j as P",
    "recall A at k",
    "require parallel m",
    "require vector n",
    "require tensor_core",
    "require coalesced A, conflict_free A_k_0",
    "require tma, no_spill, smem <= 204800, registers <= 168, launches <= 1",
    "order {\n  S0\n}",
    "order {\n  S0[i, j] -> [i, 0, 2*i + j]\n  loop[] -> [N, 1]\n  S2[x] -> []\n}",
    "atomically {\n  order {\n    S[i] -> [floor((i) / 4), ((i) mod 4)]\n  }\n}",
    "stream t by 132",
    "atomically {\n  reverse i\n  atomically {\n    reverse j\n  }\n}",
    "order {\n  loop t0 [S0: -m, S1: floor((m + n) / 2)] parallel unroll {\n    S0\n    \
     loop t1 [S1: n] {\n      seq {\n        S1\n      }\n    }\n  }\n}",
];

#[test]
fn every_step_round_trips() {
    for text in GOOD {
        let script: Script = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(script.steps.len(), 1, "{text}");
        assert_eq!(script.to_string().trim_end(), *text);
        assert_eq!(script.to_string().parse::<Script>().unwrap(), script, "{text}");
    }
    let all = GOOD.join("\n");
    assert_eq!(all.parse::<Script>().unwrap().steps.len(), GOOD.len());
}

#[test]
fn other_spellings_mean_the_same() {
    let same = |a: &str, b: &str| {
        assert_eq!(a.parse::<Script>().unwrap(), b.parse::<Script>().unwrap(), "{a}");
    };
    same("tile S1(m,n) by 4,8", "tile S1.m, S1.n by 4, 8");
    same("# a comment\n\n;tile a by 4 ;; reverse a # end", "tile a by 4\nreverse a");
    same("tile a,\n  b by 1,\n 2", "tile a, b by 1, 2");
    same("skew j by 1*i", "skew j by i");
    same("fuse a, b shift 0", "fuse a, b");
    same("order { loop t [S: 2*(i + 1) - i*3] { S } }", "order { loop t [S: 2 - i] { S } }");
    same("order { S[i] -> [i, 0]; T[i]->[i,1] }", "order {\n S[i] -> [i, 0]\n\n T[i] -> [i, 1]; }");
    same("order { S0; S1 }", "order {\n S0\n S1\n}");
    same("atomically { reverse i; reverse j }", "atomically {\nreverse i\nreverse j\n}");
    same("", "# nothing\n");
}

#[test]
fn trees_with_names_like_keywords_round_trip() {
    let leaf = |name: &str| Tree::Statement(name.into());
    let tree = Tree::Loop(TreeLoop {
        name: "loop".into(),
        rows: [("seq".into(), Affine::var("mod")), ("loop".into(), Affine::constant(-1))].into(),
        marks: Marks { vectorize: true, ..Marks::default() },
        body: Box::new(Tree::Sequence(vec![
            leaf("loop"),
            leaf("seq"),
            Tree::Sequence(vec![]),
            Tree::Sequence(vec![leaf("as")]),
        ])),
    });
    let text = tree.to_string();
    assert_eq!(Tree::parse(&Source::new("t", &text)).unwrap(), tree, "{text}");
}

#[test]
fn spans_cover_the_step_and_its_names() {
    let text = "reverse i\n  tile m, n by 4, 8\n";
    let script: Script = text.parse().unwrap();
    let span = script.steps[1].span;
    assert_eq!(&text[span.start as usize..span.end as usize], "tile m, n by 4, 8");
    let StepKind::Tile { loops, .. } = &script.steps[1].kind else { panic!("not a tile") };
    assert_eq!(&text[loops[1].span.start as usize..loops[1].span.end as usize], "n");
}

/// Text, the message's part, and the text under the caret.
const WRONG: &[(&str, &str, &str)] = &[
    ("tile m by", "expected a number, found the end of the script", ""),
    ("tile m, n by 4", "2 loops but 1 sizes", "tile m, n by 4"),
    ("tile m by 0", "a size is positive, not 0", "0"),
    ("tile m by -4", "a size is positive, not -4", "-4"),
    ("tile m by 4 as a", "`as` names 1 loops, the result has 2", "tile m by 4 as a"),
    ("tile by 4", "expected `by`, found `4`", "4"),
    ("tile m by 99999999999999999999", "not a number of 64 bits", "99999999999999999999"),
    ("tile m by 9223372036854775808", "does not fit 64 bits", "9223372036854775808"),
    ("split k by 8 as a", "the result has 2", "split k by 8 as a"),
    ("split k by 8x", "`8x` is not a number", "8x"),
    ("split-reduction", "expected a name, found the end of the script", ""),
    ("split-sum k", "expected `reduction`, found `sum`", "sum"),
    ("split k 8", "expected `by`, found `8`", "8"),
    ("reorder i", "needs two loops or more", "reorder i"),
    ("reorder i,", "expected a name, found the end of the script", ""),
    ("fuse a", "`fuse` takes two loops, found 1", "a"),
    ("fuse a, b, c", "`fuse` takes two loops, found 3", "a, b, c"),
    ("fuse-at S0", "expected `at`, found the end", ""),
    ("stage A", "expected `at`, found the end", ""),
    ("stage A at k layout x", "expected the number of a dimension, found `x`", "x"),
    ("stage A at k layout 0/0", "a size is positive", "0"),
    ("skew j by 0*i", "other than 0", "0*"),
    ("skew j by 2", "expected `*`", ""),
    ("shift S1.i by i*j", "not affine", "i*j"),
    ("shift S1.i by k.1", "`k.1` is no iterator", "k.1"),
    ("shift i by 9223372036854775807 + 1", "does not fit 64 bits", "9223372036854775807 + 1"),
    ("coalesce i", "`coalesce` takes two loops, found 1", "i"),
    ("frobnicate i", "there is no step `frobnicate`", "frobnicate"),
    ("reverse i j", "expected the end of the step, found `j`", "j"),
    ("reverse", "expected a name, found the end of the script", ""),
    ("reverse §", "cannot stand in a script", "§"),
    ("require fast i", "expected `parallel`, `vector` or a contract", "fast"),
    ("require", "expected `parallel`, `vector` or a contract", ""),
    ("require coalesced", "expected a name", ""),
    ("require smem 200", "expected `<`, found `200`", "200"),
    ("require smem < 200", "expected `=`, found `200`", "200"),
    ("require smem <= -1", "a limit is not negative", "-1"),
    ("require smem <= 1Q", "`1Q` is not a number", "1Q"),
    ("require smem <= 99999999999999999K", "is not a number", "99999999999999999K"),
    ("require tma i", "expected the end of the step, found `i`", "i"),
    ("map i to warp.x", "expected a place (block.x", "warp.x"),
    ("map i block.x", "expected `to`, found `block.x`", "block.x"),
    ("atomically { reverse i", "expected `}`, found the end of the script", ""),
    ("}", "expected a step", "}"),
    ("order { }", "expected a loop, a sequence or a statement", "}"),
    ("order { loop t [S: i, S: j] { S } }", "a second row for `S`", "S"),
    ("order { loop t [S: i j] { S } }", "expected `,` or `]`, found `j`", "j"),
    ("order { loop t [S: i] fast { S } }", "expected `parallel`", "fast"),
    ("order { loop t [S: i mod 0] { S } }", "a size is positive", "0"),
];

#[test]
fn wrong_scripts_say_what_and_where() {
    for (text, message, caret) in WRONG {
        let error = text.parse::<Script>().expect_err(text);
        assert_eq!(error.code, "E0700");
        assert!(error.message.contains(message), "{text}: {error}");
        let span = error.labels[0].span;
        assert_eq!(&text[span.start as usize..span.end as usize], *caret, "{text}: {error}");
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let deep = 100_000;
    for text in [
        "atomically {".repeat(deep),
        format!("shift i by {}", "(".repeat(deep)),
        format!("order {}", "{ seq ".repeat(deep)),
        format!("order {{ {}", "loop t [] {".repeat(deep)),
        format!("shift i by {}", "floor(".repeat(deep)),
    ] {
        assert!(text.parse::<Script>().is_err());
    }
}
