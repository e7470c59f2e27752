//! Whether a case works for a GPU: its kernel is sealed, gives the right result in the interpreter,
//! is assembled, and runs where such a GPU is at hand.
//!
//! In: a case, and what is asked. Out: what came of each; what could not be tried says why.
//! Keeps: a step that fails does not hide the others.

use std::collections::BTreeMap;

use warploom::compile::{self, Lowered};
use warploom::device::{Device, Executor};
use warploom::diag::{Diagnostic, Result};
use warploom::resources::Resources;
use warploom::verify::{self, Verification};
use warploom::{GpuOptions, Name, Paired, Target, Tensor};

use super::Case;

/// What is asked of a case.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// What code is made for.
    pub target: Target,
    /// Where pairs of blocks multiply together.
    pub paired: Paired,
    /// Further targets that the same kernel is assembled for.
    pub also: &'a [Target],
    /// Whether the kernel is interpreted.
    pub interpret: bool,
    /// A GPU that runs the code.
    pub device: Option<&'a Device>,
}

/// What came of a case.
pub struct Conformance {
    /// The matrix instructions of its kernel, each once.
    pub instructions: Vec<String>,
    /// What its functions take; nothing where no code could be made, with the reason.
    pub resources: Result<Vec<Resources>>,
    /// Whether there is code for each target, and the assembler took it.
    pub assembled: Vec<(Target, Result<()>)>,
    /// The interpreter's result against that of the nest.
    pub interpreted: Option<Result<Verification>>,
    /// The GPU's result against that of the nest.
    pub ran: Option<Result<Verification>>,
}

impl Conformance {
    /// Whether nothing that was tried failed; that there is no assembler is no failure.
    #[must_use]
    pub fn passed(&self) -> bool {
        let tried = |r: &Option<Result<Verification>>| r.as_ref().is_none_or(Result::is_ok);
        let assembled = self.assembled.iter().all(|(_, said)| refusal(said).is_none());
        self.resources.is_ok() && assembled && tried(&self.interpreted) && tried(&self.ran)
    }

    /// Whether some function keeps values of its threads in local memory, as far as is known.
    #[must_use]
    pub fn local(&self) -> bool {
        let all = self.resources.as_deref().unwrap_or_default();
        all.iter().any(|r| r.stack.is_some_and(|bytes| bytes > 0))
    }

    /// The first thing that failed.
    #[must_use]
    pub fn failure(&self) -> Option<&Diagnostic> {
        let made = self.resources.as_ref().err().map(|d| &**d);
        let assembled = || self.assembled.iter().find_map(|(_, said)| refusal(said));
        let judged = || [&self.interpreted, &self.ran].into_iter().flatten().find_map(mismatch);
        made.or_else(assembled).or_else(judged)
    }
}

/// Why a result was not judged to be right.
fn mismatch(found: &Result<Verification>) -> Option<&Diagnostic> {
    found.as_ref().err().map(|d| &**d)
}

/// Why code was not assembled, where an assembler is there.
fn refusal(said: &Result<()>) -> Option<&Diagnostic> {
    said.as_ref().err().filter(|d| d.code != MISSING).map(|d| &**d)
}

/// The code of a tool that is not there.
const MISSING: &str = "E1203";

/// Checks a case at its small size.
///
/// # Errors
/// There is no schedule or no kernel.
pub fn check(case: &Case, wanted: &Wanted<'_>) -> Result<Conformance> {
    let nest = case.small()?;
    let options = GpuOptions { paired: wanted.paired, ..GpuOptions::of(wanted.target) };
    let schedule = case.schedule(&nest, &options, false)?;
    let lowered = compile::lower(&schedule)?;
    let mut inputs = BTreeMap::new();
    warploom::fill_random(&nest, &mut inputs, 1)?;
    let judged = |outputs: BTreeMap<Name, Tensor>| verify::check(&nest, &inputs, &outputs);
    let interpreted = wanted.interpret.then(|| lowered.interpret(&inputs).and_then(judged));
    let ran = wanted.device.map(|device| {
        let executor = Executor::Cuda(device.clone());
        executor.run(&schedule, &inputs, &BTreeMap::new()).and_then(judged)
    });
    let mut assembled = Vec::new();
    let resources = lowered.gpu(wanted.target).map(|code| {
        let said = compile::resources(&code);
        let all = Resources::of(&code, said.as_deref().ok());
        assembled.push((wanted.target, said.map(drop)));
        all
    });
    for target in wanted.also {
        let said = lowered.gpu(*target).and_then(|code| compile::resources(&code).map(drop));
        assembled.push((*target, said));
    }
    let instructions = instructions(&lowered);
    Ok(Conformance { instructions, resources, assembled, interpreted, ran })
}

/// The matrix instructions that a kernel calls.
fn instructions(lowered: &Lowered) -> Vec<String> {
    let text = lowered.kernel().to_string();
    let name = |line: &str| Some(line.trim().strip_prefix("do ")?.split('(').next()?.to_owned());
    let matrix = |name: &String| name.contains("mma.m") || name.contains("mma.pair.m");
    let mut out: Vec<String> = text.lines().filter_map(name).filter(matrix).collect();
    out.sort();
    out.dedup();
    out
}
