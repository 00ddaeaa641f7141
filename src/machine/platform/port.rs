//! I/O ports that drivers own.
//!
//! A port can do anything to the machine (DMA over the kernel, a reset), so only those are given out whose
//! devices cannot: what is not on the list is refused.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::instructions::port::{PortGeneric, ReadWriteAccess};

/// Devices that only move bytes through their ports.
const HARMLESS: &[RangeInclusive<u16>] = &[
    // Keyboard controller. Its command that resets the CPU is no more than `restart`.
    0x60..=0x60,
    0x64..=0x64,
    // COM4, COM2.
    0x2e8..=0x2ef,
    0x2f8..=0x2ff,
    // Parallel port.
    0x378..=0x37f,
    // VGA.
    0x3b0..=0x3df,
    // COM3, COM1.
    0x3e8..=0x3ef,
    0x3f8..=0x3ff,
];

/// One bit for each port below 0x400: somebody has it.
static CLAIMED: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// A byte-wide I/O port that a driver owns. Ports of the interrupt controllers, timers and DMA are refused.
pub(crate) struct Port {
    number: u16,
}

impl Port {
    /// Claims the port `number`; `None` where it belongs to `machine` or is claimed already.
    pub(crate) fn claim(number: u16) -> Option<Port> {
        if !HARMLESS.iter().any(|range| range.contains(&number)) {
            return None;
        }
        let (word, bit) = place(number);
        let before = CLAIMED[word].fetch_or(bit, Ordering::AcqRel);
        (before & bit == 0).then_some(Port { number })
    }

    /// Reads one byte.
    pub(crate) fn read(&self) -> u8 {
        // SAFETY: the device at the port only moves bytes, and its driver owns the port.
        unsafe { PortGeneric::<u8, ReadWriteAccess>::new(self.number).read() }
    }

    /// Writes one byte.
    pub(crate) fn write(&self, value: u8) {
        // SAFETY: as in `read`.
        unsafe { PortGeneric::<u8, ReadWriteAccess>::new(self.number).write(value) }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let (word, bit) = place(self.number);
        CLAIMED[word].fetch_and(!bit, Ordering::AcqRel);
    }
}

fn place(number: u16) -> (usize, u64) {
    (usize::from(number / 64), 1 << (number % 64))
}

/// Reads a byte from a port of the machine's own.
///
/// # Safety
/// Reading the port has no effect on memory or on what Rust relies on.
pub(super) unsafe fn read_u8(number: u16) -> u8 {
    // SAFETY: promised by the caller.
    unsafe { PortGeneric::<u8, ReadWriteAccess>::new(number).read() }
}

/// Writes a byte to a port of the machine's own.
///
/// # Safety
/// Writing `value` has no effect on memory or on what Rust relies on.
pub(super) unsafe fn write_u8(number: u16, value: u8) {
    // SAFETY: promised by the caller.
    unsafe { PortGeneric::<u8, ReadWriteAccess>::new(number).write(value) }
}

/// Waits about a microsecond: the time of a write to the port that only shows power-on codes.
pub(super) fn pause_microsecond() {
    // SAFETY: port 0x80 has no effect but the time that it takes.
    unsafe { write_u8(0x80, 0) }
}
