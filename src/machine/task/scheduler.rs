//! Which task runs: one run queue per CPU, sleeping (`park`), waking (`unpark`), turns. Where it runs is `placement`'s.
//!
//! A sleep and its wake-up cannot miss one another: a wake-up leaves a token at the task, and `park` returns at
//! once if there is one. So a sleeper says where it can be woken, checks its condition, then parks, and the
//! waker makes the condition true, then unparks. `park` may also return for no reason.
//!
//! The lock of a CPU's queue (`queue`) guards which task is current, which wait, and the scheduling fields of both.

use super::accounting::{self, CpuFigures};
use super::placement::{choose, is_allowed_on, place, place_woken, spread, steal};
use super::queue::Queue;
use super::switch;
use super::task::{Activity, Class, Task};
use crate::machine::console::{self, log};
use crate::machine::cpu::{self, Attention, MAX_CPUS};
use crate::machine::memory::{self, PageTable};
use crate::machine::sync::{self, InterruptsOff, IrqGuard, IrqLock};
use crate::machine::time::{self, Timer};
use crate::machine::trap::{self, LocalVector};
use crate::rank::Rank;
use crate::util::run_queue::Place;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use x86_64::instructions::interrupts;

/// So many ticks find a task in the kernel that was to give way at the first: a bug, told in debug builds.
const HANG_TICKS: u32 = 1250;
/// While any task runs, a timer looks this often whether its turn is over, and notes what it does.
const TICK_NS: u64 = 4_000_000;

/// What the scheduler keeps for one CPU.
struct Cpu {
    queue: IrqLock<Queue>,
    /// What the switch that goes on leaves for its end.
    left_task: Slot<Task>,
    left_table: Slot<PageTable>,
    /// The timer that expires each `TICK_NS` while tasks run.
    tick: IrqLock<Option<Timer>>,
    is_ticking: AtomicBool,
    /// The ticks since the running task was to give way.
    overdue: AtomicU32,
}

static CPUS: [Cpu; MAX_CPUS] = [const { Cpu::new() }; MAX_CPUS];

/// Tasks that exist; each queue has room for all.
static TASKS: AtomicUsize = AtomicUsize::new(0);

/// For how many tasks each queue has room.
static ROOM: AtomicUsize = AtomicUsize::new(0);

impl Cpu {
    const fn new() -> Cpu {
        Cpu {
            queue: IrqLock::new(Rank::RunQueue, Queue::new()),
            left_task: Slot(AtomicPtr::new(null_mut())),
            left_table: Slot(AtomicPtr::new(null_mut())),
            tick: IrqLock::new(Rank::SchedulerTick, None),
            is_ticking: AtomicBool::new(false),
            overdue: AtomicU32::new(0),
        }
    }
}

/// A reference that one CPU puts down and takes up again, with interrupts off.
struct Slot<T>(AtomicPtr<T>);

impl<T> Slot<T> {
    fn put(&self, value: Arc<T>) {
        self.0.store(Arc::into_raw(value).cast_mut(), Ordering::Relaxed);
    }

    fn take(&self) -> Option<Arc<T>> {
        let value = self.0.load(Ordering::Relaxed);
        if value.is_null() {
            return None;
        }
        self.0.store(null_mut(), Ordering::Relaxed);
        // SAFETY: `put` made it from a reference, which is taken once, as no other CPU uses the slot.
        Some(unsafe { Arc::from_raw(value) })
    }
}

/// Makes this CPU one that tasks can be given to. Once per CPU, before it is counted.
pub(in crate::machine) fn join() {
    trap::set_local_handler(LocalVector::Reschedule, || ());
    let _ = idle_of_this_cpu();
    this_queue().lock().reserve(ROOM.load(Ordering::Relaxed));
}

