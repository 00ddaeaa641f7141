//! Futexes whose owner runs with the priority of the most urgent thread that waits for it (futex(2),
//! "Priority-inheritance futexes").
//!
//! The word holds the owner's id. Only a futex that somebody waits for is known here, with its true owner; one lock
//! guards all of them, because a chain of owners that wait in turn crosses futexes, and threads that do not contend
//! never come here. Among fair threads nobody is more urgent: first come, first served.

use super::word::{self, OWNER, OWNER_DIED, WAITERS, bring_in_for_writing};
use super::{Key, Sleeper};
use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::machine::task::WaitError;
use crate::machine::user;
use crate::process::{Thread, table};
use crate::rank::Rank;
use crate::vm::{AddressSpace, UserPtr};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

/// How long a chain of owners that wait may be (Linux: max_lock_depth).
const MAX_CHAIN: usize = 1024;

pub(super) static CONTENDED: SpinLock<Contended> = SpinLock::new(
    Rank::FutexOwners,
    Contended { futexes: BTreeMap::new(), owned: BTreeSet::new(), waits: BTreeMap::new() },
);

/// The futexes that are waited for.
pub(super) struct Contended {
    futexes: BTreeMap<Key, Futex>,
    /// Their keys by the addresses of their owners.
    owned: BTreeSet<(usize, Key)>,
    /// What each waiting thread, by address, waits for.
    waits: BTreeMap<usize, Key>,
}

struct Futex {
    owner: Arc<Thread>,
    /// In the order of their coming.
    waiters: Vec<(Arc<Thread>, Arc<Sleeper>)>,
}

/// A futex as its owner or one who wants it sees it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) space: &'a AddressSpace,
    pub(crate) key: Key,
    pub(crate) address: u64,
}

/// What became of an attempt that holds the lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Done,
    /// The thread is among the waiters.
    Waits,
    /// The word has changed meanwhile.
    Changed,
    /// The word's page must be brought in.
    Absent,
}

/// What to do about a futex that has an owner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Wait,
    Try,
}

impl Place<'_> {
    /// Returns the word's value, and the thread that it names as owner.
    pub(super) fn look(&self) -> Result<(u32, Option<Arc<Thread>>)> {
        let value = loop {
            match user::load_u32(self.address) {
                Some(value) => break value,
                None => UserPtr::<u32>::new(self.space, self.address).read()?,
            };
        };
        let owner = if value & OWNER == 0 { None } else { table::find_thread((value & OWNER) as i32) };
        Ok((value, owner))
    }
}

/// Takes the futex, sleeping as long as another thread owns it (FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI). EDEADLK, ESRCH, EAGAIN,
/// ETIMEDOUT; `RESTART_ALWAYS` when a signal is due.
pub(crate) fn lock(thread: &Arc<Thread>, place: Place<'_>, deadline_ns: Option<u64>, patience: Patience) -> Result {
    let sleeper = Sleeper::of(thread);
    loop {
        let seen = place.look()?;
        let attempt = CONTENDED.lock().enter(thread, sleeper, &place, &seen, patience)?;
        match attempt {
            Attempt::Done => return Ok(()),
            Attempt::Waits => return sleep(thread, sleeper, place, deadline_ns),
            Attempt::Changed => {}
            Attempt::Absent => bring_in_for_writing(place.space, place.address)?,
        }
    }
}

/// Sleeps until the thread, which is among the waiters, owns the futex.
pub(super) fn sleep(thread: &Arc<Thread>, sleeper: &Sleeper, place: Place<'_>, deadline_ns: Option<u64>) -> Result {
    while !sleeper.is_woken.load(Ordering::Acquire) {
        let Err(error) = sleeper.waiter.wait(deadline_ns) else { continue };
        if CONTENDED.lock().withdraw(thread) {
            return Err(reason(error));
        }
    }
    take_over(thread, sleeper, place)
}

/// Returns what a call that waited for a futex with an owner answers.
pub(super) fn reason(error: WaitError) -> Errno {
    match error {
        WaitError::Interrupted => Errno::RESTART_ALWAYS,
        WaitError::TimedOut => Errno::ETIMEDOUT,
    }
}

