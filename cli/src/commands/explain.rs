//! `explain`: parallel or not and why, FLOP, bytes and intensity of every loop.

use std::fmt::Write as _;

use warploom::Target;
use warploom::diag::Result;
use warploom::explain::{LoopReport, Report, explain as explain_schedule};
use warploom::{TensorCores, tensor_cores};

use crate::args::ExplainArgs;
use crate::{load, output};

pub(crate) fn explain(args: &ExplainArgs) -> Result<()> {
    let target: Target = args.target.parse()?;
    let nest = load::symbolic_nest(&args.spec)?;
    let schedule = load::schedule(&nest, args.schedule.as_deref(), target, &args.records)?;
    let report = explain_schedule(&schedule)?;
    let products = match target {
        Target::Cpu => Vec::new(),
        Target::Sm80 | Target::Sm90a | Target::Sm100a => tensor_cores(&schedule, target)?,
    };
    if args.spec.json {
        let mut all = json(&report);
        all["tensor_cores"] = products.iter().map(json_product).collect();
        return output::json(&all);
    }
    let lines = products.iter().map(|p| match &p.instruction {
        Some(instruction) => {
            format!("{} on tensor cores: {instruction}; {}\n", p.statement, p.because)
        }
        None => format!("{} not on tensor cores: {}\n", p.statement, p.because),
    });
    output::print(&(text(&report) + &lines.collect::<String>()))
}

fn json_product(p: &TensorCores) -> serde_json::Value {
    serde_json::json!({
        "statement": &*p.statement, "instruction": p.instruction.as_deref(), "because": p.because,
    })
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "symbolic".to_owned(), |v| format!("{v:.4e}"))
}

fn ratio(bytes: Option<f64>, flop: Option<f64>) -> String {
    match (bytes, flop) {
        (Some(b), Some(f)) if f > 0.0 => format!("{:.4}", b / f),
        (Some(_) | None, _) => "-".to_owned(),
    }
}

fn text(report: &Report) -> String {
    let mut out = format!(
        "program: {} FLOP, {} bytes in and out, {} bytes per FLOP\n",
        number(report.flop),
        number(report.bytes),
        ratio(report.bytes, report.flop)
    );
    for l in &report.loops {
        let marks =
            if l.marks.is_empty() { String::new() } else { format!(" [{}]", l.marks.join(", ")) };
        let _ = writeln!(
            out,
            "{}{}{marks}: {} FLOP, {} bytes touched, {} FLOP per byte at most",
            "  ".repeat(l.depth),
            l.name,
            number(l.flop),
            number(l.bytes),
            ratio(l.flop, l.bytes)
        );
        let why = l.serial_because.as_deref().map_or_else(
            || "parallel: no dependence between its iterations".to_owned(),
            |w| format!("serial: {w}"),
        );
        let _ = writeln!(out, "{}  {why}", "  ".repeat(l.depth));
    }
    out
}

fn json_loop(l: &LoopReport) -> serde_json::Value {
    serde_json::json!({
        "name": &*l.name, "depth": l.depth, "marks": l.marks,
        "parallel": l.serial_because.is_none(), "serial_because": l.serial_because,
        "flop": l.flop, "bytes": l.bytes,
    })
}

pub(crate) fn json(report: &Report) -> serde_json::Value {
    let loops: Vec<serde_json::Value> = report.loops.iter().map(json_loop).collect();
    serde_json::json!({ "flop": report.flop, "bytes": report.bytes, "loops": loops })
}
