//! Resource limits, usage and priorities.

use crate::errno::{Errno, Result};
use crate::fs::Capabilities;
use crate::machine::task::Class;
use crate::machine::time;
use crate::process::{Limit, Process, Resource, Thread, Usage, cpu_limit, job_control::TICK_NS, table};
use crate::syscall::context::Ctx;
use crate::vm::UserPtr;
use alloc::{sync::Arc, vec::Vec};
use linux_raw_sys::general::{PRIO_PGRP, PRIO_PROCESS, PRIO_USER};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD.
const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;

/// `struct rlimit64`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct UserLimit {
    soft: u64,
    hard: u64,
}

/// `struct rusage`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct UserUsage {
    user: [u64; 2],
    system: [u64; 2],
    peak_resident_kib: u64,
    unused: [u64; 3],
    minor_faults: u64,
    major_faults: u64,
    swaps: u64,
    blocks: [u64; 2],
    messages: [u64; 2],
    signals: u64,
    voluntary_switches: u64,
    involuntary_switches: u64,
}

impl From<&Usage> for UserUsage {
    fn from(usage: &Usage) -> UserUsage {
        let split = |ns: u64| [ns / 1_000_000_000, ns % 1_000_000_000 / 1000];
        UserUsage {
            user: split(usage.user_ns),
            system: split(usage.system_ns),
            peak_resident_kib: usage.peak_resident_pages * 4,
            minor_faults: usage.minor_faults,
            major_faults: usage.major_faults,
            voluntary_switches: usage.voluntary_switches,
            involuntary_switches: usage.involuntary_switches,
            ..UserUsage::default()
        }
    }
}

/// `struct tms`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct UserTimes {
    user: u64,
    system: u64,
    children_user: u64,
    children_system: u64,
}

/// getrlimit(2).
pub(crate) fn getrlimit(ctx: &Ctx<'_>, resource: u32, limit: UserPtr<'_, UserLimit>) -> Result {
    let value = ctx.process().limits().get(Resource::from_number(resource)?);
    limit.write(&UserLimit { soft: value.soft, hard: value.hard })
}

/// setrlimit(2).
pub(crate) fn setrlimit(ctx: &Ctx<'_>, resource: u32, limit: UserPtr<'_, UserLimit>) -> Result {
    let limit = limit.read()?;
    set(ctx, ctx.process(), Resource::from_number(resource)?, limit)
}

/// prlimit64(2).
pub(crate) fn prlimit64(
    ctx: &Ctx<'_>, id: i32, resource: u32, new: UserPtr<'_, UserLimit>, old: UserPtr<'_, UserLimit>,
) -> Result {
    let resource = Resource::from_number(resource)?;
    let new = new.read_if_given()?;
    let process = match id {
        0 => ctx.process().clone(),
        _ => table::find_thread(id).ok_or(Errno::ESRCH)?.process().clone(),
    };
    check_may_limit(ctx, &process)?;
    let before = process.limits().get(resource);
    if let Some(new) = new {
        set(ctx, &process, resource, new)?;
    }
    old.write_if_wanted(&UserLimit { soft: before.soft, hard: before.hard })
}

fn set(ctx: &Ctx<'_>, process: &Arc<Process>, resource: Resource, limit: UserLimit) -> Result {
    let may_raise = ctx.identity().can(Capabilities::SYS_RESOURCE);
    process.limits().set(resource, Limit { soft: limit.soft, hard: limit.hard }, may_raise)?;
    if let (Resource::Stack, Some(space)) = (resource, process.space()) {
        space.set_stack_limit(limit.soft);
    }
    if resource == Resource::CpuTime {
        cpu_limit::watch(process);
    }
    Ok(())
}

/// "… the real, effective and saved set user IDs of the target process must match the real user ID of the caller and …
/// group IDs", or CAP_SYS_RESOURCE (prlimit(2)).
fn check_may_limit(ctx: &Ctx<'_>, process: &Arc<Process>) -> Result {
    if Arc::ptr_eq(process, ctx.process()) {
        return Ok(());
    }
    let own = ctx.identity();
    let Some(target) = process.main_identity() else { return Err(Errno::ESRCH) };
    let is_same = [target.uid, target.euid, target.suid] == [own.uid; 3]
        && [target.gid, target.egid, target.sgid] == [own.gid; 3];
    if is_same || own.can(Capabilities::SYS_RESOURCE) { Ok(()) } else { Err(Errno::EPERM) }
}

