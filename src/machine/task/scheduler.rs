//! Which task runs: one run queue per CPU, sleeping (`park`), waking (`unpark`), turns.
//!
//! A sleep and its wake-up cannot miss one another: a wake-up leaves a token at the task, and `park` returns at
//! once if there is one. So a sleeper says where it can be woken, checks its condition, then parks, and the
//! waker makes the condition true, then unparks. `park` may also return for no reason.
//!
//! The lock of a CPU's queue (`queue`) guards which task is current, which wait, and the scheduling fields of both.

use super::accounting::{self, CpuFigures};
use super::queue::Queue;
use super::switch;
use super::task::{Activity, Class, Task};
use crate::machine::cpu::{self, Attention, MAX_CPUS};
use crate::machine::memory::PageTable;
use crate::machine::sync::{self, InterruptsOff, IrqGuard, IrqLock};
use crate::machine::time::{self, Timer};
use crate::rank::Rank;
use crate::util::run_queue::Place;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use x86_64::instructions::interrupts;

/// While any task runs, a timer looks this often whether its turn is over, and notes what it does.
const TICK_NS: u64 = 4_000_000;
/// What the scheduler keeps for one CPU.
struct Cpu {
    queue: IrqLock<Queue>,
    /// A task that has ended, whose stack the next task frees; else null.
    ended: AtomicPtr<Task>,
    /// The timer that expires each `TICK_NS` while tasks run.
    tick: IrqLock<Option<Timer>>,
    is_ticking: AtomicBool,
}

static CPUS: [Cpu; MAX_CPUS] = [const { Cpu::new() }; MAX_CPUS];

/// Tasks that exist; each queue has room for all.
static TASKS: AtomicUsize = AtomicUsize::new(0);

impl Cpu {
    const fn new() -> Cpu {
        Cpu {
            queue: IrqLock::new(Rank::RunQueue, Queue::new()),
            ended: AtomicPtr::new(core::ptr::null_mut()),
            tick: IrqLock::new(Rank::SchedulerTick, None),
            is_ticking: AtomicBool::new(false),
        }
    }
}

/// Runs tasks on this CPU for ever: the last call of boot, and of each further CPU's start.
pub(crate) fn run() -> ! {
    let _ = idle_of_this_cpu();
    interrupts::enable();
    loop {
        interrupts::disable();
        let cpu = this_cpu();
        let queue = cpu.queue.lock();
        if queue.waiting.is_empty() {
            drop(queue);
            // The instruction after STI runs before any interrupt, so none can come between the check and HLT.
            interrupts::enable_and_hlt();
            continue;
        }
        switch_away(queue);
        interrupts::enable();
    }
}

/// Returns the running task.
pub(crate) fn current() -> Arc<Task> {
    let current = cpu::this().current.load(Ordering::Relaxed).cast_const().cast::<Task>();
    if current.is_null() {
        return idle_of_this_cpu();
    }
    // SAFETY: the pointer is that of the running task, which the run queue keeps alive while it runs.
    unsafe {
        Arc::increment_strong_count(current);
        Arc::from_raw(current)
    }
}

/// Returns the running task's name, for the panic report; empty for tasks of user programs and before there are any.
pub(in crate::machine) fn current_name() -> &'static str {
    with_current(Task::name).unwrap_or("")
}

/// Calls `with` on the running task; `None` before there is one.
#[inline(always)]
pub(super) fn with_current<R>(with: impl FnOnce(&Task) -> R) -> Option<R> {
    let current = cpu::this().current.load(Ordering::Relaxed).cast_const().cast::<Task>();
    // SAFETY: the pointer is null or that of the running task, which lives at least until it has ended.
    unsafe { current.as_ref() }.map(with)
}

/// Returns the data given to `Task::new` for the running task, if it is a `T`.
pub(crate) fn current_data<T: Any + Send + Sync>() -> Option<Arc<T>> {
    with_current(|task| {
        // SAFETY: the cell belongs to the running task.
        let data = unsafe { (*task.own.get()).data.clone() }?;
        data.downcast::<T>().ok()
    })?
}

/// Sets the user address space that is loaded whenever the running task runs (`None`: the kernel's only), and
/// loads it.
pub(crate) fn set_page_table(table: Option<Arc<PageTable>>) {
    let task = current();
    let old_loaded = {
        let mut queue = this_queue().lock();
        queue.load_page_table(table.as_ref())
    };
    // SAFETY: the cell belongs to the running task.
    let old = unsafe { core::mem::replace(&mut (*task.own.get()).page_table, table) };
    // What nobody else uses is freed here, without locks.
    drop((old_loaded, old));
}

