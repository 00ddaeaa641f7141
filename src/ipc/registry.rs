//! The identifiers of System V objects: one table for each of the three kinds, with keys, owners and permissions.
//!
//! An identifier is an index and a sequence number that changes when the index is used again, so that an old one does
//! not name a new object. Looking up takes the table's lock alone; the object stays alive while somebody uses it, and
//! `is_removed` tells sleepers that it is out of the table.

use crate::errno::{Errno, Result};
use crate::fs::{Capabilities, Identity};
use crate::machine::sync::SpinLock;
use crate::machine::time;
use crate::rank::Rank;
use alloc::{collections::BTreeMap, sync::Arc};
use core::sync::atomic::{AtomicBool, Ordering};

/// IPC_PRIVATE: always a new object.
const PRIVATE: i32 = 0;
const CREATE: i32 = 0o1000;
const EXCLUSIVE: i32 = 0o2000;

/// How many indices there are (Linux's IPCMNI); the sequence number is above.
const INDEX_BITS: u32 = 15;

/// The greatest sequence number, so that identifiers stay positive.
const MAX_SEQUENCE: u32 = i32::MAX as u32 >> INDEX_BITS;

/// What `Object::check` asks for, as permission bits of all three classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Right(pub(crate) i32);

impl Right {
    pub(crate) const READ: Right = Right(0o444);
    pub(crate) const WRITE: Right = Right(0o222);
}

/// Who made an object, whose it is, and who may use it (`struct ipc_perm` of the *ctl calls).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) creator_uid: u32,
    pub(crate) creator_gid: u32,
    /// The permission bits (0777).
    pub(crate) mode: u32,
    /// When it was made or changed by IPC_SET, in seconds.
    pub(crate) changed: i64,
}

/// A System V object.
pub(crate) struct Object<T> {
    id: i32,
    key: i32,
    owner: SpinLock<Owner>,
    is_removed: AtomicBool,
    pub(crate) value: T,
}

/// All objects of one kind.
pub(crate) struct Registry<T> {
    table: SpinLock<Table<T>>,
}

struct Table<T> {
    objects: BTreeMap<u32, Arc<Object<T>>>,
    sequence: u32,
    last_index: u32,
}

/// Returns the time as System V objects keep it.
pub(super) fn seconds() -> i64 {
    (time::wall_ns() / 1_000_000_000) as i64
}

impl<T> Object<T> {
    /// Returns the identifier.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Returns the key; IPC_PRIVATE once it is removed.
    pub(crate) fn key(&self) -> i32 {
        if self.is_removed() { PRIVATE } else { self.key }
    }

    /// Returns the sequence number in the identifier.
    pub(crate) fn sequence(&self) -> u16 {
        (self.id >> INDEX_BITS) as u16
    }

    /// Returns the owner.
    pub(crate) fn owner(&self) -> Owner {
        *self.owner.lock()
    }

