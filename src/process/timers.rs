//! A process' timers that send signals: alarm(2), setitimer(2), timer_create(2).
//!
//! A machine timer only puts its `SignalTimer` on a list, from the interrupt; one kernel thread takes it off, counts the
//! expirations from the clock, sends the signal and arms the next. So no lock of a process is taken by an interrupt. Until
//! the program takes the signal (`collect`) it looks rarely, so that an interval of 1 ns costs the program's time alone.
//! CPU-time clocks have no interrupt of their own: the timer is looked at when the time could be up at the earliest.

use super::signal::{Signal, SignalInfo, code};
use super::{Process, Thread, cpu_limit};
use crate::errno::{Errno, Result};
use crate::file::timerfd::{TimerClock, TimerSetting};
use crate::file::{Events, Observer, wall_clock};
use crate::machine::cpu;
use crate::machine::sync::{IrqLock, SpinLock};
use crate::machine::task::{self, WaitQueue};
use crate::machine::time::{self, Timer};
use crate::rank::Rank;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};

/// The clock that a timer follows.
#[derive(Clone)]
pub(crate) enum TimedBy {
    Clock(TimerClock),
    /// User time of the process' threads (ITIMER_VIRTUAL).
    UserTime(Weak<Process>),
    /// User and system time of the process' threads.
    ProcessTime(Weak<Process>),
    /// User and system time of one thread.
    ThreadTime(Weak<Thread>),
}

/// How often a CPU-time clock is looked at, at most: Linux's tick at 250 Hz.
const CPU_TIME_STEP_NS: u64 = 4_000_000;

impl TimedBy {
    /// Returns the clock to use: for a time from now the one that nobody sets.
    fn of(&self, is_relative: bool) -> TimedBy {
        match self {
            TimedBy::Clock(_) if is_relative => TimedBy::Clock(TimerClock::Monotonic),
            _ => self.clone(),
        }
    }

    /// Returns the clock's time; of a process or thread that is gone, no time ever.
    fn now_ns(&self) -> u64 {
        match self {
            TimedBy::Clock(clock) => clock.now_ns(),
            TimedBy::UserTime(process) => process.upgrade().map_or(0, |process| process.usage().user_ns),
            TimedBy::ProcessTime(process) => process.upgrade().map_or(0, |process| {
                let usage = process.usage();
                usage.user_ns + usage.system_ns
            }),
            TimedBy::ThreadTime(thread) => thread.upgrade().map_or(0, |thread| {
                let time = thread.cpu_time();
                time.user_ns + time.system_ns
            }),
        }
    }

    /// Returns the monotonic time before which this clock, which shows `now_ns`, cannot show `time_ns`.
    fn earliest_monotonic_ns(&self, time_ns: u64, now_ns: u64) -> u64 {
        match self {
            TimedBy::Clock(clock) => clock.to_monotonic_ns(time_ns),
            _ => {
                let left = time_ns.saturating_sub(now_ns);
                time::monotonic_ns().saturating_add((left / cpu::count() as u64).max(CPU_TIME_STEP_NS))
            }
        }
    }
}

/// What an expiration does.
#[derive(Clone)]
pub(crate) enum Notice {
    /// Nothing: the program looks by itself (SIGEV_NONE).
    None,
    /// A signal from the kernel to the process (alarm, setitimer).
    Plain(Weak<Process>, Signal),
    /// A signal with the timer's id and the program's value, to the process.
    Process(Weak<Process>, Signal, u64),
    /// A look at RLIMIT_CPU.
    CpuLimit(Weak<Process>),
    /// The same to one thread (SIGEV_THREAD_ID).
    Thread(Weak<Thread>, Signal, u64),
}

/// One timer.
pub(crate) struct SignalTimer {
    id: i32,
    this: Weak<SignalTimer>,
    timed_by: TimedBy,
    notice: Notice,
    state: SpinLock<State>,
}

