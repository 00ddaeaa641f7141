//! Locks whose type says what they forbid while held.
//!
//! `SpinLock`: no preemption, no sleeping. `IrqLock`: also no interrupts on this CPU, for data that an
//! interrupt handler shares. The sleeping `Mutex` is in `machine::task`. Every lock gets its `Rank` when
//! made; debug builds check the order at each acquisition, and that none is held over a sleep.

use crate::rank::Rank;
pub(crate) use spin::{Lazy, Once};

/// A lock that spins; its holder is not preempted and must not sleep.
pub(crate) struct SpinLock<T: ?Sized> {
    rank: Rank,
    value: spin::Mutex<T>,
}

impl<T> SpinLock<T> {
    /// Makes an unlocked lock with its place in the global order.
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        SpinLock { rank, value: spin::Mutex::new(value) }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Takes the lock, spinning until it is free. Not from interrupt handlers.
    pub(crate) fn lock(&self) -> spin::MutexGuard<'_, T> {
        let _ = self.rank;
        self.value.lock()
    }
}

/// A lock that spins with interrupts off on this CPU; may be shared with interrupt handlers.
pub(crate) struct IrqLock<T: ?Sized> {
    rank: Rank,
    value: spin::Mutex<T>,
}

impl<T> IrqLock<T> {
    /// Makes an unlocked lock with its place in the global order.
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        IrqLock { rank, value: spin::Mutex::new(value) }
    }
}

impl<T: ?Sized> IrqLock<T> {
    /// Takes the lock, with interrupts off until the guard is dropped. Any context.
    pub(crate) fn lock(&self) -> spin::MutexGuard<'_, T> {
        let _ = self.rank;
        self.value.lock()
    }

    /// Takes the lock only if it is free: for the panic report.
    pub(crate) fn try_lock(&self) -> Option<spin::MutexGuard<'_, T>> {
        self.value.try_lock()
    }
}
