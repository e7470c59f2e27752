//! A tuning record: what was tried for one nest on one kind of device, and how it went.
//!
//! In: text, or candidates. Out: text (docs/tuning.md), or a record; the fastest candidate.
//! Keeps: a text is taken whole or refused: its last line has a hash of all before it, and a record
//! of another nest, device or version is not this one's.

use serde::{Deserialize, Serialize};

use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;

use crate::measure::Percentiles;
use crate::sealed::{seal, unseal};

/// The version of the format.
const FORMAT: u32 = 1;
/// The version of the compiler, whose schedules and code are its own.
const COMPILER: &str = env!("CARGO_PKG_VERSION");
/// The first line.
const TITLE: &str = "# A tuning record of Warploom; docs/tuning.md has the format.\n";
/// Most bytes of a record.
pub(super) const MOST_BYTES: u64 = 64 << 20;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The nest with all its sizes, in its canonical text: shapes, types, layouts and the order of
    /// reductions are in it.
    pub nest: String,
    /// What code is made for.
    pub target: Target,
    /// The kind of device: its name and how many cores or multiprocessors it has.
    pub device: String,
}

impl Key {
    /// The key of a nest whose sizes are fixed.
    #[must_use]
    pub fn new(nest: &Nest, target: Target, device: &str) -> Self {
        Self { nest: nest.to_string(), target, device: device.to_owned() }
    }

    /// The beginning of the file names of the nest's records for a target.
    pub(super) fn stem(nest: &str, target: Target) -> String {
        let hash = blake3::hash(nest.as_bytes()).to_hex();
        format!("{}-{target}-", &hash[..24])
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let mut slug: String = self.device.chars().map(plain).collect();
        while slug.contains("--") {
            slug = slug.replace("--", "-");
        }
        let hash = blake3::hash(self.device.as_bytes()).to_hex();
        let slug: String = slug.trim_matches('-').chars().take(40).collect();
        format!("{}{slug}-{}.toml", Self::stem(&self.nest, self.target), &hash[..8])
    }
}

/// How it went with a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its result is right, and it has times.
    Measured,
    /// A step, the verifier or the code generator refused it.
    Refused,
    /// Its result is wrong.
    Wrong,
    /// It stopped while it ran.
    Failed,
}

/// A schedule that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// What was chosen in the automatic schedule; empty where nothing was.
    pub choices: String,
    /// How it went.
    pub status: Status,
    /// Whether it is the one to take. One candidate of a record at most.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
    /// Why it is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// As the automatic schedule estimates it: clocks on a CPU, nanoseconds on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<i64>,
    /// What its result was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
    /// Microseconds of its runs, as they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub us: Vec<f64>,
    /// The script.
    pub script: String,
}

impl Candidate {
    /// Median and percentiles of its microseconds.
    #[must_use]
    pub fn times(&self) -> Percentiles {
        Percentiles::of(self.us.clone())
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    compiler: String,
    target: String,
    device: String,
    nest: String,
    /// All that was tried, as it was tried.
    #[serde(default, rename = "candidate")]
    pub candidates: Vec<Candidate>,
}

impl Record {
    /// A record of nothing yet.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self {
            format: FORMAT,
            compiler: COMPILER.to_owned(),
            target: key.target.to_string(),
            device: key.device.clone(),
            nest: key.nest.clone(),
            candidates: Vec::new(),
        }
    }

    /// The candidate to take.
    #[must_use]
    pub fn best(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|c| c.best)
    }

    /// The kind of device that it was made on.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        let body = toml::to_string(self).expect("a record is tables, texts and numbers");
        seal(format!("{TITLE}{body}"))
    }

    /// Reads a text that [`Record::text`] wrote.
    ///
    /// # Errors
    /// `E0960` for a text that is cut short, changed or malformed.
    pub fn read(text: &str) -> Result<Self> {
        let damaged = |why: String| Box::new(Diagnostic::input("E0960", why));
        let body = unseal(text).map_err(|why| damaged(why.to_owned()))?;
        let record: Self = toml::from_str(body)
            .map_err(|e| damaged(format!("it is no record: {}", e.message())))?;
        if record.candidates.iter().filter(|c| c.best).count() > 1 {
            return Err(damaged("several candidates are the best".to_owned()));
        }
        let whole = |c: &Candidate| {
            let times = c.us.iter().all(|t| t.is_finite() && *t >= 0.0);
            times && (!c.best || (c.status == Status::Measured && !c.us.is_empty()))
        };
        if !record.candidates.iter().all(whole) {
            return Err(damaged("a candidate's times make no sense".to_owned()));
        }
        Ok(record)
    }

    /// Whether it is what a key asks for; on a device of any kind where `any` says so.
    ///
    /// # Errors
    /// `E0961` for a record of another nest, target, device, format or version.
    pub(super) fn fits(&self, key: &Key, any: bool) -> Result<()> {
        let foreign = |what: &str, found: &str, wanted: &str| {
            let text = format!("it is of another {what}: {found}, not {wanted}");
            Err(Box::new(Diagnostic::input("E0961", text)))
        };
        if self.format != FORMAT {
            return foreign("format", &self.format.to_string(), &FORMAT.to_string());
        }
        if self.compiler != COMPILER {
            return foreign("version of the compiler", &self.compiler, COMPILER);
        }
        if self.target != key.target.to_string() {
            return foreign("target", &self.target, &key.target.to_string());
        }
        if !any && self.device != key.device {
            return foreign("device", &self.device, &key.device);
        }
        if self.nest != key.nest {
            return foreign("nest", "its text differs", "the one asked for");
        }
        Ok(())
    }

    /// Adds what another record of the same key knows. Of a script that both have, this one's
    /// entry stays; the best is the other's only where this one did not try it and it is faster.
    pub(super) fn take(&mut self, other: &Self) {
        let time = |c: Option<&Candidate>| c.map_or(f64::INFINITY, |c| c.times().median);
        let known = |c: &Candidate| self.candidates.iter().any(|mine| mine.script == c.script);
        let more: Vec<Candidate> = other.candidates.iter().filter(|c| !known(c)).cloned().collect();
        let theirs = time(more.iter().find(|c| c.best)) < time(self.best());
        if theirs {
            self.candidates.iter_mut().for_each(|c| c.best = false);
        }
        let keep = |c: Candidate| Candidate { best: c.best && theirs, ..c };
        self.candidates.extend(more.into_iter().map(keep));
    }
}
