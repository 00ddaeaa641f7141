//! The two 8259 interrupt controllers (Intel 8259A data sheet): moved away from the exceptions' vectors and
//! masked; on a PC without I/O APIC they route the ISA lines.

use super::port::{pause_microsecond, read_u8, write_u8};
use crate::machine::sync::IrqLock;
use crate::machine::trap::FIRST_ISA_VECTOR;
use crate::rank::Rank;

const FIRST_COMMAND: u16 = 0x20;
const FIRST_DATA: u16 = 0x21;
const SECOND_COMMAND: u16 = 0xa0;
const SECOND_DATA: u16 = 0xa1;

/// The line of the first that the second hangs on.
const CASCADE: u8 = 2;

const END_OF_INTERRUPT: u8 = 0x20;
const READ_IN_SERVICE: u8 = 0x0b;

/// The masked lines, one bit each.
static MASK: IrqLock<u16> = IrqLock::new(Rank::IrqTable, 0xffff);

/// Sets both up with vectors from `FIRST_ISA_VECTOR` on, all lines masked.
pub(super) fn start() {
    let vector = FIRST_ISA_VECTOR;
    // Initialization words 1 to 4: edge-triggered with word 4; vector; cascade; 8086 mode.
    let words = [
        (FIRST_COMMAND, 0x11),
        (SECOND_COMMAND, 0x11),
        (FIRST_DATA, vector),
        (SECOND_DATA, vector + 8),
        (FIRST_DATA, 1 << CASCADE),
        (SECOND_DATA, CASCADE),
        (FIRST_DATA, 0x01),
        (SECOND_DATA, 0x01),
    ];
    for (port, word) in words {
        write(port, word);
        pause_microsecond();
    }
    write_mask(0xffff);
}

/// Lets line `irq` through.
pub(super) fn unmask(irq: u8) {
    let mut mask = MASK.lock();
    *mask &= !(1 << irq);
    if irq >= 8 {
        *mask &= !(1 << CASCADE);
    }
    write_mask(*mask);
}

/// Masks line `irq`.
pub(super) fn mask(irq: u8) {
    let mut mask = MASK.lock();
    *mask |= 1 << irq;
    write_mask(*mask);
}

/// Returns whether line `irq`, for which an interrupt came, is not in service: the request went away before it
/// was acknowledged, which the controllers report as their line 7.
pub(super) fn is_spurious(irq: u8) -> bool {
    let (command, bit) = if irq < 8 { (FIRST_COMMAND, irq) } else { (SECOND_COMMAND, irq - 8) };
    if bit != 7 {
        return false;
    }
    write(command, READ_IN_SERVICE);
    // SAFETY: reads the register just selected.
    let is_in_service = unsafe { read_u8(command) } >> bit & 1 == 1;
    if !is_in_service && irq >= 8 {
        // The first one did see the cascade's request.
        write(FIRST_COMMAND, END_OF_INTERRUPT);
    }
    !is_in_service
}

/// Acknowledges line `irq`.
pub(super) fn end_of_interrupt(irq: u8) {
    if irq >= 8 {
        write(SECOND_COMMAND, END_OF_INTERRUPT);
    }
    write(FIRST_COMMAND, END_OF_INTERRUPT);
}

fn write_mask(mask: u16) {
    let [low, high] = mask.to_le_bytes();
    write(FIRST_DATA, low);
    write(SECOND_DATA, high);
}

fn write(port: u16, value: u8) {
    // SAFETY: the controllers' ports only decide which interrupts come, all of which have handlers.
    unsafe { write_u8(port, value) }
}
