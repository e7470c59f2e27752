//! A comparison: contestants made, checked, raced, and a table of what came out.
//!
//! In: a problem, a device, contestants by kind. Out: results in the order in which they were asked
//! for. Keeps: no time counts before the result is checked; a contestant that is not there, does
//! not compute the problem or is wrong has a line with the reason, and the others go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use warploom::compile::{self, Program};
use warploom::device::{BoundProgram, Device, ForeignLaunch, time_launches};
use warploom::diag::{Diagnostic, Result};
use warploom::measure::{
    Comparison, Contestant, CpuTurns, GpuProblem, GpuTurns, Percentiles, Rounds, Winner,
};
use warploom::verify::Judge;
use warploom::{DType, KernelFile, Name, Schedule, Tensor};

use crate::arrays::Arrays;
use crate::gcc::{CArgument, CCode};
use crate::manifest::{Argument, Language, Manifest, Problem, Width, product};
use crate::{CublasLt, Numpy, cuda};

/// Algorithms of cublasLt that are measured, and what they may use beside the arrays, in bytes.
const CANDIDATES: usize = 8;
const WORKSPACE: usize = 64 << 20;

/// One that takes part.
pub enum Entry {
    /// A schedule of ours, under a name.
    Schedule(String, Box<Schedule>),
    /// The nest in the order of its text, as C through gcc.
    Gcc,
    /// NumPy's einsum.
    Numpy,
    /// The best of cublasLt's algorithms.
    CublasLt,
    /// A kernel that a person wrote.
    Manifest(Box<Manifest>),
}

impl Entry {
    /// What it is called in the table.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Schedule(name, _) => name,
            Self::Gcc => "gcc",
            Self::Numpy => "numpy",
            Self::CublasLt => "cublaslt",
            Self::Manifest(m) => &m.name,
        }
    }
}

/// What came out for one.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// What else is to say of it: versions, algorithms.
    pub detail: String,
    /// Its times, or why it has none.
    pub outcome: std::result::Result<Measured, Box<Diagnostic>>,
}

/// Times of a contestant whose result is right.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Seconds of its turns.
    pub seconds: Vec<f64>,
    /// Its largest error among the elements that were compared, and the bound there.
    pub error: f64,
    /// See `error`.
    pub bound: f64,
    /// What it was compared with.
    pub method: &'static str,
}

impl Measured {
    /// Percentiles of its seconds.
    #[must_use]
    pub fn times(&self) -> Percentiles {
        Percentiles::of(self.seconds.clone())
    }
}

/// A comparison's results.
#[derive(Clone, Debug)]
pub struct Compared {
    /// In the order of the entries.
    pub lines: Vec<Line>,
}

impl Compared {
    /// The line that others are compared with: the first that has times.
    #[must_use]
    pub fn base(&self) -> Option<&Measured> {
        self.lines.iter().find_map(|l| l.outcome.as_ref().ok())
    }

    /// How a line compares with the base: its time over the base's.
    #[must_use]
    pub fn against_base(&self, line: &Line) -> Option<Comparison> {
        let (base, own) = (self.base()?, line.outcome.as_ref().ok()?);
        Some(Comparison::of(&base.seconds, &own.seconds))
    }

    /// The name of the fastest, where it is faster than each of the others beyond doubt.
    #[must_use]
    pub fn winner(&self) -> Option<&str> {
        let of = |l: &Line| l.outcome.as_ref().ok().map(|m| m.seconds.clone());
        let timed: Vec<(&str, Vec<f64>)> =
            self.lines.iter().filter_map(|l| Some((l.name.as_str(), of(l)?))).collect();
        let median = |times: &Vec<f64>| Percentiles::of(times.clone()).median;
        let first = timed.iter().min_by(|a, b| median(&a.1).total_cmp(&median(&b.1)))?;
        let beats = |other: &Vec<f64>| Comparison::of(&first.1, other).winner() == Winner::First;
        let others = timed.iter().filter(|o| !std::ptr::eq(*o, first));
        let all = timed.len() > 1 && others.clone().all(|o| beats(&o.1));
        all.then_some(first.0)
    }
}

