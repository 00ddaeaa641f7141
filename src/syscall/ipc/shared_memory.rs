//! shmget, shmat, shmdt, shmctl.

use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Permissions};
use crate::errno::{Errno, Result};
use crate::ipc::shared_memory::{self, Attachment, MAX_BYTES, MAX_PAGES, MAX_SEGMENTS, SEGMENTS, Segment};
use crate::ipc::{Object, Right};
use crate::machine::memory::PAGE_SIZE;
use crate::process::Resource;
use crate::syscall::context::Ctx;
use crate::vm::{Placement, Protection, UserPtr};
use core::sync::atomic::Ordering;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const SHM_RDONLY: i32 = 0o10000;
const SHM_RND: i32 = 0o20000;
const SHM_REMAP: i32 = 0o40000;
const SHM_EXEC: i32 = 0o100000;
const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;

/// `struct shmid64_ds`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SegmentStatus {
    permissions: Permissions,
    size: u64,
    attached: i64,
    detached: i64,
    changed: i64,
    creator: i32,
    last_user: i32,
    attachments: u64,
    _unused: [u64; 2],
}

/// `struct shminfo64`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Limits {
    max_bytes: u64,
    min_bytes: u64,
    max_segments: u64,
    max_attachments: u64,
    max_pages: u64,
    _unused: [u64; 4],
}

/// `struct shm_info`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Totals {
    segments: u64,
    pages: u64,
    resident: u64,
    swapped: u64,
    swap_attempts: u64,
    swap_successes: u64,
}

/// shmget(2).
pub(crate) fn shmget(ctx: &Ctx<'_>, key: i32, size: usize, flags: i32) -> Result<usize> {
    shared_memory::get(key, size, flags, &ctx.identity(), ctx.process().id()).map(|id| id as usize)
}

/// shmat(2).
pub(crate) fn shmat(ctx: &Ctx<'_>, id: i32, address: u64, flags: i32) -> Result<usize> {
    let page = PAGE_SIZE as u64;
    let address = match address % page {
        0 => address,
        odd if flags & SHM_RND != 0 => address - odd,
        _ => return Err(Errno::EINVAL),
    };
    let is_fixed = address != 0;
    Errno::EINVAL.when(flags & SHM_REMAP != 0 && !is_fixed)?;
    let placement = match is_fixed {
        false => Placement::Anywhere(0),
        true if flags & SHM_REMAP != 0 => Placement::Fixed(address),
        true => Placement::FixedNoReplace(address),
    };
    let mut protection = Protection::READ;
    protection.set(Protection::WRITE, flags & SHM_RDONLY == 0);
    protection.set(Protection::EXECUTE, flags & SHM_EXEC != 0);
    let attachment = Attachment { placement, protection };
    match shared_memory::attach(id, attachment, &ctx.identity(), ctx.space(), ctx.process().id()) {
        Err(Errno::EEXIST) => Err(Errno::EINVAL),
        result => result.map(|address| address as usize),
    }
}

/// shmdt(2).
pub(crate) fn shmdt(ctx: &Ctx<'_>, address: u64) -> Result {
    Errno::EINVAL.when(!address.is_multiple_of(PAGE_SIZE as u64))?;
    shared_memory::detach(address, ctx.space(), ctx.process().id())
}

/// shmctl(2).
pub(crate) fn shmctl(ctx: &Ctx<'_>, id: i32, command: i32, argument: UserPtr<'_, SegmentStatus>) -> Result<usize> {
    Errno::EINVAL.when(id < 0 || command < 0)?;
    let identity = ctx.identity();
    match command {
        IPC_INFO => {
            let limits = Limits {
                max_bytes: MAX_BYTES.get() as u64,
                min_bytes: 1,
                max_segments: MAX_SEGMENTS.get() as u64,
                max_attachments: MAX_SEGMENTS.get() as u64,
                max_pages: MAX_PAGES.get() as u64,
                ..Limits::default()
            };
            argument.cast().write(&limits)?;
            Ok(SEGMENTS.last_index())
        }
        SHM_INFO => {
            let resident: usize = SEGMENTS.all().map(|object| object.value.content().resident_pages()).sum();
            let totals = Totals {
                segments: SEGMENTS.all().count() as u64,
                pages: shared_memory::total_pages() as u64,
                resident: resident as u64,
                ..Totals::default()
            };
            argument.cast().write(&totals)?;
            Ok(SEGMENTS.last_index())
        }
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let object = if command == IPC_STAT { SEGMENTS.find(id)? } else { SEGMENTS.at(id)? };
            if command != SHM_STAT_ANY {
                object.check(&identity, Right::READ)?;
            }
            argument.write(&status(&object))?;
            Ok(if command == IPC_STAT { 0 } else { object.id() as usize })
        }
        IPC_SET => {
            let Permissions { uid, gid, mode, .. } = argument.read()?.permissions;
            SEGMENTS.find(id)?.set_owner(&identity, uid, gid, mode).map(|()| 0)
        }
        IPC_RMID => shared_memory::remove(id, &identity).map(|()| 0),
        SHM_LOCK | SHM_UNLOCK => {
            let limit = ctx.process().limit(Resource::LockedMemory);
            shared_memory::set_locked(id, command == SHM_LOCK, &identity, limit).map(|()| 0)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn status(object: &Object<Segment>) -> SegmentStatus {
    let content = object.value.content();
    SegmentStatus {
        permissions: Permissions::of(object, shared_memory::state_bits(object)),
        size: content.size as u64,
        attached: content.attached.load(Ordering::Relaxed),
        detached: content.detached.load(Ordering::Relaxed),
        changed: object.owner().changed,
        creator: content.creator,
        last_user: content.last_user.load(Ordering::Relaxed),
        attachments: object.value.attachments() as u64,
        ..SegmentStatus::default()
    }
}
