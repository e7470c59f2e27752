//! `run`, `emit` and `check` of a `.kernel` file: a kernel that a person wrote, verified before
//! anything is made of it.

use std::collections::BTreeMap;
use std::time::Instant;

use warploom::device::Executor;
use warploom::diag::{Blame, Diagnostic, Result};
use warploom::jit::Origin;
use warploom::{KernelFile, Name, Target, Tensor, compile, io};

use super::run::{Done, launched, milliseconds, output_files, report, split_files, store};
use crate::args::{CheckArgs, EmitArgs, RunArgs, SpecArgs, Stage};
use crate::output;

/// The kernel of a spec; options that say what a kernel's text says are refused.
fn read(spec: &SpecArgs) -> Result<KernelFile> {
    let typed = [("--dtype", &spec.dtype), ("--acc", &spec.acc), ("--out-dtype", &spec.out_dtype)];
    if let Some((option, _)) = typed.iter().find(|(_, value)| value.is_some()) {
        return Err(states_its_own(option, "types"));
    }
    KernelFile::read(&spec.spec)
}

fn states_its_own(option: &str, what: &str) -> Box<Diagnostic> {
    let text = format!("{option} is not for kernels, whose text states their {what}");
    Box::new(Diagnostic::input("E0539", text))
}

/// With the sizes of `--size` written into it.
pub(super) fn sized(spec: &SpecArgs) -> Result<KernelFile> {
    read(spec)?.bind(&warploom::parse_sizes(&spec.size)?)
}

pub(crate) fn check(args: &CheckArgs) -> Result<()> {
    if args.schedule.is_some() {
        return Err(states_its_own("--schedule", "order"));
    }
    let kernel = sized(&args.spec)?;
    kernel.seal()?;
    let (name, open) = (&kernel.kernel().name, kernel.kernel().params.join(", "));
    if args.spec.json {
        return output::json(&serde_json::json!({ "verified": true, "kernel": **name }));
    }
    let sizes = if open.is_empty() { String::new() } else { format!(" for all {open}") };
    output::print(&format!("verified: kernel {name}{sizes}\n"))
}

pub(crate) fn emit(args: &EmitArgs, target: Target) -> Result<()> {
    if args.schedule.is_some() {
        return Err(states_its_own("--schedule", "order"));
    }
    let kernel = sized(&args.spec)?;
    let sealed = kernel.seal()?;
    let text = match args.stage {
        Stage::Nest | Stage::Schedule => {
            let text = "a kernel is made of no nest and has no schedule";
            let help = "use --stage kernel, program, llvm, ptx, sass, resources or c";
            return Err(Box::new(Diagnostic::new("E0903", Blame::Input, text).help(help)));
        }
        Stage::Kernel => sealed.kernel().to_string(),
        Stage::Program => sealed.program().to_string(),
        Stage::Llvm => sealed.llvm(target)?,
        Stage::C => sealed.c(),
        Stage::Ptx => sealed.gpu(target)?.ptx,
        Stage::Resources => super::emit::resources(&sealed.gpu(target)?)?,
        Stage::Sass => compile::sass(&sealed.gpu(target)?)?,
    };
    output::print(&text)
}

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    if args.schedule.is_some() {
        return Err(states_its_own("--schedule", "order"));
    }
    let file = read(&args.spec)?;
    let targets = output_files(&file.outputs(), &args.output)?;
    let given = warploom::parse_sizes(&args.spec.size)?;
    file.bind(&given)?;
    let mut inputs = inputs(&file, &args.files)?;
    let sizes = file.sizes(&given, &inputs)?;
    // what is written into the code is no argument of it
    let (kernel, sizes) =
        if args.symbolic { (file, sizes) } else { (file.bind(&sizes)?, BTreeMap::new()) };
    kernel.fill_random(&sizes, &mut inputs, args.seed)?;
    let done = execute(args, &kernel, &sizes, &inputs)?;
    let verified =
        if args.verify { Some(kernel.compare(&sizes, &inputs, &done.outputs)?) } else { None };
    store(&targets, &done.outputs)?;
    report(args, &done, verified.as_ref())
}

/// The inputs that files give.
fn inputs(file: &KernelFile, files: &[String]) -> Result<BTreeMap<Name, Tensor>> {
    let (names, (positional, named)) = (file.inputs(), split_files(files));
    let all = names.join(", ");
    if positional.len() > names.len() {
        let text = format!("too many files: {} given, {} inputs", positional.len(), names.len());
        return Err(Box::new(
            Diagnostic::input("E0537", text).help(format!("the inputs are {all}")),
        ));
    }
    let positional = names.iter().cloned().zip(positional);
    let mut inputs = BTreeMap::new();
    for (name, path) in positional.chain(named) {
        if !names.contains(&name) {
            let text = format!("there is no array named `{name}` to fill");
            let d = Diagnostic::input("E0513", text).help(format!("the inputs are {all}"));
            return Err(Box::new(d));
        }
        inputs.insert(name, io::load(&path)?);
    }
    Ok(inputs)
}

/// Runs where it is asked for; without a word on a GPU if there is one, else on the CPU.
fn execute(
    args: &RunArgs,
    kernel: &KernelFile,
    sizes: &BTreeMap<Name, i64>,
    inputs: &BTreeMap<Name, Tensor>,
) -> Result<Done> {
    let started = Instant::now();
    let sealed = kernel.seal()?;
    if args.device.as_deref() == Some("interpreter") {
        let compile_ms = milliseconds(started);
        let started = Instant::now();
        let outputs = kernel.interpret(sizes, inputs)?;
        let device = "interpreter".to_owned();
        let (origin, run_ms) = (Origin::Compiled, milliseconds(started));
        return Ok(Done { device, outputs, origin, compile_ms, run_ms });
    }
    let executor = match &args.device {
        Some(name) => Executor::named(name)?,
        None => Executor::best()?,
    };
    if let Executor::Cuda(device) = executor {
        let code = sealed.gpu(device.target())?;
        return launched(&device, &code, started, inputs, sizes);
    }
    let program = sealed.host().map_err(|mut d| {
        if d.blame == Blame::Unsupported {
            d.help = Some("run it on a GPU, or with --device interpreter".to_owned());
        }
        d
    })?;
    let compile_ms = milliseconds(started);
    let started = Instant::now();
    let outputs = program.run_at(inputs, sizes, args.threads)?;
    let (device, origin, run_ms) = ("cpu".to_owned(), Origin::Compiled, milliseconds(started));
    Ok(Done { device, outputs, origin, compile_ms, run_ms })
}
