//! Memory for local buffers: blocks that one task at a time uses and that outlive a call.
//!
//! In: how many bytes a task needs. Out: as many blocks as tasks ever ran at the same time, so
//! that a launch that repeats neither allocates nor touches new pages.
//! Keeps: a block belongs to one task at a time and is freed with the module.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// A block's alignment, in bytes.
const ALIGN: usize = 64;

struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a block owns its memory, as a `Box` does.
unsafe impl Send for Block {}

impl Block {
    /// Memory of this size, not 0; `None` where the system has none.
    fn new(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes, ALIGN).ok()?;
        // SAFETY: the layout's size is not 0.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        // a buffer read before it is written shows NaN rather than what looks like a value
        // SAFETY: `start` points to `bytes` bytes.
        unsafe { start.as_ptr().write_bytes(0xff, bytes) };
        Some(Self { start, layout })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Blocks of one size.
pub(super) struct Scratch {
    bytes: usize,
    free: Mutex<Vec<Block>>,
}

impl Scratch {
    /// No blocks yet.
    pub(super) const fn new(bytes: usize) -> Self {
        Self { bytes, free: Mutex::new(Vec::new()) }
    }

    /// Runs `f` with a block of its own (null where the size is 0); `None` where there is no
    /// memory.
    pub(super) fn with<R>(&self, f: impl FnOnce(*mut u8) -> R) -> Option<R> {
        if self.bytes == 0 {
            return Some(f(std::ptr::null_mut()));
        }
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = free().pop();
        let block = match spare {
            Some(block) => block,
            None => Block::new(self.bytes)?,
        };
        let out = f(block.start.as_ptr());
        free().push(block);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_at_one_time_have_different_blocks_and_later_ones_the_same() {
        let scratch = Scratch::new(1000);
        let (mut outer, mut inner) = (0, 0);
        let nested = scratch.with(|a| {
            outer = a as usize;
            scratch.with(|b| inner = b as usize)
        });
        assert_eq!(nested, Some(Some(())));
        assert!(outer.abs_diff(inner) >= 1000 && (outer | inner).is_multiple_of(ALIGN));
        assert_eq!(scratch.with(|a| a as usize), Some(outer));
        assert_eq!(scratch.free.lock().expect("no panic").len(), 2);
    }

    #[test]
    fn no_memory_is_an_answer() {
        assert_eq!(Scratch::new(isize::MAX as usize / 2).with(|_| ()), None);
        assert_eq!(Scratch::new(0).with(<*mut u8>::is_null), Some(true));
    }
}