/// Lets other tasks run, if any is due. Not with a spin lock held.
pub(crate) fn yield_now() {
    sync::assert_may_sleep();
    let _off = InterruptsOff::new();
    let mut queue = this_queue().lock();
    if !queue.has_rival() {
        return;
    }
    // The next one is taken first: a fair task that has run little would only get itself.
    let next = queue.take_next();
    queue.requeue_current(Place::Last);
    switch_to(queue, next);
}

/// Switches if the running task's turn is over: for long loops.
#[inline]
pub(crate) fn reschedule_point() {
    if cpu::this().has_attention(Attention::Reschedule) {
        reschedule();
    }
}

/// Ends the running task; its entry function does not return.
pub(crate) fn exit() -> ! {
    sync::assert_may_sleep();
    set_page_table(None);
    with_current(|task| {
        // SAFETY: the cell belongs to the running task.
        let data = unsafe { (*task.own.get()).data.take() };
        drop(data);
    });
    TASKS.fetch_sub(1, Ordering::Relaxed);

    interrupts::disable();
    let queue = this_queue().lock();
    with_current(|task| task.set_activity(Activity::Ended));
    switch_away(queue);
    unreachable!("an ended task is not switched to")
}

/// Sleeps until `unpark`, unless that was called since the last sleep. May return early.
pub(super) fn park(activity: Activity) {
    sync::assert_may_sleep();
    let _off = InterruptsOff::new();
    let queue = this_queue().lock();
    let must_sleep = with_current(|task| {
        let must_sleep = !task.has_token.swap(false, Ordering::AcqRel);
        if must_sleep {
            task.set_activity(activity);
        }
        must_sleep
    });
    if must_sleep.expect("only tasks sleep") {
        accounting::count_voluntary();
        switch_away(queue);
    }
}

/// Ends the present or the next `park` of `task`. Any context.
pub(super) fn unpark(task: &Arc<Task>) {
    if task.has_token.swap(true, Ordering::AcqRel) {
        // Who left the token is about to wake the task, or it has not tried to sleep since.
        return;
    }
    let mut queue = queue_of(task);
    if matches!(task.activity(), Activity::Interruptible | Activity::Uninterruptible) {
        task.has_token.store(false, Ordering::Relaxed);
        queue.wake(task);
    }
}

/// Makes a new task runnable.
pub(super) fn start(task: &Arc<Task>) {
    let mut queue = queue_of(task);
    // A new task has no claim on what the others have used.
    task.weighted_ns.store(queue.waiting.floor(), Ordering::Relaxed);
    queue.wake(task);
}

/// Wakes `task`, which was just marked interrupted, or has its CPU look at the mark.
pub(super) fn interrupt(task: &Arc<Task>) {
    let is_running_here = with_current(|current| core::ptr::eq(current, &**task)) == Some(true);
    if is_running_here {
        cpu::this().ask_attention(Attention::Interrupted);
    }
    unpark(task);
}

/// Follows a cleared mark of `interrupt`.
pub(super) fn end_interrupt(task: &Task) {
    let _off = InterruptsOff::new();
    if with_current(|current| core::ptr::eq(current, task)) == Some(true) {
        cpu::this().end_attention(Attention::Interrupted);
        // A signal may have come between the mark and here.
        if task.is_interrupted() {
            cpu::this().ask_attention(Attention::Interrupted);
        }
    }
}

/// Changes what decides about the task's turn, and its place in the queue with it.
pub(super) fn change(task: &Task, change: impl FnOnce()) {
    queue_of(task).change(task, change);
}

/// Charges the time since the last switch if `task` runs.
pub(super) fn charge(task: &Task) {
    let mut queue = queue_of(task);
    if queue.is_current(task) {
        queue.charge_current(time::monotonic_ns());
    }
}

/// Makes room in the queues for one more task.
pub(super) fn make_room() {
    let _ = idle_of_this_cpu();
    let tasks = TASKS.fetch_add(1, Ordering::Relaxed) + 1;
    for cpu in &CPUS[..cpu::count()] {
        cpu.queue.lock().waiting.reserve(tasks);
    }
}

/// Returns this CPU's queue.
pub(super) fn this_queue() -> &'static IrqLock<Queue> {
    &this_cpu().queue
}

