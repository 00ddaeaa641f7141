//! The clock of a PC whose CPUs' counters do not agree: a counter of the board's, which all read the same.
//!
//! It is read in 32 bits or fewer; what it was at the last reading tells how often it has wrapped since, so somebody
//! reads it at least once in each half of a wrap.

use super::{Timer, monotonic_ns};
use crate::machine::platform::Counter;
use crate::machine::sync::{IrqLock, Once};
use crate::rank::Rank;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

/// Less than half of the fastest wrap, the power management timer's.
const READ_AGAIN_NS: u64 = 2_000_000_000;

struct Clock {
    counter: Counter,
    /// What the clock showed when the counter was at `first`.
    start_ns: u64,
    first: u32,
    /// The ticks since then, as of the last reading.
    ticks: AtomicU64,
}

static CLOCK: Once<Clock> = Once::new();

/// Makes `counter` the clock, which shows `start_ns` now.
pub(super) fn start(counter: Counter, start_ns: u64) {
    CLOCK.call_once(|| Clock { counter, start_ns, first: counter.read(), ticks: AtomicU64::new(0) });
    read_again();
}

/// Returns nanoseconds since start; 0 before there is a clock.
#[cold]
pub(super) fn read_ns() -> u64 {
    let Some(clock) = CLOCK.get() else { return 0 };
    // In this order: another CPU may read meanwhile, but nobody has read what is later than the counter.
    let before = clock.ticks.load(Ordering::Acquire);
    let since = clock.counter.ticks_between(clock.first.wrapping_add(before as u32), clock.counter.read());
    let now = before + u64::from(since);
    clock.start_ns + clock.counter.nanoseconds(clock.ticks.fetch_max(now, Ordering::AcqRel).max(now))
}

/// Reads the clock now and from time to time.
fn read_again() {
    static NEXT: IrqLock<Option<Timer>> = IrqLock::new(Rank::SchedulerTick, None);
    let timer = Timer::at(monotonic_ns() + READ_AGAIN_NS, Box::new(read_again));
    *NEXT.lock() = Some(timer);
}
