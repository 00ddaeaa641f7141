//! How large a file is, where it has space, and when it is on the medium.

use super::argument::Fd;
use super::context::Ctx;
use super::file::{beyond_file_limit, operable, readable};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use crate::process::Resource;
use linux_raw_sys::general::{FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE};

/// ftruncate(2).
pub(crate) fn ftruncate(ctx: &Ctx<'_>, fd: Fd, length: i64) -> Result {
    let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = operable(ctx, fd)?;
    // "EBADF or EINVAL: fd is not open for writing": Linux says EINVAL.
    Errno::EINVAL.when(!file.is_writable() || file.file().metadata()?.kind != FileKind::Regular)?;
    if size > ctx.process().limit(Resource::FileSize) {
        return Err(beyond_file_limit(ctx));
    }
    file.file().truncate(size)
}

/// fallocate(2).
pub(crate) fn fallocate(ctx: &Ctx<'_>, fd: Fd, mode: u32, offset: i64, length: i64) -> Result {
    const ALL: u32 = 0x7f;
    let file = operable(ctx, fd)?;
    Errno::EINVAL.when(offset < 0 || length <= 0)?;
    Errno::EOPNOTSUPP.when(mode & !ALL != 0 || mode & FALLOC_FL_PUNCH_HOLE != 0 && mode & FALLOC_FL_KEEP_SIZE == 0)?;
    Errno::EBADF.when(!file.is_writable())?;
    match file.file().metadata()?.kind {
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        FileKind::Regular | FileKind::BlockDevice => {}
        _ => return Err(Errno::ENODEV),
    }
    let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
    if mode & FALLOC_FL_KEEP_SIZE == 0 && end as u64 > ctx.process().limit(Resource::FileSize) {
        return Err(beyond_file_limit(ctx));
    }
    file.file().allocate(mode, offset as u64, length as u64)
}

/// fsync(2).
pub(crate) fn fsync(ctx: &Ctx<'_>, fd: Fd) -> Result {
    operable(ctx, fd)?.file().sync()
}

/// sync_file_range(2): writes the whole file out, which is more than was asked.
pub(crate) fn sync_file_range(ctx: &Ctx<'_>, fd: Fd, offset: i64, length: i64, flags: u32) -> Result {
    let file = operable(ctx, fd)?;
    Errno::EINVAL.when(flags & !7 != 0 || offset < 0 || length < 0 || offset.checked_add(length).is_none())?;
    match file.file().metadata()?.kind {
        FileKind::Regular | FileKind::BlockDevice | FileKind::Directory | FileKind::Symlink => {}
        _ => return Err(Errno::ESPIPE),
    }
    if flags != 0 {
        file.file().sync()?;
    }
    Ok(())
}

/// posix_fadvise(2): the advice is checked; nothing follows from it but speed.
pub(crate) fn fadvise64(ctx: &Ctx<'_>, fd: Fd, _offset: i64, length: i64, advice: i32) -> Result {
    let file = operable(ctx, fd)?;
    Errno::ESPIPE.when(file.file().metadata()?.kind == FileKind::Fifo)?;
    Errno::EINVAL.when(length < 0 || !(0..=5).contains(&advice))?;
    Ok(())
}

/// readahead(2): pages are read when they are used; the call only checks.
pub(crate) fn readahead(ctx: &Ctx<'_>, fd: Fd, _offset: i64, _count: usize) -> Result<usize> {
    let kind = readable(ctx, fd)?.file().metadata()?.kind;
    if matches!(kind, FileKind::Regular | FileKind::BlockDevice) { Ok(0) } else { Err(Errno::EINVAL) }
}