/// Compares on the CPU.
///
/// # Errors
/// `E0951` where no result can be checked; what stops a contestant in the middle of the race.
pub fn on_cpu(
    problem: &Problem<'_>,
    inputs: &BTreeMap<Name, Tensor>,
    entries: &[Entry],
    threads: Option<usize>,
    rounds: &Rounds,
) -> Result<Compared> {
    let programs: Vec<Option<Result<Program>>> = entries
        .iter()
        .map(|e| match e {
            Entry::Schedule(_, schedule) => Some(compile::compile(schedule)),
            Entry::Gcc | Entry::Numpy | Entry::CublasLt | Entry::Manifest(_) => None,
        })
        .collect();
    let mut judge = Judge::new(problem.nest, inputs);
    let (mut lines, mut racing) = (Vec::new(), Vec::new());
    for (entry, program) in entries.iter().zip(&programs) {
        let mut detail = String::new();
        let made: Result<(BTreeMap<Name, Tensor>, Turns<'_>)> = match (entry, program) {
            (Entry::Schedule(..), Some(Ok(program))) => {
                program.run(inputs, threads).and_then(|o| {
                    Ok((o, Box::new(CpuTurns::new(program, inputs, threads)?) as Turns<'_>))
                })
            }
            (Entry::Schedule(..), Some(Err(d))) => Err(d.clone()),
            (Entry::Gcc, _) => {
                detail = crate::gcc::version().unwrap_or_default();
                CCode::of_nest(problem.nest, inputs).and_then(checked)
            }
            (Entry::Numpy, _) => numpy(problem, inputs, &mut detail),
            (Entry::Manifest(m), _) => c_function(m, problem, inputs).and_then(checked),
            (Entry::CublasLt | Entry::Schedule(..), _) => Err(elsewhere(entry.name(), "a CPU")),
        };
        let judged = made.and_then(|(outputs, turns)| Ok((judge.check(&outputs)?, turns)));
        let outcome = judged.map(|(found, turns)| {
            racing.push((lines.len(), turns));
            let (error, bound, method) = (found.max_error, found.bound, found.method);
            Measured { seconds: Vec::new(), error, bound, method }
        });
        lines.push(Line { name: entry.name().to_owned(), detail, outcome });
    }
    race(&mut lines, &mut racing, rounds)?;
    Ok(Compared { lines })
}

/// A contestant of any kind.
type Turns<'a> = Box<dyn Contestant<Error = Box<Diagnostic>> + 'a>;

/// Races, and writes the times to the lines.
fn race(lines: &mut [Line], racing: &mut [(usize, Turns<'_>)], rounds: &Rounds) -> Result<()> {
    let mut all: Vec<&mut dyn Contestant<Error = Box<Diagnostic>>> = Vec::new();
    let mut places = Vec::new();
    for (place, turns) in racing.iter_mut() {
        places.push(*place);
        all.push(&mut **turns);
    }
    for (place, seconds) in places.into_iter().zip(rounds.measure(&mut all)?) {
        if let Ok(measured) = &mut lines[place].outcome {
            measured.seconds = seconds;
        }
    }
    Ok(())
}

/// A C function with its result.
fn checked<'a>(mut code: CCode) -> Result<(BTreeMap<Name, Tensor>, Turns<'a>)> {
    let outputs = code.results()?;
    Ok((outputs, Box::new(code)))
}

fn numpy<'a>(
    problem: &Problem<'_>,
    inputs: &BTreeMap<Name, Tensor>,
    detail: &mut String,
) -> Result<(BTreeMap<Name, Tensor>, Turns<'a>)> {
    let Some(spec) = problem.einsum else {
        return Err(Box::new(Diagnostic::input("E0973", "NumPy is asked for einsums only")));
    };
    let mut numpy = Numpy::of(spec, problem.nest, inputs)?;
    detail.clone_from(&numpy.version);
    let outputs = numpy.results(problem.nest)?;
    Ok((outputs, Box::new(numpy)))
}

/// A manifest's function in C.
fn c_function(
    manifest: &Manifest,
    problem: &Problem<'_>,
    inputs: &BTreeMap<Name, Tensor>,
) -> Result<CCode> {
    if !manifest.language.on_cpu() {
        return Err(elsewhere(&manifest.name, "a CPU"));
    }
    let launch = manifest.launch(problem)?;
    let text = std::fs::read_to_string(&manifest.file).map_err(|e| {
        let text = format!("cannot read {}: {e}", manifest.file.display());
        Box::new(Diagnostic::input("E0972", text))
    })?;
    let arguments = launch.arguments.into_iter().map(|a| match a {
        Argument::Array(name) => CArgument::Array(name),
        Argument::Size(value, Width::I32) => CArgument::Size(value, "int"),
        Argument::Size(value, Width::I64) => CArgument::Size(value, "long long"),
    });
    let arrays = Arrays::of_nest(problem.nest, inputs)?;
    CCode::compile(&text, &manifest.entry, arguments.collect(), arrays, &manifest.flags)
}

fn elsewhere(name: &str, place: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::input("E0973", format!("`{name}` does not run on {place}")))
}

/// What a GPU launches, once for each set of arrays.
enum Launches {
    Ours(Vec<BoundProgram>),
    Foreign(Vec<ForeignLaunch>),
}

impl Launches {
    fn run(&self) -> Result<()> {
        match self {
            Self::Ours(bound) => bound[0].launch()?.wait(),
            Self::Foreign(launches) => launches[0].launch()?.wait(),
        }
    }

    fn turns<'a>(&'a self, arrays: &'a GpuProblem<'_>) -> Turns<'a> {
        match self {
            Self::Ours(bound) => Box::new(GpuTurns::ours(arrays, bound)),
            Self::Foreign(launches) => Box::new(GpuTurns::foreign(arrays, launches)),
        }
    }
}

