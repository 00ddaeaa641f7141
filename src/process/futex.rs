//! futex(2): sleeping on a word of user memory.
//!
//! A word is known by address space and address where its memory is private, by file pages and offset where it is
//! shared. The sleepers of all words lie in hash buckets. A bucket's lock is held while the word is compared and the
//! sleeper put in, so a waker that changed the word before it looked sees the sleeper, or the sleeper sees the change.
//! The word is loaded without resolving faults under the lock; if that fails the page is brought in outside, and all
//! starts again.

use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::machine::task::{WaitError, Waiter};
use crate::machine::user;
use crate::rank::Rank;
use crate::vm::{AddressSpace, Mapping, UserPtr};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What FUTEX_WAIT waits for and FUTEX_WAKE wakes: any (FUTEX_BITSET_MATCH_ANY).
pub(crate) const ANY: u32 = u32::MAX;

/// Which word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        if !address.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if !is_private {
            let mut shared = None;
            let visited = space.visit_areas(address..address + 4, |mapping, _, is_shared, bytes| {
                if let (Mapping::File { cache, .. }, true) = (mapping, is_shared) {
                    shared = Some(Key { owner: Arc::as_ptr(cache).addr(), place: bytes.start });
                }
                true
            });
            visited.map_err(|_| Errno::EFAULT)?;
            if let Some(key) = shared {
                return Ok(key);
            }
        }
        Ok(Key { owner: core::ptr::from_ref(space).addr(), place: address })
    }

    fn bucket(self) -> usize {
        // Fibonacci hashing: words lie a few bytes or whole pages apart.
        let mixed = (self.place ^ self.owner as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as usize % BUCKETS.len()
    }
}

/// A waiting thread.
struct Sleeper {
    waiter: Waiter,
    bucket: AtomicUsize,
    is_woken: AtomicBool,
}

struct Entry {
    key: Key,
    bits: u32,
    sleeper: Arc<Sleeper>,
}

type Bucket = SpinLock<VecDeque<Entry>>;

static BUCKETS: [Bucket; 256] = [const { SpinLock::new(Rank::Futex, VecDeque::new()) }; 256];

/// Sleeps while the word at `address` is `expected`, until somebody wakes one of `bits`. EAGAIN if the word differs,
/// ETIMEDOUT at monotonic time `deadline_ns`, `RESTART_NO_HANDLER` when a signal is due.
pub(crate) fn wait(
    space: &AddressSpace,
    key: Key,
    address: u64,
    expected: u32,
    bits: u32,
    deadline_ns: Option<u64>,
) -> Result {
    let bucket = key.bucket();
    let sleeper = loop {
        let mut entries = BUCKETS[bucket].lock();
        match user::load_u32(address) {
            Some(value) if value == expected => {
                let sleeper = Arc::new(Sleeper {
                    waiter: Waiter::new(),
                    bucket: AtomicUsize::new(bucket),
                    is_woken: AtomicBool::new(false),
                });
                entries.push_back(Entry { key, bits, sleeper: sleeper.clone() });
                break sleeper;
            }
            Some(_) => return Err(Errno::EAGAIN),
            None => {
                drop(entries);
                UserPtr::<u32>::new(space, address).read()?;
            }
        }
    };

    while !sleeper.is_woken.load(Ordering::Acquire) {
        let Err(error) = sleeper.waiter.wait(deadline_ns) else { continue };
        if sleeper.leave() {
            return Err(match error {
                WaitError::Interrupted => Errno::RESTART_NO_HANDLER,
                WaitError::TimedOut => Errno::ETIMEDOUT,
            });
        }
    }
    Ok(())
}

