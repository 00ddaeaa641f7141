//! Clocks, sleeping, timerfd.

use super::argument::Fd;
use super::context::Ctx;
use super::file::{CLOSE_ON_EXEC, install, operable};
use super::time_value::{SECOND_NS, TimeSpec, TimeVal, deadline_after, time_left};
use crate::errno::{Errno, Result};
use crate::file::timerfd::{TimerClock, TimerFd, TimerSetting, TimerStart};
use crate::file::{OpenFile, StatusFlags, wall_clock};
use crate::fs::Capabilities;
use crate::machine::{task, time};
use crate::process::table;
use crate::vm::UserPtr;
use linux_raw_sys::general::{
    CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_REALTIME_ALARM, CLOCK_REALTIME_COARSE, CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID, TFD_TIMER_CANCEL_ON_SET, TIMER_ABSTIME,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What the coarse clocks promise: Linux's tick at 250 Hz. They are as fine as the others here.
const COARSE_RESOLUTION_NS: u64 = 4_000_000;

/// A clock that can be read.
#[derive(Clone, Copy)]
pub(super) enum ClockKind {
    Timer(TimerClock),
    /// CPU time of a process; 0 is the caller's.
    Process(i32),
    /// CPU time of a thread; 0 is the caller.
    Thread(i32),
}

/// Returns the clock with Linux's number; negative ones hold a process or thread id (clock_getcpuclockid(3)). EINVAL.
pub(super) fn clock(number: u32) -> Result<ClockKind> {
    match number {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_REALTIME_ALARM | CLOCK_TAI => {
            Ok(ClockKind::Timer(TimerClock::Wall))
        }
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => {
            Ok(ClockKind::Timer(TimerClock::Monotonic))
        }
        CLOCK_PROCESS_CPUTIME_ID => Ok(ClockKind::Process(0)),
        CLOCK_THREAD_CPUTIME_ID => Ok(ClockKind::Thread(0)),
        // The low two bits say which time (3: a clock that is a file), the next one "thread".
        _ if number as i32 >= 0 || number & 3 == 3 => Err(Errno::EINVAL),
        _ if number & 4 != 0 => Ok(ClockKind::Thread(!(number as i32 >> 3))),
        _ => Ok(ClockKind::Process(!(number as i32 >> 3))),
    }
}

/// Reads a clock. EINVAL for ids of nobody.
pub(super) fn read_clock(ctx: &Ctx<'_>, number: u32) -> Result<u64> {
    match clock(number)? {
        ClockKind::Timer(timer) => Ok(timer.now_ns()),
        ClockKind::Process(id) => {
            let process = if id == 0 { Some(ctx.process().clone()) } else { table::find(id) };
            let usage = process.ok_or(Errno::EINVAL)?.usage();
            Ok(usage.user_ns + usage.system_ns)
        }
        ClockKind::Thread(id) => {
            let thread = if id == 0 { Some(ctx.thread().clone()) } else { table::find_thread(id) };
            let time = thread.ok_or(Errno::EINVAL)?.cpu_time();
            Ok(time.user_ns + time.system_ns)
        }
    }
}

/// clock_gettime(2).
pub(crate) fn clock_gettime(ctx: &Ctx<'_>, number: u32, result: UserPtr<'_, TimeSpec>) -> Result {
    result.write(&TimeSpec::from_ns(read_clock(ctx, number)?))
}

/// clock_getres(2).
pub(crate) fn clock_getres(ctx: &Ctx<'_>, number: u32, result: UserPtr<'_, TimeSpec>) -> Result {
    read_clock(ctx, number)?;
    let resolution =
        if matches!(number, CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE) { COARSE_RESOLUTION_NS } else { 1 };
    result.write_if_wanted(&TimeSpec::from_ns(resolution))
}

/// clock_settime(2).
pub(crate) fn clock_settime(ctx: &Ctx<'_>, number: u32, value: UserPtr<'_, TimeSpec>) -> Result {
    Errno::EINVAL.when(number != CLOCK_REALTIME)?;
    let ns = value.read()?.to_ns()?;
    set_wall_clock(ctx, ns)
}

fn set_wall_clock(ctx: &Ctx<'_>, ns: u64) -> Result {
    Errno::EPERM.when(!ctx.thread().identity().can(Capabilities::SYS_TIME))?;
    wall_clock::set(ns);
    crate::process::update_clock();
    Ok(())
}

/// gettimeofday(2). The time zone is always UTC.
pub(crate) fn gettimeofday(_: &Ctx<'_>, value: UserPtr<'_, TimeVal>, zone: UserPtr<'_, [i32; 2]>) -> Result {
    value.write_if_wanted(&TimeVal::from_ns(time::wall_ns()))?;
    zone.write_if_wanted(&[0, 0])
}

/// settimeofday(2). A time zone is checked and not kept: the kernel has no use for it.
pub(crate) fn settimeofday(ctx: &Ctx<'_>, value: UserPtr<'_, TimeVal>, zone: UserPtr<'_, [i32; 2]>) -> Result {
    let value = value.non_null().map(|value| value.read()?.to_ns()).transpose()?;
    if let Some(zone) = zone.non_null() {
        let [minutes_west, _] = zone.read()?;
        Errno::EPERM.when(!ctx.thread().identity().can(Capabilities::SYS_TIME))?;
        Errno::EINVAL.when(!(-15 * 60..=15 * 60).contains(&minutes_west))?;
    }
    value.map_or(Ok(()), |ns| set_wall_clock(ctx, ns))
}

/// time(2).
pub(crate) fn time(_: &Ctx<'_>, result: UserPtr<'_, i64>) -> Result<usize> {
    let seconds = time::wall_ns() / SECOND_NS;
    result.write_if_wanted(&(seconds as i64))?;
    Ok(seconds as usize)
}

/// A sleep with a duration: until when, and where the time left is stored if a signal ends it.
struct Sleep {
    deadline_ns: u64,
    remaining: u64,
}

/// nanosleep(2).
pub(crate) fn nanosleep(ctx: &Ctx<'_>, duration: UserPtr<'_, TimeSpec>, remaining: UserPtr<'_, TimeSpec>) -> Result {
    let duration_ns = duration.read()?.to_ns()?;
    go_on_sleeping(ctx, Sleep { deadline_ns: deadline_after(duration_ns), remaining: remaining.address() })
}

/// Sleeps, or goes on with it after a stop.
fn go_on_sleeping(ctx: &Ctx<'_>, sleep: Sleep) -> Result {
    if task::sleep_until(sleep.deadline_ns).is_ok() {
        return Ok(());
    }
    let left = time_left(sleep.deadline_ns);
    if left == 0 {
        return Ok(());
    }
    UserPtr::new(ctx.space(), sleep.remaining).write_if_wanted(&TimeSpec::from_ns(left))?;
    Err(ctx.restart_later(move |ctx| go_on_sleeping(ctx, sleep)))
}

/// clock_nanosleep(2).
pub(crate) fn clock_nanosleep(
    ctx: &Ctx<'_>, number: u32, flags: u32, request: UserPtr<'_, TimeSpec>, remaining: UserPtr<'_, TimeSpec>,
) -> Result {
    let timer = match clock(number)? {
        ClockKind::Timer(_)
            if matches!(number, CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE) =>
        {
            return Err(Errno::EOPNOTSUPP);
        }
        ClockKind::Timer(timer) => timer,
        ClockKind::Thread(_) => return Err(Errno::EINVAL),
        ClockKind::Process(_) => return Err(Errno::EOPNOTSUPP),
    };
    let request_ns = request.read()?.to_ns()?;
    if flags & TIMER_ABSTIME == 0 {
        let deadline_ns = deadline_after(request_ns);
        return go_on_sleeping(ctx, Sleep { deadline_ns, remaining: remaining.address() });
    }
    match timer {
        TimerClock::Wall => wall_clock::sleep_until(request_ns)?,
        TimerClock::Monotonic => task::sleep_until(request_ns).map_err(|_| Errno::RESTART_NO_HANDLER)?,
    }
    Ok(())
}

/// `struct itimerspec`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct TimerSpec {
    pub(crate) interval: TimeSpec,
    pub(crate) value: TimeSpec,
}

