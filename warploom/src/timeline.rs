//! The instances of a schedule in execution order.
//!
//! In: a schedule with fixed sizes. Out: `S1[0,2,1]` per instance, with the iteration of the
//! parallel loop it belongs to: iterations of one parallel loop may run at the same time on
//! several threads.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::schedule::{Poly, PolyStatement, Tree};
use warploom_isl::{Ctx, Set};
use warploom_scheduler::Schedule;

/// A step of time: numbers in loops, positions in sequences.
type Time = Vec<i64>;

/// The first `limit` instances in execution order.
///
/// # Errors
/// `E0511` for a size that is not fixed; `E0906` when there are more than 100 000 instances.
pub fn timeline(schedule: &Schedule, limit: usize) -> Result<Vec<String>> {
    const MOST: usize = 100_000;
    let poly = schedule.poly();
    let open: Vec<&str> =
        poly.params.iter().filter(|p| p.value.is_none()).map(|p| &*p.name).collect();
    if !open.is_empty() {
        return Err(Box::new(
            Diagnostic::input("E0511", format!("the size of {} is not given", open.join(", ")))
                .help("a timeline needs fixed sizes: add --size"),
        ));
    }
    let mut all: Vec<(Time, String)> = Vec::new();
    for s in &poly.statements {
        for point in points(poly, s, MOST.saturating_sub(all.len()))? {
            let (time, thread) = place(poly, schedule.tree(), s, &point);
            let at: Vec<String> = point.iter().map(ToString::to_string).collect();
            let mut text = format!("{}[{}]", s.statement.name, at.join(","));
            if !thread.is_empty() {
                text.push_str(&format!("  thread {}", thread.join(", ")));
            }
            all.push((time, text));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all.into_iter().take(limit).map(|(_, text)| text).collect())
}

fn points(poly: &Poly, s: &PolyStatement, most: usize) -> Result<Vec<Vec<i64>>> {
    let trouble = |e: warploom_isl::Error| {
        Box::new(
            Diagnostic::new("E0906", Blame::Unsupported, format!("too many instances: {e}"))
                .help("choose smaller sizes with --size"),
        )
    };
    let ctx = Ctx::new();
    let name = |n: &str| {
        let value = poly.params.iter().find(|p| &*p.name == n).and_then(|p| p.value);
        value.map_or_else(|| format!("v_{n}"), |v| v.to_string())
    };
    let dims: Vec<String> = s.iters.iter().map(|i| name(i)).collect();
    let domain: Vec<String> = s.domain.iter().map(|c| c.to_isl(&name)).collect();
    let domain = if domain.is_empty() { "1 = 1".to_owned() } else { domain.join(" and ") };
    let set = Set::parse(&ctx, &format!("{{ [{}] : {domain} }}", dims.join(","))).map_err(trouble)?;
    let found = set.points(most.saturating_add(1)).map_err(trouble)?;
    if found.len() > most {
        return Err(Box::new(
            Diagnostic::new("E0906", Blame::Unsupported, "too many instances for a timeline")
                .help("choose smaller sizes with --size"),
        ));
    }
    found.iter().map(|p| p.coordinates().map_err(trouble)).collect()
}

/// The time of an instance and the iterations of the parallel loops around it.
fn place(poly: &Poly, tree: &Tree, s: &PolyStatement, point: &[i64]) -> (Time, Vec<String>) {
    let values: BTreeMap<&Name, i64> = s.iters.iter().zip(point.iter().copied()).collect();
    let lookup = |n: &str| {
        let iter = values.iter().find(|(k, _)| &***k == n).map(|(_, v)| *v);
        iter.or_else(|| poly.params.iter().find(|p| &*p.name == n).and_then(|p| p.value))
    };
    let (mut time, mut threads) = (Time::new(), Vec::new());
    let mut here = tree;
    loop {
        match here {
            Tree::Statement(_) => break,
            Tree::Loop(l) => {
                let t = l.rows.get(&s.statement.name).and_then(|e| e.eval(&lookup)).unwrap_or(0);
                time.push(t);
                if l.marks.parallel {
                    threads.push(format!("{} = {t}", l.name));
                }
                here = &l.body;
            }
            Tree::Sequence(children) => {
                let holds = |c: &Tree| c.statements().contains(&s.statement.name);
                let Some(position) = children.iter().position(holds) else { break };
                time.push(i64::try_from(position).unwrap_or(i64::MAX));
                here = &children[position];
            }
        }
    }
    time.extend(point);
    (time, threads)
}