impl Sleeper {
    /// Takes itself out of its bucket; `false` if it was woken before.
    fn leave(&self) -> bool {
        loop {
            let bucket = self.bucket.load(Ordering::Acquire);
            let mut entries = BUCKETS[bucket].lock();
            if let Some(index) = entries.iter().position(|entry| core::ptr::eq(Arc::as_ptr(&entry.sleeper), self)) {
                entries.remove(index);
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
        if entries[index].key != key || entries[index].bits & bits == 0 {
            index += 1;
        } else if let Some(entry) = entries.remove(index) {
            entry.sleeper.wake();
            woken += 1;
        }
    }
    woken
}

/// Calls `act` with the buckets of both keys locked (the second is `None` where it is the same bucket).
fn with_both<T>(
    first: Key,
    second: Key,
    act: impl FnOnce(&mut VecDeque<Entry>, Option<&mut VecDeque<Entry>>) -> T,
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
    space: &AddressSpace,
    from: Key,
    to: Key,
    wake_limit: usize,
    move_limit: usize,
    expected: Option<Expected>,
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
    entries: &mut VecDeque<Entry>,
    others: Option<&mut VecDeque<Entry>>,
    from: Key,
    to: Key,
    limit: usize,
) -> usize {
    let mut moved = 0;
    let Some(others) = others else {
        for entry in entries.iter_mut().filter(|entry| entry.key == from).take(limit) {
            entry.key = to;
            moved += 1;
        }
        return moved;
    };
    let mut index = 0;
    while moved < limit && index < entries.len() {
        if entries[index].key != from {
            index += 1;
        } else if let Some(mut entry) = entries.remove(index) {
            entry.key = to;
            entry.sleeper.bucket.store(to.bucket(), Ordering::Release);
            others.push_back(entry);
            moved += 1;
        }
    }
    moved
}

/// Changes the word at `address` (of `second`) by `change`, wakes up to `limit` waiters of `first`, and if `and_if` holds
/// for the old value up to `second_limit` of `second` (FUTEX_WAKE_OP). Returns how many were woken. EFAULT.
pub(crate) fn wake_and_change(
    space: &AddressSpace,
    (first, limit): (Key, usize),
    (second, second_limit): (Key, usize),
    address: u64,
    change: impl Fn(u32) -> u32,
    and_if: impl Fn(u32) -> bool,
) -> Result<usize> {
    loop {
        let woken = with_both(first, second, |entries, others| {
            let old = change_word(address, &change)?;
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

/// Changes a word atomically; returns what it held, or `None` if it cannot be accessed at once.
fn change_word(address: u64, change: &impl Fn(u32) -> u32) -> Option<u32> {
    let mut old = user::load_u32(address)?;
    loop {
        let found = user::compare_exchange_u32(address, old, change(old))?;
        if found == old {
            return Some(old);
        }
        old = found;
    }
}

fn bring_in_for_writing(space: &AddressSpace, address: u64) -> Result {
    use crate::machine::trap::PageFault;
    use crate::vm::FaultOutcome;
    let fault = PageFault { address, is_write: true, is_execute: false, is_protection: false };
    if space.handle_fault(fault) == FaultOutcome::Resolved { Ok(()) } else { Err(Errno::EFAULT) }
}

/// Clears the word that set_tid_address(2) named and wakes who joins the thread. The thread's memory must be loaded.
pub(super) fn clear_and_wake(space: &AddressSpace, address: u64) {
    if UserPtr::<u32>::new(space, address).write(&0).is_ok()
        && let Ok(key) = Key::new(space, address, false)
    {
        wake(key, 1, ANY);
    }
}

/// The most entries of a robust list that are looked at: it may be a circle (Linux: ROBUST_LIST_LIMIT).
const ROBUST_LIST_LIMIT: usize = 2048;

/// Marks the robust futexes that thread `id` still holds as their owner's death left them, and wakes a waiter of each
/// (get_robust_list(2)). The thread's memory must be loaded; what cannot be read ends the walk.
pub(super) fn release_robust_list(space: &AddressSpace, head: u64, id: u32) {
    let word = |address: u64| UserPtr::<u64>::new(space, address).read();
    let walk = || -> Result {
        let (offset, pending) = (word(head + 8)?, word(head + 16)?);
        let mut entry = word(head)?;
        for _ in 0..ROBUST_LIST_LIMIT {
            if entry & !1 == head {
                break;
            }
            let next = word(entry & !1);
            if entry & !1 != pending & !1 {
                release_robust(space, (entry & !1).wrapping_add(offset), id, false)?;
            }
            entry = next?;
        }
        if pending & !1 != 0 {
            release_robust(space, (pending & !1).wrapping_add(offset), id, true)?;
        }
        Ok(())
    };
    // A broken list hurts only the program that broke it.
    let _ = walk();
}

fn release_robust(space: &AddressSpace, address: u64, id: u32, is_pending: bool) -> Result {
    const WAITERS: u32 = 0x8000_0000;
    const OWNER_DIED: u32 = 0x4000_0000;
    const OWNER: u32 = 0x3fff_ffff;
    let key = Key::new(space, address, false)?;
    loop {
        let Some(value) = user::load_u32(address) else {
            UserPtr::<u32>::new(space, address).read()?;
            continue;
        };
        // It died between unlocking and waking.
        if is_pending && value == 0 {
            wake_shared_and_private(space, key, address);
            return Ok(());
        }
        if value & OWNER != id {
            return Ok(());
        }
        match user::compare_exchange_u32(address, value, value & WAITERS | OWNER_DIED) {
            None => bring_in_for_writing(space, address)?,
            Some(found) if found == value => {
                if value & WAITERS != 0 {
                    wake_shared_and_private(space, key, address);
                }
                return Ok(());
            }
            Some(_) => {}
        }
    }
}

/// A process-private waiter of a word in shared memory has the other key.
fn wake_shared_and_private(space: &AddressSpace, key: Key, address: u64) {
    if wake(key, 1, ANY) == 0
        && let Ok(private) = Key::new(space, address, true)
        && private != key
    {
        wake(private, 1, ANY);
    }
}
