//! One thread of a process.

use alloc::sync::Arc;

/// A thread.
pub(crate) struct Thread {
    _identity: (),
}

impl Thread {
    /// Returns the thread id.
    pub(crate) fn id(&self) -> i32 {
        todo!()
    }

    /// Returns the thread that runs on this CPU. Panics in kernel threads.
    pub(crate) fn current() -> Arc<Thread> {
        todo!()
    }
}
