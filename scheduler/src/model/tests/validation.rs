//! Predictions beside what was measured on an H200: the committed records.
//!
//! In: `bench/record/h200-*.csv`, each line's kernel made again by the automatic schedule (or read,
//! where a person wrote it). Out: errors on the lines that the constants were fitted to, and on
//! the others; how well candidates are ranked, those of problems among them that nothing is fitted
//! to. Keeps: which lines are for fitting is decided by
//! what was measured (shapes, types, every other candidate), never by the error.

use std::collections::BTreeMap;
use std::sync::Mutex;

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::einsum::{Einsum, EinsumOptions, OperandType};
use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;

use super::super::*;
use crate::{Choices, Hole, Schedule, explore, launches, lower};

mod fit;

/// A line of a record.
pub(super) struct Line {
    pub(super) record: &'static str,
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) fitted: bool,
    pub(super) kernel: Kernel,
}

const RECORDS: [(&str, &str); 4] = [
    ("gemm", include_str!("../../../../bench/record/h200-gemm.csv")),
    ("bandwidth", include_str!("../../../../bench/record/h200-bandwidth.csv")),
    ("tune", include_str!("../../../../bench/record/h200-tune.csv")),
    ("problems", include_str!("../../../../bench/record/h200-tune-problems.csv")),
];

/// Shapes of products whose lines the constants are fitted to.
const FITTED: [&str; 8] = [
    "512",
    "2048",
    "8192",
    "16384",
    "16x8192x8192",
    "64x64x1048576",
    "8192x8192x64",
    "127x129x131",
];

/// The lines of a record, each by the names of its columns.
fn rows(record: &str) -> Vec<BTreeMap<&'static str, String>> {
    let text = RECORDS.iter().find(|r| r.0 == record).unwrap().1;
    let split = |line: &'static str| {
        let mut out = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => out.push(String::new()),
                c => out.last_mut().unwrap().push(c),
            }
        }
        out
    };
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|l| head.iter().copied().zip(split(l)).collect()).collect()
}

fn lowered(schedule: &Schedule) -> Kernel {
    let kernel = lower(schedule.poly(), schedule.tree(), &schedule.nest().source).unwrap();
    let sizes = schedule.nest().params.iter().filter_map(|p| Some((p.name.clone(), p.value?)));
    launches(&kernel.bind(&sizes.collect()))
}

fn automatic(nest: &Nest) -> Kernel {
    let start = Schedule::new(nest).unwrap();
    lowered(&explore(&start, Target::Sm90a, None, &Choices::default()).unwrap().schedule)
}

/// A product of matrices as a nest.
fn product(einsum: &str, sizes: &[(&str, u64)], dtype: DType, out: DType) -> Nest {
    let sizes = sizes.iter().map(|(n, v)| (Name::from(*n), *v)).collect();
    let options = EinsumOptions { out_dtype: Some(out), sizes, ..EinsumOptions::default() };
    let operands = [OperandType::new(dtype), OperandType::new(dtype)];
    Einsum::parse(einsum).unwrap().nest(&operands, &options).unwrap()
}

/// The lines of `h200-gemm.csv`: f16 takes the kernels of bf16.
fn gemm() -> Vec<Line> {
    let kernels: Mutex<BTreeMap<String, Kernel>> = Mutex::default();
    let line = |row: BTreeMap<&'static str, String>| {
        let sizes: Vec<u64> = row["shape"].split('x').map(|n| n.parse().unwrap()).collect();
        let [m, n, k] = [0, 1, 2].map(|i| sizes[i % sizes.len()]);
        let wide = row["out"] == "f32";
        let ours = row["contestant"] == "warploom";
        let key = format!("{} {} {wide} {}", row["shape"], row["layout"], row["contestant"]);
        let found = kernels.lock().unwrap().get(&key).cloned();
        let kernel = found.unwrap_or_else(|| match ours {
            true => {
                let einsum = match row["layout"].as_str() {
                    "nn" => "mk,kn->mn",
                    "nt" => "mk,nk->mn",
                    "tn" => "km,kn->mn",
                    _tt => "km,nk->mn",
                };
                let out = if wide { DType::F32 } else { DType::Bf16 };
                automatic(&product(einsum, &[("m", m), ("n", n), ("k", k)], DType::Bf16, out))
            }
            false => handwritten(&row["contestant"], [m, n, k]),
        });
        kernels.lock().unwrap().insert(key, kernel.clone());
        let name = format!(
            "{} {} {} {} {}",
            row["shape"], row["layout"], row["dtype"], row["out"], row["contestant"]
        );
        let seconds = row["us"].parse::<f64>().unwrap() * 1e-6;
        let fitted = ours && FITTED.contains(&row["shape"].as_str());
        Line { record: if ours { "gemm" } else { "by hand" }, name, seconds, fitted, kernel }
    };
    shared_out(rows("gemm"), &line)
}

