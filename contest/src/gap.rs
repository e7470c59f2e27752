//! Why one schedule is faster than another: a way from the one to the other on which one difference
//! of their scripts is made after another, so that what lies between can be measured.
//!
//! In: two scripts of one nest. Out: where they differ ([`Change`]), and schedules on the way
//! ([`Stage`]), the last of which is the second script's.
//! Keeps: every stage is legal and has code; differences that are legal only together are made
//! together. The effect of a change depends on those made before it: the way is one of several.

use std::collections::BTreeSet;
use std::mem::discriminant;

use warploom::diag::{Diagnostic, Result};
use warploom::{Nest, Schedule, Script, Step, Target, compile};

/// Most schedules that are tried on the way.
const TRIALS: usize = 48;

/// A place where two scripts differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Steps of the first that the second does not have there.
    pub without: Vec<Step>,
    /// Steps of the second in their place.
    pub with: Vec<Step>,
}

/// A schedule on the way.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The changes that it makes to the stage before, by their places.
    pub changes: Vec<usize>,
    /// The schedule.
    pub schedule: Schedule,
}

/// One step of either script beside what stands for it in the other.
type Pair<'a> = (Option<&'a Step>, Option<&'a Step>);

/// How well two steps go together: equal ones, then those of one kind.
fn likeness(a: &Step, b: &Step) -> usize {
    if a == b { 4 } else { usize::from(discriminant(&a.kind) == discriminant(&b.kind)) }
}

/// Both scripts side by side, with as many equal steps beside each other as can be (the alignment
/// of S. Needleman and C. Wunsch, 1970, without a cost of gaps).
fn aligned<'a>(a: &'a [Step], b: &'a [Step]) -> Vec<Pair<'a>> {
    let mut best = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            let like = likeness(&a[i], &b[j]);
            let both = if like > 0 { like + best[i + 1][j + 1] } else { 0 };
            best[i][j] = both.max(best[i + 1][j]).max(best[i][j + 1]);
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        let like = likeness(&a[i], &b[j]);
        if like > 0 && best[i][j] == like + best[i + 1][j + 1] {
            pairs.push((Some(&a[i]), Some(&b[j])));
            (i, j) = (i + 1, j + 1);
        } else if best[i][j] == best[i + 1][j] {
            pairs.push((Some(&a[i]), None));
            i += 1;
        } else {
            pairs.push((None, Some(&b[j])));
            j += 1;
        }
    }
    pairs.extend(a[i..].iter().map(|s| (Some(s), None)));
    pairs.extend(b[j..].iter().map(|s| (None, Some(s))));
    pairs
}

/// A script in pieces: steps of both, and changes by their places.
enum Piece {
    Same(Step),
    Differs(usize),
}

/// What two scripts share, and where they differ. Neighbouring steps that only one of them has are
/// one change; a step that has another of its kind beside it is a change of its own.
fn pieces(a: &Script, b: &Script) -> (Vec<Piece>, Vec<Change>) {
    let (mut out, mut changes) = (Vec::new(), Vec::<Change>::new());
    let mut open = false;
    for pair in aligned(&a.steps, &b.steps) {
        match pair {
            (Some(one), Some(other)) if one == other => out.push(Piece::Same(one.clone())),
            (one, other) => {
                let (without, with) = (one.cloned(), other.cloned());
                let alone = without.is_some() != with.is_some();
                if !(open && alone) {
                    out.push(Piece::Differs(changes.len()));
                    changes.push(Change { without: Vec::new(), with: Vec::new() });
                }
                let change = changes.last_mut().expect("one was just made, or is open");
                change.without.extend(without);
                change.with.extend(with);
                open = alone;
                continue;
            }
        }
        open = false;
    }
    (out, changes)
}

/// The script with these changes made.
fn mixed(pieces: &[Piece], changes: &[Change], made: &BTreeSet<usize>) -> Script {
    let mut script = Script::default();
    for piece in pieces {
        match piece {
            Piece::Same(step) => script.steps.push(step.clone()),
            Piece::Differs(k) if made.contains(k) => {
                script.steps.extend(changes[*k].with.iter().cloned());
            }
            Piece::Differs(k) => script.steps.extend(changes[*k].without.iter().cloned()),
        }
    }
    script
}

