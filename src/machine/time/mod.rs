//! Monotonic and wall time, one-shot timers.
//!
//! The monotonic clock counts nanoseconds since start, from the calibrated TSC. There is no periodic tick: a
//! CPU's timer is set for its next deadline and for nothing else.

/// Whether the CPUs' counters agree.
mod agreement;

/// The CPU's counter as a clock.
mod clock;

/// What interrupts a CPU at a deadline.
mod event;

/// The clock where they do not.
mod fallback;

/// Timers and each CPU's queue of them.
mod timer;

pub(in crate::machine) use agreement::{answer, compare};
pub(crate) use clock::{monotonic_ns, tsc_khz, tsc_scale};
pub(crate) use timer::Timer;
pub(in crate::machine) use timer::start_cpu;

use super::boot;
use super::console::{self, log};
use super::platform::read_wall_seconds;
use core::sync::atomic::{AtomicU64, Ordering};

/// What the monotonic clock shows less than the wall clock.
static WALL_OFFSET_NS: AtomicU64 = AtomicU64::new(0);

/// Finds out how fast the clocks run, reads the date, and makes this CPU's timers work. Once, on the boot CPU.
pub(super) fn start() {
    clock::start();
    console::set_clock(monotonic_ns);
    match read_wall_seconds() {
        // The chip does not tell the fraction of the second: on average it is half.
        Some(seconds) => set_wall_ns(seconds * 1_000_000_000 + 500_000_000),
        None => log!(Warning, "the clock chip shows no date"),
    }
    start_cpu();
    if boot::word("tsc") == Some("unstable") {
        clock::distrust(format_args!("is unstable, as the command line says"));
    }
}

/// Returns nanoseconds since 1970-01-01 00:00 UTC. Any context.
pub(crate) fn wall_ns() -> u64 {
    monotonic_ns().wrapping_add(WALL_OFFSET_NS.load(Ordering::Relaxed))
}

/// Returns what must be added to monotonic time to get `wall_ns`.
pub(crate) fn wall_offset_ns() -> u64 {
    WALL_OFFSET_NS.load(Ordering::Relaxed)
}

/// Sets the wall clock.
pub(crate) fn set_wall_ns(ns: u64) {
    WALL_OFFSET_NS.store(ns.wrapping_sub(monotonic_ns()), Ordering::Relaxed);
}
