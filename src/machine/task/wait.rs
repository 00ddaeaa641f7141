//! Waiting for a condition: nobody sleeps without one, so no wake-up can be lost.
//!
//! A waiter puts a node, which lies on its own stack, into the queue's list, checks its condition, and parks.
//! Whoever makes the condition true wakes the first node or all; a woken node is out of the list. Nothing
//! here allocates, but for a deadline's timer.

use super::scheduler::{self, park, unpark};
use super::task::{Activity, Task};
use crate::machine::sync::IrqLock;
use crate::machine::time::{self, Timer};
use crate::rank::Rank;
use alloc::{boxed::Box, sync::Arc};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use core::{cell::Cell, ptr};

/// The sleep ended because `Task::interrupt` was called: a signal is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted;

/// Why a wait with a limit ended without its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitError {
    /// A signal is due.
    Interrupted,
    /// The deadline passed.
    TimedOut,
}

/// Tasks that wait for one kind of event.
pub(crate) struct WaitQueue {
    list: IrqLock<List>,
    /// The length of `list`, so that waking nobody needs no lock.
    waiters: AtomicUsize,
}

struct List {
    first: *const Node,
    last: *const Node,
}

// SAFETY: the nodes are used with the list locked, by whatever CPU.
unsafe impl Send for List {}

/// One waiting task, on its stack.
struct Node {
    /// The task that waits, so it lives as long as the node is linked.
    task: *const Task,
    next: Cell<*const Node>,
    previous: Cell<*const Node>,
    is_linked: AtomicBool,
}

impl WaitQueue {
    /// Makes an empty queue.
    pub(crate) const fn new() -> WaitQueue {
        let list = List { first: ptr::null(), last: ptr::null() };
        WaitQueue { list: IrqLock::new(Rank::WaitQueue, list), waiters: AtomicUsize::new(0) }
    }

    /// Sleeps until `condition` gives a value, whatever signals come. `condition` runs first at once, then after
    /// each wake-up, without locks held by this queue.
    pub(crate) fn wait_until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        if let Some(value) = condition() {
            return value;
        }
        match self.wait(Activity::Uninterruptible, None, condition) {
            Ok(value) => value,
            Err(_) => unreachable!("neither a signal nor a deadline ends this wait"),
        }
    }

    /// Like `wait_until`, but ends when a signal is due.
    pub(crate) fn wait_interruptible<T>(&self, mut condition: impl FnMut() -> Option<T>) -> Result<T, Interrupted> {
        if let Some(value) = condition() {
            return Ok(value);
        }
        self.wait(Activity::Interruptible, None, condition).map_err(|_| Interrupted)
    }

    /// Like `wait_interruptible`, but ends at monotonic time `deadline_ns` too, if there is one.
    pub(crate) fn wait_deadline<T>(
        &self, deadline_ns: Option<u64>, mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        if let Some(value) = condition() {
            return Ok(value);
        }
        self.wait(Activity::Interruptible, deadline_ns, condition)
    }

    /// Wakes the task that waits longest; returns whether there was one. Any context.
    #[inline]
    pub(crate) fn wake_one(&self) -> bool {
        self.may_have_waiters() && self.wake_longest()
    }

    /// Wakes the task that waits longest and sets `is_called`, unless that is set.
    #[inline]
    pub(super) fn wake_one_unless(&self, is_called: &AtomicBool) {
        if self.may_have_waiters() && !is_called.load(Ordering::Relaxed) {
            self.call_longest(is_called);
        }
    }

    #[inline(never)]
    fn call_longest(&self, is_called: &AtomicBool) {
        let mut list = self.list.lock();
        if !list.first.is_null() && !is_called.swap(true, Ordering::Relaxed) {
            self.wake_first(&mut list);
        }
    }

    /// Wakes all tasks that wait here; returns whether there was one. Any context.
    pub(crate) fn wake_all(&self) -> bool {
        if !self.may_have_waiters() {
            return false;
        }
        let mut list = self.list.lock();
        let is_awaited = self.wake_first(&mut list);
        while self.wake_first(&mut list) {}
        is_awaited
    }

    fn wait<T>(
        &self, activity: Activity, deadline_ns: Option<u64>, mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        let node = Node::new();
        let entry = Entry { queue: self, node: &node };

        loop {
            entry.link();
            if let Some(value) = condition() {
                return Ok(value);
            }
            let ends = if activity == Activity::Interruptible && is_interrupted() {
                Some(WaitError::Interrupted)
            } else if deadline_ns.is_some_and(|deadline| time::monotonic_ns() >= deadline) {
                Some(WaitError::TimedOut)
            } else {
                None
            };
            if let Some(error) = ends {
                // A wake-up that came for this task is not lost, but goes to the next.
                if !entry.unlink() {
                    self.wake_one();
                }
                return Err(error);
            }
            // A sleep inside `condition` may have used up the token of a wake-up from here.
            if node.is_linked.load(Ordering::Acquire) {
                // Only who does sleep needs a timer, and one that has not fired: this CPU's clock may be a little behind
                // that of the CPU where it did.
                let _timer = deadline_ns.map(|deadline| wake_at(deadline, &scheduler::current()));
                park(activity);
            }
            // Woken, most often for good: then the node need not go into the list again.
            if !node.is_linked.load(Ordering::Acquire)
                && let Some(value) = condition()
            {
                return Ok(value);
            }
        }
    }

    /// Returns whether anybody may wait. The caller has made a condition true before; the fence and the one in
    /// `link` see to it that either the waker sees the waiter or the waiter sees the condition.
    #[inline]
    fn may_have_waiters(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waiters.load(Ordering::Relaxed) != 0
    }

    #[inline(never)]
    fn wake_longest(&self) -> bool {
        self.wake_first(&mut self.list.lock())
    }

    /// Wakes the first waiter; returns whether there was one.
    fn wake_first(&self, list: &mut List) -> bool {
        // SAFETY: a linked node lives until it is unlinked, which needs the lock.
        let Some(node) = (unsafe { list.first.as_ref() }) else { return false };
        self.remove(list, node);
        // SAFETY: the task is inside `wait` as long as the node is linked, and whoever runs is kept.
        let task = unsafe {
            Arc::increment_strong_count(node.task);
            Arc::from_raw(node.task)
        };
        // From here on the node may vanish: its task does not need the lock to see that it is out of the list.
        node.is_linked.store(false, Ordering::Release);
        unpark(task);
        true
    }

    fn remove(&self, list: &mut List, node: &Node) {
        let (previous, next) = (node.previous.get(), node.next.get());
        // SAFETY: the neighbours of a linked node are linked, so they live; the list is locked.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => list.first = next,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(previous),
            None => list.last = previous,
        }
        self.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    fn new() -> Node {
        Node {
            task: scheduler::current_pointer(),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            is_linked: AtomicBool::new(false),
        }
    }
}

