//! What runs and what waits on one CPU, and whose turn it is.

#![forbid(unsafe_code)]

use super::accounting::CpuFigures;
use super::task::{Class, Task};
use crate::machine::cpu::{self, Attention, MAX_CPUS};
use crate::machine::memory::{self, PageTable};
use crate::machine::platform;
use crate::machine::time;
use crate::machine::trap::LocalVector;
use crate::util::run_queue::{Place, RunQueue, Turn, weighted};
use alloc::sync::Arc;
use core::cmp::Reverse;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// How long a fair task runs before others that want the CPU too.
const TURN_NS: u64 = 4_000_000;
/// How long a round-robin task runs before others of its priority (sched_rr_get_interval(2)).
const REAL_TIME_TURN_NS: u64 = 100_000_000;
/// Of each period, real-time tasks get so much while fair ones wait (sched(7), "Limiting the CPU usage of real-time and
/// deadline processes"): one that never sleeps shall not lock everybody out.
const REAL_TIME_PERIOD_NS: u64 = 1_000_000_000;
const REAL_TIME_SHARE_NS: u64 = 950_000_000;
/// A fair task that wakes up interrupts one that is ahead of it by more than this,
const WAKE_ADVANTAGE_NS: u64 = 1_000_000;
/// and that, on another CPU, has run at least so long in this turn or, if itself it is the waker, is not known to sleep soon.
/// Else a pipe's two ends would take turns at each small write.
const SHORTEST_TURN_NS: u64 = 1_000_000;
/// How far a task that slept long is put before those that did not.
const SLEEP_BONUS_NS: u64 = 3_000_000;
/// How often a CPU that has nothing to do gives back what it keeps of the heap.
const TRIM_PERIOD_NS: u64 = 100_000_000;

/// What a CPU has to do, for others to look at without its lock, so perhaps a moment late. On a cache line of its own.
#[repr(align(64))]
struct Load {
    /// How urgent the current task is: see `urgency_of`.
    urgency: AtomicU8,
    /// How many tasks wait.
    waiting: AtomicUsize,
}

static LOADS: [Load; MAX_CPUS] =
    [const { Load { urgency: AtomicU8::new(IDLE), waiting: AtomicUsize::new(0) } }; MAX_CPUS];

/// The urgency of a CPU that has nothing to do.
pub(super) const IDLE: u8 = 0;

/// Returns how urgent a task with this turn is: 1 for fair ones, more for real-time ones.
pub(super) fn urgency_of(turn: Turn) -> u8 {
    match turn {
        Turn::Fair(_) => 1,
        Turn::RealTime(Reverse(priority)) => 1 + priority,
    }
}

/// Returns how urgent is what CPU `cpu` does.
pub(super) fn urgency(cpu: usize) -> u8 {
    LOADS[cpu].urgency.load(Ordering::Relaxed)
}

/// Returns how many tasks wait for CPU `cpu`.
pub(super) fn waiting(cpu: usize) -> usize {
    LOADS[cpu].waiting.load(Ordering::Relaxed)
}

