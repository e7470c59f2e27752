//! `check`: replays a script and says that every step is legal, or why one is not.

use warploom::Target;
use warploom::diag::Result;

use crate::args::CheckArgs;
use crate::{load, output};

pub(crate) fn check(args: &CheckArgs) -> Result<()> {
    let nest = load::symbolic_nest(&args.spec)?;
    let schedule = load::schedule(&nest, Some(&args.schedule), Target::Cpu)?;
    let steps = schedule.script().steps.len();
    if args.spec.json {
        output::json(&serde_json::json!({ "legal": true, "steps": steps }))
    } else {
        output::print(&format!("legal: {steps} steps\n"))
    }
}
