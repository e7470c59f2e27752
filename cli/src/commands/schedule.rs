//! `schedule`: the tree, the loops as code, the instances in execution order, the script.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use warploom::diag::Result;
use warploom::explain::{LoopReport, explain};
use warploom::{Name, Schedule, Tree, compile, timeline};

use crate::args::{ScheduleArgs, View};
use crate::commands::explain::json;
use crate::{load, output};

pub(crate) fn schedule(args: &ScheduleArgs) -> Result<()> {
    let nest = load::symbolic_nest(&args.spec)?;
    let schedule = load::schedule(&nest, args.schedule.as_deref())?;
    match args.view {
        View::Script => output::print(&schedule.script().to_string()),
        View::Loops => output::print(&compile::lower(&schedule)?.kernel().to_string()),
        View::Json => output::json(&json(&explain(&schedule)?)),
        View::Tree => output::print(&tree_text(&schedule)?),
        View::Timeline => {
            let lines: Vec<String> = timeline::timeline(&schedule, args.limit)?
                .iter()
                .enumerate()
                .map(|(t, i)| format!("t={t} | {i}"))
                .collect();
            output::print(&lines.join("\n"))
        }
    }
}

fn tree_text(schedule: &Schedule) -> Result<String> {
    let report = explain(schedule)?;
    let loops: BTreeMap<Name, LoopReport> =
        report.loops.into_iter().map(|l| (l.name.clone(), l)).collect();
    let mut out = String::new();
    draw(schedule.tree(), 0, &loops, &mut out);
    Ok(out)
}

fn draw(tree: &Tree, depth: usize, loops: &BTreeMap<Name, LoopReport>, out: &mut String) {
    let pad = "  ".repeat(depth);
    match tree {
        Tree::Statement(name) => {
            let _ = writeln!(out, "{pad}{name}");
        }
        Tree::Sequence(children) => {
            let _ = writeln!(out, "{pad}sequence");
            for child in children {
                draw(child, depth + 1, loops, out);
            }
        }
        Tree::Loop(l) => {
            let rows: Vec<String> = l.rows.iter().map(|(s, e)| format!("{s}: {e}")).collect();
            let report = loops.get(&l.name);
            let marks = report.map_or_else(String::new, |r| {
                if r.marks.is_empty() { String::new() } else { format!(" [{}]", r.marks.join(", ")) }
            });
            let why = report.and_then(|r| r.serial_because.as_deref());
            let why = why.map_or_else(|| "parallel".to_owned(), |w| format!("serial, {w}"));
            let _ = writeln!(out, "{pad}loop {}{marks} ({}) — {why}", l.name, rows.join("; "));
            draw(&l.body, depth + 1, loops, out);
        }
    }
}
