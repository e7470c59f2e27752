//! Turns on the processor: runs of a program whose arguments are bound.
//!
//! In: a program and inputs. Out: the seconds of one run. Keeps: arrays that are read and written
//! have their first contents before each run; runs too short for the clock are repeated.

use std::collections::BTreeMap;
use std::time::Instant;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::nest::Role;
use warploom_ir::tensor::Tensor;

use super::Contestant;
use crate::compile::{Program, Session};

/// A run that is shorter is repeated so often that the clock shows it.
const SHORT: f64 = 20e-6;
const LONG_ENOUGH: f64 = 50e-6;

/// Turns of a program of ours.
pub struct CpuTurns<'a> {
    session: Session<'a>,
    /// Runs may follow each other without giving arrays their first contents back.
    repeatable: bool,
    last: f64,
}

impl<'a> CpuTurns<'a> {
    /// Turns of a program on these inputs and so many threads.
    ///
    /// # Errors
    /// Inputs that do not fit, or no memory.
    pub fn new(
        program: &'a Program,
        inputs: &'a BTreeMap<Name, Tensor>,
        threads: Option<usize>,
    ) -> Result<Self> {
        let session = program.session(inputs, threads)?;
        let changed = |b: &warploom_ir::kernel::Buffer| matches!(b.role, Role::InOut);
        let repeatable = !program.kernel().buffers.iter().any(changed);
        Ok(Self { session, repeatable, last: f64::INFINITY })
    }

    fn run(&mut self, times: usize) -> Result<f64> {
        self.session.restore();
        let started = Instant::now();
        for _ in 0..times {
            self.session.launch()?;
        }
        Ok(started.elapsed().as_secs_f64() / times as f64)
    }
}

impl Contestant for CpuTurns<'_> {
    type Error = Box<Diagnostic>;

    fn turn(&mut self, warm: usize) -> Result<f64> {
        for _ in 0..warm {
            self.last = self.run(1)?;
        }
        let short = self.repeatable && self.last < SHORT;
        let times = if short { (LONG_ENOUGH / self.last.max(1e-8)) as usize } else { 1 };
        self.last = self.run(times.max(1))?;
        Ok(self.last)
    }
}
