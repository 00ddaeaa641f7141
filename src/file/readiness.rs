//! Who waits for a file to become readable or writable: sleepers of blocking calls, and observers (polling
//! threads, epoll instances).
//!
//! No wake-up is lost: whoever waits first registers or notes the generation, then looks at the file's state; whoever
//! changes the state changes it first, then announces. Observers are numbered as they come, so that an announcement (also
//! from an interrupt handler) calls one after the other without a lock held, whatever happens to the list meanwhile.

use crate::errno::{Errno, Result};
use crate::machine::sync::IrqLock;
use crate::machine::task::WaitQueue;
use crate::rank::Rank;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bitflags::bitflags;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use core::{ops::Range, ptr};

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

    /// There was no memory for the observer: it will hear nothing.
    fn refuse(&self) {}

    /// Returns whether of several such observers one that wakes somebody is enough (EPOLLEXCLUSIVE).
    fn is_exclusive(&self) -> bool {
        false
    }
}

/// One observer and what it wants to hear of.
struct Entry {
    number: u64,
    observer: Weak<dyn Observer>,
    interest: Events,
}

/// The part of a pollable file that tells others: sleepers of blocking calls and observers.
pub(crate) struct Readiness {
    /// Counts announcements, so that a sleeper sees one that came while it looked at the file.
    generation: AtomicU32,
    sleepers: WaitQueue,
    /// How many observers there have been: none, for most files, which saves the lock.
    numbers: AtomicU64,
    /// In the order of their numbers.
    observers: IrqLock<Vec<Entry>>,
}

impl Readiness {
    /// Makes one that nobody observes.
    pub(crate) const fn new() -> Readiness {
        Readiness {
            generation: AtomicU32::new(0),
            sleepers: WaitQueue::new(),
            numbers: AtomicU64::new(0),
            observers: IrqLock::new(Rank::Readiness, Vec::new()),
        }
    }

    /// Adds an observer, kept weakly; one that is there already gets the new interest.
    pub(crate) fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) {
        if self.enter(observer, interest | Events::ALWAYS).is_err() {
            observer.refuse();
        }
        // Pairs with the fence in `announce`: either the announcer sees the observer, or the observer's look at the file
        // that follows sees the new state.
        fence(Ordering::SeqCst);
    }

    fn enter(&self, observer: &Arc<dyn Observer>, interest: Events) -> Result {
        let observer = Arc::downgrade(observer);
        let mut entries = self.observers.lock();
        if let Some(entry) = entries.iter_mut().find(|entry| ptr::addr_eq(entry.observer.as_ptr(), observer.as_ptr())) {
            entry.interest = interest;
            return Ok(());
        }
        if entries.len() == entries.capacity() {
            entries.retain(|entry| entry.observer.strong_count() > 0);
            entries.try_reserve(1)?;
        }
        let number = self.numbers.load(Ordering::Relaxed);
        entries.push(Entry { number, observer, interest });
        self.numbers.store(number + 1, Ordering::Relaxed);
        Ok(())
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

    #[inline]
    fn tell_observers(&self, events: Events) -> bool {
        fence(Ordering::SeqCst);
        // Who comes later looks at the file itself.
        let end = self.numbers.load(Ordering::Relaxed);
        end > 0 && self.tell_first(end, events)
    }

    /// Tells the observers with numbers below `end`.
    #[cold]
    fn tell_first(&self, end: u64, events: Events) -> bool {
        let (mut wakes, mut wakes_exclusively, mut next) = (false, false, 0);
        while next < end
            && let Some((number, observer)) = self.first_interested(next..end, events)
        {
            next = number + 1;
            let is_exclusive = observer.is_exclusive();
            if !(is_exclusive && wakes_exclusively) {
                let woke = observer.notify(events);
                wakes |= woke;
                wakes_exclusively |= woke && is_exclusive;
            }
        }
        wakes
    }

    /// Returns the first living observer among `numbers` that wants to hear of `events`.
    fn first_interested(&self, numbers: Range<u64>, events: Events) -> Option<(u64, Arc<dyn Observer>)> {
        let entries = self.observers.lock();
        let first = entries.partition_point(|entry| entry.number < numbers.start);
        let candidates = entries[first..].iter().take_while(|entry| entry.number < numbers.end);
        candidates
            .filter(|entry| entry.interest.intersects(events))
            .find_map(|entry| Some((entry.number, entry.observer.upgrade()?)))
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