/// Keeps a task that has ended until the switch away from it is over.
pub(super) fn leave_ended(task: Arc<Task>) {
    this_cpu().ended.store(Arc::into_raw(task).cast_mut(), Ordering::Relaxed);
}

/// Takes the task that `leave_ended` kept.
pub(super) fn take_ended() -> Option<Arc<Task>> {
    let ended = &this_cpu().ended;
    let task = ended.load(Ordering::Relaxed);
    if task.is_null() {
        return None;
    }
    ended.store(core::ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: `leave_ended` made it from a reference, which is taken once.
    Some(unsafe { Arc::from_raw(task) })
}

/// Calls `with` for each CPU that runs: its figures, and how many tasks run or wait there.
pub(super) fn for_each_cpu(mut with: impl FnMut(&CpuFigures, usize)) {
    for cpu in &CPUS[..cpu::count()] {
        let mut queue = cpu.queue.lock();
        queue.charge_current(time::monotonic_ns());
        with(&queue.figures, queue.waiting.len() + usize::from(!queue.is_idle()));
    }
}

/// Gives the CPU away although the running task would go on.
#[cold]
pub(super) fn reschedule() {
    sync::assert_may_sleep();
    let _off = InterruptsOff::new();
    let mut queue = this_queue().lock();
    cpu::this().end_attention(Attention::Reschedule);
    if queue.waiting.is_empty() {
        return;
    }
    // Within a priority, a real-time task keeps its place until its own turn is over.
    let place = match queue.current.as_ref().map(|task| task.class()) {
        Some(Class::RealTime { round_robin, .. }) if !round_robin || !queue.is_turn_over() => Place::First,
        _ => Place::Last,
    };
    accounting::count_involuntary();
    queue.requeue_current(place);
    switch_away(queue);
}

/// Switches to the task whose turn it is; returns when the present task's turn comes again. Interrupts are off.
fn switch_away(mut queue: IrqGuard<'static, Queue>) {
    let next = queue.take_next();
    if !queue.is_current(&next) {
        switch_to(queue, next);
    }
}

fn switch_to(queue: IrqGuard<'static, Queue>, next: Arc<Task>) {
    if queue.is_idle() {
        start_tick();
    }
    queue.figures.count_switch();
    switch::switch_to(queue, next);
}

/// Returns the locked queue that is responsible for `task`.
fn queue_of(task: &Task) -> IrqGuard<'static, Queue> {
    loop {
        let cpu = task.cpu();
        let queue = CPUS[cpu].queue.lock();
        // It may have moved meanwhile.
        if task.cpu() == cpu {
            return queue;
        }
    }
}

fn this_cpu() -> &'static Cpu {
    &CPUS[cpu::index()]
}

/// Returns this CPU's idle task, which the first call makes from the running boot context.
fn idle_of_this_cpu() -> Arc<Task> {
    let index = cpu::index();
    let mut queue = this_queue().lock();
    if let Some(idle) = queue.idle() {
        return idle;
    }
    let idle = Task::idle(index);
    idle.set_activity(Activity::Running);
    cpu::this().current.store(Arc::as_ptr(&idle).cast_mut().cast(), Ordering::Relaxed);
    queue.begin(index, &idle);
    idle
}

/// Sees to it that the tick comes while tasks run. It ends by itself when it finds the CPU idle.
fn start_tick() {
    let cpu = this_cpu();
    if cpu.is_ticking.swap(true, Ordering::Relaxed) {
        return;
    }
    let timer = Timer::at(time::monotonic_ns() + TICK_NS, Box::new(tick));
    *cpu.tick.lock() = Some(timer);
}

/// Notes what the CPU does, and whether the current task's turn is over. In interrupt context.
fn tick() {
    let cpu = this_cpu();
    cpu.is_ticking.store(false, Ordering::Relaxed);
    let is_user = cpu::this().serves_user_interrupt.load(Ordering::Relaxed);

    let is_idle = {
        let mut queue = cpu.queue.lock();
        queue.charge_current(time::monotonic_ns());
        if let Some(current) = &queue.current
            && !queue.is_idle()
        {
            current.time.count_tick(is_user);
            queue.figures.count_tick(is_user);
        }
        if queue.is_turn_over() && queue.has_rival() {
            cpu::this().ask_attention(Attention::Reschedule);
        } else {
            queue.give_way_if_due();
        }
        queue.is_idle()
    };
    if !is_idle {
        start_tick();
        accounting::update_load();
    }
}
