//! The machine as a whole: its names, memory and log, random bytes, and its end.

use super::context::Ctx;
use super::mount;
use super::time_value::SECOND_NS;
use crate::errno::{Errno, Result};
use crate::fs::Capabilities;
use crate::machine::console::{self, log};
use crate::machine::memory::{self, PAGE_SIZE};
use crate::machine::{cpu, platform, random, task, time};
use crate::process::{system_log, system_name, table};
use crate::tty;
use crate::vm::UserPtr;
use alloc::vec;
use linux_raw_sys::general::{
    GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM, LINUX_REBOOT_CMD_CAD_OFF, LINUX_REBOOT_CMD_CAD_ON,
    LINUX_REBOOT_CMD_HALT, LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_CMD_RESTART2,
    LINUX_REBOOT_MAGIC1,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A field of `struct utsname`: 64 bytes and a NUL.
const NAME_SIZE: usize = 65;

/// uname(2).
pub(crate) fn uname(_: &Ctx<'_>, names: UserPtr<'_, [u8; 6 * NAME_SIZE]>) -> Result {
    let mut bytes = [0; 6 * NAME_SIZE];
    let host = system_name::host_name();
    let domain = system_name::domain_name();
    let release = system_name::RELEASE.as_bytes();
    let fields = [b"Linux", host.as_slice(), release, system_name::VERSION.as_bytes(), b"x86_64", &domain];
    for (slot, field) in bytes.chunks_exact_mut(NAME_SIZE).zip(fields) {
        let length = field.len().min(NAME_SIZE - 1);
        slot[..length].copy_from_slice(&field[..length]);
    }
    names.write(&bytes)
}

/// sethostname(2).
pub(crate) fn sethostname(ctx: &Ctx<'_>, name: UserPtr<'_, u8>, length: i32) -> Result {
    set_name(ctx, name, length, system_name::set_host_name)
}

/// setdomainname(2).
pub(crate) fn setdomainname(ctx: &Ctx<'_>, name: UserPtr<'_, u8>, length: i32) -> Result {
    set_name(ctx, name, length, system_name::set_domain_name)
}

fn set_name(ctx: &Ctx<'_>, name: UserPtr<'_, u8>, length: i32, set: fn(&[u8]) -> Result) -> Result {
    require(ctx, Capabilities::SYS_ADMIN)?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    Errno::EINVAL.when(length > system_name::NAME_LIMIT)?;
    let name = if length == 0 { vec![] } else { name.slice(length)?.read_all()? };
    set(&name)
}

/// `struct sysinfo` (sysinfo(2)).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SystemInformation {
    uptime: i64,
    loads: [u64; 3],
    total: u64,
    free: u64,
    shared: u64,
    buffers: u64,
    total_swap: u64,
    free_swap: u64,
    processes: u16,
    _padding: [u16; 3],
    total_high: u64,
    free_high: u64,
    unit: u32,
    _padding_end: u32,
}

/// sysinfo(2).
pub(crate) fn sysinfo(_: &Ctx<'_>, information: UserPtr<'_, SystemInformation>) -> Result {
    let frames = memory::statistics();
    // Load averages are fixed-point numbers with 16 bits after the point (SI_LOAD_SHIFT).
    let loads = task::statistics().load.map(|hundredths| (u64::from(hundredths) << 16) / 100);
    information.write(&SystemInformation {
        uptime: time::monotonic_ns().div_ceil(SECOND_NS) as i64,
        loads,
        total: (frames.total * PAGE_SIZE) as u64,
        free: (frames.free * PAGE_SIZE) as u64,
        processes: u16::try_from(table::thread_count()).unwrap_or(u16::MAX),
        unit: 1,
        ..SystemInformation::default()
    })
}

/// getrandom(2): the generator is seeded at start, so no flag ever makes it wait.
pub(crate) fn getrandom(_: &Ctx<'_>, buffer: UserPtr<'_, u8>, length: usize, flags: u32) -> Result<usize> {
    Errno::EINVAL.when(
        flags & !(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) != 0
            || flags & (GRND_RANDOM | GRND_INSECURE) == GRND_RANDOM | GRND_INSECURE,
    )?;
    let mut to = buffer.destination(length.min(i32::MAX as usize))?;
    let mut bytes = [0; 256];
    while to.remaining() > 0 {
        let count = bytes.len().min(to.remaining());
        random::fill(&mut bytes[..count]);
        match to.put(&bytes[..count]) {
            Ok(put) if put == count => {}
            Err(error) if to.done() == 0 => return Err(error),
            _ => break,
        }
        task::reschedule_point();
    }
    Ok(to.done())
}

