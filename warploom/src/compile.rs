//! From a schedule to something that runs: lower, verify, generate code, launch.
//!
//! In: a schedule. Out: a [`Program`], or the first diagnostic on the way.
//! Keeps: nothing runs that the verifier has not sealed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::contracts::Contracts;
use warploom_codegen::{c, host, ptx};
pub use warploom_ir::abi::GpuCode;
use warploom_ir::abi::HostCode;
use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_runtime::host::{Launch, ThreadPool};
use warploom_scheduler::{
    CpuOptions, GpuOptions, Schedule, auto_cpu, auto_gpu, auto_gpu_lowered, launches,
    lower as lower_tree, plain_gpu,
};
use warploom_verify::{Verified, kernel as verify_kernel, nest as verify_nest};

/// A kernel that the verifier sealed, before code generation.
#[derive(Clone, Debug)]
pub struct Lowered {
    kernel: Verified<Kernel>,
    stages: Vec<(&'static str, Duration)>,
    contracts: Contracts,
}

impl Lowered {
    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        self.kernel.get()
    }

    /// How long each stage took so far.
    #[must_use]
    pub fn stages(&self) -> &[(&'static str, Duration)] {
        &self.stages
    }

    /// Its launches, their order and their memory.
    #[must_use]
    pub fn program(&self) -> warploom_ir::program::Program {
        warploom_ir::program::Program::of(self.kernel().clone())
    }

    /// Plain C99.
    #[must_use]
    pub fn c(&self) -> String {
        c::emit(self.kernel.get())
    }

    /// LLVM IR as handed to LLVM.
    ///
    /// # Errors
    /// The target has no code for a part of the kernel.
    pub fn llvm(&self, target: Target) -> Result<String> {
        match target.gpu() {
            None => Ok(host::emit_llvm(&self.kernel)),
            Some(_gpu) => ptx::emit_llvm(&self.kernel, target),
        }
    }

    /// Code for this machine's processor.
    ///
    /// # Errors
    /// There is no such code for a part of the kernel, or code generation fails; `E0710` for a
    /// contract, which only code of a GPU can keep.
    pub fn host(self) -> Result<Program> {
        let Self { kernel, mut stages, contracts } = self;
        contracts.on_cpu()?;
        let started = Instant::now();
        let code = host::compile(&kernel, &host::HostOptions::default())?;
        stages.push(("code", started.elapsed()));
        Ok(Program { code: Arc::new(code), stages })
    }

    /// PTX with its launches.
    ///
    /// # Errors
    /// The target is no GPU, or has no code for a part of the kernel; `E0710` for a contract of the
    /// script that the code breaks.
    pub fn gpu(&self, target: Target) -> Result<GpuCode> {
        let code = ptx::compile(&self.kernel, target)?;
        self.contracts.check(&code)?;
        Ok(code)
    }

    /// What the interpreter of kernels makes of these inputs: it finds races and deadlocks of these
    /// sizes, and needs no GPU.
    ///
    /// # Errors
    /// What it finds.
    pub fn interpret(&self, inputs: &BTreeMap<Name, Tensor>) -> Result<BTreeMap<Name, Tensor>> {
        warploom_ir::interp::kernel::run(self.kernel(), &BTreeMap::new(), inputs)
    }

    /// Whether the script has contracts about code.
    #[must_use]
    pub fn has_contracts(&self) -> bool {
        !self.contracts.is_empty()
    }
}

/// Checks a nest before anything is made of it: types, bounds, definition before use.
///
/// # Errors
/// The first finding of the verifier; its message says how many more there are.
pub fn check_nest(nest: &Nest) -> Result<()> {
    if nest.statements().is_empty() {
        return Err(Box::new(
            Diagnostic::input("E0807", "the nest computes nothing: it has no statement")
                .in_source(&nest.source)
                .help("write at least one statement, such as C[m, n] = 0 inside its loops"),
        ));
    }
    verify_nest(nest.clone()).map(|_| ()).map_err(first)
}

/// Registers, memory and spills of GPU code as `ptxas` tells them.
///
/// # Errors
/// `E1203`: there is no `ptxas`, or it refuses the code.
pub fn resources(code: &GpuCode) -> Result<String> {
    ptx::Ptxas::find()?.resources(code)
}

/// The machine code of GPU code, as `ptxas` makes it and `nvdisasm` prints it.
///
/// # Errors
/// `E1203`: one of them is not there, or refuses the code.
pub fn sass(code: &GpuCode) -> Result<String> {
    ptx::Nvdisasm::find()?.sass(&ptx::Ptxas::find()?, code)
}

/// The automatic schedule for this machine's processor.
///
/// # Errors
/// The nest has no polyhedral form, or isl takes too long.
pub fn auto(nest: &Nest) -> Result<Schedule> {
    auto_for(nest, Target::Cpu)
}

/// The automatic schedule for a target.
///
/// # Errors
/// The nest has no polyhedral form, or isl takes too long.
pub fn auto_for(nest: &Nest, target: Target) -> Result<Schedule> {
    let start = Schedule::new(nest)?;
    match target.gpu() {
        None => auto_cpu(&start, &CpuOptions::default()),
        Some(_gpu) => auto_gpu(&start, &GpuOptions::of(target)),
    }
}

/// The automatic schedule for a target, lowered. Where products on tensor cores come out as a
/// kernel that cannot be made or sealed, it is the schedule without them.
///
/// # Errors
/// As [`auto_for`] and [`lower`].
pub fn automatic(nest: &Nest, target: Target) -> Result<(Schedule, Lowered)> {
    if target != Target::Cpu {
        return automatic_on(nest, &GpuOptions::of(target));
    }
    let started = Instant::now();
    let schedule = auto_for(nest, target)?;
    let sought = started.elapsed();
    let mut lowered = lower(&schedule)?;
    lowered.stages.insert(0, ("schedule", sought));
    Ok((schedule, lowered))
}

/// [`automatic`] for a GPU, with options.
///
/// # Errors
/// As [`automatic`].
pub fn automatic_on(nest: &Nest, options: &GpuOptions) -> Result<(Schedule, Lowered)> {
    let started = Instant::now();
    let (schedule, kernel) = auto_gpu_lowered(&Schedule::new(nest)?, options)?;
    let sought = started.elapsed();
    let lowered = match kernel {
        Some(kernel) => sealed(&schedule, kernel, Duration::ZERO),
        None => lower(&schedule),
    };
    match lowered {
        Err(d) if d.blame == Blame::Unsupported => {
            let options = GpuOptions { tensor_cores: false, ..*options };
            let schedule = auto_gpu(&Schedule::new(nest)?, &options)?;
            let lowered = lower(&schedule)?;
            Ok((schedule, lowered))
        }
        lowered => {
            let mut lowered = lowered?;
            lowered.stages.insert(0, ("schedule", sought));
            Ok((schedule, lowered))
        }
    }
}

/// A schedule that is quick to find: the order of the text, and on a GPU independent loops on
/// blocks and threads, without tensor cores.
///
/// # Errors
/// As [`auto_for`].
pub fn plain_for(nest: &Nest, target: Target) -> Result<Schedule> {
    let start = Schedule::new(nest)?;
    match target.gpu() {
        None => Ok(start),
        Some(_gpu) => plain_gpu(&start, &GpuOptions::of(target)),
    }
}

/// The first of several findings.
fn first(findings: Vec<Diagnostic>) -> Box<Diagnostic> {
    let more = findings.len().saturating_sub(1);
    let mut it = findings.into_iter();
    let mut head = it.next().unwrap_or_else(|| {
        Diagnostic::new("E0999", Blame::Unsupported, "refused without a reason: a defect of ours")
    });
    if more > 0 {
        head.message.push_str(&format!(" (and {more} more)"));
    }
    Box::new(head)
}

/// Lowers a schedule to a verified kernel.
///
/// # Errors
/// What lowering cannot do, and whatever the verifier finds.
pub fn lower(schedule: &Schedule) -> Result<Lowered> {
    let started = Instant::now();
    let kernel = lower_tree(schedule.poly(), schedule.tree(), &schedule.nest().source)?;
    sealed(schedule, kernel, started.elapsed())
}

/// A schedule's kernel with the sizes that the nest fixes written into it, verified; `spent` was
/// spent on it before.
fn sealed(schedule: &Schedule, kernel: Kernel, spent: Duration) -> Result<Lowered> {
    let started = Instant::now();
    let fixed = |p: &warploom_ir::nest::Param| Some((p.name.clone(), p.value?));
    let sizes = schedule.nest().params.iter().filter_map(fixed).collect();
    let kernel = launches(&kernel.bind(&sizes));
    let lowered = started.elapsed();
    let kernel = seal(kernel)?;
    let stages = vec![("lower", spent + lowered), ("verify", started.elapsed() - lowered)];
    Ok(Lowered { kernel, stages, contracts: Contracts::of(schedule) })
}

/// A kernel that a person wrote, checked and sealed.
///
/// # Errors
/// The first finding of the verifier; its message says how many more there are.
pub fn kernel(kernel: Kernel) -> Result<Lowered> {
    let started = Instant::now();
    let kernel = verify_kernel(kernel).map_err(first)?;
    let (stages, contracts) = (vec![("verify", started.elapsed())], Contracts::default());
    Ok(Lowered { kernel, stages, contracts })
}

/// Seals a kernel that was lowered. What the verifier finds is no mistake in a text: the schedule
/// asks for something that kernels cannot do.
fn seal(kernel: Kernel) -> Result<Verified<Kernel>> {
    verify_kernel(kernel).map_err(|findings| {
        let mut d = first(findings);
        if d.blame == Blame::Input {
            d.blame = Blame::Unsupported;
            d.help.get_or_insert_with(|| "change the schedule, or leave it out".to_owned());
        }
        d
    })
}

/// A compiled program for the host, with the time each stage took.
#[derive(Clone)]
pub struct Program {
    code: Arc<host::HostModule>,
    stages: Vec<(&'static str, Duration)>,
}

/// Compiles a schedule for this machine's processor.
///
/// # Errors
/// As [`lower`], and failures of code generation.
pub fn compile(schedule: &Schedule) -> Result<Program> {
    lower(schedule)?.host()
}

impl Program {
    /// The kernel that runs.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        self.code.kernel()
    }

