//! `doctor`: what this machine has and whether Warploom can use it.

use warploom::diag::Result;
use warploom::doctor::{Finding, examine};

use crate::args::DoctorArgs;
use crate::output;

pub(crate) fn doctor(args: &DoctorArgs) -> Result<()> {
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