impl TimerSpec {
    /// Makes it from a timer's setting.
    pub(crate) fn from_setting(setting: TimerSetting) -> TimerSpec {
        let (value, interval) = (TimeSpec::from_ns(setting.value_ns), TimeSpec::from_ns(setting.interval_ns));
        TimerSpec { interval, value }
    }

    /// Returns the setting. EINVAL.
    pub(crate) fn to_setting(self) -> Result<TimerSetting> {
        Ok(TimerSetting { value_ns: self.value.to_ns()?, interval_ns: self.interval.to_ns()? })
    }
}

/// timerfd_create(2).
pub(crate) fn timerfd_create(ctx: &Ctx<'_>, number: u32, flags: u32) -> Result<usize> {
    let timer = match number {
        CLOCK_REALTIME | CLOCK_REALTIME_ALARM => TimerClock::Wall,
        CLOCK_MONOTONIC | CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => TimerClock::Monotonic,
        _ => return Err(Errno::EINVAL),
    };
    Errno::EINVAL.when(flags & !(CLOSE_ON_EXEC | StatusFlags::NON_BLOCKING.bits()) != 0)?;
    let status = StatusFlags::READ_WRITE | StatusFlags::from_bits_truncate(flags & StatusFlags::NON_BLOCKING.bits());
    install(ctx, OpenFile::new(TimerFd::new(timer, number), status), flags & CLOSE_ON_EXEC != 0)
}

