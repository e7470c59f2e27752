//! Fair measuring: contestants take turns in one process, and what their times say of each other.
//!
//! In: contestants that can be asked for a turn. Out: their times, round by round, and percentiles
//! and paired comparisons of them.
//! Keeps: in each round every contestant has one turn, and every other round goes through them the
//! other way round, so that what drifts (clocks, power, other processes) meets all alike.
//! Why here: tuning, `warploom compare` and the benchmarks measure by the same code.

mod cpu;
mod gpu;
mod rounds;
mod statistics;

pub use cpu::CpuTurns;
pub use gpu::{GpuProblem, GpuTurns};
pub use rounds::{Contestant, Rounds};
pub use statistics::{Comparison, Percentiles, Winner, geometric_mean};
