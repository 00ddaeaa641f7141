//! Exceptions and interrupt lines.

use alloc::boxed::Box;

/// A user-mode exception, or a kernel access to user memory that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Vector 14: the access that failed.
    Page(PageFault),
    /// Vector 0.
    DivideError,
    /// Vector 1: single step or hardware breakpoint; the value is DR6.
    Debug(u64),
    /// Vector 3.
    Breakpoint,
    /// Vector 4.
    Overflow,
    /// Vector 5.
    BoundRange,
    /// Vector 6.
    InvalidOpcode,
    /// Vectors 10, 11, 12 (segment trouble), with the error code.
    Segment(u64),
    /// Vector 12.
    Stack(u64),
    /// Vector 13, with the error code.
    GeneralProtection(u64),
    /// Vector 16: x87; the value is the status word.
    X87(u16),
    /// Vector 17.
    Alignment,
    /// Vector 19: SIMD; the value is MXCSR.
    Simd(u32),
}

/// An access that the page table did not allow (SDM vol. 3A, 4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageFault {
    /// The address accessed (CR2).
    pub(crate) address: u64,
    /// It was a store.
    pub(crate) is_write: bool,
    /// It was an instruction fetch.
    pub(crate) is_execute: bool,
    /// The page is mapped but does not allow the access.
    pub(crate) is_protection: bool,
}

/// A registered interrupt handler; dropping it unregisters the handler.
pub(crate) struct IrqLine {
    _vector: u8,
}

impl IrqLine {
    /// Calls `handler` at each interrupt of the ISA line `irq` (0 to 15, mapped by ACPI's overrides), with
    /// interrupts off. The handler marks, wakes, returns.
    pub(crate) fn isa(_irq: u8, _handler: Box<dyn Fn() + Send + Sync>) -> IrqLine {
        todo!()
    }
}

/// One row of the interrupt statistics.
#[derive(Clone, Debug)]
pub(crate) struct IrqCount {
    /// For example `1` or `LOC`.
    pub(crate) name: alloc::string::String,
    /// What is connected, for example `i8042`.
    pub(crate) description: alloc::string::String,
    /// Interrupts so far, by CPU index.
    pub(crate) counts: alloc::vec::Vec<u64>,
}

/// Returns how often each interrupt line fired.
pub(crate) fn statistics() -> alloc::vec::Vec<IrqCount> {
    todo!()
}
