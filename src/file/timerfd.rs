//! timerfd_create(2): a timer that is read.
//!
//! Expirations are counted from the clock when somebody looks; the machine's one-shot timer only wakes. After it fired
//! the file stays readable until a read, and the read arms the next one: no interrupt handler re-arms timers.

use super::{Events, File, Observer, Readiness, StatusFlags, wall_clock};
use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::machine::time::{self, Timer};
use crate::rank::Rank;
use crate::vm::Destination;
use alloc::sync::{Arc, Weak};
use alloc::{boxed::Box, format, string::String};
use core::sync::atomic::{AtomicU64, Ordering};

/// By which clock a timer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerClock {
    /// Follows changes of the wall clock.
    Wall,
    /// Nanoseconds since start.
    Monotonic,
}

impl TimerClock {
    /// Returns the clock's time now, in nanoseconds.
    pub(crate) fn now_ns(self) -> u64 {
        match self {
            TimerClock::Wall => time::wall_ns(),
            TimerClock::Monotonic => time::monotonic_ns(),
        }
    }

    /// Returns the monotonic time at which this clock will show `time_ns`.
    pub(crate) fn to_monotonic_ns(self, time_ns: u64) -> u64 {
        match self {
            TimerClock::Wall => time::monotonic_ns().saturating_add(time_ns.saturating_sub(time::wall_ns())),
            TimerClock::Monotonic => time_ns,
        }
    }
}

/// When a timer expires: first, and then again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimerSetting {
    /// Nanoseconds to (or, when set absolutely, of) the first expiration; 0 disarms.
    pub(crate) value_ns: u64,
    /// Nanoseconds between later expirations; 0 for none.
    pub(crate) interval_ns: u64,
}

/// A timerfd.
pub(crate) struct TimerFd {
    /// The number of the clock as timerfd_create(2) took it, for /proc.
    clock_number: u32,
    clock: TimerClock,
    shared: Arc<Shared>,
}

/// How timerfd_settime(2) takes the first expiration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerStart {
    /// From now: setting the clock does not move it.
    Relative,
    /// At a time of the clock.
    Absolute,
    /// The same, and a setting of the clock is told by ECANCELED (TFD_TIMER_CANCEL_ON_SET).
    AbsoluteUnlessSet,
}

/// What the machine's timer holds on to while it is armed.
struct Shared {
    this: Weak<Shared>,
    state: SpinLock<State>,
    /// The expiration that the machine's timer told of, in the clock's time: by a CPU's counter that lags a little it may
    /// seem to be ahead still.
    told_ns: AtomicU64,
    readiness: Readiness,
}

struct State {
    /// The next expiration not yet read, in the clock's time; `None` when disarmed.
    next_ns: Option<u64>,
    interval_ns: u64,
    /// What `next_ns` counts by: the wall clock only for absolute times.
    clock: TimerClock,
    start: TimerStart,
    /// The clock was set since, and the program wants to know.
    is_cancelled: bool,
    timer: Option<Timer>,
}

impl TimerFd {
    /// Makes a disarmed one.
    pub(crate) fn new(clock: TimerClock, clock_number: u32) -> Arc<TimerFd> {
        let start = TimerStart::Relative;
        let state = State { next_ns: None, interval_ns: 0, clock, start, is_cancelled: false, timer: None };
        let shared = Arc::new_cyclic(|this| Shared {
            this: this.clone(),
            state: SpinLock::new(Rank::Stream, state),
            told_ns: AtomicU64::new(0),
            readiness: Readiness::new(),
        });
        Arc::new(TimerFd { clock_number, clock, shared })
    }

    /// timerfd_settime(2): arms or disarms; returns the setting before.
    pub(crate) fn set(&self, setting: TimerSetting, start: TimerStart) -> TimerSetting {
        let mut state = self.shared.state.lock();
        let before = state.remaining(self.shared.now_ns(&state));
        state.interval_ns = setting.interval_ns;
        state.start = start;
        state.is_cancelled = false;
        state.clock = if start == TimerStart::Relative { TimerClock::Monotonic } else { self.clock };
        state.next_ns = match setting.value_ns {
            0 => None,
            value if start == TimerStart::Relative => Some(state.clock.now_ns().saturating_add(value)),
            value => Some(value),
        };
        self.shared.arm(&mut state);
        let follows_wall = state.clock == TimerClock::Wall;
        drop(state);
        if follows_wall {
            let observer: Arc<dyn Observer> = self.shared.clone();
            wall_clock::observe(&observer);
        }
        before
    }

