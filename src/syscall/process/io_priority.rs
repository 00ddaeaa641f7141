//! ioprio_get(2) and ioprio_set(2): kept and told, for schedulers of disks to heed.

use super::limits::threads_of;
use crate::errno::{Errno, Result};
use crate::fs::Capabilities;
use crate::syscall::context::Ctx;

/// IOPRIO_CLASS_RT to IOPRIO_CLASS_IDLE, and where the class stands in the value.
const CLASS_NONE: u32 = 0;
const CLASS_REAL_TIME: u32 = 1;
const CLASS_IDLE: u32 = 3;
const CLASS_SHIFT: u32 = 13;
/// The levels of a class: 0 (high) to 7.
const LEVELS: u32 = 8;

/// ioprio_get(2): the best of those named.
pub(crate) fn ioprio_get(ctx: &Ctx<'_>, which: u32, who: u32) -> Result<usize> {
    let threads = threads_of(ctx, scope(which)?, who)?;
    let value = threads.iter().map(|thread| thread.attributes().io_priority).min().ok_or(Errno::ESRCH)?;
    Ok(value as usize)
}

/// ioprio_set(2).
pub(crate) fn ioprio_set(ctx: &Ctx<'_>, which: u32, who: u32, value: u32) -> Result {
    let (class, level) = (value >> CLASS_SHIFT, value & ((1 << CLASS_SHIFT) - 1));
    let own = ctx.identity();
    match class {
        CLASS_REAL_TIME if !own.can(Capabilities::SYS_ADMIN) && !own.can(Capabilities::SYS_NICE) => {
            return Err(Errno::EPERM);
        }
        CLASS_NONE if level != 0 => return Err(Errno::EINVAL),
        ..=CLASS_IDLE if level < LEVELS => {}
        _ => return Err(Errno::EINVAL),
    }
    let threads = threads_of(ctx, scope(which)?, who)?;
    Errno::ESRCH.when(threads.is_empty())?;
    for thread in threads {
        let target = thread.identity();
        let is_same = (own.euid == target.uid || own.uid == target.uid) && own.covers(&target);
        Errno::EPERM.when(!is_same && !own.can(Capabilities::SYS_NICE))?;
        thread.change_attributes(|own| own.io_priority = value);
    }
    Ok(())
}

/// Turns IOPRIO_WHO_PROCESS, _PGRP and _USER into the PRIO_ constants of getpriority(2).
fn scope(which: u32) -> Result<u32> {
    if (1..=3).contains(&which) { Ok(which - 1) } else { Err(Errno::EINVAL) }
}
