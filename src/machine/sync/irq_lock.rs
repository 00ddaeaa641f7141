//! The lock that also keeps interrupts off.

use super::order::Held;
use crate::rank::Rank;
use core::ops::{Deref, DerefMut};
use core::{marker::PhantomData, mem};
use x86_64::instructions::interrupts;

/// Keeps interrupts off on this CPU until dropped; nests.
#[derive(Debug)]
pub(in crate::machine) struct InterruptsOff {
    were_enabled: bool,
    _not_send: PhantomData<*const ()>,
}

impl InterruptsOff {
    /// Turns interrupts off if they are on.
    #[inline(always)]
    pub(in crate::machine) fn new() -> InterruptsOff {
        let were_enabled = interrupts::are_enabled();
        interrupts::disable();
        InterruptsOff { were_enabled, _not_send: PhantomData }
    }
}

impl Drop for InterruptsOff {
    #[inline(always)]
    fn drop(&mut self) {
        if self.were_enabled {
            interrupts::enable();
        }
    }
}

/// A lock that spins with interrupts off on this CPU; may be shared with interrupt handlers.
pub(crate) struct IrqLock<T: ?Sized> {
    rank: Rank,
    value: spin::Mutex<T>,
}

/// Access to what an `IrqLock` guards, until dropped; then interrupts are on again if they were before. It
/// stays with the task that took it, and guards that nest end in reverse order.
pub(crate) struct IrqGuard<'a, T: ?Sized> {
    // Dropped in this order.
    value: spin::MutexGuard<'a, T>,
    _held: Held,
    _off: InterruptsOff,
}

impl<T> IrqLock<T> {
    /// Makes an unlocked lock with its place in the global order.
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        IrqLock { rank, value: spin::Mutex::new(value) }
    }
}

impl<T: ?Sized> IrqLock<T> {
    /// Takes the lock, with interrupts off until the guard is dropped. Any context.
    #[track_caller]
    pub(crate) fn lock(&self) -> IrqGuard<'_, T> {
        let off = InterruptsOff::new();
        let held = Held::take(self.rank);
        // Tried once before the loop, which is longer: most often it is free.
        let value = self.value.try_lock().unwrap_or_else(|| self.value.lock());
        IrqGuard { value, _held: held, _off: off }
    }

    /// Takes the lock if it is free. Any context.
    pub(crate) fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let off = InterruptsOff::new();
        let value = self.value.try_lock()?;
        Some(IrqGuard { value, _held: Held::note(self.rank), _off: off })
    }

    /// Unlocks it although somebody holds it.
    ///
    /// # Safety
    /// Whoever holds it will never go on: a panic.
    pub(in crate::machine) unsafe fn break_open(&self) {
        // SAFETY: the caller says that the holder will not use what is guarded any more.
        unsafe { self.value.force_unlock() };
    }

    /// Unlocks what the task before left locked by `IrqGuard::hand_over`. Interrupts stay off.
    ///
    /// # Safety
    /// It was left so on this CPU, and nobody else unlocks it.
    pub(in crate::machine) unsafe fn finish_hand_over(&self) {
        // SAFETY: the caller is its only holder.
        unsafe { self.value.force_unlock() };
        Held::forget(self.rank);
    }
}

impl<T: ?Sized> IrqGuard<'_, T> {
    /// Leaves the lock locked for the task that is switched to; returns what lets interrupts in again as they were.
    pub(in crate::machine) fn hand_over(self) -> InterruptsOff {
        let off = InterruptsOff { were_enabled: self._off.were_enabled, _not_send: PhantomData };
        mem::forget(self);
        off
    }
}

impl<T: ?Sized> Deref for IrqGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
