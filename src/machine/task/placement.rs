//! On which CPU a task runs: where it is put when it becomes runnable, who takes it over when it waits too long.

use super::queue::{self, IDLE, Queue, urgency_of};
use super::scheduler::{queue_at, queue_of, with_current};
use super::task::{Activity, Task};
use crate::machine::cpu::{self, Attention};
use crate::machine::platform;
use crate::machine::sync::IrqGuard;
use crate::machine::trap::LocalVector;
use crate::util::run_queue::{Place, Turn};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// A CPU takes a task from another whose queue is longer by so many.
const UNEVEN: usize = 2;
/// How long a turn may be of two tasks that wake each other and sleep: about what it costs to wake a CPU and to have it fetch
/// what this one has in its caches.
const SOON_NS: u64 = 100_000;
/// So many times in a row are taken for a habit.
const SURE: u8 = 2;

/// Puts a task that is runnable, in no queue and off its stack into that of the CPU that suits it. `queue` is the one
/// that is responsible for it.
pub(super) fn place(task: Arc<Task>, mut queue: IrqGuard<'static, Queue>) {
    task.set_activity(Activity::Running);
    loop {
        let target = choose(&task);
        if target == queue.cpu() {
            return queue.wake(task);
        }
        queue = move_to(&task, queue, target);
    }
}

/// Puts a task that is woken up, perhaps by the running one, into a queue: here, without a word to another CPU, if the
/// running task is known to sleep at once when it has woken somebody, as the two ends of a pipe do that take turns.
#[inline]
pub(super) fn place_woken(task: Arc<Task>, mut queue: IrqGuard<'static, Queue>) {
    if cpu::count() > 1 {
        return place_among_several(task, queue);
    }
    task.set_activity(Activity::Running);
    queue.wake(task);
}

#[inline(never)]
fn place_among_several(task: Arc<Task>, queue: IrqGuard<'static, Queue>) {
    if !is_handed_over(&task) {
        return place(task, queue);
    }
    task.set_activity(Activity::Running);
    let here = cpu::index();
    let mut queue = if queue.cpu() == here { queue } else { move_to(&task, queue, here) };
    // Its affinity may have changed between the two locks.
    if is_allowed_on(&task, here) { queue.wake(task) } else { place(task, queue) }
}

fn is_handed_over(task: &Task) -> bool {
    let here = cpu::index();
    if cpu::this().serves_interrupt.load(Ordering::Relaxed) {
        return false;
    }
    let hands_over = with_current(|waker| waker.hand_over.note_wake_up()) == Some(true);
    hands_over && queue::waiting(here) == 0 && is_allowed_on(task, here) && matches!(task.turn(), Turn::Fair(_))
}

/// Whether a task has short turns in which it wakes another and sleeps. Used by the task itself.
pub(super) struct HandOver {
    /// It has woken somebody since it slept.
    has_woken: AtomicBool,
    /// How often in a row it then slept soon, up to `SURE`.
    times: AtomicU8,
}

impl HandOver {
    pub(super) const fn new() -> HandOver {
        HandOver { has_woken: AtomicBool::new(false), times: AtomicU8::new(0) }
    }

    /// Notes that the task wakes another; returns whether it is likely to sleep soon.
    pub(super) fn note_wake_up(&self) -> bool {
        self.has_woken.store(true, Ordering::Relaxed);
        self.times.load(Ordering::Relaxed) == SURE
    }

    /// Notes that the task goes to sleep after a turn of `turn_ns` nanoseconds.
    #[inline]
    pub(super) fn note_sleep(&self, turn_ns: u64) {
        if self.has_woken.load(Ordering::Relaxed) {
            self.has_woken.store(false, Ordering::Relaxed);
            let times = if turn_ns < SOON_NS { (self.times.load(Ordering::Relaxed) + 1).min(SURE) } else { 0 };
            self.times.store(times, Ordering::Relaxed);
        }
    }
}

