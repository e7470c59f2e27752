//! Machine descriptions in files: what a calibration found, to be taken again or sent to others.
//!
//! In: a calibration, or a text. Out: a text (docs/performance-model.md), or the machine that it
//! describes. Keeps: a text is taken whole or refused: its last line has a hash of all before it,
//! it is of this version, and its numbers are near those of the machine that it is based on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_scheduler::model::{Constant, Machine};

use super::{FACTOR, Probe};
use crate::io;
use crate::sealed::{seal, unseal};

/// The version of the format, and of the compiler, whose formulas the numbers are for.
const FORMAT: u32 = 1;
const COMPILER: &str = env!("CARGO_PKG_VERSION");
/// The first line.
const TITLE: &str =
    "# A machine of Warploom's performance model; docs/performance-model.md has the format.\n";
/// Most bytes of a description.
const MOST_BYTES: u64 = 1 << 20;

/// How it went with a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// The probe.
    pub name: String,
    /// The number that it tells.
    pub tells: String,
    /// What the number is now; none where it stays as it is described.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Why it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Microseconds that were predicted before.
    pub predicted_us: f64,
    /// Microseconds of its runs, as they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub us: Vec<f64>,
}

impl Probed {
    /// A probe that is not run yet.
    #[must_use]
    pub fn new(probe: &Probe) -> Self {
        Self {
            name: probe.name.to_owned(),
            tells: probe.tells.name().to_owned(),
            value: None,
            why: None,
            predicted_us: 0.0,
            us: Vec::new(),
        }
    }
}

/// A machine description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    format: u32,
    compiler: String,
    /// The kind of device: its name and its multiprocessors.
    pub device: String,
    /// The machine that is described without measuring.
    pub based_on: String,
    /// The day, in UTC.
    pub date: String,
    /// How it went with each probe, as they were run.
    #[serde(default, rename = "probe")]
    pub probes: Vec<Probed>,
}

impl Calibration {
    /// A description of a kind of device, of today, without any measurement yet.
    #[must_use]
    pub fn new(device: &str, based_on: &Machine) -> Self {
        Self {
            format: FORMAT,
            compiler: COMPILER.to_owned(),
            device: device.to_owned(),
            based_on: based_on.name.to_owned(),
            date: today(),
            probes: Vec::new(),
        }
    }

    /// The machine with what was measured.
    ///
    /// # Errors
    /// `E0967` for an unknown machine or number, and for a value that makes no sense.
    pub fn machine(&self) -> Result<Machine> {
        let bad = |why: String| Box::new(Diagnostic::input("E0967", why));
        let known = Machine::ALL.into_iter().find(|m| m.name == self.based_on);
        let based_on =
            known.ok_or_else(|| bad(format!("it is based on `{}`, no machine", self.based_on)))?;
        let mut machine = based_on;
        let count = self.device.rsplit_once(", ").and_then(|(_, n)| n.split_once(' '));
        if let Some(n) = count.and_then(|(n, _)| n.parse::<u32>().ok()).filter(|n| *n > 0) {
            machine.multiprocessors = f64::from(n);
        }
        for probe in &self.probes {
            let constant = Constant::named(&probe.tells)
                .ok_or_else(|| bad(format!("`{}` is no number of a machine", probe.tells)))?;
            let Some(value) = probe.value else { continue };
            let ratio = value / constant.of(&based_on);
            // the end of the interval that is searched may be taken
            if !(ratio.is_finite() && (0.99 / FACTOR..=1.01 * FACTOR).contains(&ratio)) {
                return Err(bad(format!("{} is {value:e}, which makes no sense", probe.tells)));
            }
            machine = constant.with(&machine, value);
        }
        Ok(machine)
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        let body = toml::to_string(self).expect("a description is tables, texts and numbers");
        seal(format!("{TITLE}{body}"))
    }

