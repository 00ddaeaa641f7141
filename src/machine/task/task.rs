//! One kernel thread.
//!
//! Fields that decide about scheduling are atomics, but are changed only with the run queue of the task's CPU
//! locked (`scheduler::queue_of`); the cells belong to the task itself and to the switch that leaves or enters
//! it.

use super::accounting::{CpuTime, TaskTime};
use super::placement::HandOver;
use super::scheduler::Room;
use super::{placement, scheduler};
use crate::machine::memory::{KernelStack, OutOfMemory, PageTable};
use crate::util::run_queue::Turn;
use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::{any::Any, cell::UnsafeCell, cmp::Reverse};

/// A thread of execution in the kernel, which may run user mode in between.
pub(crate) struct Task {
    name: &'static str,
    /// What `activity` tells; `STATE_*`.
    state: AtomicU8,
    /// A wake-up came that no sleep has used up yet.
    pub(super) has_token: AtomicBool,
    /// The CPU whose run queue is responsible for the task.
    pub(super) cpu: AtomicUsize,
    pub(super) affinity: AtomicU64,
    /// `Class`, packed.
    class: AtomicU32,
    /// The real-time priority lent by tasks that wait for this one; 0 for none.
    lent_priority: AtomicU8,
    /// The greater of the two priorities, which decides; 0 for a fair task.
    real_time_priority: AtomicU8,
    /// The weighted run time, by which fair tasks take turns.
    pub(super) weighted_ns: AtomicU64,
    /// A signal is due.
    is_interrupted: AtomicBool,
    pub(super) time: TaskTime,
    /// The ranks of the sleeping locks held, one bit each (debug builds).
    pub(super) held_ranks: AtomicU64,
    pub(super) hand_over: HandOver,
    pub(super) own: UnsafeCell<Own>,
    /// `None` for the idle tasks, which wait in no queue.
    _room: Option<Room>,
}

// SAFETY: `own` is used by the task itself while it runs, and by a switch to or from it, which the run queue's
// lock keeps apart; all else is safe to share.
unsafe impl Sync for Task {}
// SAFETY: as above; what `own` holds may be sent.
unsafe impl Send for Task {}

/// What only the task itself and the switch use.
pub(super) struct Own {
    /// The stack pointer while the task does not run.
    pub(super) stack_pointer: u64,
    /// `None` for the idle tasks, which run on the stacks that boot gave them.
    pub(super) stack: Option<KernelStack>,
    pub(super) page_table: Option<Arc<PageTable>>,
    pub(super) data: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) entry: Option<Box<dyn FnOnce() + Send>>,
}

/// A task's scheduling class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Shares the CPU by weight.
    Fair {
        /// The nice value, from -20 to 19.
        nice: i8,
        /// Weighs less than any nice value.
        is_idle: bool,
    },
    /// Runs before every fair task; priority 1 (low) to 99; shares turns within a priority if `round_robin`.
    RealTime {
        /// 1 to 99.
        priority: u8,
        /// Others of the same priority get turns.
        round_robin: bool,
    },
}

/// What a task does at this moment, as /proc shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Activity {
    /// Runs or waits for a CPU.
    Running,
    /// Sleeps; a signal (`interrupt`) wakes it.
    Interruptible,
    /// Sleeps; only its condition wakes it.
    Uninterruptible,
    /// Will not run any more.
    Ended,
}

impl Task {
    /// Makes a task that will run `entry` once `start`ed, with the class and the CPUs of the running task. `data` is
    /// what `current_data` finds.
    pub(crate) fn new(
        data: Option<Arc<dyn Any + Send + Sync>>, entry: Box<dyn FnOnce() + Send>,
    ) -> Result<Arc<Task>, OutOfMemory> {
        let stack = KernelStack::new()?;
        let task = Task::with_stack("", Some(stack), data, Some(entry));
        scheduler::with_current(|parent| {
            task.class.store(parent.class.load(Ordering::Relaxed), Ordering::Relaxed);
            task.settle_priority();
            task.affinity.store(parent.affinity(), Ordering::Relaxed);
        });
        super::switch::prepare_first(&task);
        Ok(task)
    }

    /// Makes the task that stands for the running boot context and becomes CPU `cpu`'s idle task.
    pub(super) fn idle(cpu: usize) -> Arc<Task> {
        let task = Task::with_stack("idle", None, None, None);
        task.cpu.store(cpu, Ordering::Relaxed);
        task
    }

    fn with_stack(
        name: &'static str, stack: Option<KernelStack>, data: Option<Arc<dyn Any + Send + Sync>>,
        entry: Option<Box<dyn FnOnce() + Send>>,
    ) -> Arc<Task> {
        let room = stack.is_some().then(Room::new);
        Arc::new(Task {
            name,
            state: AtomicU8::new(Activity::Uninterruptible as u8),
            // Nobody wakes a task before `start`: what comes earlier ends its first `park`.
            has_token: AtomicBool::new(true),
            cpu: AtomicUsize::new(crate::machine::cpu::index()),
            affinity: AtomicU64::new(u64::MAX),
            class: AtomicU32::new(Class::NORMAL.pack()),
            lent_priority: AtomicU8::new(0),
            real_time_priority: AtomicU8::new(0),
            weighted_ns: AtomicU64::new(0),
            is_interrupted: AtomicBool::new(false),
            time: TaskTime::new(),
            held_ranks: AtomicU64::new(0),
            hand_over: HandOver::new(),
            own: UnsafeCell::new(Own { stack_pointer: 0, stack, page_table: None, data, entry }),
            _room: room,
        })
    }

