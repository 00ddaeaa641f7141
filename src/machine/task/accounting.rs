//! Where the time went: for each task, each CPU, and the load of the machine.
//!
//! How long a task ran is measured at each switch. How much of it was in user mode is estimated by what the tick
//! finds running, as on Linux, because reading the clock at each system call would cost more than the call.

use super::scheduler;
use crate::machine::sync::IrqLock;
use crate::machine::time;
use crate::rank::Rank;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// CPU time that a task used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    /// In user mode.
    pub(crate) user_ns: u64,
    /// In the kernel.
    pub(crate) system_ns: u64,
    /// Switches because the task slept or yielded.
    pub(crate) voluntary_switches: u64,
    /// Switches because its turn was over.
    pub(crate) involuntary_switches: u64,
}

/// System-wide figures of the scheduler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    /// Tasks running or waiting for a CPU now.
    pub(crate) runnable: usize,
    /// Switches since start.
    pub(crate) switches: u64,
    /// By CPU index: nanoseconds in user mode, in the kernel, idle.
    pub(crate) cpus: Vec<(u64, u64, u64)>,
    /// Load averages over 1, 5 and 15 minutes, in 1/100.
    pub(crate) load: [u32; 3],
}

/// Returns the scheduler's figures.
pub(crate) fn statistics() -> Statistics {
    update_load();
    let mut statistics = Statistics { load: LOAD.lock().hundredths(), ..Statistics::default() };
    scheduler::for_each_cpu(|figures, runnable| {
        statistics.runnable += runnable;
        statistics.switches += figures.switches.load(Ordering::Relaxed);
        let (user_ns, system_ns) = figures.busy.split();
        statistics.cpus.push((user_ns, system_ns, figures.idle_ns.load(Ordering::Relaxed)));
    });
    statistics
}

/// What a task has used.
pub(super) struct TaskTime {
    run: SplitTime,
    voluntary_switches: AtomicU64,
    involuntary_switches: AtomicU64,
}

impl TaskTime {
    pub(super) const fn new() -> TaskTime {
        TaskTime {
            run: SplitTime::new(),
            voluntary_switches: AtomicU64::new(0),
            involuntary_switches: AtomicU64::new(0),
        }
    }

    /// Adds `ns` nanoseconds of running.
    pub(super) fn add(&self, ns: u64) {
        self.run.add(ns);
    }

    /// Notes what the tick found.
    pub(super) fn count_tick(&self, is_user: bool) {
        self.run.count_tick(is_user);
    }

    /// Counts a switch because the task sleeps. It runs still.
    pub(super) fn count_voluntary(&self) {
        add(&self.voluntary_switches, 1);
    }

    /// Counts a switch because the task's turn is over. It runs still.
    pub(super) fn count_involuntary(&self) {
        add(&self.involuntary_switches, 1);
    }

    /// Returns the figures for people.
    pub(super) fn cpu_time(&self) -> CpuTime {
        let (user_ns, system_ns) = self.run.split();
        CpuTime {
            user_ns,
            system_ns,
            voluntary_switches: self.voluntary_switches.load(Ordering::Relaxed),
            involuntary_switches: self.involuntary_switches.load(Ordering::Relaxed),
        }
    }
}

/// What a CPU has done. Written with its run queue locked.
pub(super) struct CpuFigures {
    busy: SplitTime,
    idle_ns: AtomicU64,
    switches: AtomicU64,
}

impl CpuFigures {
    pub(super) const fn new() -> CpuFigures {
        CpuFigures { busy: SplitTime::new(), idle_ns: AtomicU64::new(0), switches: AtomicU64::new(0) }
    }

    pub(super) fn add_busy(&self, ns: u64) {
        self.busy.add(ns);
    }

    pub(super) fn add_idle(&self, ns: u64) {
        add(&self.idle_ns, ns);
    }

    pub(super) fn count_tick(&self, is_user: bool) {
        self.busy.count_tick(is_user);
    }

