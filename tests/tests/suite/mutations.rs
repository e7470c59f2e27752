//! Edited texts of every language: each is read or refused with a place, none panics or hangs,
//! what is read prints to a text that means the same, and scripts that are read are applied.
//!
//! Keeps: 10,000 texts a language from fixed seeds; the counts assert that both outcomes occur.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use warploom::compile;
use warploom::diag::{Blame, Diagnostic, Result};
use warploom::{DType, Einsum, Kernel, Nest, Schedule, Script, Session};
use warploom_ir::einsum::EinsumOptions;
use warploom_ir::nest::formula::{Formula, FormulaTypes};
use warploom_tests::{Bits, EinsumCase, Example, Expected, einsum_suite, examples, mutate};

const TEXTS: usize = 10_000;
/// Scripts are applied as well, which takes longer.
const SCRIPTS: usize = 4_000;
/// An answer takes milliseconds; on a loaded machine not more than this.
const LIMIT: Duration = Duration::from_secs(60);

/// How many texts were read and how many refused.
#[derive(Default, Debug)]
struct Count {
    read: usize,
    refused: usize,
}

impl Count {
    fn check(&self, least_read: usize) {
        assert!(self.read >= least_read && self.refused >= 1000, "{self:?}");
    }
}

/// A refusal has a code, words, and the place in the text; printing it does not panic.
fn good_refusal(text: &str, d: &Diagnostic, placed: bool) {
    let shown = d.to_string();
    assert!(shown.contains(d.code) && !d.message.is_empty(), "{text:?}\n{shown}");
    assert!(d.blame == Blame::Input, "{text:?}\n{shown}");
    assert!(!placed || !d.labels.is_empty(), "{text:?}\n{shown}");
}

fn timed<T>(text: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let answer = work();
    assert!(started.elapsed() < LIMIT, "{:?} for {text:?}", started.elapsed());
    answer
}

/// Runs `read` over edited texts of a corpus; `read` gives whether the text was read.
fn over(
    texts: usize,
    corpus: &[String],
    words: &[&str],
    seed: u64,
    mut read: impl FnMut(usize, &str) -> Result<()>,
) -> Count {
    let mut bits = Bits::new(seed);
    let mut count = Count::default();
    for i in 0..texts {
        let text = mutate(&corpus[i % corpus.len()], words, &mut bits);
        match timed(&text, || read(i % corpus.len(), &text)) {
            Ok(()) => count.read += 1,
            Err(d) => {
                good_refusal(&text, &d, true);
                count.refused += 1;
            }
        }
    }
    count
}

/// What the examples do not use: guards, steps, several bounds, tables, casts, every clause.
const NESTS: [&str; 3] = [
    include_str!("../../../ir/tests/nests/every_declaration.nest"),
    include_str!("../../../ir/tests/nests/every_clause.nest"),
    include_str!("../../../ir/tests/nests/integer_operators.nest"),
];

#[test]
fn nests() {
    let examples = examples().into_iter().map(|e| e.text);
    let corpus: Vec<String> = examples.chain(NESTS.map(str::to_owned)).collect();
    let words = ["param", "assume", "order", "any", "acc", "f64", "downto", "step", "max="];
    let count = over(TEXTS, &corpus, &words, 1, |_, text| {
        let nest: Nest = text.parse()?;
        let printed = nest.to_string();
        assert_eq!(printed.parse::<Nest>().expect(&printed), nest, "{text:?}\n{printed}");
        Ok(())
    });
    count.check(500);
}

/// What is read is checked too: the verifier says yes or no, and neither takes long.
#[test]
fn verified_nests() {
    let corpus: Vec<String> = examples().into_iter().map(|e| e.text).collect();
    let mut bits = Bits::new(2);
    let (mut sound, mut refused) = (0, 0);
    for i in 0..TEXTS / 4 {
        let text = mutate(&corpus[i % corpus.len()], &[], &mut bits);
        let Ok(nest) = text.parse::<Nest>() else { continue };
        match timed(&text, || compile::check_nest(&nest)) {
            Ok(()) => sound += 1,
            Err(d) => {
                assert!(d.to_string().contains(d.code));
                refused += 1;
            }
        }
    }
    assert!(sound >= 50 && refused >= 3, "{sound} sound, {refused} refused");
}

