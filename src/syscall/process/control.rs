//! prctl(2), arch_prctl(2), personality(2), capget(2) and capset(2).

use crate::errno::{Errno, Result};
use crate::fs::{Capabilities, Identity};
use crate::process::{NAME_LENGTH, Signal, table};
use crate::syscall::context::Ctx;
use crate::vm::UserPtr;
use linux_raw_sys::general::{_LINUX_CAPABILITY_VERSION_1, _LINUX_CAPABILITY_VERSION_2, _LINUX_CAPABILITY_VERSION_3};
use linux_raw_sys::prctl as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// ARCH_* of arch_prctl(2).
const ARCH_SET_GS: i32 = 0x1001;
const ARCH_SET_FS: i32 = 0x1002;
const ARCH_GET_FS: i32 = 0x1003;
const ARCH_GET_GS: i32 = 0x1004;
const ARCH_GET_CPUID: i32 = 0x1011;
const ARCH_SET_CPUID: i32 = 0x1012;
/// SECBIT_KEEP_CAPS, and the bits that PR_SET_SECUREBITS knows.
const KEEP_CAPABILITIES: u32 = 1 << 4;
const SECURE_BITS: u32 = 0xff;
const SECURE_LOCKS: u32 = 0xaa;
/// "Query only" of personality(2).
const PERSONALITY_QUERY: u32 = u32::MAX;

/// arch_prctl(2).
pub(crate) fn arch_prctl(ctx: &Ctx<'_>, operation: i32, address: u64) -> Result<usize> {
    let out = UserPtr::<u64>::new(ctx.space(), address);
    let mut user = ctx.user.borrow_mut();
    let is_set = match operation {
        ARCH_SET_FS => user.set_fs_base(address),
        ARCH_SET_GS => user.set_gs_base(address),
        ARCH_GET_FS => {
            out.write(&user.fs_base())?;
            true
        }
        ARCH_GET_GS => {
            out.write(&user.gs_base())?;
            true
        }
        // "The instruction is never trapped": 1, and no way to change that.
        ARCH_GET_CPUID => return Ok(1),
        ARCH_SET_CPUID => return Err(Errno::ENODEV),
        _ => return Err(Errno::EINVAL),
    };
    if is_set { Ok(0) } else { Err(Errno::EPERM) }
}

/// personality(2): only the number is kept; the flags that change behaviour are those of exec and memory.
pub(crate) fn personality(ctx: &Ctx<'_>, personality: u32) -> Result<usize> {
    let process = ctx.process();
    let old =
        if personality == PERSONALITY_QUERY { process.personality() } else { process.set_personality(personality) };
    Ok(old as usize)
}

