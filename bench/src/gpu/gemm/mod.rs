//! `gpu-gemm`: products of matrices, the automatic schedule and the programs of examples/kernels
//! against cublasLt's best algorithm.
//!
//! In: words that choose cases (`cases`), `seconds=N` after which none begins, `schedules=FOLDER`
//! with scripts that contend too, `SHAPE.NAME.sched` in the cases of their shape. Out: CSV with a
//! line for each contestant of a case, a table on standard error last. All contestants of a case
//! run in one process (`serve`), in rounds in which each has a turn on one stream, over the same
//! arrays; this process only asks, and starts another one where that fails.

mod cases;
mod data;
mod serve;

pub(crate) use serve::{CONTESTANTS, serve};

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::quoted;
use crate::record::{COLUMNS, Machine, STATE, state};
use cases::Case;
use warploom::measure::{Percentiles, geometric_mean};
use warploom_contest::Process;

/// The longest that a case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Columns of a contestant, before the device's state.
const MEASURED: &str = "rounds,us,p10,p90,cublaslt_us,cublaslt_p10,cublaslt_p90,winner,\
    cublaslt_over_us,ratio_p10,ratio_p90,tflops,cublaslt_tflops,tb_s,cublaslt_tb_s,error,\
    cublaslt_error,bound,candidates,chosen,ptx_ms,compile_ms,launches";

/// Prints a line for each contestant of each case.
pub(crate) fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    let option = |name: &str| words.iter().rev().find_map(|w| w.strip_prefix(name));
    let seconds = option("seconds=").map_or(Ok(u64::MAX), str::parse)?;
    let folder = option("schedules=");
    let cases: Vec<String> = words.iter().filter(|w| !w.contains('=')).cloned().collect();
    let cases = cases::wanted(&cases)?;
    println!("shape,layout,dtype,out,contestant,{MEASURED},{STATE},status,peer,{COLUMNS}");
    let begun = Instant::now();
    let (machine, mut process, mut table) = (Machine::look(), None, Table::default());
    let mut done = 0;
    for case in &cases {
        if begun.elapsed().as_secs() >= seconds {
            break;
        }
        done += 1;
        let started = Instant::now();
        let answer = ask(&mut process, case, folder);
        if answer.is_err() {
            process = None; // it may be broken
        }
        for line in lines(case, &answer) {
            println!("{line},{}", machine.columns());
        }
        table.note(case, &answer);
        eprintln!("{}: {:.1} s", case.line(), started.elapsed().as_secs_f64());
    }
    eprintln!("{}", table.text());
    eprintln!("gemm: {done} of {} cases in {:.0} s", cases.len(), begun.elapsed().as_secs_f64());
    Ok(())
}

fn ask(
    process: &mut Option<Process>,
    case: &Case,
    folder: Option<&str>,
) -> Result<Value, Box<dyn Error>> {
    let process = match process {
        Some(process) => process,
        none => {
            let mut command = Command::new(std::env::current_exe()?);
            none.insert(Process::start(command.arg(CONTESTANTS).args(folder), "the contestants")?)
        }
    };
    Ok(serde_json::from_str(&process.ask_within(&case.line(), LIMIT)?)?)
}

/// Median, 10th and 90th percentile that the process wrote.
fn three(value: &Value) -> Percentiles {
    let at = |i: usize| value[i].as_f64().unwrap_or(f64::NAN);
    Percentiles { median: at(0), p10: at(1), p90: at(2) }
}

/// The lines of a case, without where and when; a failure is written where others say `ok`.
fn lines(case: &Case, answer: &Result<Value, Box<dyn Error>>) -> Vec<String> {
    let (shape, layout) = (&case.shape, case.layout());
    let fast = if case.product.fast { " fast" } else { "" };
    let first = format!("{shape},{layout},{},{}{fast}", case.product.dtype, case.product.out);
    let failed = |name: &str, why: &str, peer: &str| {
        let empty = ",".repeat(MEASURED.split(',').count() + STATE.split(',').count());
        format!("{first},{name}{empty},{},{peer}", quoted(why))
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(e) => return vec![failed("all", &e.to_string(), "cublasLt")],
    };
    let peer = format!("cublasLt {}", answer["lt"]["version"]);
    let state = state();
    let contestants = answer["contestants"].as_array();
    let line = |one: &Value| {
        let name = one["name"].as_str().unwrap_or("unknown");
        let status = one["status"].as_str().unwrap_or("unknown");
        if status != "ok" {
            return failed(name, status, &peer);
        }
        format!("{first},{name},{},{state},ok,{peer}", columns(case, answer, one))
    };
    contestants.into_iter().flatten().map(line).collect()
}

