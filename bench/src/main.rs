//! CPU benchmarks against NumPy, in alternating pairs.
//!
//! In: nothing, or names of cases. Out: a CSV line per case: medians with 10th and 90th
//! percentile, their ratio, the number of pairs. NumPy runs in a process of its own that waits
//! between the pairs, on the same number of threads.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use warploom::{DType, Spec, SpecTypes, compile};

/// Name, einsum in row-major labels, size of each label.
type Case = (&'static str, &'static str, &'static [(char, usize)]);

/// SGEMM and eight contractions of the TCCG suite [Springer18], extents scaled for a CPU.
const CASES: &[Case] = &[
    ("sgemm-1024", "mk,kn->mn", &[('m', 1024), ('n', 1024), ('k', 1024)]),
    (
        "abcde-efbad-cf",
        "dabfe,fc->edcba",
        &[('a', 16), ('b', 16), ('c', 32), ('d', 16), ('e', 24), ('f', 32)],
    ),
    ("abcd-dbea-ec", "aebd,ce->dcba", &[('a', 48), ('b', 24), ('c', 48), ('d', 24), ('e', 48)]),
    ("abc-bda-dc", "adb,cd->cba", &[('a', 192), ('b', 192), ('c', 24), ('d', 192)]),
    (
        "abcdef-dega-gfbc",
        "aged,cbfg->fedcba",
        &[('a', 12), ('b', 12), ('c', 12), ('d', 12), ('e', 12), ('f', 12), ('g', 24)],
    ),
    ("abcd-ea-ebcd", "ae,dcbe->dcba", &[('a', 48), ('b', 24), ('c', 48), ('d', 24), ('e', 96)]),
    ("abc-adec-ebd", "ceda,dbe->cba", &[('a', 96), ('b', 48), ('c', 48), ('d', 48), ('e', 24)]),
    ("ab-cad-dcb", "dac,bcd->ba", &[('a', 192), ('b', 192), ('c', 128), ('d', 192)]),
    (
        "abcd-aebf-fdec",
        "fbea,cedf->dcba",
        &[('a', 48), ('b', 24), ('c', 48), ('d', 24), ('e', 48), ('f', 24)],
    ),
];

/// Pairs measured per case, after warm-up.
const PAIRS: usize = 15;

/// NumPy in a process of its own.
struct Numpy {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Numpy {
    fn start(spec: &str, shapes: &[Vec<usize>]) -> Result<(Self, String), Box<dyn Error>> {
        let mut child = Command::new(".venv/bin/python")
            .arg("bench/numpy_peer.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().ok_or("the peer has no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("the peer has no standard output")?);
        let problem = serde_json::json!({ "spec": spec, "shapes": shapes, "dtype": "float32" });
        writeln!(input, "{problem}")?;
        let mut peer = Self { child, input, output };
        let version = peer.line()?;
        Ok((peer, version))
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn seconds(&mut self) -> Result<f64, Box<dyn Error>> {
        writeln!(self.input, "go")?;
        Ok(self.line()?.parse()?)
    }

    fn stop(self) -> Result<(), Box<dyn Error>> {
        let Self { mut child, input, .. } = self;
        drop(input);
        child.wait()?;
        Ok(())
    }
}

/// 10th percentile, median and 90th percentile, in milliseconds.
fn percentiles(mut seconds: Vec<f64>) -> (f64, f64, f64) {
    seconds.sort_by(f64::total_cmp);
    let at = |q: f64| {
        let last = seconds.len().saturating_sub(1) as f64;
        seconds.get((last * q).round() as usize).copied().unwrap_or(f64::NAN) * 1e3
    };
    (at(0.1), at(0.5), at(0.9))
}

fn measure((name, spec, extents): &Case) -> Result<String, Box<dyn Error>> {
    let size = |c: char| extents.iter().find(|(l, _)| *l == c).map_or(1, |(_, s)| *s);
    let inputs = spec.split("->").next().unwrap_or(spec);
    let shapes: Vec<Vec<usize>> =
        inputs.split(',').map(|term| term.chars().map(size).collect()).collect();
    let types = SpecTypes {
        operands: shapes.iter().map(|s| (DType::F32, Some(s.clone()))).collect(),
        ..SpecTypes::default()
    };
    let nest =
        warploom::bind(&Spec::read(spec)?.nest(&types)?, &BTreeMap::new(), &BTreeMap::new())?;
    let started = Instant::now();
    let program = compile::compile(&compile::auto(&nest)?)?;
    let compile_ms = started.elapsed().as_secs_f64() * 1e3;
    let mut data = BTreeMap::new();
    warploom::fill_random(&nest, &mut data, 1)?;
    let mut session = program.session(&data, None)?;
    let (mut peer, version) = Numpy::start(spec, &shapes)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS + 2 {
        let started = Instant::now();
        session.launch()?;
        let mine = started.elapsed().as_secs_f64();
        let other = peer.seconds()?;
        if pair >= 2 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    peer.stop()?;
    let flop = 2.0 * extents.iter().map(|(_, s)| *s as f64).product::<f64>();
    let (o10, o50, o90) = percentiles(ours);
    let (t10, t50, t90) = percentiles(theirs);
    Ok(format!(
        "{name},{spec},{PAIRS},{o50:.3},{o10:.3},{o90:.3},{t50:.3},{t10:.3},{t90:.3},\
         {:.3},{:.1},{compile_ms:.1},{version}",
        t50 / o50,
        flop / o50 / 1e6
    ))
}

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!(
        "case,spec,pairs,ours_ms,ours_p10,ours_p90,\
         numpy_ms,numpy_p10,numpy_p90,numpy_over_ours,ours_gflops,compile_ms,peer"
    );
    for case in CASES {
        if wanted.is_empty() || wanted.iter().any(|w| w == case.0) {
            println!("{}", measure(case)?);
        }
    }
    Ok(())
}