#[derive(Default)]
struct State {
    /// Armed for a time from now: then setting the wall clock does not move it.
    is_relative: bool,
    /// The next expiration in the clock's time; `None` when disarmed.
    next_ns: Option<u64>,
    interval_ns: u64,
    /// Expirations that the pending signal stands for besides its own.
    missed: u64,
    /// `missed` as of the signal taken last (timer_getoverrun(2)).
    overrun: i32,
    timer: Option<Timer>,
}

/// Timers whose machine timer fired.
static FIRED: IrqLock<VecDeque<Weak<SignalTimer>>> = IrqLock::new(Rank::FiredTimers, VecDeque::new());
static ARRIVED: WaitQueue = WaitQueue::new();

/// Starts the kernel thread that sends. Once, before the first process.
pub(crate) fn start() {
    task::spawn("timers", || {
        loop {
            let timer = ARRIVED.wait_until(|| FIRED.lock().pop_front());
            if let Some(timer) = timer.upgrade() {
                timer.look();
            }
        }
    });
}

/// Lets the sender look at a timer. Any context.
fn fire(timer: Weak<SignalTimer>) {
    FIRED.lock().push_back(timer);
    ARRIVED.wake_one();
}

/// Told that the wall clock was set: the sender arms the timer anew.
impl Observer for SignalTimer {
    fn notify(&self, _: Events) -> bool {
        fire(self.this.clone());
        false
    }
}

impl SignalTimer {
    /// Makes a disarmed timer.
    fn new(id: i32, timed_by: TimedBy, notice: Notice) -> Arc<SignalTimer> {
        let state = SpinLock::new(Rank::ProcessTimer, State::default());
        Arc::new_cyclic(|this| SignalTimer { id, this: this.clone(), timed_by, notice, state })
    }

    /// Arms or disarms; returns the setting before.
    pub(crate) fn set(self: &Arc<SignalTimer>, setting: TimerSetting, is_absolute: bool) -> TimerSetting {
        let (now_before, now) = (self.now_ns(), self.timed_by.of(!is_absolute).now_ns());
        let mut state = self.state.lock();
        let before = state.remaining(now_before);
        state.is_relative = !is_absolute;
        state.interval_ns = setting.interval_ns;
        state.missed = 0;
        state.overrun = 0;
        state.next_ns = match setting.value_ns {
            0 => None,
            value if is_absolute => Some(value),
            value => Some(now.saturating_add(value)),
        };
        self.arm(&mut state, now);
        drop(state);
        if is_absolute && matches!(self.timed_by, TimedBy::Clock(TimerClock::Wall)) {
            let observer: Arc<dyn Observer> = self.clone();
            wall_clock::observe(&observer);
        }
        before
    }

    /// Returns the time that the present setting counts by.
    fn now_ns(&self) -> u64 {
        let is_relative = self.state.lock().is_relative;
        self.timed_by.of(is_relative).now_ns()
    }

    /// Returns the time left and the interval.
    pub(crate) fn get(&self) -> TimerSetting {
        let now = self.now_ns();
        self.state.lock().remaining(now)
    }

    /// Returns how many expirations the signal taken last stands for besides its own (timer_getoverrun(2)).
    pub(crate) fn overrun(&self) -> i32 {
        self.state.lock().overrun
    }

    fn arm(&self, state: &mut State, now: u64) {
        self.arm_after(state, now, 0);
    }

    /// Arms the next expiration, but not within `pause_ns`.
    fn arm_after(&self, state: &mut State, now: u64, pause_ns: u64) {
        let next_ns = state.next_ns.filter(|_| !matches!(self.notice, Notice::None));
        state.timer = next_ns.map(|next_ns| {
            let this = self.this.clone();
            let clock = self.timed_by.of(state.is_relative);
            let next_ns = next_ns.max(now.saturating_add(pause_ns));
            Timer::at(clock.earliest_monotonic_ns(next_ns, now), Box::new(move || fire(this)))
        });
    }

