//! What interrupts a CPU at a deadline: its local APIC's timer, by TSC value where the CPU can, else by counting
//! down; on a PC without local APIC, the 8254.

use super::clock::{counter_at, monotonic_ns};
use crate::machine::cpu::{Features, features};
use crate::machine::platform::{Pit, local_apic};
use crate::machine::sync::Once;

/// How this PC's CPUs are interrupted.
#[derive(Clone, Copy, Debug)]
pub(super) enum EventSource {
    /// The local APIC's timer compares with the TSC.
    Deadline,
    /// The local APIC's timer counts down at this rate.
    Countdown { hz: u64 },
    /// Channel 0 of the 8254.
    Pit,
}

/// How long the countdown's rate is measured: it decides only how early or late a timer is, by as many millionths
/// as the measurement is wrong.
const MEASURE_NS: u64 = 500_000;

static SOURCE: Once<EventSource> = Once::new();

/// Makes this CPU's timer ready, stopped. The first call measures it.
pub(super) fn start_cpu() -> EventSource {
    let source = *SOURCE.call_once(find_source);
    if let Some(apic) = local_apic() {
        match source {
            EventSource::Deadline => apic.enable_deadline_timer(),
            EventSource::Countdown { .. } => apic.enable_timer(),
            EventSource::Pit => (),
        }
    }
    source
}

fn find_source() -> EventSource {
    let Some(apic) = local_apic() else { return EventSource::Pit };
    // Bochs' APIC counts on over a restart while its TSC begins anew, so all deadlines seem past.
    let far = counter_at(monotonic_ns() + 1_000_000_000);
    if features().contains(Features::TSC_DEADLINE) && apic.waits_for_deadline(far) {
        return EventSource::Deadline;
    }
    EventSource::Countdown { hz: measure_countdown() }
}

fn measure_countdown() -> u64 {
    let Some(apic) = local_apic() else { return 1 };
    let start = monotonic_ns();
    apic.set_timer(u32::MAX);
    while monotonic_ns() - start < MEASURE_NS {
        core::hint::spin_loop();
    }
    let ticks = u32::MAX - apic.timer_left();
    let ns = monotonic_ns() - start;
    apic.set_timer(0);
    (u64::from(ticks) * 1_000_000_000 / ns).max(1)
}

/// Lets this CPU be interrupted at monotonic time `deadline_ns`, or earlier if that is far away; `None`: not at
/// all. With interrupts off.
pub(super) fn interrupt_at(deadline_ns: Option<u64>) {
    let Some(source) = SOURCE.get() else { return };
    match (*source, deadline_ns) {
        (EventSource::Deadline, deadline) => {
            if let Some(apic) = local_apic() {
                // 0 would stop the timer; the counter has passed 1 long since.
                apic.set_deadline(deadline.map_or(0, |ns| counter_at(ns).max(1)));
            }
        }
        (EventSource::Countdown { hz }, deadline) => {
            if let Some(apic) = local_apic() {
                apic.set_timer(deadline.map_or(0, |ns| countdown(hz, ns)));
            }
        }
        (EventSource::Pit, Some(ns)) => Pit::interrupt_after(ns.saturating_sub(monotonic_ns())),
        (EventSource::Pit, None) => Pit::stop(),
    }
}

/// Returns the ticks from now to `deadline_ns`, rounded up, at least 1; to an earlier time if that is far away.
fn countdown(hz: u64, deadline_ns: u64) -> u32 {
    /// About a second: then the product fits into 64 bits, which are quicker to divide.
    const FAR_NS: u64 = 1 << 30;
    let ns = deadline_ns.saturating_sub(monotonic_ns()).min(FAR_NS);
    let ticks = (ns * hz).div_ceil(1_000_000_000);
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}
