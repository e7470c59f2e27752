//! The kernels of PolyBench: the automatic schedule on all threads against the same nest, in the
//! order of its text, as C from `gcc -O3 -march=native` (one thread), in alternating pairs.
//!
//! Results are compared before a time counts: every element that comes out is finite, integers are
//! equal, floats differ by at most 4 max(sizes)^2 · 2^-53 times 8 times the greatest element (a
//! product and a sum may round once in either, and nothing here goes through more operations).

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use warploom::{Name, Nest, Tensor, bind, compile, fill_random, parse_sizes};

use crate::c_peer::{FLAGS, Gcc};
use crate::record::{HOST, host};
use warploom::measure::Percentiles;

/// Name, MEDIUM and LARGE sizes of the suite. `gramschmidt` has its two sizes exchanged: its
/// columns would be linearly dependent, and the results noise.
const KERNELS: [(&str, &str, &str); 30] = [
    ("2mm", "NI=180,NJ=190,NK=210,NL=220", "NI=800,NJ=900,NK=1100,NL=1200"),
    ("3mm", "NI=180,NJ=190,NK=200,NL=210,NM=220", "NI=800,NJ=900,NK=1000,NL=1100,NM=1200"),
    ("adi", "T=100,N=200", "T=500,N=1000"),
    ("atax", "M=390,N=410", "M=1900,N=2100"),
    ("bicg", "M=390,N=410", "M=1900,N=2100"),
    ("cholesky", "N=400", "N=2000"),
    ("correlation", "M=240,N=260", "M=1200,N=1400"),
    ("covariance", "M=240,N=260", "M=1200,N=1400"),
    ("deriche", "W=720,H=480", "W=4096,H=2160"),
    ("doitgen", "NQ=40,NR=50,NP=60", "NQ=140,NR=150,NP=160"),
    ("durbin", "N=400", "N=2000"),
    ("fdtd-2d", "T=100,NX=200,NY=240", "T=500,NX=1000,NY=1200"),
    ("floyd-warshall", "N=500", "N=2800"),
    ("gemm", "NI=200,NJ=220,NK=240", "NI=1000,NJ=1100,NK=1200"),
    ("gemver", "N=400", "N=2000"),
    ("gesummv", "N=250", "N=1300"),
    ("gramschmidt", "M=240,N=200", "M=1200,N=1000"),
    ("heat-3d", "T=100,N=40", "T=500,N=120"),
    ("jacobi-1d", "T=100,N=400", "T=500,N=2000"),
    ("jacobi-2d", "T=100,N=250", "T=500,N=1300"),
    ("lu", "N=400", "N=2000"),
    ("ludcmp", "N=400", "N=2000"),
    ("mvt", "N=400", "N=2000"),
    ("nussinov", "N=500", "N=2500"),
    ("seidel-2d", "T=100,N=400", "T=500,N=2000"),
    ("symm", "M=200,N=240", "M=1000,N=1200"),
    ("syr2k", "M=200,N=240", "M=1000,N=1200"),
    ("syrk", "M=200,N=240", "M=1000,N=1200"),
    ("trisolv", "N=400", "N=2000"),
    ("trmm", "M=200,N=240", "M=1000,N=1200"),
];

/// Most pairs of a problem, fewest, and the time after which no pair beyond these is begun.
const MOST: usize = 15;
const FEWEST: usize = 3;
const BUDGET: Duration = Duration::from_secs(20);

/// A kernel of the suite at one of its problems.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) kernel: String,
    /// `medium` or `large`.
    pub(crate) problem: String,
    /// As `--size` takes them.
    pub(crate) sizes: String,
}

/// The jobs that `wanted` names by kernels and problems, all where it names none of a kind; of the
/// kernels in `among` where it is given.
pub(crate) fn jobs(wanted: &[String], among: Option<&[&str]>) -> Result<Vec<Job>, Box<dyn Error>> {
    let problems = ["medium", "large"];
    let known = |name: &str| {
        KERNELS.iter().any(|k| k.0 == name) && among.is_none_or(|list| list.contains(&name))
    };
    if let Some(unknown) = wanted.iter().find(|w| !problems.contains(&w.as_str()) && !known(w)) {
        return Err(format!("there is no kernel `{unknown}`").into());
    }
    let (sizes, kernels): (Vec<&str>, Vec<&str>) =
        wanted.iter().map(String::as_str).partition(|w| problems.contains(w));
    let chosen = |list: &[&str], word: &str| list.is_empty() || list.contains(&word);
    let mut jobs = Vec::new();
    for (name, medium, large) in KERNELS.into_iter().filter(|k| known(k.0) && chosen(&kernels, k.0))
    {
        for (problem, values) in problems.into_iter().zip([medium, large]) {
            if chosen(&sizes, problem) {
                let [kernel, problem, sizes] = [name, problem, values].map(ToOwned::to_owned);
                jobs.push(Job { kernel, problem, sizes });
            }
        }
    }
    Ok(jobs)
}

/// Prints a line for each kernel and problem; `wanted` names kernels and problems, or nothing for
/// all of them.
pub(crate) fn run(wanted: &[String]) -> Result<(), Box<dyn Error>> {
    let jobs = jobs(wanted, None)?;
    println!(
        "kernel,problem,sizes,pairs,ours_ms,ours_p10,ours_p90,gcc_ms,gcc_p10,gcc_p90,gcc_over_ours,\
         difference,bound,compile_ms,threads,peer,{HOST}"
    );
    let place = host();
    for job in jobs {
        println!("{},{place}", measure(&job)?);
    }
    Ok(())
}