/// Makes CPU `target` responsible for a runnable task that is in no queue; returns that CPU's queue.
fn move_to(task: &Task, queue: IrqGuard<'static, Queue>, target: usize) -> IrqGuard<'static, Queue> {
    let old_floor = queue.floor();
    task.cpu.store(target, Ordering::Relaxed);
    // One lock at a time. Who looks for the task meanwhile finds it with the new CPU, neither current nor waiting.
    drop(queue);
    let queue = queue_at(target);
    // What it is ahead of the others or behind them, it keeps.
    let ahead = task.weighted_ns.load(Ordering::Relaxed).saturating_sub(old_floor);
    task.weighted_ns.store(queue.floor() + ahead, Ordering::Relaxed);
    queue
}

/// Returns the CPU on which a task that becomes runnable should wait: where it was if that is idle, as its data are
/// warm there; else one that is idle, or that does something less urgent; else this one, whose data it was woken with.
pub(super) fn choose(task: &Task) -> usize {
    let count = cpu::count();
    let (here, last) = (cpu::index(), task.cpu());
    let allowed = task.affinity();
    let is_allowed = |cpu: &usize| allowed >> *cpu & 1 == 1;
    if is_allowed(&last) && queue::urgency(last) == IDLE {
        return last;
    }
    // The nearest first in each direction would be the topology's; by index it is right often enough.
    let least = (0..count).filter(is_allowed).min_by_key(|cpu| (queue::urgency(*cpu), *cpu != last));
    let Some(least) = least else { return last };
    let urgency = queue::urgency(least);
    let is_real_time = matches!(task.turn(), Turn::RealTime(_));
    if urgency == IDLE || is_real_time && urgency < urgency_of(task.turn()) {
        return least;
    }
    [here, last].into_iter().find(is_allowed).unwrap_or(least)
}

/// Takes a task over from a CPU for which at least `waiting` tasks wait; returns whether there was one. Interrupts are off.
pub(super) fn steal(waiting: usize) -> bool {
    let (here, count) = (cpu::index(), cpu::count());
    // Not all begin with the same.
    let others = (here + 1..count).chain(0..here);
    for other in others.filter(|other| queue::waiting(*other) >= waiting) {
        let mut queue = queue_at(other);
        if let Some(task) = queue.remove(|task| task.affinity() >> here & 1 == 1) {
            let queue = move_to(&task, queue, here);
            place(task, queue);
            return true;
        }
    }
    false
}

/// Restricts the task to the CPUs of `mask`, from now on if it waits or sleeps, else from its next way to user mode on.
pub(super) fn set_affinity(task: &Task, mask: u64) {
    let mut queue = queue_of(task);
    let waiting = queue.remove(|waiting| core::ptr::eq(waiting, task));
    task.affinity.store(mask, Ordering::Relaxed);
    match waiting {
        Some(waiting) if is_allowed_on(task, queue.cpu()) => queue.enqueue(waiting, Place::Last),
        Some(waiting) => place(waiting, queue),
        None if queue.is_current(task) && !is_allowed_on(task, queue.cpu()) => {
            queue.ask_attention(Attention::Reschedule);
        }
        None => (),
    }
}

pub(super) fn is_allowed_on(task: &Task, cpu: usize) -> bool {
    task.affinity() >> cpu & 1 == 1
}

/// Has tasks that wait here or elsewhere go where they are run sooner. In the tick.
pub(super) fn spread() {
    let (here, count) = (cpu::index(), cpu::count());
    let waiting = queue::waiting(here);
    let idle = (0..count).find(|cpu| queue::urgency(*cpu) == IDLE);
    match idle {
        // It went to sleep before the task came here; it looks around when it wakes up.
        Some(idle) if waiting > 0 => {
            // Who was expected to sleep has not.
            with_current(|task| task.hand_over.times.store(0, Ordering::Relaxed));
            platform::send_interrupt(idle, LocalVector::Reschedule);
        }
        Some(_) => (),
        None => {
            steal(waiting + UNEVEN);
        }
    }
}