/// A node that is taken out of the queue before it goes out of scope.
struct Entry<'a> {
    queue: &'a WaitQueue,
    node: &'a Node,
}

impl Entry<'_> {
    /// Puts the node at the end of the list unless it is in it.
    fn link(&self) {
        let node = self.node;
        if node.is_linked.load(Ordering::Acquire) {
            return;
        }
        let mut list = self.queue.list.lock();
        node.next.set(ptr::null());
        node.previous.set(list.last);
        // SAFETY: a linked node lives until it is unlinked, which needs the lock.
        match unsafe { list.last.as_ref() } {
            Some(last) => last.next.set(node),
            None => list.first = node,
        }
        list.last = node;
        node.is_linked.store(true, Ordering::Relaxed);
        self.queue.waiters.fetch_add(1, Ordering::Relaxed);
        drop(list);
        fence(Ordering::SeqCst);
    }

    /// Takes the node out of the list; returns whether it was in it.
    fn unlink(&self) -> bool {
        if !self.node.is_linked.load(Ordering::Acquire) {
            return false;
        }
        let mut list = self.queue.list.lock();
        let was_linked = self.node.is_linked.swap(false, Ordering::Relaxed);
        if was_linked {
            self.queue.remove(&mut list, self.node);
        }
        was_linked
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.unlink();
    }
}

/// Returns whether a signal is due for the running task.
fn is_interrupted() -> bool {
    scheduler::with_current(Task::is_interrupted) == Some(true)
}

/// Sleeps until monotonic time `deadline_ns`, or a signal.
pub(crate) fn sleep_until(deadline_ns: u64) -> Result<(), Interrupted> {
    let task = scheduler::current();
    loop {
        if time::monotonic_ns() >= deadline_ns {
            return Ok(());
        }
        if task.is_interrupted() {
            return Err(Interrupted);
        }
        let _timer = wake_at(deadline_ns, &task);
        park(Activity::Interruptible);
    }
}

/// Wakes `task` at the deadline, unless the timer is dropped before.
pub(super) fn wake_at(deadline_ns: u64, task: &Arc<Task>) -> Timer {
    let task = Arc::clone(task);
    Timer::at(deadline_ns, Box::new(move || unpark(task)))
}