    /// Sends what is due and arms the next expiration.
    fn look(&self) {
        let now = self.now_ns();
        match &self.notice {
            Notice::None => {}
            Notice::CpuLimit(process) => {
                if let Some(process) = process.upgrade() {
                    self.expire(now, || false, || cpu_limit::check(&process));
                }
            }
            Notice::Plain(process, signal) => {
                if let Some(process) = process.upgrade() {
                    self.expire(now, || false, || process.send_signal(SignalInfo::kernel(*signal)));
                }
            }
            Notice::Process(process, signal, value) => {
                if let Some(process) = process.upgrade() {
                    let is_pending = || process.state.lock().pending.holds_timer(self.id);
                    let info = SignalInfo::timer(*signal, self.id, 0, *value);
                    self.expire(now, is_pending, || process.send_signal(info));
                }
            }
            Notice::Thread(thread, signal, value) => {
                if let Some(thread) = thread.upgrade() {
                    let is_pending = || thread.signals.lock().pending.holds_timer(self.id);
                    let info = SignalInfo::timer(*signal, self.id, 0, *value);
                    self.expire(now, is_pending, || thread.send_signal(info));
                }
            }
        }
    }

    /// Looks with the lock held: once somebody has disarmed the timer its signal is pending or will not come. Where the one
    /// sent last waits still, expirations are counted instead of sent again.
    fn expire(&self, now: u64, is_pending: impl FnOnce() -> bool, send: impl FnOnce()) {
        let mut state = self.state.lock();
        let count = state.advance(now);
        self.arm_after(&mut state, now, if count > 0 { PAUSE_NS } else { 0 });
        if count > 0 && is_pending() {
            state.missed += count;
        } else if count > 0 {
            state.missed += count - 1;
            send();
        }
    }

    /// The program takes the signal: counts what it stands for, and arms the next expiration.
    fn collect(&self) -> i32 {
        let now = self.now_ns();
        let mut state = self.state.lock();
        state.missed += state.advance(now);
        self.arm(&mut state, now);
        state.overrun = i32::try_from(state.missed).unwrap_or(i32::MAX);
        state.missed = 0;
        state.overrun
    }
}

/// How soon a timer is looked at again whose signal nobody has taken.
const PAUSE_NS: u64 = 4_000_000;

/// Completes the information on a signal that the program takes, if it comes from a timer of `process`.
pub(super) fn collect(process: &Process, info: &mut SignalInfo) {
    if let Some(id) = info.timer_id() {
        if let Ok(timer) = process.timers().find(id) {
            *info = SignalInfo::timer(info.signal(), id, timer.collect(), info.payload()[1]);
        }
        info.show();
    } else if info.code() == code::KERNEL && info.signal() == Signal::ALRM {
        let timer = process.timers().interval.lock()[IntervalTimer::Real as usize].clone();
        if let Some(timer) = timer {
            timer.collect();
        }
    }
}

impl State {
    /// Moves the next expiration beyond `now`; returns how many that passes.
    fn advance(&mut self, now: u64) -> u64 {
        let Some(next) = self.next_ns.filter(|next| *next <= now) else { return 0 };
        let count = (now - next).checked_div(self.interval_ns).unwrap_or(0) + 1;
        self.next_ns = (self.interval_ns > 0).then(|| next.saturating_add(count.saturating_mul(self.interval_ns)));
        count
    }

    fn remaining(&self, now: u64) -> TimerSetting {
        let value_ns = match self.next_ns {
            None => 0,
            Some(next) if next <= now && self.interval_ns > 0 => self.interval_ns - (now - next) % self.interval_ns,
            // Armed and due, but the sender has not come to it: the least that says "armed".
            Some(next) if next <= now => u64::from(self.timer.is_some()),
            Some(next) => next - now,
        };
        TimerSetting { value_ns, interval_ns: self.interval_ns }
    }
}

/// The timers of setitimer(2), numbered as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum IntervalTimer {
    Real,
    Virtual,
    Profiling,
}

