//! Arrays on a device.
//!
//! In: an element type and extents, or a tensor. Out: a buffer that launches name as argument.
//! Keeps: copies come after the launches that touch the buffer; memory is given back when the last
//! clone and the last launch are gone.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::tensor::{Tensor, checked_size};

use super::device::{Device, End};
use super::driver::Memory;
use super::handle::{Wait as _, lock};
use super::order::{Access, Uses};

struct Inner {
    /// Buffers are locked in the order of their numbers.
    number: u64,
    dtype: DType,
    shape: Vec<usize>,
    memory: Memory,
    uses: Mutex<Uses<End>>,
    device: Device,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.device.forget(self.memory.bytes() as u64);
    }
}

/// An array on a device. Clones are the same array.
#[derive(Clone)]
pub struct DeviceBuffer(Arc<Inner>);

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?} on cuda:{}", self.0.dtype, self.0.shape, self.device().info().ordinal)
    }
}

impl Device {
    /// An array whose every byte is 0xFF: NaN in every float type, so that what is read before it
    /// is written shows.
    ///
    /// # Errors
    /// `E0501` beyond 256 GiB, `E1113` where the memory or its limit does not suffice, `E1114`,
    /// `E1115` where the driver fails.
    pub fn buffer(&self, dtype: DType, shape: &[usize]) -> Result<DeviceBuffer> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let buffer = DeviceBuffer(Arc::new(Inner {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            dtype,
            shape: shape.to_vec(),
            memory: self.allocate(checked_size(dtype, shape)?.1)?,
            uses: Mutex::new(Uses::default()),
            device: self.clone(),
        }));
        buffer.poison()?;
        Ok(buffer)
    }

    /// A copy of a tensor on the device.
    ///
    /// # Errors
    /// As [`Device::buffer`].
    pub fn upload(&self, tensor: &Tensor) -> Result<DeviceBuffer> {
        let buffer = self.buffer(tensor.dtype(), tensor.shape())?;
        buffer.write(tensor)?;
        Ok(buffer)
    }
}

impl DeviceBuffer {
    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// The extents, in elements.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// The number of bytes of all elements.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.memory.bytes()
    }

    /// Where it is.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Where it begins in the device's memory, for other libraries' code: their launches name it
    /// ([`super::ForeignLaunch`]), or nothing keeps it alive or in order.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.0.memory.address()
    }

    /// Runs `copy` after the launches that an access must wait for; later ones wait for it.
    fn after<T>(&self, access: Access, copy: impl FnOnce(&Memory) -> Result<T>) -> Result<T> {
        let uses = lock(&self.0.uses);
        for mark in uses.before(access) {
            mark.event.wait()?;
        }
        copy(&self.0.memory)
    }

    /// Overwrites it with a tensor of its type and shape, after the launches that use it now.
    ///
    /// # Errors
    /// `E1102` where type or shape differ; `E1114`, `E1115` where the driver fails.
    pub fn write(&self, tensor: &Tensor) -> Result<()> {
        if (tensor.dtype(), tensor.shape()) != (self.dtype(), self.shape()) {
            let text = format!(
                "a tensor {}{:?} does not fit an array {}{:?}",
                tensor.dtype(),
                tensor.shape(),
                self.dtype(),
                self.shape()
            );
            return Err(Box::new(Diagnostic::input("E1102", text)));
        }
        let copies = self.device().copies();
        self.after(Access::Write, |memory| copies.upload(memory, tensor.bytes()))
    }

    /// Its elements, after the launches that write it now.
    ///
    /// # Errors
    /// No memory; `E1114`, `E1115` where the driver fails.
    pub fn read(&self) -> Result<Tensor> {
        let mut tensor = Tensor::poisoned(self.dtype(), self.shape())?;
        let copies = self.device().copies();
        self.after(Access::Read, |memory| copies.download(tensor.bytes_mut(), memory))?;
        Ok(tensor)
    }

    /// Sets every byte to 0xFF, after the launches that use it now.
    ///
    /// # Errors
    /// `E1114`, `E1115` where the driver fails.
    pub fn poison(&self) -> Result<()> {
        let copies = self.device().copies();
        self.after(Access::Write, |memory| {
            copies.fill(memory, 0xff)?;
            copies.synchronize()
        })
    }
}

/// The uses of one buffer, held.
pub(super) type HeldUses<'a> = MutexGuard<'a, Uses<End>>;

/// The buffers that a launch touches, each once, in the order of their numbers.
pub(super) struct Touched(Vec<(DeviceBuffer, Access)>);

impl Touched {
    /// These buffers, with the strongest access that is asked for each.
    pub(super) fn new(mut buffers: Vec<(DeviceBuffer, Access)>) -> Self {
        buffers.sort_by_key(|(buffer, access)| (buffer.0.number, std::cmp::Reverse(*access)));
        buffers.dedup_by_key(|(buffer, _)| buffer.0.number);
        Self(buffers)
    }

    /// Holds all of them.
    pub(super) fn lock(&self) -> Vec<(HeldUses<'_>, Access)> {
        self.0.iter().map(|(buffer, access)| (lock(&buffer.0.uses), *access)).collect()
    }
}
