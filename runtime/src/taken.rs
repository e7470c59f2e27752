//! The arrays that a program takes from its caller.
//!
//! In: a kernel's buffers and their extents. Out: those that the caller gives, in order. Why here:
//! the processor and GPUs lend programs in the same way.

use warploom_ir::dtype::DType;
use warploom_ir::kernel::Buffer;
use warploom_ir::nest::Role;

/// An array that a program takes from its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken<'a> {
    /// Its name in the nest.
    pub name: &'a str,
    /// Its element type.
    pub dtype: DType,
    /// Its extents; elements are dense and row-major.
    pub shape: &'a [usize],
    /// Whether the program writes it.
    pub written: bool,
}

impl Taken<'_> {
    /// Bytes of all elements.
    #[must_use]
    pub fn bytes(&self) -> usize {
        bytes_of(self.dtype, self.shape)
    }
}

/// Bytes of an array of this type and shape, which fits into memory.
pub(crate) fn bytes_of(dtype: DType, shape: &[usize]) -> usize {
    dtype.bytes_of(shape.iter().product()).expect("arrays fit into memory")
}

/// Those of these buffers that the caller gives.
pub(crate) fn taken<'a>(
    buffers: &'a [Buffer],
    shapes: &'a [Vec<usize>],
) -> impl Iterator<Item = Taken<'a>> {
    buffers.iter().zip(shapes).filter(|(b, _)| given(b)).map(|(b, shape)| Taken {
        name: &b.name,
        dtype: b.dtype,
        shape,
        written: b.role != Role::In,
    })
}

/// Whether the caller gives this array.
pub(crate) const fn given(buffer: &Buffer) -> bool {
    match buffer.role {
        Role::In | Role::InOut | Role::Out => true,
        Role::Temp | Role::Const(_) => false,
    }
}