/// A kernel that a person wrote, at a size.
fn handwritten(name: &str, [m, n, k]: [u64; 3]) -> Kernel {
    let text = match name {
        "gemm_mma" => include_str!("../../../../examples/kernels/gemm_mma.kernel"),
        "gemm_wgmma" => include_str!("../../../../examples/kernels/gemm_wgmma.kernel"),
        "gemm_wgmma_bf16" => include_str!("../../../../examples/kernels/gemm_wgmma_bf16.kernel"),
        "gemm_wgmma_cluster" => {
            include_str!("../../../../examples/kernels/gemm_wgmma_cluster.kernel")
        }
        _multicast => include_str!("../../../../examples/kernels/gemm_wgmma_multicast.kernel"),
    };
    let kernel: Kernel = text.parse().unwrap();
    let sizes = [("M", m), ("N", n), ("K", k)].map(|(name, v)| (Name::from(name), v as i64));
    kernel.bind(&sizes.into_iter().collect())
}

/// The lines of `h200-bandwidth.csv`.
fn bandwidth() -> Vec<Line> {
    let line = |row: BTreeMap<&'static str, String>| {
        let case = row["case"].as_str();
        let (text, sizes): (&str, &[i64]) = match case {
            "copy" => (include_str!("../../../../bench/cases/copy.nest"), &[12_582_912]),
            "axpy" => (include_str!("../../../../bench/cases/axpy.nest"), &[8_388_608]),
            "gelu" => (include_str!("../../../../bench/cases/gelu.nest"), &[12_582_912]),
            "bias-relu" => (include_str!("../../../../bench/cases/bias_relu.nest"), &[3072, 4096]),
            "softmax-4096" => (include_str!("../../../../bench/cases/softmax.nest"), &[3072, 4096]),
            "softmax-1024" => {
                (include_str!("../../../../bench/cases/softmax.nest"), &[12_288, 1024])
            }
            "layer-norm" => {
                (include_str!("../../../../bench/cases/layer_norm.nest"), &[3072, 4096])
            }
            "rms-norm" => (include_str!("../../../../bench/cases/rms_norm.nest"), &[3072, 4096]),
            "transpose" => (include_str!("../../../../bench/cases/transpose.nest"), &[3072, 4096]),
            "transpose-odd" => {
                (include_str!("../../../../bench/cases/transpose.nest"), &[3071, 4099])
            }
            "permute-acbd" => (include_str!("../../../../bench/cases/permute_acbd.nest"), &CUBES),
            "permute-adcb" => (include_str!("../../../../bench/cases/permute_adcb.nest"), &CUBES),
            "permute-cdab" => (include_str!("../../../../bench/cases/permute_cdab.nest"), &CUBES),
            _dcba => (include_str!("../../../../bench/cases/permute_dcba.nest"), &CUBES),
        };
        let dtype = &row["dtype"];
        let factor =
            if dtype == "bf16" { 2 } else { 1 } * if row["traffic_mb"] == "400" { 4 } else { 1 };
        let mut nest: Nest = text.replace(": T[", &format!(": {dtype}[")).parse().unwrap();
        for (k, (param, size)) in nest.params.iter_mut().zip(sizes).enumerate() {
            param.value = Some(if k == 0 { size * factor } else { *size });
        }
        let name = format!("{case} {dtype} {}", row["traffic_mb"]);
        let seconds = row["ours_us"].parse::<f64>().unwrap() * 1e-6;
        let fitted = dtype == "f32" && case != "transpose-odd";
        Line { record: "bandwidth", name, seconds, fitted, kernel: automatic(&nest) }
    };
    shared_out(rows("bandwidth"), &line)
}

const CUBES: [i64; 4] = [48, 64, 64, 64];

