//! epoll and eventfd.

use super::argument::Fd;
use super::context::Ctx;
use super::file::{CLOSE_ON_EXEC, install};
use super::poll::{read_mask, with_mask};
use super::time_value::{TimeSpec, deadline_after, read_deadline};
use crate::errno::{Errno, Result};
use crate::file::epoll::{Epoll, Event, Manner};
use crate::file::eventfd::{EventFd, EventFdMode};
use crate::file::{Events, OpenFile, StatusFlags};
use crate::vm::UserPtr;
use alloc::sync::Arc;
use linux_raw_sys::general::{EFD_SEMAPHORE, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct epoll_event`, packed on x86-64.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, packed)]
pub(crate) struct EpollEvent {
    bits: u32,
    data: u64,
}

/// epoll_create(2): the size is checked and means nothing.
pub(crate) fn epoll_create(ctx: &Ctx<'_>, size: i32) -> Result<usize> {
    if size <= 0 { Err(Errno::EINVAL) } else { epoll_create1(ctx, 0) }
}

/// epoll_create1(2).
pub(crate) fn epoll_create1(ctx: &Ctx<'_>, flags: u32) -> Result<usize> {
    Errno::EINVAL.when(flags & !CLOSE_ON_EXEC != 0)?;
    install(ctx, OpenFile::new(Epoll::new(), StatusFlags::READ_WRITE), flags & CLOSE_ON_EXEC != 0)
}

/// epoll_ctl(2).
pub(crate) fn epoll_ctl(ctx: &Ctx<'_>, epoll: Fd, operation: u32, fd: Fd, event: UserPtr<'_, EpollEvent>) -> Result {
    /// What EPOLLEXCLUSIVE goes together with (epoll_ctl(2)).
    const WITH_EXCLUSIVE: u32 = Events::READ.bits()
        | Events::WRITE.bits()
        | Events::ERROR.bits()
        | Events::HANG_UP.bits()
        | Manner::WAKE_UP.bits()
        | Manner::EDGE.bits()
        | Manner::EXCLUSIVE.bits();

    let event = match operation {
        EPOLL_CTL_DEL => Event::default(),
        _ => event.read().map(|event| Event { bits: event.bits, data: event.data })?,
    };
    let epoll_file = ctx.file(epoll)?;
    let file = ctx.file(fd)?;
    Errno::EPERM.when(!file.file().can_poll())?;
    let epoll = epoll_file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    Errno::EINVAL.when(Arc::ptr_eq(&epoll_file, &file))?;
    if event.bits & Manner::EXCLUSIVE.bits() != 0 {
        let is_epoll = file.downcast::<Epoll>().is_some();
        Errno::EINVAL.when(
            operation == EPOLL_CTL_MOD || operation == EPOLL_CTL_ADD && (is_epoll || event.bits & !WITH_EXCLUSIVE != 0),
        )?;
    }
    match operation {
        EPOLL_CTL_ADD => epoll.add(fd.0, &file, event),
        EPOLL_CTL_MOD => epoll.modify(fd.0, &file, event),
        EPOLL_CTL_DEL => epoll.remove(fd.0, &file),
        _ => Err(Errno::EINVAL),
    }
}

/// epoll_wait(2).
pub(crate) fn epoll_wait(
    ctx: &Ctx<'_>, epoll: Fd, events: UserPtr<'_, EpollEvent>, limit: i32, timeout_ms: i32,
) -> Result<usize> {
    wait(ctx, epoll, events, limit, u64::try_from(timeout_ms).ok().map(|timeout| deadline_after(timeout * 1_000_000)))
}

/// epoll_pwait(2).
pub(crate) fn epoll_pwait(
    ctx: &Ctx<'_>, epoll: Fd, events: UserPtr<'_, EpollEvent>, limit: i32, timeout_ms: i32, mask: UserPtr<'_, u64>,
    mask_size: usize,
) -> Result<usize> {
    let mask = read_mask(mask, mask_size)?;
    with_mask(ctx, mask, || epoll_wait(ctx, epoll, events, limit, timeout_ms))
}

/// epoll_pwait2(2).
pub(crate) fn epoll_pwait2(
    ctx: &Ctx<'_>, epoll: Fd, events: UserPtr<'_, EpollEvent>, limit: i32, timeout: UserPtr<'_, TimeSpec>,
    mask: UserPtr<'_, u64>, mask_size: usize,
) -> Result<usize> {
    let deadline_ns = read_deadline(timeout)?;
    let mask = read_mask(mask, mask_size)?;
    with_mask(ctx, mask, || wait(ctx, epoll, events, limit, deadline_ns))
}

fn wait(
    ctx: &Ctx<'_>, epoll: Fd, events: UserPtr<'_, EpollEvent>, limit: i32, deadline_ns: Option<u64>,
) -> Result<usize> {
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or(Errno::EINVAL)?;
    Errno::EINVAL.when(limit > i32::MAX as usize / size_of::<EpollEvent>())?;
    events.slice(limit)?;
    let epoll = ctx.file(epoll)?.downcast::<Epoll>().ok_or(Errno::EINVAL)?;

    let put = |index, event: Event| events.add(index).write(&EpollEvent { bits: event.bits, data: event.data });
    match epoll.readiness().block_until(deadline_ns, || epoll.collect(limit, put)) {
        Err(Errno::ETIMEDOUT) => Ok(0),
        // "EINTR The call was interrupted by a signal handler": never restarted, not even without a handler.
        Err(Errno::RESTART_NO_HANDLER) => Err(Errno::EINTR),
        result => result,
    }
}

/// eventfd(2) of old: without flags.
pub(crate) fn eventfd(ctx: &Ctx<'_>, value: u32) -> Result<usize> {
    eventfd2(ctx, value, 0)
}

/// eventfd2(2).
pub(crate) fn eventfd2(ctx: &Ctx<'_>, value: u32, flags: u32) -> Result<usize> {
    Errno::EINVAL.when(flags & !(EFD_SEMAPHORE | CLOSE_ON_EXEC | StatusFlags::NON_BLOCKING.bits()) != 0)?;
    let mode = if flags & EFD_SEMAPHORE != 0 { EventFdMode::Semaphore } else { EventFdMode::Whole };
    let status = StatusFlags::READ_WRITE | StatusFlags::from_bits_truncate(flags & StatusFlags::NON_BLOCKING.bits());
    install(ctx, OpenFile::new(EventFd::new(value, mode), status), flags & CLOSE_ON_EXEC != 0)
}
