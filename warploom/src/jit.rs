//! Compiles what is asked for, once: what was made before comes from memory or from a folder.
//!
//! In: a nest, perhaps a script, a target. Out: code, and where it came from ([`Made`]).
//! Keeps: the schedule is the script given, else the one tuned for the nest, else the automatic
//! one; code from a cache is what compiling would have given ([`crate::cache`]); threads that ask
//! for the same code wait for one of them to make it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use warploom_ir::abi::GpuCode;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_scheduler::Schedule;

use crate::cache::{Cache, Entry, Gpu, Key};
use crate::compile::{self, Lowered, Program};
use crate::tune::{Records, kind_for};

/// Where code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled now.
    Compiled,
    /// It was in the folder.
    Folder,
    /// This [`Jit`] made it, or read it, before.
    Memory,
}

impl Origin {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::Folder => "cached",
            Self::Memory => "remembered",
        }
    }
}

/// Code, and how it came.
#[derive(Clone, Debug)]
pub struct Made<C> {
    /// The code.
    pub code: C,
    /// The script of its schedule.
    pub script: String,
    /// Where it came from.
    pub origin: Origin,
    /// What is to be said of files that were not taken or could not be written.
    pub notes: Vec<Box<Diagnostic>>,
}

impl<C> Made<C> {
    fn map<D>(self, f: impl FnOnce(C) -> D) -> Made<D> {
        let Self { code, script, origin, notes } = self;
        Made { code: f(code), script, origin, notes }
    }
}

/// The code of one key, once it is there. Who makes it holds the lock.
type Slot<C> = Arc<Mutex<Option<(Arc<C>, String)>>>;
type Table<C> = Mutex<BTreeMap<Key, Slot<C>>>;

/// A compiler that remembers.
#[derive(Default)]
pub struct Jit {
    cache: Option<Cache>,
    records: Option<Records>,
    gpu: Table<GpuCode>,
    host: Table<Program>,
}

impl Jit {
    /// Remembers for as long as it lives.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps code in a folder, too.
    #[must_use]
    pub fn with_cache(self, cache: Option<Cache>) -> Self {
        Self { cache, ..self }
    }

    /// Takes tuned schedules from these records.
    #[must_use]
    pub fn with_records(self, records: Option<Records>) -> Self {
        Self { records, ..self }
    }

    /// Code for a GPU.
    ///
    /// # Errors
    /// What the verifier finds in the nest, a schedule that is refused, what the target has no code
    /// for, `E0710` for a contract of the script that is broken.
    pub fn gpu(
        &self,
        nest: &Nest,
        script: Option<&Script>,
        target: Target,
    ) -> Result<Made<Arc<GpuCode>>> {
        let compiled = |lowered: Lowered| {
            let code = lowered.gpu(target)?;
            let gpu = Gpu { ptx: code.ptx.clone(), steps: code.steps.clone() };
            let kept = (code.kernel.clone(), Some(gpu));
            Ok((code, kept))
        };
        let asked = Asked { nest, script, target };
        self.made(&self.gpu, &asked, &compiled, &|entry| gpu_again(entry, target))
    }

    /// [`Jit::gpu`] without a script, if it was made before.
    #[must_use]
    pub fn gpu_if_made(&self, nest: &Nest, target: Target) -> Option<Made<Arc<GpuCode>>> {
        let asked = Asked { nest, script: None, target };
        self.if_made(&self.gpu, &asked, &|entry| gpu_again(entry, target))
    }

    /// Code for this machine's processor. What is kept in the folder is its kernel: it is verified
    /// and handed to LLVM again.
    ///
    /// # Errors
    /// As [`Jit::gpu`].
    pub fn host(&self, nest: &Nest, script: Option<&Script>) -> Result<Made<Program>> {
        let compiled = |lowered: Lowered| {
            let kernel = lowered.kernel().clone();
            Ok((lowered.host()?, (kernel, None)))
        };
        let asked = Asked { nest, script, target: Target::Cpu };
        let made = self.made(&self.host, &asked, &compiled, &host_again)?;
        Ok(made.map(|code| Program::clone(&code)))
    }