    /// Returns whether it was removed by IPC_RMID.
    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::SeqCst)
    }

    /// Marks it as removed: no key finds it any more. EINVAL if somebody was faster, who alone takes it out of the table:
    /// its index may name a new object by now.
    pub(super) fn set_removed(&self) -> Result {
        if self.is_removed.swap(true, Ordering::SeqCst) { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// EACCES unless the caller has the right.
    pub(crate) fn check(&self, identity: &Identity, right: Right) -> Result {
        let owner = self.owner();
        let requested = (right.0 >> 6 | right.0 >> 3 | right.0) as u32 & 0o7;
        let granted = if [owner.uid, owner.creator_uid].contains(&identity.euid) {
            owner.mode >> 6
        } else if identity.is_in_group(owner.gid) || identity.is_in_group(owner.creator_gid) {
            owner.mode >> 3
        } else {
            owner.mode
        };
        let is_granted = requested & !granted == 0 || identity.can(Capabilities::IPC_OWNER);
        if is_granted { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// EPERM unless the caller may change or remove it: owner, creator, or CAP_SYS_ADMIN.
    pub(crate) fn check_control(&self, identity: &Identity) -> Result {
        let owner = self.owner();
        let is_allowed =
            [owner.uid, owner.creator_uid].contains(&identity.euid) || identity.can(Capabilities::SYS_ADMIN);
        if is_allowed { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// IPC_SET: EPERM, EINVAL for ids that are none.
    pub(crate) fn set_owner(&self, identity: &Identity, uid: u32, gid: u32, mode: u32) -> Result {
        self.check_control(identity)?;
        Errno::EINVAL.when(uid == u32::MAX || gid == u32::MAX)?;
        let mut owner = self.owner.lock();
        (owner.uid, owner.gid, owner.mode, owner.changed) = (uid, gid, mode & 0o777, seconds());
        Ok(())
    }

    /// Sets the time of the last change to now (SETVAL, SETALL).
    pub(super) fn note_change(&self) {
        self.owner.lock().changed = seconds();
    }
}

impl<T> Registry<T> {
    /// Makes an empty table.
    pub(super) const fn new() -> Registry<T> {
        let table = Table { objects: BTreeMap::new(), sequence: 0, last_index: 0 };
        Registry { table: SpinLock::new(Rank::IpcTable, table) }
    }

    /// msgget, semget, shmget: finds the object with the key, if `check` agrees with it, or makes one by `make`. ENOENT,
    /// EEXIST, EACCES, ENOSPC beyond `limit` objects.
    pub(super) fn get(
        &self, key: i32, flags: i32, identity: &Identity, limit: usize, check: impl FnOnce(&T) -> Result,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<i32> {
        let find =
            |table: &Table<T>| table.objects.values().find(|object| key != PRIVATE && object.key() == key).cloned();
        let found = find(&self.table.lock());
        Errno::ENOENT.when(found.is_none() && key != PRIVATE && flags & CREATE == 0)?;
        // Made without the lock, because that may take long; somebody else may be faster.
        let fresh = if found.is_none() { Some(make()?) } else { None };
        let mut table = self.table.lock();
        if let Some(object) = find(&table) {
            drop(table);
            Errno::EEXIST.when(flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE)?;
            check(&object.value)?;
            object.check(identity, Right(flags))?;
            return Ok(object.id);
        }
        let Some(value) = fresh else { return Err(Errno::ENOENT) };
        let index = table.free_index(limit)?;
        let owner = Owner {
            uid: identity.euid,
            gid: identity.egid,
            creator_uid: identity.euid,
            creator_gid: identity.egid,
            mode: flags as u32 & 0o777,
            changed: seconds(),
        };
        let id = (table.sequence << INDEX_BITS | index) as i32;
        let owner = SpinLock::new(Rank::IpcOwner, owner);
        let object = Arc::new(Object { id, key, owner, is_removed: AtomicBool::new(false), value });
        table.objects.insert(index, object);
        Ok(id)
    }

    /// Finds an object by its identifier. EINVAL.
    pub(crate) fn find(&self, id: i32) -> Result<Arc<Object<T>>> {
        let object = self.at(id & ((1 << INDEX_BITS) - 1))?;
        if id >= 0 && object.id == id { Ok(object) } else { Err(Errno::EINVAL) }
    }

    /// Finds an object by its index (the *_STAT commands). EINVAL.
    pub(crate) fn at(&self, index: i32) -> Result<Arc<Object<T>>> {
        let index = u32::try_from(index).map_err(|_| Errno::EINVAL)?;
        self.table.lock().objects.get(&index).cloned().ok_or(Errno::EINVAL)
    }

    /// Takes an object out of the table.
    pub(super) fn forget(&self, id: i32) {
        let removed = self.table.lock().objects.remove(&(id as u32 & ((1 << INDEX_BITS) - 1)));
        drop(removed);
    }

    /// Returns all objects, by index; looks for each anew, so it needs no memory.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Object<T>>> {
        let mut next = 0;
        core::iter::from_fn(move || {
            let table = self.table.lock();
            let (index, object) = table.objects.range(next..).next()?;
            next = index + 1;
            Some(object.clone())
        })
    }

    /// Returns the greatest index in use, 0 if none is, as the *_INFO commands answer.
    pub(crate) fn last_index(&self) -> usize {
        self.table.lock().objects.keys().next_back().map_or(0, |index| *index as usize)
    }
}

impl<T> Table<T> {
    /// Returns the lowest free index, with the sequence number for it set. ENOSPC.
    fn free_index(&mut self, limit: usize) -> Result<u32> {
        Errno::ENOSPC.when(self.objects.len() >= limit)?;
        let taken = self.objects.keys().copied();
        let index =
            taken.zip(0..).find(|(taken, index)| taken != index).map_or(self.objects.len() as u32, |(_, free)| free);
        if index <= self.last_index {
            self.sequence = if self.sequence >= MAX_SEQUENCE { 0 } else { self.sequence + 1 };
        }
        self.last_index = index;
        Ok(index)
    }
}
