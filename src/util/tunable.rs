//! A number that an administrator may set at run time, within bounds (/proc/sys).

use core::sync::atomic::{AtomicUsize, Ordering};

/// A limit with its bounds.
pub(crate) struct Tunable {
    value: AtomicUsize,
    least: usize,
    most: usize,
}

impl Tunable {
    /// Makes one that is `value` at first.
    pub(crate) const fn new(value: usize, least: usize, most: usize) -> Tunable {
        Tunable { value: AtomicUsize::new(value), least, most }
    }

    /// Returns the number.
    pub(crate) fn get(&self) -> usize {
        self.value.load(Ordering::Relaxed)
    }

    /// Sets the number; `false`, and nothing changed, if it is out of bounds.
    pub(crate) fn set(&self, value: usize) -> bool {
        let is_allowed = (self.least..=self.most).contains(&value);
        if is_allowed {
            self.value.store(value, Ordering::Relaxed);
        }
        is_allowed
    }
}
