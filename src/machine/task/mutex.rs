//! The sleeping lock.

use crate::rank::Rank;
use core::ops::{Deref, DerefMut};

/// A lock whose waiters sleep. Not under a spin lock, not in interrupt context.
pub(crate) struct Mutex<T: ?Sized> {
    _rank: Rank,
    value: spin::Mutex<T>,
}

/// Access to what a `Mutex` guards, until dropped.
pub(crate) struct MutexGuard<'a, T: ?Sized>(spin::MutexGuard<'a, T>);

impl<T> Mutex<T> {
    /// Makes an unlocked lock with its place in the global order.
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        Mutex { _rank: rank, value: spin::Mutex::new(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; sleeps (uninterruptibly) while another task has it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.value.lock())
    }

    /// Takes the lock although one of the same rank is held: the caller has an order of its own between them.
    pub(crate) fn lock_nested(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.value.lock())
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.value.try_lock().map(MutexGuard)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