/// prctl(2).
pub(crate) fn prctl(ctx: &Ctx<'_>, option: u32, a: u64, b: u64, c: u64, d: u64) -> Result<usize> {
    let (thread, process) = (ctx.thread(), ctx.process());
    match option {
        raw::PR_SET_PDEATHSIG => {
            Errno::EINVAL.when(a > Signal::COUNT as u64)?;
            thread.change_attributes(|own| own.parent_death_signal = a as i32);
        }
        raw::PR_GET_PDEATHSIG => UserPtr::<i32>::new(ctx.space(), a).write(&thread.attributes().parent_death_signal)?,
        raw::PR_GET_DUMPABLE => return Ok(process.dumpable() as usize),
        raw::PR_SET_DUMPABLE if a <= 1 => process.set_dumpable(a as u32),
        raw::PR_SET_NAME => thread.set_name(&read_name(ctx, a)?),
        raw::PR_GET_NAME => write_name(ctx, a)?,
        raw::PR_GET_KEEPCAPS => return Ok(usize::from(thread.attributes().secure_bits & KEEP_CAPABILITIES != 0)),
        raw::PR_SET_KEEPCAPS if a <= 1 => {
            check(thread.attributes().secure_bits & KEEP_CAPABILITIES << 1 == 0)?;
            let bits = thread.attributes().secure_bits & !KEEP_CAPABILITIES;
            thread.change_attributes(|own| own.secure_bits = bits | if a == 1 { KEEP_CAPABILITIES } else { 0 });
        }
        raw::PR_CAPBSET_READ => {
            let capability = capability(a)?;
            return Ok(usize::from(ctx.identity().bounding.contains(capability)));
        }
        raw::PR_CAPBSET_DROP => {
            let old = ctx.identity();
            check(old.can(Capabilities::SETPCAP))?;
            let bounding = old.bounding - capability(a)?;
            thread.set_identity(Identity { bounding, ..Identity::clone(&old) });
        }
        raw::PR_CAP_AMBIENT => return ambient(ctx, a, b, c, d),
        raw::PR_GET_SECUREBITS => return Ok(thread.attributes().secure_bits as usize),
        raw::PR_SET_SECUREBITS => {
            // Each odd bit locks the even one below it, and itself.
            let old = thread.attributes().secure_bits;
            let locks = old & SECURE_LOCKS;
            let is_locked = (locks >> 1) & (old ^ a as u32) != 0 || locks & !(a as u32) != 0;
            check(ctx.identity().can(Capabilities::SETPCAP) && a as u32 & !SECURE_BITS == 0 && !is_locked)?;
            thread.change_attributes(|own| own.secure_bits = a as u32);
        }
        raw::PR_SET_NO_NEW_PRIVS if (a, b, c, d) == (1, 0, 0, 0) => {
            thread.change_attributes(|own| own.no_new_privileges = true)
        }
        raw::PR_GET_NO_NEW_PRIVS if (a, b, c, d) == (0, 0, 0, 0) => {
            return Ok(usize::from(thread.attributes().no_new_privileges));
        }
        raw::PR_SET_CHILD_SUBREAPER => process.set_subreaper(a != 0),
        raw::PR_GET_CHILD_SUBREAPER => {
            UserPtr::<i32>::new(ctx.space(), a).write(&i32::from(process.is_subreaper()))?;
        }
        raw::PR_SET_TIMERSLACK => {
            thread.change_attributes(|own| own.timer_slack_ns = if a as i64 <= 0 { 50_000 } else { a })
        }
        raw::PR_GET_TIMERSLACK => return Ok(thread.attributes().timer_slack_ns as usize),
        raw::PR_GET_TID_ADDRESS => UserPtr::<u64>::new(ctx.space(), a).write(&thread.clear_child_tid())?,
        raw::PR_SET_THP_DISABLE if (b, c, d) == (0, 0, 0) => ctx.space().refuse_large_pages(a != 0),
        raw::PR_GET_THP_DISABLE if (a, b, c, d) == (0, 0, 0, 0) => {
            return Ok(usize::from(ctx.space().refuses_large_pages()));
        }
        // No filter is installed and none can be.
        raw::PR_GET_SECCOMP => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Reads a thread name: up to its NUL, at most 15 bytes.
fn read_name(ctx: &Ctx<'_>, address: u64) -> Result<alloc::vec::Vec<u8>> {
    let mut name = alloc::vec::Vec::with_capacity(NAME_LENGTH);
    let start = UserPtr::<u8>::new(ctx.space(), address);
    while name.len() < NAME_LENGTH {
        match start.add(name.len()).read()? {
            0 => break,
            byte => name.push(byte),
        }
    }
    Ok(name)
}

fn write_name(ctx: &Ctx<'_>, address: u64) -> Result {
    let mut bytes = [0; NAME_LENGTH + 1];
    ctx.thread().with_name(|name| bytes[..name.len()].copy_from_slice(name));
    UserPtr::<[u8; NAME_LENGTH + 1]>::new(ctx.space(), address).write(&bytes)
}

fn capability(number: u64) -> Result<Capabilities> {
    let bits = 1u64.checked_shl(u32::try_from(number).map_err(|_| Errno::EINVAL)?).ok_or(Errno::EINVAL)?;
    Errno::EINVAL.when(Capabilities::ALL.bits() & bits == 0)?;
    Ok(Capabilities::from_bits_retain(bits))
}

fn check(is_allowed: bool) -> Result {
    if is_allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// PR_CAP_AMBIENT: capabilities that survive exec of ordinary programs.
fn ambient(ctx: &Ctx<'_>, operation: u64, number: u64, c: u64, d: u64) -> Result<usize> {
    const NO_AMBIENT_RAISE: u32 = 1 << 6;
    Errno::EINVAL.when(c != 0 || d != 0)?;
    let old = ctx.identity();
    let mut new = Identity::clone(&old);
    match operation as u32 {
        raw::PR_CAP_AMBIENT_CLEAR_ALL if number == 0 => new.ambient = Capabilities::empty(),
        raw::PR_CAP_AMBIENT_IS_SET => return Ok(usize::from(old.ambient.contains(capability(number)?))),
        raw::PR_CAP_AMBIENT_LOWER => new.ambient -= capability(number)?,
        raw::PR_CAP_AMBIENT_RAISE => {
            let capability = capability(number)?;
            check(old.permitted.contains(capability) && old.inheritable.contains(capability))?;
            check(ctx.thread().attributes().secure_bits & NO_AMBIENT_RAISE == 0)?;
            new.ambient |= capability;
        }
        _ => return Err(Errno::EINVAL),
    }
    ctx.thread().set_identity(new);
    Ok(0)
}

/// `struct __user_cap_header_struct`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CapabilityHeader {
    version: u32,
    id: i32,
}

/// `struct __user_cap_data_struct`: 32 capabilities each.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Returns how many data structs the header's version has; writes the kernel's version into a wrong one. EINVAL.
fn words(header: UserPtr<'_, CapabilityHeader>) -> Result<(CapabilityHeader, usize)> {
    let value = header.read()?;
    match value.version {
        _LINUX_CAPABILITY_VERSION_1 => Ok((value, 1)),
        _LINUX_CAPABILITY_VERSION_2 | _LINUX_CAPABILITY_VERSION_3 => Ok((value, 2)),
        _ => {
            header.write(&CapabilityHeader { version: _LINUX_CAPABILITY_VERSION_3, ..value })?;
            Err(Errno::EINVAL)
        }
    }
}

/// capget(2).
pub(crate) fn capget(
    ctx: &Ctx<'_>, header: UserPtr<'_, CapabilityHeader>, data: UserPtr<'_, CapabilityData>,
) -> Result {
    let (value, count) = match words(header) {
        // "… a NULL data pointer … used to probe the version."
        Err(Errno::EINVAL) if data.is_null() => return Ok(()),
        other => other?,
    };
    Errno::EINVAL.when(value.id < 0)?;
    let identity = match value.id {
        0 => ctx.identity(),
        id => table::find_thread(id).ok_or(Errno::ESRCH)?.identity(),
    };
    let part = |set: Capabilities, word: usize| (set.bits() >> (32 * word)) as u32;
    for word in 0..count {
        data.add(word).write(&CapabilityData {
            effective: part(identity.effective, word),
            permitted: part(identity.permitted, word),
            inheritable: part(identity.inheritable, word),
        })?;
    }
    Ok(())
}

/// capset(2).
pub(crate) fn capset(
    ctx: &Ctx<'_>, header: UserPtr<'_, CapabilityHeader>, data: UserPtr<'_, CapabilityData>,
) -> Result {
    let (value, count) = words(header)?;
    check(value.id == 0 || value.id == ctx.thread().id())?;
    let (mut effective, mut permitted, mut inheritable) = (0u64, 0u64, 0u64);
    for word in 0..count {
        let data = data.add(word).read()?;
        effective |= u64::from(data.effective) << (32 * word);
        permitted |= u64::from(data.permitted) << (32 * word);
        inheritable |= u64::from(data.inheritable) << (32 * word);
    }
    let all = Capabilities::ALL;
    let (effective, permitted, inheritable) = (
        Capabilities::from_bits_retain(effective) & all,
        Capabilities::from_bits_retain(permitted) & all,
        Capabilities::from_bits_retain(inheritable) & all,
    );

    let old = ctx.identity();
    check(old.can(Capabilities::SETPCAP) || (old.inheritable | old.permitted).contains(inheritable))?;
    check((old.inheritable | old.bounding).contains(inheritable))?;
    check(old.permitted.contains(permitted))?;
    check(permitted.contains(effective))?;
    let ambient = old.ambient & permitted & inheritable;
    ctx.thread().set_identity(Identity { effective, permitted, inheritable, ambient, ..Identity::clone(&old) });
    Ok(())
}
