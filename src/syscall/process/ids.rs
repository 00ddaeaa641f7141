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
pub(crate) fn getpid(ctx: &Ctx<'_>) -> Result<i32> {
    Ok(ctx.process().id())
}

/// gettid(2).
pub(crate) fn gettid(ctx: &Ctx<'_>) -> Result<i32> {
    Ok(ctx.thread().id())
}

/// getppid(2).
pub(crate) fn getppid(ctx: &Ctx<'_>) -> Result<i32> {
    Ok(ctx.process().parent_id())
}

/// getpgrp(2).
pub(crate) fn getpgrp(ctx: &Ctx<'_>) -> Result<i32> {
    Ok(ctx.process().group_id())
}

/// getpgid(2).
pub(crate) fn getpgid(ctx: &Ctx<'_>, id: i32) -> Result<i32> {
    Ok(process_of(ctx, id)?.group_id())
}

/// getsid(2).
pub(crate) fn getsid(ctx: &Ctx<'_>, id: i32) -> Result<i32> {
    Ok(process_of(ctx, id)?.session_id())
}

/// setpgid(2).
pub(crate) fn setpgid(ctx: &Ctx<'_>, id: i32, group: i32) -> Result {
    job_control::set_group(ctx.process(), id, group)
}

/// setsid(2).
pub(crate) fn setsid(ctx: &Ctx<'_>) -> Result<i32> {
    job_control::create_session(ctx.process())
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
pub(crate) fn getuid(ctx: &Ctx<'_>) -> Result<u32> {
    Ok(ctx.identity().uid)
}

/// geteuid(2).
pub(crate) fn geteuid(ctx: &Ctx<'_>) -> Result<u32> {
    Ok(ctx.identity().euid)
}

/// getgid(2).
pub(crate) fn getgid(ctx: &Ctx<'_>) -> Result<u32> {
    Ok(ctx.identity().gid)
}

/// getegid(2).
pub(crate) fn getegid(ctx: &Ctx<'_>) -> Result<u32> {
    Ok(ctx.identity().egid)
}

/// The ids of a user or of a group: calls on both are alike.
#[derive(Clone, Copy)]
struct Ids {
    real: u32,
    effective: u32,
    saved: u32,
    file: u32,
}

/// Whose ids: what may change them freely, and where they are in the credentials.
struct Kind {
    capability: Capabilities,
    get: fn(&Identity) -> Ids,
    set: fn(&mut Identity, Ids),
}

const USER: Kind = Kind {
    capability: Capabilities::SETUID,
    get: |of| Ids { real: of.uid, effective: of.euid, saved: of.suid, file: of.fsuid },
    set: |of, ids| (of.uid, of.euid, of.suid, of.fsuid) = (ids.real, ids.effective, ids.saved, ids.file),
};

const GROUP: Kind = Kind {
    capability: Capabilities::SETGID,
    get: |of| Ids { real: of.gid, effective: of.egid, saved: of.sgid, file: of.fsgid },
    set: |of, ids| (of.gid, of.egid, of.sgid, of.fsgid) = (ids.real, ids.effective, ids.saved, ids.file),
};

type IdPtr<'c> = UserPtr<'c, u32>;

/// getresuid(2).
pub(crate) fn getresuid(ctx: &Ctx<'_>, real: IdPtr<'_>, effective: IdPtr<'_>, saved: IdPtr<'_>) -> Result {
    tell_all(&USER, ctx, [real, effective, saved])
}

/// getresgid(2).
pub(crate) fn getresgid(ctx: &Ctx<'_>, real: IdPtr<'_>, effective: IdPtr<'_>, saved: IdPtr<'_>) -> Result {
    tell_all(&GROUP, ctx, [real, effective, saved])
}

fn tell_all(kind: &Kind, ctx: &Ctx<'_>, to: [IdPtr<'_>; 3]) -> Result {
    let ids = (kind.get)(&ctx.identity());
    for (to, id) in to.iter().zip([ids.real, ids.effective, ids.saved]) {
        to.write(&id)?;
    }
    Ok(())
}

/// setuid(2): with CAP_SETUID all ids, else the effective one only.
pub(crate) fn setuid(ctx: &Ctx<'_>, uid: u32) -> Result {
    set_one(&USER, ctx, uid)
}

/// setgid(2).
pub(crate) fn setgid(ctx: &Ctx<'_>, gid: u32) -> Result {
    set_one(&GROUP, ctx, gid)
}

fn set_one(kind: &Kind, ctx: &Ctx<'_>, id: u32) -> Result {
    Errno::EINVAL.when(id == SAME)?;
    change(kind, ctx, |old, is_free| {
        allow(is_free || id == old.real || id == old.saved)?;
        let (real, saved) = if is_free { (id, id) } else { (old.real, old.saved) };
        Ok(Ids { real, effective: id, saved, file: id })
    })
}

/// setreuid(2).
pub(crate) fn setreuid(ctx: &Ctx<'_>, real: u32, effective: u32) -> Result {
    set_two(&USER, ctx, real, effective)
}

