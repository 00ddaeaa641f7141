//! mmap, brk and relatives: flags and limits are checked here, in Linux's order; the address space does the rest.

use super::argument::{Fd, UserStr};
use super::context::Ctx;
use super::file::{install, operable};
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::fs::{Capabilities, MountFlags, memory_file, path_of};
use crate::machine::memory::{PAGE_SIZE, USER_END};
use crate::process::Resource;
use crate::vm::{Label, LargePages, MapRequest, Mapping, PageCache, Placement, Protection, Remap, UserPtr, round_up};
use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;
use linux_raw_sys::general as linux;

const PAGE: u64 = PAGE_SIZE as u64;

/// MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE lie here.
const MAP_TYPE: u32 = 0xf;

/// All flags that Linux 6.1 lets pass with MAP_SHARED_VALIDATE (LEGACY_MAP_MASK and MAP_SYNC aside).
const MAP_VALIDATED: u32 = linux::MAP_SHARED
    | linux::MAP_PRIVATE
    | linux::MAP_FIXED
    | linux::MAP_ANONYMOUS
    | linux::MAP_DENYWRITE
    | linux::MAP_EXECUTABLE
    | linux::MAP_UNINITIALIZED
    | linux::MAP_GROWSDOWN
    | linux::MAP_LOCKED
    | linux::MAP_NORESERVE
    | linux::MAP_POPULATE
    | linux::MAP_NONBLOCK
    | linux::MAP_STACK
    | linux::MAP_HUGETLB
    | linux::MAP_32BIT;

/// mmap(2).
pub(crate) fn mmap(
    ctx: &Ctx<'_>, address: u64, length: u64, protection: u32, flags: u32, fd: Fd, offset: u64,
) -> Result<usize> {
    Errno::EINVAL.when(!offset.is_multiple_of(PAGE))?;
    let has = |flag: u32| flags & flag != 0;
    let file = if has(linux::MAP_ANONYMOUS) { None } else { Some(operable(ctx, fd)?) };
    if has(linux::MAP_HUGETLB) {
        // There is no pool of huge pages; on files they are refused as elsewhere.
        return Err(if file.is_some() { Errno::EINVAL } else { Errno::ENOMEM });
    }
    Errno::EINVAL.when(length == 0)?;
    let rounded = round_up(length);
    Errno::ENOMEM.when(rounded == 0 || rounded > USER_END)?;
    Errno::EOVERFLOW.when(offset.checked_add(rounded).is_none_or(|end| file.is_some() && end > i64::MAX as u64))?;

    let protection = Protection::from_bits_truncate(protection);
    let is_shared = match flags & MAP_TYPE {
        linux::MAP_PRIVATE => false,
        linux::MAP_SHARED => true,
        linux::MAP_SHARED_VALIDATE if file.is_some() => {
            Errno::EOPNOTSUPP.when(flags & !MAP_VALIDATED != 0)?;
            true
        }
        _ => return Err(Errno::EINVAL),
    };
    let grows_down = has(linux::MAP_GROWSDOWN);
    Errno::EINVAL.when(grows_down && (is_shared || file.is_some()))?;
    let maximum = match &file {
        Some(file) => file_maximum(file, protection, is_shared)?,
        None => Protection::all(),
    };
    let mapping = match file {
        Some(file) => Mapping::File { cache: file.file().page_cache()?, offset, owner: Some(file) },
        None if is_shared => Mapping::File { cache: PageCache::anonymous(rounded)?, offset: 0, owner: None },
        None => Mapping::Anonymous,
    };
    check_growth(ctx, rounded, !is_shared && protection.contains(Protection::WRITE) && !grows_down)?;
    Errno::EPERM.when(has(linux::MAP_LOCKED) && !may_lock(ctx))?;

    let placement = if has(linux::MAP_FIXED_NOREPLACE) {
        Placement::FixedNoReplace(address)
    } else if has(linux::MAP_FIXED) {
        Placement::Fixed(address)
    } else if has(linux::MAP_32BIT) {
        Placement::Low(address)
    } else {
        Placement::Anywhere(address)
    };
    let start = ctx.space().map(MapRequest {
        placement,
        length,
        protection,
        maximum,
        mapping,
        is_shared,
        grows_down,
        populate: has(linux::MAP_POPULATE) && !has(linux::MAP_NONBLOCK),
        may_overcommit: has(linux::MAP_NORESERVE),
        // Most of a thread's stack is never used (as Linux from 6.7 on).
        large_pages: if has(linux::MAP_STACK) { LargePages::Refused } else { LargePages::Unadvised },
        label: Label::None,
    })?;
    if has(linux::MAP_LOCKED) {
        // "MAP_LOCKED … does not fail with ENOMEM" where pages could not be brought in (mmap(2)).
        let _ = ctx.space().set_locked(start, length, true, true);
    }
    Ok(start as usize)
}

