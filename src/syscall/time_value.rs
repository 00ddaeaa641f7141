//! Times and durations as user space passes them.

use crate::errno::{Errno, Result};
use crate::machine::time;
use crate::vm::UserPtr;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Nanoseconds in a second.
pub(super) const SECOND_NS: u64 = 1_000_000_000;

/// `struct timespec`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct TimeSpec {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

/// `struct timeval`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct TimeVal {
    pub(crate) seconds: i64,
    pub(crate) microseconds: i64,
}

impl TimeSpec {
    /// Makes it from nanoseconds.
    pub(crate) fn from_ns(ns: u64) -> TimeSpec {
        TimeSpec { seconds: (ns / SECOND_NS) as i64, nanoseconds: (ns % SECOND_NS) as i64 }
    }

    /// Returns nanoseconds, at most what fits. EINVAL for a negative time or more than 999,999,999 ns.
    pub(crate) fn to_ns(self) -> Result<u64> {
        let seconds = u64::try_from(self.seconds).map_err(|_| Errno::EINVAL)?;
        let nanoseconds = u64::try_from(self.nanoseconds).map_err(|_| Errno::EINVAL)?;
        Errno::EINVAL.when(nanoseconds >= SECOND_NS)?;
        Ok(seconds.saturating_mul(SECOND_NS).saturating_add(nanoseconds))
    }
}

impl TimeVal {
    /// Makes it from nanoseconds, rounding down.
    pub(crate) fn from_ns(ns: u64) -> TimeVal {
        TimeVal { seconds: (ns / SECOND_NS) as i64, microseconds: (ns % SECOND_NS / 1000) as i64 }
    }

    /// Returns nanoseconds, at most what fits. EINVAL for a negative time or more than 999,999 us.
    pub(crate) fn to_ns(self) -> Result<u64> {
        Errno::EINVAL.when(self.microseconds >= 1_000_000)?;
        TimeSpec { seconds: self.seconds, nanoseconds: self.microseconds.saturating_mul(1000) }.to_ns()
    }
}

/// Returns the monotonic time that lies `duration_ns` ahead.
pub(super) fn deadline_after(duration_ns: u64) -> u64 {
    time::monotonic_ns().saturating_add(duration_ns)
}

/// Returns the time left to a monotonic deadline.
pub(super) fn time_left(deadline_ns: u64) -> u64 {
    deadline_ns.saturating_sub(time::monotonic_ns())
}

/// Returns the deadline of a wait of at most `limit`; NULL is for ever.
pub(super) fn read_deadline(limit: UserPtr<'_, TimeSpec>) -> Result<Option<u64>> {
    match limit.non_null() {
        None => Ok(None),
        Some(limit) => Ok(Some(deadline_after(limit.read()?.to_ns()?))),
    }
}
