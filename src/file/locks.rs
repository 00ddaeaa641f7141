//! Advisory locks: record locks of processes and of open file descriptions (fcntl(2), F_SETLK, F_OFD_SETLK), and
//! whole-file locks (flock(2)). The two families ignore each other, as on Linux.
//!
//! One table serves the system, keyed by device and inode number, because locks belong to files and not to opens.
//! Who takes no locks pays one flag test at close.

use super::readiness::Events;
use super::{DeviceNumber, FdTable, OpenFile, Readiness};
use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use crate::util::lock_ranges::{LockKind, LockRanges, RangeLock};
use alloc::{collections::BTreeMap, vec::Vec};
use core::sync::atomic::Ordering;

/// Which file is locked.
type Key = (DeviceNumber, u64);

/// Whose record lock it is; equal when the identity is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockOwner {
    identity: Identity,
    /// What F_GETLK shows in l_pid; -1 for open file descriptions.
    process_id: i32,
}

impl PartialEq for LockOwner {
    fn eq(&self, other: &LockOwner) -> bool {
        self.identity == other.identity
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Process(u64),
    OpenFile(usize),
}

impl LockOwner {
    /// Returns the process that uses `table`, known to others as `process_id`.
    pub(crate) fn process(table: &FdTable, process_id: i32) -> LockOwner {
        LockOwner { identity: Identity::Process(table.owner()), process_id }
    }

    /// Returns the open file description itself ("open file description locks", fcntl(2)).
    pub(crate) fn open_file(file: &OpenFile) -> LockOwner {
        LockOwner { identity: Identity::OpenFile(address(file)), process_id: -1 }
    }

