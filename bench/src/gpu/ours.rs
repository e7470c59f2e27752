//! Warploom as a contestant: the automatic schedule on the first GPU, in a process of its own.
//!
//! The process (`serve`) answers lines. A line of JSON, `{"nest", "inputs": {name: file}, "sets"}`,
//! sets a problem up on that many sets of buffers and is answered with the milliseconds from the
//! text to loaded code; `turn W` and `save FOLDER` (each output NAME to FOLDER/NAME.bin) are as in
//! bench/handwritten/polybench/peer.cuh. Several sets take turns, so that no launch meets the
//! arrays of the one before in the cache, and are never restored; a single set has its arrays
//! restored and the cache emptied before every run. An answer `error: …` says why there is none.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use warploom::device::{BoundProgram, Device, DeviceBuffer, LoadedProgram, time_launches};
use warploom::{DType, Name, Nest, Tensor, compile, outputs};

use super::problem::{self, Problem};
use warploom::measure::Contestant;
use warploom_contest::Process;

/// The command that makes a process of this program the contestant.
pub(crate) const CONTESTANT: &str = "gpu-contestant";

/// What is written to empty the cache, in bytes: several times the largest.
const SCRATCH: usize = 256 << 20;

/// The contestant as those see it who ask it.
pub(crate) struct Ours {
    process: Process,
    /// The longest that an answer may take.
    limit: Duration,
}

impl Ours {
    /// Starts its process.
    pub(crate) fn start(limit: Duration) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        Ok(Self { process: Process::start(command.arg(CONTESTANT), "Warploom")?, limit })
    }

    /// Sets a problem up; the milliseconds of compiling it.
    pub(crate) fn prepare(
        &mut self,
        problem: &Problem,
        sets: usize,
    ) -> Result<f64, Box<dyn Error>> {
        let inputs: BTreeMap<&str, &PathBuf> =
            problem.files.iter().map(|(name, file)| (&**name, file)).collect();
        let nest = problem.nest.to_string();
        let line = serde_json::json!({ "nest": nest, "inputs": inputs, "sets": sets });
        Ok(self.process.ask_within(&line.to_string(), self.limit)?.parse()?)
    }

    /// Runs once and writes the outputs into a folder.
    pub(crate) fn save(&mut self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let line = format!("save {}", folder.display());
        self.process.ask_within(&line, self.limit).map(drop)
    }
}

impl Contestant for Ours {
    type Error = Box<dyn Error>;

    fn turn(&mut self, warm: usize) -> Result<f64, Box<dyn Error>> {
        Ok(self.process.ask_within(&format!("turn {warm}"), self.limit)?.parse()?)
    }
}

/// A problem on the device.
struct Session {
    nest: Nest,
    inputs: BTreeMap<Name, Tensor>,
    program: LoadedProgram,
    sets: Vec<BTreeMap<Name, DeviceBuffer>>,
    bound: Vec<BoundProgram>,
    scratch: DeviceBuffer,
    compile_ms: f64,
}

/// The process: answers every line of standard input.
pub(crate) fn serve() -> Result<(), Box<dyn Error>> {
    let device = Device::open(0);
    let mut session = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match &device {
            Ok(device) => answer(device, &mut session, &line),
            Err(e) => Err(e.to_string().into()),
        };
        match answer {
            Ok(text) => println!("{text}"),
            Err(e) => println!("error: {}", e.to_string().lines().next().unwrap_or("unknown")),
        }
    }
    Ok(())
}

fn answer(
    device: &Device,
    session: &mut Option<Session>,
    line: &str,
) -> Result<String, Box<dyn Error>> {
    if line.starts_with('{') {
        *session = None; // its memory is free before the next problem takes any
        let made = session.insert(Session::new(device, line)?);
        return Ok(format!("{:.3}", made.compile_ms));
    }
    let session = session.as_ref().ok_or("there is no problem yet")?;
    match line.split_once(' ') {
        Some(("turn", warm)) => Ok(format!("{:e}", session.turn(warm.trim().parse()?)?)),
        Some(("save", folder)) => session.save(Path::new(folder)).map(|()| "saved".to_owned()),
        Some(_) | None => Err(format!("what is `{line}`?").into()),
    }
}

impl Session {
    fn new(device: &Device, line: &str) -> Result<Self, Box<dyn Error>> {
        let wanted: serde_json::Value = serde_json::from_str(line)?;
        let started = Instant::now();
        let nest: Nest = wanted["nest"].as_str().ok_or("no nest")?.parse()?;
        let schedule = compile::auto_for(&nest, device.target())?;
        let code = compile::lower(&schedule)?.gpu(device.target())?;
        let program = device.load(&code)?;
        let compile_ms = started.elapsed().as_secs_f64() * 1e3;
        let mut inputs = BTreeMap::new();
        for (name, file) in wanted["inputs"].as_object().ok_or("no inputs")? {
            let name = Name::from(name.as_str());
            let file = file.as_str().ok_or("no file")?;
            let tensor = problem::read(&nest, &name, Path::new(file))?;
            inputs.insert(name, tensor);
        }
        let none = BTreeMap::new(); // the nest's sizes are fixed
        let (mut sets, mut bound) = (Vec::new(), Vec::new());
        for _ in 0..wanted["sets"].as_u64().unwrap_or(1).max(1) {
            let arrays = program.arrays(&inputs, &none)?;
            bound.push(program.bind(&arrays, &none)?);
            sets.push(arrays);
        }
        let scratch = device.buffer(DType::U8, &[SCRATCH])?;
        Ok(Self { nest, inputs, program, sets, bound, scratch, compile_ms })
    }

    fn turn(&self, warm: usize) -> Result<f64, Box<dyn Error>> {
        if self.bound.len() > 1 {
            return Ok(time_launches(&self.bound, warm, 1)?.median.as_secs_f64());
        }
        for _ in 0..warm {
            self.run_once()?;
        }
        self.restore()?;
        self.scratch.poison()?;
        Ok(time_launches(&self.bound, 0, 1)?.median.as_secs_f64())
    }

    fn save(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        self.run_once()?;
        for (name, tensor) in self.program.written(&self.sets[0])? {
            fs::write(folder.join(format!("{name}.bin")), tensor.bytes())?;
        }
        Ok(())
    }

    /// Runs on the first set of arrays, restored.
    fn run_once(&self) -> Result<(), Box<dyn Error>> {
        self.restore()?;
        Ok(self.bound[0].launch()?.wait()?)
    }

    /// Gives arrays that are read and written their contents back, and takes those of the others.
    fn restore(&self) -> Result<(), Box<dyn Error>> {
        for name in outputs(&self.nest) {
            let buffer = self.sets[0].get(&name).ok_or("an output has no array")?;
            match self.inputs.get(&name) {
                Some(tensor) => buffer.write(tensor)?,
                None => buffer.poison()?,
            }
        }
        Ok(())
    }
}
