//! What user mode can do wrong, as the CPU reports it.

use core::arch::asm;
use x86_64::registers::control::Cr2;

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
    /// Vectors 10 and 11 (segment trouble), with the error code.
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

// Bits of a page fault's error code (SDM vol. 3A, 4.7).
const PROTECTION: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const FETCH: u64 = 1 << 4;

impl PageFault {
    /// Reads what the CPU left of the page fault that just happened. Interrupts are still off.
    pub(in crate::machine) fn read(error_code: u64) -> PageFault {
        PageFault {
            address: Cr2::read_raw(),
            is_write: error_code & WRITE != 0,
            is_execute: error_code & FETCH != 0,
            is_protection: error_code & PROTECTION != 0,
        }
    }
}

/// Says what exception `vector` from user mode means. Reads what the CPU keeps about it (CR2, DR6, x87 and SSE
/// status), so it is called on the same CPU before interrupts are enabled.
pub(in crate::machine) fn fault_from_vector(vector: u8, error_code: u64) -> Fault {
    match vector {
        0 => Fault::DivideError,
        1 => Fault::Debug(take_debug_status()),
        3 => Fault::Breakpoint,
        4 => Fault::Overflow,
        5 => Fault::BoundRange,
        6 => Fault::InvalidOpcode,
        10 | 11 => Fault::Segment(error_code),
        12 => Fault::Stack(error_code),
        14 => Fault::Page(PageFault::read(error_code)),
        16 => Fault::X87(read_x87_status()),
        17 => Fault::Alignment,
        19 => Fault::Simd(read_mxcsr()),
        // 13, and what a CPU of the future may invent.
        _ => Fault::GeneralProtection(error_code),
    }
}

/// Reads DR6 and clears it, as the CPU only ever sets its bits.
pub(super) fn take_debug_status() -> u64 {
    let status: u64;
    // SAFETY: DR6 only tells what happened; 0xffff0ff0 is its value after reset.
    unsafe {
        asm!("mov {0}, dr6", "mov dr6, {1}", out(reg) status, in(reg) 0xffff_0ff0_u64, options(nomem, nostack));
    }
    status
}

fn read_x87_status() -> u16 {
    let status: u16;
    // SAFETY: FNSTSW copies a register and raises nothing; the user's x87 state is still in the CPU.
    unsafe { asm!("fnstsw ax", out("ax") status, options(nomem, nostack)) };
    status
}

fn read_mxcsr() -> u32 {
    let mut status: u32 = 0;
    // SAFETY: STMXCSR stores four bytes to `status`; the user's SSE state is still in the CPU.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut status, options(nostack)) };
    status
}
