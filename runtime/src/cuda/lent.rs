//! Programs on memory and streams that belong to the caller.
//!
//! In: a loaded program and its sizes; at each launch an address for each array and a stream. Out:
//! the program's launches on that stream. Keeps: everything but the memory behind the addresses is
//! checked; temporaries are ours, one launch at a time uses them, and they outlive the last one.
//! Why here: another library's arrays have their own order and their own owner, so nothing of
//! [`super::order`] applies to them.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::sync::Mutex;

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;

use super::args::{self, Argument};
use super::arguments::Given;
use super::buffer::DeviceBuffer;
use super::driver::{Event, Stream};
use super::handle::lock;
use super::program::{LoadedProgram, as_argument};
use crate::host::{error, shape_of, sizes_in_order};
use crate::taken::{Taken, bytes_of, taken};

/// Lists of addresses for which a program keeps what it hands over, with their graphs.
const KEPT: usize = 8;

/// What the last launches got and left.
#[derive(Default)]
struct Last {
    /// By their addresses, the last one first.
    given: VecDeque<(Vec<u64>, Given)>,
    /// The last one's stream, and the point behind it.
    end: Option<(usize, Event)>,
}

/// A program with its sizes, temporaries and constants, for arrays of the caller's.
pub struct LentProgram {
    program: LoadedProgram,
    sizes: Vec<i64>,
    /// Extents, in the kernel's order.
    shapes: Vec<Vec<usize>>,
    /// What is not the caller's, in the kernel's order.
    own: Vec<Option<DeviceBuffer>>,
    last: Mutex<Last>,
}

impl LoadedProgram {
    /// Makes room for temporaries at these sizes.
    ///
    /// # Errors
    /// `E1104` missing or extra size; `E1105` a negative shape; `E1113` no memory.
    pub fn lend(&self, sizes: &BTreeMap<Name, i64>) -> Result<LentProgram> {
        let kernel = self.kernel();
        let sizes = sizes_in_order(kernel, sizes)?;
        let shape = |b| shape_of(kernel, b, &sizes);
        let shapes: Vec<Vec<usize>> = kernel.buffers.iter().map(shape).collect::<Result<_>>()?;
        let own = self.own(&shapes)?;
        let (program, last) = (self.clone(), Mutex::default());
        Ok(LentProgram { program, sizes, shapes, own, last })
    }
}

impl LentProgram {
    /// The arrays that a launch takes, in order, with their extents.
    pub fn arrays(&self) -> impl Iterator<Item = Taken<'_>> {
        taken(&self.program.kernel().buffers, &self.shapes)
    }

    /// Puts the launches on a stream of the driver's (a `CUstream`; null is the default one), with
    /// an address for each of [`LentProgram::arrays`], dense and row-major. Does not wait; a launch
    /// on another stream than the last one starts when that has ended.
    ///
    /// # Errors
    /// `E1103` not as many addresses; `E1102` an address that is no multiple of 16; `E1117` memory
    /// that is written and shared; `E1114`, `E1115` where the driver refuses.
    ///
    /// # Safety
    /// Behind each address are the array's bytes on this device, until the launches have ended, and
    /// nothing else writes them, or touches those that are written, meanwhile. The stream lives and
    /// is one of the device's primary context.
    pub unsafe fn launch(&self, addresses: &[u64], stream: *mut c_void) -> Result<()> {
        let device = self.program.device();
        let number = stream as usize;
        // SAFETY: the caller's promise.
        let stream = unsafe { Stream::foreign(device.context(), stream) };
        let mut last = lock(&self.last);
        if let Some((_, event)) = last.end.as_ref().filter(|(before, _)| *before != number) {
            stream.wait(event)?;
        }
        let same = last.given.iter().position(|(before, _)| before == addresses);
        let (known, given) = match same.and_then(|i| last.given.remove(i)) {
            Some(before) => before,
            None => (addresses.to_vec(), self.prepared(addresses)?),
        };
        // what the caller records is launched for it one by one, and no call disturbs it
        let recorded = given.replay().is_some() && stream.is_recorded().unwrap_or(true);
        let done = if recorded {
            self.program.enqueue(&stream, &self.sizes, &given)
        } else {
            self.program.prepare(&self.sizes, &given, 1);
            self.program.run_on(&stream, &self.sizes, &given)
        };
        last.given.push_front((known, given));
        last.given.truncate(KEPT);
        done?;
        last.end = Some((number, Event::record(&stream)?));
        Ok(())
    }

    /// Blocks until the last launch has ended.
    ///
    /// # Errors
    /// A failure on the device.
    pub fn wait(&self) -> Result<()> {
        let last = lock(&self.last);
        last.end.as_ref().map_or(Ok(()), |(_, event)| event.synchronize())
    }

    /// What the functions get, after the checks that need no memory.
    fn prepared(&self, addresses: &[u64]) -> Result<Given> {
        let kernel = self.program.kernel();
        let wanted = self.arrays().count();
        if addresses.len() != wanted {
            let text = format!("{} arrays are given, the kernel takes {wanted}", addresses.len());
            return Err(error("E1103", text));
        }
        let mut addresses = addresses.iter();
        let mut arguments = Vec::with_capacity(self.own.len());
        for ((buffer, shape), own) in kernel.buffers.iter().zip(&self.shapes).zip(&self.own) {
            let bytes = bytes_of(buffer.dtype, shape);
            let dtype = buffer.dtype;
            arguments.push(match own {
                Some(array) => Argument { dtype, shape, ..as_argument(array) },
                None => {
                    let address = addresses.next().copied().expect("as many as arrays");
                    Argument { dtype, shape, address, bytes }
                }
            });
        }
        args::check(&kernel.buffers, &self.shapes, &arguments)?;
        self.program.given(&self.sizes, &arguments, self.program.launches(&self.sizes)?)
    }
}

impl Drop for LentProgram {
    fn drop(&mut self) {
        // its temporaries and code are used until then; a failure is the device's own
        let _ended = self.wait();
    }
}
