//! Signals for readiness (fcntl(2), O_ASYNC): whom an open file tells, and the files that have something to tell.
//!
//! An announcement may come from an interrupt, where no signal can be sent. So it only puts its watch on a list; a
//! thread of the room that knows processes takes it off and sends.

use super::{Events, Observer, OpenFile, StatusFlags};
use crate::machine::sync::IrqLock;
use crate::machine::task::WaitQueue;
use crate::rank::Rank;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU32, Ordering};

/// Whom signals are for (F_SETOWN_EX).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Recipient {
    #[default]
    Nobody,
    Thread(i32),
    Process(i32),
    Group(i32),
}

/// How an open file tells of its readiness.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SignalTarget {
    pub(crate) recipient: Recipient,
    /// Who set it: the user and effective user whose rights count.
    pub(crate) uid: u32,
    pub(crate) euid: u32,
    /// F_SETSIG: another signal than SIGIO, with details; 0 for SIGIO without.
    pub(crate) signal: i32,
}

/// What an open file has of this: made by the first fcntl(2) that needs it.
#[derive(Default)]
pub(super) struct SignalIo {
    pub(super) target: SignalTarget,
    /// There while O_ASYNC is set.
    pub(super) watch: Option<Arc<Watch>>,
}

/// Observes one open file.
pub(crate) struct Watch {
    file: Weak<OpenFile>,
    /// By which descriptor O_ASYNC was set (si_fd).
    pub(crate) descriptor: i32,
    /// What was announced since the last signal; with anything in it the watch is on the list.
    events: AtomicU32,
    this: Weak<Watch>,
}

static ARRIVED: IrqLock<VecDeque<Weak<Watch>>> = IrqLock::new(Rank::FiredTimers, VecDeque::new());
static SENDER: WaitQueue = WaitQueue::new();

/// Waits for a file that has something to tell; returns its target, its descriptor and what holds.
pub(crate) fn next() -> (SignalTarget, i32, Events) {
    loop {
        let watch = SENDER.wait_until(|| ARRIVED.lock().pop_front());
        let Some(watch) = watch.upgrade() else { continue };
        let events = Events::from_bits_retain(watch.events.swap(0, Ordering::SeqCst));
        if let Some(file) = watch.file.upgrade()
            && file.flags().contains(StatusFlags::ASYNC)
        {
            return (file.signal_target(), watch.descriptor, events);
        }
    }
}

impl Watch {
    /// Begins to observe `file`.
    pub(super) fn begin(file: &Arc<OpenFile>, descriptor: i32) -> Arc<Watch> {
        let watch = Arc::new_cyclic(|this| Watch {
            file: Arc::downgrade(file),
            descriptor,
            events: AtomicU32::new(0),
            this: this.clone(),
        });
        let observer: Arc<dyn Observer> = watch.clone();
        file.poll(Events::READABLE | Events::WRITABLE | Events::PRIORITY, Some(&observer));
        watch
    }
}

impl Observer for Watch {
    fn notify(&self, events: Events) -> bool {
        if self.events.fetch_or(events.bits(), Ordering::SeqCst) == 0 {
            ARRIVED.lock().push_back(self.this.clone());
            SENDER.wake_one();
        }
        false
    }
}
