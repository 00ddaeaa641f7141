//! The clock chip (Motorola MC146818A): the date and time that run on a battery.

use super::acpi::Tables;
use super::port::{read_u8, write_u8};
use crate::machine::sync::IrqLock;
use crate::rank::Rank;
use crate::util::calendar::{ClockFields, Date};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;

/// Status A: the time is being counted on, its registers may be half new.
const UPDATING: u8 = 0x80;

/// The register index that holds the century (0: none); the lock also keeps index and data together.
static CENTURY: IrqLock<u8> = IrqLock::new(Rank::IrqTable, 0);

/// Learns where the century is.
pub(super) fn configure(tables: &Tables) {
    *CENTURY.lock() = tables.century_register;
}

/// Reads the date and time in seconds since 1970-01-01 00:00 UTC, taking the chip to run on UTC; `None` if what
/// it says is no date.
pub(in crate::machine) fn read_wall_seconds() -> Option<u64> {
    let century = CENTURY.lock();
    let mut before = read_fields(*century);
    // The registers are read one by one, so only two equal readings are one time. Four tries take less than a
    // second even on a chip that is updating.
    for _ in 0..4 {
        let after = read_fields(*century);
        if before == after {
            return after.date().map(Date::seconds_since_1970);
        }
        before = after;
    }
    None
}

fn read_fields(century_register: u8) -> ClockFields {
    // An update takes at most 2 ms.
    for _ in 0..4000 {
        if read(STATUS_A) & UPDATING == 0 {
            break;
        }
    }
    ClockFields {
        second: read(0),
        minute: read(2),
        hour: read(4),
        day: read(7),
        month: read(8),
        year: read(9),
        century: (century_register != 0).then(|| read(century_register)),
        format: read(STATUS_B),
    }
}

fn read(register: u8) -> u8 {
    // SAFETY: the chip has no effect on memory. Bit 7 of the index stays clear, so NMIs stay on.
    unsafe {
        write_u8(INDEX, register & 0x7f);
        read_u8(DATA)
    }
}