/// Runs tasks on this CPU for ever: the last call of boot, and of each further CPU's start.
pub(crate) fn run() -> ! {
    let _ = idle_of_this_cpu();
    loop {
        interrupts::disable();
        let mut queue = this_queue().lock();
        // From here on a task that is given to this CPU is seen below, or brings an interrupt.
        cpu::this().end_attention(Attention::Reschedule);
        // What it was woken for may be somebody else's by now.
        queue.publish_urgency();
        if queue.waiting() > 0 {
            switch_away(queue, time::monotonic_ns());
            interrupts::enable();
            continue;
        }
        // Who unmaps pages need not wake this CPU then. Alone, it is likely to go on with the same task.
        let old_table = if cpu::count() > 1 { queue.load_page_table(None) } else { None };
        let trims = queue.begin_trim();
        drop(queue);
        if trims {
            memory::trim();
        }
        if old_table.is_some() {
            // It may be nobody else's, and to free it takes long.
            interrupts::enable();
            drop(old_table);
        } else if !steal(1) {
            // The instruction after STI runs before any interrupt, so none can come between the check and HLT.
            interrupts::enable_and_hlt();
        }
    }
}

/// Returns the running task.
pub(crate) fn current() -> Arc<Task> {
    let current = current_pointer();
    if current.is_null() {
        return idle_of_this_cpu();
    }
    // SAFETY: the pointer is that of the running task, which the run queue keeps alive while it runs.
    unsafe {
        Arc::increment_strong_count(current);
        Arc::from_raw(current)
    }
}

/// Returns where the running task is, as `Arc::as_ptr` does: null before there is one.
pub(super) fn current_pointer() -> *const Task {
    cpu::this().current.load(Ordering::Relaxed).cast_const().cast()
}

/// Returns the running task's name, for the panic report; empty for tasks of user programs and before there are any.
pub(in crate::machine) fn current_name() -> &'static str {
    with_current(Task::name).unwrap_or("")
}

/// Calls `with` on the running task; `None` before there is one.
#[inline(always)]
pub(super) fn with_current<R>(with: impl FnOnce(&Task) -> R) -> Option<R> {
    // SAFETY: the pointer is null or that of the running task, which lives at least until it has ended.
    unsafe { current_pointer().as_ref() }.map(with)
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
    let kept = this_queue().lock().load_page_table(table.as_deref());
    // SAFETY: the cell belongs to the running task.
    let old = unsafe { core::mem::replace(&mut (*task.own.get()).page_table, table) };
    // What nobody else uses is freed here, without locks.
    drop((kept, old));
}

/// Lets other tasks run, if any is due. Not with a spin lock held.
pub(crate) fn yield_now() {
    sync::assert_may_sleep();
    let mut queue = this_queue().lock();
    if !queue.has_rival() {
        return;
    }
    // The next one is taken first: a fair task that has run little would only get itself.
    let now = time::monotonic_ns();
    let next = queue.take_next(now);
    queue.requeue_current(Place::Last, now);
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

    interrupts::disable();
    let queue = this_queue().lock();
    with_current(|task| task.set_activity(Activity::Ended));
    switch_away(queue, time::monotonic_ns());
    unreachable!("an ended task is not switched to")
}

/// Sleeps until `unpark`, unless that was called since the last sleep. May return early.
pub(super) fn park(activity: Activity) {
    sync::assert_may_sleep();
    let queue = this_queue().lock();
    let must_sleep = with_current(|task| !task.has_token.swap(false, Ordering::AcqRel));
    if must_sleep.expect("only tasks sleep") {
        sleep(queue, activity);
    }
}

fn sleep(queue: IrqGuard<'static, Queue>, activity: Activity) {
    let now = time::monotonic_ns();
    with_current(|task| {
        task.set_activity(activity);
        task.time.count_voluntary();
        task.hand_over.note_sleep(queue.turn_ns(now));
    });
    switch_away(queue, now);
}

