//! fcntl, ioctl and flock.

use super::argument::Fd;
use super::context::Ctx;
use super::file::{descriptor_limit, operable};
use super::signal_io;
use crate::errno::{Errno, Result};
use crate::file::locks::{self, LockOwner};
use crate::file::pipe::PipeEnd;
use crate::file::{File, FileKind, OpenFile, StatusFlags};
use crate::fs::{Capabilities, RegularFile};
use crate::machine::memory::PAGE_SIZE;
use crate::util::lock_ranges::{LockKind, RangeLock};
use crate::vm::{Seals, UserPtr};
use alloc::sync::Arc;
use linux_raw_sys::general::{
    F_ADD_SEALS, F_DUPFD, F_DUPFD_CLOEXEC, F_GET_SEALS, F_GETFD, F_GETFL, F_GETLK, F_GETOWN, F_GETOWN_EX, F_GETPIPE_SZ,
    F_GETSIG, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_SETFD, F_SETFL, F_SETLK, F_SETLKW, F_SETOWN, F_SETOWN_EX,
    F_SETPIPE_SZ, F_SETSIG,
};
use linux_raw_sys::ioctl::{FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// fcntl(2). What an O_PATH descriptor does not allow is EBADF.
pub(crate) fn fcntl(ctx: &Ctx<'_>, fd: Fd, command: u32, argument: u64) -> Result<usize> {
    let file = ctx.file(fd)?;
    match command {
        F_DUPFD => duplicate(ctx, fd, argument, false),
        F_DUPFD_CLOEXEC => duplicate(ctx, fd, argument, true),
        F_GETFD => ctx.files().is_close_on_exec(fd.0).map(usize::from),
        F_SETFD => ctx.files().set_close_on_exec(fd.0, argument & 1 != 0).map(|()| 0),
        F_GETFL => Ok(file.flags().bits() as usize),
        _ if file.flags().contains(StatusFlags::PATH) => Err(Errno::EBADF),
        F_SETFL => Ok(set_flags(fd, &file, StatusFlags::from_bits_retain(argument as u32))),
        F_GETLK => get_lock(&file, LockOwner::process(ctx.files(), ctx.process().id()), ctx, argument).map(|()| 0),
        F_SETLK | F_SETLKW => {
            let owner = LockOwner::process(ctx.files(), ctx.process().id());
            set_lock(ctx, fd, &file, owner, argument, command == F_SETLKW).map(|()| 0)
        }
        F_OFD_GETLK => get_lock(&file, LockOwner::open_file(&file), ctx, argument).map(|()| 0),
        F_OFD_SETLK | F_OFD_SETLKW => {
            set_lock(ctx, fd, &file, LockOwner::open_file(&file), argument, command == F_OFD_SETLKW).map(|()| 0)
        }
        F_GETPIPE_SZ => file.downcast::<PipeEnd>().map(|pipe| pipe.capacity()).ok_or(Errno::EBADF),
        F_SETPIPE_SZ => set_pipe_size(ctx, &file, argument),
        F_GET_SEALS => Ok(file.downcast::<RegularFile>().ok_or(Errno::EINVAL)?.page_cache()?.seals().bits() as usize),
        F_ADD_SEALS => add_seals(&file, argument).map(|()| 0),
        F_SETOWN | F_GETOWN | F_SETSIG | F_GETSIG | F_SETOWN_EX | F_GETOWN_EX => {
            signal_io::control(ctx, &file, command, argument)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn duplicate(ctx: &Ctx<'_>, fd: Fd, from: u64, close_on_exec: bool) -> Result<usize> {
    let limit = descriptor_limit(ctx);
    Errno::EINVAL.when(from >= limit || from > i32::MAX as u64)?;
    ctx.files().insert(ctx.file(fd)?, from as i32, limit, close_on_exec).map(|fd| fd as usize)
}

fn set_flags(fd: Fd, file: &Arc<OpenFile>, flags: StatusFlags) -> usize {
    file.set_flags(flags);
    file.follow_async_flag(fd.0);
    0
}

/// /proc/sys/fs/pipe-max-size: beyond it CAP_SYS_RESOURCE is needed.
const PIPE_MAX_SIZE: usize = 1 << 20;

fn set_pipe_size(ctx: &Ctx<'_>, file: &OpenFile, argument: u64) -> Result<usize> {
    let pipe = file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
    let wanted = u32::try_from(argument).ok().filter(|size| *size <= 1 << 31).ok_or(Errno::EINVAL)?;
    let size = (wanted as usize).max(PAGE_SIZE).next_power_of_two();
    let identity = ctx.identity();
    Errno::EPERM.when(size > PIPE_MAX_SIZE && size > pipe.capacity() && !identity.can(Capabilities::SYS_RESOURCE))?;
    pipe.set_capacity(size, identity.as_pipe_owner().limit_pages)?;
    Ok(size)
}

fn add_seals(file: &OpenFile, argument: u64) -> Result {
    Errno::EPERM.when(!file.is_writable())?;
    let seals = Seals::from_bits(argument as u32).ok_or(Errno::EINVAL)?;
    file.downcast::<RegularFile>().ok_or(Errno::EINVAL)?.add_seals(seals)
}

/// `struct flock` (fcntl(2)).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    _padding: u32,
    start: i64,
    length: i64,
    process_id: i32,
    _padding_end: u32,
}

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

impl Flock {
    /// Returns the first and the last byte. EINVAL before the file's start, EOVERFLOW beyond what an off_t holds.
    fn range(&self, file: &OpenFile) -> Result<(u64, u64)> {
        let base = match self.whence {
            0 => 0,
            1 => file.position() as i64,
            2 => file.file().size() as i64,
            _ => return Err(Errno::EINVAL),
        };
        let start = base.checked_add(self.start).ok_or(Errno::EOVERFLOW)?;
        let (first, last) = match self.length {
            0 => (start, i64::MAX),
            length if length > 0 => (start, start.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?),
            length => (start.checked_add(length).ok_or(Errno::EINVAL)?, start - 1),
        };
        Errno::EINVAL.when(first < 0)?;
        Ok((first as u64, last as u64))
    }

    /// Returns the kind of lock; `None` to unlock. EINVAL.
    fn kind(&self) -> Result<Option<LockKind>> {
        match self.kind {
            F_RDLCK => Ok(Some(LockKind::Shared)),
            F_WRLCK => Ok(Some(LockKind::Exclusive)),
            F_UNLCK => Ok(None),
            _ => Err(Errno::EINVAL),
        }
    }

    /// "l_pid … must be zero" for open file description locks.
    fn check_owner(&self, owner: LockOwner) -> Result {
        if owner.process_id() < 0 && self.process_id != 0 { Err(Errno::EINVAL) } else { Ok(()) }
    }
}

fn get_lock(file: &OpenFile, owner: LockOwner, ctx: &Ctx<'_>, argument: u64) -> Result {
    let pointer = UserPtr::<Flock>::new(ctx.space(), argument);
    let mut flock = pointer.read()?;
    let kind = flock.kind()?.ok_or(Errno::EINVAL)?;
    flock.check_owner(owner)?;
    let (first, last) = flock.range(file)?;
    match locks::find_conflict(file, &RangeLock { owner, kind, first, last })? {
        None => flock.kind = F_UNLCK,
        Some(held) => {
            flock.kind = if held.kind == LockKind::Shared { F_RDLCK } else { F_WRLCK };
            flock.whence = 0;
            flock.start = held.first as i64;
            flock.length = if held.last == i64::MAX as u64 { 0 } else { (held.last - held.first + 1) as i64 };
            flock.process_id = held.owner.process_id();
        }
    }
    pointer.write(&flock)
}

fn set_lock(ctx: &Ctx<'_>, fd: Fd, file: &Arc<OpenFile>, owner: LockOwner, argument: u64, wait: bool) -> Result {
    let flock = UserPtr::<Flock>::new(ctx.space(), argument).read()?;
    let (first, last) = flock.range(file)?;
    flock.check_owner(owner)?;
    let Some(kind) = flock.kind()? else {
        return locks::unset_record(file, owner, first, last);
    };
    let is_allowed = if kind == LockKind::Shared { file.is_readable() } else { file.is_writable() };
    Errno::EBADF.when(!is_allowed)?;
    locks::set_record(ctx.files(), file, RangeLock { owner, kind, first, last }, wait)?;
    // Another thread's close(2) may have come first: it found no lock to release, and no close will come after it.
    if owner.process_id() >= 0 && !ctx.file(fd).is_ok_and(|present| Arc::ptr_eq(&present, file)) {
        locks::release_process(ctx.files(), file);
        return Err(Errno::EBADF);
    }
    Ok(())
}

/// flock(2).
pub(crate) fn flock(ctx: &Ctx<'_>, fd: Fd, operation: u32) -> Result {
    const NON_BLOCKING: u32 = 4;
    let kind = match operation & !NON_BLOCKING {
        1 => Some(LockKind::Shared),
        2 => Some(LockKind::Exclusive),
        8 => None,
        _ => return Err(Errno::EINVAL),
    };
    let file = operable(ctx, fd)?;
    locks::set_whole(&file, kind, operation & NON_BLOCKING == 0)
}

/// ioctl(2): the requests that every open file knows, else the file's own.
pub(crate) fn ioctl(ctx: &Ctx<'_>, fd: Fd, request: u32, argument: u64) -> Result<usize> {
    let file = operable(ctx, fd)?;
    match request {
        FIOCLEX | FIONCLEX => ctx.files().set_close_on_exec(fd.0, request == FIOCLEX).map(|()| 0),
        FIOASYNC if !file.file().can_poll() => Err(Errno::ENOTTY),
        FIONBIO | FIOASYNC => {
            let flag = if request == FIONBIO { StatusFlags::NON_BLOCKING } else { StatusFlags::ASYNC };
            let mut flags = file.flags();
            flags.set(flag, UserPtr::<i32>::new(ctx.space(), argument).read()? != 0);
            Ok(set_flags(fd, &file, flags))
        }
        FIONREAD if file.file().metadata()?.kind == FileKind::Regular && file.file().is_seekable() => {
            let left = file.file().size() as i64 - file.position() as i64;
            UserPtr::<i32>::new(ctx.space(), argument).write(&(left as i32)).map(|()| 0)
        }
        _ => file.file().ioctl(ctx.space(), request, argument),
    }
}