/// setregid(2).
pub(crate) fn setregid(ctx: &Ctx<'_>, real: u32, effective: u32) -> Result {
    set_two(&GROUP, ctx, real, effective)
}

fn set_two(kind: &Kind, ctx: &Ctx<'_>, real: u32, effective: u32) -> Result {
    change(kind, ctx, |old, is_free| {
        let mut new = old;
        if real != SAME {
            allow(is_free || real == old.real || real == old.effective)?;
            new.real = real;
        }
        if effective != SAME {
            allow(is_free || old.has(effective))?;
            new.effective = effective;
        }
        if real != SAME || effective != SAME && effective != old.real {
            new.saved = new.effective;
        }
        Ok(Ids { file: new.effective, ..new })
    })
}

/// setresuid(2).
pub(crate) fn setresuid(ctx: &Ctx<'_>, real: u32, effective: u32, saved: u32) -> Result {
    set_all(&USER, ctx, [real, effective, saved])
}

/// setresgid(2).
pub(crate) fn setresgid(ctx: &Ctx<'_>, real: u32, effective: u32, saved: u32) -> Result {
    set_all(&GROUP, ctx, [real, effective, saved])
}

fn set_all(kind: &Kind, ctx: &Ctx<'_>, ids: [u32; 3]) -> Result {
    change(kind, ctx, |old, is_free| {
        let mut new = old;
        for (id, field) in ids.into_iter().zip([&mut new.real, &mut new.effective, &mut new.saved]) {
            if id != SAME {
                allow(is_free || old.has(id))?;
                *field = id;
            }
        }
        Ok(Ids { file: new.effective, ..new })
    })
}

/// setfsuid(2): returns the id before, changed or not.
pub(crate) fn setfsuid(ctx: &Ctx<'_>, uid: u32) -> Result<usize> {
    set_file(&USER, ctx, uid)
}

/// setfsgid(2): returns the id before, changed or not.
pub(crate) fn setfsgid(ctx: &Ctx<'_>, gid: u32) -> Result<usize> {
    set_file(&GROUP, ctx, gid)
}

fn set_file(kind: &Kind, ctx: &Ctx<'_>, id: u32) -> Result<usize> {
    let identity = ctx.identity();
    let old = (kind.get)(&identity);
    if id != SAME && (identity.can(kind.capability) || old.has(id) || old.file == id) {
        let mut new = Identity::clone(&identity);
        (kind.set)(&mut new, Ids { file: id, ..old });
        follow_file_user(&identity, &mut new);
        note_change(ctx, &identity, &new);
        ctx.thread().set_identity(new);
    }
    Ok(old.file as usize)
}

impl Ids {
    fn has(self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }
}

/// Changes the caller's ids to what `choose` makes of the old ones and of whether any are allowed.
fn change(kind: &Kind, ctx: &Ctx<'_>, choose: impl FnOnce(Ids, bool) -> Result<Ids>) -> Result {
    let old = ctx.identity();
    let mut new = Identity::clone(&old);
    (kind.set)(&mut new, choose((kind.get)(&old), old.can(kind.capability))?);
    commit(ctx, &old, new)
}

/// getgroups(2).
pub(crate) fn getgroups(ctx: &Ctx<'_>, size: i32, list: UserPtr<'_, u32>) -> Result<usize> {
    let identity = ctx.identity();
    let room = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let count = identity.groups.len();
    if room == 0 {
        return Ok(count);
    }
    Errno::EINVAL.when(room < count)?;
    list.slice(count)?.write_all(&identity.groups)?;
    Ok(count)
}

/// setgroups(2).
pub(crate) fn setgroups(ctx: &Ctx<'_>, size: usize, list: UserPtr<'_, u32>) -> Result {
    let old = ctx.identity();
    allow(old.can(Capabilities::SETGID))?;
    Errno::EINVAL.when(size > GROUPS_MAX)?;
    let mut groups = list.slice(size)?.read_all()?;
    groups.sort_unstable();
    ctx.thread().set_identity(Identity { groups, ..Identity::clone(&old) });
    Ok(())
}

fn allow(is_allowed: bool) -> Result {
    if is_allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// Makes `new` the caller's credentials, with the capabilities that follow from its ids (capabilities(7), "Effect of
/// user ID changes on capabilities").
fn commit(ctx: &Ctx<'_>, old: &Identity, mut new: Identity) -> Result {
    const KEEP_CAPABILITIES: u32 = 1 << 4;
    const NO_SETUID_FIXUP: u32 = 1 << 2;
    let bits = ctx.thread().attributes().secure_bits;
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
        follow_file_user(old, &mut new);
    }
    note_change(ctx, old, &new);
    ctx.thread().set_identity(new);
    Ok(())
}

/// Who acts under other ids than before is not to be looked into by the user before (prctl(2), PR_SET_DUMPABLE).
fn note_change(ctx: &Ctx<'_>, old: &Identity, new: &Identity) {
    if (old.euid, old.egid, old.fsuid, old.fsgid) != (new.euid, new.egid, new.fsuid, new.fsgid) {
        ctx.process().set_dumpable(0);
        ctx.thread().change_attributes(|own| own.parent_death_signal = 0);
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
