//! Open files: read, write and their relatives, lseek, close, dup, pipe.

use super::argument::{Argument, Fd, Registers};
use super::context::Ctx;
use crate::errno::{Errno, Result};
use crate::file::pipe::new_pipe;
use crate::file::{File, FileKind, OpenFile, Reservation, StatusFlags};
use crate::net::{self, SocketKind};
use crate::process::{Resource, Signal, SignalInfo, UNLIMITED};
use crate::vm::{Destination, Source, UserPtr};
use alloc::{sync::Arc, vec::Vec};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The most bytes that one read or write moves (read(2), notes).
pub(super) const MAX_RW_LENGTH: usize = 0x7fff_f000;

/// The most areas of one readv or writev (readv(2), IOV_MAX).
pub(super) const MAX_AREAS: usize = 1024;

/// O_CLOEXEC of open(2).
pub(super) const CLOSE_ON_EXEC: u32 = 0o2000000;

/// "The iovec structure describes a buffer" (readv(2)).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct IoVec {
    pub(super) base: u64,
    pub(super) length: u64,
}

/// An array of `struct iovec`: the argument and its count.
#[derive(Clone, Copy)]
pub(crate) struct IoVecs<'c> {
    pub(super) first: UserPtr<'c, IoVec>,
    pub(super) count: i32,
}

impl<'c> Argument<'c> for IoVecs<'c> {
    fn take(registers: &mut Registers<'c, '_>) -> Self {
        IoVecs { first: UserPtr::take(registers), count: i32::take(registers) }
    }
}

impl IoVecs<'_> {
    /// Reads the areas: EINVAL for a bad count or length; all together are cut at the most that one call moves.
    pub(super) fn read(self) -> Result<Vec<(u64, usize)>> {
        let count = usize::try_from(self.count).ok().filter(|count| *count <= MAX_AREAS).ok_or(Errno::EINVAL)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let vectors = self.first.slice(count)?.read_all()?;
        Errno::EINVAL.when(vectors.iter().any(|area| i64::try_from(area.length).is_err()))?;
        let mut areas: Vec<_> = vectors.iter().map(|area| (area.base, area.length as usize)).collect();
        cut(&mut areas, MAX_RW_LENGTH);
        Errno::EFAULT.when(areas.iter().any(|(base, length)| !is_user_area(*base, *length)))?;
        Ok(areas)
    }
}

/// read(2).
pub(crate) fn read(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, length: usize) -> Result<usize> {
    let file = readable(ctx, fd)?;
    file.read(&mut buffer.destination(length.min(MAX_RW_LENGTH))?)
}

/// write(2).
pub(crate) fn write(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, length: usize) -> Result<usize> {
    let file = writable(ctx, fd)?;
    let length = allowed_length(ctx, &file, None, length.min(MAX_RW_LENGTH))?;
    with_broken_pipe_signal(ctx, &file, file.write(&mut buffer.source(length)?))
}

/// pread64(2).
pub(crate) fn pread64(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, length: usize, offset: i64) -> Result<usize> {
    let offset = checked_offset(offset)?;
    let file = ctx.file(fd)?;
    check_seekable(&file)?;
    file.read_at(&mut buffer.destination(length.min(MAX_RW_LENGTH))?, offset)
}

/// pwrite64(2).
pub(crate) fn pwrite64(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, length: usize, offset: i64) -> Result<usize> {
    let offset = checked_offset(offset)?;
    let file = ctx.file(fd)?;
    check_seekable(&file)?;
    let length = allowed_length(ctx, &file, Some(offset), length.min(MAX_RW_LENGTH))?;
    file.write_at(&mut buffer.source(length)?, offset)
}

/// readv(2).
pub(crate) fn readv(ctx: &Ctx<'_>, fd: Fd, areas: IoVecs<'_>) -> Result<usize> {
    let file = readable(ctx, fd)?;
    file.read(&mut Destination::user(ctx.space(), areas.read()?))
}

