//! epoll(7): an interest list, and the list of those that may be ready.
//!
//! A watched file's readiness notifies the `Interest`, which puts itself on its epoll's ready list, once; that is all that
//! happens in the announcer's context, maybe an interrupt handler. `wait` takes entries off, asks each file what really
//! holds, and puts level-triggered ones back. Interests hold their open file weakly: closing the last descriptor ends
//! the watch by itself (epoll(7), question 6).

use super::{Events, File, Observer, OpenFile, Readiness};
use crate::errno::{Errno, Result};
use crate::machine::sync::{IrqLock, SpinLock};
use crate::machine::task::Mutex;
use crate::rank::Rank;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::{format, string::String, vec::Vec};
use bitflags::bitflags;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

bitflags! {
    /// How an interest behaves besides its events, as epoll_ctl(2) numbers it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Manner: u32 {
        const EXCLUSIVE = 1 << 28;
        const WAKE_UP = 1 << 29;
        const ONE_SHOT = 1 << 30;
        const EDGE = 1 << 31;
    }
}

/// How deep epoll instances may watch each other (epoll_ctl(2), ELOOP).
const MAX_DEPTH: usize = 5;

/// What epoll_ctl(2) passes and epoll_wait(2) returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Events and `Manner` bits.
    pub(crate) bits: u32,
    pub(crate) data: u64,
}

/// An epoll instance.
pub(crate) struct Epoll {
    /// Held while entries are off the ready list to be looked at, so that nobody takes the list for empty meanwhile.
    scan: Mutex<()>,
    interests: SpinLock<BTreeMap<Key, Arc<Interest>>>,
    shared: Arc<Shared>,
}

/// A descriptor number and the open file that it named: both, because numbers are used again.
type Key = (i32, usize);

/// What interests need of their epoll.
struct Shared {
    ready: IrqLock<VecDeque<Arc<Interest>>>,
    readiness: Readiness,
}

/// One watched file.
struct Interest {
    this: Weak<Interest>,
    epoll: Weak<Shared>,
    file: Weak<OpenFile>,
    fd: i32,
    /// Events and `Manner` bits; without events (a one-shot that fired) it is silent.
    bits: AtomicU32,
    data: AtomicU64,
    /// It is on the ready list.
    is_queued: AtomicBool,
    /// It was taken out of the interest list.
    is_removed: AtomicBool,
    /// There was no memory to register with the file.
    is_deaf: AtomicBool,
}

impl Epoll {
    /// Makes an instance that watches nothing.
    pub(crate) fn new() -> Arc<Epoll> {
        let ready = IrqLock::new(Rank::EpollReady, VecDeque::new());
        let shared = Arc::new(Shared { ready, readiness: Readiness::new() });
        let interests = SpinLock::new(Rank::EpollInterests, BTreeMap::new());
        Arc::new(Epoll { scan: Mutex::new(Rank::EpollScan, ()), interests, shared })
    }

    /// EPOLL_CTL_ADD. EEXIST; EPERM for files that are always ready; ELOOP for circles and deep nesting.
    pub(crate) fn add(self: &Arc<Epoll>, fd: i32, file: &Arc<OpenFile>, event: Event) -> Result {
        Errno::EPERM.when(!file.file().can_poll())?;
        if let Some(other) = file.downcast::<Epoll>()
            && (other.watches(self, MAX_DEPTH) || other.depth(MAX_DEPTH) >= MAX_DEPTH)
        {
            return Err(Errno::ELOOP);
        }

        let interest = Arc::new_cyclic(|this| Interest {
            this: this.clone(),
            epoll: Arc::downgrade(&self.shared),
            file: Arc::downgrade(file),
            fd,
            bits: AtomicU32::new(event.bits),
            data: AtomicU64::new(event.data),
            is_queued: AtomicBool::new(false),
            is_removed: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
        });
        let key = (fd, Arc::as_ptr(file).addr());
        let (count, forgotten) = {
            let mut interests = self.interests.lock();
            Errno::EEXIST.when(interests.contains_key(&key))?;
            // A file that had this number before and was closed leaves its entry behind.
            let same_number = interests.range((fd, 0)..=(fd, usize::MAX));
            let dead: Vec<Key> =
                same_number.filter(|(_, old)| old.file.strong_count() == 0).map(|(key, _)| *key).collect();
            let forgotten: Vec<_> = dead.iter().filter_map(|key| interests.remove(key)).collect();
            interests.insert(key, interest.clone());
            (interests.len(), forgotten)
        };
        forgotten.iter().for_each(|interest| interest.retire());
        let is_heard = self.shared.make_room(count).and_then(|()| interest.watch(file));
        is_heard.inspect_err(|_| {
            self.interests.lock().remove(&key);
            interest.retire();
        })
    }