/// Writes what only the new owner can when the old one ended: it knows the word's address.
pub(super) fn take_over(thread: &Arc<Thread>, sleeper: &Sleeper, place: Place<'_>) -> Result {
    if !sleeper.is_heir.load(Ordering::Acquire) {
        return Ok(());
    }
    let mine = thread.id() as u32 | WAITERS | OWNER_DIED;
    while word::change(place.address, |_| mine).is_none() {
        bring_in_for_writing(place.space, place.address)?;
    }
    CONTENDED.lock().forget_if_idle(place.key);
    Ok(())
}

/// Gives the futex to the most urgent waiter, or frees it (FUTEX_UNLOCK_PI). EPERM if another thread owns it.
pub(crate) fn unlock(thread: &Arc<Thread>, place: Place<'_>) -> Result {
    loop {
        let attempt = CONTENDED.lock().release(thread, &place)?;
        match attempt {
            Attempt::Done => return Ok(()),
            Attempt::Absent => bring_in_for_writing(place.space, place.address)?,
            _ => {}
        }
    }
}

/// Lets waiters inherit what the thread still owns: it ends, or executes a program.
pub(in crate::process) fn let_go(thread: &Arc<Thread>) {
    let mut contended = CONTENDED.lock();
    thread.has_left_futexes.store(thread.is_exiting(), Ordering::Relaxed);
    let keys: Vec<Key> = contended.owned_by(thread).collect();
    for key in keys {
        if let Some(sleeper) = contended.pass_on(key) {
            sleeper.is_heir.store(true, Ordering::Release);
            sleeper.wake();
        }
    }
    contended.settle(thread);
}

/// Follows a change of a thread's own priority.
pub(crate) fn reconsider(thread: &Arc<Thread>) {
    let mut contended = CONTENDED.lock();
    if let Some(owner) = contended.owner_before(thread) {
        contended.settle(&owner);
    }
}

impl Contended {
    /// Lets `thread` take the futex if nobody owns it, else puts it among the waiters. `seen` is what `Place::look` found.
    /// EDEADLK if that closes a circle, ESRCH if the word names a thread that there is not.
    pub(super) fn enter(
        &mut self, thread: &Arc<Thread>, sleeper: &Arc<Sleeper>, place: &Place<'_>, seen: &(u32, Option<Arc<Thread>>),
        patience: Patience,
    ) -> Result<Attempt> {
        let (value, owner) = (seen.0, seen.1.as_ref());
        match user::load_u32(place.address) {
            None => return Ok(Attempt::Absent),
            Some(found) if found != value => return Ok(Attempt::Changed),
            Some(_) => {}
        }
        let id = thread.id() as u32;
        Errno::EDEADLK.when(value & OWNER == id)?;
        let known = self.futexes.get(&place.key).map(|futex| futex.owner.clone());
        if known.is_none() && value & OWNER == 0 {
            return Ok(exchange(place.address, value, value & OWNER_DIED | id));
        }
        let is_alive = |owner: &&Arc<Thread>| !owner.has_left_futexes.load(Ordering::Relaxed);
        let owner = known.or(owner.filter(is_alive).cloned()).ok_or(Errno::ESRCH)?;
        Errno::EDEADLK.when(self.is_circle(thread, &owner))?;
        Errno::EAGAIN.when(patience == Patience::Try)?;
        if value & WAITERS == 0 {
            let attempt = exchange(place.address, value, value | WAITERS);
            if attempt != Attempt::Done {
                return Ok(attempt);
            }
        }

        sleeper.prepare();
        self.owned.insert((Arc::as_ptr(&owner).addr(), place.key));
        let futex = self.futexes.entry(place.key).or_insert(Futex { owner: owner.clone(), waiters: Vec::new() });
        futex.waiters.push((thread.clone(), sleeper.clone()));
        self.waits.insert(Arc::as_ptr(thread).addr(), place.key);
        self.settle(&owner);
        Ok(Attempt::Waits)
    }

    fn release(&mut self, thread: &Arc<Thread>, place: &Place<'_>) -> Result<Attempt> {
        let Some(value) = user::load_u32(place.address) else { return Ok(Attempt::Absent) };
        Errno::EPERM.when(value & OWNER != thread.id() as u32)?;
        let Some(futex) = self.futexes.get(&place.key) else { return Ok(exchange(place.address, value, 0)) };
        Errno::EINVAL.when(!Arc::ptr_eq(&futex.owner, thread))?;
        let next = futex.next().map_or(0, |index| futex.waiters[index].0.id() as u32 | WAITERS);
        let attempt = exchange(place.address, value, next);
        if attempt == Attempt::Done {
            if let Some(sleeper) = self.pass_on(place.key) {
                sleeper.wake();
            }
            self.forget_if_idle(place.key);
            self.settle(thread);
        }
        Ok(attempt)
    }

