//! futex(2): sleeping on a word of user memory.
//!
//! A word is known by address space and address where its memory is private, by file pages and offset where it is
//! shared. The sleepers of all words lie in hash buckets. A bucket's lock is held while the word is compared and the
//! sleeper put in, so a waker that changed the word before it looked sees the sleeper, or the sleeper sees the change.
//! The word is loaded without resolving faults under the lock; if that fails the page is brought in outside, and all
//! starts again.

/// Futexes with an owner, who inherits priorities.
pub(crate) mod priority;

/// What the end of a thread does to its futexes.
pub(super) mod robust;

/// The word itself.
mod word;

use super::Thread;
use crate::errno::{Errno, Result};
use crate::machine::memory::USER_END;
use crate::machine::sync::SpinLock;
use crate::machine::task::{WaitError, Waiter};
use crate::machine::user;
use crate::rank::Rank;
use crate::vm::{AddressSpace, UserPtr};
use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use priority::{Attempt, CONTENDED, Patience, Place};
use word::bring_in_for_writing;

/// What FUTEX_WAIT waits for and FUTEX_WAKE wakes: any (FUTEX_BITSET_MATCH_ANY).
pub(crate) const ANY: u32 = u32::MAX;

/// Which word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The address space or the file's pages.
    owner: usize,
    /// The address or the offset.
    place: u64,
}

impl Key {
    /// Returns the key of the word at `address`. `is_private`: the caller promises that only this address space uses it
    /// (FUTEX_PRIVATE_FLAG). EINVAL if it is not aligned; EFAULT if nothing is mapped there.
    pub(crate) fn new(space: &AddressSpace, address: u64, is_private: bool) -> Result<Key> {
        Errno::EINVAL.when(!address.is_multiple_of(4))?;
        Errno::EFAULT.when(address >= USER_END)?;
        let shared = if is_private { None } else { space.shared_place(address)? };
        let (owner, place) = shared.unwrap_or((core::ptr::from_ref(space).addr(), address));
        Ok(Key { owner, place })
    }

    fn bucket(self) -> usize {
        // Fibonacci hashing: words lie a few bytes or whole pages apart.
        let mixed = (self.place ^ self.owner as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as usize % BUCKETS.len()
    }
}

/// A thread that may wait; each keeps one, so that to wait needs no memory.
pub(crate) struct Sleeper {
    waiter: Waiter,
    /// Where its entry is; `REQUEUED` among the waiters of a futex with an owner.
    bucket: AtomicUsize,
    is_woken: AtomicBool,
    /// It was made the owner by the end of the one before.
    is_heir: AtomicBool,
}

const REQUEUED: usize = usize::MAX;

struct Entry {
    key: Key,
    bits: u32,
    sleeper: Arc<Sleeper>,
    /// It waits to be moved to this futex with an owner, and by nothing else.
    target: Option<Box<(Key, Arc<Thread>)>>,
}

type Bucket = SpinLock<VecDeque<Entry>>;

static BUCKETS: [Bucket; 256] = [const { SpinLock::new(Rank::Futex, VecDeque::new()) }; 256];

/// Entries for which an empty bucket keeps room at most.
const KEPT_ROOM: usize = 8;

/// One word to wait for, and what it must hold.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) key: Key,
    pub(crate) address: u64,
    pub(crate) expected: u32,
    pub(crate) bits: u32,
}

/// Sleeps while the word is as expected, until somebody wakes one of its bits. EAGAIN if it differs, ETIMEDOUT at monotonic
/// time `deadline_ns`, `RESTART_NO_HANDLER` when a signal is due.
pub(crate) fn wait(thread: &Thread, space: &AddressSpace, wanted: Wanted, deadline_ns: Option<u64>) -> Result {
    let sleeper = Sleeper::of(thread);
    enqueue(space, wanted, sleeper, None)?;
    while !sleeper.is_woken.load(Ordering::Acquire) {
        let Err(error) = sleeper.waiter.wait(deadline_ns) else { continue };
        if sleeper.leave(None) {
            return Err(reason(error));
        }
    }
    Ok(())
}

