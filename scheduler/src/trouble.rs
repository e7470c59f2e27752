//! What can go wrong inside: an isl call or a diagnostic; outside only diagnostics are seen.
//!
//! Why here: deadlines run closures whose error must be made from isl's error.

use warploom_ir::affine::Overflow;
use warploom_ir::diag::{Blame, Diagnostic};
use warploom_isl::{Error, ErrorKind};

/// Either kind of failure.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// isl failed.
    Isl(Error),
    /// A finished diagnostic.
    Diagnostic(Box<Diagnostic>),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Isl(error)
    }
}

impl From<Box<Diagnostic>> for Trouble {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::Diagnostic(diagnostic)
    }
}

impl From<Overflow> for Trouble {
    fn from(error: Overflow) -> Self {
        Self::Diagnostic(Box::new(
            Diagnostic::new("E0602", Blame::Input, format!("cannot be represented: {error}"))
                .help("use smaller constants"),
        ))
    }
}

impl Trouble {
    /// The diagnostic of a failure while doing `what`.
    pub(crate) fn explain(self, what: &str) -> Box<Diagnostic> {
        let error = match self {
            Self::Diagnostic(diagnostic) => return diagnostic,
            Self::Isl(error) => error,
        };
        let timed_out = matches!(error.kind, ErrorKind::Aborted | ErrorKind::Quota);
        Box::new(if timed_out {
            Diagnostic::new("E0601", Blame::Unsupported, format!("{what} took too long"))
                .witness(error.to_string())
                .help("use fewer statements in one nest, or fix the parameters (`param N = 512`)")
        } else {
            Diagnostic::new("E0604", Blame::Unsupported, format!("{what} failed: {error}"))
                .help("simplify the bounds and indices of the nest")
        })
    }
}
