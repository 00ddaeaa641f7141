//! Who one is: process, thread, group, session, user and group ids.

use crate::errno::{Errno, Result};
use crate::fs::{Capabilities, Identity};
use crate::process::{Process, job_control, table};
use crate::syscall::context::Ctx;
use crate::vm::UserPtr;
use alloc::sync::Arc;

/// "Leave this id as it is" (setresuid(2)).
const SAME: u32 = u32::MAX;
/// NGROUPS_MAX.
const GROUPS_MAX: usize = 65536;

/// getpid(2).
pub(crate) fn getpid(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(ctx.process().id() as usize)
}

/// gettid(2).
pub(crate) fn gettid(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(ctx.thread().id() as usize)
}

/// getppid(2).
pub(crate) fn getppid(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(ctx.process().parent_id() as usize)
}

/// getpgrp(2).
pub(crate) fn getpgrp(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(ctx.process().group_id() as usize)
}

/// getpgid(2).
pub(crate) fn getpgid(ctx: &Ctx<'_>, id: i32) -> Result<usize> {
    Ok(process_of(ctx, id)?.group_id() as usize)
}

/// getsid(2).
pub(crate) fn getsid(ctx: &Ctx<'_>, id: i32) -> Result<usize> {
    Ok(process_of(ctx, id)?.session_id() as usize)
}

/// setpgid(2).
pub(crate) fn setpgid(ctx: &Ctx<'_>, id: i32, group: i32) -> Result<usize> {
    job_control::set_group(ctx.process(), id, group)?;
    Ok(0)
}

/// setsid(2).
pub(crate) fn setsid(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(job_control::create_session(ctx.process())? as usize)
}

/// Returns the process `id`, or the caller's for 0. ESRCH.
fn process_of(ctx: &Ctx<'_>, id: i32) -> Result<Arc<Process>> {
    if id == 0 {
        return Ok(ctx.process().clone());
    }
    match table::find_thread(id) {
        Some(thread) => Ok(thread.process().clone()),
        None => table::find(id).ok_or(Errno::ESRCH),
    }
}

/// getuid(2).
pub(crate) fn getuid(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(ctx.identity().uid as usize)
}

/// geteuid(2).
pub(crate) fn geteuid(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(ctx.identity().euid as usize)
}

/// getgid(2).
pub(crate) fn getgid(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(ctx.identity().gid as usize)
}

/// getegid(2).
pub(crate) fn getegid(ctx: &Ctx<'_>) -> Result<usize> {
    Ok(ctx.identity().egid as usize)
}

/// getresuid(2).
pub(crate) fn getresuid(
    ctx: &Ctx<'_>,
    real: UserPtr<'_, u32>,
    effective: UserPtr<'_, u32>,
    saved: UserPtr<'_, u32>,
) -> Result<usize> {
    let identity = ctx.identity();
    real.write(&identity.uid)?;
    effective.write(&identity.euid)?;
    saved.write(&identity.suid)?;
    Ok(0)
}

/// getresgid(2).
pub(crate) fn getresgid(
    ctx: &Ctx<'_>,
    real: UserPtr<'_, u32>,
    effective: UserPtr<'_, u32>,
    saved: UserPtr<'_, u32>,
) -> Result<usize> {
    let identity = ctx.identity();
    real.write(&identity.gid)?;
    effective.write(&identity.egid)?;
    saved.write(&identity.sgid)?;
    Ok(0)
}

/// setuid(2): with CAP_SETUID all ids, else the effective one only.
pub(crate) fn setuid(ctx: &Ctx<'_>, uid: u32) -> Result<usize> {
    check_id(uid)?;
    let mut new = Identity::clone(&ctx.identity());
    if new.can(Capabilities::SETUID) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != new.uid && uid != new.suid {
        return Err(Errno::EPERM);
    }
    (new.euid, new.fsuid) = (uid, uid);
    commit(ctx, new)
}

/// setgid(2).
pub(crate) fn setgid(ctx: &Ctx<'_>, gid: u32) -> Result<usize> {
    check_id(gid)?;
    let mut new = Identity::clone(&ctx.identity());
    if new.can(Capabilities::SETGID) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != new.gid && gid != new.sgid {
        return Err(Errno::EPERM);
    }
    (new.egid, new.fsgid) = (gid, gid);
    commit(ctx, new)
}

