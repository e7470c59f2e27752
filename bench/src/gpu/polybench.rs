//! `gpu-polybench`: stencils and the O(n³) kernels of PolyBench, the automatic schedule against
//! plain CUDA from nvcc (bench/handwritten/polybench), in alternating pairs.
//!
//! Results are compared before a time counts: those of each contestant with the nest in the order
//! of its text on the processor, and with each other, element by element, within the bound that
//! `polybench` uses for gcc (bench/src/polybench.rs). A time is that of all launches of a run, from
//! arrays on the device to arrays on the device, the host's gaps between launches included.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use warploom::{Name, Tensor};

use super::cuda_peer::{Cuda, FLAGS};
use super::ours::Ours;
use super::problem;
use super::reference::{self, Ready};
use warploom::measure::Rounds;

use super::{Times, quoted};
use crate::polybench::{self, Job};
use crate::record::{COLUMNS, Machine, STATE, state};
use warploom::measure::geometric_mean;

/// Stencils, then O(n³) kernels.
const KERNELS: [&str; 22] = [
    "jacobi-1d",
    "jacobi-2d",
    "heat-3d",
    "fdtd-2d",
    "seidel-2d",
    "adi",
    "gemm",
    "2mm",
    "3mm",
    "syrk",
    "syr2k",
    "trmm",
    "symm",
    "doitgen",
    "correlation",
    "covariance",
    "lu",
    "cholesky",
    "ludcmp",
    "gramschmidt",
    "floyd-warshall",
    "nussinov",
];

/// The longest that a contestant may take to answer, where no other limit is given.
const LIMIT: u64 = 20;

const PAIRS: Rounds = Rounds {
    most: 15,
    fewest: 3,
    budget: Duration::from_secs(5),
    warm: 1,
    warm_for: Duration::from_millis(50),
};

/// Columns of a measurement, before the device's state.
const MEASURED: &str = "pairs,ours_ms,ours_p10,ours_p90,cuda_ms,cuda_p10,cuda_p90,winner,\
    cuda_over_ours,ours_difference,cuda_difference,between,bound,compile_ms";

/// Prints a line for each kernel and problem; `wanted` names kernels, problems and a limit such as
/// `limit=20` in seconds, or nothing for all of them.
pub(crate) fn run(wanted: &[String]) -> Result<(), Box<dyn Error>> {
    let (limits, wanted): (Vec<&String>, Vec<&String>) =
        wanted.iter().partition(|w| w.starts_with("limit="));
    let limit = limits.last().map_or(Ok(LIMIT), |l| l["limit=".len()..].parse())?;
    let wanted: Vec<String> = wanted.into_iter().cloned().collect();
    let jobs = polybench::jobs(&wanted, Some(&KERNELS))?;
    println!("kernel,problem,sizes,{MEASURED},{STATE},status,peer,{COLUMNS}");
    let begun = Instant::now();
    let ready = reference::prepare(&jobs);
    eprintln!("{} problems ready after {:.0} s", ready.len(), begun.elapsed().as_secs_f64());
    let mut bench = Bench {
        ours: None,
        limit: Duration::from_secs(limit),
        machine: Machine::look(),
        ratios: BTreeMap::new(),
    };
    for (job, ready) in ready {
        println!("{}", bench.line(&job, ready));
    }
    for (problem, ratios) in &bench.ratios {
        let (mean, n) = (geometric_mean(ratios), ratios.len());
        let all = jobs.iter().filter(|job| job.problem == *problem).count();
        eprintln!("{problem}: geometric mean of cuda_over_ours of {n} of {all} kernels: {mean:.3}");
    }
    Ok(())
}

struct Bench {
    /// `None` until a kernel needs it, and after a failure.
    ours: Option<Ours>,
    limit: Duration,
    machine: Machine,
    /// By problem.
    ratios: BTreeMap<String, Vec<f64>>,
}

/// What a kernel gave.
struct Measured {
    times: Times,
    /// Of ours and the reference, of the CUDA version and the reference, of both.
    differences: [f64; 3],
    bound: f64,
    compile_ms: f64,
    state: String,
    version: String,
}