/// Returns what a mapping of the file may be raised to: EACCES, EPERM (mmap(2)).
fn file_maximum(file: &OpenFile, protection: Protection, is_shared: bool) -> Result<Protection> {
    Errno::EACCES
        .when(is_shared && protection.contains(Protection::WRITE) && !file.is_writable() || !file.is_readable())?;
    let mut maximum = Protection::all();
    if is_shared && !file.is_writable() {
        maximum -= Protection::WRITE;
    }
    if path_of(file).is_some_and(|path| path.mount().flags().contains(MountFlags::NO_EXECUTE)) {
        Errno::EPERM.when(protection.contains(Protection::EXECUTE))?;
        maximum -= Protection::EXECUTE;
    }
    Ok(maximum)
}

/// munmap(2).
pub(crate) fn munmap(ctx: &Ctx<'_>, address: u64, length: u64) -> Result {
    ctx.space().unmap(address, length)
}

/// mprotect(2).
pub(crate) fn mprotect(ctx: &Ctx<'_>, address: u64, length: u64, protection: u32) -> Result {
    let direction = protection & (linux::PROT_GROWSDOWN | linux::PROT_GROWSUP);
    let kinds = protection & !direction;
    Errno::EINVAL.when(direction == linux::PROT_GROWSDOWN | linux::PROT_GROWSUP || !address.is_multiple_of(PAGE))?;
    if length == 0 {
        return Ok(());
    }
    Errno::ENOMEM.when(checked_end(address, length).is_none_or(|end| end <= address))?;
    Errno::EINVAL.when(kinds & !(linux::PROT_READ | linux::PROT_WRITE | linux::PROT_EXEC | linux::PROT_SEM) != 0)?;
    let protection = Protection::from_bits_truncate(kinds);
    if direction == 0 {
        return ctx.space().protect(address, length, protection);
    }
    // "Apply the protection mode … to the start of a mapping that grows downward"; nothing grows upward here.
    let start = if direction == linux::PROT_GROWSDOWN { ctx.space().growing_area_start(address) } else { None };
    let start = start.ok_or(Errno::EINVAL)?;
    ctx.space().protect(start, address - start + length, protection)
}

/// mremap(2).
pub(crate) fn mremap(ctx: &Ctx<'_>, old: u64, old_length: u64, new_length: u64, flags: u32, new: u64) -> Result<usize> {
    let has = |flag: u32| flags & flag != 0;
    let known = linux::MREMAP_FIXED | linux::MREMAP_MAYMOVE | linux::MREMAP_DONTUNMAP;
    let must_move = has(linux::MREMAP_FIXED) || has(linux::MREMAP_DONTUNMAP);
    Errno::EINVAL.when(
        flags & !known != 0
            || must_move && !has(linux::MREMAP_MAYMOVE)
            || has(linux::MREMAP_DONTUNMAP) && new_length != old_length
            || !old.is_multiple_of(PAGE),
    )?;
    let kept = if has(linux::MREMAP_DONTUNMAP) { round_up(old_length) } else { 0 };
    let growth = kept + round_up(new_length).saturating_sub(round_up(old_length));
    if growth > 0 && new_length != 0 {
        check_growth(ctx, growth, true)?;
    }
    let how = Remap {
        may_move: has(linux::MREMAP_MAYMOVE),
        fixed: has(linux::MREMAP_FIXED).then_some(new),
        keeps_old: has(linux::MREMAP_DONTUNMAP),
    };
    ctx.space().remap(old, old_length, new_length, how).map(|address| address as usize)
}

