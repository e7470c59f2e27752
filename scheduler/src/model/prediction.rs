//! How long a launch takes, and which resource limits it.
//!
//! In: [`Work`] and a [`Machine`]. Out: a [`Prediction`] with its parts. Keeps: one closed form, so
//! cheap that searches call it for each candidate; every part is the time that its resource alone
//! would need, and so can be checked by hand.
//!
//! ```text
//! block   = fill + join(main, tensor, shared, port, issue) + epilogue
//! wave    = max(block, resident * the longest of the resources)
//! on_chip = waves * wave, the last one with as many blocks as are left
//! time    = launch + join(join(on_chip, memory, cache), power)
//! join(x…) = (x^p + …)^(1/p): of what others hide a little shows
//! ```

use std::fmt;

use super::machine::Machine;
use super::work::Work;

/// What a launch spends its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Bytes from and to memory.
    Memory,
    /// Bytes between the second-level cache and the multiprocessors.
    Cache,
    /// Bytes into and out of shared memory.
    Shared,
    /// Matrix instructions.
    Tensor,
    /// Starting instructions of threads.
    Issue,
    /// Waiting inside a block's main part: for slices to come, for one another.
    Waiting,
    /// Results on their way out, while nothing is multiplied.
    Epilogue,
    /// Until a block's first data have come and after its last store.
    Fill,
    /// Multiprocessors that have no block any more while others have.
    Tail,
    /// Energy at the board's limit of power.
    Power,
    /// Starting the launch.
    Launch,
}

impl Part {
    /// All, in the order in which they are printed.
    pub const ALL: [Self; 11] = [
        Self::Memory,
        Self::Cache,
        Self::Shared,
        Self::Tensor,
        Self::Issue,
        Self::Waiting,
        Self::Epilogue,
        Self::Fill,
        Self::Tail,
        Self::Power,
        Self::Launch,
    ];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cache => "cache",
            Self::Shared => "shared memory",
            Self::Tensor => "tensor cores",
            Self::Issue => "instruction issue",
            Self::Waiting => "waiting for slices",
            Self::Epilogue => "epilogue",
            Self::Fill => "filling",
            Self::Tail => "tail",
            Self::Power => "power",
            Self::Launch => "launch",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The time of a launch, or of several.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Seconds.
    pub time: f64,
    /// Seconds that each part would need alone; they overlap, so their sum is more than the time.
    pub parts: [(Part, f64); Part::ALL.len()],
    /// The part that is longest.
    pub limit: Part,
}

impl Prediction {
    /// The time of one part.
    #[must_use]
    pub fn part(&self, part: Part) -> f64 {
        self.parts.iter().find(|(p, _)| *p == part).map_or(0.0, |(_, t)| *t)
    }

    /// Several launches one after the other, each so many times.
    #[must_use]
    pub fn sum(all: &[(f64, Self)]) -> Option<Self> {
        let (_, first) = all.first()?;
        let total = |of: &dyn Fn(&Self) -> f64| all.iter().map(|(n, p)| n * of(p)).sum::<f64>();
        let mut parts = first.parts;
        for (part, time) in &mut parts {
            *time = total(&|p| p.part(*part));
        }
        Some(Self { time: total(&|p| p.time), parts, limit: longest(&parts) })
    }
}

fn longest(parts: &[(Part, f64); Part::ALL.len()]) -> Part {
    parts.iter().fold(parts[0], |most, p| if p.1 > most.1 { *p } else { most }).0
}

/// The length of times that hide each other in part.
fn join<const N: usize>(times: [f64; N], sharpness: f64) -> f64 {
    let most = times.into_iter().fold(0.0, f64::max);
    if most <= 0.0 {
        return 0.0;
    }
    let sum: f64 = times.into_iter().map(|t| (t / most).powf(sharpness)).sum();
    most * sum.powf(1.0 / sharpness)
}

/// Clocks on the multiprocessors, and what they consist of.
struct Clocks {
    /// All.
    total: f64,
    /// The average multiprocessor's share.
    busy: f64,
    /// Of a block.
    block: f64,
    /// Runs of blocks after each other.
    waves: f64,
}

/// The multiprocessors' clocks.
fn clocks(w: &Work, m: &Machine) -> Clocks {
    let f = &m.fitted;
    let resident = w.resident.max(1.0);
    let resources = [w.tensor, w.shared / m.shared, w.port / f.port, w.issue];
    let most = resources.into_iter().fold(0.0, f64::max);
    let [tensor, shared, port, issue] = resources;
    let main = join([tensor, shared, port, issue, w.main], f.sharpness);
    let block = w.fill + main + w.epilogue;
    let wave = |blocks: f64| block.max(blocks * (most + w.written).max(w.leaving));
    let slots = (m.multiprocessors * resident).floor();
    let whole = (w.blocks / slots).floor();
    let rest = w.blocks - whole * slots;
    let last = if rest > 0.0 { wave((rest / m.multiprocessors).ceil()) } else { 0.0 };
    let total = (whole * wave(resident) + last) * w.uneven.max(1.0);
    let waves = whole + f64::from(u8::from(rest > 0.0));
    let busy = w.blocks / slots * wave(resident).min(total);
    Clocks { total, busy, block, waves }
}

/// The time of a launch.
#[must_use]
pub fn predict(w: &Work, m: &Machine) -> Prediction {
    let f = &m.fitted;
    let on_chip = clocks(w, m);
    let seconds = |clocks: f64| clocks / m.clock;
    let each = seconds(w.blocks / m.multiprocessors);
    let memory = w.memory / m.memory;
    let cache = seconds(w.cache / m.cache);
    let work = join([seconds(on_chip.total), memory, cache], f.sharpness);
    // while the board waits between launches it takes less than it may
    let joules = w.joules + w.memory * f.byte;
    let power = joules / (m.watts - m.idle);
    let power = power * power / (power + f.pause);
    let time = f.launch + join([work, power], f.sharpness);
    let rounds = on_chip.waves * seconds(1.0);
    let parts = [
        (Part::Memory, memory),
        (Part::Cache, cache.max(each * w.port / f.port)),
        (Part::Shared, each * w.shared / m.shared),
        (Part::Tensor, each * w.tensor),
        (Part::Issue, each * w.issue),
        (Part::Waiting, rounds * (w.main - w.tensor).max(0.0)),
        (Part::Epilogue, rounds * w.epilogue),
        (Part::Fill, rounds * w.fill.min(on_chip.block)),
        (Part::Tail, seconds(on_chip.total - on_chip.busy).max(0.0)),
        (Part::Power, power),
        (Part::Launch, f.launch),
    ];
    Prediction { time, parts, limit: longest(&parts) }
}