/// writev(2).
pub(crate) fn writev(ctx: &Ctx<'_>, fd: Fd, areas: IoVecs<'_>) -> Result<usize> {
    let file = writable(ctx, fd)?;
    let areas = allowed_areas(ctx, &file, None, areas.read()?)?;
    with_broken_pipe_signal(ctx, &file, file.write(&mut Source::user(ctx.space(), areas)))
}

/// preadv(2).
pub(crate) fn preadv(ctx: &Ctx<'_>, fd: Fd, areas: IoVecs<'_>, offset: i64) -> Result<usize> {
    let offset = checked_offset(offset)?;
    let file = ctx.file(fd)?;
    check_seekable(&file)?;
    file.read_at(&mut Destination::user(ctx.space(), areas.read()?), offset)
}

/// pwritev(2).
pub(crate) fn pwritev(ctx: &Ctx<'_>, fd: Fd, areas: IoVecs<'_>, offset: i64) -> Result<usize> {
    let offset = checked_offset(offset)?;
    let file = ctx.file(fd)?;
    check_seekable(&file)?;
    let areas = allowed_areas(ctx, &file, Some(offset), areas.read()?)?;
    file.write_at(&mut Source::user(ctx.space(), areas), offset)
}

/// RWF_HIPRI, RWF_DSYNC and RWF_SYNC of preadv2(2): hints, or satisfied where nothing is cached for later.
const RWF_HARMLESS: u32 = 0x1 | 0x2 | 0x4;

/// preadv2(2): offset -1 means the file position. RWF_NOWAIT and RWF_APPEND are answered by EOPNOTSUPP.
pub(crate) fn preadv2(ctx: &Ctx<'_>, fd: Fd, areas: IoVecs<'_>, offset: i64, _high: u64, flags: u32) -> Result<usize> {
    match offset {
        _ if flags & !RWF_HARMLESS != 0 => Err(Errno::EOPNOTSUPP),
        -1 => readv(ctx, fd, areas),
        _ => preadv(ctx, fd, areas, offset),
    }
}

/// pwritev2(2), as preadv2.
pub(crate) fn pwritev2(ctx: &Ctx<'_>, fd: Fd, areas: IoVecs<'_>, offset: i64, _high: u64, flags: u32) -> Result<usize> {
    match offset {
        _ if flags & !RWF_HARMLESS != 0 => Err(Errno::EOPNOTSUPP),
        -1 => writev(ctx, fd, areas),
        _ => pwritev(ctx, fd, areas, offset),
    }
}

/// lseek(2).
pub(crate) fn lseek(ctx: &Ctx<'_>, fd: Fd, offset: i64, whence: u32) -> Result<usize> {
    ctx.file(fd)?.seek(offset, whence).map(|position| position as usize)
}

/// close(2).
pub(crate) fn close(ctx: &Ctx<'_>, fd: Fd) -> Result {
    // "a failed close should be used only for diagnostic purposes": an interrupted one is EINTR, never restarted.
    match ctx.files().close(fd.0) {
        Err(Errno::RESTART | Errno::RESTART_NO_HANDLER | Errno::RESTART_BLOCK) => Err(Errno::EINTR),
        result => result,
    }
}

/// close_range(2).
pub(crate) fn close_range(ctx: &Ctx<'_>, first: u32, last: u32, flags: u32) -> Result {
    const UNSHARE: u32 = 1 << 1;
    const MARK_CLOSE_ON_EXEC: u32 = 1 << 2;
    Errno::EINVAL.when(flags & !(UNSHARE | MARK_CLOSE_ON_EXEC) != 0 || first > last)?;
    let files = if flags & UNSHARE == 0 { ctx.files().clone() } else { ctx.files().duplicate()? };
    match flags & MARK_CLOSE_ON_EXEC {
        0 => files.close_range(first, last),
        _ => files.mark_range_close_on_exec(first, last),
    }
    if flags & UNSHARE != 0 {
        ctx.thread().set_files(files);
        ctx.set_replaced();
    }
    Ok(())
}

