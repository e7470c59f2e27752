//! `run`: binds inputs, compiles, runs, verifies, stores or shows the outputs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use warploom::compile::GpuCode;
use warploom::device::{Device, Executor};
use warploom::diag::{Blame, Diagnostic, Result};
use warploom::jit::{Made, Origin};
use warploom::{DType, KernelFile, Name, Nest, Spec, Target, Tensor, io, verify};

use super::kernel;
use crate::args::RunArgs;
use crate::{load, output};

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    if KernelFile::is_named(&args.spec.spec) {
        return kernel::run(args);
    }
    let named = args.device.as_deref().map(Executor::named).transpose()?;
    let problem = problem(args)?;
    let nest = &problem.nest;
    let targets = output_files(&warploom::outputs(nest), &args.output)?;
    let done = match named {
        Some(Executor::Cpu) => on_cpu(args, &problem)?,
        Some(Executor::Cuda(device)) => on_cuda(&device, args, &problem)?,
        None => anywhere(args, &problem)?,
    };
    let (inputs, outputs) = (&problem.inputs, &done.outputs);
    let verified = if args.verify { Some(verify::check(nest, inputs, outputs)?) } else { None };
    store(&targets, outputs)?;
    report(args, &done, verified.as_ref())
}

/// Writes outputs to their files.
pub(super) fn store(targets: &[(Name, PathBuf)], outputs: &BTreeMap<Name, Tensor>) -> Result<()> {
    for (name, path) in targets {
        if let Some(tensor) = outputs.get(name) {
            io::save(path, &[(&**name, tensor)])?;
        }
    }
    Ok(())
}

/// What a run gave.
pub(super) struct Done {
    pub(super) device: String,
    pub(super) outputs: BTreeMap<Name, Tensor>,
    /// Where the code came from.
    pub(super) origin: Origin,
    pub(super) compile_ms: f64,
    pub(super) run_ms: f64,
}

/// On the GPU if there is one and it has code for all of the problem, else on the CPU. A script
/// that maps no loop to a GPU was written for the CPU.
fn anywhere(args: &RunArgs, problem: &Problem) -> Result<Done> {
    let Executor::Cuda(device) = Executor::best()? else { return on_cpu(args, problem) };
    let started = Instant::now();
    let made = gpu_code(&device, args, problem);
    let for_cpu = match &made {
        Err(d) => d.blame == Blame::Unsupported,
        Ok(made) => args.schedule.is_some() && !made.code.kernel.is_mapped(),
    };
    if for_cpu {
        return on_cpu(args, problem);
    }
    match gpu_run(&device, &made?, started, problem) {
        Err(d) if d.blame == Blame::Unsupported => on_cpu(args, problem),
        other => other,
    }
}

fn on_cpu(args: &RunArgs, problem: &Problem) -> Result<Done> {
    let target = target(args, Target::Cpu)?;
    if target != Target::Cpu {
        let text = format!("code for {target} does not run on the CPU");
        let help = "leave out `--target`, or name a GPU with `--device`";
        return Err(Box::new(Diagnostic::input("E0907", text).help(help)));
    }
    let started = Instant::now();
    let script = args.schedule.as_deref().map(load::script).transpose()?;
    let jit = load::jit(&args.records, &args.cache);
    let made = told(jit.host(&problem.code, script.as_ref())?);
    let compile_ms = milliseconds(started);
    let started = Instant::now();
    let outputs = made.code.run_at(&problem.inputs, &problem.sizes, args.threads)?;
    let (device, origin, run_ms) = ("cpu".to_owned(), made.origin, milliseconds(started));
    Ok(Done { device, outputs, origin, compile_ms, run_ms })
}

/// Code, when its notes have been said.
fn told<C>(made: Made<C>) -> Made<C> {
    made.notes.iter().for_each(|note| output::error(note));
    made
}

/// What code is made for: what the command line says, else a device's best.
fn target(args: &RunArgs, best: Target) -> Result<Target> {
    args.target.as_ref().map_or(Ok(best), |text| text.parse())
}

