//! `bench`: what works on a GPU and how fast, in one file to send; `--bundle` makes a folder that
//! does so on another machine.
//!
//! Keeps: what could not be tried is said, with the reason; a failure is in the file too, and
//! decides the exit code after everything else was tried. While problems are timed the file has
//! what came out so far, so that whoever stops it keeps that.

mod bundle;
mod timed;

use std::io::Write as _;

use warploom::device::{Device, Devices};
use warploom::diag::{Diagnostic, Result};
use warploom::resources::Resources;
use warploom::verify::Verification;
use warploom::{Paired, Target, doctor, io};
use warploom_contest::suite::{Case, Conformance, Group, Wanted, cases, check};

use crate::args::BenchArgs;
use crate::output;

pub(crate) fn bench(args: &BenchArgs) -> Result<()> {
    if let Some(folder) = &args.bundle {
        return bundle::write(folder);
    }
    let there = Devices::list().unwrap_or_default().into_iter().find(|d| d.target().is_some());
    let target = match (&args.target, &there) {
        (Some(name), _) => name.parse()?,
        (None, Some(info)) => info.target().unwrap_or(Target::Sm100a),
        (None, None) => Target::Sm100a,
    };
    if target == Target::Cpu {
        let text = "`bench` shows what works on a GPU";
        let help = "the targets are sm_80, sm_86, sm_89, sm_90a, sm_100a, sm_103a and sm_120";
        return Err(Box::new(Diagnostic::input("E0907", text).help(help)));
    }
    let mut notes = missing();
    let device = match &there {
        Some(info) if info.target() == Some(target) => Some(Device::open(info.ordinal)?),
        Some(info) => {
            notes.push(format!(
                "{} does not run code for {target}: it was made, assembled and interpreted, but \
                 not run, and nothing was timed",
                info.name
            ));
            None
        }
        None => {
            notes.push(format!(
                "there is no GPU here: code for {target} was made, assembled and interpreted, but \
                 not run, and nothing was timed"
            ));
            None
        }
    };
    let chosen = chosen(&args.only, target)?;
    let shown = conformance(&chosen, target, device.as_ref());
    let save = |notes: &[String], races: &[timed::Race]| {
        io::save_text(&args.report, &format!("{:#}\n", json(target, notes, &shown, races)))
    };
    let races = match (&device, args.no_timing) {
        (Some(device), false) => {
            let part = [notes.as_slice(), &["not all problems were timed".to_owned()]].concat();
            timed::races(&chosen, device, args.budget, &|races| save(&part, races))?
        }
        (Some(_), true) => {
            notes.push("nothing was timed, as was asked".to_owned());
            Vec::new()
        }
        (None, _) => Vec::new(),
    };
    let text = text(target, &notes, &shown, &races);
    save(&notes, &races)?;
    output::print(&format!("{text}\nall of this is in {}\n", args.report.display()))?;
    let failed = shown.iter().find_map(|s| match &s.outcome {
        Err(d) => Some(d.clone()),
        Ok(c) => c.failure().map(|d| Box::new(d.clone())),
    });
    failed.map_or(Ok(()), Err)
}

/// What this machine lacks of what can be shown.
fn missing() -> Vec<String> {
    let lacks = doctor::examine().into_iter().filter(|f| !f.ok);
    lacks.map(|f| format!("{}: {}", f.what, f.detail)).collect()
}

/// The cases that words name, of those that a target can show.
fn chosen(words: &[String], target: Target) -> Result<Vec<Case>> {
    let named = |case: &Case| {
        let called = |w: &String| case.group.name() == w || case.name.contains(w.as_str());
        case.is_for(target) && (words.is_empty() || words.iter().any(called))
    };
    let all: Vec<Case> = cases().into_iter().filter(named).collect();
    if all.is_empty() {
        let text = format!("no case is called `{}`, of those for {target}", words.join("` or `"));
        let groups = Group::ALL.map(Group::name).join(", ");
        let help = format!("groups are {groups}; names are such as `mk,nk->mn bf16`");
        return Err(Box::new(Diagnostic::input("E0909", text).help(help)));
    }
    Ok(all)
}

/// What came of a case, by blocks of their own or by pairs.
struct Shown {
    name: String,
    paired: bool,
    outcome: Result<Conformance>,
}

/// Tells how far it is.
fn progress(text: &str) {
    // where standard error is closed there is nobody to tell
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn conformance(cases: &[Case], target: Target, device: Option<&Device>) -> Vec<Shown> {
    let pairs = matches!(target, Target::Sm100a | Target::Sm103a);
    let also: &[Target] = if target == Target::Sm100a { &[Target::Sm103a] } else { &[] };
    let mut out = Vec::new();
    for case in cases {
        let ways = [(Paired::Never, true), (Paired::Always, pairs)];
        for (paired, _) in ways.into_iter().filter(|w| w.1) {
            progress(&format!("bench: {}{}", case.name, way(paired == Paired::Always)));
            // B300 has no integers in tensor memory
            let also = if case.integers() { &[] } else { also };
            let wanted = Wanted { target, paired, also, interpret: true, device };
            let outcome = check(case, &wanted);
            let done = outcome.as_ref().is_ok_and(|c| c.instructions.iter().any(|i| is_pair(i)));
            if paired == Paired::Always && outcome.is_ok() && !done {
                // no tiles of this case allow pairs: it is what was shown already
                continue;
            }
            let paired = paired == Paired::Always;
            out.push(Shown { name: case.name.clone(), paired, outcome });
        }
    }
    out
}

fn is_pair(instruction: &str) -> bool {
    instruction.contains(".pair.")
}

const fn way(paired: bool) -> &'static str {
    if paired { ", pairs" } else { "" }
}

