//! `gpu-bandwidth`: nests that are bound by memory traffic, the automatic schedule against PyTorch
//! and against the bandwidth of a copy measured in the same run.
//!
//! Bytes are those of all arrays, each read or written once. Results are judged element by element
//! in binary64 before a time counts (bench/torch_peer.py has the bounds).

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use warploom::{DType, Name, Nest, Sizes, bind};

use super::against_torch::{Measured, Race};
use super::cases::{CASES, Case};
use super::problem;
use super::torch_peer::Torch;
use warploom::measure::Rounds;

use super::{Times, quoted};
use crate::record::{COLUMNS, Machine, STATE};

/// Traffic in units of 100 MB.
const TRAFFIC: [i64; 2] = [1, 4];

const DTYPES: [DType; 2] = [DType::F32, DType::Bf16];

/// What one copy reads when the bandwidth of copies is measured: far beyond any cache.
const COPIED: usize = 1 << 30;

/// Columns of a measurement, before the device's state.
const MEASURED: &str = "pairs,ours_us,ours_p10,ours_p90,torch_us,torch_p10,torch_p90,winner,\
    torch_over_ours,ours_tb_s,torch_tb_s,copy_tb_s,ours_of_copy,ours_error,ours_bound,torch_error,\
    torch_bound,compile_ms";

const PAIRS: Rounds = Rounds {
    most: 31,
    fewest: 5,
    budget: Duration::from_secs(3),
    warm: 10,
    warm_for: Duration::from_millis(10),
};

/// Prints a line for each case, traffic and type; `wanted` names cases, types, MB of traffic, and
/// `compiled` for PyTorch's compiler instead of its kernels.
pub(crate) fn run(wanted: &[String]) -> Result<(), Box<dyn Error>> {
    let traffic = TRAFFIC.map(|k| (k * 100).to_string());
    let wanted = Wanted::read(wanted, &traffic)?;
    let mut torch = Torch::start(if wanted.compiled { "compiled" } else { "eager" })?;
    let copy = torch.copy(COPIED)?;
    let mut bench = Bench { race: Race::new(torch)?, machine: Machine::look(), copy: copy.median };
    println!("case,dtype,traffic_mb,bytes,{MEASURED},{STATE},status,peer,{COLUMNS}");
    for case in CASES.iter().filter(|c| wanted.case(c.name)) {
        for (factor, name) in TRAFFIC.into_iter().zip(&traffic) {
            for dtype in DTYPES {
                if wanted.traffic(name) && wanted.dtype(dtype.name()) {
                    println!("{}", bench.line(case, dtype, factor));
                }
            }
        }
    }
    Ok(())
}

/// What was asked for; nothing of a kind means all of it.
struct Wanted {
    cases: Vec<String>,
    dtypes: Vec<String>,
    traffic: Vec<String>,
    compiled: bool,
}

impl Wanted {
    fn read(words: &[String], traffic: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut wanted = Self { cases: vec![], dtypes: vec![], traffic: vec![], compiled: false };
        for word in words {
            if word == "compiled" {
                wanted.compiled = true;
            } else if CASES.iter().any(|c| c.name == word) {
                wanted.cases.push(word.clone());
            } else if DTYPES.iter().any(|d| d.name() == word) {
                wanted.dtypes.push(word.clone());
            } else if traffic.contains(word) {
                wanted.traffic.push(word.clone());
            } else {
                let names: Vec<&str> = CASES.iter().map(|c| c.name).collect();
                let names = names.join(", ");
                return Err(format!("`{word}` is none of f32, bf16, 100, 400, {names}").into());
            }
        }
        Ok(wanted)
    }

    fn case(&self, name: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|c| c == name)
    }

    fn dtype(&self, name: &str) -> bool {
        self.dtypes.is_empty() || self.dtypes.iter().any(|d| d == name)
    }

    fn traffic(&self, name: &str) -> bool {
        self.traffic.is_empty() || self.traffic.iter().any(|t| t == name)
    }
}

