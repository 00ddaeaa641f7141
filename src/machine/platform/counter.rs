//! Counters of a known rate, by which the CPU's own counter is measured: HPET (IA-PC HPET specification 1.0a)
//! and the ACPI power management timer (ACPI 4.8.3.3).

use super::acpi::Tables;
use super::mmio::Mmio;
use crate::machine::sync::Once;
use x86_64::instructions::port::PortReadOnly;

const HPET_PERIOD: usize = 0x04;
const HPET_CONFIGURATION: usize = 0x10;
const HPET_COUNTER: usize = 0xf0;
const HPET_ENABLED: u32 = 1 << 0;
const HPET_REPLACES_LEGACY: u32 = 1 << 1;

/// The longest period that the specification allows, in femtoseconds.
const HPET_SLOWEST: u32 = 100_000_000;

/// Ticks of the power management timer per second: three times the 8254's.
const PM_TIMER_HZ: u64 = 3_579_545;

const FEMTOSECONDS: u64 = 1_000_000_000_000_000;

/// A counter that runs at a known rate and wraps.
#[derive(Clone, Copy, Debug)]
pub(in crate::machine) struct Counter {
    pub(in crate::machine) name: &'static str,
    source: Source,
    /// Length of a tick.
    femtoseconds: u64,
    /// The bits that count.
    mask: u32,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Hpet(Mmio),
    PmTimer(u16),
}

static COUNTERS: Once<[Option<Counter>; 2]> = Once::new();

/// Learns which counters there are.
pub(super) fn configure(tables: &Tables) {
    COUNTERS.call_once(|| [tables.hpet.and_then(start_hpet), tables.pm_timer.and_then(check_pm_timer)]);
}

/// Returns the PC's counters, the finest first.
pub(in crate::machine) fn find_counters() -> impl Iterator<Item = Counter> {
    COUNTERS.get().copied().into_iter().flatten().flatten()
}

impl Counter {
    /// Reads the counter. Takes about a microsecond.
    pub(in crate::machine) fn read(&self) -> u32 {
        match self.source {
            Source::Hpet(registers) => registers.read(HPET_COUNTER),
            // SAFETY: the firmware's tables name the timer there; reading it has no effect.
            Source::PmTimer(port) => unsafe { PortReadOnly::<u32>::new(port).read() },
        }
    }

    /// Returns the ticks from reading `start` to reading `end`, which is less than a wrap later.
    pub(in crate::machine) fn ticks_between(&self, start: u32, end: u32) -> u32 {
        end.wrapping_sub(start) & self.mask
    }

    /// Returns how long `ticks` take.
    pub(in crate::machine) fn nanoseconds(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * u128::from(self.femtoseconds) / 1_000_000) as u64
    }
}

fn start_hpet(address: u64) -> Option<Counter> {
    // SAFETY: the firmware's tables name an HPET there, and only this module uses it.
    let registers = unsafe { Mmio::map(address, 0x400) };
    let period = registers.read(HPET_PERIOD);
    if period == 0 || period > HPET_SLOWEST {
        return None;
    }
    // In the legacy mode that firmware may have left on, the 8254 would not interrupt.
    let configuration = registers.read(HPET_CONFIGURATION) & !HPET_REPLACES_LEGACY;
    registers.write(HPET_CONFIGURATION, configuration | HPET_ENABLED);
    let hpet =
        Counter { name: "HPET", source: Source::Hpet(registers), femtoseconds: u64::from(period), mask: u32::MAX };
    is_running(&hpet).then_some(hpet)
}

fn check_pm_timer((port, has_32_bits): (u16, bool)) -> Option<Counter> {
    let mask = if has_32_bits { u32::MAX } else { 0x00ff_ffff };
    let timer = Counter {
        name: "ACPI PM timer",
        source: Source::PmTimer(port),
        femtoseconds: FEMTOSECONDS / PM_TIMER_HZ,
        mask,
    };
    is_running(&timer).then_some(timer)
}

/// Some firmware names counters that stand still.
fn is_running(counter: &Counter) -> bool {
    let start = counter.read();
    (0..10_000).any(|_| counter.read() != start)
}
