//! What this machine has: processor, LLVM, isl, assembler, driver.
//!
//! Out: a list of findings a person can act on. Keeps: looks, never changes anything.

use warploom_codegen::ptx::Ptxas;
use warploom_ir::diag::Result;
use warploom_runtime::cuda::{DeviceInfo, Devices};

/// One thing looked for.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked for.
    pub what: String,
    /// Whether it can be used.
    pub ok: bool,
    /// What was found, or what to do.
    pub detail: String,
}

/// Looks at the machine.
#[must_use]
pub fn examine() -> Vec<Finding> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let found = |what: &str, detail| Finding { what: what.to_owned(), ok: true, detail };
    let mut findings = vec![
        found("cpu", format!("{threads} threads")),
        found("isl", warploom_isl::version()),
        ptxas(),
    ];
    findings.extend(devices(Devices::list()));
    findings
}

/// The optional assembler that checks generated PTX.
fn ptxas() -> Finding {
    let what = "ptxas".to_owned();
    match Ptxas::find() {
        Ok(tool) => Finding { what, ok: true, detail: tool.release().to_owned() },
        Err(d) => Finding {
            what,
            ok: false,
            detail: format!("{}; only needed to assemble PTX without a GPU", d.message),
        },
    }
}

/// The GPUs, or why there are none.
fn devices(list: Result<Vec<DeviceInfo>>) -> Vec<Finding> {
    let none = |detail| Finding { what: "cuda".to_owned(), ok: false, detail };
    match list {
        Err(d) => vec![none(format!("{}: programs run on the CPU", d.message))],
        Ok(list) if list.is_empty() => vec![none("no NVIDIA GPU: programs run on the CPU".into())],
        Ok(list) => list.iter().map(device).collect(),
    }
}

fn device(info: &DeviceInfo) -> Finding {
    let DeviceInfo { ordinal, name, capability: (major, minor), memory, multiprocessors } = info;
    let target = match info.target() {
        Some(target) => format!("runs {target}"),
        None => "too old, 8.0 is needed".to_owned(),
    };
    let gib = *memory as f64 / f64::from(1 << 30);
    let detail = format!(
        "{name}, compute capability {major}.{minor} ({target}), {multiprocessors} multiprocessors, \
         {gib:.1} GiB"
    );
    Finding { what: format!("cuda:{ordinal}"), ok: info.target().is_some(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_with_what_they_run() {
        let info = |ordinal, capability| DeviceInfo {
            ordinal,
            name: "Test GPU".to_owned(),
            capability,
            memory: 3 << 29,
            multiprocessors: 7,
        };
        let found = devices(Ok(vec![info(0, (9, 0)), info(1, (7, 5))]));
        assert_eq!((found[0].what.as_str(), found[0].ok), ("cuda:0", true));
        assert_eq!(
            found[0].detail,
            "Test GPU, compute capability 9.0 (runs sm_90a), 7 multiprocessors, 1.5 GiB"
        );
        assert_eq!((found[1].what.as_str(), found[1].ok), ("cuda:1", false));
        assert!(found[1].detail.contains("too old"));
        assert!(!devices(Ok(Vec::new()))[0].ok);
        let refused = Box::new(warploom_ir::diag::Diagnostic::input("E1110", "no driver"));
        assert_eq!(devices(Err(refused))[0].detail, "no driver: programs run on the CPU");
    }
}
