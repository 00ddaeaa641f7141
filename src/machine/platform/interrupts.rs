//! Where interrupts come from on this PC: the I/O APICs and each CPU's local APIC where ACPI lists them, else the
//! 8259s through the local APIC's first line, or straight to the CPU.

use super::acpi::Tables;
use super::calls;
use super::io_apic::IoApics;
use super::local_apic::{self, LineSource, local_apic};
use super::pic;
use crate::machine::console::log;
use crate::machine::cpu;
use crate::machine::sync::Once;
use crate::machine::trap::{self, FIRST_ISA_VECTOR, InterruptController, LocalVector};
use alloc::vec::Vec;

static IO_APICS: Once<IoApics> = Once::new();

/// Local APIC ids of the CPUs that may run, the boot CPU's too.
static CPU_IDS: Once<Vec<u32>> = Once::new();

/// What is asked of a local APIC at its start: where its registers are, who handles the ISA lines.
static LOCAL_APICS: Once<(Option<u64>, LineSource)> = Once::new();

/// Masks everything that is wired, then lets `trap` know whom to ask. On the boot CPU.
pub(super) fn start(tables: &Tables) {
    pic::start();
    trap::start_counting(cpu::index());
    trap::set_local_handler(LocalVector::Error, report_errors);

    let has_io_apic = !tables.io_apics.is_empty() && cpu::features().contains(cpu::Features::APIC);
    let lines = if has_io_apic { LineSource::IoApic } else { LineSource::Pic };
    LOCAL_APICS.call_once(|| (tables.local_apic, lines));
    CPU_IDS.call_once(|| tables.cpus.clone());
    local_apic::start_cpu(tables.local_apic, lines, true);
    calls::start();
    let target = local_apic().map_or(0, |apic| apic.id());

    if has_io_apic {
        IO_APICS.call_once(|| IoApics::start(tables, target));
        trap::set_controller(&Apics);
    } else {
        trap::set_controller(&Pics);
    }
    log!(Info, "interrupts by {}", if has_io_apic { "APIC" } else { "8259" });
}

/// Makes a further CPU ready to take interrupts. On that CPU, with interrupts off.
pub(in crate::machine) fn start_cpu() {
    trap::start_counting(cpu::index());
    if let Some(&(address, lines)) = LOCAL_APICS.get() {
        local_apic::start_cpu(address, lines, false);
    }
}

/// Returns the local APIC ids of the CPUs that may run, as the firmware lists them.
pub(in crate::machine) fn cpu_ids() -> &'static [u32] {
    CPU_IDS.get().map_or(&[], |ids| ids)
}

fn report_errors() {
    if let Some(apic) = local_apic() {
        log!(Warning, "local APIC error {:#x}", apic.take_errors());
    }
}

/// Acknowledges an interrupt at the local APIC, if it has anything to do with it.
fn end_at_local_apic() {
    if let Some(apic) = local_apic() {
        apic.end_of_interrupt();
    }
}

struct Apics;

impl InterruptController for Apics {
    fn enable_isa(&self, irq: u8) {
        if let Some(chips) = IO_APICS.get() {
            chips.enable_isa(irq);
        }
    }

    fn disable_isa(&self, irq: u8) {
        if let Some(chips) = IO_APICS.get() {
            chips.disable_isa(irq);
        }
    }

    fn is_spurious(&self, _vector: u8) -> bool {
        false
    }

    fn end_of_interrupt(&self, _vector: u8) {
        end_at_local_apic();
    }
}

struct Pics;

impl Pics {
    /// The ISA line behind `vector`; `None` for the local APIC's own.
    fn line(vector: u8) -> Option<u8> {
        vector.checked_sub(FIRST_ISA_VECTOR).filter(|&irq| irq < 16)
    }
}

impl InterruptController for Pics {
    fn enable_isa(&self, irq: u8) {
        pic::unmask(irq);
    }

    fn disable_isa(&self, irq: u8) {
        pic::mask(irq);
    }

    fn is_spurious(&self, vector: u8) -> bool {
        Pics::line(vector).is_some_and(pic::is_spurious)
    }

    fn end_of_interrupt(&self, vector: u8) {
        match Pics::line(vector) {
            Some(irq) => pic::end_of_interrupt(irq),
            None => end_at_local_apic(),
        }
    }
}
