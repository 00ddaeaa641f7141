//! The PC around the CPU: ACPI tables, interrupt controllers, timers, clock chip, power, port I/O.
//!
//! `start` reads what the firmware says once, masks what is wired, and chooses how interrupts come: by
//! local and I/O APIC where ACPI lists them, else by the two 8259. The timers here only tell time; what is
//! made of them is in `machine::time`.

/// The firmware's tables.
mod acpi;

/// Calls from one CPU to others.
mod calls;

/// Counters of a known rate.
mod counter;

/// Where interrupts come from on this PC.
mod interrupts;

/// The I/O APICs.
mod io_apic;

/// This CPU's local APIC.
mod local_apic;

/// Registers that are memory.
mod mmio;

/// The two 8259 interrupt controllers.
mod pic;

/// The 8254 timer.
mod pit;

/// I/O ports that drivers own.
mod port;

/// Off and restart.
mod power;

/// The clock chip.
mod rtc;

/// Which CPUs share a core and a package.
mod topology;

pub(crate) use calls::run_on;
pub(crate) use port::Port;
pub(crate) use power::{halt, power_off, restart};
pub(crate) use topology::place;
pub(in crate::machine) use {
    calls::stop_others,
    counter::{Counter, find_counters},
    interrupts::{cpu_ids, start_cpu},
    local_apic::{local_apic, send_interrupt},
    pit::{Pit, PitSpan},
    rtc::read_wall_seconds,
};

/// Finds out what PC this is and takes over its interrupts. Once, on the boot CPU, with the heap in place.
pub(super) fn start() {
    let tables = acpi::read();
    power::configure(&tables);
    rtc::configure(&tables);
    counter::configure(&tables);
    interrupts::start(&tables);
}