/// getrusage(2).
pub(crate) fn getrusage(ctx: &Ctx<'_>, who: i32, usage: UserPtr<'_, UserUsage>) -> Result {
    let value = match who {
        RUSAGE_SELF => {
            let mut usage = ctx.process().usage();
            usage.peak_resident_pages = usage.peak_resident_pages.max(ctx.space().peak_resident_pages());
            usage
        }
        RUSAGE_CHILDREN => ctx.process().children_usage(),
        RUSAGE_THREAD => ctx.thread().usage(),
        _ => return Err(Errno::EINVAL),
    };
    usage.write(&UserUsage::from(&value))
}

/// times(2): in ticks; returns ticks since start.
pub(crate) fn times(ctx: &Ctx<'_>, times: UserPtr<'_, UserTimes>) -> Result<usize> {
    if let Some(times) = times.non_null() {
        let (own, children) = (ctx.process().usage(), ctx.process().children_usage());
        times.write(&UserTimes {
            user: own.user_ns / TICK_NS,
            system: own.system_ns / TICK_NS,
            children_user: children.user_ns / TICK_NS,
            children_system: children.system_ns / TICK_NS,
        })?;
    }
    Ok((time::monotonic_ns() / TICK_NS) as usize)
}

/// getpriority(2): the highest priority of those named, as 20 - nice.
pub(crate) fn getpriority(ctx: &Ctx<'_>, which: u32, who: u32) -> Result<usize> {
    let threads = threads_of(ctx, which, who)?;
    let nice = threads.iter().filter_map(|thread| nice_of(thread)).min().ok_or(Errno::ESRCH)?;
    Ok((20 - i32::from(nice)) as usize)
}

/// setpriority(2): ESRCH, EPERM for other users' processes, EACCES for a better value without CAP_SYS_NICE.
pub(crate) fn setpriority(ctx: &Ctx<'_>, which: u32, who: u32, nice: i32) -> Result<usize> {
    let nice = nice.clamp(-20, 19) as i8;
    let threads = threads_of(ctx, which, who)?;
    let own = ctx.identity();
    let mut answer = Err(Errno::ESRCH);
    for thread in threads {
        let target = thread.identity();
        let is_privileged = own.can(Capabilities::SYS_NICE);
        if !is_privileged && own.euid != target.uid && own.euid != target.euid {
            answer = Err(Errno::EPERM);
            continue;
        }
        let floor = 20 - thread.process().limit(Resource::Nice).min(40) as i64;
        let Some(before) = nice_of(&thread) else { continue };
        if nice < before && !is_privileged && i64::from(nice) < floor {
            answer = Err(Errno::EACCES);
            continue;
        }
        if !is_privileged && !own.covers(&target) {
            answer = Err(Errno::EPERM);
            continue;
        }
        if let Some(task) = thread.task() {
            match task.class() {
                Class::Fair { is_idle, .. } => task.set_class(Class::Fair { nice, is_idle }),
                Class::RealTime { .. } => thread.change_attributes(|own| own.scheduling.nice = nice),
            }
            answer = if answer == Err(Errno::ESRCH) { Ok(0) } else { answer };
        }
    }
    answer
}

/// Returns the threads that PRIO_PROCESS, PRIO_PGRP or PRIO_USER names. EINVAL.
pub(super) fn threads_of(ctx: &Ctx<'_>, which: u32, who: u32) -> Result<Vec<Arc<Thread>>> {
    match which {
        PRIO_PROCESS if who == 0 => Ok(alloc::vec![ctx.thread().clone()]),
        PRIO_PROCESS => Ok(table::find_thread(who as i32).into_iter().collect()),
        PRIO_PGRP => {
            let group = if who == 0 { ctx.process().group_id() } else { who as i32 };
            Ok(table::group_members(group).iter().flat_map(|process| process.threads()).collect())
        }
        PRIO_USER => {
            let uid = if who == 0 { ctx.identity().uid } else { who };
            let threads = table::all().flat_map(|process| process.threads());
            Ok(threads.filter(|thread| thread.identity().uid == uid).collect())
        }
        _ => Err(Errno::EINVAL),
    }
}

fn nice_of(thread: &Thread) -> Option<i8> {
    match thread.task()?.class() {
        Class::Fair { nice, .. } => Some(nice),
        Class::RealTime { .. } => Some(thread.attributes().scheduling.nice),
    }
}
