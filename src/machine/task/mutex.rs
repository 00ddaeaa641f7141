//! The sleeping lock.

use super::scheduler;
use super::wait::WaitQueue;
use crate::machine::sync;
use crate::rank::Rank;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering, fence};

/// A lock whose waiters sleep. Not under a spin lock, not in interrupt context.
pub(crate) struct Mutex<T: ?Sized> {
    rank: Rank,
    waiters: WaitQueue,
    /// A waiter was woken and has not tried to take the lock since. As long as that is so no other one is woken, which
    /// would most often find the lock taken and sleep again.
    is_called: AtomicBool,
    value: spin::Mutex<T>,
}

/// Access to what a `Mutex` guards, until dropped. It stays with the task that took it.
pub(crate) struct MutexGuard<'a, T: ?Sized> {
    // Dropped in this order: unlocked, then told.
    value: spin::MutexGuard<'a, T>,
    _wake: WakeNext<'a>,
    _held: Held,
    _not_send: PhantomData<*const ()>,
}

impl<T> Mutex<T> {
    /// Makes an unlocked lock with its place in the global order.
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        let is_called = AtomicBool::new(false);
        Mutex { rank, waiters: WaitQueue::new(), is_called, value: spin::Mutex::new(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; sleeps (uninterruptibly) while another task has it.
    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        sync::assert_may_sleep();
        Held::check(self.rank, 0);
        self.guard(self.take())
    }

    /// Takes the lock although one of the same rank is held: the caller has an order of its own between them.
    #[track_caller]
    pub(crate) fn lock_nested(&self) -> MutexGuard<'_, T> {
        sync::assert_may_sleep();
        Held::check(self.rank, 1);
        self.guard(self.take())
    }

    /// Returns what the lock guards: who can change the lock itself is alone with it.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline]
    fn take(&self) -> spin::MutexGuard<'_, T> {
        self.value.try_lock().unwrap_or_else(|| self.wait())
    }

    #[cold]
    fn wait(&self) -> spin::MutexGuard<'_, T> {
        let value = self.waiters.wait_until(|| {
            self.is_called.store(false, Ordering::Relaxed);
            // Either this sees the lock free, or who frees it sees that it is to wake somebody.
            fence(Ordering::SeqCst);
            self.value.try_lock()
        });
        // It may have been called after it had found the lock free: the call is served.
        self.is_called.store(false, Ordering::Relaxed);
        value
    }

    fn guard<'a>(&'a self, value: spin::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard {
            value,
            _wake: WakeNext(&self.waiters, &self.is_called),
            _held: Held::note(self.rank),
            _not_send: PhantomData,
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Wakes the next task that wants the lock.
struct WakeNext<'a>(&'a WaitQueue, &'a AtomicBool);

impl Drop for WakeNext<'_> {
    fn drop(&mut self) {
        self.0.wake_one_unless(self.1);
    }
}

/// One rank that the running task holds, in debug builds; see `machine::sync` for the check.
struct Held {
    bit: u64,
}

impl Held {
    /// Panics if the running task holds a lock of a greater rank, or of the same unless that is `allowed` (1).
    #[track_caller]
    fn check(rank: Rank, allowed: u8) {
        if cfg!(debug_assertions) {
            let held = scheduler::with_current(|task| task.held_ranks.load(Ordering::Relaxed)).unwrap_or(0);
            if held >> (rank as u8 + allowed) != 0 {
                panic!("a sleeping lock of rank {rank:?} is taken while ranks {held:#x} are held");
            }
        }
    }

    fn note(rank: Rank) -> Held {
        if !cfg!(debug_assertions) {
            return Held { bit: 0 };
        }
        let note = scheduler::with_current(|task| {
            let before = task.held_ranks.load(Ordering::Relaxed);
            let bit = 1 << rank as u8 & !before;
            task.held_ranks.store(before | bit, Ordering::Relaxed);
            bit
        });
        Held { bit: note.unwrap_or(0) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if cfg!(debug_assertions) && self.bit != 0 {
            scheduler::with_current(|task| {
                let held = task.held_ranks.load(Ordering::Relaxed);
                task.held_ranks.store(held & !self.bit, Ordering::Relaxed);
            });
        }
    }
}
