//! The process that multiplies: all contestants on one device, stream and clock.
//!
//! In: a line for each case. Out: a line of JSON, or `error: …`. Keeps: the arrays are used in
//! turn, so that none meets its own data in the cache; a contestant's time counts only after its
//! result on poisoned memory was compared with the reference.

use std::error::Error;
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use warploom::device::{BoundProgram, Device, DeviceBuffer, ForeignLaunch, Timed, time_launches};
use warploom::diag::Source;
use warploom::{
    DType, Index, Kernel, Name, Schedule, Script, Sizes, Spec, SpecTypes, Target, bind, compile,
};
use warploom_contest::{CublasLt, Plan, Product};

use super::cases::Case;
use super::data::{Programs, Reference, STALL};
use warploom::measure::{Comparison, Percentiles, Winner};

/// The command that makes a process of this program the contestants.
pub(crate) const CONTESTANTS: &str = "gpu-gemm-contestants";

/// Between two uses of an array at least so many bytes of others are used: three times the largest
/// cache.
const BETWEEN: usize = 150_000_000;

/// Algorithms of cublasLt that are measured.
const CANDIDATES: usize = 8;
/// What they may use beside the arrays, in bytes.
const WORKSPACE: usize = 64 << 20;

/// How long the stream is held while a turn is queued: longer than queueing takes.
const STALL_FOR: Duration = Duration::from_micros(250);

/// Launches without a clock in a turn, where they take [`WARM_FOR`] at most.
const WARM: usize = 10;
const WARM_FOR: f64 = 5e-3;

/// Rounds of turns, and when no more begin.
const ROUNDS: usize = 31;
const FEWEST: usize = 5;
const BUDGET: Duration = Duration::from_millis(1200);

/// Block programs that people wrote, all of `A B^T`.
const HANDWRITTEN: [&str; 5] = [
    include_str!("../../../../examples/kernels/gemm_mma.kernel"),
    include_str!("../../../../examples/kernels/gemm_wgmma.kernel"),
    include_str!("../../../../examples/kernels/gemm_wgmma_bf16.kernel"),
    include_str!("../../../../examples/kernels/gemm_wgmma_cluster.kernel"),
    include_str!("../../../../examples/kernels/gemm_wgmma_multicast.kernel"),
];

type Answer<T> = Result<T, Box<dyn Error>>;

/// The process: answers every line of standard input. Scripts in the folder that is named also
/// contend, `SHAPE.NAME.sched` in the cases of that shape.
pub(crate) fn serve(folder: Option<&str>) -> Answer<()> {
    let mut bench = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match &mut bench {
            Some(bench) => Ok(bench),
            none => Bench::new(folder).map(|made| none.insert(made)),
        };
        let answer = answer.and_then(|bench: &mut Bench| bench.measure(&Case::read(&line)?));
        match answer {
            Ok(value) => println!("{value}"),
            Err(e) => println!("error: {}", one_line(&e.to_string())),
        }
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or("unknown").to_owned()
}

struct Bench {
    device: Device,
    lt: Arc<CublasLt>,
    workspace: DeviceBuffer,
    programs: Programs,
    stall: BoundProgram,
    /// Scripts that contend: the shape, a name, the text.
    scripts: Vec<[String; 3]>,
    /// Another one for each case.
    seed: usize,
}

/// Arrays of a product: `A`, `B`, `C`.
type Set = [DeviceBuffer; 3];

/// One that multiplies.
struct Contestant {
    name: String,
    /// One for each set of arrays.
    launches: Launches,
    /// What else is to say of it.
    facts: Value,
}

enum Launches {
    Ours(Vec<BoundProgram>),
    Theirs(Vec<ForeignLaunch>),
}

impl Launches {
    fn on(&self, set: usize) -> Timed<'_> {
        match self {
            Self::Ours(bound) => Timed::from(&bound[set % bound.len()]),
            Self::Theirs(launches) => Timed::from(&launches[set % launches.len()]),
        }
    }
}

impl Bench {
    fn new(folder: Option<&str>) -> Answer<Self> {
        let scripts = folder.map_or(Ok(Vec::new()), scripts)?;
        let device = Device::open(0)?;
        let lt = CublasLt::open(&device)?;
        let workspace = device.buffer(DType::U8, &[WORKSPACE])?;
        let mut programs = Programs::new(&device);
        let stall = stall(&device, &mut programs)?;
        Ok(Self { device, lt, workspace, programs, stall, scripts, seed: 1 })
    }