/// Ends the present or the next `park` of `task`. Any context.
pub(super) fn unpark(task: Arc<Task>) {
    if task.has_token.swap(true, Ordering::AcqRel) {
        // Who left the token is about to wake the task, or it has not tried to sleep since.
        return;
    }
    // The lock is held until a switch is complete, so a task that is seen asleep has left its stack.
    let queue = queue_of(&task);
    if task.is_asleep() {
        task.has_token.store(false, Ordering::Relaxed);
        place_woken(task, queue);
    }
}

/// Makes a new task runnable.
pub(super) fn start(task: &Arc<Task>) {
    let queue = queue_of(task);
    // A new task has no claim on what the others have used.
    task.weighted_ns.store(queue.floor(), Ordering::Relaxed);
    place(Arc::clone(task), queue);
}

/// Wakes `task`, which was just marked interrupted, or has its CPU look at the mark.
pub(super) fn interrupt(task: &Arc<Task>) {
    {
        // A switch to it, which looks at the mark, is over or comes later.
        let queue = queue_of(task);
        if queue.is_current(task) {
            queue.ask_attention(Attention::Interrupted);
        }
    }
    unpark(Arc::clone(task));
}

/// Makes this CPU's note of an interruption follow the running task's mark, which whoever cleared it on another CPU
/// could not; returns whether the mark is set. Interrupts are off.
pub(in crate::machine) fn settle_interrupt() -> bool {
    cpu::this().end_attention(Attention::Interrupted);
    // Who marks the task after this look asks for attention after it too.
    let is_interrupted = with_current(Task::is_interrupted) == Some(true);
    if is_interrupted {
        cpu::this().ask_attention(Attention::Interrupted);
    }
    is_interrupted
}