/// Lines made by all processors: each takes the next.
fn shared_out(
    rows: Vec<BTreeMap<&'static str, String>>,
    line: &(dyn Fn(BTreeMap<&'static str, String>) -> Line + Sync),
) -> Vec<Line> {
    let (todo, done) = (Mutex::new(rows.into_iter().enumerate()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let Some((k, row)) = todo.lock().unwrap().next() else { break };
                    let made = line(row);
                    done.lock().unwrap().push((k, made));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(k, _)| *k);
    done.into_iter().map(|(_, line)| line).collect()
}

/// A problem with measured candidates: the choices of each and its time.
struct Tuned {
    name: String,
    nest: Nest,
    candidates: Vec<(Choices, f64)>,
}

/// Candidates that were measured in one search, by the problem they are for: those of
/// `h200-tune.csv`, every other one of which the constants are fitted to.
fn tuned() -> Vec<Tuned> {
    grouped("tune", &|row| {
        let size = |n: &str| row[n].parse::<u64>().unwrap();
        let name =
            format!("{} {} {}x{}x{}", row["problem"], row["dtype"], row["m"], row["n"], row["k"]);
        let sizes = [("m", size("m")), ("n", size("n")), ("k", size("k"))];
        let [dtype, to] = ["dtype", "out"].map(|c| row[c].parse::<DType>().unwrap());
        (name, product(&row["problem"], &sizes, dtype, to))
    })
}

/// Those of `h200-tune-problems.csv`, which nothing is fitted to. The record has the arrays of
/// `mk,kn->mn`, or of a batch of it.
fn later() -> Vec<Tuned> {
    grouped("problems", &|row| {
        let array = |text: &str| -> (DType, Vec<u64>) {
            let (dtype, shape) = text.split_once(": ").unwrap().1.split_once('[').unwrap();
            let extents = shape.trim_end_matches(']').split(", ").map(|n| n.parse().unwrap());
            (dtype.parse().unwrap(), extents.collect())
        };
        let arrays: Vec<_> = row["problem"].split("] ").map(array).collect();
        let [(dtype, a), (_, b), (out, _)] = &arrays[..] else { panic!("{row:?}") };
        let (einsum, labels) = match a.len() {
            2 => ("mk,kn->mn", "mkkn"),
            _batch => ("bmk,bkn->bmn", "bmkbkn"),
        };
        let names: Vec<String> = labels.chars().map(String::from).collect();
        let extents = a.iter().chain(b).copied();
        let sizes: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(extents).collect();
        let shape: Vec<String> = a.iter().chain(&b[b.len() - 1..]).map(u64::to_string).collect();
        let name = format!("{einsum} {dtype} {} {out}", shape.join("x"));
        (name, product(einsum, &sizes, *dtype, *out))
    })
}

type Row = BTreeMap<&'static str, String>;

/// The lines of a record by the problem that a line is for; its first candidate, which chose
/// nothing, took what the automatic schedule was then, and counts as what it takes now.
fn grouped(record: &str, problem: &dyn Fn(&Row) -> (String, Nest)) -> Vec<Tuned> {
    let mut out: Vec<Tuned> = Vec::new();
    for row in rows(record).iter().filter(|r| r.get("status").is_none_or(|s| s == "measured")) {
        let (name, nest) = problem(row);
        if out.last().is_none_or(|t| t.name != name) {
            out.push(Tuned { name, nest, candidates: Vec::new() });
        }
        let choice = row["choices"].split_whitespace().map(|word| {
            let (name, values) = word.split_once('=').unwrap();
            (Name::from(name), values.split(',').map(|v| v.parse().unwrap()).collect())
        });
        let seconds = row["us"].parse::<f64>().unwrap() * 1e-6;
        out.last_mut().unwrap().candidates.push((Choices(choice.collect()), seconds));
    }
    out
}

/// Error of a prediction, and of the share `at` of all when sorted.
fn error(line: &Line, m: &Machine) -> f64 {
    (predict_kernel(&line.kernel, m).unwrap().time / line.seconds - 1.0).abs()
}

fn percentile(mut all: Vec<f64>, share: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    all[((all.len() - 1) as f64 * share).round() as usize]
}

/// The correlation of two orders (Spearman's).
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |v: &[f64]| -> Vec<f64> {
        let below = |x: f64| v.iter().filter(|y| **y < x).count() as f64;
        let same = |x: f64| v.iter().filter(|y| **y == x).count() as f64;
        v.iter().map(|x| below(*x) + (same(*x) - 1.0) / 2.0).collect()
    };
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() - 1) as f64 / 2.0;
    let product = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[test]
fn predictions_are_near_what_was_measured() {
    let lines: Vec<Line> = gemm().into_iter().chain(bandwidth()).collect();
    let mut groups: BTreeMap<(&str, bool), Vec<f64>> = BTreeMap::new();
    for line in &lines {
        let found = error(line, &H200);
        groups.entry((line.record, line.fitted)).or_default().push(found);
        println!("{:10} {:44} {:5.1} %", line.record, line.name, 100.0 * found);
    }
    for ((record, fitted), errors) in &groups {
        let fitted = if *fitted { "fitted" } else { "held out" };
        let [median, high] = [0.5, 0.9].map(|at| 100.0 * percentile(errors.clone(), at));
        println!(
            "{record} {fitted}: {} lines, median {median:.1} %, p90 {high:.1} %",
            errors.len()
        );
    }
    let held = lines.iter().filter(|l| !l.fitted);
    let errors: Vec<f64> = held.map(|l| error(l, &H200)).collect();
    let [median, high] = [0.5, 0.9].map(|at| percentile(errors.clone(), at));
    println!("all held out: {} lines, median {median:.3}, p90 {high:.3}", errors.len());
    assert!(median <= MEDIAN && high <= HIGH, "median {median}, 90th percentile {high}");
}

/// What is reached on held-out lines, which is the aim.
const MEDIAN: f64 = 0.10;
const HIGH: f64 = 0.20;

/// What a problem's ranking reaches: correlation, the first, the best of eight. The aims are 0.8,
/// 10 % and 2 %; docs/performance-model.md names the problems that miss one.
fn reached(problem: &str) -> [f64; 3] {
    match problem {
        "mk,kn->mn bf16 300x5000x776" => [0.80, 0.10, 0.055],
        "mk,kn->mn i8 4096x4096x4096 i8" => [0.80, 0.16, 0.16],
        "mk,kn->mn bf16 1000x1000x1000 bf16" => [0.77, 0.10, 0.02],
        "mk,kn->mn bf16 64x8192x8192 bf16" => [0.53, 0.10, 0.02],
        _aims => [0.80, 0.10, 0.02],
    }
}

/// Choices with a zero for each size that a hole has got since they were recorded: what it stands
/// for was not there.
fn whole(choices: &Choices, holes: &[Hole]) -> Choices {
    let mut choices = choices.clone();
    for (name, values) in &mut choices.0 {
        if let Some(hole) = holes.iter().find(|h| h.name == *name) {
            values.resize(hole.options[0].values.len(), 0);
        }
    }
    choices
}

/// How well candidates are ranked: the correlation of ranks, and how much slower than the best the
/// model's first is, and the best of its first eight.
struct Ranking {
    correlation: f64,
    first: f64,
    eight: f64,
}

impl Ranking {
    fn of(predicted: &[f64], measured: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..predicted.len()).collect();
        order.sort_by(|a, b| predicted[*a].total_cmp(&predicted[*b]));
        let best = measured.iter().copied().fold(f64::MAX, f64::min);
        let leaders = order.iter().take(8).map(|k| measured[*k]);
        Self {
            correlation: correlation(predicted, measured),
            first: measured[order[0]] / best - 1.0,
            eight: leaders.fold(f64::MAX, f64::min) / best - 1.0,
        }
    }
}

impl std::fmt::Display for Ranking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { correlation, first, eight } = self;
        let [first, eight] = [first, eight].map(|x| 100.0 * x);
        write!(f, "rank correlation {correlation:.3}, first +{first:.1} %, of 8 +{eight:.1} %")
    }
}

