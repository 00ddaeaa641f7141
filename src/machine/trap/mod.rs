//! Exceptions and interrupts: the descriptor tables, what becomes of a fault, and interrupt lines.
//!
//! A trap from the kernel goes asm/trap_entry.s → `exceptions`; one from user mode goes through
//! asm/user_entry.s back to `machine::user`, which asks here: `fault_from_vector` for exceptions,
//! `dispatch_interrupt` for the rest. Nothing here knows which interrupt controller the PC has;
//! `platform` hands one down as an `InterruptController`.

/// Traps from the kernel itself.
mod exceptions;

/// What user mode can do wrong.
mod fault;

/// Segments and the task state.
mod gdt;

/// The gates.
mod idt;

/// Interrupt vectors, lines and their handlers.
mod irq;

pub(crate) use fault::{Fault, PageFault};
pub(crate) use irq::{IrqLine, statistics};
pub(in crate::machine) use {
    exceptions::set_nmi_handler,
    fault::fault_from_vector,
    irq::{
        FIRST_ISA_VECTOR, InterruptController, LocalVector, dispatch_interrupt, set_controller, set_local_handler,
        start_counting,
    },
};

/// Loads this CPU's descriptor tables: from now on each fault reaches its handler. Called once per CPU with
/// interrupts off, after its per-CPU data (GS base) are in place; CPU 0 needs neither heap nor log for it.
pub(in crate::machine) fn start_cpu(index: usize) {
    gdt::load(index);
    idt::load();
}
