//! Code that was compiled before, kept in a folder.
//!
//! In: what code is made from ([`Key`]). Out: the sealed kernel, its script, its PTX and launches
//! ([`Entry`]), if they were made before by this very compiler.
//! Keeps: an entry is written whole and found by a hash of all that decides about it: the nest with
//! its sizes, the script asked for, the target, the sources of the compiler, LLVM's version. A file
//! that is damaged is no entry, and the next compilation replaces it. The folder stays below its
//! limit: what was not used for longest goes first.
//! Why here: schedules take isl hundreds of milliseconds, reading them back takes one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use warploom_ir::abi::GpuStep;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;

use crate::io;
use crate::sealed::{seal, unseal};

/// The sources of this compiler, as the build script hashes them.
const BUILD: &str = env!("WARPLOOM_BUILD");
/// The first line of an entry.
const TITLE: &str = "# Compiled code of Warploom; docs/cache.md has the format.\n";
/// What the names of entries end with.
const EXTENSION: &str = "code";
/// Bytes of a folder, unless it is told.
const LIMIT: u64 = 1 << 30;
/// An entry with more bytes is not kept.
const MOST_BYTES: u64 = 64 << 20;

/// The folder `warploom/NAME` of the user's cache: of `XDG_CACHE_HOME`, else of `.cache` at home,
/// else of the folder for temporary files.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").filter(|p| p.is_absolute());
    let cache = cache.or_else(|| set("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("warploom").join(name)
}

/// The user's folder of compiled code; none where the environment variable `WARPLOOM_NO_CACHE` is
/// set to anything.
#[must_use]
pub fn code_folder() -> Option<PathBuf> {
    let unwanted = std::env::var_os("WARPLOOM_NO_CACHE").is_some_and(|v| !v.is_empty());
    (!unwanted).then(|| folder("code"))
}

/// All that decides which code comes out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a nest with a script, or with the automatic schedule.
    #[must_use]
    pub fn new(nest: &Nest, script: Option<&str>, target: Target) -> Self {
        let llvm = warploom_codegen::llvm_version();
        let script = script.map_or("automatic".to_owned(), |s| format!("script\n{s}"));
        let all = format!("{BUILD}\n{llvm}\n{target}\n{script}\nnest\n{nest}");
        Self(blake3::hash(all.as_bytes()).to_hex().to_string())
    }
}

/// Code that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The script of its schedule, replayable on the nest.
    pub script: String,
    /// The kernel, as the verifier sealed it.
    pub kernel: Kernel,
    /// For a GPU.
    pub gpu: Option<Gpu>,
}

/// What the code of a GPU has beside its kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// PTX.
    pub ptx: String,
    /// What the host does.
    pub steps: Vec<GpuStep>,
}

/// The file of an entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    key: String,
    script: String,
    kernel: String,
    ptx: Option<String>,
    /// As JSON.
    steps: Option<String>,
}

impl Stored {
    /// What was stored.
    fn entry(&self) -> Option<Entry> {
        let gpu = match (&self.ptx, &self.steps) {
            (Some(ptx), Some(steps)) => {
                Some(Gpu { ptx: ptx.clone(), steps: serde_json::from_str(steps).ok()? })
            }
            _ => None,
        };
        Some(Entry { script: self.script.clone(), kernel: self.kernel.parse().ok()?, gpu })
    }
}

/// A folder of entries. It need not be there, and may be removed at any time.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: u64,
}

