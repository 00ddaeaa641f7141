//! Which task runs: one run queue per CPU, sleeping (`park`), waking (`unpark`), turns.
//!
//! A sleep and its wake-up cannot miss one another: a wake-up leaves a token at the task, and `park` returns at
//! once if there is one. So a sleeper says where it can be woken, checks its condition, then parks, and the
//! waker makes the condition true, then unparks. `park` may also return for no reason.
//!
//! The lock of a CPU's queue guards which task is current, which wait, and the scheduling fields of both.

use super::accounting::{self, CpuFigures};
use super::switch;
use super::task::{Activity, Class, Task};
use crate::machine::cpu::{self, Attention, MAX_CPUS};
use crate::machine::memory::{self, PageTable};
use crate::machine::sync::{self, InterruptsOff, IrqGuard, IrqLock};
use crate::machine::time::{self, Timer};
use crate::rank::Rank;
use crate::util::run_queue::{Place, RunQueue, Turn, weighted};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use x86_64::instructions::interrupts;

/// While any task runs, a timer looks this often whether its turn is over, and notes what it does.
const TICK_NS: u64 = 4_000_000;
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
    waiting: RunQueue<Arc<Task>>,
    /// `None` until the first task is made: boot runs.
    current: Option<Arc<Task>>,
    idle: Option<Arc<Task>>,
    /// Up to when the current task's time has been charged.
    charged_until_ns: u64,
    /// When the current task's turn began.
    turn_start_ns: u64,
    /// The user address space in the CPU; kept while kernel threads run, because the next task is often the same.
    loaded: Option<Arc<PageTable>>,
}

struct Cpu {
    queue: IrqLock<Queue>,
    figures: CpuFigures,
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
        let queue = Queue {
            cpu: 0,
            waiting: RunQueue::new(),
            current: None,
            idle: None,
            charged_until_ns: 0,
            turn_start_ns: 0,
            loaded: None,
        };
        Cpu {
            queue: IrqLock::new(Rank::RunQueue, queue),
            figures: CpuFigures::new(),
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
    if queue.waiting.is_empty() {
        return;
    }
    queue.requeue_current(Place::Last);
    switch_away(queue);
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
    let mut queue = queue_of(task);
    let waiting = queue.waiting.remove(|waiting| core::ptr::eq(&**waiting, task));
    change();
    if let Some(waiting) = waiting {
        queue.enqueue(waiting, Place::Last);
    }
}

/// Charges the time since the last switch if `task` runs.
pub(super) fn charge(task: &Task) {
    let mut queue = queue_of(task);
    if queue.current.as_ref().is_some_and(|current| core::ptr::eq(&**current, task)) {
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
pub(super) fn for_each_cpu(mut with: impl FnMut(&'static CpuFigures, usize)) {
    for cpu in &CPUS[..cpu::count()] {
        let runnable = {
            let mut queue = cpu.queue.lock();
            queue.charge_current(time::monotonic_ns());
            queue.waiting.len() + usize::from(!queue.is_idle())
        };
        with(&cpu.figures, runnable);
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
    let now = time::monotonic_ns();
    queue.charge_current(now);
    let next = queue.waiting.pop().unwrap_or_else(|| queue.idle());
    queue.turn_start_ns = now;
    if queue.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &next)) {
        return;
    }

    if !Arc::ptr_eq(&next, &queue.idle()) {
        start_tick();
    }
    this_cpu().figures.count_switch();
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
    if let Some(idle) = &queue.idle {
        return Arc::clone(idle);
    }
    let idle = Task::idle(index);
    idle.set_activity(Activity::Running);
    cpu::this().current.store(Arc::as_ptr(&idle).cast_mut().cast(), Ordering::Relaxed);
    queue.cpu = index;
    queue.charged_until_ns = time::monotonic_ns();
    queue.current = Some(Arc::clone(&idle));
    queue.idle = Some(Arc::clone(&idle));
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
            cpu.figures.count_tick(is_user);
        }
        if queue.is_turn_over() && queue.has_rival() {
            cpu::this().ask_attention(Attention::Reschedule);
        }
        queue.is_idle()
    };
    if !is_idle {
        start_tick();
        accounting::update_load();
    }
}

impl Queue {
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

    fn idle(&self) -> Arc<Task> {
        Arc::clone(self.idle.as_ref().expect("the idle task is there before any other"))
    }

    fn is_idle(&self) -> bool {
        match (&self.current, &self.idle) {
            (Some(current), Some(idle)) => Arc::ptr_eq(current, idle),
            _ => true,
        }
    }

    /// Adds what the current task used since the last call to its time and its CPU's.
    fn charge_current(&mut self, now: u64) {
        let used = now.saturating_sub(self.charged_until_ns);
        self.charged_until_ns = now;
        let figures = &CPUS[self.cpu].figures;
        if self.is_idle() {
            figures.add_idle(used);
            return;
        }
        let Some(current) = &self.current else { return };
        figures.add_busy(used);
        current.time.add(used);
        if let Class::Fair { nice } = current.class() {
            let total = current.weighted_ns.load(Ordering::Relaxed) + weighted(used, nice);
            current.weighted_ns.store(total, Ordering::Relaxed);
            self.waiting.raise_floor(total);
        }
    }

    /// Makes a sleeping or new task wait for the CPU, and the current one give way if it is less urgent.
    fn wake(&mut self, task: &Arc<Task>) {
        task.set_activity(Activity::Running);
        let least = self.waiting.floor().saturating_sub(SLEEP_BONUS_NS);
        if task.weighted_ns.load(Ordering::Relaxed) < least {
            task.weighted_ns.store(least, Ordering::Relaxed);
        }
        let turn = task.turn();
        self.enqueue(Arc::clone(task), Place::Last);
        if self.must_give_way(turn) && self.cpu == cpu::index() {
            cpu::this().ask_attention(Attention::Reschedule);
        }
    }

    fn enqueue(&mut self, task: Arc<Task>, place: Place) {
        self.waiting.push(task.turn(), place, task);
    }

    /// Has the current task wait for its next turn.
    fn requeue_current(&mut self, place: Place) {
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
    fn is_turn_over(&self) -> bool {
        let ran = self.charged_until_ns.saturating_sub(self.turn_start_ns);
        match self.current.as_ref().map(|task| task.class()) {
            Some(Class::Fair { .. }) => ran >= TURN_NS,
            Some(Class::RealTime { round_robin, .. }) => round_robin && ran >= REAL_TIME_TURN_NS,
            None => false,
        }
    }

    /// Returns whether a task waits that may run instead of the current one.
    fn has_rival(&self) -> bool {
        let Some(current) = &self.current else { return false };
        match (self.waiting.next_turn(), current.turn()) {
            (None, _) => false,
            // Whoever has waited runs next, even if it is ahead: its turn comes by the time it is due.
            (Some(Turn::Fair(_)), Turn::Fair(_)) => true,
            (Some(waiting), running) => waiting <= running,
        }
    }
}