fn on_cuda(device: &Device, args: &RunArgs, problem: &Problem) -> Result<Done> {
    let started = Instant::now();
    let made = gpu_code(device, args, problem)?;
    gpu_run(device, &made, started, problem)
}

fn gpu_run(
    device: &Device,
    made: &Made<Arc<GpuCode>>,
    started: Instant,
    problem: &Problem,
) -> Result<Done> {
    let done = launched(device, &made.code, started, &problem.inputs, &problem.sizes)?;
    Ok(Done { origin: made.origin, ..done })
}

fn gpu_code(device: &Device, args: &RunArgs, problem: &Problem) -> Result<Made<Arc<GpuCode>>> {
    let target = target(args, device.target())?;
    let script = args.schedule.as_deref().map(load::script).transpose()?;
    let jit = load::jit(&args.records, &args.cache);
    Ok(told(jit.gpu(&problem.code, script.as_ref(), target)?))
}

/// Loads code that was begun to be made at `started`, and runs it once. The time of the run is from
/// the launch to its end, without the copies.
pub(super) fn launched(
    device: &Device,
    code: &GpuCode,
    started: Instant,
    inputs: &BTreeMap<Name, Tensor>,
    sizes: &BTreeMap<Name, i64>,
) -> Result<Done> {
    let program = device.load(code)?;
    let compile_ms = milliseconds(started);
    let arrays = program.arrays(inputs, sizes)?;
    let bound = program.bind(&arrays, sizes)?;
    let started = Instant::now();
    bound.launch()?.wait()?;
    let run_ms = milliseconds(started);
    let device = format!("cuda:{}", device.info().ordinal);
    let outputs = program.written(&arrays)?;
    Ok(Done { device, outputs, origin: Origin::Compiled, compile_ms, run_ms })
}

pub(super) fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

/// What is computed, and from what.
struct Problem {
    /// With all its sizes.
    nest: Nest,
    /// What code is made for: the same, or for all sizes.
    code: Nest,
    /// The sizes that the code is not made for.
    sizes: BTreeMap<Name, i64>,
    inputs: BTreeMap<Name, Tensor>,
}

/// The nest and all its inputs.
fn problem(args: &RunArgs) -> Result<Problem> {
    let (spec, mut types) = load::spec(&args.spec)?;
    let (positional, named) = split_files(&args.files);
    check_count(&spec, positional.len())?;
    let mut given: Vec<Tensor> = Vec::new();
    for file in &positional {
        given.push(io::load(file)?);
    }
    types.operands = given.iter().map(|t| (t.dtype(), Some(t.shape().to_vec()))).collect();
    let nest = spec.nest(&types)?;
    let names = warploom::inputs(&nest);
    let mut inputs: BTreeMap<Name, Tensor> = names.iter().cloned().zip(given).collect();
    for (name, file) in named {
        if !names.contains(&name) {
            return Err(Box::new(
                Diagnostic::input("E0513", format!("there is no array named `{name}` to fill"))
                    .help(format!("the inputs are {}", names.join(", "))),
            ));
        }
        inputs.insert(name, io::load(&file)?);
    }
    for array in nest.arrays.iter().filter(|a| a.dtype == DType::Ue4m3) {
        if let Some(tensor) = inputs.get_mut(&array.name).filter(|t| t.dtype() == DType::E4m3) {
            *tensor = io::safetensors::unsigned(tensor)?;
        }
    }
    let shapes = inputs.iter().map(|(n, t)| (n.clone(), t.shape().to_vec())).collect();
    let open = nest;
    let nest = warploom::bind(&open, &remaining(&spec, &types), &shapes)?;
    warploom::fill_random(&nest, &mut inputs, args.seed)?;
    let mut sizes = BTreeMap::new();
    if args.symbolic {
        let left = open.params.iter().filter(|p| p.value.is_none());
        let of = |name: &Name| nest.params.iter().find(|p| p.name == *name)?.value;
        sizes.extend(left.filter_map(|p| Some((p.name.clone(), of(&p.name)?))));
    }
    let code = if args.symbolic { open } else { nest.clone() };
    Ok(Problem { nest, code, sizes, inputs })
}