/// The most timers of timer_create(2) a process may have: Linux charges them to RLIMIT_SIGPENDING.
const MAX_TIMERS: usize = 1024;

/// All timers of one process.
pub(crate) struct Timers {
    interval: SpinLock<[Option<Arc<SignalTimer>>; 3]>,
    created: SpinLock<BTreeMap<i32, Arc<SignalTimer>>>,
    /// Watches RLIMIT_CPU.
    cpu_limit: SpinLock<Option<Arc<SignalTimer>>>,
}

impl Timers {
    /// Makes the timers of a new process: none (fork(2), "timers are not inherited").
    pub(crate) const fn new() -> Timers {
        Timers {
            interval: SpinLock::new(Rank::ProcessTimers, [const { None }; 3]),
            created: SpinLock::new(Rank::ProcessTimers, BTreeMap::new()),
            cpu_limit: SpinLock::new(Rank::ProcessTimers, None),
        }
    }

    /// Returns an interval timer of `process`, whose timers these are.
    pub(crate) fn interval(&self, process: &Arc<Process>, which: IntervalTimer) -> Arc<SignalTimer> {
        let make = || {
            let process = Arc::downgrade(process);
            let (timed_by, signal) = match which {
                IntervalTimer::Real => (TimedBy::Clock(TimerClock::Monotonic), Signal::ALRM),
                IntervalTimer::Virtual => (TimedBy::UserTime(process.clone()), Signal::VTALRM),
                IntervalTimer::Profiling => (TimedBy::ProcessTime(process.clone()), Signal::PROF),
            };
            SignalTimer::new(0, timed_by, Notice::Plain(process, signal))
        };
        self.interval.lock()[which as usize].get_or_insert_with(make).clone()
    }

    /// Looks at RLIMIT_CPU of `process`, whose timers these are, when it has used `limit_ns` and each second after.
    pub(super) fn watch_cpu_limit(&self, process: &Arc<Process>, limit_ns: u64) {
        let make = || {
            let process = Arc::downgrade(process);
            SignalTimer::new(0, TimedBy::ProcessTime(process.clone()), Notice::CpuLimit(process))
        };
        let timer = self.cpu_limit.lock().get_or_insert_with(make).clone();
        timer.set(TimerSetting { value_ns: limit_ns, interval_ns: 1_000_000_000 }, true);
    }

    /// timer_create(2): returns the id. `notice` gets it. EAGAIN when there are too many.
    pub(crate) fn create(&self, timed_by: TimedBy, notice: impl FnOnce(i32) -> Notice) -> Result<i32> {
        let mut created = self.created.lock();
        Errno::EAGAIN.when(created.len() >= MAX_TIMERS)?;
        // The lowest free one: the ids in use come in order.
        let id =
            (0..).zip(created.keys()).find(|(free, used)| free != *used).map_or(created.len() as i32, |(id, _)| id);
        created.insert(id, SignalTimer::new(id, timed_by, notice(id)));
        Ok(id)
    }

    /// Returns the timer with this id. EINVAL.
    pub(crate) fn find(&self, id: i32) -> Result<Arc<SignalTimer>> {
        self.created.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// timer_delete(2). EINVAL.
    pub(crate) fn delete(&self, id: i32) -> Result {
        let timer = self.created.lock().remove(&id).ok_or(Errno::EINVAL)?;
        timer.set(TimerSetting::default(), false);
        Ok(())
    }

    /// Deletes what timer_create(2) made: exec keeps only the interval timers (execve(2)).
    pub(crate) fn clear_created(&self) {
        let created = core::mem::take(&mut *self.created.lock());
        for timer in created.into_values() {
            timer.set(TimerSetting::default(), false);
        }
    }

    /// Deletes all: the process ends.
    pub(crate) fn clear(&self) {
        self.clear_created();
        let interval = core::mem::take(&mut *self.interval.lock());
        drop(interval);
        let cpu_limit = self.cpu_limit.lock().take();
        drop(cpu_limit);
    }
}
