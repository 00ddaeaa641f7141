//! Timers and each CPU's queue of them.
//!
//! A timer stays on the CPU that made it. Its function runs there in the timer's interrupt, without the queue's
//! lock, so it may make or drop timers.

use super::event::{self, EventSource};
use super::monotonic_ns;
use crate::machine::cpu::{self, MAX_CPUS};
use crate::machine::platform::Pit;
use crate::machine::sync::{IrqLock, Once};
use crate::machine::trap::{self, IrqLine, LocalVector};
use crate::rank::Rank;
use alloc::{boxed::Box, collections::BTreeMap};
use core::sync::atomic::{AtomicU64, Ordering};

/// A timer's function.
type Expire = Box<dyn FnOnce() + Send>;

/// Timers by deadline, then by age.
type Queue = BTreeMap<(u64, u64), Expire>;

static QUEUES: [IrqLock<Queue>; MAX_CPUS] = [const { IrqLock::new(Rank::TimerQueue, BTreeMap::new()) }; MAX_CPUS];

/// Makes this CPU's timers work. Once per CPU.
pub(in crate::machine) fn start_cpu() {
    static PIT_LINE: Once<IrqLine> = Once::new();

    trap::set_local_handler(LocalVector::Timer, expire_due);
    if let EventSource::Pit = event::start_cpu() {
        PIT_LINE.call_once(|| IrqLine::isa(Pit::IRQ, "timer", Box::new(expire_due)));
    }
}

/// A one-shot timer; dropping it cancels it.
pub(crate) struct Timer {
    cpu: usize,
    key: (u64, u64),
}

impl Timer {
    /// Calls `expire` once, in interrupt context, at or soon after monotonic time `deadline_ns`. Any context.
    pub(crate) fn at(deadline_ns: u64, expire: Box<dyn FnOnce() + Send>) -> Timer {
        static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(0);
        let key = (deadline_ns, NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed));

        // The kernel is not preempted, so this stays the running CPU.
        let cpu = cpu::index();
        let mut queue = QUEUES[cpu].lock();
        queue.insert(key, expire);
        if queue.first_key_value().is_some_and(|(first, _)| *first == key) {
            event::interrupt_at(Some(deadline_ns));
        }
        Timer { cpu, key }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // A deadline that is left set for it only brings an interrupt that finds nothing due. What the function
        // owns is dropped without the lock.
        let expire = QUEUES[self.cpu].lock().remove(&self.key);
        drop(expire);
    }
}

/// Calls the functions of all timers that are due, then sets the next deadline. In the timer's interrupt.
fn expire_due() {
    let queue = &QUEUES[cpu::index()];
    while let Some(expire) = take_due(queue) {
        expire();
    }
}

/// Takes the first timer that is due; if none is, sets the deadline of the next.
fn take_due(queue: &IrqLock<Queue>) -> Option<Expire> {
    let mut queue = queue.lock();
    let next = queue.first_key_value().map(|(key, _)| key.0);
    if next.is_some_and(|deadline| deadline <= monotonic_ns()) {
        return queue.pop_first().map(|(_, expire)| expire);
    }
    event::interrupt_at(next);
    None
}
