//! The context: isl's memory, options and last error.
//!
//! Keeps: the C context lives as long as any clone or object of it; it belongs to one thread
//! (`Rc`, so neither `Send` nor `Sync`); errors are silent and come back as values.

use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use std::cell::RefCell;
use std::ffi::CStr;
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// isl's `ISL_ON_ERROR_CONTINUE`: no output, no abort.
const ON_ERROR_CONTINUE: i32 = 1;

/// `isl_error_abort`.
const ABORTED: i32 = 1;
/// `isl_error_alloc`.
const NO_MEMORY: i32 = 2;
/// `isl_error_quota`.
const OVER_QUOTA: i32 = 6;

/// An isl context; clones share it, objects keep it alive.
#[derive(Clone)]
pub struct Ctx(pub(crate) Rc<Inner>);

/// What the clones of a context share.
pub(crate) struct Inner {
    pub(crate) ptr: NonNull<sys::isl_ctx>,
    /// One flag per running `with_deadline`, outermost first; true once its time is over.
    pub(crate) deadlines: RefCell<Vec<Arc<AtomicBool>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: the last clone is gone and with it every object, so nothing refers to the
        // context.
        unsafe { sys::isl_ctx_free(self.ptr.as_ptr()) }
    }
}

impl Ctx {
    /// A new context with isl's default options and silent errors.
    pub fn new() -> Ctx {
        // SAFETY: allocates; needs nothing.
        let raw = unsafe { sys::isl_ctx_alloc() };
        let ptr = NonNull::new(raw).expect("isl_ctx_alloc fails only when memory is exhausted");
        // SAFETY: the context is live. Setting this option cannot fail on a fresh context.
        unsafe { sys::isl_options_set_on_error(ptr.as_ptr(), ON_ERROR_CONTINUE) };
        Ctx(Rc::new(Inner { ptr, deadlines: RefCell::new(Vec::new()) }))
    }

    /// The C context.
    pub(crate) fn raw(&self) -> *mut sys::isl_ctx {
        self.0.ptr.as_ptr()
    }

    /// True if both are one context.
    pub fn is_same(&self, other: &Ctx) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Forgets the last error, so that what is found after a call belongs to it.
    pub(crate) fn start(&self) {
        // SAFETY: the context is live.
        unsafe { sys::isl_ctx_reset_error(self.raw()) }
    }

    /// True if isl noted an error since [`Ctx::start`].
    pub(crate) fn has_error(&self) -> bool {
        // SAFETY: the context is live.
        unsafe { sys::isl_ctx_last_error(self.raw()) }.0 != 0
    }

    /// An error if isl was interrupted since [`Ctx::start`]. Why: `isl_set_count_val` for one
    /// answers with what it had counted when it was stopped, as if that were the result.
    pub(crate) fn check_whole(&self, call: &'static str) -> Result<()> {
        // SAFETY: the context is live.
        let code = unsafe { sys::isl_ctx_last_error(self.raw()) }.0;
        if matches!(code, ABORTED | NO_MEMORY | OVER_QUOTA) {
            return Err(self.take_error(call));
        }
        Ok(())
    }

    /// The error isl left behind, as a value; the context is clean afterwards.
    pub(crate) fn take_error(&self, call: &'static str) -> Error {
        let raw = self.raw();
        // SAFETY: the context is live; the strings are literals in isl or NULL, copied at once.
        let (code, message, file, line) = unsafe {
            let text = |s: sys::LentStr| {
                (!s.0.is_null()).then(|| CStr::from_ptr(s.0).to_string_lossy().into_owned())
            };
            let code = sys::isl_ctx_last_error(raw).0;
            let message = text(sys::isl_ctx_last_error_msg(raw));
            let file = text(sys::isl_ctx_last_error_file(raw));
            (code, message, file, sys::isl_ctx_last_error_line(raw))
        };
        self.start();
        let reads = call.ends_with("_read_from_str");
        let (kind, words) = match code {
            ABORTED => (ErrorKind::Aborted, "the deadline passed"),
            NO_MEMORY => (ErrorKind::Memory, "memory allocation failed"),
            4 => (ErrorKind::Internal, "internal error"),
            OVER_QUOTA => (ErrorKind::Quota, "the limit on operations was exceeded"),
            7 => (ErrorKind::Unsupported, "not supported"),
            _ if reads => (ErrorKind::Parse, "not understood"),
            5 => (ErrorKind::Invalid, "invalid argument"),
            _ => (ErrorKind::Internal, "failed without a reason"),
        };
        let location = file.map(|f| format!("{f}:{line}"));
        Error { call, message: message.unwrap_or_else(|| words.to_string()), location, kind }
    }
}

impl Default for Ctx {
    fn default() -> Ctx {
        Ctx::new()
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ctx({:p})", self.raw())
    }
}

/// isl's version text, such as `UNKNOWN-IMath-32` for the build this crate asks for.
pub fn version() -> String {
    // SAFETY: gives a literal.
    let text = unsafe { CStr::from_ptr(sys::isl_version().0) };
    text.to_string_lossy().trim_end().to_string()
}
