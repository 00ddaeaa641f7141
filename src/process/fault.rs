//! A program's own faults become signals: which signal, which code, which address, as Linux does on x86-64
//! (arch/x86/kernel/traps.c says which; sigaction(2) lists the codes), and one line in the log.

use super::signal::{self, IGNORE, Signal, SignalInfo};
use super::{Thread, memory_shortage, table, trace};
use crate::machine::console::log;
use crate::machine::trap::{Fault, PageFault};
use crate::machine::user::Registers;
use crate::vm::{AddressSpace, FaultOutcome};
use alloc::{string::String, sync::Arc};
use linux_raw_sys::general::{
    BUS_ADRALN, BUS_ADRERR, FPE_FLTDIV, FPE_FLTINV, FPE_FLTOVF, FPE_FLTRES, FPE_FLTUND, FPE_FLTUNK, FPE_INTDIV,
    ILL_ILLOPN, SEGV_ACCERR, SEGV_MAPERR, TRAP_HWBKPT, TRAP_TRACE,
};

/// Resolves the fault or sends its signal to the calling thread.
pub(crate) fn handle(thread: &Arc<Thread>, space: &AddressSpace, registers: &Registers, fault: Fault) {
    if let Fault::Page(page_fault) = fault {
        thread.count_fault();
        return handle_page_fault(thread, space, registers, page_fault);
    }

    if let Fault::Debug(status) = fault {
        trace::note_debug_status(thread, status);
    }
    let (vector, error, info, name) = classify(registers.rip, fault);
    thread.set_last_fault(vector, error, 0);
    if is_unhandled(thread, info.signal()) && !matches!(fault, Fault::Debug(_) | Fault::Breakpoint) {
        let (ip, sp) = (registers.rip, registers.rsp);
        match fault {
            Fault::GeneralProtection(_) => {
                log!(Info, "traps: {} general protection fault ip:{ip:x} sp:{sp:x} error:{error:x}", label(thread));
            }
            _ => log!(Info, "traps: {} trap {name} ip:{ip:x} sp:{sp:x} error:{error:x}", label(thread)),
        }
    }
    signal::force(thread, info);
}

fn handle_page_fault(thread: &Arc<Thread>, space: &AddressSpace, registers: &Registers, fault: PageFault) {
    let (signal, code) = match space.handle_fault(fault) {
        FaultOutcome::Resolved => return,
        FaultOutcome::OutOfMemory => return memory_shortage::relieve(thread),
        FaultOutcome::NotMapped => (Signal::SEGV, SEGV_MAPERR),
        FaultOutcome::NotAllowed => (Signal::SEGV, SEGV_ACCERR),
        FaultOutcome::BeyondFile => (Signal::BUS, BUS_ADRERR),
    };
    // The error code of the CPU (SDM vol. 3A, 4.7): present, write, user, fetch.
    let error =
        u64::from(fault.is_protection) | u64::from(fault.is_write) << 1 | 1 << 2 | u64::from(fault.is_execute) << 4;
    thread.set_last_fault(14, error, fault.address);
    if signal == Signal::SEGV && is_unhandled(thread, signal) {
        let (address, ip, sp) = (fault.address, registers.rip, registers.rsp);
        if thread.process().id() == table::INIT {
            log!(Emergency, "{}: segfault at {address:x} ip {ip:016x} sp {sp:016x} error {error:x}", label(thread));
        } else {
            log!(Info, "{}: segfault at {address:x} ip {ip:016x} sp {sp:016x} error {error:x}", label(thread));
        }
    }
    signal::force(thread, SignalInfo::fault(signal, code, fault.address));
}

/// Returns vector, error code, signal and Linux's name of a fault other than a page fault.
fn classify(ip: u64, fault: Fault) -> (u64, u64, SignalInfo, &'static str) {
    let at = |signal, code| SignalInfo::fault(signal, code, ip);
    match fault {
        Fault::Page(_) => unreachable!("page faults are resolved first"),
        Fault::DivideError => (0, 0, at(Signal::FPE, FPE_INTDIV), "divide error"),
        Fault::Debug(status) => (1, 0, at(Signal::TRAP, debug_code(status)), "debug"),
        Fault::Breakpoint => (3, 0, SignalInfo::kernel(Signal::TRAP), "int3"),
        Fault::Overflow => (4, 0, SignalInfo::kernel(Signal::SEGV), "overflow"),
        Fault::BoundRange => (5, 0, SignalInfo::kernel(Signal::SEGV), "bounds"),
        Fault::InvalidOpcode => (6, 0, at(Signal::ILL, ILL_ILLOPN), "invalid opcode"),
        Fault::Segment(error) => (11, error, SignalInfo::kernel(Signal::BUS), "segment not present"),
        Fault::Stack(error) => (12, error, SignalInfo::kernel(Signal::BUS), "stack segment"),
        Fault::GeneralProtection(error) => (13, error, SignalInfo::kernel(Signal::SEGV), "general protection fault"),
        Fault::X87(status) => (16, 0, at(Signal::FPE, x87_code(status)), "fpu exception"),
        Fault::Alignment => (17, 0, SignalInfo::fault(Signal::BUS, BUS_ADRALN, 0), "alignment check"),
        Fault::Simd(mxcsr) => (19, 0, at(Signal::FPE, simd_code(mxcsr)), "simd exception"),
    }
}

/// Returns the TRAP code of DR6: a step, or a breakpoint of the debug registers.
fn debug_code(status: u64) -> u32 {
    const STEP: u64 = 1 << 14;
    const BREAKPOINTS: u64 = 0xf;
    if status & STEP == 0 && status & BREAKPOINTS != 0 { TRAP_HWBKPT } else { TRAP_TRACE }
}

/// Returns the FPE code of an x87 status word, whose masked exceptions the CPU did not report.
fn x87_code(status: u16) -> u32 {
    float_code(u32::from(status))
}

/// Returns the FPE code of MXCSR: flags in bits 0 to 5, masks in bits 7 to 12.
fn simd_code(mxcsr: u32) -> u32 {
    float_code(mxcsr & !(mxcsr >> 7))
}

/// Returns the FPE code of exception flags in the order of SDM vol. 1, 8.4 (Linux: `fpu__exception_code`).
fn float_code(flags: u32) -> u32 {
    match flags {
        _ if flags & 0x01 != 0 => FPE_FLTINV,
        _ if flags & 0x04 != 0 => FPE_FLTDIV,
        _ if flags & 0x08 != 0 => FPE_FLTOVF,
        _ if flags & 0x12 != 0 => FPE_FLTUND,
        _ if flags & 0x20 != 0 => FPE_FLTRES,
        _ => FPE_FLTUNK,
    }
}

fn is_unhandled(thread: &Thread, signal: Signal) -> bool {
    thread.process().dispositions().get(signal).handler <= IGNORE
}

/// Returns `NAME[PID]`.
fn label(thread: &Thread) -> String {
    thread.with_name(|name| alloc::format!("{}[{}]", String::from_utf8_lossy(name), thread.id()))
}