/// timerfd_settime(2).
pub(crate) fn timerfd_settime(
    ctx: &Ctx<'_>, fd: Fd, flags: u32, new: UserPtr<'_, TimerSpec>, old: UserPtr<'_, TimerSpec>,
) -> Result {
    let setting = new.read()?.to_setting();
    Errno::EINVAL.when(flags & !(TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0)?;
    let setting = setting?;
    let timer = operable(ctx, fd)?.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    let start = match flags {
        0 | TFD_TIMER_CANCEL_ON_SET => TimerStart::Relative,
        TIMER_ABSTIME => TimerStart::Absolute,
        _ => TimerStart::AbsoluteUnlessSet,
    };
    let before = timer.set(setting, start);
    old.write_if_wanted(&TimerSpec::from_setting(before))
}

/// timerfd_gettime(2).
pub(crate) fn timerfd_gettime(ctx: &Ctx<'_>, fd: Fd, current: UserPtr<'_, TimerSpec>) -> Result {
    let timer = operable(ctx, fd)?.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    current.write(&TimerSpec::from_setting(timer.get()))
}

/// `struct timex` (adjtimex(2)).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Timex {
    modes: u32,
    _padding: u32,
    offset: i64,
    frequency: i64,
    maximum_error: i64,
    estimated_error: i64,
    status: i32,
    _padding_status: u32,
    constant: i64,
    precision: i64,
    tolerance: i64,
    time: TimeVal,
    tick: i64,
    pulse: [i64; 2],
    shift: i32,
    _padding_shift: u32,
    statistics: [i64; 5],
    tai: i32,
    _rest: [i32; 11],
}

const _: () = assert!(size_of::<Timex>() == 208);

/// adjtimex(2): tells how the clock runs, which nobody disciplines. Adjusting is EINVAL.
pub(crate) fn adjtimex(ctx: &Ctx<'_>, timex: UserPtr<'_, Timex>) -> Result<usize> {
    const OFFSET_ONCE: u32 = 0x8001;
    const OFFSET_READ: u32 = 0xa001;
    const UNSYNCHRONISED: i32 = 0x40;
    const TIME_ERROR: usize = 5;

    let Timex { modes, offset, .. } = timex.read()?;
    // The clock is never slewed: there is nothing left of it to do, and adjtime(3) may say so.
    let is_allowed = modes == OFFSET_ONCE && offset == 0 && ctx.identity().can(Capabilities::SYS_TIME);
    if modes != 0 && modes != OFFSET_READ && !is_allowed {
        return Err(if ctx.identity().can(Capabilities::SYS_TIME) { Errno::EINVAL } else { Errno::EPERM });
    }
    timex.write(&Timex {
        modes,
        maximum_error: 16_000_000,
        estimated_error: 16_000_000,
        status: UNSYNCHRONISED,
        constant: 2,
        precision: 1,
        tolerance: 32_768_000,
        time: TimeVal::from_ns(time::wall_ns()),
        tick: 10_000,
        ..Timex::default()
    })?;
    Ok(TIME_ERROR)
}

/// clock_adjtime(2), of the wall clock.
pub(crate) fn clock_adjtime(ctx: &Ctx<'_>, number: u32, timex: UserPtr<'_, Timex>) -> Result<usize> {
    match number {
        CLOCK_REALTIME => adjtimex(ctx, timex),
        _ => clock(number).and(Err(Errno::EOPNOTSUPP)),
    }
}