/// The schedule of a script, where it is legal and has code.
fn usable(nest: &Nest, script: &Script, target: Target) -> Option<Schedule> {
    let schedule = Schedule::new(nest).ok()?.replay(script).ok()?;
    let lowered = compile::lower(&schedule).ok()?;
    match target.gpu() {
        None => lowered.host().ok().map(drop)?,
        Some(_gpu) => lowered.gpu(target).ok().map(drop)?,
    }
    Some(schedule)
}

/// A way from one script to another: at each stage the first change that is possible alone, else
/// the first neighbouring ones that are possible together.
///
/// # Errors
/// `E0973` where the scripts are the same, or the second is refused.
pub fn way(
    nest: &Nest,
    from: &Script,
    to: &Script,
    target: Target,
) -> Result<(Vec<Change>, Vec<Stage>)> {
    let (pieces, changes) = pieces(from, to);
    if changes.is_empty() {
        let text = "the schedules between which the gap lies have the same steps";
        return Err(Box::new(Diagnostic::input("E0973", text)));
    }
    let last = Schedule::new(nest)?.replay(to)?;
    let mut left: Vec<usize> = (0..changes.len()).collect();
    let (mut made, mut stages, mut trials) = (BTreeSet::new(), Vec::new(), 0);
    'ways: while !left.is_empty() {
        for together in 1..left.len() {
            for first in 0..=left.len() - together {
                let these = &left[first..first + together];
                let mut after = made.clone();
                after.extend(these);
                trials += 1;
                if trials > TRIALS {
                    break 'ways;
                }
                let script = mixed(&pieces, &changes, &after);
                if let Some(schedule) = usable(nest, &script, target) {
                    stages.push(Stage { changes: these.to_vec(), schedule });
                    left.drain(first..first + together);
                    made = after;
                    continue 'ways;
                }
            }
        }
        break;
    }
    stages.push(Stage { changes: left, schedule: last });
    Ok((changes, stages))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest() -> Nest {
        let text = "in A: f32[64, 64]\nin B: f32[64, 64]\nout C: f32[64, 64]\n\
            for m in 0..64, n in 0..64 {\n  S0: C[m, n] = 0\n  \
            for k in 0..64 { S1: C[m, n] += A[m, k] * B[k, n] order fixed }\n}\n";
        text.parse().unwrap()
    }

    fn script(text: &str) -> Script {
        text.parse().unwrap()
    }

    fn texts(steps: &[Step]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sizes_that_differ_are_changes_of_their_own() {
        let a = script("tile m, n by 8, 16\nsplit k by 8\nparallel m.0");
        let b = script("tile m, n by 16, 16\nsplit k by 4\nparallel m.0\nunroll k.1");
        let (changes, stages) = way(&nest(), &a, &b, Target::Cpu).unwrap();
        let all: Vec<_> = changes.iter().map(|c| (texts(&c.without), texts(&c.with))).collect();
        let of = |t: &str| vec![t.to_owned()];
        assert_eq!(
            all,
            [
                (of("tile m, n by 8, 16"), of("tile m, n by 16, 16")),
                (of("split k by 8"), of("split k by 4")),
                (vec![], of("unroll k.1")),
            ]
        );
        let made: Vec<_> = stages.iter().map(|s| s.changes.clone()).collect();
        assert_eq!(made, [[0], [1], [2]]);
        assert_eq!(stages[2].schedule.script().steps, b.steps);
        let middle = &stages[0].schedule.script().steps;
        assert_eq!(texts(middle), ["tile m, n by 16, 16", "split k by 8", "parallel m.0"]);
    }

    #[test]
    fn what_is_legal_only_together_is_made_together() {
        // neither has a meaning without the other: the names of loops change
        let a = script("split k by 8\nunroll k.1");
        let b = script("split k by 8 as p, q\nunroll q");
        let (changes, stages) = way(&nest(), &a, &b, Target::Cpu).unwrap();
        assert_eq!(changes.len(), 2);
        assert_eq!(stages.iter().map(|s| s.changes.clone()).collect::<Vec<_>>(), [[0, 1]]);
    }

    #[test]
    fn equal_scripts_have_no_gap_and_a_refused_one_no_way() {
        let a = script("split k by 8");
        assert_eq!(way(&nest(), &a, &a, Target::Cpu).unwrap_err().code, "E0973");
        let wrong = script("split q by 8");
        assert!(way(&nest(), &a, &wrong, Target::Cpu).is_err());
    }
}
