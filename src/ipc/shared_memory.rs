//! System V shared memory (shmget(2)): a segment is a page cache without a name, as a tmpfs file's content is.
//!
//! Each mapping of a segment holds one open file, so the attachments are counted by the references to that: fork, exec,
//! exit and munmap need nothing of their own. The table keeps it too until IPC_RMID; with the last reference a removed
//! segment leaves the table.

use super::registry::seconds;
use super::{Object, Registry, Right};
use crate::errno::{Errno, Result};
use crate::file::{File, FileKind, Metadata, OpenFile, StatusFlags, anonymous};
use crate::fs::{Capabilities, Identity};
use crate::machine::memory::PAGE_SIZE;
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use crate::util::tunable::Tunable;
use crate::vm::{AddressSpace, MapRequest, Mapping, PageCache, Placement, Protection};
use alloc::sync::{Arc, Weak};
use alloc::{format, string::String};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};

/// /proc/sys/kernel/shmmax, shmall, shmmni: bytes of a segment, pages of all, how many segments.
pub(crate) static MAX_BYTES: Tunable = Tunable::new(usize::MAX - (1 << 24), 0, usize::MAX);
pub(crate) static MAX_PAGES: Tunable = Tunable::new(usize::MAX - (1 << 24), 0, usize::MAX);
pub(crate) static MAX_SEGMENTS: Tunable = Tunable::new(4096, 0, 32768);

/// SHM_HUGETLB of shmget(2).
const HUGE_PAGES: i32 = 0o4000;

/// All of them.
pub(crate) static SEGMENTS: Registry<Segment> = Registry::new();

/// Pages of all segments.
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// A segment, as the table holds it.
pub(crate) struct Segment {
    content: Arc<Content>,
    open: Weak<OpenFile>,
    kept: SpinLock<Option<Arc<OpenFile>>>,
}

/// What the open file that the mappings hold is behind.
struct Mapped(Arc<Content>);

/// What the mappings of a segment share.
pub(crate) struct Content {
    key: i32,
    /// Known once the table gave it.
    id: AtomicI32,
    pub(crate) size: usize,
    pages: Arc<PageCache>,
    pub(crate) is_locked: AtomicBool,
    is_removed: AtomicBool,
    pub(crate) creator: i32,
    pub(crate) last_user: AtomicI32,
    pub(crate) attached: AtomicI64,
    pub(crate) detached: AtomicI64,
}

/// How shmat(2) maps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attachment {
    pub(crate) placement: Placement,
    pub(crate) protection: Protection,
}

/// Returns how many pages all segments have.
pub(crate) fn total_pages() -> usize {
    PAGES.load(Ordering::Relaxed)
}

/// shmget(2) for process `creator`.
pub(crate) fn get(key: i32, size: usize, flags: i32, identity: &Identity, creator: i32) -> Result<i32> {
    let check = |segment: &Segment| if segment.content.size < size { Err(Errno::EINVAL) } else { Ok(()) };
    let id =
        SEGMENTS.get(key, flags, identity, MAX_SEGMENTS.get(), check, || Segment::new(key, size, flags, creator))?;
    if let Ok(object) = SEGMENTS.find(id) {
        object.value.content.id.store(id, Ordering::Relaxed);
    }
    Ok(id)
}

/// shmat(2) for process `user`; returns the address. EINVAL, EACCES, ENOMEM.
pub(crate) fn attach(
    id: i32, attachment: Attachment, identity: &Identity, space: &AddressSpace, user: i32,
) -> Result<u64> {
    let object = SEGMENTS.find(id)?;
    let Attachment { placement, protection } = attachment;
    let is_writable = protection.contains(Protection::WRITE);
    let executes = if protection.contains(Protection::EXECUTE) { 0o111 } else { 0 };
    object.check(identity, Right(if is_writable { 0o666 } else { 0o444 } | executes))?;
    let content = &object.value.content;
    let open = object.value.open.upgrade().ok_or(Errno::EIDRM)?;
    let mapping = Mapping::File { cache: content.pages.clone(), offset: 0, owner: Some(open) };
    let maximum = if is_writable { Protection::all() } else { Protection::all() - Protection::WRITE };
    let length = content.size as u64;
    let address = space.map(MapRequest {
        placement,
        protection,
        maximum,
        mapping,
        is_shared: true,
        ..MapRequest::anonymous(length)
    })?;
    content.attached.store(seconds(), Ordering::Relaxed);
    content.last_user.store(user, Ordering::Relaxed);
    Ok(address)
}

