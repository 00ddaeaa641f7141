//! Calls on signals.

use super::argument::Fd;
use super::context::{Ctx, RestartCall};
use super::file::{CLOSE_ON_EXEC, install};
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, StatusFlags};
use crate::machine::task::{WaitError, WaitQueue};
use crate::machine::time;
use crate::process::signal::{self, Action, ActionFlags, UserStack, code};
use crate::process::{AlternateStack, Process, Signal, SignalFd, SignalInfo, SignalSet, Thread, table};
use crate::vm::UserPtr;
use alloc::sync::Arc;
use linux_raw_sys::general::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `sizeof(sigset_t)` in the kernel: the size argument of the rt_ calls.
const SET_SIZE: usize = 8;
/// The smallest alternate stack (MINSIGSTKSZ).
const ALTERNATE_STACK_MIN: u64 = 2048;

/// The kernel's `struct sigaction`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct UserAction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

/// `struct timespec`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct TimeSpec {
    seconds: i64,
    nanoseconds: i64,
}

/// rt_sigaction(2).
pub(crate) fn rt_sigaction(
    ctx: &Ctx<'_>, number: i32, new: UserPtr<'_, UserAction>, old: UserPtr<'_, UserAction>, size: usize,
) -> Result {
    check_size(size)?;
    let new = new.read_if_given()?;
    let signal = Signal::from_number(number).ok_or(Errno::EINVAL)?;
    Errno::EINVAL.when(new.is_some() && signal.is_absolute())?;
    let before = match new {
        None => ctx.process().dispositions().get(signal),
        Some(new) => {
            let action = Action {
                handler: new.handler,
                flags: ActionFlags::from_bits_retain(new.flags),
                restorer: new.restorer,
                mask: SignalSet::from_bits(new.mask).without(SignalSet::ABSOLUTE),
            };
            ctx.process().set_action(signal, action)
        }
    };
    old.write_if_wanted(&UserAction {
        handler: before.handler,
        flags: before.flags.bits(),
        restorer: before.restorer,
        mask: before.mask.bits(),
    })
}

