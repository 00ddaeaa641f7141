//! Traps from the kernel itself: interrupts are served, a failed access to user memory goes on at its fixup,
//! everything else is a bug or broken hardware, and a panic.

use super::fault::{PageFault, take_debug_status};
use super::irq;
use crate::machine::asm::{TrapFrame, user_copy_fixup};
use crate::machine::console::report::{FaultRegisters, note_fault};
use crate::machine::memory::{USER_END, is_below_stack};
use crate::machine::sync::Once;
use x86_64::instructions::port::PortReadOnly;

const DEBUG: u64 = 1;
const NMI: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const PROTECTION: u64 = 13;
const PAGE_FAULT: u64 = 14;
const FIRST_INTERRUPT: u64 = 32;

/// PC/AT system control port B: why an NMI came (bits 7 and 6: memory parity, I/O channel).
const SYSTEM_CONTROL_B: u16 = 0x61;

/// Called by asm/trap_entry.s, with interrupts off, on the interrupted stack.
#[unsafe(no_mangle)]
extern "C" fn trap_from_kernel(frame: &mut TrapFrame) {
    if frame.vector >= FIRST_INTERRUPT {
        irq::dispatch_interrupt(frame.vector as u8);
        return;
    }
    if frame.vector == PROTECTION
        && let Some(resume) = user_copy_fixup(frame.rip)
    {
        // XRSTOR of what the program left in its memory.
        frame.rip = resume;
        return;
    }
    if frame.vector != PAGE_FAULT {
        panic_for(frame, format_args!("{} in the kernel", name(frame.vector)));
    }

    let fault = PageFault::read(frame.error_code);
    if fault.address < USER_END
        && let Some(resume) = user_copy_fixup(frame.rip)
    {
        frame.rip = resume;
        return;
    }
    panic_for(frame, format_args!("kernel {} address {:#x} {}", access(&fault), fault.address, why(&fault)));
}

/// Called by asm/trap_entry.s for the kernel's debug exceptions, for NMI, double fault and machine check, from whatever was interrupted, user mode
/// too, on the vector's own stack.
#[unsafe(no_mangle)]
extern "C" fn trap_critical(frame: &mut TrapFrame) {
    match frame.vector {
        // The kernel touched what a debugger watches in the program's memory, on the program's behalf.
        DEBUG => _ = take_debug_status(),
        NMI => serve_nmi(frame),
        DOUBLE_FAULT => panic_for_double_fault(frame),
        _ => panic_for(frame, format_args!("machine check: the hardware reports a failure")),
    }
}

static NMI_HANDLER: Once<fn()> = Once::new();

/// Sets who looks first at each NMI: another CPU may have sent it. Once.
pub(in crate::machine) fn set_nmi_handler(handler: fn()) {
    NMI_HANDLER.call_once(|| handler);
}

/// An NMI of the chipset means broken memory or a broken card; any other is noise.
fn serve_nmi(frame: &TrapFrame) {
    if let Some(handler) = NMI_HANDLER.get() {
        handler();
    }
    // SAFETY: reading the port has no effect.
    let reasons = unsafe { PortReadOnly::<u8>::new(SYSTEM_CONTROL_B).read() };
    // All ones: there is no such port.
    if reasons & 0xc0 != 0 && reasons != 0xff {
        panic_for(frame, format_args!("NMI: the hardware reports a failure (port 0x61: {reasons:#x})"));
    }
}

/// The CPU could not push a fault's frame: as a rule because the stack ran into its guard page.
fn panic_for_double_fault(frame: &TrapFrame) -> ! {
    let address = PageFault::read(0).address;
    if is_below_stack(address) {
        panic_for(frame, format_args!("kernel stack overflow at {address:#x}"));
    }
    panic_for(frame, format_args!("double fault"))
}

fn panic_for(frame: &TrapFrame, message: core::fmt::Arguments<'_>) -> ! {
    note_fault(&FaultRegisters {
        rax: frame.rax,
        rbx: frame.rbx,
        rcx: frame.rcx,
        rdx: frame.rdx,
        rsi: frame.rsi,
        rdi: frame.rdi,
        rbp: frame.rbp,
        rsp: frame.rsp,
        r8: frame.r8,
        r9: frame.r9,
        r10: frame.r10,
        r11: frame.r11,
        r12: frame.r12,
        r13: frame.r13,
        r14: frame.r14,
        r15: frame.r15,
        rip: frame.rip,
        rflags: frame.rflags,
        cs: frame.cs,
        error_code: frame.error_code,
    });
    panic!("{message}")
}

fn access(fault: &PageFault) -> &'static str {
    match fault {
        PageFault { is_execute: true, .. } => "jumped to",
        PageFault { is_write: true, .. } => "wrote to",
        _ => "read",
    }
}

fn why(fault: &PageFault) -> &'static str {
    match fault {
        PageFault { address: ..0x1000, .. } => "(null pointer)",
        PageFault { is_protection: true, .. } => "(not allowed)",
        _ => "(not mapped)",
    }
}

/// The exceptions' names (SDM vol. 3A, table 6-1).
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => "general protection fault",
        16 => "x87 error",
        17 => "alignment check",
        19 => "SIMD error",
        21 => "control protection fault",
        _ => "unknown exception",
    }
}
