//! Arrays in this process that a foreign function reads and writes.
//!
//! In: a kernel's buffers or a nest's arrays, and the inputs. Out: addresses, results. Keeps: what
//! is only written starts poisoned; what is read and written has its first contents before a run.

use std::collections::BTreeMap;
use std::ffi::c_void;

use warploom::diag::Result;
use warploom::{Kernel, Name, Nest, Role, Tensor, outputs};

/// The arrays of a problem.
pub(crate) struct Arrays {
    tensors: BTreeMap<Name, Tensor>,
    /// First contents of arrays that are read and written.
    first: BTreeMap<Name, Tensor>,
    written: Vec<Name>,
}

impl Arrays {
    /// Of a nest whose sizes are fixed: what its caller gives and gets.
    pub(crate) fn of_nest(nest: &Nest, data: &BTreeMap<Name, Tensor>) -> Result<Self> {
        let (mut tensors, mut first, written) = (data.clone(), BTreeMap::new(), outputs(nest));
        let lookup = |name: &str| nest.param(name).and_then(|p| p.value);
        for array in nest.arrays.iter().filter(|a| written.contains(&a.name)) {
            match data.get(&array.name) {
                Some(tensor) => {
                    first.insert(array.name.clone(), tensor.clone());
                }
                None => {
                    let extents = array.shape.iter().map(|e| e.eval(&lookup));
                    let shape = shape(extents);
                    tensors.insert(array.name.clone(), Tensor::poisoned(array.dtype, &shape)?);
                }
            }
        }
        Ok(Self { tensors, first, written })
    }

    /// Of a kernel, with its temporaries.
    pub(crate) fn of_kernel(kernel: &Kernel, data: &BTreeMap<Name, Tensor>) -> Result<Self> {
        let (mut tensors, mut first, mut written) = (data.clone(), BTreeMap::new(), Vec::new());
        for buffer in kernel.buffers.iter().filter(|b| !matches!(b.role, Role::Const(_))) {
            let reads = data.get(&buffer.name);
            if matches!(buffer.role, Role::Out | Role::InOut) {
                written.push(buffer.name.clone());
                first.extend(reads.map(|t| (buffer.name.clone(), t.clone())));
            }
            if reads.is_none() {
                let shape = shape(buffer.of_caller().iter().map(|e| e.eval(&|_| None)));
                tensors.insert(buffer.name.clone(), Tensor::poisoned(buffer.dtype, &shape)?);
            }
        }
        Ok(Self { tensors, first, written })
    }

    /// Whether runs may follow each other without giving arrays their first contents back.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.first.is_empty()
    }

    /// Gives arrays that are read and written their first contents back.
    pub(crate) fn restore(&mut self) {
        for (name, first) in &self.first {
            if let Some(tensor) = self.tensors.get_mut(name) {
                tensor.bytes_mut().copy_from_slice(first.bytes());
            }
        }
    }

    /// Poisons what is only written.
    pub(crate) fn poison(&mut self) {
        for name in self.written.iter().filter(|n| !self.first.contains_key(*n)) {
            if let Some(tensor) = self.tensors.get_mut(name) {
                tensor.bytes_mut().fill(0xff);
            }
        }
    }

    /// Where an array is.
    pub(crate) fn address(&mut self, name: &Name) -> Option<*mut c_void> {
        Some(self.tensors.get_mut(name)?.bytes_mut().as_mut_ptr().cast())
    }

    /// What was written.
    pub(crate) fn results(&self) -> BTreeMap<Name, Tensor> {
        let of = |name: &Name| Some((name.clone(), self.tensors.get(name)?.clone()));
        self.written.iter().filter_map(of).collect()
    }
}

/// Extents of a problem whose sizes are fixed; one that is not known is empty, and nothing is
/// written there.
fn shape(extents: impl Iterator<Item = Option<i64>>) -> Vec<usize> {
    extents.map(|e| e.and_then(|v| usize::try_from(v).ok()).unwrap_or(0)).collect()
}
