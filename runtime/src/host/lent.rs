//! A kernel on memory that belongs to the caller.
//!
//! In: code and its sizes; at each run the bytes of each array. Out: the arrays that are written.
//! Keeps: bytes that start at a multiple of 64 are used where they are, others through a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use warploom_ir::abi::{HostArg, HostCode, Pool};
use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::nest::Role;
use warploom_ir::tensor::Tensor;

use super::{error, shape_of, sizes_in_order, table_of};
use crate::taken::{Taken, bytes_of, given, taken};

/// Where the code wants its buffers to start ([`HostArg`]).
const ALIGNMENT: usize = 64;

/// A kernel with its sizes, temporaries and constants, for arrays of the caller's.
pub struct Lent {
    code: Arc<dyn HostCode>,
    sizes: Vec<i64>,
    shapes: Vec<Vec<usize>>,
    /// What is not the caller's, and copies of what starts elsewhere, in the kernel's order.
    own: Vec<Option<Tensor>>,
}

impl Lent {
    /// Makes room for temporaries at these sizes.
    ///
    /// # Errors
    /// `E1104` missing or extra size; `E1105` a negative shape; no memory.
    pub fn new(code: Arc<dyn HostCode>, sizes: &BTreeMap<Name, i64>) -> Result<Self> {
        let kernel = code.kernel();
        let sizes = sizes_in_order(kernel, sizes)?;
        let (mut shapes, mut own) = (Vec::new(), Vec::new());
        for buffer in &kernel.buffers {
            let shape = shape_of(kernel, buffer, &sizes)?;
            own.push(match &buffer.role {
                Role::In | Role::InOut | Role::Out => None,
                Role::Temp => Some(Tensor::poisoned(buffer.dtype, &shape)?),
                Role::Const(values) => Some(table_of(buffer.dtype, &shape, values)?),
            });
            shapes.push(shape);
        }
        Ok(Self { code, sizes, shapes, own })
    }

    /// The arrays that a run takes, in order, with their extents.
    pub fn arrays(&self) -> impl Iterator<Item = Taken<'_>> {
        taken(&self.code.kernel().buffers, &self.shapes)
    }

    /// Runs the kernel once on these bytes, one slice for each of [`Lent::arrays`]: `Read` for
    /// inputs, `Write` for the others.
    ///
    /// # Errors
    /// `E1103` not as many arrays; `E1102` other lengths; no memory; the code's own failure.
    pub fn run(&mut self, mut arrays: Vec<HostArg<'_>>, pool: &dyn Pool) -> Result<()> {
        let kernel = self.code.kernel();
        let wanted = kernel.buffers.iter().filter(|b| given(b)).count();
        if arrays.len() != wanted {
            let text = format!("{} arrays are given, the kernel takes {wanted}", arrays.len());
            return Err(error("E1103", text));
        }
        let mut next = arrays.iter_mut();
        let mut args: Vec<HostArg<'_>> = Vec::with_capacity(self.own.len());
        for ((buffer, shape), own) in kernel.buffers.iter().zip(&self.shapes).zip(&mut self.own) {
            if !given(buffer) {
                let tensor = own.as_mut().expect("what is not given is our own");
                args.push(HostArg::Write(tensor.bytes_mut()));
                continue;
            }
            let array = next.next().expect("as many as arrays");
            let bytes = bytes_of(buffer.dtype, shape);
            if slice(array).len() != bytes {
                let text = format!("`{}` takes {bytes} bytes", buffer.name);
                return Err(error("E1102", text));
            }
            if slice(array).as_ptr().addr().is_multiple_of(ALIGNMENT) {
                args.push(match array {
                    HostArg::Read(bytes) => HostArg::Read(bytes),
                    HostArg::Write(bytes) => HostArg::Write(bytes),
                });
                continue;
            }
            if own.is_none() {
                *own = Some(Tensor::poisoned(buffer.dtype, shape)?);
            }
            let copy = own.as_mut().expect("it was made");
            copy.bytes_mut().copy_from_slice(slice(array));
            args.push(match array {
                HostArg::Read(_) => HostArg::Read(copy.bytes()),
                HostArg::Write(_) => HostArg::Write(copy.bytes_mut()),
            });
        }
        self.code.call(&mut args, &self.sizes, pool)?;
        drop(args);
        let of_caller = kernel.buffers.iter().zip(&self.own).filter(|(b, _)| given(b));
        for ((_, copy), array) in of_caller.zip(&mut arrays) {
            if let (Some(copy), HostArg::Write(bytes)) = (copy, array)
                && !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
            {
                bytes.copy_from_slice(copy.bytes());
            }
        }
        Ok(())
    }
}

fn slice<'a>(array: &'a HostArg<'_>) -> &'a [u8] {
    match array {
        HostArg::Read(bytes) => bytes,
        HostArg::Write(bytes) => bytes,
    }
}