impl Cache {
    /// A folder that grows to 1 GiB.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), limit: LIMIT }
    }

    /// A folder that grows to `bytes`.
    #[must_use]
    pub fn limited(self, bytes: u64) -> Self {
        Self { limit: bytes, ..self }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.0[..32]).with_extension(EXTENSION)
    }

    /// What was made for a key. A file that cannot be read, or is damaged, is none.
    #[must_use]
    pub fn load(&self, key: &Key) -> Option<Entry> {
        let path = self.path(key);
        let file = File::options().read(true).write(true).open(&path).ok();
        // where the folder may only be read, entries do not get younger
        let file = file.or_else(|| File::open(&path).ok())?;
        let fits = file.metadata().is_ok_and(|m| m.len() <= MOST_BYTES);
        let text = fits.then(|| std::io::read_to_string(&file).ok()).flatten()?;
        let stored: Stored = toml::from_str(unseal(&text).ok()?).ok()?;
        if stored.key != key.0 {
            return None;
        }
        let entry = stored.entry()?;
        // a failure costs nothing but the order in which entries go
        let _ = file.set_modified(SystemTime::now());
        Some(entry)
    }

    /// Keeps an entry, unless its text would not give it back.
    ///
    /// # Errors
    /// `E0966` where the folder cannot be made, `E0535` where writing fails.
    pub fn store(&self, key: &Key, entry: &Entry) -> Result<()> {
        let steps = |gpu: &Gpu| serde_json::to_string(&gpu.steps).expect("steps are plain data");
        let stored = Stored {
            key: key.0.clone(),
            script: entry.script.clone(),
            kernel: entry.kernel.to_string(),
            ptx: entry.gpu.as_ref().map(|gpu| gpu.ptx.clone()),
            steps: entry.gpu.as_ref().map(steps),
        };
        let body = toml::to_string(&stored).expect("an entry is a table of texts");
        let text = seal(format!("{TITLE}{body}"));
        let bytes = text.len() as u64;
        let same = stored.entry().as_ref() == Some(entry);
        if !same || bytes > MOST_BYTES.min(self.limit) {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).map_err(|e| {
            let text = format!("cannot make the folder {}: {e}", self.folder.display());
            let help = "give another folder with --cache, or --no-cache";
            Box::new(Diagnostic::new("E0966", Blame::Environment, text).help(help))
        })?;
        self.make_room(bytes);
        io::save_text(&self.path(key), &text)
    }

    /// Removes what was not used for longest until `bytes` more fit. What cannot be removed, or is
    /// gone by then, stays or is gone.
    fn make_room(&self, bytes: u64) {
        let mut entries = self.entries();
        let mut used: u64 = entries.iter().map(|e| e.bytes).sum();
        entries.sort_by_key(|e| e.used);
        for entry in entries {
            if used.saturating_add(bytes) <= self.limit {
                return;
            }
            if fs::remove_file(&entry.path).is_ok() {
                used -= entry.bytes;
            }
        }
    }

    fn entries(&self) -> Vec<Listed> {
        let listed = |path: PathBuf| {
            let about = fs::metadata(&path).ok()?;
            Some(Listed { bytes: about.len(), used: about.modified().ok()?, path })
        };
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path());
        files.filter(|p| is_entry(p)).filter_map(listed).collect()
    }
}

/// A file of a folder.
struct Listed {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

fn is_entry(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == EXTENSION)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use warploom_ir::abi::{GpuLaunch, GpuLoop, TensorMap};
    use warploom_ir::kernel::{Condition, Index};

    use super::*;
    use crate::compile;

    fn nest(n: i64) -> Nest {
        let text = format!("in A: f32[{n}]\nout B: f32[{n}]\nfor i in 0..{n} {{ B[i] = A[i] }}\n");
        text.parse().unwrap()
    }

    /// Every kind of step, index and condition.
    fn steps(n: i64) -> Vec<GpuStep> {
        let var = |name: &str| Index::Var(name.into());
        let both = |f: fn(Box<Index>, Box<Index>) -> Index| f(var("N").into(), var("i").into());
        let some = Condition::Any(vec![Condition::Eq(var("i"), Index::Const(-n))]);
        let all =
            Condition::All(vec![Condition::Ge(var("N"), Index::Mul(n, var("i").into())), some]);
        let grid = [
            Index::Select(all.clone().into(), both(Index::Add).into(), both(Index::Sub).into()),
            Index::FloorDiv(both(Index::Min).into(), 3),
            Index::Mod(both(Index::Max).into(), 5),
        ];
        let map = TensorMap { buffer: 1, extents: vec![64, n], steps: vec![1, 2], panel: 128 };
        let launch = GpuLaunch {
            entry: "wl_main_0".to_owned(),
            grid,
            cluster: 2,
            block: [128, 1, 1],
            shared_bytes: 1 << 17,
            tensor_columns: 256,
            maps: vec![map],
            chunked: vec![(2, 16)],
        };
        let body = vec![GpuStep::Launch(launch)];
        let (lower, upper) = (Index::Const(0), var("N"));
        let around = GpuStep::Loop(GpuLoop { var: "i".into(), lower, upper, step: 2, body });
        vec![GpuStep::If(all, vec![around], Vec::new())]
    }