/// `ok 3.1e-2 of 5e-2`, `FAILED …`, or a dash where it was not tried.
fn judged(found: Option<&Result<Verification>>) -> String {
    match found {
        None => "-".to_owned(),
        Some(Ok(v)) => format!("ok, {:.1e} of {:.1e}", v.max_error, v.bound),
        Some(Err(d)) => format!("FAILED {}", d.code),
    }
}

fn text(target: Target, notes: &[String], shown: &[Shown], races: &[timed::Race]) -> String {
    let mut lines = vec![format!("warploom {} for {target}", env!("CARGO_PKG_VERSION"))];
    lines.extend(notes.iter().map(|n| format!("note: {n}")));
    let passed = shown.iter().filter(|s| s.outcome.as_ref().is_ok_and(Conformance::passed));
    lines.push(format!("\nconformance: {} of {} passed", passed.count(), shown.len()));
    lines.push(format!(
        "{:<32} {:<10} {:<24} {:<24} instructions",
        "case", "assembled", "interpreted", "on the GPU"
    ));
    for s in shown {
        let name = format!("{}{}", s.name, way(s.paired));
        lines.push(match &s.outcome {
            Err(d) => format!("{name:<32} FAILED {}: {}", d.code, d.message),
            Ok(c) => format!(
                "{name:<32} {:<10} {:<24} {:<24} {}",
                assembled(c),
                judged(c.interpreted.as_ref()),
                judged(c.ran.as_ref()),
                c.instructions.join(" ")
            ),
        });
    }
    lines.push(format!("\nresources\n{:<32} {}", "case", Resources::HEAD));
    for s in shown {
        let all = s.outcome.as_ref().ok().and_then(|c| c.resources.as_ref().ok());
        for r in all.into_iter().flatten() {
            lines.push(format!("{:<32} {}", format!("{}{}", s.name, way(s.paired)), r.line()));
        }
    }
    lines.extend(timed::text(races));
    lines.join("\n")
}

fn assembled(c: &Conformance) -> &'static str {
    let all = || c.assembled.iter().map(|(_, said)| said);
    match all().find_map(|said| said.as_ref().err()) {
        None => "ok",
        Some(_) if c.failure().is_none() => "-",
        Some(_) => "FAILED",
    }
}

fn json(
    target: Target,
    notes: &[String],
    shown: &[Shown],
    races: &[timed::Race],
) -> serde_json::Value {
    let verified = |found: Option<&Result<Verification>>| match found {
        None => serde_json::Value::Null,
        Some(Ok(v)) => serde_json::json!({
            "error": v.max_error, "bound": v.bound, "elements": v.elements, "against": v.method,
        }),
        Some(Err(d)) => refusal(d),
    };
    let of = |s: &Shown| match &s.outcome {
        Err(d) => serde_json::json!({ "case": s.name, "paired": s.paired, "refused": refusal(d) }),
        Ok(c) => serde_json::json!({
            "case": s.name,
            "paired": s.paired,
            "passed": c.passed(),
            "instructions": c.instructions,
            "assembled": c.assembled.iter().map(|(target, said)| serde_json::json!({
                "target": target.name(),
                "refused": said.as_ref().err().map(|d| refusal(d)),
            })).collect::<Vec<_>>(),
            "interpreted": verified(c.interpreted.as_ref()),
            "on_gpu": verified(c.ran.as_ref()),
            "functions": c.resources.as_ref().ok().into_iter().flatten().map(function)
                .collect::<Vec<_>>(),
        }),
    };
    let findings = doctor::examine();
    serde_json::json!({
        "warploom": env!("CARGO_PKG_VERSION"),
        "target": target.name(),
        "machine": findings.iter().map(|f| serde_json::json!({
            "what": f.what, "ok": f.ok, "detail": f.detail,
        })).collect::<Vec<_>>(),
        "notes": notes,
        "conformance": shown.iter().map(of).collect::<Vec<_>>(),
        "timed": races.iter().map(timed::Race::json).collect::<Vec<_>>(),
    })
}

fn refusal(d: &Diagnostic) -> serde_json::Value {
    serde_json::json!({ "code": d.code, "message": d.message, "witness": d.witness })
}

fn function(r: &Resources) -> serde_json::Value {
    serde_json::json!({
        "name": r.entry, "threads": r.threads, "cluster": r.cluster, "registers": r.registers,
        "spilled": r.spilled, "stack": r.stack, "shared_bytes": r.shared_bytes,
        "tensor_columns": r.tensor_columns,
    })
}
