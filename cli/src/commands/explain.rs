//! `explain`: parallel or not and why, FLOP, bytes and intensity of every loop, and for a GPU the
//! time that the performance model predicts.

use std::fmt::Write as _;

use std::path::Path;

use warploom::calibrate::{Calibration, Machines};
use warploom::diag::{Diagnostic, Result};
use warploom::explain::{LoopReport, Report, explain as explain_schedule};
use warploom::model::{Machine, Part, Prediction, predict_kernel};
use warploom::tune::kind_for;
use warploom::{Kernel, KernelFile, Target, TensorCores, compile, tensor_cores};

use crate::args::{ExplainArgs, MachineArgs};
use crate::{load, output};

pub(crate) fn explain(args: &ExplainArgs) -> Result<()> {
    let target: Target = args.target.parse()?;
    let machine = machine(args.machine.as_deref(), target, &args.machines)?;
    if KernelFile::is_named(&args.spec.spec) {
        let kernel = compile::kernel(super::kernel::sized(&args.spec)?.kernel().clone())?;
        let predicted = predicted(kernel.kernel(), machine.as_ref());
        return match args.spec.json {
            true => output::json(&serde_json::json!({ "prediction": json_prediction(&predicted) })),
            false => output::print(&text_prediction(&predicted)),
        };
    }
    let nest = load::symbolic_nest(&args.spec)?;
    let schedule = load::schedule(&nest, args.schedule.as_deref(), target, &args.records)?;
    let report = explain_schedule(&schedule)?;
    let products = match target.gpu() {
        None => Vec::new(),
        Some(_gpu) => tensor_cores(&schedule, target)?,
    };
    let predicted = match &machine {
        None => Err("the model is of GPUs".to_owned()),
        Some(_) => match compile::lower(&schedule) {
            Ok(lowered) => predicted(lowered.kernel(), machine.as_ref()),
            Err(d) => Err(d.message),
        },
    };
    if args.spec.json {
        let mut all = json(&report);
        all["tensor_cores"] = products.iter().map(json_product).collect();
        all["prediction"] = json_prediction(&predicted);
        return output::json(&all);
    }
    let lines = products.iter().map(|p| match &p.instruction {
        Some(instruction) => {
            format!("{} on tensor cores: {instruction}; {}\n", p.statement, p.because)
        }
        None => format!("{} not on tensor cores: {}\n", p.statement, p.because),
    });
    let lines: String = lines.collect();
    let prediction = match machine {
        Some(_) => text_prediction(&predicted),
        None => String::new(),
    };
    output::print(&(text(&report) + &lines + &prediction))
}

/// A machine, and where and when it was calibrated.
struct Described {
    machine: Machine,
    calibrated: Option<[String; 2]>,
}

impl Described {
    fn plain(machine: Machine) -> Self {
        Self { machine, calibrated: None }
    }

    fn measured(calibration: &Calibration) -> Result<Self> {
        let calibrated = Some([calibration.device.clone(), calibration.date.clone()]);
        Ok(Self { machine: calibration.machine()?, calibrated })
    }
}

/// The machine that is named, else this one's GPU where it is calibrated, else that of the target;
/// none for the processor.
fn machine(name: Option<&str>, target: Target, args: &MachineArgs) -> Result<Option<Described>> {
    let Some(name) = name else {
        let Some(usual) = Machine::of(target) else { return Ok(None) };
        // a description that is not taken is said, and the usual one serves
        let found = Machines::new(&args.machines).load(&kind_for(target)).unwrap_or_else(|note| {
            output::error(&note);
            None
        });
        return match found {
            Some(calibration) => Described::measured(&calibration).map(Some),
            None => Ok(Some(Described::plain(usual))),
        };
    };
    if Path::new(name).extension().is_some_and(|e| e == "toml") {
        return Described::measured(&Calibration::load(Path::new(name))?).map(Some);
    }
    match Machine::named(name) {
        Some(machine) => Ok(Some(Described::plain(machine))),
        None => {
            let text = format!("`{name}` is no machine that the performance model describes");
            let known = Machine::ALL.map(|m| m.name).join(", ");
            let help = format!("it describes {known}; a machine description ends in .toml");
            Err(Box::new(Diagnostic::input("E0908", text).help(help)))
        }
    }
}

/// A prediction with its machine, or why there is none.
type Predicted<'a> = std::result::Result<(&'a Described, Prediction), String>;

fn predicted<'a>(kernel: &Kernel, machine: Option<&'a Described>) -> Predicted<'a> {
    let described = machine.ok_or_else(|| "the model is of GPUs".to_owned())?;
    match predict_kernel(kernel, &described.machine) {
        Some(prediction) => Ok((described, prediction)),
        None => Err("a size is open; give all with --size".to_owned()),
    }
}

fn json_prediction(predicted: &Predicted<'_>) -> serde_json::Value {
    match predicted {
        Err(why) => serde_json::json!({ "why_not": why }),
        Ok((Described { machine, calibrated }, p)) => {
            let calibrated = calibrated
                .as_ref()
                .map(|[device, date]| serde_json::json!({ "device": device, "date": date }));
            let parts = p.parts.iter().map(|(part, time)| (part.name().to_owned(), us(*time)));
            serde_json::json!({
                "machine": machine.name, "calibrated": calibrated,
                "us": us(p.time), "limit": p.limit.name(),
                "parts_us": serde_json::Map::from_iter(parts),
            })
        }
    }
}

fn us(seconds: f64) -> serde_json::Value {
    serde_json::json!((seconds * 1e9).round() / 1e3)
}

fn text_prediction(predicted: &Predicted<'_>) -> String {
    let (Described { machine, calibrated }, p) = match predicted {
        Err(why) => return format!("no predicted time: {why}\n"),
        Ok(found) => found,
    };
    let calibrated = calibrated
        .as_ref()
        .map_or_else(String::new, |[device, date]| format!(" (as calibrated on {device}, {date})"));
    let mut out = format!(
        "predicted, not measured, on {}{calibrated}: {:.2} us, limited by {}\n",
        machine.name,
        p.time * 1e6,
        p.limit
    );
    let _ = writeln!(out, "  each part alone, in us (they overlap):");
    for (part, time) in p.parts.iter().filter(|(_, t)| *t > 0.0) {
        let mark = if *part == p.limit && *part != Part::Launch { "  <- limit" } else { "" };
        let _ = writeln!(out, "  {:20} {:10.2}{mark}", part.name(), time * 1e6);
    }
    out
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
    for s in &report.sums {
        let _ = writeln!(
            out,
            "{}: {} from {}: {} FLOP, {} elements",
            s.statement,
            s.target,
            s.factors.join(", "),
            number(s.flop),
            number(s.elements)
        );
    }
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
    let sum = |s: &warploom::explain::SumReport| {
        serde_json::json!({
            "statement": &*s.statement, "target": s.target, "factors": s.factors,
            "flop": s.flop, "elements": s.elements,
        })
    };
    let sums: Vec<serde_json::Value> = report.sums.iter().map(sum).collect();
    serde_json::json!({
        "flop": report.flop, "bytes": report.bytes, "sums": sums, "loops": loops,
    })
}