/// setreuid(2).
pub(crate) fn setreuid(ctx: &Ctx<'_>, real: u32, effective: u32) -> Result<usize> {
    let old = ctx.identity();
    let mut new = Identity::clone(&old);
    let is_free = old.can(Capabilities::SETUID);
    if real != SAME {
        allow(is_free || real == old.uid || real == old.euid)?;
        new.uid = real;
    }
    if effective != SAME {
        allow(is_free || [old.uid, old.euid, old.suid].contains(&effective))?;
        new.euid = effective;
    }
    if real != SAME || effective != SAME && effective != old.uid {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    commit(ctx, new)
}

/// setregid(2).
pub(crate) fn setregid(ctx: &Ctx<'_>, real: u32, effective: u32) -> Result<usize> {
    let old = ctx.identity();
    let mut new = Identity::clone(&old);
    let is_free = old.can(Capabilities::SETGID);
    if real != SAME {
        allow(is_free || real == old.gid || real == old.egid)?;
        new.gid = real;
    }
    if effective != SAME {
        allow(is_free || [old.gid, old.egid, old.sgid].contains(&effective))?;
        new.egid = effective;
    }
    if real != SAME || effective != SAME && effective != old.gid {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    commit(ctx, new)
}

/// setresuid(2).
pub(crate) fn setresuid(ctx: &Ctx<'_>, real: u32, effective: u32, saved: u32) -> Result<usize> {
    let old = ctx.identity();
    let mut new = Identity::clone(&old);
    let is_free = old.can(Capabilities::SETUID);
    for (id, field) in [(real, &mut new.uid), (effective, &mut new.euid), (saved, &mut new.suid)] {
        if id != SAME {
            allow(is_free || [old.uid, old.euid, old.suid].contains(&id))?;
            *field = id;
        }
    }
    new.fsuid = new.euid;
    commit(ctx, new)
}

/// setresgid(2).
pub(crate) fn setresgid(ctx: &Ctx<'_>, real: u32, effective: u32, saved: u32) -> Result<usize> {
    let old = ctx.identity();
    let mut new = Identity::clone(&old);
    let is_free = old.can(Capabilities::SETGID);
    for (id, field) in [(real, &mut new.gid), (effective, &mut new.egid), (saved, &mut new.sgid)] {
        if id != SAME {
            allow(is_free || [old.gid, old.egid, old.sgid].contains(&id))?;
            *field = id;
        }
    }
    new.fsgid = new.egid;
    commit(ctx, new)
}

/// setfsuid(2): returns the id before, changed or not.
pub(crate) fn setfsuid(ctx: &Ctx<'_>, uid: u32) -> Result<usize> {
    let old = ctx.identity();
    if uid != SAME && (old.can(Capabilities::SETUID) || [old.uid, old.euid, old.suid, old.fsuid].contains(&uid)) {
        let mut new = Identity::clone(&old);
        new.fsuid = uid;
        follow_file_user(&old, &mut new);
        note_change(ctx, &old, &new);
        ctx.thread().set_identity(new);
    }
    Ok(old.fsuid as usize)
}

/// setfsgid(2): returns the id before, changed or not.
pub(crate) fn setfsgid(ctx: &Ctx<'_>, gid: u32) -> Result<usize> {
    let old = ctx.identity();
    if gid != SAME && (old.can(Capabilities::SETGID) || [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid)) {
        let new = Identity { fsgid: gid, ..Identity::clone(&old) };
        note_change(ctx, &old, &new);
        ctx.thread().set_identity(new);
    }
    Ok(old.fsgid as usize)
}

/// getgroups(2).
pub(crate) fn getgroups(ctx: &Ctx<'_>, size: i32, list: UserPtr<'_, u32>) -> Result<usize> {
    let identity = ctx.identity();
    let room = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let count = identity.groups.len();
    if room == 0 {
        return Ok(count);
    }
    if room < count {
        return Err(Errno::EINVAL);
    }
    list.slice(count)?.write_all(&identity.groups)?;
    Ok(count)
}

/// setgroups(2).
pub(crate) fn setgroups(ctx: &Ctx<'_>, size: usize, list: UserPtr<'_, u32>) -> Result<usize> {
    let old = ctx.identity();
    allow(old.can(Capabilities::SETGID))?;
    if size > GROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut groups = list.slice(size)?.read_all()?;
    groups.sort_unstable();
    ctx.thread().set_identity(Identity { groups, ..Identity::clone(&old) });
    Ok(0)
}

fn check_id(id: u32) -> Result {
    if id == SAME { Err(Errno::EINVAL) } else { Ok(()) }
}

fn allow(is_allowed: bool) -> Result {
    if is_allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// Makes `new` the caller's credentials, with the capabilities that follow from its ids (capabilities(7), "Effect of
/// user ID changes on capabilities").
fn commit(ctx: &Ctx<'_>, mut new: Identity) -> Result<usize> {
    const KEEP_CAPABILITIES: u32 = 1 << 4;
    const NO_SETUID_FIXUP: u32 = 1 << 2;
    let old = ctx.identity();
    let bits = ctx.thread().secure_bits();
    if bits & NO_SETUID_FIXUP == 0 {
        let had_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
        let has_root = new.uid == 0 || new.euid == 0 || new.suid == 0;
        if had_root && !has_root {
            if bits & KEEP_CAPABILITIES == 0 {
                new.permitted = Capabilities::empty();
                new.effective = Capabilities::empty();
            }
            new.ambient = Capabilities::empty();
        }
        if old.euid == 0 && new.euid != 0 {
            new.effective = Capabilities::empty();
        } else if old.euid != 0 && new.euid == 0 {
            new.effective = new.permitted;
        }
        follow_file_user(&old, &mut new);
    }
    note_change(ctx, &old, &new);
    ctx.thread().set_identity(new);
    Ok(0)
}

/// Who acts under other ids than before is not to be looked into by the user before (prctl(2), PR_SET_DUMPABLE).
fn note_change(ctx: &Ctx<'_>, old: &Identity, new: &Identity) {
    if (old.euid, old.egid, old.fsuid, old.fsgid) != (new.euid, new.egid, new.fsuid, new.fsgid) {
        ctx.process().set_dumpable(0);
        ctx.thread().set_parent_death_signal(0);
    }
}

/// The file system capabilities follow the file system user id.
fn follow_file_user(old: &Identity, new: &mut Identity) {
    let files = Capabilities::CHOWN
        | Capabilities::DAC_OVERRIDE
        | Capabilities::DAC_READ_SEARCH
        | Capabilities::FOWNER
        | Capabilities::FSETID
        | Capabilities::LINUX_IMMUTABLE
        | Capabilities::MKNOD;
    if old.fsuid == 0 && new.fsuid != 0 {
        new.effective -= files;
    } else if old.fsuid != 0 && new.fsuid == 0 {
        new.effective |= files & new.permitted;
    }
}