    /// Reads a text that [`Calibration::text`] wrote.
    ///
    /// # Errors
    /// `E0967` for a text that is cut short, changed or malformed; `E0969` for one of another
    /// format or version.
    pub fn read(text: &str) -> Result<Self> {
        let damaged = |why: String| Box::new(Diagnostic::input("E0967", why));
        let body = unseal(text).map_err(|why| damaged(why.to_owned()))?;
        let found: Self = toml::from_str(body)
            .map_err(|e| damaged(format!("it is no machine description: {}", e.message())))?;
        if found.format != FORMAT || found.compiler != COMPILER {
            let text = format!(
                "it is of format {} and version {}, not {FORMAT} and {COMPILER}",
                found.format, found.compiler
            );
            return Err(Box::new(Diagnostic::input("E0969", text).help(AGAIN)));
        }
        found.machine()?;
        Ok(found)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `E0530` where it cannot be read, and as [`Calibration::read`], with its name.
    pub fn load(path: &Path) -> Result<Self> {
        let size = fs::metadata(path).map_err(|e| io::unreadable(path, &e))?.len();
        let named = |mut d: Box<Diagnostic>| {
            d.message = format!("the machine description {}: {}", path.display(), d.message);
            if d.help.is_some() { d } else { Box::new(d.help(AGAIN)) }
        };
        if size > MOST_BYTES {
            let text = format!("it has {size} bytes, too many");
            return Err(named(Box::new(Diagnostic::input("E0967", text))));
        }
        let bytes = fs::read(path).map_err(|e| io::unreadable(path, &e))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| named(Box::new(Diagnostic::input("E0967", "it is no text"))))?;
        Self::read(&text).map_err(named)
    }
}

const AGAIN: &str = "calibrate again with `warploom doctor --calibrate`, or remove the file";

/// A folder of machine descriptions, one for each kind of device.
#[derive(Clone, Debug)]
pub struct Machines {
    folder: PathBuf,
}

impl Machines {
    /// The descriptions of a folder, which need not be there.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The file of a kind of device.
    #[must_use]
    pub fn path(&self, device: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let slug: String = device.chars().map(plain).take(60).collect();
        let hash = blake3::hash(device.as_bytes()).to_hex();
        self.folder.join(format!("{slug}-{}.toml", &hash[..8]))
    }

    /// The description of a kind of device, if there is one.
    ///
    /// # Errors
    /// A file that is there and not taken: as [`Calibration::load`], and `E0969` where it is of
    /// another device.
    pub fn load(&self, device: &str) -> Result<Option<Calibration>> {
        let path = self.path(device);
        if device.is_empty() || !path.exists() {
            return Ok(None);
        }
        let found = Calibration::load(&path)?;
        if found.device != device {
            let text = format!(
                "the machine description {} is of {}, not of {device}",
                path.display(),
                found.device
            );
            return Err(Box::new(Diagnostic::input("E0969", text).help(AGAIN)));
        }
        Ok(Some(found))
    }

    /// Writes a description, whole or not at all; where it is now.
    ///
    /// # Errors
    /// `E0963` where the folder cannot be made, `E0535` where writing fails.
    pub fn save(&self, calibration: &Calibration) -> Result<PathBuf> {
        fs::create_dir_all(&self.folder).map_err(|e| {
            let text = format!("cannot make the folder {}: {e}", self.folder.display());
            let help = "give another folder with --machines, or a file with --output";
            Box::new(Diagnostic::new("E0963", Blame::Environment, text).help(help))
        })?;
        let path = self.path(&calibration.device);
        io::save_text(&path, &calibration.text())?;
        Ok(path)
    }
}

/// The day in UTC, such as `2026-11-22`.
fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(since.as_secs() / 86_400)
}

/// The date of a day since 1970, by years of March to February, whose last day is that of leap
/// years.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, text) in
            [(0, "1970-01-01"), (59, "1970-03-01"), (19_782, "2024-02-29"), (20_779, "2026-11-22")]
        {
            assert_eq!(date(days), text);
        }
    }
}
