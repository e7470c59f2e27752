//! The matrix product and eight contractions against `numpy.einsum(optimize=…)`, in alternating
//! pairs on the same number of threads, checked before a time counts.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use warploom::{DType, Spec, SpecTypes, Tensor, compile, io};

use warploom::measure::Percentiles;
use warploom_contest::Numpy;

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

/// Before each run: OpenBLAS's threads spin for about 110 ms after a product (measured) and would
/// take a processor from the other contestant.
const PAUSE: Duration = Duration::from_millis(250);

/// Pairs measured per case, after warm-up.
const PAIRS: usize = 15;

/// Prints a line for each case, all of them if none is named.
pub(crate) fn run(wanted: &[String]) -> Result<(), Box<dyn Error>> {
    let known = |w: &&String| !CASES.iter().any(|(name, ..)| w == name);
    if let Some(unknown) = wanted.iter().find(known) {
        return Err(format!("there is no case `{unknown}`").into());
    }
    println!(
        "case,spec,pairs,ours_ms,ours_p10,ours_p90,numpy_ms,numpy_p10,numpy_p90,numpy_over_ours,\
         ours_gflops,ours_error,numpy_error,compile_ms,threads,peer"
    );
    for case in CASES {
        if wanted.is_empty() || wanted.iter().any(|w| w == case.0) {
            println!("{}", measure(case)?);
        }
    }
    Ok(())
}

/// The inputs as files for the peer.
fn share(
    folder: &tempfile::TempDir,
    data: &BTreeMap<warploom::Name, Tensor>,
    inputs: &[warploom::Name],
) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = Vec::new();
    for (k, name) in inputs.iter().enumerate() {
        let path = folder.path().join(format!("{k}.npy"));
        io::save(&path, &[(name, &data[name])])?;
        paths.push(path);
    }
    Ok(paths)
}

fn measure((name, spec, extents): &Case) -> Result<String, Box<dyn Error>> {
    let size = |c: char| extents.iter().find(|(l, _)| *l == c).map_or(1, |(_, s)| *s);
    let inputs = spec.split("->").next().unwrap_or(spec);
    let shapes = inputs.split(',').map(|term| term.chars().map(size).collect::<Vec<usize>>());
    let operands = shapes.map(|s| (DType::F32, Some(s))).collect();
    let types = SpecTypes { operands, ..SpecTypes::default() };
    let nest =
        warploom::bind(&Spec::read(spec)?.nest(&types)?, &BTreeMap::new(), &BTreeMap::new())?;
    let started = Instant::now();
    let program = compile::compile(&compile::auto(&nest)?)?;
    let compile_ms = started.elapsed().as_secs_f64() * 1e3;
    let mut data = BTreeMap::new();
    warploom::fill_random(&nest, &mut data, 1)?;
    let folder = tempfile::tempdir()?;
    let mut peer = Numpy::start(spec, &share(&folder, &data, &warploom::inputs(&nest))?)?;
    let mut session = program.session(&data, None)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS + 2 {
        std::thread::sleep(PAUSE);
        let started = Instant::now();
        session.launch()?;
        let mine = started.elapsed().as_secs_f64();
        std::thread::sleep(PAUSE);
        let other = peer.seconds()?;
        if pair >= 2 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    let result = folder.path().join("result.npy");
    for (output, tensor) in session.finish() {
        io::save(&result, &[(&output, &tensor)])?;
    }
    let (our_error, their_error) = peer.errors(&result)?;
    let version = peer.version.clone();
    peer.stop()?;
    let flop = 2.0 * extents.iter().map(|(_, s)| *s as f64).product::<f64>();
    let (o, t) = (Percentiles::of(ours).scaled(1e3), Percentiles::of(theirs).scaled(1e3));
    let threads = std::thread::available_parallelism()?;
    Ok(format!(
        "{name},\"{spec}\",{PAIRS},{:.3},{:.3},{:.3},{:.3},{:.3},{:.3},{:.3},{:.1},{our_error:.1e},\
         {their_error:.1e},{compile_ms:.1},{threads},{version}",
        o.median,
        o.p10,
        o.p90,
        t.median,
        t.p10,
        t.p90,
        t.median / o.median,
        flop / o.median / 1e6
    ))
}