/// Like `wait` for several words at once (futex_waitv(2)); returns the index of one that was woken.
pub(crate) fn wait_any(space: &AddressSpace, wanted: &[Wanted], deadline_ns: Option<u64>) -> Result<usize> {
    let waiter = Waiter::new();
    let mut sleepers: Vec<Arc<Sleeper>> = Vec::new();
    sleepers.try_reserve_exact(wanted.len())?;
    // Takes all out again; the last that somebody else took out was woken.
    let leave = |sleepers: &[Arc<Sleeper>]| {
        (0..sleepers.len()).fold(None, |woken, i| if sleepers[i].leave(None) { woken } else { Some(i) })
    };
    for word in wanted {
        let sleeper = Arc::new(Sleeper::new(waiter.clone()));
        if let Err(error) = enqueue(space, *word, &sleeper, None) {
            return leave(&sleepers).ok_or(error);
        }
        sleepers.push(sleeper);
    }
    let is_woken = |sleeper: &Arc<Sleeper>| sleeper.is_woken.load(Ordering::Acquire);
    let mut result = Ok(());
    while result.is_ok() && !sleepers.iter().any(is_woken) {
        result = waiter.wait(deadline_ns);
    }
    leave(&sleepers).ok_or_else(|| result.map_or_else(reason, |()| Errno::EAGAIN))
}

/// Sleeps on `wanted` until a requeue has let the thread own `target`, by which the thread reaches it too
/// (FUTEX_WAIT_REQUEUE_PI). EAGAIN, ETIMEDOUT; `RESTART_ALWAYS` when a signal is due.
pub(crate) fn wait_requeue(
    thread: &Arc<Thread>, wanted: Wanted, target: Place<'_>, deadline_ns: Option<u64>,
) -> Result {
    let sleeper = Sleeper::of(thread);
    enqueue(target.space, wanted, sleeper, Some(Box::new((target.key, thread.clone()))))?;
    while !sleeper.is_woken.load(Ordering::Acquire) {
        let Err(error) = sleeper.waiter.wait(deadline_ns) else { continue };
        if sleeper.leave(Some(thread)) {
            return Err(priority::reason(error));
        }
    }
    priority::take_over(thread, sleeper, target)
}

/// Puts the sleeper into the word's bucket if the word is as expected. EAGAIN, EFAULT.
fn enqueue(
    space: &AddressSpace, wanted: Wanted, sleeper: &Arc<Sleeper>, target: Option<Box<(Key, Arc<Thread>)>>,
) -> Result {
    let Wanted { key, address, expected, bits } = wanted;
    let bucket = key.bucket();
    loop {
        let mut entries = BUCKETS[bucket].lock();
        match user::load_u32(address) {
            Some(value) if value == expected => {
                sleeper.prepare();
                sleeper.bucket.store(bucket, Ordering::Relaxed);
                entries.push_back(Entry { key, bits, sleeper: sleeper.clone(), target });
                return Ok(());
            }
            Some(_) => return Err(Errno::EAGAIN),
            None => {
                drop(entries);
                UserPtr::<u32>::new(space, address).read()?;
            }
        }
    }
}

fn reason(error: WaitError) -> Errno {
    match error {
        WaitError::Interrupted => Errno::RESTART_NO_HANDLER,
        WaitError::TimedOut => Errno::ETIMEDOUT,
    }
}

impl Sleeper {
    fn new(waiter: Waiter) -> Sleeper {
        let (is_woken, is_heir) = (AtomicBool::new(false), AtomicBool::new(false));
        Sleeper { waiter, bucket: AtomicUsize::new(REQUEUED), is_woken, is_heir }
    }

    /// Returns that of the running thread.
    fn of(thread: &Thread) -> &Arc<Sleeper> {
        thread.futex_sleeper.call_once(|| Arc::new(Sleeper::new(Waiter::new())))
    }

    /// Begins a new wait. The lock of the list that it goes into is held.
    fn prepare(&self) {
        self.is_woken.store(false, Ordering::Relaxed);
        self.is_heir.store(false, Ordering::Relaxed);
    }

