//! Monotonic and wall time, one-shot timers.
//!
//! The monotonic clock counts nanoseconds since start, from the calibrated TSC. There is no periodic tick.

use alloc::boxed::Box;

/// Returns nanoseconds since start. Any context.
pub(crate) fn monotonic_ns() -> u64 {
    todo!()
}

/// Returns nanoseconds since 1970-01-01 00:00 UTC.
pub(crate) fn wall_ns() -> u64 {
    todo!()
}

/// Sets the wall clock.
pub(crate) fn set_wall_ns(_ns: u64) {
    todo!()
}

/// How to turn TSC values into monotonic time, for the vDSO: ns = (tsc - base) * multiplier >> shift.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TscScale {
    pub(crate) base: u64,
    pub(crate) multiplier: u32,
    pub(crate) shift: u32,
}

/// Returns the TSC scale, or `None` where the TSC is not the clock.
pub(crate) fn tsc_scale() -> Option<TscScale> {
    todo!()
}

/// Returns the TSC's rate in kHz.
pub(crate) fn tsc_khz() -> u64 {
    todo!()
}

/// A one-shot timer; dropping it cancels it.
pub(crate) struct Timer {
    _identity: u64,
}

impl Timer {
    /// Calls `expire` once, in interrupt context, at or soon after monotonic time `deadline_ns`.
    pub(crate) fn at(_deadline_ns: u64, _expire: Box<dyn FnOnce() + Send>) -> Timer {
        todo!()
    }
}
