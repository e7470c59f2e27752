//! `check`: replays a script and says that every step is legal, or why one is not; of a kernel
//! whether it can run.

use warploom::KernelFile;
use warploom::diag::{Diagnostic, Result};

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
    if args.spec.json {
        output::json(&serde_json::json!({ "legal": true, "steps": steps }))
    } else {
        output::print(&format!("legal: {steps} steps\n"))
    }
}