    /// timerfd_gettime(2): the time left and the interval.
    pub(crate) fn get(&self) -> TimerSetting {
        let state = self.shared.state.lock();
        state.remaining(self.shared.now_ns(&state))
    }

    /// Takes the expirations since the last read. EAGAIN if there was none.
    fn take(&self) -> Result<u64> {
        let mut state = self.shared.state.lock();
        Errno::ECANCELED.when(core::mem::take(&mut state.is_cancelled))?;
        let now = self.shared.now_ns(&state);
        let Some(next) = state.next_ns.filter(|next| *next <= now) else {
            return Err(Errno::EAGAIN);
        };
        if state.interval_ns == 0 {
            state.next_ns = None;
            state.timer = None;
            return Ok(1);
        }
        let count = (now - next) / state.interval_ns + 1;
        state.next_ns = Some(next + count * state.interval_ns);
        self.shared.arm(&mut state);
        Ok(count)
    }
}

impl Shared {
    fn now_ns(&self, state: &State) -> u64 {
        state.clock.now_ns().max(self.told_ns.load(Ordering::Relaxed))
    }

    fn arm(&self, state: &mut State) {
        self.told_ns.store(0, Ordering::Relaxed);
        let armed = state.next_ns.zip(self.this.upgrade());
        state.timer = armed.map(|(next_ns, shared)| {
            let expire = move || {
                shared.told_ns.store(next_ns, Ordering::Relaxed);
                shared.readiness.announce(Events::READABLE);
            };
            Timer::at(state.clock.to_monotonic_ns(next_ns), Box::new(expire))
        });
    }
}

impl State {
    fn remaining(&self, now: u64) -> TimerSetting {
        let value_ns = match self.next_ns {
            None => 0,
            Some(next) if next > now => next - now,
            Some(_) if self.interval_ns == 0 => 0,
            Some(next) => self.interval_ns - (now - next) % self.interval_ns,
        };
        TimerSetting { value_ns, interval_ns: self.interval_ns }
    }

    fn is_ready(&self, now: u64) -> bool {
        self.is_cancelled || self.next_ns.is_some_and(|next_ns| next_ns <= now)
    }
}

/// Told that the wall clock was set.
impl Observer for Shared {
    fn notify(&self, _: Events) -> bool {
        let mut state = self.state.lock();
        if state.clock != TimerClock::Wall || state.next_ns.is_none() {
            return false;
        }
        state.is_cancelled = state.start == TimerStart::AbsoluteUnlessSet;
        self.arm(&mut state);
        drop(state);
        self.readiness.announce(Events::READABLE)
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        // The armed timer holds `shared`, which holds the timer.
        self.shared.state.lock().timer = None;
    }
}

impl File for TimerFd {
    fn read(&self, to: &mut Destination<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        Errno::EINVAL.when(to.remaining() < size_of::<u64>())?;
        let count = self.shared.readiness.block_on(flags.is_non_blocking(), || self.take())?;
        to.put(&count.to_ne_bytes())
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        if let Some(observer) = observer {
            self.shared.readiness.observe(observer, interest);
        }
        let state = self.shared.state.lock();
        if state.is_ready(self.shared.now_ns(&state)) { interest & Events::READ } else { Events::empty() }
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        String::from("anon_inode:[timerfd]")
    }

    fn details(&self) -> String {
        let setting = self.get();
        let (value, interval) = (setting.value_ns, setting.interval_ns);
        let parts = |ns: u64| (ns / 1_000_000_000, ns % 1_000_000_000);
        let ((value_s, value_ns), (interval_s, interval_ns)) = (parts(value), parts(interval));
        format!(
            "clockid: {}\nit_value: ({value_s}, {value_ns})\nit_interval: ({interval_s}, {interval_ns})\n",
            self.clock_number
        )
    }
}