    /// EPOLL_CTL_MOD. ENOENT; EINVAL where one of the two is exclusive (epoll_ctl(2)).
    pub(crate) fn modify(&self, fd: i32, file: &Arc<OpenFile>, event: Event) -> Result {
        let interest = self.interests.lock().get(&(fd, Arc::as_ptr(file).addr())).cloned().ok_or(Errno::ENOENT)?;
        // Who collects an event by the old bits is to silence a one-shot before the new ones, not after.
        let _scan = self.scan.lock();
        Errno::EINVAL
            .when(Manner::from_bits_truncate(interest.bits.load(Ordering::Relaxed)).contains(Manner::EXCLUSIVE))?;
        interest.data.store(event.data, Ordering::Relaxed);
        interest.bits.store(event.bits, Ordering::SeqCst);
        interest.watch(file)
    }

    /// EPOLL_CTL_DEL. ENOENT.
    pub(crate) fn remove(&self, fd: i32, file: &Arc<OpenFile>) -> Result {
        let interest = self.interests.lock().remove(&(fd, Arc::as_ptr(file).addr())).ok_or(Errno::ENOENT)?;
        interest.retire();
        Ok(())
    }

    /// Gives ready events to `put`, `limit` at most; returns how many. EAGAIN if none, but does not sleep for them. An error
    /// of `put` ends it: its event stays ready, and only an error at the first event is the caller's.
    pub(crate) fn collect(&self, limit: usize, mut put: impl FnMut(usize, Event) -> Result) -> Result<usize> {
        let _scan = self.scan.lock();
        let mut outcome = Err(Errno::EAGAIN);
        let mut count = 0;
        // Each entry once: what is put back comes at the next call.
        let mut turns = self.shared.length();
        while turns > 0 && count < limit {
            turns -= 1;
            let Some(interest) = self.shared.pop() else { break };
            let Some(event) = interest.current() else { continue };
            if let Err(error) = put(count, event) {
                self.shared.queue(interest);
                outcome = Err(error);
                break;
            }
            count += 1;
            let manner = Manner::from_bits_truncate(interest.bits.load(Ordering::Relaxed));
            if manner.contains(Manner::ONE_SHOT) {
                interest.bits.fetch_and(Manner::all().bits(), Ordering::SeqCst);
            } else if !manner.contains(Manner::EDGE) {
                self.shared.queue(interest);
            }
        }
        if self.shared.length() > 0 {
            self.shared.readiness.wake_another();
        }
        if count > 0 { Ok(count) } else { outcome }
    }

    /// Returns what to wait on for `collect` to have something.
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.shared.readiness
    }

    /// Returns whether a ready file is on the list; entries that are not ready are taken off.
    fn has_ready(&self) -> bool {
        // Nested: the one that watches this one may be scanning; circles are refused when made.
        let _scan = self.scan.lock_nested();
        let mut turns = self.shared.length();
        while turns > 0 {
            turns -= 1;
            let Some(interest) = self.shared.pop() else { break };
            if interest.current().is_some() {
                self.shared.queue(interest);
                return true;
            }
        }
        false
    }

    /// Returns the epoll instances that this one watches.
    fn nested(&self) -> Vec<Arc<Epoll>> {
        let interests: Vec<_> = self.interests.lock().values().cloned().collect();
        interests.iter().filter_map(|interest| interest.file.upgrade()?.downcast::<Epoll>()).collect()
    }

    /// Returns whether `target` is this instance or watched by it through others, as far as `depth`.
    fn watches(&self, target: &Arc<Epoll>, depth: usize) -> bool {
        core::ptr::eq(self, Arc::as_ptr(target))
            || depth > 0 && self.nested().iter().any(|nested| nested.watches(target, depth - 1))
    }

    /// Returns how many levels of instances there are from here down, counted up to `limit`.
    fn depth(&self, limit: usize) -> usize {
        if limit == 0 {
            return 1;
        }
        1 + self.nested().iter().map(|nested| nested.depth(limit - 1)).max().unwrap_or(0)
    }
}

