//! Sizes that automatic schedules choose, as values: what each could be, and which was taken.
//!
//! In: the choices that a module of [`super`] is about to make, each with all its options, and
//! those that a caller gives. Out: the options taken, and the list of all that was asked.
//! Keeps: a schedule's space is what its own making asks for, so a search has no second list of
//! parameters. An option that the nest does not have is not taken.

use std::collections::BTreeMap;
use std::fmt;

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::target::Target;

use super::{Auto, CpuOptions, GpuOptions, auto_cpu_with, auto_gpu_with};
use crate::Schedule;

/// One option of a [`Hole`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoleOption {
    /// A number for each of [`Hole::sizes`].
    pub values: Vec<i64>,
    /// The time that the nest is estimated to take with it, where there is an estimate: nanoseconds
    /// of the performance model on a GPU, clocks of a core on a CPU. Comparable within one hole.
    pub estimate: Option<i64>,
}

/// A place of an automatic schedule where sizes are chosen that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// What it is for: a statement or loop, and a word, such as `S1.tensor`.
    pub name: Name,
    /// The names of the sizes.
    pub sizes: &'static [&'static str],
    /// What they may be. The first is what the schedule takes by itself.
    pub options: Vec<HoleOption>,
    /// The option that was taken.
    pub taken: usize,
}

/// Options by the names of their holes; holes that are not named keep their first option.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choices(pub BTreeMap<Name, Vec<i64>>);

/// `S1.tensor=128,256,64`, one word for each hole.
impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (k, (name, values)) in self.0.iter().enumerate() {
            let values: Vec<String> = values.iter().map(i64::to_string).collect();
            write!(f, "{}{name}={}", if k == 0 { "" } else { " " }, values.join(","))?;
        }
        Ok(())
    }
}

/// An automatic schedule, and the choices that were made for it.
#[derive(Clone, Debug)]
pub struct Explored {
    /// The schedule; its script replays without the choices.
    pub schedule: Schedule,
    /// In the order in which they were made.
    pub holes: Vec<Hole>,
}

/// The automatic schedule for a target with these choices. Without any it is what
/// [`super::auto_cpu`] and [`super::auto_gpu`] give. `multiprocessors` is what a GPU has, if it is
/// known.
///
/// # Errors
/// `E0601` when isl takes too long.
pub fn explore(
    schedule: &Schedule,
    target: Target,
    multiprocessors: Option<i64>,
    choices: &Choices,
) -> Result<Explored> {
    match target.gpu() {
        None => auto_cpu_with(schedule, &CpuOptions::default(), choices),
        Some(_gpu) => {
            let mut options = GpuOptions::of(target);
            options.multiprocessors = multiprocessors.unwrap_or(options.multiprocessors).max(1);
            auto_gpu_with(schedule, &options, choices)
        }
    }
}

impl Hole {
    /// A hole whose first option is `usual`; `others` that equal it are left out.
    pub(super) fn new(
        of: &str,
        word: &str,
        sizes: &'static [&'static str],
        usual: Vec<i64>,
        others: impl IntoIterator<Item = Vec<i64>>,
    ) -> Self {
        Self::estimated(of, word, sizes, usual, others, |_| None)
    }

    /// [`Hole::new`] with an estimate for each option.
    pub(super) fn estimated(
        of: &str,
        word: &str,
        sizes: &'static [&'static str],
        usual: Vec<i64>,
        others: impl IntoIterator<Item = Vec<i64>>,
        estimate: impl Fn(&[i64]) -> Option<i64>,
    ) -> Self {
        let others: Vec<Vec<i64>> = others.into_iter().filter(|o| *o != usual).collect();
        let option = |values: Vec<i64>| HoleOption { estimate: estimate(&values), values };
        let options = std::iter::once(usual).chain(others).map(option).collect();
        Self { name: Name::from(format!("{of}.{word}")), sizes, options, taken: 0 }
    }
}

impl Auto {
    /// The sizes that a hole gets.
    pub(super) fn choose(&mut self, mut hole: Hole) -> Vec<i64> {
        let given = self.given.0.get(&hole.name);
        hole.taken = hole.options.iter().position(|o| Some(&o.values) == given).unwrap_or(0);
        let values = hole.options[hole.taken].values.clone();
        self.holes.retain(|h| h.name != hole.name);
        self.holes.push(hole);
        values
    }

    /// [`Auto::choose`] of a single size.
    pub(super) fn choose_one(
        &mut self,
        of: &str,
        word: &str,
        sizes: &'static [&'static str; 1],
        usual: i64,
        others: &[i64],
    ) -> i64 {
        let others = others.iter().map(|o| vec![*o]);
        self.choose(Hole::new(of, word, sizes, vec![usual], others))[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATMUL: &str = "in A: f32[96, 80] in B: f32[80, 112] out C: f32[96, 112]
for m in 0..96, n in 0..112 { C[m, n] = 0 for k in 0..80 { C[m, n] += A[m, k] * B[k, n] } }";

    fn start() -> Schedule {
        Schedule::new(&MATMUL.parse().unwrap()).unwrap()
    }

    #[test]
    fn without_choices_it_is_the_automatic_schedule() {
        for target in [Target::Cpu, Target::Sm80] {
            let explored = explore(&start(), target, None, &Choices::default()).unwrap();
            let usual = match target {
                Target::Cpu => super::super::auto_cpu(&start(), &CpuOptions::default()),
                _gpu => super::super::auto_gpu(&start(), &GpuOptions::of(target)),
            };
            assert_eq!(explored.schedule.script(), usual.unwrap().script());
            assert!(!explored.holes.is_empty(), "{target}");
            assert!(explored.holes.iter().all(|h| h.taken == 0 && h.options.len() > 1));
            for hole in &explored.holes {
                let fits = |o: &HoleOption| o.values.len() == hole.sizes.len();
                assert!(hole.options.iter().all(fits), "{hole:?}");
            }
        }
    }

    #[test]
    fn choices_change_the_script_and_unknown_ones_do_not() {
        for target in [Target::Cpu, Target::Sm80] {
            let usual = explore(&start(), target, None, &Choices::default()).unwrap();
            let hole = usual.holes.iter().max_by_key(|h| h.options.len()).unwrap();
            let mut scripts = vec![usual.schedule.script().to_string()];
            for option in hole.options.iter().rev().take(3) {
                let choices = Choices([(hole.name.clone(), option.values.clone())].into());
                let other = explore(&start(), target, None, &choices).unwrap();
                let taken = other.holes.iter().find(|h| h.name == hole.name).unwrap();
                assert_eq!(&taken.options[taken.taken], option);
                scripts.push(other.schedule.script().to_string());
                // the script alone makes the same schedule
                let script = scripts.last().unwrap().parse().unwrap();
                assert_eq!(start().replay(&script).unwrap().tree(), other.schedule.tree());
            }
            scripts.sort();
            scripts.dedup();
            assert!(scripts.len() > 1, "{target}: no option changes anything");
            let unknown = Choices([(hole.name.clone(), vec![-7; hole.sizes.len()])].into());
            let same = explore(&start(), target, None, &unknown).unwrap();
            assert_eq!(same.schedule.script(), usual.schedule.script());
        }
    }

    #[test]
    fn choices_print_one_word_for_each_hole() {
        let mut choices = Choices::default();
        assert_eq!(choices.to_string(), "");
        choices.0.insert("S1.tensor".into(), vec![128, 256]);
        choices.0.insert("S0.lanes".into(), vec![4]);
        assert_eq!(choices.to_string(), "S0.lanes=4 S1.tensor=128,256");
    }
}