    /// Makes the new task runnable. Once only.
    pub(crate) fn start(self: &Arc<Task>) {
        scheduler::start(self);
    }

    /// Marks the task interrupted (a signal is due) and wakes it from an interruptible sleep; sends its CPU
    /// an interrupt if it runs in user mode there. Any context.
    pub(crate) fn interrupt(self: &Arc<Task>) {
        self.is_interrupted.store(true, Ordering::SeqCst);
        scheduler::interrupt(self);
    }

    /// Takes back the mark of `interrupt`: nothing is due any more.
    pub(crate) fn clear_interrupt(&self) {
        self.is_interrupted.store(false, Ordering::SeqCst);
        scheduler::end_interrupt(self);
    }

    /// Returns whether the mark of `interrupt` is set.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// Returns the CPU time used so far, of this run too.
    pub(crate) fn cpu_time(&self) -> CpuTime {
        scheduler::charge(self);
        self.time.cpu_time()
    }

    /// Returns what the task does now.
    pub(crate) fn activity(&self) -> Activity {
        match self.state.load(Ordering::SeqCst) {
            state if state == Activity::Running as u8 => Activity::Running,
            state if state == Activity::Interruptible as u8 => Activity::Interruptible,
            state if state == Activity::Uninterruptible as u8 => Activity::Uninterruptible,
            _ => Activity::Ended,
        }
    }

    /// Returns whether the task sleeps.
    #[inline]
    pub(super) fn is_asleep(&self) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        state == Activity::Interruptible as u8 || state == Activity::Uninterruptible as u8
    }

    /// Returns the index of the CPU that the task runs or last ran on.
    pub(crate) fn cpu(&self) -> usize {
        self.cpu.load(Ordering::Relaxed)
    }

    /// Returns the scheduling class.
    pub(crate) fn class(&self) -> Class {
        Class::unpack(self.class.load(Ordering::Relaxed))
    }

    /// Changes the scheduling class, from now on.
    pub(crate) fn set_class(&self, class: Class) {
        scheduler::change(self, || {
            self.class.store(class.pack(), Ordering::Relaxed);
            self.settle_priority();
        });
    }

    /// Returns the real-time priority it runs with, its own or a lent one; 0 for a fair task.
    pub(crate) fn real_time_priority(&self) -> u8 {
        self.real_time_priority.load(Ordering::Relaxed)
    }

    /// Follows a change of the class or of the lent priority.
    fn settle_priority(&self) {
        let own = if let Class::RealTime { priority, .. } = self.class() { priority } else { 0 };
        let priority = own.max(self.lent_priority.load(Ordering::Relaxed));
        self.real_time_priority.store(priority, Ordering::Relaxed);
    }

    /// Lends the task a real-time priority instead of what was lent before; 0 for none. Returns whether that changed.
    pub(crate) fn lend_priority(&self, priority: u8) -> bool {
        let is_changed = self.lent_priority.load(Ordering::Relaxed) != priority;
        if is_changed {
            scheduler::change(self, || {
                self.lent_priority.store(priority, Ordering::Relaxed);
                self.settle_priority();
            });
        }
        is_changed
    }

    /// Returns the CPUs that the task may run on, one bit each.
    pub(crate) fn affinity(&self) -> u64 {
        self.affinity.load(Ordering::Relaxed)
    }

    /// Restricts the task to the CPUs of `mask`; moves it if it runs elsewhere.
    pub(crate) fn set_affinity(&self, mask: u64) {
        placement::set_affinity(self, mask);
    }

    /// Returns the name given to `spawn`; empty for tasks of user programs.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Changes what `activity` tells. The run queue is locked.
    pub(super) fn set_activity(&self, activity: Activity) {
        self.state.store(activity as u8, Ordering::SeqCst);
    }

    /// Returns when the task's turn comes.
    pub(super) fn turn(&self) -> Turn {
        match self.real_time_priority() {
            0 => Turn::Fair(self.weighted_ns.load(Ordering::Relaxed)),
            priority => Turn::RealTime(Reverse(priority)),
        }
    }
}

impl Class {
    /// That of a task that asks for nothing.
    pub(crate) const NORMAL: Class = Class::Fair { nice: 0, is_idle: false };

    fn pack(self) -> u32 {
        match self {
            Class::Fair { nice, is_idle } => u32::from(is_idle) << 8 | u32::from(nice.to_le_bytes()[0]),
            Class::RealTime { priority, round_robin } => 1 << 16 | u32::from(round_robin) << 8 | u32::from(priority),
        }
    }

    fn unpack(packed: u32) -> Class {
        let [low, middle, is_real_time, _] = packed.to_le_bytes();
        match is_real_time {
            0 => Class::Fair { nice: i8::from_le_bytes([low]), is_idle: middle != 0 },
            _ => Class::RealTime { priority: low, round_robin: middle != 0 },
        }
    }
}

/// Starts a kernel thread without user mode. Panics if there is no memory for it (boot only).
pub(crate) fn spawn(name: &'static str, entry: impl FnOnce() + Send + 'static) -> Arc<Task> {
    let stack = KernelStack::new().expect("boot leaves memory for the kernel's own threads");
    let task = Task::with_stack(name, Some(stack), None, Some(Box::new(entry)));
    super::switch::prepare_first(&task);
    task.start();
    task
}