    fn measure(&mut self, case: &Case) -> Answer<Value> {
        let product = &case.product;
        self.seed += 1;
        let sets = self.sets(product, BETWEEN / case.bytes() + 2)?;
        let [a, b, _] = &sets[0];
        let reference = self.programs.reference(product, [a, b], self.seed * 37)?;
        let (lt, mut errors) = (self.lt_best(case, &sets, &reference)?, Vec::new());
        let mut racing = vec![lt];
        let mut refused = Vec::new();
        let mut others = vec![("warploom".to_owned(), self.ours(case, "warploom", None, &sets))];
        for [_, name, text] in self.scripts.iter().filter(|s| s[0] == case.shape) {
            others.push((name.clone(), self.ours(case, name, Some(text), &sets)));
        }
        for text in HANDWRITTEN {
            let kernel: Kernel = text.parse()?;
            if let Some(sizes) = applies(&kernel, product, self.device.target()) {
                others.push((kernel.name.to_string(), self.handwritten(kernel, &sizes, &sets)));
            }
        }
        errors.push(self.checked(&racing[0], case, &sets[0][2], &reference)?);
        for (name, made) in others {
            let judged = made.and_then(|one| {
                let error = self.checked(&one, case, &sets[0][2], &reference)?;
                Ok((one, error))
            });
            match judged {
                Ok((one, error)) => {
                    racing.push(one);
                    errors.push(error);
                }
                Err(e) => refused.push(json!({ "name": name, "status": one_line(&e.to_string()) })),
            }
        }
        let times = self.race(&racing)?;
        let mut contestants: Vec<Value> = (1..racing.len())
            .map(|i| {
                let ratios = times[0].iter().zip(&times[i]).map(|(lt, own)| lt / own).collect();
                let winner = match Comparison::of(&times[i], &times[0]).winner() {
                    Winner::First => racing[i].name.as_str(),
                    Winner::Second => "cublaslt",
                    Winner::None => "none",
                };
                json!({
                    "name": racing[i].name,
                    "us": microseconds(&times[i]),
                    "ratio": three(Percentiles::of(ratios)),
                    "winner": winner,
                    "error": errors[i],
                    "facts": racing[i].facts,
                    "status": "ok",
                })
            })
            .collect();
        contestants.extend(refused);
        Ok(json!({
            "rounds": times[0].len(),
            "sets": sets.len(),
            "bound": case.bound(),
            "lt": {
                "us": microseconds(&times[0]),
                "error": errors[0],
                "facts": racing[0].facts,
                "version": self.lt.version(),
            },
            "contestants": contestants,
        }))
    }

    /// Random operands, and poisoned outputs.
    fn sets(&mut self, product: &Product, count: usize) -> Answer<Vec<Set>> {
        let Product { dtype, out, .. } = *product;
        let [a, b, c] = product.shapes();
        let mut sets = Vec::with_capacity(count);
        for k in 0..count {
            let array = |dtype, shape: [usize; 2]| self.device.buffer(dtype, &shape);
            let set = [array(dtype, a)?, array(dtype, b)?, array(out, c)?];
            for (which, matrix) in set[..2].iter().enumerate() {
                self.programs.random(matrix, 2 * (1000 * self.seed + k) + which)?;
            }
            sets.push(set);
        }
        Ok(sets)
    }

    /// The fastest of the heuristic's candidates whose result is right.
    fn lt_best(&mut self, case: &Case, sets: &[Set], reference: &Reference) -> Answer<Contestant> {
        let plan: Arc<Plan> = self.lt.plan(&case.product, &self.workspace, CANDIDATES)?;
        let mut measured = Vec::new();
        let mut why = "it proposes nothing".to_owned();
        for candidate in 0..plan.candidates() {
            let on = |[a, b, c]: &Set| plan.on(candidate, [a, b, c]);
            let launches = Launches::Theirs(sets.iter().map(on).collect::<Result<_, _>>()?);
            let facts = json!({ "candidates": plan.candidates(), "chosen": candidate });
            let one = Contestant { name: "cublaslt".to_owned(), launches, facts };
            let time = self.checked(&one, case, &sets[0][2], reference).and_then(|_| {
                let turn: Vec<Timed<'_>> = (0..8).map(|set| one.launches.on(set)).collect();
                let turn = [&[Timed::from(&self.stall)], &turn[..]].concat();
                Ok(time_launches(&turn, 2, 7)?.median)
            });
            match time {
                Ok(time) => measured.push((time, one)),
                Err(e) => why = e.to_string(),
            }
        }
        let best = measured.into_iter().min_by_key(|(time, _)| *time);
        Ok(best.map(|(_, one)| one).ok_or_else(|| format!("no algorithm of cublasLt: {why}"))?)
    }

