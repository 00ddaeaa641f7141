//! Physical pages with reference counts: a buddy allocator over a frame array, per-CPU caches of
//! single frames in front of it.
//!
//! A `Frame` is a counted handle: clone adds a reference, drop takes one away, the last frees the
//! page. Its content may be mapped into user space and change at any time, so it is copied in and
//! out and never lent as a reference.

use super::{OutOfMemory, PhysAddr};

/// A counted reference to one 4 KiB page of memory.
pub(crate) struct Frame {
    number: u32,
}

impl Frame {
    /// Allocates a page filled with zeros. Any context but interrupt handlers.
    pub(crate) fn zeroed() -> Result<Frame, OutOfMemory> {
        todo!()
    }

    /// Allocates a page with the content of `source`.
    pub(crate) fn copy_of(_source: &Frame) -> Result<Frame, OutOfMemory> {
        todo!()
    }

    /// Returns the physical address of the page.
    pub(crate) fn address(&self) -> PhysAddr {
        PhysAddr::new(u64::from(self.number) << 12)
    }

    /// Returns how many handles (page table entries count as one each) exist.
    pub(crate) fn references(&self) -> usize {
        todo!()
    }

    /// Copies from the page at `offset` into `bytes`. Panics if that crosses the page's end.
    pub(crate) fn read(&self, _offset: usize, _bytes: &mut [u8]) {
        todo!()
    }

    /// Copies `bytes` into the page at `offset`. Panics if that crosses the page's end.
    pub(crate) fn write(&self, _offset: usize, _bytes: &[u8]) {
        todo!()
    }

    /// Sets `length` bytes at `offset` to zero.
    pub(crate) fn clear(&self, _offset: usize, _length: usize) {
        todo!()
    }

    /// Copies `length` bytes at `offset` to the user address `to` in the loaded address space; returns
    /// how many bytes were copied before an access failed.
    pub(crate) fn copy_to_user(&self, _offset: usize, _to: u64, _length: usize) -> usize {
        todo!()
    }

    /// Copies `length` bytes at the user address `from` into the page at `offset`; returns how many were
    /// copied before an access failed.
    pub(crate) fn copy_from_user(&self, _offset: usize, _from: u64, _length: usize) -> usize {
        todo!()
    }
}

impl Clone for Frame {
    fn clone(&self) -> Frame {
        todo!()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        todo!()
    }
}

/// Counts of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FrameStatistics {
    /// Frames that the allocator manages.
    pub(crate) total: usize,
    /// Frames free, per-CPU caches included.
    pub(crate) free: usize,
}

/// Returns the counts of frames now. Any context.
pub(crate) fn statistics() -> FrameStatistics {
    todo!()
}