/// The candidates of a problem ranked by what searches rank by, the estimates of the holes'
/// options, where there are any, and by the predictions for the lowered kernels.
fn ranked(problem: &Tuned) -> (Option<Ranking>, Ranking) {
    let start = Schedule::new(&problem.nest).unwrap();
    let found = explore(&start, Target::Sm90a, None, &Choices::default()).unwrap();
    let estimate = |choices: &Choices| -> Option<f64> {
        let hole = &found.holes.iter().find(|h| h.options[0].estimate.is_some())?;
        let usual = &hole.options[0].values;
        let values = choices.0.get(&hole.name).unwrap_or(usual);
        let option = hole.options.iter().find(|o| o.values == *values)?;
        option.estimate.map(|e| e as f64)
    };
    let lowers = |choices: &Choices| {
        let made = explore(&start, Target::Sm90a, None, choices).unwrap();
        predict_kernel(&lowered(&made.schedule), &H200).unwrap().time
    };
    let (mut estimated, mut predicted, mut measured) = (Vec::new(), Vec::new(), Vec::new());
    for (choices, seconds) in &problem.candidates {
        let choices = &whole(choices, &found.holes);
        estimated.push(estimate(choices));
        predicted.push(lowers(choices));
        measured.push(*seconds);
    }
    let estimated: Option<Vec<f64>> = estimated.into_iter().collect();
    (estimated.map(|e| Ranking::of(&e, &measured)), Ranking::of(&predicted, &measured))
}