    /// The einsum with a script's schedule, or with the automatic one.
    fn ours(
        &self,
        case: &Case,
        name: &str,
        script: Option<&str>,
        sets: &[Set],
    ) -> Answer<Contestant> {
        let started = Instant::now();
        let Product { dtype, out, .. } = case.product;
        let [a, b, _] = case.product.shapes();
        let operands = vec![(dtype, Some(a.to_vec())), (dtype, Some(b.to_vec()))];
        let (acc, out) = (case.accumulation(), Some(out));
        let types = SpecTypes { operands, acc, out, ..SpecTypes::default() };
        let nest = Spec::Einsum(case.einsum().to_owned()).nest(&types)?;
        let nest = bind(&nest, &Sizes::new(), &std::collections::BTreeMap::new())?;
        let target = self.device.target();
        let schedule = match script {
            Some(text) => {
                let script = Script::parse(&Source::new(name, text))?;
                Schedule::new(&nest)?.replay(&script)?
            }
            None => compile::auto_for(&nest, target)?,
        };
        let code = compile::lower(&schedule)?.gpu(target)?;
        let text_ms = started.elapsed().as_secs_f64() * 1e3;
        let program = self.device.load(&code)?;
        let compile_ms = started.elapsed().as_secs_f64() * 1e3;
        let names: Vec<Name> =
            [warploom::inputs(&nest), warploom::outputs(&nest)].into_iter().flatten().collect();
        let bound = sets
            .iter()
            .map(|set| {
                let arrays = names.iter().cloned().zip(set.iter().cloned()).collect();
                program.bind(&arrays, &Sizes::new())
            })
            .collect::<Result<Vec<_>, _>>()?;
        let facts = json!({
            "ptx_ms": text_ms,
            "compile_ms": compile_ms,
            "launches": bound.first().map_or(0, BoundProgram::launches),
        });
        Ok(Contestant { name: name.to_owned(), launches: Launches::Ours(bound), facts })
    }

    /// A block program that a person wrote.
    fn handwritten(&self, kernel: Kernel, sizes: &Sizes, sets: &[Set]) -> Answer<Contestant> {
        let name = kernel.name.to_string();
        let program = self.device.load(&compile::kernel(kernel)?.gpu(self.device.target())?)?;
        let bound = sets
            .iter()
            .map(|set| {
                let names = ["A", "B", "C"].into_iter().map(Name::from);
                program.bind(&names.zip(set.iter().cloned()).collect(), sizes)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Contestant { name, launches: Launches::Ours(bound), facts: json!({}) })
    }

    /// The error of a contestant on the first set, poisoned before.
    fn checked(
        &mut self,
        one: &Contestant,
        case: &Case,
        c: &DeviceBuffer,
        reference: &Reference,
    ) -> Answer<f64> {
        c.poison()?;
        time_launches(&[one.launches.on(0)], 0, 1)?;
        let error = self.programs.error(reference, c)?;
        let bound = case.bound();
        if error > bound {
            return Err(format!("the result is wrong by {error:e}, the bound is {bound:e}").into());
        }
        Ok(error)
    }

    /// The seconds of every contestant's turns; all take one in each round.
    fn race(&self, racing: &[Contestant]) -> Answer<Vec<Vec<f64>>> {
        let begun = Instant::now();
        let mut cursor = 0;
        let mut turn = |one: &Contestant, warm: usize| -> Answer<f64> {
            let launches = (0..=warm).map(|i| one.launches.on(cursor + i));
            let turn: Vec<Timed<'_>> =
                std::iter::once(Timed::from(&self.stall)).chain(launches).collect();
            cursor += warm + 1;
            Ok(time_launches(&turn, warm + 1, 1)?.median.as_secs_f64())
        };
        let mut warm = Vec::new();
        for one in racing {
            let time = turn(one, 0)?;
            warm.push(WARM.min((WARM_FOR / time.max(1e-9)) as usize));
        }
        let mut times = vec![Vec::new(); racing.len()];
        while times[0].len() < ROUNDS && (times[0].len() < FEWEST || begun.elapsed() < BUDGET) {
            for ((one, warm), times) in racing.iter().zip(&warm).zip(&mut times) {
                times.push(turn(one, *warm)?);
            }
        }
        Ok(times)
    }
}

/// The scripts in a folder, by name.
fn scripts(folder: &str) -> Answer<Vec<[String; 3]>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let Some((shape, script)) =
            name.strip_suffix(".sched").and_then(|stem| stem.split_once('.'))
        else {
            continue;
        };
        let text = std::fs::read_to_string(&path)?;
        found.push([shape.to_owned(), script.to_owned(), text]);
    }
    found.sort();
    Ok(found)
}