    pub(crate) fn code(&self) -> Arc<dyn HostCode> {
        Arc::clone(&self.code) as _
    }

    /// How long each stage of the compilation took.
    #[must_use]
    pub fn stages(&self) -> &[(&'static str, Duration)] {
        &self.stages
    }

    /// Runs once on `threads` threads (all by default) and returns the outputs by name.
    ///
    /// # Errors
    /// Inputs that do not fit, or no memory.
    pub fn run(
        &self,
        inputs: &BTreeMap<Name, Tensor>,
        threads: Option<usize>,
    ) -> Result<BTreeMap<Name, Tensor>> {
        self.run_at(inputs, &BTreeMap::new(), threads)
    }

    /// [`Program::run`] at sizes that the nest leaves open.
    ///
    /// # Errors
    /// As [`Program::run`], and sizes that are missing or too many.
    pub fn run_at(
        &self,
        inputs: &BTreeMap<Name, Tensor>,
        sizes: &BTreeMap<Name, i64>,
        threads: Option<usize>,
    ) -> Result<BTreeMap<Name, Tensor>> {
        let mut session = self.session_at(inputs, sizes, threads)?;
        session.launch()?;
        Ok(session.finish())
    }

    /// Binds the inputs once, to launch many times.
    ///
    /// # Errors
    /// Inputs that do not fit, or no memory.
    pub fn session<'a>(
        &'a self,
        inputs: &'a BTreeMap<Name, Tensor>,
        threads: Option<usize>,
    ) -> Result<Session<'a>> {
        self.session_at(inputs, &BTreeMap::new(), threads)
    }

