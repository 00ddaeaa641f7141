//! Kernel threads, the scheduler, sleeping and waking.
//!
//! No kernel preemption: a CPU switches when a task sleeps or yields, and on return to user mode.
//! `task` is what one task is, `queue` says whose turn it is, `placement` on which CPU, `scheduler` lets tasks run, `switch`
//! changes stacks, `accounting` keeps the figures; `wait`, `waiter` and `mutex` are the ways to sleep, all built on
//! `scheduler::park`.

/// Where the time went.
mod accounting;

/// The sleeping lock.
mod mutex;

/// Which CPU a task is given to.
mod placement;

/// The tasks of one CPU.
mod queue;

/// Which task runs.
mod scheduler;

/// From one task to another.
mod switch;

/// One kernel thread.
#[expect(clippy::module_inception, reason = "the file of the type that the room is named after")]
mod task;

/// Waiting for a condition.
mod wait;

/// Waiting for any of several events.
mod waiter;

pub(crate) use accounting::{CpuTime, statistics};
pub(crate) use mutex::{Mutex, MutexGuard};
pub(crate) use scheduler::{current, current_data, exit, reschedule_point, run, set_page_table, yield_now};
pub(in crate::machine) use scheduler::{current_name, join, settle_interrupt};
pub(crate) use task::{Activity, Class, Task, spawn};
pub(crate) use wait::{Interrupted, WaitError, WaitQueue, sleep_until};
pub(crate) use waiter::Waiter;
