//! Kernel stacks.

use super::{OutOfMemory, VirtAddr};
use alloc::alloc::{Layout, alloc, dealloc};
use core::ptr::NonNull;

/// Bytes of a kernel stack.
const SIZE: usize = 32 * 1024;

/// A kernel thread's stack.
pub(in crate::machine) struct KernelStack {
    bottom: NonNull<u8>,
}

// SAFETY: the memory is owned, like a box.
unsafe impl Send for KernelStack {}

impl KernelStack {
    /// Allocates a stack.
    pub(in crate::machine) fn new() -> Result<KernelStack, OutOfMemory> {
        // SAFETY: the layout's size is not zero.
        let bottom = unsafe { alloc(layout()) };
        Ok(KernelStack { bottom: NonNull::new(bottom).ok_or(OutOfMemory)? })
    }

    /// Returns the address above the stack, aligned to 16.
    pub(in crate::machine) fn top(&self) -> VirtAddr {
        VirtAddr::from_ptr(self.bottom.as_ptr()) + SIZE as u64
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it so.
        unsafe { dealloc(self.bottom.as_ptr(), layout()) };
    }
}

fn layout() -> Layout {
    Layout::from_size_align(SIZE, 4096).expect("a power of two")
}
