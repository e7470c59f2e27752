//! `check`: replays a script and says that every step is legal, or why one is not; of a kernel
//! whether it can run.

use warploom::diag::{Diagnostic, Result};
use warploom::{KernelFile, Schedule, Target, compile};

use super::kernel;
use crate::args::CheckArgs;
use crate::{load, output};

pub(crate) fn check(args: &CheckArgs) -> Result<()> {
    if KernelFile::is_named(&args.spec.spec) {
        return kernel::check(args);
    }
    let nest = load::symbolic_nest(&args.spec)?;
    let Some(script) = &args.schedule else {
        let text = "there is nothing to check without a schedule";
        return Err(Box::new(Diagnostic::input("E0501", text).help("give --schedule FILE.sched")));
    };
    let schedule = load::replay(&nest, script)?;
    let steps = schedule.script().steps.len();
    let target: Option<Target> = args.target.as_deref().map(str::parse).transpose()?;
    match target {
        None => {}
        Some(Target::Cpu) => drop(compile::compile(&schedule)?),
        Some(gpu) => drop(compile::lower(&schedule)?.gpu(gpu)?),
    }
    let open = target.is_none() && contracts(&schedule);
    if args.spec.json {
        let code = target.map(|t| t.to_string());
        let value = serde_json::json!({ "legal": true, "steps": steps, "target": code });
        return output::json(&value);
    }
    let mut text = format!("legal: {steps} steps");
    if let Some(target) = target {
        text.push_str(&format!("; the code for {target} keeps its contracts"));
    } else if open {
        text.push_str("; contracts about code are checked with --target");
    }
    output::print(&format!("{text}\n"))
}

/// Whether the script has contracts about code.
fn contracts(schedule: &Schedule) -> bool {
    compile::lower(schedule).is_ok_and(|lowered| lowered.has_contracts())
}