/// pkey_mprotect(2), without keys: only the one that is none may be named.
pub(crate) fn pkey_mprotect(ctx: &Ctx<'_>, address: u64, length: u64, protection: u32, key: i32) -> Result {
    if key == -1 { mprotect(ctx, address, length, protection) } else { Err(Errno::EINVAL) }
}

/// pkey_alloc(2): the CPU's protection keys are not used, so there is none.
pub(crate) fn pkey_alloc(_: &Ctx<'_>, flags: u64, rights: u64) -> Result<usize> {
    let is_valid = flags == 0 && rights & !u64::from(linux::PKEY_ACCESS_MASK) == 0;
    Err(if is_valid { Errno::ENOSPC } else { Errno::EINVAL })
}

/// pkey_free(2)
pub(crate) fn pkey_free(_: &Ctx<'_>, _key: i32) -> Result {
    Err(Errno::EINVAL)
}

/// brk(2): returns the heap's end, moved or not.
pub(crate) fn brk(ctx: &Ctx<'_>, address: u64) -> Result<usize> {
    let space = ctx.space();
    let end = space.heap().end;
    if address > end && check_growth(ctx, round_up(address) - round_up(end), false).is_err() {
        return Ok(end as usize);
    }
    Ok(space.set_break(address, ctx.process().limit(Resource::Data)) as usize)
}

/// madvise(2). Advice that only hints at the future is checked and needs nothing done.
pub(crate) fn madvise(ctx: &Ctx<'_>, address: u64, length: u64, advice: u32) -> Result {
    let is_known = matches!(
        advice,
        linux::MADV_NORMAL
            | linux::MADV_RANDOM
            | linux::MADV_SEQUENTIAL
            | linux::MADV_WILLNEED
            | linux::MADV_DONTNEED
            | linux::MADV_FREE
            | linux::MADV_REMOVE
            | linux::MADV_DONTFORK
            | linux::MADV_DOFORK
            | linux::MADV_HUGEPAGE
            | linux::MADV_NOHUGEPAGE
            | linux::MADV_DONTDUMP
            | linux::MADV_DODUMP
            | linux::MADV_WIPEONFORK
            | linux::MADV_KEEPONFORK
            | linux::MADV_COLD
            | linux::MADV_PAGEOUT
            | linux::MADV_POPULATE_READ
            | linux::MADV_POPULATE_WRITE
            | linux::MADV_DONTNEED_LOCKED
    );
    Errno::EINVAL.when(!is_known || !address.is_multiple_of(PAGE))?;
    let end = checked_end(address, length).ok_or(Errno::EINVAL)?;
    if end == address {
        return Ok(());
    }

    let space = ctx.space();
    match advice {
        linux::MADV_DONTNEED | linux::MADV_DONTNEED_LOCKED => {
            space.discard(address, length, advice == linux::MADV_DONTNEED_LOCKED)?;
        }
        linux::MADV_FREE => space.discard_private(address, length)?,
        linux::MADV_REMOVE => remove_from_file(ctx, address..end)?,
        linux::MADV_DONTFORK | linux::MADV_DOFORK => {
            space.leave_out_of_fork(address, length, advice == linux::MADV_DONTFORK)?;
        }
        linux::MADV_WIPEONFORK | linux::MADV_KEEPONFORK => {
            space.wipe_on_fork(address, length, advice == linux::MADV_WIPEONFORK)?;
        }
        linux::MADV_HUGEPAGE => space.advise_large_pages(address, length, LargePages::Wanted)?,
        linux::MADV_NOHUGEPAGE => space.advise_large_pages(address, length, LargePages::Refused)?,
        linux::MADV_POPULATE_READ | linux::MADV_POPULATE_WRITE => {
            Errno::ENOMEM.when(!space.is_mapped(address, length))?;
            Errno::EFAULT.when(!space.populate(address..end))?;
        }
        _ if space.is_mapped(address, length) => {}
        _ => return Err(Errno::ENOMEM),
    }
    Ok(())
}