struct Bench {
    race: Race,
    machine: Machine,
    /// Seconds of a copy that reads [`COPIED`] bytes.
    copy: f64,
}

impl Bench {
    /// The line of a case; a failure is written where others say `ok`.
    fn line(&mut self, case: &Case, dtype: DType, factor: i64) -> String {
        let begun = Instant::now();
        let nest = nest(case, dtype, factor);
        let bytes = nest.as_ref().ok().and_then(|n| problem::traffic(n).ok()).unwrap_or(0);
        let copy = 2.0 * COPIED as f64 / self.copy / 1e12;
        let measured = nest.and_then(|nest| self.race.run(nest, case.operation, &PAIRS));
        let (name, dtype) = (case.name, dtype.name());
        let traffic = factor * 100;
        eprintln!("{name} {dtype} {traffic} MB: {:.1} s", begun.elapsed().as_secs_f64());
        let (middle, peer) = (columns(&measured, bytes, copy), quoted(&self.race.torch.version));
        format!("{name},{dtype},{traffic},{bytes},{middle},{peer},{}", self.machine.columns())
    }
}

/// The columns from `pairs` to `status`.
fn columns(measured: &Result<Measured, Box<dyn Error>>, bytes: usize, copy: f64) -> String {
    let Measured { times, judged: [ours, torch], compile_ms, state } = match measured {
        Ok(measured) => measured,
        Err(e) => {
            return format!(
                "0{}{copy:.3}{}{}",
                ",".repeat(11),
                ",".repeat(10),
                quoted(&e.to_string())
            );
        }
    };
    let Times { pairs, ours: o, theirs: t, .. } = times;
    let rate = |seconds: f64| bytes as f64 / seconds / 1e12;
    format!(
        "{pairs},{},{},{},{:.3},{:.3},{:.3},{copy:.3},{:.3},{:.2e},{:.2e},{:.2e},{:.2e},\
         {compile_ms:.1},{state},ok",
        o.scaled(1e6).columns(),
        t.scaled(1e6).columns(),
        times.winner("torch"),
        t.median / o.median,
        rate(o.median),
        rate(t.median),
        rate(o.median) / copy,
        ours.error,
        ours.bound,
        torch.error,
        torch.bound,
    )
}

/// The nest of a case.
fn nest(case: &Case, dtype: DType, factor: i64) -> Result<Nest, Box<dyn Error>> {
    let narrow = (DType::F32.size_bytes() / dtype.size_bytes()).max(1);
    let (text, sizes) = case.at(dtype.name(), factor * i64::try_from(narrow)?);
    let sizes: Sizes = sizes.into_iter().map(|(name, n)| (Name::from(name), n)).collect();
    Ok(bind(&text.parse()?, &sizes, &BTreeMap::new())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::against_torch::example;

    #[test]
    fn every_line_has_a_field_for_each_column() {
        let measured = example();
        let header = format!("{MEASURED},{STATE},status");
        let good = columns(&Ok(measured), 100_000_000, 4.0);
        let bad = columns(&Err("no GPU".into()), 100_000_000, 4.0);
        let names: Vec<&str> = header.split(',').collect();
        for line in [&good, &bad] {
            assert_eq!(line.split(',').count(), names.len(), "{line}");
            let copy = names.iter().position(|n| *n == "copy_tb_s").unwrap();
            assert_eq!(line.split(',').nth(copy), Some("4.000"), "{line}");
        }
        assert!(good.contains(",warploom,2.000,5.000,2.500,4.000,1.250,"), "{good}");
    }

    #[test]
    fn words_choose_cases() {
        let traffic = ["100".to_owned(), "400".to_owned()];
        let words = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        let wanted = Wanted::read(&words("transpose bf16 compiled"), &traffic).unwrap();
        assert!(wanted.compiled && wanted.case("transpose") && !wanted.case("copy"));
        assert!(wanted.dtype("bf16") && !wanted.dtype("f32") && wanted.traffic("400"));
        assert!(Wanted::read(&words("f16"), &traffic).is_err());
    }
}
