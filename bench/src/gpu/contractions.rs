//! `gpu-contractions`: contractions over several indices, the automatic schedule against PyTorch's
//! einsum: eight of TCCG's (P. Springer, P. Bientinesi, Design of a High-Performance GEMM-like
//! Tensor-Tensor Multiplication, 2018), and batches of small products.
//!
//! The roofline of a case is the larger of the time of its bytes at 4.3 TB/s and of its operations
//! at 700 TFLOP/s (350 in tf32, 57 in f64), all measured of libraries on an H200. Results are
//! judged element by element in binary64 before a time counts (bench/torch_peer.py has the
//! bounds).

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use warploom::measure::{Rounds, geometric_mean};
use warploom::{DType, Nest, Spec, SpecTypes, bind};

use super::against_torch::{Measured, Race};
use super::problem;
use super::torch_peer::Torch;
use super::{Times, quoted};
use crate::record::{COLUMNS, Machine, STATE};

/// An einsum with the size of every label: of those that are not named, and of those that are.
type Case = (&'static str, i64, &'static [(char, i64)]);

const CASES: [Case; 11] = [
    ("dabfe,fc->edcba", 32, &[]),
    ("aebd,ce->dcba", 72, &[]),
    ("adb,cd->cba", 384, &[]),
    ("aged,cbfg->fedcba", 16, &[('g', 72)]),
    ("ae,dcbe->dcba", 72, &[]),
    ("ceda,dbe->cba", 72, &[('b', 384)]),
    ("dac,bcd->ba", 384, &[]),
    ("fbea,cedf->dcba", 72, &[]),
    ("bmk,bkn->bmn", 512, &[('b', 64)]),
    ("bmk,bkn->bmn", 128, &[('b', 256)]),
    ("bmk,bkn->bmn", 64, &[('b', 1024)]),
];

/// The types that factors can have, and the operations of a second of libraries with them.
const DTYPES: [(DType, f64); 4] =
    [(DType::Bf16, 700e12), (DType::F16, 700e12), (DType::Tf32, 350e12), (DType::F64, 57e12)];

/// Bytes of a second.
const BYTES: f64 = 4.3e12;

const PAIRS: Rounds = Rounds {
    most: 31,
    fewest: 9,
    budget: Duration::from_secs(2),
    warm: 5,
    warm_for: Duration::from_millis(10),
};

/// Columns of a measurement, before the device's state.
const MEASURED: &str = "pairs,ours_us,ours_p10,ours_p90,torch_us,torch_p10,torch_p90,winner,\
    torch_over_ours,tflop_s,of_roofline,ours_error,ours_bound,torch_error,torch_bound,compile_ms";

/// Prints a line for each case and type; `wanted` has types, or einsums.
pub(crate) fn run(wanted: &[String]) -> Result<(), Box<dyn Error>> {
    let types: Vec<DType> = wanted.iter().filter_map(|w| w.parse().ok()).collect();
    let specs: Vec<&String> = wanted.iter().filter(|w| w.contains("->")).collect();
    if types.len() + specs.len() < wanted.len() || types.iter().any(|t| rate(*t).is_none()) {
        return Err("a word is none of bf16, f16, tf32, f64, nor an einsum of the list".into());
    }
    let types = if types.is_empty() { vec![DType::Bf16] } else { types };
    let mut race = Race::new(Torch::start("eager")?)?;
    let machine = Machine::look();
    println!("einsum,sizes,dtype,{MEASURED},{STATE},status,peer,{COLUMNS}");
    for dtype in types {
        let mut ratios = Vec::new();
        for (spec, usual, others) in CASES {
            if !specs.is_empty() && !specs.iter().any(|s| *s == spec) {
                continue;
            }
            let begun = Instant::now();
            let case = nest(spec, dtype, usual, others);
            let seconds = |flop: f64| flop / rate(dtype).unwrap_or(f64::INFINITY);
            let floor = case.as_ref().map_or(0.0, |(nest, flop)| roofline(nest, seconds(*flop)));
            let flop = case.as_ref().map_or(0.0, |(_, flop)| *flop);
            let operation = format!("einsum {spec}");
            let measured = case.and_then(|(nest, _)| race.run(nest, &operation, &PAIRS));
            ratios.extend(measured.as_ref().map(|m| m.times.theirs.median / m.times.ours.median));
            let said = measured.as_ref().map_or_else(ToString::to_string, |m| {
                let (o, t) = (m.times.ours.median * 1e6, m.times.theirs.median * 1e6);
                format!("{o:.1} us, PyTorch {t:.1} us, {:.2}", t / o)
            });
            eprintln!("{spec} {dtype}: {said} ({:.1} s)", begun.elapsed().as_secs_f64());
            let middle = columns(&measured, floor, flop);
            let (sizes, peer) = (quoted(&sizes(usual, others)), quoted(&race.torch.version));
            println!("\"{spec}\",{sizes},{dtype},{middle},{peer},{}", machine.columns());
        }
        eprintln!("{dtype}: geometric mean {:.2} of {}", geometric_mean(&ratios), ratios.len());
    }
    Ok(())
}