/// MADV_REMOVE: punches a hole into the file behind a shared writable mapping.
fn remove_from_file(ctx: &Ctx<'_>, range: Range<u64>) -> Result {
    let mut holes = Vec::new();
    let is_removable = ctx.space().visit_areas(range, |mapping, protection, is_shared, part| {
        if let Mapping::File { cache, .. } = mapping
            && is_shared
            && protection.contains(Protection::WRITE)
        {
            holes.push((cache.clone(), part));
            true
        } else {
            false
        }
    })?;
    Errno::EINVAL.when(!is_removable)?;
    holes.into_iter().try_for_each(|(cache, part)| cache.punch(part.start, part.end - part.start))
}

/// msync(2).
pub(crate) fn msync(ctx: &Ctx<'_>, address: u64, length: u64, flags: u32) -> Result<usize> {
    let has = |flag: u32| flags & flag != 0;
    let is_valid = flags & !(linux::MS_ASYNC | linux::MS_INVALIDATE | linux::MS_SYNC) == 0
        && !(has(linux::MS_ASYNC) && has(linux::MS_SYNC))
        && address.is_multiple_of(PAGE);
    Errno::EINVAL.when(!is_valid)?;
    let end = checked_end(address, length).ok_or(Errno::ENOMEM)?;
    if end == address {
        return Ok(0);
    }
    Errno::EBUSY.when(has(linux::MS_INVALIDATE) && ctx.space().is_locked(address..end))?;
    let mut caches: Vec<Arc<PageCache>> = Vec::new();
    let visited = ctx.space().visit_areas(address..end, |mapping, _, is_shared, _| {
        if let Mapping::File { cache, .. } = mapping
            && is_shared
            && has(linux::MS_SYNC)
        {
            caches.push(cache.clone());
        }
        true
    });
    caches.into_iter().try_for_each(|cache| cache.sync())?;
    visited.map(|_| 0)
}

/// mincore(2).
pub(crate) fn mincore(ctx: &Ctx<'_>, address: u64, length: u64, vector: UserPtr<'_, u8>) -> Result {
    const CHUNK: u64 = 512;
    Errno::EINVAL.when(!address.is_multiple_of(PAGE))?;
    let end = checked_end(address, length).filter(|end| *end <= USER_END).ok_or(Errno::ENOMEM)?;
    let pages = (end - address) / PAGE;
    let mut to = vector.destination(pages as usize)?;
    let mut flags = [0; CHUNK as usize];
    let mut start = address;
    while start < end {
        let chunk = start..end.min(start + CHUNK * PAGE);
        let flags = &mut flags[..((chunk.end - chunk.start) / PAGE) as usize];
        ctx.space().residency(chunk.clone(), flags)?;
        Errno::EFAULT.when(to.put(flags)? < flags.len())?;
        start = chunk.end;
    }
    Ok(())
}

/// mlock(2).
pub(crate) fn mlock(ctx: &Ctx<'_>, address: u64, length: u64) -> Result {
    lock(ctx, address, length, true)
}

/// mlock2(2).
pub(crate) fn mlock2(ctx: &Ctx<'_>, address: u64, length: u64, flags: u32) -> Result {
    Errno::EINVAL.when(flags & !linux::MLOCK_ONFAULT != 0)?;
    lock(ctx, address, length, flags == 0)
}

fn lock(ctx: &Ctx<'_>, address: u64, length: u64, brings_in: bool) -> Result {
    Errno::EPERM.when(!may_lock(ctx))?;
    let (start, length) = whole_pages(address, length)?;
    if length == 0 {
        return Ok(());
    }
    let locked = ctx.space().statistics().locked.saturating_add(length);
    Errno::ENOMEM.when(locked > ctx.process().limit(Resource::LockedMemory) && !can_lock_any(ctx))?;
    ctx.space().set_locked(start, length, true, brings_in)
}

