//! `gpu-launch`: from the text of an einsum to a kernel that was launched, cold, warm and hot.
//!
//! Cold: the first thing a new process does once the driver's context is up; stages up to PTX, then
//! the driver's own assembly (`load`), checking of arguments (`bind`), the first launch's call.
//! Warm: the same in a new process that finds the code of an earlier one in a folder, and what the
//! driver made of it in the driver's own cache.
//! Hot: the host's time of a call that launches a bound program, without waiting for its end, over
//! [`BATCH`] calls in a row: `hot launch` lets each handle go but the last, `hot held` holds each
//! until the next launch, so that each has an end of its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use warploom::device::{BoundProgram, Device};
use warploom::{DType, Name, Sizes};

use crate::compile_time::{Stages, milliseconds, to_code, to_warm_code};
use crate::record::{COLUMNS, Machine};
use warploom::measure::Percentiles;

/// The command that measures once.
pub(crate) const ONCE: &str = "gpu-launch-once";

/// Processes of each case.
const PROCESSES: usize = 5;

/// Calls in a row, fewer than the driver's queue holds, and how often.
const BATCH: u32 = 50;
const BATCHES: usize = 12;

/// Einsums with the type and the size of every label.
const CASES: [(&str, DType, usize); 3] = [
    ("ij->ij", DType::F32, 1024),
    ("mk,kn->mn", DType::Bf16, 256),
    ("mk,kn->mn", DType::Bf16, 4096),
];

/// Measures once and prints `[[stage, ms]…]` and the hot calls' milliseconds as JSON.
pub(crate) fn once(
    spec: &str,
    dtype: &str,
    size: &str,
    folder: Option<&str>,
) -> Result<(), Box<dyn Error>> {
    let (dtype, size) = (dtype.parse()?, size.parse()?);
    let device = Device::open(0)?;
    let begun = Instant::now();
    let (nest, code, mut stages) = if let Some(folder) = folder {
        to_warm_code(folder, device.target(), spec, dtype, size)?
    } else {
        to_code(device.target(), spec, dtype, size)?
    };
    stages.push(("to PTX", begun.elapsed().as_secs_f64() * 1e3));
    let started = Instant::now();
    let program = device.load(&code)?;
    stages.push(milliseconds(&("load", started.elapsed())));
    // arrays are the caller's: not a part of it
    let paused = Instant::now();
    let mut arrays = BTreeMap::new();
    for array in &nest.arrays {
        let taken = warploom::inputs(&nest).contains(&array.name)
            || warploom::outputs(&nest).contains(&array.name);
        if taken {
            let shape = super::problem::extents(&nest, &array.name)?;
            arrays.insert(Name::clone(&array.name), device.buffer(array.dtype, &shape)?);
        }
    }
    let paused = paused.elapsed();
    let started = Instant::now();
    let bound = program.bind(&arrays, &Sizes::new())?;
    stages.push(milliseconds(&("bind", started.elapsed())));
    let started = Instant::now();
    let handle = bound.launch()?;
    stages.push(milliseconds(&("launch", started.elapsed())));
    stages.push(milliseconds(&("total", begun.elapsed().saturating_sub(paused))));
    handle.wait()?;
    let hot = [hot(&bound, false)?, hot(&bound, true)?];
    println!("{}", serde_json::to_string(&(stages, hot))?);
    Ok(())
}

/// Milliseconds of a call, for each batch, with each handle let go or held until the next call.
fn hot(bound: &BoundProgram, held: bool) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..=BATCHES {
        let begun = Instant::now();
        let mut last = None;
        for _ in 1..BATCH {
            last = Some(bound.launch()?).filter(|_| held);
        }
        drop(last.replace(bound.launch()?));
        let time: Duration = begun.elapsed() / BATCH;
        times.push(time.as_secs_f64() * 1e3);
        if let Some(last) = last {
            last.wait()?;
        }
    }
    Ok(times.split_off(1)) // the first batch warms up
}

/// Prints the median of each stage of each case, and of the hot calls.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    println!("spec,dtype,size,processes,stage,us,p10,p90,{COLUMNS}");
    let (machine, program) = (Machine::look(), std::env::current_exe()?);
    for (spec, dtype, size) in CASES {
        let mut times: Vec<(String, Vec<f64>)> = Vec::new();
        let folder = tempfile::tempdir()?;
        let words = [spec, dtype.name(), &size.to_string()].map(str::to_owned);
        for process in 0..=2 * PROCESSES {
            let mut command = Command::new(&program);
            command.arg(ONCE).args(&words);
            let warm = process >= PROCESSES;
            if warm {
                command.arg(folder.path());
            }
            let output = command.output()?;
            let (stages, hot): (Stages<String>, [Vec<f64>; 2]) =
                serde_json::from_slice(&output.stdout)
                    .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))?;
            if process == PROCESSES {
                continue; // it fills the folder
            }
            let named = |(name, all): (&str, Vec<f64>)| {
                all.into_iter().map(|ms| (name.to_owned(), ms)).collect::<Stages<String>>()
            };
            let hot = ["hot launch", "hot held"].into_iter().zip(hot).flat_map(named);
            for (name, ms) in stages.into_iter().chain(hot) {
                let name = if warm { format!("warm: {name}") } else { name };
                match times.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, list)) => list.push(ms),
                    None => times.push((name, vec![ms])),
                }
            }
        }
        for (name, ms) in times {
            let time = Percentiles::of(ms).scaled(1e3);
            let (columns, place) = (time.columns(), machine.columns());
            println!("\"{spec}\",{dtype},{size},{PROCESSES},{name},{columns},{place}");
            if ["to PTX", "load", "total", "hot launch", "hot held", "warm: total"]
                .contains(&name.as_str())
            {
                eprintln!("launch {spec} {dtype} {size}: {name} {:.1} us", time.median);
            }
        }
    }
    Ok(())
}