/// The fields of [`MEASURED`].
fn columns(case: &Case, answer: &Value, one: &Value) -> String {
    let (lt, facts) = (&answer["lt"], &one["facts"]);
    let (own, theirs, ratio) = (three(&one["us"]), three(&lt["us"]), three(&one["ratio"]));
    let rate = |of: Percentiles| case.operations() / of.median / 1e6;
    let traffic = |of: Percentiles| case.bytes() as f64 / of.median / 1e6;
    let milliseconds =
        |name: &str| facts[name].as_f64().map_or(String::new(), |v| format!("{v:.1}"));
    let error = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    format!(
        "{},{},{},{},{},{:.1},{:.1},{:.3},{:.3},{:.1e},{:.1e},{:.1e},{},{},{},{},{}",
        answer["rounds"],
        own.columns(),
        theirs.columns(),
        one["winner"].as_str().unwrap_or("none"),
        ratio.columns(),
        rate(own),
        rate(theirs),
        traffic(own),
        traffic(theirs),
        error(&one["error"]),
        error(&lt["error"]),
        error(&answer["bound"]),
        lt["facts"]["candidates"],
        lt["facts"]["chosen"],
        milliseconds("ptx_ms"),
        milliseconds("compile_ms"),
        facts["launches"].as_u64().map_or(String::new(), |n| n.to_string()),
    )
}

/// What is printed last: a row for each shape and pair of types, means of squares and others.
#[derive(Default)]
struct Table {
    /// In the order of the cases: a group, and what was found in it.
    rows: Vec<(String, Vec<String>)>,
    /// The automatic schedule's ratios by kind of shape.
    ratios: BTreeMap<&'static str, Vec<f64>>,
}

impl Table {
    fn note(&mut self, case: &Case, answer: &Result<Value, Box<dyn Error>>) {
        let layout = case.layout();
        let mut found = match answer {
            Ok(answer) => {
                let rate = case.operations() / three(&answer["lt"]["us"]).median / 1e6;
                vec![format!("{layout} cublaslt {rate:.0} TFLOP/s")]
            }
            Err(e) => vec![format!("{layout} {e}")],
        };
        let contestants = answer.as_ref().ok().and_then(|a| a["contestants"].as_array());
        for one in contestants.into_iter().flatten() {
            let name = one["name"].as_str().unwrap_or("unknown");
            let ratio = three(&one["ratio"]).median;
            let said = one["status"].as_str().filter(|s| *s != "ok");
            found.push(
                said.map_or_else(|| format!("{name} {ratio:.2}"), |s| format!("{name}: {s}")),
            );
            if name == "warploom" && said.is_none() {
                let square = !case.shape.contains('x');
                let kind = match case.shape.as_str() {
                    "512" => "squares of 512",
                    _ if square => "squares from 1024 on",
                    _ => "other shapes",
                };
                self.ratios.entry(kind).or_default().push(ratio);
            }
        }
        let (group, found) = (case.group(), found.join(", "));
        match self.rows.iter_mut().find(|(name, _)| *name == group) {
            Some((_, list)) => list.push(found),
            None => self.rows.push((group, vec![found])),
        }
    }

    fn text(&self) -> String {
        let row = |(group, found): &(String, Vec<String>)| {
            format!("gemm {group:<26} {}", found.join(" | "))
        };
        let mean = |(kind, ratios): (&&str, &Vec<f64>)| {
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let (mean, n) = (geometric_mean(ratios), ratios.len());
            format!(
                "gemm {kind}: geometric mean of cublaslt over warploom {mean:.3}, \
                 least {least:.3}, n {n}"
            )
        };
        let rows = self.rows.iter().map(row).chain(self.ratios.iter().map(mean));
        rows.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_line_has_a_field_for_each_column_and_the_table_a_mean() {
        let case = Case::read("4096 nt bf16 f32").unwrap();
        let answer: Result<Value, Box<dyn Error>> = Ok(json!({
            "rounds": 31, "sets": 3, "bound": 1e-5,
            "lt": { "us": [200.0, 190.0, 210.0], "error": 1e-8, "version": 130_100,
                    "facts": { "candidates": 8, "chosen": 2 } },
            "contestants": [
                { "name": "warploom", "us": [400.0, 390.0, 410.0], "ratio": [0.5, 0.49, 0.51],
                  "error": 1e-8, "status": "ok",
                  "facts": { "ptx_ms": 90.0, "compile_ms": 250.0, "launches": 1 } },
                { "name": "gemm_mma", "us": [400.0, 390.0, 410.0], "ratio": [0.5, 0.49, 0.51],
                  "error": 1e-8, "status": "ok", "facts": {} },
                { "name": "gemm_wgmma", "status": "too, \"slow\"" },
            ],
        }));
        let names = format!("shape,layout,dtype,out,contestant,{MEASURED},{STATE},status,peer");
        let names = names.split(',').count();
        let failed: Result<Value, Box<dyn Error>> = Err("it, ended".into());
        for line in lines(&case, &answer).iter().chain(&lines(&case, &failed)) {
            let plain = line.replace("\"too, 'slow'\"", "").replace("\"it, ended\"", "");
            let plain = plain.replace("unknown,unknown,unknown", ",,");
            assert_eq!(plain.split(',').count(), names, "{line}");
        }
        let mut table = Table::default();
        table.note(&case, &answer);
        table.note(&case, &failed);
        let text = table.text();
        assert!(text.contains("nt cublaslt 687 TFLOP/s, warploom 0.50, gemm_mma 0.50"), "{text}");
        assert!(text.contains("squares from 1024 on: geometric mean"), "{text}");
    }
}
