//! C as a contestant on the CPU: a nest in the order of its text, or a file that a person wrote,
//! compiled by gcc and called in this process.
//!
//! In: C text, and arrays. Out: turns, results. Requires gcc (or another compiler of this name) at
//! run time. Keeps: arrays are checked before the call; what a person's function does with them
//! is his own.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use libloading::Library;
use warploom::diag::{Blame, Diagnostic, Result};
use warploom::measure::Contestant;
use warploom::{Name, Nest, Role, Schedule, Tensor, compile};

use crate::arrays::Arrays;

/// What gcc is told beside what to make.
pub const FLAGS: [&str; 2] = ["-O3", "-march=native"];

/// A run that is shorter is repeated so often that the clock shows it.
const SHORT: f64 = 20e-6;
const LONG_ENOUGH: f64 = 50e-6;

/// Calls a function with all its arrays and sizes.
type Call = unsafe extern "C" fn(*const *mut c_void, *const i64);

/// A compiled function with its arrays.
pub struct CCode {
    call: Call,
    /// Arguments in their order, of which the arrays are addresses in `arrays`.
    order: Vec<Name>,
    sizes: Vec<i64>,
    arrays: Arrays,
    last: f64,
    /// Dropped last: `call` is in it.
    _library: Library,
    _folder: tempfile::TempDir,
}

/// An argument of a function in C.
pub(crate) enum CArgument {
    /// An array.
    Array(Name),
    /// A size, and its type in C.
    Size(i64, &'static str),
}

impl CCode {
    /// A nest whose sizes are fixed, in the order of its text.
    ///
    /// # Errors
    /// `E0971` where gcc is not there or refuses the text.
    pub fn of_nest(nest: &Nest, data: &BTreeMap<Name, Tensor>) -> Result<Self> {
        let lowered = compile::lower(&Schedule::new(nest)?)?;
        let text = lowered.c();
        let head = text.strip_prefix("/* kernel ").and_then(|rest| rest.split_once(':'));
        let entry = head.map(|(name, _)| name.to_owned()).unwrap_or_default();
        let arguments =
            lowered.kernel().buffers.iter().filter(|b| !matches!(b.role, Role::Const(_)));
        let arguments = arguments.map(|b| CArgument::Array(b.name.clone())).collect();
        let arrays = Arrays::of_kernel(lowered.kernel(), data)?;
        Self::compile(&text, &entry, arguments, arrays, &[])
    }

    /// A function of a text.
    pub(crate) fn compile(
        text: &str,
        entry: &str,
        arguments: Vec<CArgument>,
        arrays: Arrays,
        flags: &[String],
    ) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|e| failed(&e.to_string()))?;
        let (mut order, mut sizes, mut passed) = (Vec::new(), Vec::new(), Vec::new());
        for argument in arguments {
            match argument {
                CArgument::Array(name) => {
                    passed.push(format!("arrays[{}]", order.len()));
                    order.push(name);
                }
                CArgument::Size(value, kind) => {
                    passed.push(format!("({kind})sizes[{}]", sizes.len()));
                    sizes.push(value);
                }
            }
        }
        let mut text = text.to_owned();
        let passed = passed.join(", ");
        let _ = write!(
            text,
            "\nvoid warploom_call(void *const *arrays, const long long *sizes)\n{{\n    \
             (void)arrays; (void)sizes;\n    {entry}({passed});\n}}\n"
        );
        let library = build(&text, folder.path(), flags)?;
        // SAFETY: the function was written above with this signature, and the library lives as long
        // as `call` is used.
        let found = unsafe { library.get::<Call>(b"warploom_call\0") };
        let call = *found.map_err(|e| failed(&e.to_string()))?;
        let last = f64::INFINITY;
        Ok(Self { call, order, sizes, arrays, last, _library: library, _folder: folder })
    }

    /// Runs once from the first contents; the results.
    ///
    /// # Errors
    /// An array that is not there.
    pub fn results(&mut self) -> Result<BTreeMap<Name, Tensor>> {
        self.arrays.poison();
        self.run(1)?;
        Ok(self.arrays.results())
    }

    fn run(&mut self, times: usize) -> Result<f64> {
        self.arrays.restore();
        let mut addresses = Vec::with_capacity(self.order.len());
        for name in &self.order {
            let address = self.arrays.address(name);
            addresses.push(address.ok_or_else(|| failed(&format!("there is no array `{name}`")))?);
        }
        let started = Instant::now();
        for _ in 0..times {
            // SAFETY: there are as many addresses and sizes as the function reads; each address is
            // that of an array of the problem's type and shape that nothing else uses meanwhile.
            unsafe { (self.call)(addresses.as_ptr(), self.sizes.as_ptr()) };
        }
        Ok(started.elapsed().as_secs_f64() / times as f64)
    }
}

impl Contestant for CCode {
    type Error = Box<Diagnostic>;

    fn turn(&mut self, warm: usize) -> Result<f64> {
        for _ in 0..warm {
            self.last = self.run(1)?;
        }
        let short = self.arrays.is_repeatable() && self.last < SHORT;
        let times = if short { (LONG_ENOUGH / self.last.max(1e-8)) as usize } else { 1 };
        self.last = self.run(times.max(1))?;
        Ok(self.last)
    }
}

/// The compiler's name and version.
#[must_use]
pub fn version() -> Option<String> {
    let done = Command::new("gcc").arg("-dumpfullversion").output().ok()?;
    let text = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    (done.status.success() && !text.is_empty()).then(|| format!("gcc {text}"))
}

fn build(text: &str, folder: &Path, flags: &[String]) -> Result<Library> {
    let (source, object) = (folder.join("kernel.c"), folder.join("kernel.so"));
    std::fs::write(&source, text).map_err(|e| failed(&e.to_string()))?;
    let mut command = Command::new("gcc");
    command.args(FLAGS).args(flags).args(["-shared", "-fPIC", "-o"]);
    let done = command.arg(&object).arg(&source).arg("-lm").output();
    let done = done.map_err(|e| failed(&format!("cannot start gcc: {e}")))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(failed(&format!("gcc refuses it: {}", said.trim())));
    }
    // SAFETY: the library was made above from C; it has no initialisers but those of the text,
    // which is ours or the user's own.
    unsafe { Library::new(&object) }.map_err(|e| failed(&e.to_string()))
}

fn failed(why: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E0971", Blame::Environment, why.to_owned()))
}
