//! Benchmarks on a GPU. Every contestant is a process of its own that is set up once and answers
//! lines; pairs of them take turns, each turn some launches without a clock and one between two
//! events. The process that asks never touches the GPU.
//!
//! Why Warploom is a process as well: a kernel that fails or never ends takes its process with it,
//! and the next case starts a new one.

mod against_torch;
pub(crate) mod bandwidth;
mod cases;
pub(crate) mod contractions;
mod cuda_peer;
pub(crate) mod gemm;
pub(crate) mod launch;
mod ours;
pub(crate) mod polybench;
mod problem;
mod reference;
mod torch_peer;

pub(crate) use ours::{CONTESTANT, serve};

use std::error::Error;

use warploom::measure::{Comparison, Contestant, Percentiles, Rounds, Winner};

/// Times of two contestants that took turns.
struct Times {
    pairs: usize,
    ours: Percentiles,
    theirs: Percentiles,
    compared: Comparison,
}

impl Times {
    /// Lets two take turns.
    fn of(
        rounds: &Rounds,
        ours: &mut dyn Contestant<Error = Box<dyn Error>>,
        theirs: &mut dyn Contestant<Error = Box<dyn Error>>,
    ) -> Result<Self, Box<dyn Error>> {
        let times = rounds.measure(&mut [ours, theirs])?;
        let [mine, other] = <[Vec<f64>; 2]>::try_from(times).map_err(|_| "two take turns")?;
        let (pairs, compared) = (mine.len(), Comparison::of(&mine, &other));
        Ok(Self { pairs, ours: Percentiles::of(mine), theirs: Percentiles::of(other), compared })
    }

    /// `warploom`, the other's name, or `none`.
    fn winner<'a>(&self, other: &'a str) -> &'a str {
        match self.compared.winner() {
            Winner::First => "warploom",
            Winner::Second => other,
            Winner::None => "none",
        }
    }
}

/// A text as a field of CSV.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "'").replace('\n', " "))
}