    pub(super) fn count_switch(&self) {
        add(&self.switches, 1);
    }
}

/// Measured time, and how the ticks divide it. One writer at a time.
struct SplitTime {
    total_ns: AtomicU64,
    user_ticks: AtomicU64,
    system_ticks: AtomicU64,
    /// The parts last told, which must never be less the next time.
    told_user_ns: AtomicU64,
    told_system_ns: AtomicU64,
}

impl SplitTime {
    const fn new() -> SplitTime {
        SplitTime {
            total_ns: AtomicU64::new(0),
            user_ticks: AtomicU64::new(0),
            system_ticks: AtomicU64::new(0),
            told_user_ns: AtomicU64::new(0),
            told_system_ns: AtomicU64::new(0),
        }
    }

    fn add(&self, ns: u64) {
        add(&self.total_ns, ns);
    }

    fn count_tick(&self, is_user: bool) {
        add(if is_user { &self.user_ticks } else { &self.system_ticks }, 1);
    }

    /// Returns the time in user mode and in the kernel.
    fn split(&self) -> (u64, u64) {
        let total = self.total_ns.load(Ordering::Relaxed);
        let (user, system) = (self.user_ticks.load(Ordering::Relaxed), self.system_ticks.load(Ordering::Relaxed));
        let estimate = match user + system {
            0 => 0,
            ticks => (u128::from(total) * u128::from(system) / u128::from(ticks)) as u64,
        };

        let told_system = self.told_system_ns.load(Ordering::Relaxed);
        let told_user = self.told_user_ns.load(Ordering::Relaxed);
        let system_ns = estimate.max(told_system).min(total.saturating_sub(told_user).max(told_system));
        let user_ns = total.saturating_sub(system_ns).max(told_user);
        // Others may ask at the same time.
        let told_system = self.told_system_ns.fetch_max(system_ns, Ordering::Relaxed);
        let told_user = self.told_user_ns.fetch_max(user_ns, Ordering::Relaxed);
        (user_ns.max(told_user), system_ns.max(told_system))
    }
}

/// One writer at a time, so a plain load and store does.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}

/// How often the load is looked at, and its averages' factors for that: e^(-5/60), e^(-5/300), e^(-5/900), in
/// 1/2048 (getloadavg(3) has the meaning; the factors are what Linux programs are used to).
const LOAD_PERIOD_NS: u64 = 5_000_000_000;
const LOAD_ONE: u64 = 2048;
const LOAD_FACTORS: [u64; 3] = [1884, 2014, 2037];

static LOAD: IrqLock<Load> = IrqLock::new(Rank::Load, Load { averages: [0; 3], next_ns: LOAD_PERIOD_NS });

struct Load {
    averages: [u64; 3],
    next_ns: u64,
}

/// Brings the load averages up to now, if a period is over.
pub(super) fn update_load() {
    let now = time::monotonic_ns();
    let mut load = LOAD.lock();
    if now < load.next_ns {
        return;
    }
    let mut active = 0;
    scheduler::for_each_cpu(|_, runnable| active += runnable as u64);

    // Periods that nobody looked at were idle: there is no tick then.
    let missed = ((now - load.next_ns) / LOAD_PERIOD_NS).min(1000);
    for _ in 0..missed {
        load.add_period(0);
    }
    load.add_period(active);
    load.next_ns = now - now % LOAD_PERIOD_NS + LOAD_PERIOD_NS;
}

impl Load {
    fn add_period(&mut self, active: u64) {
        for (average, factor) in self.averages.iter_mut().zip(LOAD_FACTORS) {
            let target = active * LOAD_ONE;
            let round_up = if target >= *average { LOAD_ONE - 1 } else { 0 };
            *average = (*average * factor + target * (LOAD_ONE - factor) + round_up) / LOAD_ONE;
        }
    }

    fn hundredths(&self) -> [u32; 3] {
        self.averages.map(|average| ((average * 100 + LOAD_ONE / 2) / LOAD_ONE) as u32)
    }
}
