//! Printing: text to standard output, diagnostics to standard error; a closed pipe ends quietly.

use std::io::{self, Write};

use warploom::Diagnostic;
use warploom::diag::{Blame, Result};

/// Writes `text` to standard output.
///
/// # Errors
/// `E0902` when standard output cannot be written; a closed pipe is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    match written.and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(Box::new(Diagnostic::new(
            "E0902",
            Blame::Environment,
            format!("cannot write to standard output: {e}"),
        ))),
    }
}

/// Writes a diagnostic to standard error.
pub(crate) fn error(diagnostic: &Diagnostic) {
    // where standard error is closed there is nobody left to tell
    let _ = write!(io::stderr().lock(), "{diagnostic}");
}

/// Pretty-prints JSON to standard output.
///
/// # Errors
/// As [`print`].
pub(crate) fn json(value: &serde_json::Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}
