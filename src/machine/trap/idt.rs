//! The gates: which stub each vector goes to. One table for all CPUs.
//!
//! Written by hand and not by the `x86_64` crate: its table wants handlers of a calling convention that
//! stable Rust does not have, and it is in the way of 256 equal stubs.

use super::gdt::CriticalStack;
use crate::machine::asm::{selector, trap_stub};
use crate::machine::sync::Once;
use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

const DEBUG: u8 = 1;
const NMI: u8 = 2;
const BREAKPOINT: u8 = 3;
const OVERFLOW: u8 = 4;
const DOUBLE_FAULT: u8 = 8;
const MACHINE_CHECK: u8 = 18;

/// Present, 64-bit interrupt gate (SDM vol. 3A, 6.14.1): interrupts are off in every handler.
const INTERRUPT_GATE: u64 = 0x8e00;

/// The lowest privilege that may name the vector in an INT instruction is ring 3.
const USER_CALLABLE: u64 = 3 << 13;

/// One gate, in the CPU's layout.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Gate {
    low: u64,
    high: u64,
}

static GATES: Once<[Gate; 256]> = Once::new();

/// Loads the table on this CPU.
pub(super) fn load() {
    let gates = GATES.call_once(|| core::array::from_fn(|vector| make_gate(vector as u8)));
    let pointer = DescriptorTablePointer { limit: (size_of_val(gates) - 1) as u16, base: VirtAddr::from_ptr(gates) };
    // SAFETY: the table is complete and lives for ever, and its gates lead to stubs that save all state.
    unsafe { lidt(&pointer) };
}

fn make_gate(vector: u8) -> Gate {
    let stub = trap_stub(vector);
    let stack = match vector {
        DOUBLE_FAULT => CriticalStack::DoubleFault as u64 + 1,
        DEBUG => CriticalStack::Debug as u64 + 1,
        NMI => CriticalStack::Nmi as u64 + 1,
        MACHINE_CHECK => CriticalStack::MachineCheck as u64 + 1,
        _ => 0,
    };
    let privilege = if matches!(vector, BREAKPOINT | OVERFLOW) { USER_CALLABLE } else { 0 };
    let attributes = INTERRUPT_GATE | privilege | stack;

    Gate {
        low: stub & 0xffff | u64::from(selector::KERNEL_CODE) << 16 | attributes << 32 | (stub >> 16 & 0xffff) << 48,
        high: stub >> 32,
    }
}
