//! Calls on pidfds.

use crate::errno::{Errno, Result};
use crate::file::{OpenFile, StatusFlags};
use crate::process::{AccessMode, PidFd, Process, Signal, SignalInfo, may_access, signal, table};
use crate::procfs;
use crate::syscall::argument::Fd;
use crate::syscall::context::Ctx;
use crate::syscall::file::install;
use crate::vm::UserPtr;
use alloc::sync::Arc;

/// pidfd_open(2). ESRCH; EINVAL for a thread that is not a process' first.
pub(crate) fn pidfd_open(ctx: &Ctx<'_>, id: i32, flags: u32) -> Result<usize> {
    Errno::EINVAL.when(flags & !StatusFlags::NON_BLOCKING.bits() != 0 || id <= 0)?;
    let process = match table::find(id) {
        Some(process) => process,
        None if table::find_thread(id).is_some() => return Err(Errno::EINVAL),
        None => return Err(Errno::ESRCH),
    };
    install(ctx, open(process, StatusFlags::from_bits_truncate(flags)), true)
}

/// pidfd_send_signal(2). A process' directory in /proc names it too.
pub(crate) fn pidfd_send_signal(
    ctx: &Ctx<'_>, fd: Fd, number: i32, info: UserPtr<'_, SignalInfo>, flags: u32,
) -> Result {
    Errno::EINVAL.when(flags != 0)?;
    let process = match procfs::process_of(&*ctx.file(fd)?) {
        Some(process) => process,
        None => process_of(ctx, fd)?,
    };
    let signal = if number == 0 { None } else { Some(Signal::from_number(number).ok_or(Errno::EINVAL)?) };
    let own = SignalInfo::sent(Signal::KILL, signal::code::USER, ctx.process().id(), ctx.identity().uid);
    let info = match info.non_null() {
        None => own,
        Some(info) => {
            let info = info.read()?;
            let is_forged = info.code() >= 0 || info.code() == signal::code::THREAD;
            Errno::EPERM.when(is_forged && !Arc::ptr_eq(&process, ctx.process()))?;
            info
        }
    };
    Errno::ESRCH.when(table::find(process.id()).is_none_or(|found| !Arc::ptr_eq(&found, &process)))?;
    Errno::EPERM.when(!signal::may_send(ctx.thread(), &process, signal))?;
    if let Some(signal) = signal {
        process.send_signal(info.directed_as(signal));
    }
    Ok(())
}

/// pidfd_getfd(2): a duplicate of another process' descriptor.
pub(crate) fn pidfd_getfd(ctx: &Ctx<'_>, fd: Fd, target: Fd, flags: u32) -> Result<usize> {
    Errno::EINVAL.when(flags != 0)?;
    let process = process_of(ctx, fd)?;
    let thread = process.main_thread().ok_or(Errno::ESRCH)?;
    Errno::EPERM.when(!may_access(ctx.thread(), &thread, AccessMode::Real))?;
    let file = thread.files().get(target.0)?;
    install(ctx, file, true)
}

/// Returns the process that the pidfd names. EBADF.
pub(super) fn process_of(ctx: &Ctx<'_>, fd: Fd) -> Result<Arc<Process>> {
    let file = ctx.file(fd)?.downcast::<PidFd>().ok_or(Errno::EBADF)?;
    Ok(file.process().clone())
}

/// Returns a new pidfd.
pub(super) fn open(process: Arc<Process>, flags: StatusFlags) -> Arc<OpenFile> {
    OpenFile::new(PidFd::new(process), StatusFlags::READ_WRITE | flags)
}