/// getcpu(2): all CPUs are of one node.
pub(crate) fn getcpu(_: &Ctx<'_>, number: UserPtr<'_, u32>, node: UserPtr<'_, u32>) -> Result {
    number.write_if_wanted(&(cpu::index() as u32))?;
    node.write_if_wanted(&0)
}

/// What syslog(2) says the log's buffer holds (SYSLOG_ACTION_SIZE_BUFFER).
const LOG_SIZE: usize = 1 << 18;

/// syslog(2).
pub(crate) fn syslog(ctx: &Ctx<'_>, action: i32, buffer: UserPtr<'_, u8>, length: i32) -> Result<usize> {
    const READ_ALL: i32 = 3;
    const READ_CLEAR: i32 = 4;
    const SIZE_BUFFER: i32 = 10;
    /// The level that shows everything but debugging (SYSLOG_ACTION_CONSOLE_ON).
    const CONSOLE_ON_LEVEL: u8 = 7;
    /// Only emergencies (SYSLOG_ACTION_CONSOLE_OFF).
    const CONSOLE_OFF_LEVEL: u8 = 1;

    Errno::EPERM.when(
        !matches!(action, READ_ALL | SIZE_BUFFER)
            && !ctx.identity().can(Capabilities::SYSLOG)
            && !ctx.identity().can(Capabilities::SYS_ADMIN),
    )?;
    match action {
        0 | 1 => Ok(0),
        2..=4 => {
            let length = usize::try_from(length).ok().filter(|_| !buffer.is_null()).ok_or(Errno::EINVAL)?;
            if length == 0 {
                return Ok(0);
            }
            let mut to = buffer.destination(length)?;
            let text = if action == 2 { system_log::take_lines(length) } else { system_log::last_lines(length) };
            let count = to.put(text.as_bytes())?;
            if action == READ_CLEAR {
                system_log::clear();
            }
            Ok(count)
        }
        5 => {
            system_log::clear();
            Ok(0)
        }
        6 | 7 => {
            console::set_console_level(if action == 6 { CONSOLE_OFF_LEVEL } else { CONSOLE_ON_LEVEL });
            Ok(0)
        }
        8 => {
            let level = u8::try_from(length).ok().filter(|level| (1..=8).contains(level)).ok_or(Errno::EINVAL)?;
            console::set_console_level(level);
            Ok(0)
        }
        9 => Ok(system_log::unread()),
        SIZE_BUFFER => Ok(LOG_SIZE),
        _ => Err(Errno::EINVAL),
    }
}

/// vhangup(2).
pub(crate) fn vhangup(_: &Ctx<'_>) -> Result {
    tty::hang_up_own()
}

/// reboot(2). File systems are written out first, which Linux leaves to the caller.
pub(crate) fn reboot(ctx: &Ctx<'_>, magic: u32, magic2: u32, command: u32, _text: u64) -> Result<usize> {
    const MAGICS: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];

    require(ctx, Capabilities::SYS_BOOT)?;
    Errno::EINVAL.when(magic != LINUX_REBOOT_MAGIC1 || !MAGICS.contains(&magic2))?;
    match command {
        LINUX_REBOOT_CMD_CAD_ON | LINUX_REBOOT_CMD_CAD_OFF => {
            tty::set_restart_at_keys(command == LINUX_REBOOT_CMD_CAD_ON);
            Ok(0)
        }
        LINUX_REBOOT_CMD_RESTART | LINUX_REBOOT_CMD_RESTART2 => {
            mount::sync(ctx)?;
            tty::finish_output();
            log!(Emergency, "reboot: Restarting system");
            platform::restart()
        }
        LINUX_REBOOT_CMD_HALT => {
            mount::sync(ctx)?;
            tty::finish_output();
            log!(Emergency, "reboot: System halted");
            platform::halt()
        }
        LINUX_REBOOT_CMD_POWER_OFF => {
            mount::sync(ctx)?;
            tty::finish_output();
            log!(Emergency, "reboot: Power down");
            platform::power_off()
        }
        _ => Err(Errno::EINVAL),
    }
}

/// EPERM without the capability.
fn require(ctx: &Ctx<'_>, capability: Capabilities) -> Result {
    if ctx.identity().can(capability) { Ok(()) } else { Err(Errno::EPERM) }
}
