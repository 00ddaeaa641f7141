//! Registers that are memory: loads and stores of exactly one size, in program order.

use crate::machine::memory::{Caching, map_device};

/// A block of 32-bit registers at a physical address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mmio {
    base: usize,
    length: usize,
}

impl Mmio {
    /// Maps `length` bytes of registers at the physical address `physical`, uncached.
    ///
    /// # Safety
    /// The firmware says that a device's registers are there, and nobody else uses them.
    pub(super) unsafe fn map(physical: u64, length: usize) -> Mmio {
        Mmio { base: map_device(physical, length as u64, Caching::Uncached), length }
    }

    /// Reads the register at `offset`.
    pub(super) fn read(&self, offset: usize) -> u32 {
        // SAFETY: `register` is within the registers that `map` was promised.
        unsafe { self.register(offset).read_volatile() }
    }

    /// Writes the register at `offset`.
    pub(super) fn write(&self, offset: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.register(offset).write_volatile(value) }
    }

    fn register(&self, offset: usize) -> *mut u32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.length, "register {offset:#x}");
        core::ptr::with_exposed_provenance_mut(self.base + offset)
    }
}
