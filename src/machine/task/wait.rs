//! Waiting for a condition: nobody sleeps without one, so no wake-up can be lost.

use alloc::sync::Arc;

/// The sleep ended because `Task::interrupt` was called: a signal is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted;

/// Why a wait with a limit ended without its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitError {
    Interrupted,
    TimedOut,
}

/// Tasks that wait for one kind of event.
pub(crate) struct WaitQueue {
    _waiters: (),
}

impl WaitQueue {
    /// Makes an empty queue.
    pub(crate) const fn new() -> WaitQueue {
        WaitQueue { _waiters: () }
    }

    /// Sleeps until `condition` gives a value, whatever signals come. `condition` runs first at once, then after
    /// each wake-up, without locks held by this queue.
    pub(crate) fn wait_until<T>(&self, _condition: impl FnMut() -> Option<T>) -> T {
        todo!()
    }

    /// Like `wait_until`, but ends when a signal is due.
    pub(crate) fn wait_interruptible<T>(&self, _condition: impl FnMut() -> Option<T>) -> Result<T, Interrupted> {
        todo!()
    }

    /// Like `wait_interruptible`, but ends at monotonic time `deadline_ns` too, if there is one.
    pub(crate) fn wait_deadline<T>(
        &self,
        _deadline_ns: Option<u64>,
        _condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        todo!()
    }

    /// Wakes the task that waits longest. Any context.
    pub(crate) fn wake_one(&self) {
        todo!()
    }

    /// Wakes all tasks that wait here. Any context.
    pub(crate) fn wake_all(&self) {
        todo!()
    }
}

/// One task's wait for any of several events: who may cause one holds a clone and calls `wake`.
#[derive(Clone)]
pub(crate) struct Waiter {
    _shared: Arc<()>,
}

impl Waiter {
    /// Makes a waiter for the running task.
    pub(crate) fn new() -> Waiter {
        todo!()
    }

    /// Sleeps until `wake` was called since the last return, a signal is due, or the deadline passes.
    pub(crate) fn wait(&self, _deadline_ns: Option<u64>) -> Result<(), WaitError> {
        todo!()
    }

    /// Ends the present or the next `wait`. Any context.
    pub(crate) fn wake(&self) {
        todo!()
    }
}