    /// Takes itself out of where it waits; `false` if it was woken before. `thread`: whose it is, if it may have been moved
    /// to a futex with an owner.
    fn leave(&self, thread: Option<&Arc<Thread>>) -> bool {
        loop {
            let bucket = self.bucket.load(Ordering::Acquire);
            if bucket == REQUEUED {
                return thread.is_some_and(|thread| CONTENDED.lock().withdraw(thread));
            }
            let mut entries = BUCKETS[bucket].lock();
            if let Some(index) = entries.iter().position(|entry| core::ptr::eq(Arc::as_ptr(&entry.sleeper), self)) {
                take_out(&mut entries, index);
                return true;
            }
            if self.is_woken.load(Ordering::Acquire) {
                return false;
            }
            // It was moved to another bucket between the two looks.
        }
    }

    fn wake(&self) {
        self.is_woken.store(true, Ordering::Release);
        self.waiter.wake();
    }
}

/// Wakes up to `limit` threads that wait on `key` for one of `bits`, the longest waiting first; returns how many.
pub(crate) fn wake(key: Key, limit: usize, bits: u32) -> usize {
    wake_in(&mut BUCKETS[key.bucket()].lock(), key, limit, bits)
}

fn wake_in(entries: &mut VecDeque<Entry>, key: Key, limit: usize, bits: u32) -> usize {
    let mut woken = 0;
    let mut index = 0;
    while woken < limit && index < entries.len() {
        let entry = &entries[index];
        if entry.key != key || entry.bits & bits == 0 || entry.target.is_some() {
            index += 1;
        } else if let Some(entry) = take_out(entries, index) {
            entry.sleeper.wake();
            woken += 1;
        }
    }
    woken
}

/// Takes an entry out of its bucket. The room of a crowd goes when the last has gone.
fn take_out(entries: &mut VecDeque<Entry>, index: usize) -> Option<Entry> {
    let entry = entries.remove(index);
    if entries.is_empty() && entries.capacity() > KEPT_ROOM {
        *entries = VecDeque::new();
    }
    entry
}

/// Calls `act` with the buckets of both keys locked (the second is `None` where it is the same bucket).
fn with_both<T>(
    first: Key, second: Key, act: impl FnOnce(&mut VecDeque<Entry>, Option<&mut VecDeque<Entry>>) -> T,
) -> T {
    let (a, b) = (first.bucket(), second.bucket());
    // By index, so that two callers with the keys the other way round cannot wait for each other.
    if a == b {
        act(&mut BUCKETS[a].lock(), None)
    } else if a < b {
        let mut entries = BUCKETS[a].lock();
        let mut others = BUCKETS[b].lock_nested();
        act(&mut entries, Some(&mut others))
    } else {
        let mut others = BUCKETS[b].lock();
        let mut entries = BUCKETS[a].lock_nested();
        act(&mut entries, Some(&mut others))
    }
}

/// The word as a compare-and-requeue expects it.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) address: u64,
    pub(crate) value: u32,
}

/// Wakes up to `wake_limit` waiters of `from` and lets up to `move_limit` others wait on `to` instead. With `expected`,
/// only if that word still has the value: EAGAIN. Returns how many were woken, and how many moved.
pub(crate) fn requeue(
    space: &AddressSpace, from: Key, to: Key, wake_limit: usize, move_limit: usize, expected: Option<Expected>,
) -> Result<(usize, usize)> {
    loop {
        let result = with_both(from, to, |entries, others| {
            if let Some(expected) = expected {
                match user::load_u32(expected.address) {
                    None => return None,
                    Some(value) if value != expected.value => return Some(Err(Errno::EAGAIN)),
                    Some(_) => {}
                }
            }
            let woken = wake_in(entries, from, wake_limit, ANY);
            Some(Ok((woken, move_waiters(entries, others, from, to, move_limit))))
        });
        match (result, expected) {
            (Some(result), _) => return result,
            (None, Some(expected)) => {
                UserPtr::<u32>::new(space, expected.address).read()?;
            }
            (None, None) => return Err(Errno::EFAULT),
        }
    }
}