/// `b 64 others 512`.
fn sizes(usual: i64, others: &[(char, i64)]) -> String {
    let named = others.iter().map(|(label, n)| format!("{label} {n} "));
    format!("{}others {usual}", named.collect::<String>())
}

/// The nest of an einsum, and its operations.
fn nest(
    spec: &str,
    dtype: DType,
    usual: i64,
    others: &[(char, i64)],
) -> Result<(Nest, f64), Box<dyn Error>> {
    let size = |label: char| others.iter().find(|(l, _)| *l == label).map_or(usual, |(_, n)| *n);
    let operands = spec.split("->").next().unwrap_or(spec);
    let shape = |term: &str| term.chars().map(|l| usize::try_from(size(l))).collect();
    let shapes: Vec<Vec<usize>> = operands.split(',').map(shape).collect::<Result<_, _>>()?;
    let operands_of = shapes.into_iter().map(|s| (dtype, Some(s))).collect();
    // sums in binary32 stay that
    let out = (dtype == DType::Tf32).then_some(DType::F32);
    let types = SpecTypes { operands: operands_of, out, ..SpecTypes::default() };
    let nest = Spec::read(spec)?.nest(&types)?;
    let mut labels: Vec<char> = operands.chars().filter(char::is_ascii_alphabetic).collect();
    labels.sort_unstable();
    labels.dedup();
    let products: f64 = labels.iter().map(|l| size(*l) as f64).product();
    Ok((bind(&nest, &BTreeMap::new(), &BTreeMap::new())?, 2.0 * products))
}

/// Operations of a second of a library with factors of this type.
fn rate(dtype: DType) -> Option<f64> {
    DTYPES.iter().find(|(d, _)| *d == dtype).map(|(_, rate)| *rate)
}

/// Seconds that the case takes at least, whose operations take so many.
fn roofline(nest: &Nest, operations: f64) -> f64 {
    let bytes = problem::traffic(nest).map_or(0.0, |b| b as f64);
    (bytes / BYTES).max(operations)
}

/// The columns from `pairs` to `status`.
fn columns(measured: &Result<Measured, Box<dyn Error>>, floor: f64, flop: f64) -> String {
    let Measured { times, judged: [ours, torch], compile_ms, state } = match measured {
        Ok(measured) => measured,
        Err(e) => return format!("0{}{}", ",".repeat(19), quoted(&e.to_string())),
    };
    let Times { pairs, ours: o, theirs: t, .. } = times;
    format!(
        "{pairs},{},{},{},{:.3},{:.1},{:.3},{:.2e},{:.2e},{:.2e},{:.2e},{compile_ms:.1},{state},ok",
        o.scaled(1e6).columns(),
        t.scaled(1e6).columns(),
        times.winner("torch"),
        t.median / o.median,
        flop / o.median / 1e12,
        floor / o.median,
        ours.error,
        ours.bound,
        torch.error,
        torch.bound,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::against_torch::example;

    #[test]
    fn cases_are_nests_with_their_operations_and_rooflines() {
        for (spec, usual, others) in CASES {
            let (nest, flop) = nest(spec, DType::Bf16, usual, others).unwrap();
            assert_eq!(warploom::inputs(&nest).len(), 2, "{spec}");
            assert!(flop > 5e8 && roofline(&nest, flop / 7e14) > 1e-6, "{spec}");
        }
        let (product, flop) = nest("bmk,bkn->bmn", DType::Bf16, 8, &[('b', 3)]).unwrap();
        assert_eq!(flop, 2.0 * 3.0 * 512.0);
        assert_eq!(problem::traffic(&product).unwrap(), 3 * 3 * 64 * 2);
        assert_eq!(sizes(8, &[('b', 3)]), "b 3 others 8");
    }

    #[test]
    fn every_line_has_a_field_for_each_column() {
        let measured = example();
        let names = format!("{MEASURED},{STATE},status");
        let good = columns(&Ok(measured), 1e-5, 2e9);
        for line in [&good, &columns(&Err("no GPU".into()), 1e-5, 2e9)] {
            assert_eq!(line.split(',').count(), names.split(',').count(), "{line}");
        }
        assert!(good.contains(",warploom,2.000,100.0,0.500,"), "{good}");
    }
}
