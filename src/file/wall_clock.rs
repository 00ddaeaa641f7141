//! What follows the wall clock when somebody sets it: sleepers and timers with an absolute time.

use super::{Events, Observer, Readiness};
use crate::errno::{Errno, Result};
use crate::machine::time;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// Announces each setting of the clock.
static SET: Readiness = Readiness::new();

/// Counts them.
static SETTINGS: AtomicU32 = AtomicU32::new(0);

/// Sets the wall clock, and tells all who count by it.
pub(crate) fn set(ns: u64) {
    time::set_wall_ns(ns);
    SETTINGS.fetch_add(1, Ordering::SeqCst);
    SET.announce(Events::READ);
}

/// Tells `observer` whenever the clock is set, until it is dropped.
pub(crate) fn observe(observer: &Arc<dyn Observer>) {
    SET.observe(observer, Events::READ);
}

/// Sleeps until the wall clock shows `time_ns`. `RESTART_NO_HANDLER` when a signal is due.
pub(crate) fn sleep_until(time_ns: u64) -> Result {
    loop {
        let seen = SETTINGS.load(Ordering::SeqCst);
        let left = time_ns.saturating_sub(time::wall_ns());
        if left == 0 {
            return Ok(());
        }
        let was_set = || if SETTINGS.load(Ordering::SeqCst) == seen { Err(Errno::EAGAIN) } else { Ok(()) };
        match SET.block_until(Some(time::monotonic_ns().saturating_add(left)), was_set) {
            Ok(()) | Err(Errno::ETIMEDOUT) => {}
            Err(error) => return Err(error),
        }
    }
}