fn move_waiters(
    entries: &mut VecDeque<Entry>, others: Option<&mut VecDeque<Entry>>, from: Key, to: Key, limit: usize,
) -> usize {
    let mut moved = 0;
    let is_meant = |entry: &Entry| entry.key == from && entry.target.is_none();
    let Some(others) = others else {
        for entry in entries.iter_mut().filter(|entry| is_meant(entry)).take(limit) {
            entry.key = to;
            moved += 1;
        }
        return moved;
    };
    let mut index = 0;
    while moved < limit && index < entries.len() {
        if !is_meant(&entries[index]) {
            index += 1;
        } else if let Some(mut entry) = take_out(entries, index) {
            entry.key = to;
            entry.sleeper.bucket.store(to.bucket(), Ordering::Release);
            others.push_back(entry);
            moved += 1;
        }
    }
    moved
}

/// Lets the first waiter of `from` own the futex `to`, and it and up to `move_limit` others wait for that
/// (FUTEX_CMP_REQUEUE_PI). EAGAIN if the word of `from` is not as expected, EINVAL if a waiter waits to be moved elsewhere.
/// Returns how many were woken or moved.
pub(crate) fn requeue_to_owner(from: Key, to: Place<'_>, move_limit: usize, expected: Expected) -> Result<usize> {
    let mut count = 0;
    // The owner that the first waiter became: it has not run yet.
    let mut made: Option<Arc<Thread>> = None;
    loop {
        let (value, owner) = to.look()?;
        let seen = (value, owner.or(made.clone()));
        let mut entries = BUCKETS[from.bucket()].lock();
        match user::load_u32(expected.address) {
            None => {
                drop(entries);
                UserPtr::<u32>::new(to.space, expected.address).read()?;
                continue;
            }
            Some(value) if value != expected.value && count == 0 => return Err(Errno::EAGAIN),
            Some(_) => {}
        }
        let Some(index) = entries.iter().position(|entry| entry.key == from) else { return Ok(count) };
        let thread = match entries[index].target.as_deref() {
            Some((key, thread)) if *key == to.key => thread.clone(),
            _ => return Err(Errno::EINVAL),
        };
        let sleeper = entries[index].sleeper.clone();
        let attempt = CONTENDED.lock().enter(&thread, &sleeper, &to, &seen, Patience::Wait)?;
        match attempt {
            Attempt::Changed => continue,
            Attempt::Absent => {
                drop(entries);
                bring_in_for_writing(to.space, to.address)?;
                continue;
            }
            Attempt::Waits => sleeper.bucket.store(REQUEUED, Ordering::Release),
            Attempt::Done => {
                sleeper.wake();
                made = Some(thread);
            }
        }
        let entry = take_out(&mut entries, index);
        drop(entries);
        drop(entry);
        count += 1;
        if count > move_limit {
            return Ok(count);
        }
    }
}

/// Changes the word at `address` (of `second`) by `change`, wakes up to `limit` waiters of `first`, and if `and_if` holds
/// for the old value up to `second_limit` of `second` (FUTEX_WAKE_OP). Returns how many were woken. EFAULT.
pub(crate) fn wake_and_change(
    space: &AddressSpace, (first, limit): (Key, usize), (second, second_limit): (Key, usize), address: u64,
    change: impl Fn(u32) -> u32, and_if: impl Fn(u32) -> bool,
) -> Result<usize> {
    loop {
        let woken = with_both(first, second, |entries, others| {
            let old = word::change(address, &change)?;
            let mut woken = wake_in(entries, first, limit, ANY);
            if and_if(old) {
                woken += wake_in(others.unwrap_or(entries), second, second_limit, ANY);
            }
            Some(woken)
        });
        match woken {
            Some(woken) => return Ok(woken),
            // Writing what is there brings the page in for writing.
            None => bring_in_for_writing(space, address)?,
        }
    }
}
