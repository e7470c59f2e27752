//! `deps`: every dependence with its kind, array and pairs of instances.

use std::fmt::Write as _;

use warploom::diag::Result;
use warploom::{Dependence, Schedule, Session};

use crate::args::SpecArgs;
use crate::{load, output};

pub(crate) fn deps(args: &SpecArgs) -> Result<()> {
    let nest = load::symbolic_nest(args)?;
    let schedule = Schedule::new(&nest)?;
    let mut session = Session::new();
    let all = session.deps(&schedule)?.dependences()?;
    if args.json {
        return output::json(&serde_json::Value::Array(all.iter().map(json).collect()));
    }
    let mut text = String::new();
    for d in &all {
        let _ = write!(text, "{} {} -> {} through {}", d.kind.text(), d.source, d.target, d.array);
        if let Some((op, order)) = &d.reduction {
            let _ = write!(text, " ({} order {})", op.text(), order.text());
        }
        let _ = writeln!(text, "\n  {}", d.direct.as_ref().unwrap_or(&d.relation));
    }
    if all.is_empty() {
        text.push_str("no dependences\n");
    }
    output::print(&text)
}

fn json(d: &Dependence) -> serde_json::Value {
    serde_json::json!({
        "kind": d.kind.text(), "source": &*d.source, "target": &*d.target, "array": &*d.array,
        "relation": d.relation, "direct": d.direct,
        "reduction": d.reduction.map(|(op, order)| [op.text(), order.text()]),
    })
}