/// dup(2).
pub(crate) fn dup(ctx: &Ctx<'_>, fd: Fd) -> Result<usize> {
    install(ctx, ctx.file(fd)?, false)
}

/// dup2(2).
pub(crate) fn dup2(ctx: &Ctx<'_>, old: Fd, new: Fd) -> Result<usize> {
    let file = ctx.file(old)?;
    if old != new {
        ctx.files().replace(new.0, file, descriptor_limit(ctx), false)?;
    }
    Ok(new.0 as usize)
}

/// dup3(2).
pub(crate) fn dup3(ctx: &Ctx<'_>, old: Fd, new: Fd, flags: u32) -> Result<usize> {
    Errno::EINVAL.when(flags & !CLOSE_ON_EXEC != 0 || old == new)?;
    ctx.files().replace(new.0, ctx.file(old)?, descriptor_limit(ctx), flags & CLOSE_ON_EXEC != 0)?;
    Ok(new.0 as usize)
}

/// pipe(2).
pub(crate) fn pipe(ctx: &Ctx<'_>, descriptors: UserPtr<'_, [i32; 2]>) -> Result {
    pipe2(ctx, descriptors, 0)
}

/// pipe2(2).
pub(crate) fn pipe2(ctx: &Ctx<'_>, descriptors: UserPtr<'_, [i32; 2]>, flags: u32) -> Result {
    let status = StatusFlags::from_bits_truncate(flags & !CLOSE_ON_EXEC);
    Errno::EINVAL
        .when(flags & !(CLOSE_ON_EXEC | StatusFlags::NON_BLOCKING.bits() | StatusFlags::DIRECT.bits()) != 0)?;

    let identity = ctx.thread().identity();
    let (read_end, write_end) = new_pipe(identity.as_pipe_owner());
    let read_end: Arc<dyn File> = read_end;
    let close_on_exec = flags & CLOSE_ON_EXEC != 0;
    let (read_fd, write_fd) = reserve_pair(ctx, descriptors)?;
    read_fd.fill(OpenFile::new(read_end, status), close_on_exec);
    write_fd.fill(OpenFile::new(write_end, status | StatusFlags::WRITE_ONLY), close_on_exec);
    Ok(())
}

/// Puts `file` at the lowest free descriptor. EMFILE.
pub(super) fn install(ctx: &Ctx<'_>, file: Arc<OpenFile>, close_on_exec: bool) -> Result<usize> {
    ctx.files().insert(file, 0, descriptor_limit(ctx), close_on_exec).map(|fd| fd as usize)
}

/// Reserves the lowest free descriptor, for a call that must not do its work in vain. EMFILE.
pub(super) fn reserve<'a>(ctx: &'a Ctx<'_>) -> Result<Reservation<'a>> {
    ctx.files().reserve(descriptor_limit(ctx))
}

/// Reserves two descriptors and tells them. EMFILE, EFAULT.
pub(super) fn reserve_pair<'a>(
    ctx: &'a Ctx<'_>, descriptors: UserPtr<'_, [i32; 2]>,
) -> Result<(Reservation<'a>, Reservation<'a>)> {
    let (one, other) = (reserve(ctx)?, reserve(ctx)?);
    descriptors.write(&[one.fd(), other.fd()])?;
    Ok((one, other))
}

/// Returns RLIMIT_NOFILE.
pub(super) fn descriptor_limit(ctx: &Ctx<'_>) -> u64 {
    ctx.process().limit(Resource::OpenFiles)
}

/// Returns the open file of `fd` if it is open for reading. EBADF.
pub(super) fn readable(ctx: &Ctx<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    let file = ctx.file(fd)?;
    if file.is_readable() { Ok(file) } else { Err(Errno::EBADF) }
}

