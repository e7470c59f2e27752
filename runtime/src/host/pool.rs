//! Threads that outlive a call.

use rayon::prelude::*;
use warploom_ir::abi::Pool;
use warploom_ir::diag::{Blame, Diagnostic, Result};

/// A fixed number of threads. With one, tasks run on the caller's thread.
#[derive(Debug)]
pub struct ThreadPool {
    threads: usize,
    pool: Option<rayon::ThreadPool>,
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
        let threads = threads.max(1);
        if threads == 1 {
            return Ok(Self { threads, pool: None });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("warploom-{i}"))
            .build()
            .map_err(|e| {
                let text = format!("cannot start {threads} threads: {e}");
                Box::new(Diagnostic::new("E1106", Blame::Environment, text))
            })?;
        Ok(Self { threads, pool: Some(pool) })
    }
}

impl Pool for ThreadPool {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        match &self.pool {
            Some(pool) if n > 1 => {
                pool.install(|| (0..n).into_par_iter().with_max_len(1).for_each(task));
            }
            Some(_) | None => (0..n).for_each(task),
        }
    }
}
