//! Who runs when: sched_*.

use super::context::Ctx;
use super::time_value::TimeSpec;
use crate::errno::{Errno, Result};
use crate::fs::Capabilities;
use crate::machine::cpu;
use crate::machine::task::{self, Class, Task};
use crate::process::futex::priority;
use crate::process::{Resource, Scheduling, Thread, table};
use crate::vm::UserPtr;
use alloc::sync::Arc;
use linux_raw_sys::general::{SCHED_BATCH, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK, SCHED_RR};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The turn of a round-robin thread (Linux's RR_TIMESLICE).
const ROUND_ROBIN_TURN_NS: u64 = 100_000_000;

/// sched_yield(2).
pub(crate) fn sched_yield(_: &Ctx<'_>) -> Result {
    task::yield_now();
    Ok(())
}

/// Returns the thread with this id (0: the caller) and its task. EINVAL for a negative id, ESRCH.
fn find(ctx: &Ctx<'_>, id: i32) -> Result<(Arc<Thread>, Arc<Task>)> {
    if id < 0 { Err(Errno::EINVAL) } else { find_any(ctx, id) }
}

/// The same for calls to which a negative id is just one that nobody has.
fn find_any(ctx: &Ctx<'_>, id: i32) -> Result<(Arc<Thread>, Arc<Task>)> {
    let thread = if id == 0 { ctx.thread().clone() } else { table::find_thread(id).ok_or(Errno::ESRCH)? };
    let task = thread.task().ok_or(Errno::ESRCH)?;
    Ok((thread, task))
}

/// EPERM unless the caller may change how `thread` is scheduled: the same user, or CAP_SYS_NICE (sched_setscheduler(2)).
fn check_permission(ctx: &Ctx<'_>, thread: &Thread) -> Result {
    let (caller, target) = (ctx.identity(), thread.identity());
    let is_same = (caller.euid == target.uid || caller.euid == target.euid) && caller.covers(&target);
    if is_same || caller.can(Capabilities::SYS_NICE) { Ok(()) } else { Err(Errno::EPERM) }
}

fn policy_of(thread: &Thread, class: Class) -> (u32, i32) {
    match class {
        Class::Fair { .. } => (thread.attributes().scheduling.fair_policy, 0),
        Class::RealTime { priority, round_robin: false } => (SCHED_FIFO, i32::from(priority)),
        Class::RealTime { priority, round_robin: true } => (SCHED_RR, i32::from(priority)),
    }
}

/// sched_getscheduler(2).
pub(crate) fn sched_getscheduler(ctx: &Ctx<'_>, id: i32) -> Result<usize> {
    let (thread, task) = find(ctx, id)?;
    let flag = if thread.attributes().scheduling.resets_on_fork { SCHED_RESET_ON_FORK } else { 0 };
    Ok((policy_of(&thread, task.class()).0 | flag) as usize)
}

/// sched_getparam(2).
pub(crate) fn sched_getparam(ctx: &Ctx<'_>, id: i32, priority: UserPtr<'_, i32>) -> Result {
    Errno::EINVAL.when(priority.is_null())?;
    let (thread, task) = find(ctx, id)?;
    priority.write(&policy_of(&thread, task.class()).1)
}

/// sched_setscheduler(2): all policies but the deadline one.
pub(crate) fn sched_setscheduler(ctx: &Ctx<'_>, id: i32, policy: u32, priority: UserPtr<'_, i32>) -> Result {
    Errno::EINVAL.when((policy as i32) < 0 || priority.is_null())?;
    let priority = priority.read()?;
    set(ctx, id, policy & !SCHED_RESET_ON_FORK, priority, policy & SCHED_RESET_ON_FORK != 0)
}

/// sched_setparam(2).
pub(crate) fn sched_setparam(ctx: &Ctx<'_>, id: i32, priority: UserPtr<'_, i32>) -> Result {
    Errno::EINVAL.when(priority.is_null())?;
    let priority = priority.read()?;
    let (thread, task) = find(ctx, id)?;
    set(ctx, id, policy_of(&thread, task.class()).0, priority, thread.attributes().scheduling.resets_on_fork)
}

fn set(ctx: &Ctx<'_>, id: i32, policy: u32, priority: i32, resets_on_fork: bool) -> Result {
    let (thread, task) = find(ctx, id)?;
    let scheduling = thread.attributes().scheduling;
    // A real-time thread keeps its nice value for later.
    let nice = if let Class::Fair { nice, .. } = task.class() { nice } else { scheduling.nice };
    let class = match (policy, priority) {
        (SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE, 0) => Class::Fair { nice, is_idle: policy == SCHED_IDLE },
        (SCHED_FIFO | SCHED_RR, 1..=99) => {
            Class::RealTime { priority: priority as u8, round_robin: policy == SCHED_RR }
        }
        _ => return Err(Errno::EINVAL),
    };
    check_permission(ctx, &thread)?;
    let old = policy_of(&thread, task.class());
    let limit = thread.process().limit(Resource::RealTimePriority);
    let is_raised = (old.0 != policy && limit == 0) || (priority > old.1 && priority as u64 > limit);
    let is_refused =
        matches!(class, Class::RealTime { .. }) && is_raised || scheduling.resets_on_fork && !resets_on_fork;
    Errno::EPERM.when(is_refused && !ctx.identity().can(Capabilities::SYS_NICE))?;
    task.set_class(class);
    let fair_policy = if matches!(class, Class::Fair { .. }) { policy } else { SCHED_NORMAL };
    thread.change_attributes(|own| own.scheduling = Scheduling { fair_policy, nice, resets_on_fork });
    priority::reconsider(&thread);
    Ok(())
}

/// sched_get_priority_max(2).
pub(crate) fn sched_get_priority_max(_: &Ctx<'_>, policy: u32) -> Result<usize> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(99),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_min(2).
pub(crate) fn sched_get_priority_min(_: &Ctx<'_>, policy: u32) -> Result<usize> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(1),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_rr_get_interval(2).
pub(crate) fn sched_rr_get_interval(ctx: &Ctx<'_>, id: i32, interval: UserPtr<'_, TimeSpec>) -> Result {
    let (_, task) = find(ctx, id)?;
    let turn_ns = match task.class() {
        Class::RealTime { round_robin: false, .. } => 0,
        _ => ROUND_ROBIN_TURN_NS,
    };
    interval.write(&TimeSpec::from_ns(turn_ns))
}

/// sched_setaffinity(2).
pub(crate) fn sched_setaffinity(ctx: &Ctx<'_>, id: i32, length: u32, mask: UserPtr<'_, u8>) -> Result {
    let mut bytes = [0; size_of::<u64>()];
    let count = bytes.len().min(length as usize);
    if count > 0 {
        bytes[..count].copy_from_slice(&mask.slice(count)?.read_all()?);
    }
    let (thread, task) = find_any(ctx, id)?;
    check_permission(ctx, &thread)?;
    let mask = u64::from_le_bytes(bytes) & cpu::online();
    Errno::EINVAL.when(mask == 0)?;
    task.set_affinity(mask);
    Ok(())
}

/// sched_getaffinity(2). The raw call returns how many bytes it wrote.
pub(crate) fn sched_getaffinity(ctx: &Ctx<'_>, id: i32, length: u32, mask: UserPtr<'_, u64>) -> Result<usize> {
    Errno::EINVAL.when((length as usize) * 8 < cpu::count() || !length.is_multiple_of(8))?;
    let (_, task) = find_any(ctx, id)?;
    mask.write(&(task.affinity() & cpu::online()))?;
    Ok(size_of::<u64>())
}

/// `struct sched_attr`, its first published form.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

/// The size of `Attributes` (SCHED_ATTR_SIZE_VER0).
const ATTRIBUTES_SIZE: u32 = size_of::<Attributes>() as u32;

/// sched_getattr(2).
pub(crate) fn sched_getattr(
    ctx: &Ctx<'_>, id: i32, attributes: UserPtr<'_, Attributes>, size: u32, flags: u32,
) -> Result {
    Errno::EINVAL.when(attributes.is_null() || id < 0 || flags != 0 || !(ATTRIBUTES_SIZE..=4096).contains(&size))?;
    let (thread, task) = find(ctx, id)?;
    let class = task.class();
    let flags = u64::from(thread.attributes().scheduling.resets_on_fork);
    let (policy, priority) = policy_of(&thread, class);
    let nice = if let Class::Fair { nice, .. } = class { i32::from(nice) } else { 0 };
    attributes.write(&Attributes {
        size: ATTRIBUTES_SIZE,
        policy,
        flags,
        nice,
        priority: priority as u32,
        ..Attributes::default()
    })
}

/// sched_setattr(2): what sched_setscheduler(2) sets, and the nice value of a normal thread.
pub(crate) fn sched_setattr(ctx: &Ctx<'_>, id: i32, attributes: UserPtr<'_, Attributes>, flags: u32) -> Result {
    const RESET_ON_FORK: u64 = 1;
    Errno::EINVAL.when(attributes.is_null() || id < 0 || flags != 0)?;
    let wanted = attributes.read()?;
    // 0 stands for the first form (sched_setattr(2)).
    if wanted.size != 0 && wanted.size < ATTRIBUTES_SIZE {
        attributes.cast::<u32>().write(&ATTRIBUTES_SIZE)?;
        return Err(Errno::E2BIG);
    }
    Errno::EINVAL.when(wanted.flags & !RESET_ON_FORK != 0)?;
    let (thread, task) = find(ctx, id)?;
    let present = if let Class::Fair { nice, .. } = task.class() { i32::from(nice) } else { 0 };
    // The least nice value that RLIMIT_NICE allows (getrlimit(2)).
    let least = 20 - thread.process().limit(Resource::Nice).min(40) as i32;
    let is_fair = matches!(wanted.policy, SCHED_NORMAL | SCHED_BATCH);
    let is_better = is_fair && wanted.nice < present && wanted.nice < least;
    Errno::EPERM.when(is_better && !ctx.identity().can(Capabilities::SYS_NICE))?;
    set(ctx, id, wanted.policy, wanted.priority as i32, wanted.flags & RESET_ON_FORK != 0)?;
    if is_fair {
        task.set_class(Class::Fair { nice: wanted.nice.clamp(-20, 19) as i8, is_idle: false });
    }
    Ok(())
}
