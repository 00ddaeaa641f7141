//! The lock that spins.

use super::order::Held;
use crate::rank::Rank;
use alloc::collections::BTreeMap;
use core::marker::PhantomData;
use core::ops::{Bound, Deref, DerefMut};

/// A lock that spins; its holder is not preempted and must not sleep.
pub(crate) struct SpinLock<T: ?Sized> {
    rank: Rank,
    value: spin::Mutex<T>,
}

/// Access to what a `SpinLock` guards, until dropped. It stays with the task that took it.
pub(crate) struct SpinGuard<'a, T: ?Sized> {
    value: spin::MutexGuard<'a, T>,
    _held: Held,
    _not_send: PhantomData<*const ()>,
}

impl<T> SpinLock<T> {
    /// Makes an unlocked lock with its place in the global order.
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        SpinLock { rank, value: spin::Mutex::new(value) }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Takes the lock, spinning until it is free. Not from interrupt handlers.
    #[track_caller]
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        let held = Held::take(self.rank);
        // Tried once before the loop, which is longer: most often it is free.
        SpinGuard::new(self.value.try_lock().unwrap_or_else(|| self.value.lock()), held)
    }

    /// Takes the lock although one of the same rank is held: the caller has an order of its own between them.
    #[track_caller]
    pub(crate) fn lock_nested(&self) -> SpinGuard<'_, T> {
        let held = Held::take_nested(self.rank);
        SpinGuard::new(self.value.lock(), held)
    }
}

impl<K: Ord + Copy, V> SpinLock<BTreeMap<K, V>> {
    /// Returns what `take` makes of each entry, in order. The lock is free in between: nothing is allocated under it,
    /// and what comes or goes meanwhile may be seen or not.
    pub(crate) fn walk<T>(&self, take: impl Fn(&V) -> T) -> impl Iterator<Item = (K, T)> {
        let mut start = Bound::Unbounded;
        core::iter::from_fn(move || {
            let map = self.lock();
            let (key, value) = map.range((start, Bound::Unbounded)).next()?;
            start = Bound::Excluded(*key);
            Some((*key, take(value)))
        })
    }
}

impl<'a, T: ?Sized> SpinGuard<'a, T> {
    fn new(value: spin::MutexGuard<'a, T>, held: Held) -> Self {
        SpinGuard { value, _held: held, _not_send: PhantomData }
    }
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