/// What is scheduled on one CPU.
pub(super) struct Queue {
    /// The CPU's index, and what it shows of itself.
    cpu: usize,
    load: &'static Load,
    waiting: RunQueue<Arc<Task>>,
    /// `None` until the first task is made: boot runs.
    pub(super) current: Option<Arc<Task>>,
    idle: Option<Arc<Task>>,
    /// The current task is the idle one, or there is none yet.
    is_idle: bool,
    /// Up to when the current task's time has been charged.
    charged_until_ns: u64,
    /// When the current task's turn began.
    turn_start_ns: u64,
    /// When the period of `REAL_TIME_PERIOD_NS` began, and what real-time tasks have used of it.
    period_start_ns: u64,
    real_time_ns: u64,
    /// When the CPU last gave back what it keeps of the heap.
    trimmed_ns: u64,
    pub(super) figures: CpuFigures,
    /// The user address space of the task before, which stays loaded while kernel threads run, because the next task is often
    /// the same. That of the current task is its own.
    kept: Option<Arc<PageTable>>,
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue {
            cpu: 0,
            load: &LOADS[0],
            waiting: RunQueue::new(),
            current: None,
            idle: None,
            is_idle: true,
            charged_until_ns: 0,
            turn_start_ns: 0,
            period_start_ns: 0,
            real_time_ns: 0,
            trimmed_ns: 0,
            figures: CpuFigures::new(),
            kept: None,
        }
    }

    /// Starts with `idle`, which runs on CPU `cpu` now.
    pub(super) fn begin(&mut self, cpu: usize, idle: &Arc<Task>) {
        (self.cpu, self.load) = (cpu, &LOADS[cpu]);
        self.charged_until_ns = time::monotonic_ns();
        self.current = Some(Arc::clone(idle));
        self.idle = Some(Arc::clone(idle));
    }

    /// Takes the task whose turn it is, the idle task if none waits, and begins its turn.
    #[inline]
    pub(super) fn take_next(&mut self, now: u64) -> Arc<Task> {
        self.charge_current(now);
        self.turn_start_ns = now;
        let fair = if self.is_share_used() { self.take_fair() } else { None };
        let next = fair.or_else(|| self.waiting.pop()).or_else(|| self.idle());
        self.publish_waiting();
        next.expect("the idle task is there before any other")
    }

    #[cold]
    fn take_fair(&mut self) -> Option<Arc<Task>> {
        self.waiting.remove(|task| is_fair(task))
    }

    /// Returns how long the current turn has lasted.
    pub(super) fn turn_ns(&self, now: u64) -> u64 {
        now.saturating_sub(self.turn_start_ns)
    }

    /// Makes `next` current and returns who was.
    pub(super) fn replace_current(&mut self, next: Arc<Task>) -> Arc<Task> {
        self.is_idle = self.idle.as_ref().is_some_and(|idle| Arc::ptr_eq(idle, &next));
        let previous = self.current.replace(next).expect("the idle task is there before any other");
        self.publish_urgency();
        previous
    }

    /// Shows others how urgent is what this CPU does.
    pub(super) fn publish_urgency(&self) {
        let current = self.current.as_ref().filter(|_| !self.is_idle);
        self.load.urgency.store(current.map_or(IDLE, |task| urgency_of(task.turn())), Ordering::Relaxed);
    }

    /// Shows others how many tasks wait here.
    fn publish_waiting(&self) {
        self.load.waiting.store(self.waiting.len(), Ordering::Relaxed);
    }

    /// Returns the CPU's index.
    pub(super) fn cpu(&self) -> usize {
        self.cpu
    }

    /// Returns how many tasks wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Makes room for `count` tasks.
    pub(super) fn reserve(&mut self, count: usize) {
        self.waiting.reserve(count);
    }

    /// Takes out the task that waits and `is_wanted`.
    pub(super) fn remove(&mut self, is_wanted: impl Fn(&Task) -> bool) -> Option<Arc<Task>> {
        let removed = self.waiting.remove(|task| is_wanted(task));
        self.publish_waiting();
        removed
    }

    /// Returns where new fair tasks start among those of this CPU.
    pub(super) fn floor(&self) -> u64 {
        self.waiting.floor()
    }

    /// Loads a user address space, or the kernel's; returns the one that was kept loaded until now.
    pub(super) fn load_page_table(&mut self, table: Option<&PageTable>) -> Option<Arc<PageTable>> {
        memory::load_page_table(table);
        self.kept.take()
    }

    /// Keeps what is loaded, the current task's address space `table` if it has one, until another is loaded.
    pub(super) fn keep_page_table(&mut self, table: Option<&Arc<PageTable>>) {
        if let Some(table) = table {
            self.kept = Some(table.clone());
        }
    }

    /// Returns the idle task, if there is one yet.
    pub(super) fn idle(&self) -> Option<Arc<Task>> {
        self.idle.clone()
    }

    /// Returns whether the CPU, which is idle, gives back what it keeps of the heap.
    pub(super) fn begin_trim(&mut self) -> bool {
        let is_due = self.charged_until_ns.saturating_sub(self.trimmed_ns) > TRIM_PERIOD_NS;
        if is_due {
            self.trimmed_ns = self.charged_until_ns;
        }
        is_due
    }

    /// Returns whether `task` is the current one.
    pub(super) fn is_current(&self, task: &Task) -> bool {
        self.current.as_ref().is_some_and(|current| core::ptr::eq(&**current, task))
    }

    /// Returns whether no task runs but the idle one.
    pub(super) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Adds what the current task used since the last call to its time and its CPU's.
    pub(super) fn charge_current(&mut self, now: u64) {
        let used = now.saturating_sub(self.charged_until_ns);
        self.charged_until_ns = now;
        if self.is_idle {
            self.figures.add_idle(used);
            return;
        }
        let Some(current) = &self.current else { return };
        self.figures.add_busy(used);
        current.time.add(used);
        let class = current.class();
        if let Class::Fair { nice, is_idle } = class {
            let total = current.weighted_ns.load(Ordering::Relaxed) + weighted(used, nice, is_idle);
            current.weighted_ns.store(total, Ordering::Relaxed);
            self.waiting.raise_floor(total);
            return;
        }
        if now.saturating_sub(self.period_start_ns) >= REAL_TIME_PERIOD_NS {
            (self.period_start_ns, self.real_time_ns) = (now, 0);
        }
        self.real_time_ns += used;
    }

    /// Returns whether real-time tasks have had all that they get of this period if others wait.
    fn is_share_used(&self) -> bool {
        self.real_time_ns >= REAL_TIME_SHARE_NS
            && self.charged_until_ns.saturating_sub(self.period_start_ns) < REAL_TIME_PERIOD_NS
    }

    /// Has a real-time task give way to those that wait once its share is used up.
    pub(super) fn limit_real_time(&self) {
        if self.is_share_used() && self.waiting.len() > 0 && self.current.as_ref().is_some_and(|task| !is_fair(task)) {
            self.ask_attention(Attention::Reschedule);
        }
    }

    /// Makes a sleeping or new task wait for the CPU, and the current one give way if it is less urgent.
    #[inline(always)]
    pub(super) fn wake(&mut self, task: Arc<Task>) {
        let least = self.waiting.floor().saturating_sub(SLEEP_BONUS_NS);
        if task.weighted_ns.load(Ordering::Relaxed) < least {
            task.weighted_ns.store(least, Ordering::Relaxed);
        }
        let turn = task.turn();
        self.waiting.push(turn, Place::Last, task);
        self.publish_waiting();
        self.give_way_to(turn);
    }

    /// Changes what decides about the turn of `task`, and its place with it.
    pub(super) fn change(&mut self, task: &Task, change: impl FnOnce()) {
        let waiting = self.remove(|waiting| core::ptr::eq(waiting, task));
        change();
        if let Some(waiting) = waiting {
            self.enqueue(waiting, Place::Last);
        }
        self.publish_urgency();
        // It may be urgent now, or the current one that is not any more.
        self.give_way_if_due();
    }

    /// Has the current task give way if one that waits is more urgent.
    pub(super) fn give_way_if_due(&mut self) {
        if let Some(next) = self.waiting.next_turn() {
            self.give_way_to(next);
        }
    }

    /// Has the current task give way to a waiting one with this turn if that is more urgent.
    #[inline(always)]
    fn give_way_to(&mut self, turn: Turn) {
        if self.must_give_way(turn) {
            self.ask_attention(Attention::Reschedule);
            // Until it switches, others shall look elsewhere for an idle CPU.
            self.load.urgency.fetch_max(urgency_of(turn), Ordering::Relaxed);
        }
    }

    /// Has the CPU see to `reason` before it goes on with user mode, or with being idle.
    pub(super) fn ask_attention(&self, reason: Attention) {
        // If the mark was set already, its CPU has seen it or is about to be interrupted for it.
        if cpu::of(self.cpu).ask_attention(reason) && self.cpu != cpu::index() {
            platform::send_interrupt(self.cpu, LocalVector::Reschedule);
        }
    }

    /// Has `task`, which is runnable, wait for its turn.
    #[inline]
    pub(super) fn enqueue(&mut self, task: Arc<Task>, place: Place) {
        self.waiting.push(task.turn(), place, task);
        self.publish_waiting();
    }

    /// Has the current task wait for its next turn.
    pub(super) fn requeue_current(&mut self, place: Place, now: u64) {
        if self.is_idle {
            return;
        }
        self.charge_current(now);
        if let Some(current) = self.current.clone() {
            self.enqueue(current, place);
        }
    }

    /// Returns whether a task that wakes up with this turn interrupts the current one.
    #[inline]
    fn must_give_way(&mut self, turn: Turn) -> bool {
        let Some(current) = &self.current else { return false };
        if self.is_idle {
            return true;
        }
        match (turn, current.turn()) {
            (Turn::Fair(woken), Turn::Fair(_)) => {
                let is_interrupted = cpu::this().serves_interrupt.load(Ordering::Relaxed);
                let is_waker = !is_interrupted && self.cpu == cpu::index();
                // Who is known to sleep soon goes on, without a look at the clock.
                !(is_waker && current.hand_over.note_wake_up())
                    && self.is_well_ahead_of(woken, is_interrupted || is_waker)
            }
            (woken, running) => woken < running,
        }
    }

    /// Returns whether the current fair task is ahead of one that has run for `woken`, and has run for a while unless
    /// `at_once`.
    #[inline(never)]
    fn is_well_ahead_of(&mut self, woken: u64, at_once: bool) -> bool {
        let now = time::monotonic_ns();
        if !at_once && self.turn_ns(now) < SHORTEST_TURN_NS {
            return false;
        }
        self.charge_current(now);
        let running = self.current.as_ref().map(|task| task.turn());
        matches!(running, Some(Turn::Fair(running)) if woken + WAKE_ADVANTAGE_NS < running)
    }

    /// Returns whether the current task has run as long as a turn lasts.
    pub(super) fn is_turn_over(&self) -> bool {
        let ran = self.charged_until_ns.saturating_sub(self.turn_start_ns);
        match self.current.as_ref().map(|task| task.class()) {
            Some(Class::Fair { .. }) => ran >= TURN_NS,
            Some(Class::RealTime { round_robin, .. }) => round_robin && ran >= REAL_TIME_TURN_NS,
            None => false,
        }
    }

    /// Returns whether a task waits that may run instead of the current one.
    pub(super) fn has_rival(&self) -> bool {
        let Some(current) = &self.current else { return false };
        match (self.waiting.next_turn(), current.turn()) {
            (None, _) => false,
            // Whoever has waited runs next, even if it is ahead: its turn comes by the time it is due.
            (Some(Turn::Fair(_)), Turn::Fair(_)) => true,
            (Some(waiting), running) => waiting <= running,
        }
    }
}

fn is_fair(task: &Task) -> bool {
    matches!(task.turn(), Turn::Fair(_))
}
