//! A compiled program, and the arrays that it takes.
//!
//! In: a spec with its options; at each run, addresses. Out: what the header promises.
//! Keeps: runs of one program come one after the other.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};

use warploom::cache::{self, Cache};
use warploom::device::{Executor, LentProgram};
use warploom::diag::{Result, Source};
use warploom::jit::Jit;
use warploom::lent::{HostArg, Lent, Taken};
use warploom::{DType, Diagnostic, Nest, Script, Spec, SpecTypes};

use crate::options::Given;

/// `warploom_array` of include/warploom.h.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Array {
    /// Its name in the spec.
    pub name: *const c_char,
    /// Its element type.
    pub dtype: *const c_char,
    /// Dimensions.
    pub rank: usize,
    /// Extents.
    pub shape: *const i64,
    /// Bytes of all elements.
    pub bytes: usize,
    /// Whether a run writes it.
    pub written: c_int,
}

/// An array that a run takes.
pub(crate) struct Described {
    name: CString,
    dtype: CString,
    shape: Vec<i64>,
    bytes: usize,
    written: bool,
}

impl From<Taken<'_>> for Described {
    fn from(array: Taken<'_>) -> Self {
        let text = |t: &str| CString::new(t).expect("names and types have no zero");
        let extent = |n: &usize| i64::try_from(*n).expect("arrays fit memory");
        Self {
            name: text(array.name),
            dtype: text(array.dtype.name()),
            shape: array.shape.iter().map(extent).collect(),
            bytes: array.bytes(),
            written: array.written,
        }
    }
}

impl Described {
    pub(crate) fn view(&self) -> Array {
        Array {
            name: self.name.as_ptr(),
            dtype: self.dtype.as_ptr(),
            rank: self.shape.len(),
            shape: self.shape.as_ptr(),
            bytes: self.bytes,
            written: c_int::from(self.written),
        }
    }
}

/// Where it runs.
enum Place {
    Cpu(Mutex<Lent>),
    Cuda(LentProgram),
}

/// A compiled program: `warploom_program`.
pub struct Program {
    place: Place,
    arrays: Vec<Described>,
    schedule: CString,
}

impl Program {
    pub(crate) fn compile(spec: &str, options: &Given<'_>) -> Result<Self> {
        let executor = options.device.map_or_else(Executor::best, Executor::named)?;
        let nest = nest(spec, options)?;
        let parse = |text| Script::parse(&Source::new("schedule", text));
        let script = options.schedule.map(parse).transpose()?;
        let folder = match options.cache {
            None => cache::code_folder().map(Cache::new),
            Some("") => None,
            Some(path) => Some(Cache::new(path)),
        };
        let jit = Jit::new().with_cache(folder);
        let sizes = BTreeMap::new();
        let (place, arrays, schedule) = match executor {
            Executor::Cpu => {
                let made = jit.host(&nest, script.as_ref())?;
                let lent = made.code.lend(&sizes)?;
                let arrays = lent.arrays().map(Described::from).collect();
                (Place::Cpu(Mutex::new(lent)), arrays, made.script)
            }
            Executor::Cuda(device) => {
                let made = jit.gpu(&nest, script.as_ref(), device.target())?;
                let lent = device.load(&made.code)?.lend(&sizes)?;
                let arrays = lent.arrays().map(Described::from).collect();
                (Place::Cuda(lent), arrays, made.script)
            }
        };
        let schedule = CString::new(schedule);
        Ok(Self { place, arrays, schedule: schedule.expect("scripts have no zero") })
    }

    pub(crate) fn arrays(&self) -> &[Described] {
        &self.arrays
    }

    pub(crate) fn schedule(&self) -> &CString {
        &self.schedule
    }

    /// # Safety
    /// As for [`crate::warploom_run`].
    pub(crate) unsafe fn run(&self, addresses: &[*mut c_void], stream: *mut c_void) -> Result<()> {
        if addresses.len() != self.arrays.len() {
            let (given, takes) = (addresses.len(), self.arrays.len());
            let text = format!("{given} arrays are given, the program takes {takes}");
            return Err(Box::new(Diagnostic::input("E1103", text)));
        }
        for (array, address) in self.arrays.iter().zip(addresses) {
            if address.is_null() && array.bytes > 0 {
                let text = format!("the array `{}` is NULL", array.name.to_string_lossy());
                return Err(Box::new(Diagnostic::input("E1103", text)));
            }
        }
        match &self.place {
            Place::Cuda(program) => {
                let numbers: Vec<u64> = addresses.iter().map(|a| a.addr() as u64).collect();
                // SAFETY: the caller's promise.
                unsafe { program.launch(&numbers, stream) }
            }
            Place::Cpu(program) => {
                if !stream.is_null() {
                    let text = "a program on the processor has no stream".to_owned();
                    return Err(Box::new(Diagnostic::input("E0901", text)));
                }
                let both = self.arrays.iter().zip(addresses);
                self.apart(addresses)?;
                let slices = both.map(|(array, address)| {
                    let start = if array.bytes == 0 {
                        std::ptr::NonNull::dangling().as_ptr()
                    } else {
                        address.cast::<u8>()
                    };
                    if array.written {
                        // SAFETY: the caller's promise; no other array of the call shares it.
                        HostArg::Write(unsafe {
                            std::slice::from_raw_parts_mut(start, array.bytes)
                        })
                    } else {
                        // SAFETY: the caller's promise.
                        HostArg::Read(unsafe { std::slice::from_raw_parts(start, array.bytes) })
                    }
                });
                let slices = slices.collect();
                program.lock().unwrap_or_else(PoisonError::into_inner).run(slices)
            }
        }
    }

    /// Refuses memory that is written and shared.
    fn apart(&self, addresses: &[*mut c_void]) -> Result<()> {
        let range = |k: usize| {
            let start = addresses[k].addr();
            start..start.saturating_add(self.arrays[k].bytes)
        };
        for i in 0..addresses.len() {
            for j in i + 1..addresses.len() {
                let (a, b) = (range(i), range(j));
                let writes = self.arrays[i].written || self.arrays[j].written;
                if writes && a.start < b.end && b.start < a.end {
                    let name = |k: usize| self.arrays[k].name.to_string_lossy();
                    let text =
                        format!("`{}` and `{}` share memory that is written", name(i), name(j));
                    return Err(Box::new(Diagnostic::input("E1117", text)));
                }
            }
        }
        Ok(())
    }
}

/// The nest of a spec, with the sizes that are given.
fn nest(text: &str, options: &Given<'_>) -> Result<Nest> {
    let dtype = |name: &str| {
        let parsed = name.trim().parse::<DType>();
        parsed.map_err(|e| Box::new(Diagnostic::input("E0107", e.to_string())))
    };
    let sizes: Vec<&str> = options.sizes.into_iter().collect();
    let names: Vec<&str> = options.dtypes.map(|d| d.split(',').collect()).unwrap_or_default();
    let mut types = SpecTypes {
        acc: options.acc.map(str::parse).transpose()?,
        out: options.out_dtype.map(dtype).transpose()?,
        sizes: warploom::parse_sizes(&sizes)?,
        ..SpecTypes::default()
    };
    match names.as_slice() {
        [] => {}
        [one] => types.dtype = Some(dtype(one)?),
        several => {
            for name in several {
                types.operands.push((dtype(name)?, None));
            }
        }
    }
    let spec =
        if text.contains('\n') { Spec::Nest(Source::new("spec", text)) } else { Spec::read(text)? };
    let nest = spec.nest(&types)?;
    warploom::bind(&nest, &spec.remaining_sizes(&types), &BTreeMap::new())
}