/// rt_sigprocmask(2).
pub(crate) fn rt_sigprocmask(
    ctx: &Ctx<'_>, how: u32, new: UserPtr<'_, u64>, old: UserPtr<'_, u64>, size: usize,
) -> Result {
    check_size(size)?;
    let before = ctx.thread().blocked();
    if let Some(new) = new.non_null() {
        let set = SignalSet::from_bits(new.read()?);
        let blocked = match how {
            SIG_BLOCK => before.union(set),
            SIG_UNBLOCK => before.without(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        ctx.thread().set_blocked(blocked);
    }
    old.write_if_wanted(&before.bits())
}

/// rt_sigpending(2).
pub(crate) fn rt_sigpending(ctx: &Ctx<'_>, set: UserPtr<'_, u64>, size: usize) -> Result {
    Errno::EINVAL.when(size > SET_SIZE)?;
    let pending =
        ctx.thread().pending_signals().union(ctx.process().pending_signals()).intersection(ctx.thread().blocked());
    set.cast::<u8>().slice(size)?.write_all(&pending.bits().to_ne_bytes()[..size])
}

/// rt_sigsuspend(2).
pub(crate) fn rt_sigsuspend(ctx: &Ctx<'_>, mask: UserPtr<'_, u64>, size: usize) -> Result<usize> {
    check_size(size)?;
    let mask = SignalSet::from_bits(mask.read()?);
    ctx.thread().set_temporary_blocked(mask);
    sleep_for_signal()
}

/// pause(2).
pub(crate) fn pause(_ctx: &Ctx<'_>) -> Result<usize> {
    sleep_for_signal()
}

fn sleep_for_signal() -> Result<usize> {
    let nothing = WaitQueue::new();
    match nothing.wait_interruptible(|| None::<usize>) {
        Ok(value) => Ok(value),
        Err(_) => Err(Errno::RESTART_NO_HANDLER),
    }
}

/// rt_sigtimedwait(2).
pub(crate) fn rt_sigtimedwait(
    ctx: &Ctx<'_>, set: UserPtr<'_, u64>, info: UserPtr<'_, SignalInfo>, timeout: UserPtr<'_, TimeSpec>, size: usize,
) -> Result<usize> {
    check_size(size)?;
    let wanted = SignalSet::from_bits(set.read()?).without(SignalSet::ABSOLUTE);
    let timeout = timeout.read_if_given()?;
    let deadline_ns = match timeout {
        None => None,
        Some(TimeSpec { seconds: 0.., nanoseconds: 0..1_000_000_000 }) => {
            let timeout = timeout.map_or(0, |time| time.seconds.saturating_mul(1_000_000_000) + time.nanoseconds);
            Some(time::monotonic_ns().saturating_add(timeout as u64))
        }
        Some(_) => return Err(Errno::EINVAL),
    };
    let taken = match signal::wait_for(ctx.thread(), wanted, deadline_ns) {
        Err(WaitError::TimedOut) => return Err(Errno::EAGAIN),
        Err(WaitError::Interrupted) => return Err(Errno::EINTR),
        Ok(taken) => taken,
    };
    info.cast().write_if_wanted(&taken.whole())?;
    Ok(taken.signal().number() as usize)
}

/// kill(2).
pub(crate) fn kill(ctx: &Ctx<'_>, id: i32, number: i32) -> Result {
    let signal = signal_or_none(number)?;
    let info = signal.map(|signal| sent_by(ctx, signal, code::USER));
    match id {
        1.. => send(ctx, &find_process(ctx, id)?, signal, info)?,
        i32::MIN => return Err(Errno::ESRCH),
        -1 => signal::send_to_all(ctx.process(), info, |process| signal::may_send(ctx.thread(), process, signal))?,
        _ => {
            let group = if id == 0 { ctx.process().group_id() } else { -id };
            signal::send_to_group(group, info, |process| signal::may_send(ctx.thread(), process, signal))?;
        }
    }
    Ok(())
}

/// tkill(2).
pub(crate) fn tkill(ctx: &Ctx<'_>, id: i32, number: i32) -> Result {
    send_to_thread(ctx, None, id, number)
}

/// tgkill(2).
pub(crate) fn tgkill(ctx: &Ctx<'_>, group: i32, id: i32, number: i32) -> Result {
    Errno::EINVAL.when(group <= 0)?;
    send_to_thread(ctx, Some(group), id, number)
}

fn send_to_thread(ctx: &Ctx<'_>, group: Option<i32>, id: i32, number: i32) -> Result {
    Errno::EINVAL.when(id <= 0)?;
    let thread = find_thread(ctx, group, id)?;
    let signal = signal_or_none(number)?;
    check_may_send(ctx, thread.process(), signal)?;
    if let Some(signal) = signal {
        check_room(thread.process(), signal)?;
        thread.send_signal(sent_by(ctx, signal, code::THREAD));
    }
    Ok(())
}

/// rt_sigqueueinfo(2).
pub(crate) fn rt_sigqueueinfo(ctx: &Ctx<'_>, id: i32, number: i32, info: UserPtr<'_, SignalInfo>) -> Result {
    let info = info.read()?;
    let process = find_process(ctx, id)?;
    check_forged(ctx, &info, id)?;
    let signal = signal_or_none(number)?;
    check_may_send(ctx, &process, signal)?;
    if let Some(signal) = signal {
        check_room(&process, signal)?;
        process.send_signal(info.directed_as(signal));
    }
    Ok(())
}

/// rt_tgsigqueueinfo(2).
pub(crate) fn rt_tgsigqueueinfo(
    ctx: &Ctx<'_>, group: i32, id: i32, number: i32, info: UserPtr<'_, SignalInfo>,
) -> Result {
    let info = info.read()?;
    Errno::EINVAL.when(group <= 0 || id <= 0)?;
    let thread = find_thread(ctx, Some(group), id)?;
    check_forged(ctx, &info, id)?;
    let signal = signal_or_none(number)?;
    check_may_send(ctx, thread.process(), signal)?;
    if let Some(signal) = signal {
        check_room(thread.process(), signal)?;
        thread.send_signal(info.directed_as(signal));
    }
    Ok(())
}

/// sigaltstack(2).
pub(crate) fn sigaltstack(ctx: &Ctx<'_>, new: UserPtr<'_, UserStack>, old: UserPtr<'_, UserStack>) -> Result {
    let new = new.read_if_given()?;
    let stack_pointer = ctx.user.borrow().registers.rsp;
    let before = ctx.thread().alternate_stack();
    if let Some(new) = new {
        Errno::EPERM.when(signal::is_on(&before, stack_pointer))?;
        let mode = new.flags & !SS_AUTODISARM;
        Errno::EINVAL.when(![0, SS_ONSTACK, SS_DISABLE].contains(&mode))?;
        let stack = if mode == SS_DISABLE {
            AlternateStack::default()
        } else if new.size < ALTERNATE_STACK_MIN {
            return Err(Errno::ENOMEM);
        } else {
            AlternateStack { address: new.address, size: new.size, flags: new.flags & SS_AUTODISARM }
        };
        ctx.thread().set_alternate_stack(stack);
    }
    old.write_if_wanted(&signal::describe(&before, stack_pointer))
}

/// rt_sigreturn(2): a frame that cannot be restored is a fault.
pub(crate) fn rt_sigreturn(ctx: &Ctx<'_>) -> Result<usize> {
    let mut user = ctx.user.borrow_mut();
    match signal::pop(ctx.thread(), ctx.space(), &mut user) {
        Ok(value) => Ok(value as usize),
        Err(_) => {
            signal::force(ctx.thread(), SignalInfo::kernel(Signal::SEGV));
            Ok(0)
        }
    }
}

/// restart_syscall(2).
pub(crate) fn restart_syscall(ctx: &Ctx<'_>) -> Result<u64> {
    let restart = ctx.thread().take_restart().ok_or(Errno::EINTR)?;
    let call = restart.downcast::<RestartCall>().map_err(|_| Errno::EINTR)?;
    (*call)(ctx)
}

fn check_size(size: usize) -> Result {
    if size == SET_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Signal 0 sends nothing but checks all. EINVAL.
fn signal_or_none(number: i32) -> Result<Option<Signal>> {
    if number == 0 { Ok(None) } else { Signal::from_number(number).map(Some).ok_or(Errno::EINVAL) }
}

fn sent_by(ctx: &Ctx<'_>, signal: Signal, code: i32) -> SignalInfo {
    SignalInfo::sent(signal, code, ctx.process().id(), ctx.identity().uid)
}

/// Returns the process that has the id, or a thread with it: most signals are for oneself. ESRCH.
fn find_process(ctx: &Ctx<'_>, id: i32) -> Result<Arc<Process>> {
    if id == ctx.process().id() {
        return Ok(ctx.process().clone());
    }
    match table::find(id) {
        Some(process) => Ok(process),
        None => Ok(table::find_thread(id).ok_or(Errno::ESRCH)?.process().clone()),
    }
}

fn find_thread(ctx: &Ctx<'_>, group: Option<i32>, id: i32) -> Result<Arc<Thread>> {
    let is_own = id == ctx.thread().id();
    let thread = if is_own { ctx.thread().clone() } else { table::find_thread(id).ok_or(Errno::ESRCH)? };
    let is_member = group.is_none_or(|group| thread.process().id() == group);
    if is_member { Ok(thread) } else { Err(Errno::ESRCH) }
}

fn send(ctx: &Ctx<'_>, process: &Arc<Process>, signal: Option<Signal>, info: Option<SignalInfo>) -> Result {
    check_may_send(ctx, process, signal)?;
    if let Some(info) = info {
        process.send_signal(info);
    }
    Ok(())
}

fn check_may_send(ctx: &Ctx<'_>, process: &Process, signal: Option<Signal>) -> Result {
    if signal::may_send(ctx.thread(), process, signal) { Ok(()) } else { Err(Errno::EPERM) }
}

/// "The caller … can't impersonate the kernel or kill(2)" when it sends to others (rt_sigqueueinfo(2)).
fn check_forged(ctx: &Ctx<'_>, info: &SignalInfo, target: i32) -> Result {
    let is_forged = info.code() >= 0 || info.code() == code::THREAD;
    if is_forged && target != ctx.process().id() { Err(Errno::EPERM) } else { Ok(()) }
}

fn check_room(process: &Process, signal: Signal) -> Result {
    if !signal.is_queued() || signal::may_queue(process) { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// signalfd4(2): `fd` is -1 for a new one, else the one to change.
pub(crate) fn signalfd4(ctx: &Ctx<'_>, fd: Fd, mask: UserPtr<'_, u64>, size: usize, flags: u32) -> Result<usize> {
    check_size(size)?;
    let wanted = SignalSet::from_bits(mask.read()?);
    let known = StatusFlags::NON_BLOCKING.bits() | CLOSE_ON_EXEC;
    Errno::EINVAL.when(flags & !known != 0)?;
    if fd.0 != -1 {
        let file = ctx.file(fd)?.downcast::<SignalFd>().ok_or(Errno::EINVAL)?;
        file.set_wanted(wanted);
        return Ok(fd.0 as usize);
    }
    let status = StatusFlags::READ_WRITE | StatusFlags::from_bits_truncate(flags & !CLOSE_ON_EXEC);
    let file = OpenFile::new(SignalFd::new(wanted), status);
    install(ctx, file, flags & CLOSE_ON_EXEC != 0)
}

/// signalfd(2).
pub(crate) fn signalfd(ctx: &Ctx<'_>, fd: Fd, mask: UserPtr<'_, u64>, size: usize) -> Result<usize> {
    signalfd4(ctx, fd, mask, size, 0)
}