/// A launch that holds the stream for about [`STALL_FOR`].
fn stall(device: &Device, programs: &mut Programs) -> Answer<BoundProgram> {
    let program = programs.of(STALL)?;
    let x = device.buffer(DType::F32, &[1])?;
    let of = |n: i64| {
        let arrays = [(Name::from("X"), x.clone())].into();
        program.bind(&arrays, &[(Name::from("N"), n)].into())
    };
    let short = time_launches(&[of(2000)?], 2, 5)?.median.as_secs_f64().max(1e-7);
    Ok(of((2000.0 * STALL_FOR.as_secs_f64() / short) as i64)?)
}

/// The parameters with which a handwritten program computes a product on a target, if it does: `A
/// B^T` of its types and, where they are fixed, its sizes, with rows of whole 16 bytes.
fn applies(kernel: &Kernel, product: &Product, target: Target) -> Option<Sizes> {
    let Product { m, n, k, a_transposed, b_transposed, dtype, out, .. } = *product;
    let named = [("M", m), ("N", n), ("K", k)];
    let size = |&(name, size): &(&str, usize)| Some((Name::from(name), i64::try_from(size).ok()?));
    let mut sizes: Sizes = named.iter().filter_map(size).collect();
    let mut arrays = kernel.buffers.iter().zip([dtype, dtype, out]).zip(product.shapes());
    let fits = arrays.all(|((buffer, dtype), shape)| {
        let extent = |e: &Index| e.eval(&|name| sizes.get(name).copied());
        let shape = shape.map(|e| i64::try_from(e).ok());
        buffer.dtype == dtype && buffer.shape.iter().map(extent).eq(shape)
    });
    let rows = k % 8 == 0 && (out == DType::F32 || n % 8 == 0);
    let device = !kernel.name.contains("wgmma") || target == Target::Sm90a;
    sizes.retain(|name, _| kernel.params.contains(name));
    (fits && !a_transposed && b_transposed && rows && device).then_some(sizes)
}

fn microseconds(times: &[f64]) -> Value {
    three(Percentiles::of(times.to_vec()).scaled(1e6))
}

/// Median, 10th and 90th percentile.
fn three(of: Percentiles) -> Value {
    json!([of.median, of.p10, of.p90])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handwritten_programs_take_what_they_are_written_for() {
        let product = |line: &str| Case::read(line).unwrap().product;
        let kernels = HANDWRITTEN.map(|text| text.parse::<Kernel>().unwrap());
        let count = |line: &str, target| {
            let taken = |k: &&Kernel| applies(k, &product(line), target).is_some();
            kernels.iter().filter(taken).count()
        };
        assert_eq!(count("4096 nt bf16 f32", Target::Sm90a), 3);
        assert_eq!(count("4096 nt bf16 f32", Target::Sm80), 1);
        assert_eq!(count("4096 nt bf16 bf16", Target::Sm90a), 2);
        assert_eq!(count("2048 nt bf16 bf16", Target::Sm90a), 1);
        assert_eq!(count("4096 nn bf16 bf16", Target::Sm90a), 0);
        assert_eq!(count("4096 nt f16 f32", Target::Sm90a), 0);
        assert_eq!(count("4096 nn bf16 f32", Target::Sm90a), 0);
        assert_eq!(count("300x5000x777 nt bf16 f32", Target::Sm90a), 0);
    }
}
