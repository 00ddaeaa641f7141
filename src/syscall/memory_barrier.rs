//! membarrier(2): a memory barrier on all CPUs that run the callers' threads.

use super::context::Ctx;
use crate::errno::{Errno, Result};
use crate::machine::{platform, user};
use core::sync::atomic::Ordering;

const QUERY: u32 = 0;
const GLOBAL: u32 = 1;
const GLOBAL_EXPEDITED: u32 = 1 << 1;
const REGISTER_GLOBAL: u32 = 1 << 2;
const PRIVATE: u32 = 1 << 3;
const PRIVATE_SYNC_CORE: u32 = 1 << 5;
const PRIVATE_RSEQ: u32 = 1 << 7;
/// A private command's registration has the next bit.
const REGISTER_PRIVATE: u32 = (PRIVATE | PRIVATE_SYNC_CORE | PRIVATE_RSEQ) << 1;
const GET_REGISTRATIONS: u32 = 1 << 9;
const ALL: u32 = (1 << 10) - 1;

/// membarrier(2).
pub(crate) fn membarrier(ctx: &Ctx<'_>, command: u32, flags: u32, _cpu: i32) -> Result<usize> {
    const FOR_ONE_CPU: u32 = 1;
    Errno::EINVAL.when(flags != 0 && (command != PRIVATE_RSEQ || flags != FOR_ONE_CPU))?;
    let process = ctx.process();
    match command {
        QUERY => return Ok(ALL as usize),
        GET_REGISTRATIONS => return Ok(process.barriers().load(Ordering::Relaxed) as usize),
        REGISTER_GLOBAL => {
            process.barriers().fetch_or(command, Ordering::Relaxed);
        }
        _ if command.is_power_of_two() && command & REGISTER_PRIVATE != 0 => {
            process.barriers().fetch_or(command, Ordering::Relaxed);
        }
        PRIVATE | PRIVATE_SYNC_CORE | PRIVATE_RSEQ => {
            Errno::EPERM.when(process.barriers().load(Ordering::Relaxed) & command << 1 == 0)?;
            if command == PRIVATE_RSEQ {
                user::restart_others();
            } else {
                platform::run_on(u64::MAX, &|| ());
            }
        }
        GLOBAL | GLOBAL_EXPEDITED => platform::run_on(u64::MAX, &|| ()),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