/// The nest of a job with its sizes fixed, and its inputs.
pub(crate) fn problem(job: &Job) -> Result<(Nest, BTreeMap<Name, Tensor>), Box<dyn Error>> {
    let text = fs::read_to_string(format!("examples/polybench/{}.nest", job.kernel))?;
    let values = parse_sizes(&[&job.sizes])?;
    let nest = bind(&text.parse::<Nest>()?, &values, &BTreeMap::new())?;
    let mut inputs = BTreeMap::new();
    fill_random(&nest, &mut inputs, 1)?;
    condition(&job.kernel, &mut inputs)?;
    Ok((nest, inputs))
}

fn measure(job: &Job) -> Result<String, Box<dyn Error>> {
    let Job { kernel: name, problem: size, sizes } = job;
    let (nest, inputs) = problem(job)?;
    let started = Instant::now();
    let program = compile::compile(&compile::auto(&nest)?)?;
    let compile_ms = started.elapsed().as_secs_f64() * 1e3;
    let folder = tempfile::tempdir()?;
    let (mut peer, version) = Gcc::start(&nest, &inputs, folder.path())?;
    let mut session = program.session(&inputs, None)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    // the first pair warms up
    while ours.len() <= MOST && (ours.len() <= FEWEST || begun.elapsed() < BUDGET) {
        session.restore();
        let started = Instant::now();
        session.launch()?;
        ours.push(started.elapsed().as_secs_f64());
        theirs.push(peer.seconds()?);
    }
    let (ours, theirs) = (ours.split_off(1), theirs.split_off(1));
    let bound = bound(&nest);
    let have = session.finish();
    let mut want = BTreeMap::new();
    for (output, tensor) in &have {
        want.insert(output.clone(), peer.buffer(output, tensor, folder.path())?);
    }
    let difference = difference(&have, &want, bound).map_err(|e| format!("{name}: {e}"))?;
    peer.stop()?;
    let pairs = ours.len();
    let (o, t) = (Percentiles::of(ours).scaled(1e3), Percentiles::of(theirs).scaled(1e3));
    let (threads, flags) = (std::thread::available_parallelism()?, FLAGS.join(" "));
    Ok(format!(
        "{name},{size},\"{sizes}\",{pairs},{:.3},{:.3},{:.3},{:.3},{:.3},{:.3},{:.3},\
         {difference:.1e},{bound:.1e},{compile_ms:.1},{threads},{version} {flags}",
        o.median,
        o.p10,
        o.p90,
        t.median,
        t.p10,
        t.p90,
        t.median / o.median,
    ))
}

/// The greatest difference that is allowed, relative to the greatest element.
pub(crate) fn bound(nest: &Nest) -> f64 {
    let longest = nest.params.iter().filter_map(|p| p.value).max().unwrap_or(1) as f64;
    8.0 * 4.0 * longest * longest * f64::EPSILON / 2.0
}

/// A new value of an element: from the array's first extent, its place, the old value.
type Change = fn(usize, usize, f64) -> f64;

/// Makes random inputs a well-conditioned problem: a dominant diagonal for `trisolv`, `durbin`'s
/// dominated by its ones, `deriche`'s filter as the suite has it, lengths of 1 and more.
fn condition(name: &str, inputs: &mut BTreeMap<Name, Tensor>) -> Result<(), Box<dyn Error>> {
    let (array, change): (&str, Change) = match name {
        "trisolv" => ("L", |n, k, v| if k % (n + 1) == 0 { n as f64 } else { v }),
        "durbin" => ("r", |n, _, v| v / (2 * n) as f64),
        "deriche" => ("alpha", |_, _, _| 0.25),
        "floyd-warshall" => ("path", |_, _, v| v.abs() + 1.0),
        _ => return Ok(()),
    };
    let tensor = inputs.get_mut(array).ok_or("the kernel has lost an input")?;
    let order = tensor.shape().first().copied().unwrap_or(1);
    let values = tensor.to_f64s();
    let values: Vec<f64> =
        values.into_iter().enumerate().map(|(k, v)| change(order, k, v)).collect();
    *tensor = Tensor::from_f64s(tensor.dtype(), tensor.shape(), &values)?;
    Ok(())
}

/// The greatest difference of any output, relative to the greatest element that is wanted.
pub(crate) fn difference(
    have: &BTreeMap<Name, Tensor>,
    want: &BTreeMap<Name, Tensor>,
    bound: f64,
) -> Result<f64, Box<dyn Error>> {
    let mut worst = 0.0_f64;
    for (output, tensor) in have {
        let want = want.get(output).ok_or_else(|| format!("there is no {output}"))?;
        let (have, want) = (tensor.to_f64s(), want.to_f64s());
        let most = want.iter().fold(f64::MIN_POSITIVE, |a, v| a.max(v.abs()));
        let allowed = if tensor.dtype().is_float() { bound } else { 0.0 };
        for (k, (have, want)) in have.iter().zip(&want).enumerate() {
            let difference = (have - want).abs() / most;
            if !difference.is_finite() || difference > allowed {
                let at = tensor.unflatten(k);
                return Err(format!("{output}{at:?} is {have}, wanted {want}").into());
            }
            worst = worst.max(difference);
        }
    }
    Ok(worst)
}