/// shmdt(2) for process `user`: unmaps what is left of the attachment that began at `address`. EINVAL.
pub(crate) fn detach(address: u64, space: &AddressSpace, user: i32) -> Result {
    let mut found: Option<Arc<OpenFile>> = None;
    for area in space.areas()? {
        let Mapping::File { offset, owner: Some(owner), .. } = area.mapping else { continue };
        let Ok(open) = owner.downcast::<OpenFile>() else { continue };
        if area.start.wrapping_sub(offset) != address || open.downcast::<Mapped>().is_none() {
            continue;
        }
        if found.as_ref().is_none_or(|first| Arc::ptr_eq(first, &open)) {
            space.unmap(area.start, area.end - area.start)?;
            found = Some(open);
        }
    }
    let mapped = found.and_then(|open| open.downcast::<Mapped>()).ok_or(Errno::EINVAL)?;
    mapped.0.detached.store(seconds(), Ordering::Relaxed);
    mapped.0.last_user.store(user, Ordering::Relaxed);
    Ok(())
}

/// IPC_RMID: no key finds it any more, and it goes with its last attachment. EPERM.
pub(crate) fn remove(id: i32, identity: &Identity) -> Result {
    let object = SEGMENTS.find(id)?;
    object.check_control(identity)?;
    // As on Linux, once more is no error while it is attached.
    let _ = object.set_removed();
    object.value.content.id.store(id, Ordering::Relaxed);
    object.value.content.is_removed.store(true, Ordering::SeqCst);
    let kept = object.value.kept.lock().take();
    drop(kept);
    Ok(())
}

/// SHM_LOCK and SHM_UNLOCK: nothing is ever swapped out, so this is only noted. EPERM; for `lock_limit` see mlock(2).
pub(crate) fn set_locked(id: i32, is_locked: bool, identity: &Identity, lock_limit: u64) -> Result {
    let object = SEGMENTS.find(id)?;
    if !identity.can(Capabilities::IPC_LOCK) {
        let owner = object.owner();
        Errno::EPERM.when(![owner.uid, owner.creator_uid].contains(&identity.euid) || is_locked && lock_limit == 0)?;
    }
    object.value.content.is_locked.store(is_locked, Ordering::Relaxed);
    Ok(())
}

/// Returns the mode bits that are no permissions: SHM_DEST (goes with its last attachment) and SHM_LOCKED.
pub(crate) fn state_bits(object: &Object<Segment>) -> u32 {
    let is_locked = object.value.content.is_locked.load(Ordering::Relaxed);
    u32::from(object.is_removed()) << 9 | u32::from(is_locked) << 10
}

impl Segment {
    fn new(key: i32, size: usize, flags: i32, creator: i32) -> Result<Segment> {
        Errno::EINVAL.when(size == 0 || size > MAX_BYTES.get())?;
        // There is no pool of huge pages.
        Errno::ENOMEM.when(flags & HUGE_PAGES != 0)?;
        let pages = size.div_ceil(PAGE_SIZE);
        let add = |total: usize| total.checked_add(pages).filter(|total| *total <= MAX_PAGES.get());
        PAGES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| Errno::ENOSPC)?;
        let content = Arc::new(Content {
            key,
            id: AtomicI32::new(0),
            size,
            pages: PageCache::new((pages * PAGE_SIZE) as u64, None),
            is_locked: AtomicBool::new(false),
            is_removed: AtomicBool::new(false),
            creator,
            last_user: AtomicI32::new(0),
            attached: AtomicI64::new(0),
            detached: AtomicI64::new(0),
        });
        let open = OpenFile::new(Arc::new(Mapped(content.clone())), StatusFlags::READ_WRITE);
        let weak = Arc::downgrade(&open);
        Ok(Segment { content, open: weak, kept: SpinLock::new(Rank::IpcOwner, Some(open)) })
    }

    /// Returns what the mappings share.
    pub(crate) fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// Returns how many areas of address spaces show it.
    pub(crate) fn attachments(&self) -> usize {
        let kept = self.kept.lock();
        Weak::strong_count(&self.open) - usize::from(kept.is_some())
    }
}

impl Content {
    /// Returns how many pages are in memory.
    pub(crate) fn resident_pages(&self) -> usize {
        self.pages.resident()
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        PAGES.fetch_sub(self.size.div_ceil(PAGE_SIZE), Ordering::Relaxed);
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.0.is_removed.load(Ordering::SeqCst) {
            SEGMENTS.forget(self.0.id.load(Ordering::Relaxed));
        }
    }
}

impl File for Mapped {
    fn metadata(&self) -> Result<Metadata> {
        let inode = self.0.id.load(Ordering::Relaxed) as u64;
        Ok(Metadata { inode, kind: FileKind::Regular, size: self.0.size as u64, ..anonymous::metadata() })
    }

    fn name(&self) -> String {
        format!("/SYSV{:08x} (deleted)", self.0.key)
    }
}
