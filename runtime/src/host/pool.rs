//! Threads that outlive a call.
//!
//! In: a number of tasks and what to do for each. Out: nothing; all tasks have ended.
//! Keeps: the caller works too and waits only for tasks that have begun elsewhere, so that threads
//! that are slow to wake cost it nothing. A thread without work looks for some for a few
//! microseconds before it sleeps: loops inside a serial loop follow each other closely.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use warploom_ir::abi::Pool;
use warploom_ir::diag::{Blame, Diagnostic, Result};

/// How long a thread looks for work before it sleeps.
const AWAKE: Duration = Duration::from_micros(50);

/// What the tasks of a job share: a function that outlives the job's last task.
type Task = *const (dyn Fn(usize) + Sync);

/// Tasks that began with one call.
struct Job {
    task: Task,
    tasks: usize,
    /// The next task that nobody has begun.
    next: AtomicUsize,
    ended: AtomicUsize,
    /// The first panic of a task.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Signalled when the last task ends.
    last: (Mutex<()>, Condvar),
}

// SAFETY: the function behind `task` may be called by any thread, and `work` calls it only while
// `ThreadPool::run`, which borrows it, waits.
unsafe impl Send for Job {}
// SAFETY: as above; everything else in a job is made for sharing.
unsafe impl Sync for Job {}

/// A lock; a panic while it was held left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Job {
    /// Whether a task is left to begin.
    fn open(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.tasks
    }

    /// Runs tasks that nobody has begun until there are none.
    fn work(&self) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= self.tasks {
                return;
            }
            // SAFETY: this task has not ended, so `run` has not returned and its borrow lives.
            let task = unsafe { &*self.task };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task(i))) {
                lock(&self.panic).get_or_insert(panic);
            }
            // what this task wrote is seen by whoever sees that all have ended
            if self.ended.fetch_add(1, Ordering::AcqRel) + 1 == self.tasks {
                drop(lock(&self.last.0));
                self.last.1.notify_all();
            }
        }
    }

    fn done(&self) -> bool {
        self.ended.load(Ordering::Acquire) == self.tasks
    }

    /// Returns when all tasks have ended.
    fn wait(&self) {
        if look(|| self.done()) {
            return;
        }
        let mut guard = lock(&self.last.0);
        while !self.done() {
            guard = self.last.1.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Looks for something for a while; says whether it was there.
fn look(found: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..32 {
            if found() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > AWAKE {
            return false;
        }
    }
}

/// What the threads of a pool share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Changes whenever there is a new job, and at the end.
    changes: AtomicUsize,
    /// Signalled then, if a thread sleeps.
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Arc<Job>>,
    asleep: usize,
    over: bool,
}

impl Shared {
    /// Changes the state and wakes who sleeps.
    fn change(&self, how: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        how(&mut state);
        self.changes.fetch_add(1, Ordering::Release);
        let asleep = state.asleep > 0;
        drop(state);
        if asleep {
            self.wake.notify_all();
        }
    }

    /// What a thread does all its life.
    fn serve(&self) {
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            let mut state = lock(&self.state);
            if state.over {
                return;
            }
            if let Some(job) = state.jobs.iter().find(|job| job.open()).cloned() {
                drop(state);
                job.work();
                continue;
            }
            drop(state);
            let changed = || self.changes.load(Ordering::Acquire) != seen;
            if look(changed) {
                continue;
            }
            state = lock(&self.state);
            state.asleep += 1;
            while !changed() {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.asleep -= 1;
        }
    }
}

/// A fixed number of threads, the caller's among them.
pub struct ThreadPool {
    shared: Arc<Shared>,
    others: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl ThreadPool {
    /// As many threads as the machine gives this process.
    ///
    /// # Errors
    /// As [`ThreadPool::with_threads`].
    pub fn new() -> Result<Self> {
        Self::with_threads(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// A pool of this many threads, at least one.
    ///
    /// # Errors
    /// `E1106` where the system gives no threads.
    pub fn with_threads(threads: usize) -> Result<Self> {
        let mut pool = Self { shared: Arc::default(), others: Vec::new() };
        for i in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("warploom-{i}"));
            pool.others.push(thread.spawn(move || shared.serve()).map_err(|e| {
                let text = format!("cannot start {threads} threads: {e}");
                Box::new(Diagnostic::new("E1106", Blame::Environment, text))
            })?);
        }
        Ok(pool)
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.change(|state| state.over = true);
        for thread in self.others.drain(..) {
            // tasks' panics were caught, and there is nothing else that may panic
            let _ = thread.join();
        }
    }
}

impl Pool for ThreadPool {
    fn threads(&self) -> usize {
        self.others.len() + 1
    }

    fn run(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        if n <= 1 || self.others.is_empty() {
            return (0..n).for_each(task);
        }
        // SAFETY: only the lifetime is forgotten; `wait` below ends the last use.
        let task = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Task>(std::ptr::from_ref(
                task,
            ))
        };
        let job = Arc::new(Job {
            task,
            tasks: n,
            next: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            panic: Mutex::new(None),
            last: (Mutex::new(()), Condvar::new()),
        });
        self.shared.change(|state| state.jobs.push_back(Arc::clone(&job)));
        job.work();
        lock(&self.shared.state).jobs.retain(|other| !Arc::ptr_eq(other, &job));
        job.wait();
        let panic = lock(&job.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}
