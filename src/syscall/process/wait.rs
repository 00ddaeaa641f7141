//! wait4(2) and waitid(2).

use super::limits::UserUsage;
use super::pidfd::process_of;
use crate::errno::{Errno, Result};
use crate::file::StatusFlags;
use crate::process::{self, Signal, SignalInfo, WaitOptions, Which, job_control::TICK_NS};
use crate::syscall::argument::Fd;
use crate::syscall::context::Ctx;
use crate::vm::UserPtr;
use linux_raw_sys::general::{P_ALL, P_PGID, P_PID, P_PIDFD};

/// wait4(2).
pub(crate) fn wait4(
    ctx: &Ctx<'_>, id: i32, status: UserPtr<'_, i32>, options: u32, usage: UserPtr<'_, UserUsage>,
) -> Result<usize> {
    let known = WaitOptions::NO_HANG
        | WaitOptions::STOPPED
        | WaitOptions::CONTINUED
        | WaitOptions::NO_THREAD
        | WaitOptions::ALL
        | WaitOptions::CLONED;
    let options = WaitOptions::from_bits(options).filter(|options| known.contains(*options)).ok_or(Errno::EINVAL)?;
    let which = match id {
        -1 => Which::Any,
        0 => Which::Group(ctx.process().group_id()),
        ..-1 => Which::Group(id.checked_neg().ok_or(Errno::ESRCH)?),
        _ => Which::Process(id),
    };
    let Some(child) = process::wait(ctx.thread(), which, options | WaitOptions::EXITED)? else { return Ok(0) };
    status.write_if_wanted(&child.status)?;
    usage.write_if_wanted(&UserUsage::from(&child.usage))?;
    Ok(child.id as usize)
}

/// waitid(2).
pub(crate) fn waitid(
    ctx: &Ctx<'_>, kind: u32, id: i32, info: UserPtr<'_, SignalInfo>, options: u32, usage: UserPtr<'_, UserUsage>,
) -> Result {
    let events = WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED;
    let mut options = WaitOptions::from_bits(options).ok_or(Errno::EINVAL)?;
    let asked_not_to_hang = options.contains(WaitOptions::NO_HANG);
    Errno::EINVAL.when(!options.intersects(events))?;
    let which = match kind {
        P_ALL => Which::Any,
        P_PID if id > 0 => Which::Process(id),
        P_PGID if id > 0 => Which::Group(id),
        P_PGID if id == 0 => Which::Group(ctx.process().group_id()),
        P_PIDFD if id >= 0 => {
            let file = ctx.file(Fd(id))?;
            if file.flags().contains(StatusFlags::NON_BLOCKING) {
                options |= WaitOptions::NO_HANG;
            }
            Which::Process(process_of(ctx, Fd(id))?.id())
        }
        _ => return Err(Errno::EINVAL),
    };
    let child = process::wait(ctx.thread(), which, options)?;
    Errno::EAGAIN
        .when(child.is_none() && options.contains(WaitOptions::NO_HANG) && kind == P_PIDFD && !asked_not_to_hang)?;
    if let Some(usage) = usage.non_null()
        && let Some(child) = &child
    {
        usage.write(&UserUsage::from(&child.usage))?;
    }
    let Some(info) = info.non_null() else { return Ok(()) };
    match child {
        // "If WNOHANG was specified and no children changed state, si_pid and si_signo are 0."
        None => info.cast::<[u8; 128]>().write(&[0; 128])?,
        Some(child) => {
            let status = child.exit_code_or_signal();
            let (user, system) = (child.usage.user_ns / TICK_NS, child.usage.system_ns / TICK_NS);
            let news = SignalInfo::child(Signal::CHLD, child.change, child.id, child.uid, status, user, system);
            info.cast().write(&news.whole())?;
        }
    }
    Ok(())
}