    fn entry(n: i64) -> Entry {
        let schedule = compile::auto(&nest(n)).unwrap();
        let kernel = compile::lower(&schedule).unwrap().kernel().clone();
        // quotes of every kind, as no PTX has them
        let ptx = format!("'''\"\"\"\\{n}\n");
        let gpu = Some(Gpu { ptx, steps: steps(n) });
        Entry { script: schedule.script().to_string(), kernel, gpu }
    }

    #[test]
    fn what_is_stored_is_found_under_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("not/yet/there"));
        let key = Key::new(&nest(5), None, Target::Cpu);
        assert_eq!(cache.load(&key), None);
        cache.store(&key, &entry(5)).unwrap();
        assert_eq!(cache.load(&key), Some(entry(5)));
        let others = [
            Key::new(&nest(6), None, Target::Cpu),
            Key::new(&nest(5), Some(""), Target::Cpu),
            Key::new(&nest(5), Some("automatic"), Target::Cpu),
            Key::new(&nest(5), None, Target::Sm80),
        ];
        for other in others {
            assert_eq!(cache.load(&other), None);
            // a file under another's name is none of its
            fs::copy(cache.path(&key), cache.path(&other)).unwrap();
            assert_eq!(cache.load(&other), None);
        }
    }

    #[test]
    fn a_damaged_file_is_none_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let key = Key::new(&nest(5), None, Target::Cpu);
        cache.store(&key, &entry(5)).unwrap();
        let text = fs::read_to_string(cache.path(&key)).unwrap();
        let changed = text.replacen("B[", "A[", 1);
        assert_ne!(changed, text);
        for wrong in ["", "key = 1", &text[..text.len() / 2], &changed] {
            fs::write(cache.path(&key), wrong).unwrap();
            assert_eq!(cache.load(&key), None);
        }
        cache.store(&key, &entry(5)).unwrap();
        assert_eq!(cache.load(&key), Some(entry(5)));
    }

    #[test]
    fn the_folder_stays_below_its_limit_and_keeps_what_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let key = |n| Key::new(&nest(n), None, Target::Cpu);
        let one = Cache::new(folder.path());
        one.store(&key(10), &entry(10)).unwrap();
        let size =
            |c: &Cache| (c.entries().len(), c.entries().iter().map(|e| e.bytes).sum::<u64>());
        let bytes = size(&one).1;
        let cache = one.limited(3 * bytes + bytes / 2);
        let age = |n, seconds| {
            let file = File::options().write(true).open(cache.path(&key(n))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        cache.store(&key(11), &entry(11)).unwrap();
        cache.store(&key(12), &entry(12)).unwrap();
        assert_eq!(size(&cache).0, 3);
        age(10, 30);
        age(11, 20);
        age(12, 10);
        // using the oldest makes it the youngest
        assert!(cache.load(&key(10)).is_some());
        cache.store(&key(13), &entry(13)).unwrap();
        let there: Vec<bool> = (10..14).map(|n| cache.load(&key(n)).is_some()).collect();
        assert_eq!(there, [true, false, true, true]);
        assert!(size(&cache).1 <= 3 * bytes + bytes / 2);
        let none = Cache::new(folder.path()).limited(10);
        none.store(&key(14), &entry(14)).unwrap();
        assert_eq!(none.load(&key(14)), None);
    }
}
