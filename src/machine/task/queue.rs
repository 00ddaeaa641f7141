//! What runs and what waits on one CPU, and whose turn it is.

#![forbid(unsafe_code)]

use super::accounting::CpuFigures;
use super::task::{Activity, Class, Task};
use crate::machine::cpu::{self, Attention};
use crate::machine::memory::{self, PageTable};
use crate::machine::time;
use crate::util::run_queue::{Place, RunQueue, Turn, weighted};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// How long a fair task runs before others that want the CPU too.
const TURN_NS: u64 = 4_000_000;
/// How long a round-robin task runs before others of its priority (sched_rr_get_interval(2)).
const REAL_TIME_TURN_NS: u64 = 100_000_000;
/// A fair task that wakes up interrupts one that is ahead of it by more than this,
const WAKE_ADVANTAGE_NS: u64 = 1_000_000;
/// and that has run at least so long in this turn. Else a pipe's two ends would take turns at each small write.
const SHORTEST_TURN_NS: u64 = 1_000_000;
/// How far a task that slept long is put before those that did not.
const SLEEP_BONUS_NS: u64 = 3_000_000;

/// What is scheduled on one CPU.
pub(super) struct Queue {
    /// The CPU's index.
    cpu: usize,
    pub(super) waiting: RunQueue<Arc<Task>>,
    /// `None` until the first task is made: boot runs.
    pub(super) current: Option<Arc<Task>>,
    idle: Option<Arc<Task>>,
    /// Up to when the current task's time has been charged.
    charged_until_ns: u64,
    /// When the current task's turn began.
    turn_start_ns: u64,
    pub(super) figures: CpuFigures,
    /// The user address space in the CPU; kept while kernel threads run, because the next task is often the same.
    loaded: Option<Arc<PageTable>>,
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue {
            cpu: 0,
            waiting: RunQueue::new(),
            current: None,
            idle: None,
            charged_until_ns: 0,
            turn_start_ns: 0,
            figures: CpuFigures::new(),
            loaded: None,
        }
    }

    /// Starts with `idle`, which runs on CPU `cpu` now.
    pub(super) fn begin(&mut self, cpu: usize, idle: &Arc<Task>) {
        self.cpu = cpu;
        self.charged_until_ns = time::monotonic_ns();
        self.current = Some(Arc::clone(idle));
        self.idle = Some(Arc::clone(idle));
    }

    /// Takes the task whose turn it is, the idle task if none waits, and begins its turn.
    pub(super) fn take_next(&mut self) -> Arc<Task> {
        let now = time::monotonic_ns();
        self.charge_current(now);
        self.turn_start_ns = now;
        self.waiting.pop().or_else(|| self.idle()).expect("the idle task is there before any other")
    }

    /// Makes `next` current and returns who was.
    pub(super) fn replace_current(&mut self, next: Arc<Task>) -> Arc<Task> {
        self.current.replace(next).expect("the idle task is there before any other")
    }

    /// Loads a user address space, or the kernel's; returns the one that was kept loaded.
    pub(super) fn load_page_table(&mut self, table: Option<&Arc<PageTable>>) -> Option<Arc<PageTable>> {
        let is_loaded = match (&self.loaded, table) {
            (Some(loaded), Some(table)) => Arc::ptr_eq(loaded, table),
            (None, None) => true,
            _ => false,
        };
        if is_loaded {
            return None;
        }
        memory::load_page_table(table.map(|table| &**table));
        core::mem::replace(&mut self.loaded, table.cloned())
    }

    /// Returns the idle task, if there is one yet.
    pub(super) fn idle(&self) -> Option<Arc<Task>> {
        self.idle.clone()
    }

    /// Returns whether `task` is the current one.
    pub(super) fn is_current(&self, task: &Task) -> bool {
        self.current.as_ref().is_some_and(|current| core::ptr::eq(&**current, task))
    }

    /// Returns whether no task runs but the idle one.
    pub(super) fn is_idle(&self) -> bool {
        match (&self.current, &self.idle) {
            (Some(current), Some(idle)) => Arc::ptr_eq(current, idle),
            _ => true,
        }
    }

    /// Adds what the current task used since the last call to its time and its CPU's.
    pub(super) fn charge_current(&mut self, now: u64) {
        let used = now.saturating_sub(self.charged_until_ns);
        self.charged_until_ns = now;
        if self.is_idle() {
            self.figures.add_idle(used);
            return;
        }
        let Some(current) = &self.current else { return };
        self.figures.add_busy(used);
        current.time.add(used);
        if let Class::Fair { nice } = current.class() {
            let total = current.weighted_ns.load(Ordering::Relaxed) + weighted(used, nice);
            current.weighted_ns.store(total, Ordering::Relaxed);
            self.waiting.raise_floor(total);
        }
    }

    /// Makes a sleeping or new task wait for the CPU, and the current one give way if it is less urgent.
    pub(super) fn wake(&mut self, task: &Arc<Task>) {
        task.set_activity(Activity::Running);
        let least = self.waiting.floor().saturating_sub(SLEEP_BONUS_NS);
        if task.weighted_ns.load(Ordering::Relaxed) < least {
            task.weighted_ns.store(least, Ordering::Relaxed);
        }
        let turn = task.turn();
        self.enqueue(Arc::clone(task), Place::Last);
        self.give_way_to(turn);
    }

    /// Changes what decides about the turn of `task`, and its place with it.
    pub(super) fn change(&mut self, task: &Task, change: impl FnOnce()) {
        let waiting = self.waiting.remove(|waiting| core::ptr::eq(&**waiting, task));
        change();
        if let Some(waiting) = waiting {
            self.enqueue(waiting, Place::Last);
        }
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
    fn give_way_to(&mut self, turn: Turn) {
        if self.must_give_way(turn) && self.cpu == cpu::index() {
            cpu::this().ask_attention(Attention::Reschedule);
        }
    }

    /// Has `task`, which is runnable, wait for its turn.
    pub(super) fn enqueue(&mut self, task: Arc<Task>, place: Place) {
        self.waiting.push(task.turn(), place, task);
    }

    /// Has the current task wait for its next turn.
    pub(super) fn requeue_current(&mut self, place: Place) {
        if self.is_idle() {
            return;
        }
        self.charge_current(time::monotonic_ns());
        if let Some(current) = self.current.clone() {
            self.enqueue(current, place);
        }
    }

    /// Returns whether a task that wakes up with this turn interrupts the current one.
    fn must_give_way(&mut self, turn: Turn) -> bool {
        let Some(current) = &self.current else { return false };
        if self.is_idle() {
            return true;
        }
        match (turn, current.turn()) {
            (Turn::Fair(_), Turn::Fair(_)) => {
                self.charge_current(time::monotonic_ns());
                if self.charged_until_ns.saturating_sub(self.turn_start_ns) < SHORTEST_TURN_NS {
                    return false;
                }
                let Some(Turn::Fair(running)) = self.current.as_ref().map(|task| task.turn()) else { return false };
                matches!(turn, Turn::Fair(woken) if woken + WAKE_ADVANTAGE_NS < running)
            }
            (woken, running) => woken < running,
        }
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
