//! Tuning records in a folder.
//!
//! In: the folder and a record's key. Out: the record, or none with what is to say about it.
//! Keeps: a file is written whole (a temporary file that is renamed), and what is there is merged
//! under a lock, so that neither a process that is killed nor a second one damages it. A record
//! that is damaged or foreign is set aside under another name and said so, never taken.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_scheduler::Schedule;

use super::record::{Key, MOST_BYTES, Record};
use crate::io;

/// A folder of records.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

/// What a folder has for a key.
#[derive(Debug, Default)]
pub struct Found {
    /// The record, if there is one to take.
    pub record: Option<Record>,
    /// What is to be said: why a file was not taken, and where it is now.
    pub note: Option<Box<Diagnostic>>,
    /// The record's file.
    path: PathBuf,
}

/// A schedule from a record.
#[derive(Debug, Default)]
pub struct Recalled {
    /// The tuned schedule, if there is one.
    pub schedule: Option<Schedule>,
    /// As [`Found::note`].
    pub note: Option<Box<Diagnostic>>,
}

impl Records {
    /// The records of a folder, which need not be there.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The file of a key.
    #[must_use]
    pub fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.file_name())
    }

    /// The record of a key.
    #[must_use]
    pub fn load(&self, key: &Key) -> Found {
        self.open(&self.path(key), key, false)
    }

    /// The record of a key, else that of the same nest and target on another kind of device, the
    /// first by name.
    #[must_use]
    pub fn load_any(&self, key: &Key) -> Found {
        let own = self.load(key);
        if own.record.is_some() || own.note.is_some() {
            return own;
        }
        let paths = self.files(&Key::stem(&key.nest, key.target));
        paths.first().map_or_else(Found::default, |path| self.open(path, key, true))
    }

    /// The records whose names begin so, sorted.
    fn files(&self, stem: &str) -> Vec<PathBuf> {
        let fits = |name: &str| name.starts_with(stem) && name.ends_with(".toml");
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let fitting = names.filter(|e| e.file_name().to_str().is_some_and(fits));
        let mut paths: Vec<PathBuf> = fitting.map(|e| e.path()).collect();
        paths.sort();
        paths
    }

    /// The record of a nest whose sizes are fixed, for a kind of device, else for another one of
    /// the target. `device` is asked only where there is a record at all.
    #[must_use]
    pub fn tuned(&self, nest: &Nest, target: Target, device: &dyn Fn() -> String) -> Found {
        let text = nest.to_string();
        if self.files(&Key::stem(&text, target)).is_empty() {
            return Found::default();
        }
        self.load_any(&Key::new(nest, target, &device()))
    }

    /// The tuned schedule of a nest, as [`Records::tuned`] finds it.
    #[must_use]
    pub fn recall(&self, nest: &Nest, target: Target, device: &dyn Fn() -> String) -> Recalled {
        let Found { record, note, path } = self.tuned(nest, target, device);
        let Some(best) = record.as_ref().and_then(Record::best) else {
            return Recalled { schedule: None, note };
        };
        match replay(nest, &best.script) {
            Ok(schedule) => Recalled { schedule: Some(schedule), note },
            Err(d) => {
                let text = format!("its script is refused: {}", d.message);
                let note = set_aside(&path, Diagnostic::input("E0962", text));
                Recalled { schedule: None, note: Some(note) }
            }
        }
    }

    fn open(&self, path: &Path, key: &Key, any: bool) -> Found {
        let made = match read(path) {
            Ok(None) => return Found::default(),
            Ok(Some(text)) => Record::read(&text),
            Err(d) => Err(d),
        };
        let path = path.to_owned();
        match made.and_then(|record| record.fits(key, any).map(|()| record)) {
            Ok(record) => Found { record: Some(record), note: None, path },
            Err(d) => Found { record: None, note: Some(set_aside(&path, *d)), path },
        }
    }

    /// Writes a record, with what the file of its key knows besides.
    ///
    /// # Errors
    /// `E0963` where the folder or its lock cannot be made, `E0535` where writing fails.
    pub fn save(&self, key: &Key, record: &Record) -> Result<Option<Box<Diagnostic>>> {
        let failed = |what: &str, e: std::io::Error| {
            let text = format!("cannot {what} {}: {e}", self.folder.display());
            let help = "give another folder with --records, or --no-records";
            Box::new(Diagnostic::new("E0963", Blame::Environment, text).help(help))
        };
        fs::create_dir_all(&self.folder).map_err(|e| failed("make the folder of records", e))?;
        let lock = self.folder.join(".lock");
        let lock = File::options().create(true).truncate(false).write(true).open(lock);
        let lock = lock.map_err(|e| failed("make a lock in", e))?;
        lock.lock().map_err(|e| failed("lock", e))?;
        let Found { record: known, note, .. } = self.load(key);
        let mut merged = record.clone();
        if let Some(known) = known {
            merged.take(&known);
        }
        io::save_text(&self.path(key), &merged.text())?;
        // the lock ends with the file; a process that is killed leaves none
        Ok(note)
    }
}

/// A script replayed on a nest.
fn replay(nest: &Nest, script: &str) -> Result<Schedule> {
    let script: Script = script.parse()?;
    Ok(Schedule::new(nest)?.replay(&script)?)
}

/// The text of a file; none where there is no file.
fn read(path: &Path) -> Result<Option<String>> {
    let damaged = |why: String| Box::new(Diagnostic::input("E0960", why));
    match fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(damaged(format!("it cannot be read: {e}"))),
        Ok(m) if m.len() > MOST_BYTES => {
            return Err(damaged(format!("it has {} bytes, too many for a record", m.len())));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(|e| damaged(format!("it cannot be read: {e}")))?;
    String::from_utf8(bytes).map(Some).map_err(|_| damaged("it is no text".to_owned()))
}

/// Renames a file that is not taken; what to say about it.
fn set_aside(path: &Path, mut d: Diagnostic) -> Box<Diagnostic> {
    let aside = path.with_extension("refused");
    d.message = format!("the tuning record {} is not used: {}", path.display(), d.message);
    d.help = Some(match fs::rename(path, &aside) {
        Ok(()) => format!("it is kept as {}; tune again for a new one", aside.display()),
        Err(e) => format!("it cannot be set aside ({e}); remove it, and tune again"),
    });
    Box::new(d)
}
