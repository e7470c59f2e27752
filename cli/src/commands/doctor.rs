//! `doctor`: what this machine has and whether Warploom can use it; with `--calibrate` what its GPU
//! reaches.

use std::fmt::Write as _;
use std::io::Write as _;

use warploom::calibrate::{Calibration, GpuClock, Machines, PROBES, Probed, calibrate};
use warploom::device::Executor;
use warploom::diag::{Blame, Diagnostic, Result};
use warploom::doctor::{Finding, examine};
use warploom::measure::Percentiles;
use warploom::model::{Constant, Machine};
use warploom::{io, tune};

use crate::args::DoctorArgs;
use crate::output;

pub(crate) fn doctor(args: &DoctorArgs) -> Result<()> {
    if args.calibrate {
        return measured(args);
    }
    let findings: Vec<Finding> = examine();
    if args.json {
        let list: Vec<serde_json::Value> = findings
            .iter()
            .map(|f| serde_json::json!({ "what": f.what, "ok": f.ok, "detail": f.detail }))
            .collect();
        return output::json(&serde_json::Value::Array(list));
    }
    let lines: Vec<String> = findings
        .iter()
        .map(|f| format!("{:4} {:10} {}", if f.ok { "ok" } else { "--" }, f.what, f.detail))
        .collect();
    output::print(&lines.join("\n"))
}

/// Runs the microbenchmarks on a GPU and writes what they say.
fn measured(args: &DoctorArgs) -> Result<()> {
    let executor = match &args.device {
        Some(name) => Executor::named(name)?,
        None => Executor::best()?,
    };
    let device = tune::kind(&executor);
    let Executor::Cuda(gpu) = executor else { return Err(nothing_to_measure(&device)) };
    // the machine of its name, or of its target where it has a name that is not described
    let info = gpu.info();
    let named = Machine::named(&info.name).filter(|m| m.target == gpu.target());
    let described = named.or_else(|| Machine::of(gpu.target())).ok_or_else(|| {
        let text = format!("the performance model describes no GPU for {}", gpu.target());
        Box::new(Diagnostic::new("E0908", Blame::Unsupported, text))
    })?;
    let mut tell = |p: &Probed| {
        // where standard error is closed there is nobody to tell
        let _ = writeln!(std::io::stderr().lock(), "{}", line(p, &described));
    };
    let made = calibrate(&mut GpuClock::new(gpu.clone()), described, &device, &mut tell)?;
    let path = match &args.output {
        Some(path) => {
            io::save_text(path, &made.text())?;
            path.clone()
        }
        None => Machines::new(&args.machines.machines).save(&made)?,
    };
    if args.json {
        return output::json(&json(&made, &described, &path.display().to_string()));
    }
    let mut text = format!("{device}, described as {}, calibrated {}\n", described.name, made.date);
    for p in &made.probes {
        let _ = writeln!(text, "{}", line(p, &described));
    }
    let _ = write!(text, "written to {}", path.display());
    output::print(&text)
}

/// What was not done where there is no GPU.
fn nothing_to_measure(device: &str) -> Box<Diagnostic> {
    let all: Vec<&str> = PROBES.iter().map(|p| p.name).collect();
    let text = format!(
        "there is no GPU to calibrate, only {device}: nothing was measured and nothing written"
    );
    let help = format!(
        "the performance model is of GPUs; on a machine with one this measures {}",
        all.join(", ")
    );
    Box::new(Diagnostic::new("E0968", Blame::Environment, text).help(help))
}

/// What a probe took and said.
fn line(p: &Probed, described: &Machine) -> String {
    let constant = Constant::named(&p.tells);
    let unit = constant.map_or("", Constant::unit);
    let usual = constant.map_or(0.0, |c| c.of(described));
    let took = match p.us.is_empty() {
        true => "not run".to_owned(),
        false => format!("{:.2} us", Percentiles::of(p.us.clone()).median),
    };
    let said = match (p.value, &p.why) {
        (Some(value), _) => format!("{value:.4e} {unit} (described {usual:.4e})"),
        (None, Some(why)) => format!("stays {usual:.4e} {unit}: {why}"),
        (None, None) => format!("stays {usual:.4e} {unit}"),
    };
    format!("{:34} {took:>12}  {:8} {said}", p.name, p.tells)
}

fn json(made: &Calibration, described: &Machine, path: &str) -> serde_json::Value {
    let probe = |p: &Probed| {
        let usual = Constant::named(&p.tells).map(|c| c.of(described));
        serde_json::json!({
            "name": p.name, "tells": p.tells, "value": p.value, "described": usual, "why": p.why,
            "predicted_us": p.predicted_us, "us": p.us,
        })
    };
    serde_json::json!({
        "device": made.device, "based_on": made.based_on, "date": made.date, "file": path,
        "probes": made.probes.iter().map(probe).collect::<Vec<_>>(),
    })
}