    /// Makes the next waiter the owner; returns its sleeper, to be woken. Without waiters the futex is forgotten.
    fn pass_on(&mut self, key: Key) -> Option<Arc<Sleeper>> {
        let futex = self.futexes.get_mut(&key)?;
        self.owned.remove(&(Arc::as_ptr(&futex.owner).addr(), key));
        let Some(next) = futex.next() else {
            self.futexes.remove(&key);
            return None;
        };
        let (owner, sleeper) = futex.waiters.remove(next);
        futex.owner = owner.clone();
        self.owned.insert((Arc::as_ptr(&owner).addr(), key));
        self.waits.remove(&Arc::as_ptr(&owner).addr());
        self.settle(&owner);
        Some(sleeper)
    }

    /// Takes `thread` out of the waiters of what it waits for; `false` if it owns that by now.
    pub(super) fn withdraw(&mut self, thread: &Arc<Thread>) -> bool {
        let Some(key) = self.waits.remove(&Arc::as_ptr(thread).addr()) else { return false };
        let Some(futex) = self.futexes.get_mut(&key) else { return false };
        futex.waiters.retain(|(waiter, _)| !Arc::ptr_eq(waiter, thread));
        let owner = futex.owner.clone();
        self.forget_if_idle(key);
        self.settle(&owner);
        true
    }

    fn forget_if_idle(&mut self, key: Key) {
        if let Some(futex) = self.futexes.get(&key).filter(|futex| futex.waiters.is_empty()) {
            self.owned.remove(&(Arc::as_ptr(&futex.owner).addr(), key));
            self.futexes.remove(&key);
        }
    }

    /// Returns the keys of what `thread` owns.
    fn owned_by(&self, thread: &Arc<Thread>) -> impl Iterator<Item = Key> {
        let address = Arc::as_ptr(thread).addr();
        let first = Key { owner: 0, place: 0 };
        self.owned.range((address, first)..(address + 1, first)).map(|(_, key)| *key)
    }

    /// Returns the owner of what `thread` waits for.
    fn owner_before(&self, thread: &Arc<Thread>) -> Option<Arc<Thread>> {
        let key = self.waits.get(&Arc::as_ptr(thread).addr())?;
        self.futexes.get(key).map(|futex| futex.owner.clone())
    }

    fn is_circle(&self, thread: &Arc<Thread>, owner: &Arc<Thread>) -> bool {
        let mut next = Some(owner.clone());
        for _ in 0..MAX_CHAIN {
            match next {
                None => return false,
                Some(owner) if Arc::ptr_eq(&owner, thread) => return true,
                Some(owner) => next = self.owner_before(&owner),
            }
        }
        true
    }

    /// Lends `owner` the priority of those who wait for it, and so on along the chain.
    fn settle(&mut self, owner: &Arc<Thread>) {
        let mut next = Some(owner.clone());
        for _ in 0..MAX_CHAIN {
            let Some(thread) = next else { return };
            let Some(task) = thread.task() else { return };
            let owned = self.owned_by(&thread).filter_map(|key| self.futexes.get(&key));
            let lent = owned.flat_map(|futex| &futex.waiters).map(|(waiter, _)| urgency(waiter)).max().unwrap_or(0);
            if !task.lend_priority(lent) {
                return;
            }
            next = self.owner_before(&thread);
        }
    }
}

impl Futex {
    /// Returns the index of the most urgent waiter; of equals, the one that has waited longest.
    fn next(&self) -> Option<usize> {
        (0..self.waiters.len()).rev().max_by_key(|index| urgency(&self.waiters[*index].0))
    }
}

fn urgency(thread: &Thread) -> u8 {
    thread.task().map_or(0, |task| task.real_time_priority())
}

fn exchange(address: u64, old: u32, new: u32) -> Attempt {
    match user::compare_exchange_u32(address, old, new) {
        None => Attempt::Absent,
        Some(found) if found == old => Attempt::Done,
        Some(_) => Attempt::Changed,
    }
}
