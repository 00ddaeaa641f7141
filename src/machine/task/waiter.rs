//! Waiting for any of several events, as poll does.

use super::scheduler::{self, park, unpark};
use super::task::{Activity, Task};
use super::wait::{WaitError, wake_at};
use crate::machine::time;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

/// One task's wait for any of several events: who may cause one holds a clone and calls `wake`.
#[derive(Clone)]
pub(crate) struct Waiter {
    shared: Arc<Shared>,
}

struct Shared {
    task: Arc<Task>,
    is_woken: AtomicBool,
}

impl Waiter {
    /// Makes a waiter for the running task.
    pub(crate) fn new() -> Waiter {
        Waiter { shared: Arc::new(Shared { task: scheduler::current(), is_woken: AtomicBool::new(false) }) }
    }

    /// Sleeps until `wake` was called since the last return, a signal is due, or the deadline passes.
    pub(crate) fn wait(&self, deadline_ns: Option<u64>) -> Result<(), WaitError> {
        let Shared { task, is_woken } = &*self.shared;
        let mut timer = None;
        loop {
            if is_woken.swap(false, Ordering::SeqCst) {
                return Ok(());
            }
            if task.is_interrupted() {
                return Err(WaitError::Interrupted);
            }
            if let Some(deadline) = deadline_ns {
                if time::monotonic_ns() >= deadline {
                    return Err(WaitError::TimedOut);
                }
                timer.get_or_insert_with(|| wake_at(deadline, task));
            }
            park(Activity::Interruptible);
        }
    }

    /// Ends the present or the next `wait`. Any context.
    pub(crate) fn wake(&self) {
        if !self.shared.is_woken.swap(true, Ordering::SeqCst) {
            unpark(Arc::clone(&self.shared.task));
        }
    }
}