impl Bench {
    /// The line of a kernel; a failure is written where others say `ok`.
    fn line(&mut self, job: &Job, ready: Result<Ready, String>) -> String {
        let begun = Instant::now();
        let measured = ready.map_err(Into::into).and_then(|ready| self.measure(&ready));
        match &measured {
            Ok(Measured { times, .. }) => {
                let ratios = self.ratios.entry(job.problem.clone()).or_default();
                ratios.push(times.theirs.median / times.ours.median);
            }
            Err(_) => self.ours = None, // its process may be broken
        }
        let Job { kernel, problem, sizes } = job;
        eprintln!("{kernel} {problem}: {:.1} s", begun.elapsed().as_secs_f64());
        let (middle, machine) = (columns(&measured), self.machine.columns());
        let peer = measured.map_or_else(|_| "nvcc".to_owned(), |m| m.version);
        format!("{kernel},{problem},\"{sizes}\",{middle},{peer} {},{machine}", FLAGS.join(" "))
    }

    fn measure(&mut self, ready: &Ready) -> Result<Measured, Box<dyn Error>> {
        let Ready { problem, expected, cuda, folder } = ready;
        let bound = polybench::bound(&problem.nest);
        let compare = |who: &str, have, want| {
            polybench::difference(have, want, bound).map_err(|e| format!("{who}: {e}"))
        };
        let mut cuda = Cuda::start(cuda, problem, self.limit)?;
        let theirs = cuda.outputs(problem, folder.path())?;
        let other = compare("the CUDA version and the reference", &theirs, expected)?;
        let ours = match &mut self.ours {
            Some(ours) => ours,
            none => none.insert(Ours::start(self.limit)?),
        };
        let compile_ms = ours.prepare(problem, 1)?;
        ours.save(folder.path())?;
        let mine = outputs(expected, problem, folder.path())?;
        let own = compare("Warploom and the reference", &mine, expected)?;
        let between = compare("Warploom and the CUDA version", &mine, &theirs)?;
        let differences = [own, other, between];
        let times = Times::of(&PAIRS, ours, &mut cuda)?;
        let version = cuda.version.clone();
        Ok(Measured { times, differences, bound, compile_ms, state: state(), version })
    }
}

/// What Warploom wrote.
fn outputs(
    expected: &BTreeMap<Name, Tensor>,
    problem: &problem::Problem,
    folder: &Path,
) -> Result<BTreeMap<Name, Tensor>, Box<dyn Error>> {
    let read = |name: &Name| {
        let file = folder.join(format!("{name}.bin"));
        Ok((name.clone(), problem::read(&problem.nest, name, &file)?))
    };
    expected.keys().map(read).collect()
}

/// The columns from `pairs` to `status`.
fn columns(measured: &Result<Measured, Box<dyn Error>>) -> String {
    let measured = match measured {
        Ok(measured) => measured,
        Err(e) => return format!("0{}{}", ",".repeat(17), quoted(&e.to_string())),
    };
    let Measured { times, differences: [mine, theirs, between], bound, .. } = measured;
    let Times { pairs, ours: o, theirs: t, .. } = times;
    format!(
        "{pairs},{},{},{},{:.3},{mine:.1e},{theirs:.1e},{between:.1e},{bound:.1e},{:.1},{},ok",
        o.scaled(1e3).columns(),
        t.scaled(1e3).columns(),
        times.winner("cuda"),
        t.median / o.median,
        measured.compile_ms,
        measured.state,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use warploom::measure::{Comparison, Percentiles};

    #[test]
    fn every_line_has_a_field_for_each_column() {
        let of = |seconds: f64| Percentiles::of(vec![seconds]);
        let measured = Measured {
            times: Times {
                pairs: 3,
                ours: of(1e-3),
                theirs: of(3e-3),
                compared: Comparison::of(&[1e-3], &[3e-3]),
            },
            differences: [0.0; 3],
            bound: 1e-9,
            compile_ms: 80.0,
            state: "1980,3201,300".to_owned(),
            version: "nvcc 13.0".to_owned(),
        };
        let names = format!("{MEASURED},{STATE},status").split(',').count();
        for line in [columns(&Ok(measured)), columns(&Err("too, \"slow\"".into()))] {
            let plain = line.replace("\"too, 'slow'\"", "");
            assert_eq!(plain.split(',').count(), names, "{line}");
        }
    }

    #[test]
    fn every_kernel_has_a_cuda_version_and_a_nest() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside the repository");
        for kernel in KERNELS {
            let source = root.join(format!("bench/handwritten/polybench/{kernel}.cu"));
            assert!(source.is_file(), "{kernel}");
            assert!(root.join(format!("examples/polybench/{kernel}.nest")).is_file(), "{kernel}");
        }
        assert_eq!(polybench::jobs(&[], Some(&KERNELS)).unwrap().len(), 2 * KERNELS.len());
    }
}
