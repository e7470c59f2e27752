//! What this machine has: processor, LLVM, isl, assembler, driver.
//!
//! Out: a list of findings a person can act on. Keeps: looks, never changes anything.

use std::process::Command;

/// One thing looked for.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked for.
    pub what: &'static str,
    /// Whether it can be used.
    pub ok: bool,
    /// What was found, or what to do.
    pub detail: String,
}

/// Looks at the machine.
#[must_use]
pub fn examine() -> Vec<Finding> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    vec![
        Finding { what: "cpu", ok: true, detail: format!("{threads} threads") },
        Finding { what: "isl", ok: true, detail: warploom_isl::version() },
        ptxas(),
        driver(),
    ]
}

/// The optional assembler that checks generated PTX.
fn ptxas() -> Finding {
    let found = Command::new("ptxas").arg("--version").output();
    match found {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let line = text.lines().find(|l| l.contains("release")).unwrap_or("found").trim();
            Finding { what: "ptxas", ok: true, detail: line.to_owned() }
        }
        Ok(_) | Err(_) => Finding {
            what: "ptxas",
            ok: false,
            detail: "not on the PATH; only needed to assemble PTX without a GPU".to_owned(),
        },
    }
}

/// The NVIDIA driver's device files.
fn driver() -> Finding {
    let present = std::path::Path::new("/dev/nvidiactl").exists();
    let detail = if present {
        "an NVIDIA driver is present; this version still runs on the CPU"
    } else {
        "no NVIDIA driver: programs run on the CPU"
    };
    Finding { what: "cuda", ok: present, detail: detail.to_owned() }
}