/// A nest's schedule and a script for it.
fn scripted() -> Vec<(Schedule, String)> {
    let with_scripts = examples().into_iter().filter(|e| !e.scripts.is_empty());
    let pair = |e: Example| {
        let nest: Nest = e.text.parse().expect("examples parse");
        let schedule = Schedule::new(&nest).expect("examples have an order");
        e.scripts.into_iter().map(move |s| (schedule.clone(), s))
    };
    with_scripts.flat_map(pair).collect()
}

#[test]
fn scripts() {
    let corpus = scripted();
    let texts: Vec<String> = corpus.iter().map(|(_, text)| text.clone()).collect();
    let words = ["tile", "by", "as", "S", "S1.k", "i", "j", "k", "t", "seq", "loop", "parallel"];
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    let (mut legal, mut illegal) = (0, 0);
    let count = over(SCRIPTS, &texts, &words, 3, |i, text| {
        let script: Script = text.parse()?;
        let printed = script.to_string();
        assert_eq!(printed.parse::<Script>().expect(&printed), script, "{text:?}\n{printed}");
        let schedule = &corpus[i].0;
        let session = sessions.entry(schedule.nest().source.name.to_string()).or_default();
        match schedule.replay_in(session, &script) {
            Ok(_) => legal += 1,
            Err(refusal) => {
                let shown = refusal.diagnostic.to_string();
                assert!(shown.contains(refusal.diagnostic.code), "{text:?}\n{shown}");
                illegal += 1;
            }
        }
        Ok(())
    });
    count.check(300);
    assert!(legal >= 100 && illegal >= 100, "{legal} legal, {illegal} illegal");
}

#[test]
fn kernels() {
    let lowered = |e: &Example| {
        let nest: Nest = e.text.parse().expect("examples parse");
        let schedule = Schedule::new(&nest).expect("examples have an order");
        compile::lower(&schedule).expect("examples lower").kernel().to_string()
    };
    let corpus: Vec<String> = examples().iter().map(lowered).collect();
    let words = ["kernel", "select", "min", "all", "any", "f64", "read", "vector", "unroll", "if"];
    let count = over(TEXTS, &corpus, &words, 4, |_, text| {
        let kernel: Kernel = text.parse()?;
        let printed = kernel.to_string();
        assert_eq!(printed.parse::<Kernel>().expect(&printed), kernel, "{text:?}\n{printed}");
        Ok(())
    });
    count.check(500);
}

#[test]
fn einsums() {
    let accepted = |c: &EinsumCase| matches!(c.expected, Expected::Result { .. });
    let suite: Vec<EinsumCase> = einsum_suite().into_iter().filter(accepted).collect();
    let texts: Vec<String> = suite.iter().map(|c| c.text.clone()).collect();
    let count = over(TEXTS, &texts, &["...", "ij", "->", ","], 5, |i, text| {
        let einsum = Einsum::parse(text)?;
        let nest = einsum.nest(&suite[i].operand_types(), &EinsumOptions::default())?;
        let printed = nest.to_string();
        assert_eq!(printed.parse::<Nest>().expect(&printed), nest, "{text:?}\n{printed}");
        Ok(())
    });
    count.check(500);
}

const FORMULAS: [&str; 8] = [
    "C[m,n] += A[m,k]*B[k,n]",
    "y[p + r] += x[p] * w[r]",
    "O[n,p,q,k] += I[n, p + r, 2*q + s, c] * W[k,r,s,c] order fixed",
    "s[] max= abs(x[i]); y[i] = x[i] / s[]",
    "Y[i,j] = exp(X[i,j] - m[i]) when X[i,j] > 0.5 and i <= j strict",
    "q[i] = cast_i8_rtz_sat(x[i] * 127.0)",
    "z[i] = select(a[i] < b[i], shl(a[i], 3), mod(b[i], 7))",
    "D[i, floor(j / 2)] += A[i, j mod 4] * 0x10 acc f64 order any",
];

#[test]
fn formulas() {
    let texts: Vec<String> = FORMULAS.map(str::to_owned).into();
    let words = ["A", "[i]", "order", "serial", "acc", "f32", "erf(", "min=", "*", "when"];
    let dtypes = [DType::F32, DType::I32, DType::Bool, DType::E4m3];
    let count = over(TEXTS, &texts, &words, 6, |i, text| {
        let formula = Formula::parse(text)?;
        let nest = formula.nest(&FormulaTypes::all(dtypes[i % dtypes.len()]))?;
        let printed = nest.to_string();
        assert_eq!(printed.parse::<Nest>().expect(&printed), nest, "{text:?}\n{printed}");
        Ok(())
    });
    count.check(500);
}
