//! Timers that send signals: alarm, setitimer, timer_create and relatives.

use super::context::Ctx;
use super::time::{ClockKind, TimerSpec, clock};
use super::time_value::{SECOND_NS, TimeVal};
use crate::errno::{Errno, Result};
use crate::file::timerfd::TimerSetting;
use crate::process::timers::{IntervalTimer, Notice, TimedBy};
use crate::process::{Signal, table};
use crate::vm::UserPtr;
use alloc::sync::Arc;
use linux_raw_sys::general::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID, TIMER_ABSTIME};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// alarm(2): returns the seconds that were left, rounded, but never 0 where there was something.
pub(crate) fn alarm(ctx: &Ctx<'_>, seconds: u32) -> Result<usize> {
    let timer = ctx.process().timers().interval(ctx.process(), IntervalTimer::Real);
    let before = timer.set(TimerSetting { value_ns: u64::from(seconds) * SECOND_NS, interval_ns: 0 }, false);
    let rounded = (before.value_ns + SECOND_NS / 2) / SECOND_NS;
    Ok(if before.value_ns > 0 { rounded.max(1) } else { 0 } as usize)
}

/// `struct itimerval`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct IntervalValue {
    interval: TimeVal,
    value: TimeVal,
}

impl IntervalValue {
    /// Microseconds are rounded up, so that an armed timer never looks disarmed.
    fn from_setting(setting: TimerSetting) -> IntervalValue {
        let up = |ns: u64| TimeVal::from_ns(ns.next_multiple_of(1000));
        IntervalValue { interval: up(setting.interval_ns), value: up(setting.value_ns) }
    }
}

fn interval_timer(which: u32) -> Result<IntervalTimer> {
    match which {
        0 => Ok(IntervalTimer::Real),
        1 => Ok(IntervalTimer::Virtual),
        2 => Ok(IntervalTimer::Profiling),
        _ => Err(Errno::EINVAL),
    }
}

/// getitimer(2).
pub(crate) fn getitimer(ctx: &Ctx<'_>, which: u32, current: UserPtr<'_, IntervalValue>) -> Result {
    let timer = ctx.process().timers().interval(ctx.process(), interval_timer(which)?);
    current.write(&IntervalValue::from_setting(timer.get()))
}

/// setitimer(2). A NULL new value disarms, as Linux has it.
pub(crate) fn setitimer(
    ctx: &Ctx<'_>, which: u32, new: UserPtr<'_, IntervalValue>, old: UserPtr<'_, IntervalValue>,
) -> Result {
    let setting = match new.non_null() {
        None => TimerSetting::default(),
        Some(new) => {
            let new = new.read()?;
            TimerSetting { value_ns: new.value.to_ns()?, interval_ns: new.interval.to_ns()? }
        }
    };
    let timer = ctx.process().timers().interval(ctx.process(), interval_timer(which)?);
    let before = timer.set(setting, false);
    old.write_if_wanted(&IntervalValue::from_setting(before))
}

/// `struct sigevent`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SignalEvent {
    pub(super) value: u64,
    pub(super) signal: i32,
    pub(super) notify: u32,
    thread: i32,
    _rest: [i32; 11],
}

/// timer_create(2).
pub(crate) fn timer_create(
    ctx: &Ctx<'_>, number: u32, event: UserPtr<'_, SignalEvent>, id: UserPtr<'_, i32>,
) -> Result {
    let process = Arc::downgrade(ctx.process());
    let timed_by = match clock(number)? {
        ClockKind::Timer(timer) => TimedBy::Clock(timer),
        ClockKind::Process(0) => TimedBy::ProcessTime(process.clone()),
        ClockKind::Thread(0) => TimedBy::ThreadTime(Arc::downgrade(ctx.thread())),
        ClockKind::Process(id) => TimedBy::ProcessTime(Arc::downgrade(&table::find(id).ok_or(Errno::EINVAL)?)),
        ClockKind::Thread(id) => TimedBy::ThreadTime(Arc::downgrade(&table::find_thread(id).ok_or(Errno::EINVAL)?)),
    };
    let event = event.read_if_given()?;
    let signal = |event: &SignalEvent| Signal::from_number(event.signal).ok_or(Errno::EINVAL);
    let timers = ctx.process().timers();
    let made = match event {
        // The signal's value is the timer's id then.
        None => timers.create(timed_by, |id| Notice::Process(process, Signal::ALRM, id as u64))?,
        Some(event) => {
            let notice = match event.notify {
                SIGEV_NONE => Notice::None,
                SIGEV_SIGNAL | SIGEV_THREAD => Notice::Process(process, signal(&event)?, event.value),
                SIGEV_THREAD_ID => {
                    let thread =
                        table::find_thread(event.thread).filter(|thread| Arc::ptr_eq(thread.process(), ctx.process()));
                    let thread = Arc::downgrade(&thread.ok_or(Errno::EINVAL)?);
                    Notice::Thread(thread, signal(&event)?, event.value)
                }
                _ => return Err(Errno::EINVAL),
            };
            timers.create(timed_by, |_| notice)?
        }
    };
    if let Err(error) = id.write(&made) {
        timers.delete(made)?;
        return Err(error);
    }
    Ok(())
}

/// timer_settime(2).
pub(crate) fn timer_settime(
    ctx: &Ctx<'_>, id: i32, flags: u32, new: UserPtr<'_, TimerSpec>, old: UserPtr<'_, TimerSpec>,
) -> Result {
    let setting = new.non_null().ok_or(Errno::EINVAL)?.read()?.to_setting()?;
    let before = ctx.process().timers().find(id)?.set(setting, flags & TIMER_ABSTIME != 0);
    old.write_if_wanted(&TimerSpec::from_setting(before))
}

/// timer_gettime(2).
pub(crate) fn timer_gettime(ctx: &Ctx<'_>, id: i32, current: UserPtr<'_, TimerSpec>) -> Result {
    let timer = ctx.process().timers().find(id)?;
    current.write(&TimerSpec::from_setting(timer.get()))
}

/// timer_getoverrun(2).
pub(crate) fn timer_getoverrun(ctx: &Ctx<'_>, id: i32) -> Result<usize> {
    ctx.process().timers().find(id).map(|timer| timer.overrun() as usize)
}

/// timer_delete(2).
pub(crate) fn timer_delete(ctx: &Ctx<'_>, id: i32) -> Result {
    ctx.process().timers().delete(id)
}
