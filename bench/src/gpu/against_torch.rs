//! Warploom and PyTorch on one problem: set up for both, both results judged, then a race of pairs.
//!
//! In: a nest, what PyTorch's process calls it, the rounds. Out: times, errors with their bounds.
//! Keeps: no time counts before both results are within their bounds.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use warploom::measure::Rounds;
use warploom::{DType, Name, Nest, Tensor};

use super::Times;
use super::ours::Ours;
use super::problem::{self, Problem};
use super::torch_peer::{Judged, Torch};
use crate::record::state;

/// Between two uses of an array at least so many bytes of others are used: several caches.
const BETWEEN: usize = 300_000_000;

/// The longest that Warploom may take to answer, compiling and uploading included.
const LIMIT: Duration = Duration::from_secs(30);

/// Random arrays as files, made once for each type, length and place among the inputs.
struct Files {
    folder: tempfile::TempDir,
    made: BTreeMap<(DType, usize, usize), PathBuf>,
}

impl Files {
    fn random(&mut self, dtype: DType, len: usize, k: usize) -> Result<PathBuf, Box<dyn Error>> {
        if let Some(file) = self.made.get(&(dtype, len, k)) {
            return Ok(file.clone());
        }
        let file = self.folder.path().join(format!("{dtype}-{len}-{k}.bin"));
        fs::write(&file, Tensor::random(dtype, &[len], 1 + k as u64)?.bytes())?;
        self.made.insert((dtype, len, k), file.clone());
        Ok(file)
    }
}

/// Both contestants.
pub(super) struct Race {
    pub(super) torch: Torch,
    /// `None` until a problem needs it, and after a failure.
    ours: Option<Ours>,
    files: Files,
}

/// What a problem gave.
pub(super) struct Measured {
    pub(super) times: Times,
    /// Ours, then PyTorch's.
    pub(super) judged: [Judged; 2],
    pub(super) compile_ms: f64,
    pub(super) state: String,
}

impl Race {
    pub(super) fn new(torch: Torch) -> Result<Self, Box<dyn Error>> {
        let files = Files { folder: problem::folder()?, made: BTreeMap::new() };
        Ok(Self { torch, ours: None, files })
    }

    /// Races on a problem.
    pub(super) fn run(
        &mut self,
        nest: Nest,
        operation: &str,
        rounds: &Rounds,
    ) -> Result<Measured, Box<dyn Error>> {
        let measured = self.measure(nest, operation, rounds);
        if measured.is_err() {
            self.ours = None; // its process may be broken
        }
        measured
    }

    fn measure(
        &mut self,
        nest: Nest,
        operation: &str,
        rounds: &Rounds,
    ) -> Result<Measured, Box<dyn Error>> {
        let mut files = BTreeMap::new();
        for (k, name) in warploom::inputs(&nest).into_iter().enumerate() {
            let array = nest.array(&name).ok_or("an input that is not there")?;
            let len = problem::extents(&nest, &name)?.iter().product();
            files.insert(name, self.files.random(array.dtype, len, k)?);
        }
        let sets = BETWEEN / problem::traffic(&nest)?.max(1) + 2;
        let problem = Problem { nest, files };
        let ours = match &mut self.ours {
            Some(ours) => ours,
            none => none.insert(Ours::start(LIMIT)?),
        };
        let compile_ms = ours.prepare(&problem, sets)?;
        self.torch.prepare(operation, &problem, sets)?;
        let folder = self.files.folder.path();
        ours.save(folder)?;
        let outputs: Vec<Name> = warploom::outputs(&problem.nest);
        let [output] = outputs.as_slice() else { return Err("a case has one output".into()) };
        let judged = self.torch.judge(&folder.join(format!("{output}.bin")))?;
        for (who, Judged { error, bound }) in ["Warploom", "PyTorch"].into_iter().zip(judged) {
            // an error that is no number is no good either
            if error.partial_cmp(&bound).is_none_or(|order| order.is_gt()) {
                return Err(format!("{who} is wrong by {error:e}, the bound is {bound:e}").into());
            }
        }
        let times = Times::of(rounds, ours, &mut self.torch)?;
        Ok(Measured { times, judged, compile_ms, state: state() })
    }
}

/// What the tests of tables print.
#[cfg(test)]
pub(super) fn example() -> Measured {
    use warploom::measure::{Comparison, Percentiles};
    let of = |seconds: f64| Percentiles::of(vec![seconds]);
    Measured {
        times: Times {
            pairs: 3,
            ours: of(2e-5),
            theirs: of(4e-5),
            compared: Comparison::of(&[2e-5; 20], &[4e-5; 20]),
        },
        judged: [Judged { error: 0.0, bound: 0.0 }; 2],
        compile_ms: 40.0,
        state: "1980,3201,300".to_owned(),
    }
}
