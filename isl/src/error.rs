//! Errors of isl as values.
//!
//! In: what isl left in its context after a call that failed; out: an [`Error`].
//! Why here: isl reports by NULL or -1 and keeps the reason in the context, where the next
//! failing call overwrites it, so it is read at once.

use std::fmt;

/// What an isl call gives: a value or an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as far as isl or this crate can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A text that isl does not understand.
    Parse,
    /// An argument that does not fit: spaces differ, a position out of range, a wrong node type.
    Invalid,
    /// A limit on operations, or a caller's limit on results, was exceeded.
    Quota,
    /// A deadline passed, see [`crate::Ctx::with_deadline`].
    Aborted,
    /// isl does not implement this case.
    Unsupported,
    /// Memory could not be allocated.
    Memory,
    /// Two objects of different contexts in one call.
    MixedContexts,
    /// isl failed without saying why, or found itself in a state it did not expect.
    Internal,
}

/// A failed isl call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The C function that failed.
    pub call: &'static str,
    /// isl's words, or this crate's where isl was not reached.
    pub message: String,
    /// Where in isl's sources the error was raised, as `file:line`.
    pub location: Option<String>,
    /// The class of the error.
    pub kind: ErrorKind,
}

impl Error {
    /// An error that this crate raised before isl was reached.
    pub(crate) fn own(call: &'static str, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { call, message: message.into(), location: None, kind }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.message)?;
        match &self.location {
            Some(at) => write!(f, " ({at})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
