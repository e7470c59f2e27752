//! Programs that run on memory of their caller's, without a copy.
//!
//! In: a compiled program and its sizes. Out: what runs on slices of bytes, on the processor; on a
//! GPU [`crate::device::LentProgram`] does.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_runtime::host::{self, ThreadPool};

pub use warploom_ir::abi::HostArg;
pub use warploom_runtime::Taken;

use crate::compile::Program;

/// A program for the processor with its sizes, temporaries and threads.
pub struct Lent {
    lent: host::Lent,
    pool: ThreadPool,
}

impl Program {
    /// Makes room for temporaries at sizes that the nest leaves open.
    ///
    /// # Errors
    /// `E1104` missing or extra size; `E1105` a negative shape; `E1106` no threads; no memory.
    pub fn lend(&self, sizes: &BTreeMap<Name, i64>) -> Result<Lent> {
        Ok(Lent { lent: host::Lent::new(self.code(), sizes)?, pool: ThreadPool::new()? })
    }
}

impl Lent {
    /// The arrays that a run takes, in order.
    pub fn arrays(&self) -> impl Iterator<Item = Taken<'_>> {
        self.lent.arrays()
    }

    /// Runs once on these bytes, one slice for each of [`Lent::arrays`]: `Read` for inputs, `Write`
    /// for the others. Slices that start at a multiple of 64 are used where they are.
    ///
    /// # Errors
    /// `E1103` not as many arrays; `E1102` other lengths; no memory; the code's own failure.
    pub fn run(&mut self, arrays: Vec<HostArg<'_>>) -> Result<()> {
        self.lent.run(arrays, &self.pool)
    }
}
