//! `schedule`: the tree, the loops as code, the instances in execution order, the script.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use warploom::diag::Result;
use warploom::explain::explain;
use warploom::{Schedule, Session, Target, compile, report};

use crate::args::{ScheduleArgs, View};
use crate::commands::explain::json;
use crate::{load, output};

/// Most instances a timeline is sorted from.
const MOST_INSTANCES: usize = 100_000;

pub(crate) fn schedule(args: &ScheduleArgs) -> Result<()> {
    let nest = load::symbolic_nest(&args.spec)?;
    let schedule = load::schedule(&nest, args.schedule.as_deref(), Target::Cpu, &args.records)?;
    match args.view {
        View::Script => output::print(&schedule.script().to_string()),
        View::Loops => output::print(&compile::lower(&schedule)?.kernel().to_string()),
        View::Json => output::json(&json(&explain(&schedule)?)),
        View::Tree => {
            let mut session = Session::new();
            output::print(&report::tree_text(session.deps(&schedule)?, schedule.tree())?)
        }
        View::Timeline => output::print(&timeline(&schedule, args.limit)?),
    }
}

/// One line per instance in execution order, with the thread that runs it.
fn timeline(schedule: &Schedule, limit: usize) -> Result<String> {
    let nest = schedule.nest();
    let mut text = String::new();
    let steps = report::timeline(
        schedule.poly(),
        schedule.tree(),
        &BTreeMap::new(),
        &nest.source,
        MOST_INSTANCES,
    )?;
    for (t, step) in steps.iter().take(limit).enumerate() {
        let _ = write!(text, "t={t} | {}", step.instance);
        if !step.thread.is_empty() {
            let _ = write!(text, "  thread {:?}", step.thread);
        }
        text.push('\n');
    }
    Ok(text)
}
