//! Warploom for C: `include/warploom.h`, whose comments are the interface's documentation.
//!
//! In: strings, and addresses of the caller's arrays. Out: programs that run on them.
//! Keeps: a failure is a code and a message, never a panic that crosses into C.
//! Why here: what C calls cannot be checked by types; all that stands between its pointers and the
//! safe interface is in this crate, which holds nothing else.

mod options;
mod program;

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use warploom::Diagnostic;

pub use options::Options;
pub use program::{Array, Program};

thread_local! {
    static ERROR: RefCell<CString> = RefCell::default();
}

/// What went wrong, for the caller to ask about; its exit code.
fn failed(message: &str, code: i32) -> c_int {
    // a message with a zero in it quotes the caller's text: cut there
    let text = message.split('\0').next().unwrap_or_default();
    ERROR.with(|e| *e.borrow_mut() = CString::new(text).unwrap_or_default());
    code
}

/// Runs one call; neither errors nor panics leave it.
fn call(work: impl FnOnce() -> Result<(), Box<Diagnostic>>) -> c_int {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => 0,
        Ok(Err(d)) => failed(&d.to_string(), d.blame.exit_code().into()),
        Err(_) => failed("error: a defect of Warploom, please report the call", 3),
    }
}

fn missing(what: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::input("E0901", format!("{what} is NULL")))
}

/// The version of this library.
#[unsafe(no_mangle)]
pub extern "C" fn warploom_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// What went wrong in this thread's last call that failed.
#[unsafe(no_mangle)]
pub extern "C" fn warploom_error() -> *const c_char {
    ERROR.with(|e| e.borrow().as_ptr())
}

/// Compiles a spec.
///
/// # Safety
/// `spec` and the strings of `options` are NULL or end with a zero; `options` is NULL or has
/// `struct_size` bytes; `program` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn warploom_compile(
    spec: *const c_char,
    options: *const Options,
    program: *mut *mut Program,
) -> c_int {
    call(|| {
        if program.is_null() {
            return Err(missing("`program`"));
        }
        // SAFETY: it can be written, and whatever happens the caller finds NULL or a program.
        unsafe { *program = std::ptr::null_mut() };
        // SAFETY: the caller's promise.
        let spec = unsafe { options::text(spec, "`spec`") }?.ok_or_else(|| missing("`spec`"))?;
        // SAFETY: the caller's promise.
        let options = unsafe { options::given(options) }?;
        let made = Box::new(Program::compile(spec, &options)?);
        // SAFETY: it can be written.
        unsafe { *program = Box::into_raw(made) };
        Ok(())
    })
}

/// How many arrays a run takes.
///
/// # Safety
/// `program` is NULL or came from [`warploom_compile`] and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn warploom_arrays(program: *const Program) -> usize {
    // SAFETY: the caller's promise.
    unsafe { program.as_ref() }.map_or(0, |p| p.arrays().len())
}

/// Describes one of the arrays.
///
/// # Safety
/// As for [`warploom_arrays`]; `array` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn warploom_describe(
    program: *const Program,
    index: usize,
    array: *mut Array,
) -> c_int {
    call(|| {
        // SAFETY: the caller's promise.
        let program = unsafe { program.as_ref() }.ok_or_else(|| missing("`program`"))?;
        // SAFETY: the caller's promise.
        let array = unsafe { array.as_mut() }.ok_or_else(|| missing("`array`"))?;
        let all = program.arrays();
        *array = all.get(index).map(program::Described::view).ok_or_else(|| {
            let text = format!("there is no array {index}: the program has {}", all.len());
            Box::new(Diagnostic::input("E1103", text))
        })?;
        Ok(())
    })
}

/// The script of the schedule that was compiled.
///
/// # Safety
/// As for [`warploom_arrays`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn warploom_schedule(program: *const Program) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { program.as_ref() }.map_or(std::ptr::null(), |p| p.schedule().as_ptr())
}

/// Runs a program on these arrays.
///
/// # Safety
/// As for [`warploom_arrays`]; `arrays` has `count` addresses; behind each are the array's bytes,
/// on the program's device, which nothing else writes, or touches where they are written, until the
/// run has ended; `stream` is NULL or a live stream of that device's primary context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn warploom_run(
    program: *mut Program,
    arrays: *const *mut c_void,
    count: usize,
    stream: *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: the caller's promise; runs are locked inside, so that a shared borrow does.
        let program = unsafe { program.as_ref() }.ok_or_else(|| missing("`program`"))?;
        if arrays.is_null() && count > 0 {
            return Err(missing("`arrays`"));
        }
        let addresses = match count {
            0 => &[][..],
            // SAFETY: the caller's promise.
            _ => unsafe { std::slice::from_raw_parts(arrays, count) },
        };
        // SAFETY: the caller's promise.
        unsafe { program.run(addresses, stream) }
    })
}

/// Frees a program, after its last run has ended.
///
/// # Safety
/// `program` is NULL or came from [`warploom_compile`], and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn warploom_free(program: *mut Program) {
    if program.is_null() {
        return;
    }
    let _freed = call(|| {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(program) });
        Ok(())
    });
}

/// A string of C's; none where it is NULL.
///
/// # Safety
/// It is NULL or ends with a zero, and lives as long as it is used.
unsafe fn string<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}
