//! Time from the text of an einsum to callable host code or to PTX, cold and warm: every
//! measurement is the first thing that a new process does; warm, an earlier one left its code in a
//! folder.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use warploom::cache::Cache;
use warploom::compile::{GpuCode, Lowered};
use warploom::jit::Jit;
use warploom::{DType, Nest, Spec, SpecTypes, Target, compile};

use crate::record::{HOST, host};
use warploom::measure::Percentiles;

/// The command that measures once.
pub(crate) const ONCE: &str = "compile-once";

/// Processes measured per einsum.
const RUNS: usize = 21;

/// Einsums, and the size of every label.
const CASES: &[&str] =
    &["ij->ij", "ij->ji", "ij->i", "mk,kn->mn", "bmk,bkn->bmn", "dabfe,fc->edcba"];
const SIZE: usize = 256;

/// Stages with their milliseconds.
pub(crate) type Stages<T> = Vec<(T, f64)>;

/// A nest and its PTX, with what each stage took.
type Made = (Nest, Arc<GpuCode>, Stages<&'static str>);

pub(crate) fn milliseconds<T: Clone>((name, time): &(T, Duration)) -> (T, f64) {
    (name.clone(), time.as_secs_f64() * 1e3)
}

/// The nest of an einsum, every label of one size.
fn nest(spec: &str, dtype: DType, size: usize) -> Result<Nest, Box<dyn Error>> {
    let rank = |term: &str| vec![size; term.len()];
    let inputs = spec.split("->").next().unwrap_or(spec);
    let operands = inputs.split(',').map(|t| (dtype, Some(rank(t)))).collect();
    let types = SpecTypes { operands, ..SpecTypes::default() };
    Ok(warploom::bind(&Spec::read(spec)?.nest(&types)?, &BTreeMap::new(), &BTreeMap::new())?)
}

/// The nest of an einsum, and its kernel by the automatic schedule.
fn lowered(
    target: Target,
    spec: &str,
    dtype: DType,
    size: usize,
) -> Result<(Nest, Lowered, Stages<&'static str>), Box<dyn Error>> {
    let mut stages = Vec::new();
    let mut last = Instant::now();
    let mut lap = |name: &'static str| {
        stages.push(milliseconds(&(name, last.elapsed())));
        last = Instant::now();
    };
    let nest = nest(spec, dtype, size)?;
    lap("read");
    compile::check_nest(&nest)?;
    lap("check");
    let (_, lowered) = compile::automatic(&nest, target)?;
    Ok((nest, lowered, stages))
}

/// As [`to_code`], with a folder of code that was compiled before: one stage.
pub(crate) fn to_warm_code(
    folder: &str,
    target: Target,
    spec: &str,
    dtype: DType,
    size: usize,
) -> Result<Made, Box<dyn Error>> {
    let started = Instant::now();
    let nest = nest(spec, dtype, size)?;
    let made = Jit::new().with_cache(Some(Cache::new(folder))).gpu(&nest, None, target)?;
    let stages = vec![milliseconds(&("warm", started.elapsed()))];
    Ok((nest, made.code, stages))
}

/// The nest and the PTX of an einsum, with what each stage took.
pub(crate) fn to_code(
    target: Target,
    spec: &str,
    dtype: DType,
    size: usize,
) -> Result<Made, Box<dyn Error>> {
    let (nest, lowered, mut stages) = lowered(target, spec, dtype, size)?;
    stages.extend(lowered.stages().iter().map(milliseconds));
    let started = Instant::now();
    let code = lowered.gpu(target)?;
    stages.push(milliseconds(&("code", started.elapsed())));
    Ok((nest, Arc::new(code), stages))
}

/// Compiles once and prints the milliseconds of each stage as JSON; with a folder, as a stage the
/// time with what earlier processes left there.
pub(crate) fn once(target: Target, spec: &str, folder: Option<&str>) -> Result<(), Box<dyn Error>> {
    let stages = match (folder, target.gpu()) {
        (Some(folder), None) => {
            let started = Instant::now();
            let nest = nest(spec, DType::F32, SIZE)?;
            Jit::new().with_cache(Some(Cache::new(folder))).host(&nest, None)?;
            vec![milliseconds(&("warm", started.elapsed()))]
        }
        (Some(folder), Some(_gpu)) => to_warm_code(folder, target, spec, DType::F32, SIZE)?.2,
        (None, None) => {
            let (_, lowered, mut stages) = lowered(target, spec, DType::F32, SIZE)?;
            stages.extend(lowered.host()?.stages().iter().map(milliseconds));
            stages
        }
        (None, Some(_gpu)) => to_code(target, spec, DType::F32, SIZE)?.2,
    };
    println!("{}", serde_json::to_string(&stages)?);
    Ok(())
}

/// Prints the median of each stage for each einsum.
pub(crate) fn run(target: Target) -> Result<(), Box<dyn Error>> {
    println!("spec,target,processes,stage,ms,p10,p90,{HOST}");
    let place = host();
    let target = target.to_string();
    let program = std::env::current_exe()?;
    for spec in CASES {
        let mut times: BTreeMap<usize, (String, Vec<f64>)> = BTreeMap::new();
        let mut totals = Vec::new();
        for _ in 0..RUNS {
            let output = Command::new(&program).args([ONCE, &target, spec]).output()?;
            let stages: Stages<String> = serde_json::from_slice(&output.stdout)?;
            totals.push(stages.iter().map(|(_, t)| t).sum());
            for (k, (name, ms)) in stages.into_iter().enumerate() {
                times.entry(k).or_insert_with(|| (name, Vec::new())).1.push(ms);
            }
        }
        let folder = tempfile::tempdir()?;
        let mut warm = Vec::new();
        for _ in 0..=RUNS {
            let words = [ONCE.as_ref(), target.as_ref(), spec.as_ref(), folder.path().as_os_str()];
            let output = Command::new(&program).args(words).output()?;
            let stages: Stages<String> = serde_json::from_slice(&output.stdout)?;
            warm.extend(stages.into_iter().map(|(_, ms)| ms));
        }
        // the first process fills the folder
        times.insert(usize::MAX - 1, ("warm".to_owned(), warm.split_off(1)));
        times.insert(usize::MAX, ("total".to_owned(), totals));
        for (name, ms) in times.into_values() {
            let Percentiles { p10, median, p90 } = Percentiles::of(ms);
            println!("\"{spec}\",{target},{RUNS},{name},{median:.2},{p10:.2},{p90:.2},{place}");
        }
    }
    Ok(())
}
