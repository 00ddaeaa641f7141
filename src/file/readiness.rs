//! Who waits for a file to become readable or writable: sleepers of blocking calls, and observers (polling
//! threads, epoll instances).
//!
//! No wake-up is lost: whoever waits first registers or notes the generation, then looks at the file's state; whoever
//! changes the state changes it first, then announces. Observers are kept as an unchanging list behind an `Arc`, so that
//! an announcement (also from an interrupt handler) calls them without a lock held and without allocating.

use crate::errno::{Errno, Result};
use crate::machine::sync::IrqLock;
use crate::machine::task::WaitQueue;
use crate::rank::Rank;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bitflags::bitflags;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

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

impl Events {
    /// What poll(2) reports although nobody asked for it.
    pub(crate) const ALWAYS: Events = Events::ERROR.union(Events::HANG_UP);
    /// "There is data to read", in both spellings of poll(2).
    pub(crate) const READABLE: Events = Events::READ.union(Events::READ_NORMAL);
    /// "Writing is now possible", in both spellings of poll(2).
    pub(crate) const WRITABLE: Events = Events::WRITE.union(Events::WRITE_NORMAL);

    /// Adds the other spelling to each of "readable" and "writable" that is in here.
    pub(crate) fn in_both_spellings(self) -> Events {
        let mut events = self;
        if events.intersects(Events::READABLE) {
            events |= Events::READABLE;
        }
        if events.intersects(Events::WRITABLE) {
            events |= Events::WRITABLE;
        }
        events
    }
}

/// Told when a file's readiness may have changed: a polling thread, an epoll instance.
pub(crate) trait Observer: Send + Sync {
    /// Some of `events` may hold now. Returns whether somebody woke up for it. Any context; must not sleep.
    fn notify(&self, events: Events) -> bool;

    /// Returns whether of several such observers one that wakes somebody is enough (EPOLLEXCLUSIVE).
    fn is_exclusive(&self) -> bool {
        false
    }
}

/// One observer and what it wants to hear of.
#[derive(Clone)]
struct Entry {
    observer: Weak<dyn Observer>,
    interest: Events,
}

/// The part of a pollable file that tells others: sleepers of blocking calls and observers.
pub(crate) struct Readiness {
    /// Counts announcements, so that a sleeper sees one that came while it looked at the file.
    generation: AtomicU32,
    sleepers: WaitQueue,
    /// Saves the lock where nobody observes, which is most files.
    is_observed: AtomicBool,
    observers: IrqLock<Option<Arc<Vec<Entry>>>>,
}

impl Readiness {
    /// Makes one that nobody observes.
    pub(crate) const fn new() -> Readiness {
        Readiness {
            generation: AtomicU32::new(0),
            sleepers: WaitQueue::new(),
            is_observed: AtomicBool::new(false),
            observers: IrqLock::new(Rank::Readiness, None),
        }
    }

    /// Adds an observer, kept weakly; one that is there already gets the new interest.
    pub(crate) fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) {
        let observer = Arc::downgrade(observer);
        let replaced = {
            let mut observers = self.observers.lock();
            let mut entries: Vec<Entry> = match observers.as_ref() {
                Some(entries) => entries.iter().filter(|entry| entry.is_other(&observer)).cloned().collect(),
                None => Vec::new(),
            };
            entries.push(Entry { observer, interest: interest | Events::ALWAYS });
            observers.replace(Arc::new(entries))
        };
        drop(replaced);
        self.is_observed.store(true, Ordering::Relaxed);
        // Pairs with the fence in `announce`: either the announcer sees the observer, or the observer's look at the file
        // that follows sees the new state.
        fence(Ordering::SeqCst);
    }

    /// Wakes the sleepers and tells the observers that `events` may hold; returns whether somebody woke up. Any context.
    pub(crate) fn announce(&self, events: Events) -> bool {
        self.generation.fetch_add(1, Ordering::SeqCst);
        let wakes = self.sleepers.wake_all();
        self.tell_observers(events) | wakes
    }

    /// Like `announce`, but wakes one sleeper only: for what one of them will take. Who takes less than all calls
    /// `wake_another`.
    pub(crate) fn announce_to_one(&self, events: Events) -> bool {
        let wakes = self.wake_another();
        self.tell_observers(events) | wakes
    }

    /// Wakes one more sleeper; returns whether there was one.
    pub(crate) fn wake_another(&self) -> bool {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.sleepers.wake_one()
    }

    fn tell_observers(&self, events: Events) -> bool {
        fence(Ordering::SeqCst);
        if !self.is_observed.load(Ordering::Relaxed) {
            return false;
        }

        let entries = self.observers.lock().clone();
        let (mut wakes, mut wakes_exclusively) = (false, false);
        for entry in entries.iter().flat_map(|entries| entries.iter()) {
            if entry.interest.intersects(events)
                && let Some(observer) = entry.observer.upgrade()
            {
                let is_exclusive = observer.is_exclusive();
                if is_exclusive && wakes_exclusively {
                    continue;
                }
                let woke = observer.notify(events);
                wakes |= woke;
                wakes_exclusively |= woke && is_exclusive;
            }
        }
        wakes
    }

    /// Sleeps until `attempt` returns something else than EAGAIN (or returns EAGAIN at once if `non_blocking`);
    /// `RESTART` when a signal is due. `attempt` may sleep itself (user copies).
    pub(crate) fn block_on<T>(&self, non_blocking: bool, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            let seen = self.generation.load(Ordering::SeqCst);
            match attempt() {
                Err(Errno::EAGAIN) if !non_blocking => {}
                result => return result,
            }
            self.sleepers.wait_interruptible(|| self.has_changed_since(seen))?;
        }
    }

    /// Like `block_on`, but ends at monotonic time `deadline_ns`, if there is one, by ETIMEDOUT; when a signal is due
    /// by `RESTART_NO_HANDLER`.
    pub(crate) fn block_until<T>(&self, deadline_ns: Option<u64>, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            let seen = self.generation.load(Ordering::SeqCst);
            match attempt() {
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
            self.sleepers.wait_deadline(deadline_ns, || self.has_changed_since(seen))?;
        }
    }

    fn has_changed_since(&self, generation: u32) -> Option<()> {
        (self.generation.load(Ordering::SeqCst) != generation).then_some(())
    }
}

impl Entry {
    /// Returns whether this is a living observer other than `observer`.
    fn is_other(&self, observer: &Weak<dyn Observer>) -> bool {
        self.observer.strong_count() > 0 && !core::ptr::addr_eq(self.observer.as_ptr(), observer.as_ptr())
    }
}