    /// [`Program::session`] at sizes that the nest leaves open.
    ///
    /// # Errors
    /// As [`Program::session`], and sizes that are missing or too many.
    pub fn session_at<'a>(
        &'a self,
        inputs: &'a BTreeMap<Name, Tensor>,
        sizes: &BTreeMap<Name, i64>,
        threads: Option<usize>,
    ) -> Result<Session<'a>> {
        let pool = match threads {
            Some(n) => ThreadPool::with_threads(n)?,
            None => ThreadPool::new()?,
        };
        Ok(Session { launch: Launch::new(&*self.code, inputs, sizes)?, pool })
    }
}

/// A program with its arguments bound and its threads waiting.
pub struct Session<'a> {
    launch: Launch<'a>,
    pool: ThreadPool,
}

impl Session<'_> {
    /// Runs once.
    ///
    /// # Errors
    /// A failure of the code itself.
    pub fn launch(&mut self) -> Result<()> {
        self.launch.run(&self.pool)
    }

    /// Gives the arrays that are read and written their first contents back, for another launch.
    pub fn restore(&mut self) {
        self.launch.restore();
    }

    /// The outputs of the last launch.
    #[must_use]
    pub fn finish(self) -> BTreeMap<Name, Tensor> {
        self.launch.finish()
    }
}