/// Returns the open file of `fd` if it is open for writing. EBADF.
pub(super) fn writable(ctx: &Ctx<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    let file = ctx.file(fd)?;
    if file.is_writable() { Ok(file) } else { Err(Errno::EBADF) }
}

/// Returns the open file of `fd` unless it names a place only (open(2), O_PATH). EBADF.
pub(super) fn operable(ctx: &Ctx<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    let file = ctx.file(fd)?;
    if file.flags().contains(StatusFlags::PATH) { Err(Errno::EBADF) } else { Ok(file) }
}

/// Raises SIGPIPE where a write to a pipe or a stream found no reader (write(2), EPIPE).
pub(super) fn with_broken_pipe_signal(ctx: &Ctx<'_>, file: &OpenFile, result: Result<usize>) -> Result<usize> {
    let is_stream = || net::socket_of(file).is_ok_and(|socket| socket.socket().kind() == SocketKind::Stream);
    if result == Err(Errno::EPIPE) && (net::socket_of(file).is_err() || is_stream()) {
        ctx.thread().send_signal(SignalInfo::kernel(Signal::PIPE));
    }
    result
}

/// Returns how much of a write of `length` bytes RLIMIT_FSIZE allows, at `offset` or the file position. EFBIG with
/// SIGXFSZ if nothing (write(2)).
#[inline]
pub(super) fn allowed_length(ctx: &Ctx<'_>, file: &OpenFile, offset: Option<u64>, length: usize) -> Result<usize> {
    let limit = ctx.process().limit(Resource::FileSize);
    if limit == UNLIMITED { Ok(length) } else { length_below(limit, ctx, file, offset, length) }
}

#[cold]
fn length_below(limit: u64, ctx: &Ctx<'_>, file: &OpenFile, offset: Option<u64>, length: usize) -> Result<usize> {
    if length == 0 || file.file().metadata()?.kind != FileKind::Regular || !file.file().is_seekable() {
        return Ok(length);
    }
    let start = match offset {
        _ if file.flags().contains(StatusFlags::APPEND) => file.file().size(),
        Some(offset) => offset,
        None => file.position(),
    };
    if start >= limit {
        return Err(beyond_file_limit(ctx));
    }
    Ok(length.min(usize::try_from(limit - start).unwrap_or(usize::MAX)))
}

/// Raises SIGXFSZ; returns EFBIG.
pub(super) fn beyond_file_limit(ctx: &Ctx<'_>) -> Errno {
    ctx.thread().send_signal(SignalInfo::kernel(Signal::XFSZ));
    Errno::EFBIG
}

/// `allowed_length` for a list of areas.
fn allowed_areas(
    ctx: &Ctx<'_>, file: &OpenFile, offset: Option<u64>, mut areas: Vec<(u64, usize)>,
) -> Result<Vec<(u64, usize)>> {
    let length = areas.iter().map(|(_, length)| length).sum();
    cut(&mut areas, allowed_length(ctx, file, offset, length)?);
    Ok(areas)
}

/// Returns whether the area can lie in user space (Linux's access_ok).
fn is_user_area(base: u64, length: usize) -> bool {
    base.checked_add(length as u64).is_some_and(|end| end <= crate::machine::memory::USER_END)
}

/// Cuts `areas` at `limit` bytes together.
fn cut(areas: &mut [(u64, usize)], limit: usize) {
    let mut left = limit;
    for (_, length) in areas.iter_mut() {
        *length = left.min(*length);
        left -= *length;
    }
}

/// EINVAL for a negative offset.
fn checked_offset(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// ESPIPE comes before the access mode is looked at (pread64 on Linux); EBADF for O_PATH before that.
fn check_seekable(file: &OpenFile) -> Result {
    Errno::EBADF.when(file.flags().contains(StatusFlags::PATH))?;
    if file.file().is_seekable() { Ok(()) } else { Err(Errno::ESPIPE) }
}