/// munlock(2).
pub(crate) fn munlock(ctx: &Ctx<'_>, address: u64, length: u64) -> Result {
    let (start, length) = whole_pages(address, length)?;
    ctx.space().set_locked(start, length, false, false)
}

/// mlockall(2).
pub(crate) fn mlockall(ctx: &Ctx<'_>, flags: u32) -> Result {
    let has = |flag: u32| flags & flag != 0;
    let all = linux::MCL_CURRENT | linux::MCL_FUTURE | linux::MCL_ONFAULT;
    Errno::EINVAL.when(flags == 0 || flags & !all != 0 || flags == linux::MCL_ONFAULT)?;
    Errno::EPERM.when(!may_lock(ctx))?;
    let is_too_much = ctx.space().total() > ctx.process().limit(Resource::LockedMemory);
    Errno::ENOMEM.when(has(linux::MCL_CURRENT) && is_too_much && !can_lock_any(ctx))?;
    ctx.space().set_all_locked(has(linux::MCL_CURRENT), has(linux::MCL_FUTURE), !has(linux::MCL_ONFAULT));
    Ok(())
}

/// munlockall(2).
pub(crate) fn munlockall(ctx: &Ctx<'_>) -> Result {
    ctx.space().set_all_locked(false, false, false);
    Ok(())
}

/// memfd_create(2). Huge pages are not offered: EINVAL, as on kernels built without.
pub(crate) fn memfd_create(ctx: &Ctx<'_>, name: UserStr<'_>, flags: u32) -> Result<usize> {
    /// NAME_MAX less `memfd:`, with the NUL.
    const NAME_LIMIT: usize = 250;
    Errno::EINVAL.when(flags & !(linux::MFD_CLOEXEC | linux::MFD_ALLOW_SEALING) != 0)?;
    let name = name.read_string(NAME_LIMIT).map_err(|error| match error {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        other => other,
    })?;
    let file = memory_file(&name, flags & linux::MFD_ALLOW_SEALING != 0, &ctx.thread().identity())?;
    install(ctx, file, flags & linux::MFD_CLOEXEC != 0)
}

/// Checks RLIMIT_AS and, if `is_data`, RLIMIT_DATA for `length` more bytes: ENOMEM.
fn check_growth(ctx: &Ctx<'_>, length: u64, is_data: bool) -> Result {
    let fits = |used: u64, limit: u64| used.saturating_add(length) <= limit;
    let (all, data) = (ctx.process().limit(Resource::AddressSpace), ctx.process().limit(Resource::Data));
    // Most programs have no limits, and statistics cost a walk.
    Errno::ENOMEM.when(all != u64::MAX && !fits(ctx.space().total(), all))?;
    Errno::ENOMEM.when(is_data && data != u64::MAX && !fits(ctx.space().statistics().data, data))?;
    Ok(())
}

fn may_lock(ctx: &Ctx<'_>) -> bool {
    ctx.process().limit(Resource::LockedMemory) != 0 || can_lock_any(ctx)
}

fn can_lock_any(ctx: &Ctx<'_>) -> bool {
    ctx.thread().identity().can(Capabilities::IPC_LOCK)
}

/// Returns the end of `length` bytes at `address`, rounded up to pages, if it does not wrap.
fn checked_end(address: u64, length: u64) -> Option<u64> {
    let rounded = round_up(length);
    if rounded < length { None } else { address.checked_add(rounded) }
}

/// Returns the pages that the bytes touch: EINVAL where they wrap (mlock(2)).
fn whole_pages(address: u64, length: u64) -> Result<(u64, u64)> {
    let start = address & !(PAGE - 1);
    let end = checked_end(start, length.checked_add(address - start).ok_or(Errno::EINVAL)?).ok_or(Errno::EINVAL)?;
    if end > USER_END { Err(Errno::ENOMEM) } else { Ok((start, end - start)) }
}
