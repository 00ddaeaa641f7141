//! Kernel threads, the scheduler, sleeping and waking.
//!
//! No kernel preemption: a CPU switches when a task sleeps or yields, and on return to user mode.

/// The sleeping lock.
mod mutex;

/// Waiting for a condition.
mod wait;

pub(crate) use mutex::{Mutex, MutexGuard};
pub(crate) use wait::{Interrupted, WaitError, WaitQueue, Waiter};

use super::memory::{OutOfMemory, PageTable};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

/// A thread of execution in the kernel, which may run user mode in between.
pub(crate) struct Task {
    _name: (),
}

/// A task's scheduling class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Shares the CPU by weight; the nice value from -20 to 19.
    Fair { nice: i8 },
    /// Runs before every fair task; priority 1 (low) to 99; shares turns within a priority if `round_robin`.
    RealTime { priority: u8, round_robin: bool },
}

/// CPU time that a task used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    /// Switches because the task slept or yielded.
    pub(crate) voluntary_switches: u64,
    /// Switches because its turn was over.
    pub(crate) involuntary_switches: u64,
}

/// What a task does at this moment, as /proc shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    Running,
    /// Sleeps; a signal (`interrupt`) wakes it.
    Interruptible,
    /// Sleeps; only its condition wakes it.
    Uninterruptible,
    Ended,
}

impl Task {
    /// Makes a task that will run `entry` once `start`ed. `data` is what `current_data` finds.
    pub(crate) fn new(
        _data: Option<Arc<dyn Any + Send + Sync>>,
        _entry: Box<dyn FnOnce() + Send>,
    ) -> Result<Arc<Task>, OutOfMemory> {
        todo!()
    }

    /// Makes the new task runnable. Once only.
    pub(crate) fn start(self: &Arc<Task>) {
        todo!()
    }

    /// Marks the task interrupted (a signal is due) and wakes it from an interruptible sleep; sends its CPU
    /// an interrupt if it runs in user mode there. Any context.
    pub(crate) fn interrupt(&self) {
        todo!()
    }

    /// Takes back the mark of `interrupt`: nothing is due any more.
    pub(crate) fn clear_interrupt(&self) {
        todo!()
    }

    /// Returns whether the mark of `interrupt` is set.
    pub(crate) fn is_interrupted(&self) -> bool {
        todo!()
    }

    /// Returns the CPU time used so far, of this run too.
    pub(crate) fn cpu_time(&self) -> CpuTime {
        todo!()
    }

    /// Returns what the task does now.
    pub(crate) fn activity(&self) -> Activity {
        todo!()
    }

    /// Returns the index of the CPU that the task runs or last ran on.
    pub(crate) fn cpu(&self) -> usize {
        todo!()
    }

    /// Returns the scheduling class.
    pub(crate) fn class(&self) -> Class {
        todo!()
    }

    /// Changes the scheduling class, from now on.
    pub(crate) fn set_class(&self, _class: Class) {
        todo!()
    }

    /// Returns the CPUs that the task may run on, one bit each.
    pub(crate) fn affinity(&self) -> u64 {
        todo!()
    }

    /// Restricts the task to the CPUs of `mask`; moves it if it runs elsewhere.
    pub(crate) fn set_affinity(&self, _mask: u64) {
        todo!()
    }
}

/// Starts a kernel thread without user mode. Panics if there is no memory for it (boot only).
pub(crate) fn spawn(_name: &'static str, _entry: impl FnOnce() + Send + 'static) -> Arc<Task> {
    todo!()
}

/// Returns the running task.
pub(crate) fn current() -> Arc<Task> {
    todo!()
}

/// Calls `with` on the data given to `Task::new` for the running task, if it is a `T`.
pub(crate) fn current_data<T: Any + Send + Sync>() -> Option<Arc<T>> {
    todo!()
}

/// Sets the user address space that is loaded whenever the running task runs (`None`: the kernel's only), and
/// loads it.
pub(crate) fn set_page_table(_table: Option<Arc<PageTable>>) {
    todo!()
}

/// Lets other tasks run, if any is due. Not with a spin lock held.
pub(crate) fn yield_now() {
    todo!()
}

/// Switches if the running task's turn is over: for long loops.
pub(crate) fn reschedule_point() {
    todo!()
}

/// Sleeps until monotonic time `deadline_ns`, or a signal.
pub(crate) fn sleep_until(_deadline_ns: u64) -> Result<(), Interrupted> {
    todo!()
}

/// System-wide figures of the scheduler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    /// Tasks running or waiting for a CPU now.
    pub(crate) runnable: usize,
    /// Switches since start.
    pub(crate) switches: u64,
    /// By CPU index: nanoseconds in user mode, in the kernel, idle.
    pub(crate) cpus: alloc::vec::Vec<(u64, u64, u64)>,
    /// Load averages over 1, 5 and 15 minutes, in 1/100.
    pub(crate) load: [u32; 3],
}

/// Returns the scheduler's figures.
pub(crate) fn statistics() -> Statistics {
    todo!()
}

/// Ends the running task; its entry function does not return.
pub(crate) fn exit() -> ! {
    todo!()
}

/// Runs tasks on this CPU for ever: the last call of boot, and of each further CPU's start.
pub(crate) fn run() -> ! {
    todo!()
}