impl Shared {
    fn length(&self) -> usize {
        self.ready.lock().len()
    }

    /// Takes the first entry. It counts as not queued before anybody looks at its file, so that a change after that look
    /// queues it again.
    fn pop(&self) -> Option<Arc<Interest>> {
        let interest = self.ready.lock().pop_front()?;
        interest.is_queued.store(false, Ordering::SeqCst);
        Some(interest)
    }

    /// Puts an entry on the list, once.
    fn queue(&self, interest: Arc<Interest>) {
        if !interest.is_queued.swap(true, Ordering::SeqCst) {
            self.ready.lock().push_back(interest);
        }
    }

    /// Makes room for `count` entries, so that an interrupt handler that queues one does not allocate.
    fn make_room(&self, count: usize) -> Result {
        let mut ready = self.ready.lock();
        let missing = count.saturating_sub(ready.len());
        Ok(ready.try_reserve(missing)?)
    }
}

impl Interest {
    fn wanted(&self) -> Events {
        Events::from_bits_truncate(self.bits.load(Ordering::SeqCst) & !Manner::all().bits())
    }

    /// Registers with the file, and queues if it is ready already. ENOMEM.
    fn watch(self: &Arc<Self>, file: &OpenFile) -> Result {
        let observer: Arc<dyn Observer> = self.clone();
        let events = file.poll(self.wanted(), Some(&observer));
        if !events.is_empty() {
            self.notify(events);
        }
        if self.is_deaf.load(Ordering::Relaxed) { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Returns the event to report, if something holds now.
    fn current(&self) -> Option<Event> {
        let wanted = self.wanted();
        if wanted.is_empty() || self.is_removed.load(Ordering::Relaxed) {
            return None;
        }
        let file = self.file.upgrade()?;
        let events = file.poll(wanted, None);
        (!events.is_empty()).then(|| Event { bits: events.bits(), data: self.data.load(Ordering::Relaxed) })
    }

    fn retire(&self) {
        self.is_removed.store(true, Ordering::Relaxed);
    }
}

impl Observer for Interest {
    fn notify(&self, events: Events) -> bool {
        let wanted = self.wanted();
        if wanted.is_empty()
            || !(wanted.in_both_spellings() | Events::ALWAYS).intersects(events)
            || self.is_removed.load(Ordering::Relaxed)
        {
            return false;
        }
        let Some(shared) = self.epoll.upgrade() else { return false };
        if let Some(this) = self.this.upgrade() {
            shared.queue(this);
        }
        // One sleeper collects; `collect` wakes the next where something is left.
        shared.readiness.announce_to_one(Events::READABLE)
    }

    fn refuse(&self) {
        self.is_deaf.store(true, Ordering::Relaxed);
    }

    fn is_exclusive(&self) -> bool {
        Manner::from_bits_truncate(self.bits.load(Ordering::Relaxed)).contains(Manner::EXCLUSIVE)
    }
}

impl File for Epoll {
    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        if let Some(observer) = observer {
            self.shared.readiness.observe(observer, interest);
        }
        if self.has_ready() { interest & Events::READABLE } else { Events::empty() }
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        String::from("anon_inode:[eventpoll]")
    }

    fn details(&self) -> String {
        let interests: Vec<_> = self.interests.lock().values().cloned().collect();
        let line = |interest: &Arc<Interest>| {
            let (bits, data) = (interest.bits.load(Ordering::Relaxed), interest.data.load(Ordering::Relaxed));
            format!("tfd: {:8} events: {bits:8x} data: {data:16x}\n", interest.fd)
        };
        interests.iter().map(line).collect()
    }
}
