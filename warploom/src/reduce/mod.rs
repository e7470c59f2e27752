//! Shrinks a nest and a script that show a defect to a few lines that still show it.
//!
//! In: a pair, and a question that says whether a pair shows the defect. Out: a smaller pair.
//! Keeps: whatever is asked about parses from its own text and verifies; each step makes the text
//! smaller ([`size`]), so the search ends; the same question gives the same answer.
//! Source: J. Regehr et al., Test-Case Reduction for C Compiler Bugs (PLDI 2012): a fixpoint over
//! passes of edits, each taken when the test stays interesting.

mod nest;
mod script;

use warploom_ir::diag::Source;
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;

use crate::compile;

/// A nest and the script of its schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The nest.
    pub nest: Nest,
    /// The script.
    pub script: Script,
}

/// What a reduction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduced {
    /// The smallest pair found.
    pub pair: Pair,
    /// How many pairs were asked about.
    pub asked: usize,
    /// How many of them were taken.
    pub taken: usize,
}

/// Makes smaller candidates of a pair, the largest cuts first.
type Pass = fn(&Pair) -> Vec<Pair>;

const PASSES: [Pass; 4] = [drop_steps, cut_nest, simplify_steps, shrink_nest];

fn drop_steps(pair: &Pair) -> Vec<Pair> {
    with_scripts(pair, script::without_steps(&pair.script))
}

fn simplify_steps(pair: &Pair) -> Vec<Pair> {
    with_scripts(pair, script::simpler_steps(&pair.script))
}

fn cut_nest(pair: &Pair) -> Vec<Pair> {
    with_nests(pair, nest::cuts(&pair.nest))
}

fn shrink_nest(pair: &Pair) -> Vec<Pair> {
    with_nests(pair, nest::smaller(&pair.nest))
}

fn with_scripts(pair: &Pair, scripts: Vec<Script>) -> Vec<Pair> {
    scripts.into_iter().map(|script| Pair { nest: pair.nest.clone(), script }).collect()
}

fn with_nests(pair: &Pair, nests: Vec<Nest>) -> Vec<Pair> {
    nests.into_iter().map(|nest| Pair { nest, script: pair.script.clone() }).collect()
}

/// How large a pair is: words of both texts, then the sum of their numbers.
#[must_use]
pub fn size(pair: &Pair) -> (usize, u128) {
    let (mut words, mut sum) = (0, 0_u128);
    for text in [pair.nest.to_string(), pair.script.to_string()] {
        let mut rest = text.as_str();
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            rest = &rest[start..];
            let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let (head, tail) = rest.split_at(end.max(first));
            words += 1;
            sum = sum.saturating_add(head.parse::<u128>().unwrap_or(0));
            rest = tail;
        }
    }
    (words, sum)
}

/// The pair as its own text reads, if it verifies.
fn sound(pair: &Pair) -> Option<Pair> {
    let (nest, script) = (pair.nest.to_string(), pair.script.to_string());
    let nest = Nest::parse(Source::new("reduced.nest", &nest)).ok()?;
    let script = Script::parse(&Source::new("reduced.sched", &script)).ok()?;
    compile::check_nest(&nest).ok()?;
    Some(Pair { nest, script })
}

/// Shrinks a pair for which `interesting` holds. At most `most` pairs are asked about.
pub fn reduce(pair: &Pair, most: usize, interesting: &mut dyn FnMut(&Pair) -> bool) -> Reduced {
    let mut done = Reduced { pair: pair.clone(), asked: 0, taken: 0 };
    loop {
        let before = done.taken;
        for pass in PASSES {
            let mut next = 0;
            loop {
                let least = size(&done.pair);
                let candidates = pass(&done.pair);
                let smaller =
                    candidates.iter().enumerate().skip(next).filter(|c| size(c.1) < least);
                let mut found = None;
                for (k, candidate) in smaller {
                    let Some(candidate) = sound(candidate) else { continue };
                    if done.asked == most {
                        return done;
                    }
                    done.asked += 1;
                    if interesting(&candidate) {
                        found = Some((k, candidate));
                        break;
                    }
                }
                // what stood before this cut was refused, and mostly would be again
                let Some((k, candidate)) = found else { break };
                (done.pair, next) = (candidate, k);
                done.taken += 1;
            }
        }
        if done.taken == before {
            return done;
        }
    }
}

#[cfg(test)]
mod tests;