/// Compares on a GPU.
///
/// # Errors
/// As [`on_cpu`], and a failure of the device.
pub fn on_gpu(
    device: &Device,
    problem: &Problem<'_>,
    inputs: &BTreeMap<Name, Tensor>,
    entries: &[Entry],
    rounds: &Rounds,
) -> Result<Compared> {
    let arrays = GpuProblem::new(device, problem.nest, inputs)?;
    let mut judge = Judge::new(problem.nest, inputs);
    let (mut lines, mut ready) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut detail = String::new();
        let made = on_device(entry, problem, &arrays, &mut detail).and_then(|launches| {
            arrays.prepare()?;
            launches.run()?;
            Ok((judge.check(&arrays.results()?)?, launches))
        });
        let outcome = made.map(|(found, launches)| {
            ready.push((lines.len(), launches));
            let (error, bound, method) = (found.max_error, found.bound, found.method);
            Measured { seconds: Vec::new(), error, bound, method }
        });
        lines.push(Line { name: entry.name().to_owned(), detail, outcome });
    }
    let mut racing: Vec<(usize, Turns<'_>)> =
        ready.iter().map(|(place, launches)| (*place, launches.turns(&arrays))).collect();
    race(&mut lines, &mut racing, rounds)?;
    Ok(Compared { lines })
}

fn on_device(
    entry: &Entry,
    problem: &Problem<'_>,
    arrays: &GpuProblem<'_>,
    detail: &mut String,
) -> Result<Launches> {
    let device = arrays.device();
    match entry {
        Entry::Schedule(_, schedule) => {
            let code = compile::lower(schedule)?.gpu(device.target())?;
            bind_all(device, &code, arrays, &BTreeMap::new(), &BTreeMap::new())
        }
        Entry::CublasLt => cublaslt(problem, arrays, detail),
        Entry::Manifest(m) if m.language == Language::Kernel => {
            let launch = m.launch(problem)?;
            let kernel = KernelFile::read(&m.file.display().to_string())?;
            let mut sizes = BTreeMap::new();
            for param in &kernel.kernel().params {
                let size = launch.sizes.iter().find(|(n, _)| n.eq_ignore_ascii_case(param));
                sizes.extend(size.map(|(_, value)| (param.clone(), *value)));
            }
            let code = kernel.seal()?.gpu(device.target())?;
            // its arrays are the problem's, in order
            let own = [kernel.inputs(), kernel.outputs()].concat();
            let theirs = [warploom::inputs(problem.nest), warploom::outputs(problem.nest)].concat();
            bind_all(device, &code, arrays, &sizes, &own.into_iter().zip(theirs).collect())
        }
        Entry::Manifest(m) => cuda::launches(m, problem, arrays).map(Launches::Foreign),
        Entry::Gcc | Entry::Numpy => Err(elsewhere(entry.name(), "a GPU")),
    }
}

/// Binds a program to each set of arrays; `names` has the array of each of the program's own, where
/// they are called otherwise.
fn bind_all(
    device: &Device,
    code: &compile::GpuCode,
    arrays: &GpuProblem<'_>,
    sizes: &BTreeMap<Name, i64>,
    names: &BTreeMap<Name, Name>,
) -> Result<Launches> {
    let program = device.load(code)?;
    let bound = arrays.sets().iter().map(|set| {
        if names.is_empty() {
            return program.bind(set, sizes);
        }
        let of = |(own, theirs): (&Name, &Name)| Some((own.clone(), set.get(theirs)?.clone()));
        program.bind(&names.iter().filter_map(of).collect(), sizes)
    });
    Ok(Launches::Ours(bound.collect::<Result<_>>()?))
}

/// The fastest of the algorithms that cublasLt proposes and that run.
fn cublaslt(
    problem: &Problem<'_>,
    arrays: &GpuProblem<'_>,
    detail: &mut String,
) -> Result<Launches> {
    let product = product(problem).ok_or_else(|| {
        let text = "cublasLt is asked for products of two matrices only";
        Box::new(Diagnostic::input("E0973", text))
    })?;
    let device = arrays.device();
    let lt = CublasLt::open(device)?;
    let workspace = device.buffer(DType::U8, &[WORKSPACE])?;
    let plan = lt.plan(&product, &workspace, CANDIDATES)?;
    let names = [warploom::inputs(problem.nest), warploom::outputs(problem.nest)].concat();
    let mut best: Option<(Duration, usize, Vec<ForeignLaunch>)> = None;
    for candidate in 0..plan.candidates() {
        let mut all = Vec::new();
        for set in arrays.sets() {
            let of = |k: usize| names.get(k).and_then(|n| set.get(n));
            if let (Some(a), Some(b), Some(c)) = (of(0), of(1), of(2)) {
                all.push(Arc::clone(&plan).on(candidate, [a, b, c])?);
            }
        }
        let Ok(time) = time_launches(&all, 3, 9) else { continue };
        if !all.is_empty() && best.as_ref().is_none_or(|b| time.median < b.0) {
            best = Some((time.median, candidate, all));
        }
    }
    let (_, chosen, launches) = best.ok_or_else(|| {
        Box::new(Diagnostic::input("E1121", "no algorithm of cublasLt runs this product"))
    })?;
    *detail = format!("{}, algorithm {} of {}", lt.version(), chosen + 1, plan.candidates());
    Ok(Launches::Foreign(launches))
}