    /// [`Jit::host`] without a script, if it was made before.
    #[must_use]
    pub fn host_if_made(&self, nest: &Nest) -> Option<Made<Program>> {
        let asked = Asked { nest, script: None, target: Target::Cpu };
        let made = self.if_made(&self.host, &asked, &host_again)?;
        Some(made.map(|code| Program::clone(&code)))
    }

    fn made<C>(
        &self,
        table: &Table<C>,
        asked: &Asked<'_>,
        compiled: &dyn Fn(Lowered) -> Result<(C, Kept)>,
        again: &dyn Fn(Entry) -> Option<C>,
    ) -> Result<Made<Arc<C>>> {
        let mut notes = Vec::new();
        let key = self.key(asked, &mut notes);
        let slot = Arc::clone(lock(table).entry(key.clone()).or_default());
        let mut place = lock(&slot);
        if let Some((code, script, origin)) = self.found(&mut place, &key, again) {
            return Ok(Made { code, script, origin, notes });
        }
        compile::check_nest(asked.nest)?;
        let ((schedule, lowered), key) = self.schedule(asked, key, &mut notes)?;
        let (code, (kernel, gpu)) = compiled(lowered)?;
        let script = schedule.script().to_string();
        let entry = Entry { script: script.clone(), kernel, gpu };
        notes.extend(self.cache.as_ref().and_then(|c| c.store(&key, &entry).err()));
        let code = Arc::new(code);
        *place = Some((Arc::clone(&code), script.clone()));
        Ok(Made { code, script, origin: Origin::Compiled, notes })
    }

    /// Code that needs no schedule, and that no other thread is making.
    fn if_made<C>(
        &self,
        table: &Table<C>,
        asked: &Asked<'_>,
        again: &dyn Fn(Entry) -> Option<C>,
    ) -> Option<Made<Arc<C>>> {
        let mut notes = Vec::new();
        let key = self.key(asked, &mut notes);
        let slot = Arc::clone(lock(table).entry(key.clone()).or_default());
        let mut place = slot.try_lock().ok()?;
        let (code, script, origin) = self.found(&mut place, &key, again)?;
        Some(Made { code, script, origin, notes })
    }

    /// Code that is in memory or in the folder.
    fn found<C>(
        &self,
        place: &mut Option<(Arc<C>, String)>,
        key: &Key,
        again: &dyn Fn(Entry) -> Option<C>,
    ) -> Option<(Arc<C>, String, Origin)> {
        if let Some((code, script)) = place {
            return Some((Arc::clone(code), script.clone(), Origin::Memory));
        }
        let entry = self.cache.as_ref()?.load(key)?;
        let script = entry.script.clone();
        let code = Arc::new(again(entry)?);
        *place = Some((Arc::clone(&code), script.clone()));
        Some((code, script, Origin::Folder))
    }

    /// The key of what is asked for: with its script, else with that of the tuned schedule.
    fn key(&self, asked: &Asked<'_>, notes: &mut impl Extend<Box<Diagnostic>>) -> Key {
        let Asked { nest, script, target } = asked;
        let given = script.map(ToString::to_string);
        let script = given.or_else(|| self.tuned(nest, *target, notes));
        Key::new(nest, script.as_deref(), *target)
    }

    /// The script of the tuned schedule, as its record has it.
    fn tuned(
        &self,
        nest: &Nest,
        target: Target,
        notes: &mut impl Extend<Box<Diagnostic>>,
    ) -> Option<String> {
        let found = self.records.as_ref()?.tuned(nest, target, &|| kind_for(target));
        notes.extend(found.note);
        Some(found.record?.best()?.script.clone())
    }

