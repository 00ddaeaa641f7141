//! Who waits for a file to become readable or writable.

use alloc::sync::Arc;
use bitflags::bitflags;

bitflags! {
    /// Events of poll(2) and epoll(7), as they number them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Events: u32 {
        const READ = 0x001;
        const PRIORITY = 0x002;
        const WRITE = 0x004;
        const ERROR = 0x008;
        const HANG_UP = 0x010;
        const INVALID = 0x020;
        const READ_NORMAL = 0x040;
        const READ_BAND = 0x080;
        const WRITE_NORMAL = 0x100;
        const WRITE_BAND = 0x200;
        const READ_HANG_UP = 0x2000;
    }
}

/// Told when a file's readiness may have changed: a polling thread, an epoll instance.
pub(crate) trait Observer: Send + Sync {
    /// Some of `events` may hold now. Any context; must not sleep.
    fn notify(&self, events: Events);
}

/// The part of a pollable file that tells others: sleepers of blocking calls and observers.
pub(crate) struct Readiness {
    _observers: (),
}

impl Readiness {
    /// Makes one that nobody observes.
    pub(crate) const fn new() -> Readiness {
        Readiness { _observers: () }
    }

    /// Adds an observer, kept weakly.
    pub(crate) fn observe(&self, _observer: &Arc<dyn Observer>, _interest: Events) {
        todo!()
    }

    /// Wakes the sleepers and tells the observers that `events` may hold. Any context.
    pub(crate) fn announce(&self, _events: Events) {
        todo!()
    }

    /// Sleeps until `attempt` returns something else than EAGAIN (or returns EAGAIN at once if `non_blocking`);
    /// `RESTART` when a signal is due.
    pub(crate) fn block_on<T>(
        &self,
        _non_blocking: bool,
        _attempt: impl FnMut() -> crate::errno::Result<T>,
    ) -> crate::errno::Result<T> {
        todo!()
    }
}