/// Refuses more files than inputs before any is read.
fn check_count(spec: &Spec, files: usize) -> Result<()> {
    let inputs = spec.n_inputs()?;
    if files <= inputs {
        return Ok(());
    }
    let message = format!("too many files: {files} given, {inputs} inputs");
    let help = "give one file per input, and the file of an output with -o";
    Err(Box::new(Diagnostic::input("E0537", message).help(help)))
}

fn remaining(spec: &Spec, types: &warploom::SpecTypes) -> warploom::Sizes {
    spec.remaining_sizes(types)
}

/// Positional files and `NAME=FILE` pairs.
pub(super) fn split_files(files: &[String]) -> (Vec<String>, Vec<(Name, String)>) {
    let (mut positional, mut named) = (Vec::new(), Vec::new());
    for file in files {
        match file.split_once('=') {
            Some((name, path)) if !Path::new(file).exists() => {
                named.push((Name::from(name), path.to_owned()));
            }
            Some(_) | None => positional.push(file.clone()),
        }
    }
    (positional, named)
}

/// Which output goes to which file.
pub(super) fn output_files(names: &[Name], files: &[String]) -> Result<Vec<(Name, PathBuf)>> {
    let (positional, named) = split_files(files);
    if positional.len() > names.len() {
        return Err(Box::new(
            Diagnostic::input("E0537", "more output files than outputs")
                .help(format!("the outputs are {}", names.join(", "))),
        ));
    }
    let mut out: Vec<(Name, PathBuf)> =
        names.iter().cloned().zip(positional.into_iter().map(PathBuf::from)).collect();
    for (name, path) in named {
        if !names.contains(&name) {
            return Err(Box::new(
                Diagnostic::input("E0538", format!("there is no output named `{name}`"))
                    .help(format!("the outputs are {}", names.join(", "))),
            ));
        }
        out.push((name, PathBuf::from(path)));
    }
    Ok(out)
}

pub(super) fn report(
    args: &RunArgs,
    done: &Done,
    verified: Option<&verify::Verification>,
) -> Result<()> {
    let Done { device, outputs, origin, compile_ms, run_ms } = done;
    let origin = origin.name();
    if args.spec.json {
        let shown: Vec<serde_json::Value> = outputs
            .iter()
            .map(|(n, t)| {
                serde_json::json!({ "name": &**n, "dtype": t.dtype().name(), "shape": t.shape() })
            })
            .collect();
        let checked = verified.map(|v| {
            serde_json::json!({
                "method": v.method, "elements": v.elements,
                "max_error": v.max_error, "bound": v.bound, "unbounded": v.unbounded,
            })
        });
        return output::json(&serde_json::json!({
            "device": device, "code": origin, "compile_ms": compile_ms, "run_ms": run_ms,
            "outputs": shown, "verified": checked,
        }));
    }
    let mut text = String::new();
    for (name, tensor) in outputs {
        let _ =
            writeln!(text, "{name}: {}{:?} = {}", tensor.dtype(), tensor.shape(), preview(tensor));
    }
    let _ = writeln!(text, "{device}: {origin} in {compile_ms:.1} ms, ran in {run_ms:.3} ms");
    if let Some(v) = verified {
        let _ = writeln!(
            text,
            "verified {} elements against {}: largest error {:.3e}, bound there {:.3e}",
            v.elements, v.method, v.max_error, v.bound
        );
        if v.unbounded > 0 {
            let _ = writeln!(
                text,
                "{} of them were not judged: the error analysis gives them no finite bound",
                v.unbounded
            );
        }
    }
    output::print(&text)
}

/// The first few elements.
fn preview(tensor: &Tensor) -> String {
    const SHOWN: usize = 6;
    let items: Vec<String> =
        (0..tensor.len().min(SHOWN)).map(|i| tensor.get_flat(i).to_string()).collect();
    let more = if tensor.len() > SHOWN { ", …" } else { "" };
    format!("[{}{more}]", items.join(", "))
}