    /// The schedule, lowered, and its key, which is another where the tuned schedule is refused.
    fn schedule(
        &self,
        asked: &Asked<'_>,
        key: Key,
        notes: &mut impl Extend<Box<Diagnostic>>,
    ) -> Result<((Schedule, Lowered), Key)> {
        let Asked { nest, script, target } = *asked;
        let lowered = |schedule: Schedule| -> Result<(Schedule, Lowered)> {
            let lowered = compile::lower(&schedule)?;
            Ok((schedule, lowered))
        };
        if let Some(script) = script {
            return Ok((lowered(Schedule::new(nest)?.replay(script)?)?, key));
        }
        let recall = |r: &Records| r.recall(nest, target, &|| kind_for(target));
        let recalled = self.records.as_ref().map(recall).unwrap_or_default();
        notes.extend(recalled.note);
        match recalled.schedule {
            Some(schedule) => Ok((lowered(schedule)?, key)),
            None => Ok((compile::automatic(nest, target)?, Key::new(nest, None, target))),
        }
    }
}

/// What code is asked for.
struct Asked<'a> {
    nest: &'a Nest,
    script: Option<&'a Script>,
    target: Target,
}

/// What the folder keeps of code.
type Kept = (Kernel, Option<Gpu>);

fn gpu_again(entry: Entry, target: Target) -> Option<GpuCode> {
    let Gpu { ptx, steps } = entry.gpu?;
    Some(GpuCode { kernel: entry.kernel, target, ptx, steps })
}

fn host_again(entry: Entry) -> Option<Program> {
    compile::kernel(entry.kernel).and_then(Lowered::host).ok()
}

/// What a thread that panicked left is whole: it is only replaced at once.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCT: &str = "in A: f32[24, 40]\nin B: f32[40, 16]\nout C: f32[24, 16]\n\
        for m in 0..24, n in 0..16 {\n  S0: C[m, n] = 0\n  \
        for k in 0..40 { S1: C[m, n] += A[m, k] * B[k, n] }\n}\n";

    #[test]
    fn threads_that_ask_for_one_program_compile_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = || Some(Cache::new(folder.path()));
        let nest: Nest = PRODUCT.parse().unwrap();
        let jit = Jit::new().with_cache(cache());
        let ask = || jit.gpu(&nest, None, Target::Sm80).unwrap();
        let made: Vec<Made<Arc<GpuCode>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let compiled = made.iter().filter(|m| m.origin == Origin::Compiled).count();
        assert_eq!(compiled, 1);
        assert!(made.iter().all(|m| Arc::ptr_eq(&m.code, &made[0].code)));
        // another process: the folder has it, and it is the same
        let later = Jit::new().with_cache(cache()).gpu(&nest, None, Target::Sm80).unwrap();
        assert_eq!(later.origin, Origin::Folder);
        assert_eq!((&later.code, &later.script), (&made[0].code, &made[0].script));
        assert!(later.notes.is_empty());
    }

    #[test]
    fn code_for_the_processor_from_the_folder_computes_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let nest: Nest = PRODUCT.parse().unwrap();
        let mut inputs = BTreeMap::new();
        crate::fill_random(&nest, &mut inputs, 3).unwrap();
        let run = || {
            let jit = Jit::new().with_cache(Some(Cache::new(folder.path())));
            let made = jit.host(&nest, None).unwrap();
            (made.origin, made.code.run(&inputs, Some(1)).unwrap())
        };
        let (first, second) = (run(), run());
        assert_eq!((first.0, second.0), (Origin::Compiled, Origin::Folder));
        assert_eq!(first.1, second.1);
    }

    #[test]
    fn a_script_has_its_own_code_and_a_refusal_is_not_kept() {
        let nest: Nest = PRODUCT.parse().unwrap();
        let jit = Jit::new();
        let script: Script = "split k by 8".parse().unwrap();
        let split = jit.host(&nest, Some(&script)).unwrap();
        assert_eq!(split.script.trim(), "split k by 8");
        assert_ne!(jit.host(&nest, None).unwrap().script, split.script);
        let wrong: Script = "split q by 8".parse().unwrap();
        for _ in 0..2 {
            assert!(jit.host(&nest, Some(&wrong)).is_err());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_note() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let jit = Jit::new().with_cache(Some(Cache::new(file.path().join("below a file"))));
        let made = jit.host(&PRODUCT.parse().unwrap(), None).unwrap();
        assert_eq!(made.notes.iter().map(|d| d.code).collect::<Vec<_>>(), ["E0966"]);
    }
}