    /// Returns l_pid.
    pub(crate) fn process_id(self) -> i32 {
        self.process_id
    }
}

struct Locks {
    records: BTreeMap<Key, LockRanges<LockOwner>>,
    whole: BTreeMap<Key, Vec<(usize, LockKind)>>,
    /// Processes that wait, and for whom: where this closes a circle nobody would ever wake.
    waits: Vec<(LockOwner, LockOwner)>,
}

static LOCKS: SpinLock<Locks> =
    SpinLock::new(Rank::FileLocks, Locks { records: BTreeMap::new(), whole: BTreeMap::new(), waits: Vec::new() });

/// Announces each unlock. One for all files: waiting for a lock is rare.
static UNLOCKED: Readiness = Readiness::new();

/// Returns the lock that would keep `wanted` from being set, if any (F_GETLK).
pub(crate) fn find_conflict(file: &OpenFile, wanted: &RangeLock<LockOwner>) -> Result<Option<RangeLock<LockOwner>>> {
    let key = key(file)?;
    Ok(LOCKS.lock().records.get(&key).and_then(|records| records.conflict(wanted)))
}

/// Sets a record lock for its owner, and sleeps for it if `wait`. `table` is the caller's. EAGAIN, EDEADLK, RESTART.
pub(crate) fn set_record(table: &FdTable, file: &OpenFile, wanted: RangeLock<LockOwner>, wait: bool) -> Result {
    let key = key(file)?;
    match wanted.owner.identity {
        Identity::Process(_) => table.has_locks.store(true, Ordering::Relaxed),
        Identity::OpenFile(_) => file.has_locks.store(true, Ordering::Relaxed),
    }

    let mut has_replaced = false;
    let result = UNLOCKED.block_on(!wait, || {
        let mut locks = LOCKS.lock();
        locks.waits.retain(|(waiter, _)| *waiter != wanted.owner);
        let records = locks.records.entry(key).or_insert(LockRanges::new());
        let Some(conflict) = records.conflict(&wanted) else {
            has_replaced = records.set(wanted);
            return Ok(());
        };
        if wait && matches!(wanted.owner.identity, Identity::Process(_)) {
            Errno::EDEADLK.when(locks.is_waiting_for(conflict.owner, wanted.owner))?;
            locks.waits.push((wanted.owner, conflict.owner));
        }
        Err(Errno::EAGAIN)
    });
    if has_replaced {
        // An exclusive lock that is shared now lets others in.
        UNLOCKED.announce(Events::WRITE);
    }
    if result.is_err() {
        LOCKS.lock().waits.retain(|(waiter, _)| *waiter != wanted.owner);
    }
    result
}

/// Unlocks what `owner` holds between `first` and `last`, both included.
pub(crate) fn unset_record(file: &OpenFile, owner: LockOwner, first: u64, last: u64) -> Result {
    let key = key(file)?;
    if LOCKS.lock().unset(key, owner, first, last) {
        UNLOCKED.announce(Events::WRITE);
    }
    Ok(())
}

/// flock(2): sets, changes or (`None`) takes away the lock of this open file description. EAGAIN, RESTART.
pub(crate) fn set_whole(file: &OpenFile, kind: Option<LockKind>, wait: bool) -> Result {
    let (key, owner) = (key(file)?, address(file));
    // Changing a lock is not atomic: the old one goes first (flock(2)).
    if LOCKS.lock().unset_whole(key, owner, kind) {
        UNLOCKED.announce(Events::WRITE);
    }
    let Some(kind) = kind else { return Ok(()) };

    file.has_locks.store(true, Ordering::Relaxed);
    UNLOCKED.block_on(!wait, || {
        let mut locks = LOCKS.lock();
        let holders = locks.whole.entry(key).or_default();
        if holders.iter().any(|(holder, _)| *holder == owner) {
            return Ok(());
        }
        let is_free = match kind {
            LockKind::Shared => holders.iter().all(|(_, held)| *held == LockKind::Shared),
            LockKind::Exclusive => holders.is_empty(),
        };
        Errno::EAGAIN.when(!is_free)?;
        holders.push((owner, kind));
        Ok(())
    })
}

/// Drops the record locks that the process of `table` holds on `file`.
pub(crate) fn release_process(table: &FdTable, file: &OpenFile) {
    let Ok(key) = key(file) else { return };
    if LOCKS.lock().unset(key, LockOwner::process(table, 0), 0, u64::MAX) {
        UNLOCKED.announce(Events::WRITE);
    }
}

/// Drops all locks of an open file description, which is going.
pub(super) fn release_open_file(file: &OpenFile) {
    let Ok(key) = key(file) else { return };
    let mut locks = LOCKS.lock();
    let had_record = locks.unset(key, LockOwner::open_file(file), 0, u64::MAX);
    let had_whole = locks.unset_whole(key, address(file), None);
    drop(locks);
    if had_record || had_whole {
        UNLOCKED.announce(Events::WRITE);
    }
}

/// One lock of the system, for /proc/locks.
pub(crate) struct LockDescription {
    /// `POSIX`, `OFDLCK` or `FLOCK`.
    pub(crate) family: &'static str,
    pub(crate) kind: LockKind,
    pub(crate) process_id: i32,
    pub(crate) device: DeviceNumber,
    pub(crate) inode: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Returns all locks of the system.
pub(crate) fn all() -> Vec<LockDescription> {
    let locks = LOCKS.lock();
    let mut all = Vec::new();
    for ((device, inode), records) in &locks.records {
        for lock in records.iter() {
            let family = if matches!(lock.owner.identity, Identity::Process(_)) { "POSIX" } else { "OFDLCK" };
            let (kind, process_id) = (lock.kind, lock.owner.process_id);
            let (device, inode, first, last) = (*device, *inode, lock.first, lock.last);
            all.push(LockDescription { family, kind, process_id, device, inode, first, last });
        }
    }
    for ((device, inode), holders) in &locks.whole {
        for (_, kind) in holders {
            let (device, inode, kind) = (*device, *inode, *kind);
            let last = i64::MAX as u64;
            all.push(LockDescription { family: "FLOCK", kind, process_id: -1, device, inode, first: 0, last });
        }
    }
    all
}

impl Locks {
    fn unset(&mut self, key: Key, owner: LockOwner, first: u64, last: u64) -> bool {
        let Some(records) = self.records.get_mut(&key) else { return false };
        let found = records.unset(owner, first, last);
        if records.is_empty() {
            self.records.remove(&key);
        }
        found
    }

    /// Takes away the flock of `owner` unless it is of kind `unless` already; returns whether one went.
    fn unset_whole(&mut self, key: Key, owner: usize, unless: Option<LockKind>) -> bool {
        let Some(holders) = self.whole.get_mut(&key) else { return false };
        let before = holders.len();
        holders.retain(|(holder, kind)| *holder != owner || Some(*kind) == unless);
        let found = holders.len() < before;
        if holders.is_empty() {
            self.whole.remove(&key);
        }
        found
    }

    /// Returns whether `waiter` waits, directly or through others, for `holder`.
    fn is_waiting_for(&self, waiter: LockOwner, holder: LockOwner) -> bool {
        let mut current = waiter;
        for _ in 0..=self.waits.len() {
            if current == holder {
                return true;
            }
            match self.waits.iter().find(|(waiter, _)| *waiter == current) {
                Some((_, blocker)) => current = *blocker,
                None => return false,
            }
        }
        false
    }
}

/// Returns which file an open file is open on.
fn key(file: &OpenFile) -> Result<Key> {
    let metadata = file.file().metadata()?;
    Ok((metadata.device, metadata.inode))
}

fn address(file: &OpenFile) -> usize {
    core::ptr::from_ref(file).addr()
}