#[test]
fn candidates_are_ranked_as_they_were_measured() {
    let all: Vec<Tuned> = tuned().into_iter().chain(later()).collect();
    assert!(all.iter().map(|t| t.candidates.len()).sum::<usize>() >= 480);
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some(problem) =
                    all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let (searched, kernels) = ranked(problem);
                    let Tuned { name, candidates, .. } = problem;
                    println!("{name}: {} candidates; kernels {kernels}", candidates.len());
                    if let Some(searched) = &searched {
                        println!("{name}: estimates {searched}");
                    }
                    for found in searched.iter().chain([&kernels]) {
                        let [least, first, eight] = reached(name);
                        assert!(found.correlation >= least, "{name}: {found}");
                        assert!(found.first <= first && found.eight <= eight, "{name}: {found}");
                    }
                }
            });
        }
    });
}

/// What is estimated of tiles that two groups take in turn is what their kernels are predicted to
/// take; where sums are short, less than that of larger tiles.
#[test]
fn tiles_in_turn_are_predicted_alike_before_and_after_lowering() {
    for ([m, n, k], shorter) in [([4096, 4096, 256], true), ([4096, 4096, 2048], false)] {
        let sizes = [("m", m), ("n", n), ("k", k)];
        let nest = product("mk,kn->mn", &sizes, DType::Bf16, DType::Bf16);
        let start = Schedule::new(&nest).unwrap();
        let made = |choices: &Choices| explore(&start, Target::Sm90a, None, choices).unwrap();
        let time = |s: &Schedule| predict_kernel(&lowered(s), &H200).unwrap().time;
        let usual = made(&Choices::default());
        let hole = usual.holes.iter().find(|h| h.sizes.contains(&"pingpong")).unwrap();
        let at = hole.sizes.iter().position(|s| *s == "pingpong").unwrap();
        let [together, best] = [0, 1].map(|turns| {
            let such = hole.options.iter().filter(|o| o.values[at] == turns);
            such.filter(|o| o.estimate.is_some()).min_by_key(|o| o.estimate).unwrap()
        });
        let [together, kernel] = [together, best].map(|option| {
            let choices = Choices([(hole.name.clone(), option.values.clone())].into());
            time(&made(&choices).schedule)
        });
        let estimate = best.estimate.unwrap() as f64 * 1e-9;
        assert!((estimate / kernel - 1.0).abs() < 0.15, "{estimate} {kernel} {best:?}");
        assert_eq!(kernel < together, shorter, "{kernel} {together} {best:?}");
    }
}

/// Tiles that blocks share out in parts: the estimate is that of the kernel's two launches, and
/// less than that of tiles in turn where whole waves leave half of the multiprocessors idle.
#[test]
fn tiles_shared_out_are_predicted_alike_before_and_after_lowering() {
    let sizes = [("m", 2560), ("n", 2560), ("k", 8192)];
    let nest = product("mk,kn->mn", &sizes, DType::Bf16, DType::Bf16);
    let start = Schedule::new(&nest).unwrap();
    let made = |choices: &Choices| explore(&start, Target::Sm90a, None, choices).unwrap();
    let time = |s: &Schedule| predict_kernel(&lowered(s), &H200).unwrap().time;
    let usual = made(&Choices::default());
    let hole = usual.holes.iter().find(|h| h.sizes.contains(&"streamed")).unwrap();
    let best = &hole.options[0];
    assert_eq!(best.values.last(), Some(&1), "{best:?}");
    assert!(usual.schedule.script().to_string().contains("stream S1_tile by 66"));
    let kernel = time(&usual.schedule);
    let estimate = best.estimate.unwrap() as f64 * 1e-9;
    assert!((estimate / kernel - 1.0).abs() < 0.06, "{estimate} {kernel}");
    let values = [&best.values[..best.values.len() - 1], &[0]].concat();
    let turns = Choices([(hole.name.clone(), values)].into());
    let turns = time(&made(&turns).schedule);
    assert!(kernel * 1.1 < turns, "{kernel} {turns}");
}