/// Follows a cleared mark of `interrupt` if `task` runs here; another CPU finds out on its way to user mode.
pub(super) fn end_interrupt(task: &Task) {
    let _off = InterruptsOff::new();
    if with_current(|current| core::ptr::eq(current, task)) == Some(true) {
        settle_interrupt();
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

/// Room for one task in every queue, as long as it lives.
pub(super) struct Room(());

impl Room {
    /// Makes room for one more task.
    pub(super) fn new() -> Room {
        let _ = idle_of_this_cpu();
        let tasks = TASKS.fetch_add(1, Ordering::Relaxed) + 1;
        if tasks > ROOM.load(Ordering::Acquire) {
            let room = (tasks + 1).next_power_of_two();
            for cpu in &CPUS[..cpu::count()] {
                cpu.queue.lock().reserve(room);
            }
            ROOM.fetch_max(room, Ordering::Release);
        }
        Room(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        TASKS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns this CPU's queue.
pub(super) fn this_queue() -> &'static IrqLock<Queue> {
    &this_cpu().queue
}

/// Keeps a task that has ended, or has to go to another CPU, until the switch away from it is over.
pub(super) fn leave_task(task: Arc<Task>) {
    this_cpu().left_task.put(task);
}

/// Keeps a page table that may have no other owner until the run queue is unlocked.
pub(super) fn leave_table(table: Arc<PageTable>) {
    this_cpu().left_table.put(table);
}

/// Ends a switch, on the stack of the task that was switched to: unlocks the queue, and sees to what `leave_task` kept;
/// returns what `leave_table` kept, to be dropped with interrupts on. Interrupts are off.
pub(super) fn finish_switch() -> Option<Arc<PageTable>> {
    let cpu = this_cpu();
    // SAFETY: the task that was switched away from handed it over on this CPU just now.
    unsafe { cpu.queue.finish_hand_over() };
    if let Some(task) = cpu.left_task.take() {
        finish_left(task);
    }
    cpu.left_table.take()
}

#[cold]
fn finish_left(task: Arc<Task>) {
    if task.activity() == Activity::Ended {
        // SAFETY: the task has ended and this CPU has left its stack; nobody else uses its cell any more.
        drop(unsafe { (*task.own.get()).stack.take() });
    } else {
        let queue = queue_of(&task);
        place(task, queue);
    }
}

/// Calls `with` for each CPU that runs: its figures, and how many tasks run or wait there.
pub(super) fn for_each_cpu(mut with: impl FnMut(&CpuFigures, usize)) {
    for cpu in &CPUS[..cpu::count()] {
        let mut queue = cpu.queue.lock();
        queue.charge_current(time::monotonic_ns());
        with(&queue.figures, queue.waiting() + usize::from(!queue.is_idle()));
    }
}

/// Gives the CPU away although the running task would go on.
#[cold]
pub(super) fn reschedule() {
    sync::assert_may_sleep();
    let mut queue = this_queue().lock();
    cpu::this().end_attention(Attention::Reschedule);
    let Some(current) = queue.current.clone() else { return };
    let now = time::monotonic_ns();
    let is_real_time = matches!(current.class(), Class::RealTime { .. });
    // A real-time task that has to give way may find a CPU that does something less urgent.
    let has_to_leave =
        !is_allowed_on(&current, queue.cpu()) || is_real_time && queue.waiting() > 0 && choose(&current) != queue.cpu();
    if has_to_leave {
        current.time.count_involuntary();
        leave_task(current);
        return switch_away(queue, now);
    }
    if queue.waiting() == 0 {
        return;
    }
    // Within a priority, a real-time task keeps its place until its own turn is over.
    let place = match current.class() {
        Class::RealTime { round_robin, .. } if !round_robin || !queue.is_turn_over() => Place::First,
        _ => Place::Last,
    };
    current.time.count_involuntary();
    drop(current);
    queue.requeue_current(place, now);
    switch_away(queue, now);
}

/// Switches to the task whose turn it is; returns when the present task's turn comes again, interrupts as they were before
/// `queue` was locked.
#[inline(never)]
fn switch_away(mut queue: IrqGuard<'static, Queue>, now: u64) {
    let next = queue.take_next(now);
    if queue.is_current(&next) {
        queue.publish_urgency();
    } else {
        switch_to(queue, next);
    }
}

#[inline]
fn switch_to(queue: IrqGuard<'static, Queue>, next: Arc<Task>) {
    if queue.is_idle() {
        start_tick();
    }
    queue.figures.count_switch();
    switch::switch_to(queue, next);
}

/// Returns CPU `cpu`'s locked queue.
pub(super) fn queue_at(cpu: usize) -> IrqGuard<'static, Queue> {
    CPUS[cpu].queue.lock()
}

/// Returns the locked queue that is responsible for `task`.
pub(super) fn queue_of(task: &Task) -> IrqGuard<'static, Queue> {
    loop {
        let cpu = task.cpu();
        let queue = queue_at(cpu);
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

/// Tells of a task that does not give way. In the tick.
fn watch(cpu: &Cpu, is_user: bool) {
    let is_overdue = !is_user && cpu::this().has_attention(Attention::Reschedule);
    let overdue = if is_overdue { cpu.overdue.load(Ordering::Relaxed) + 1 } else { 0 };
    cpu.overdue.store(overdue, Ordering::Relaxed);
    if overdue == HANG_TICKS {
        log!(
            Error,
            "CPU {}: a task lets no other run for {} ms",
            cpu::index(),
            u64::from(overdue) * TICK_NS / 1_000_000
        );
        console::report::log_backtrace();
    }
}

/// Notes what the CPU does, and whether the current task's turn is over. In interrupt context.
fn tick() {
    let cpu = this_cpu();
    cpu.is_ticking.store(false, Ordering::Relaxed);
    let is_user = cpu::this().serves_user_interrupt.load(Ordering::Relaxed);
    if cfg!(debug_assertions) {
        watch(cpu, is_user);
    }

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
        queue.limit_real_time();
        queue.is_idle()
    };
    if !is_idle {
        start_tick();
        accounting::update_load();
        spread();
    }
}
