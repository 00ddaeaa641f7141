//! Signals sent and not yet delivered, of one thread or of a whole process.

use super::{Signal, SignalInfo, SignalSet, code};
use alloc::collections::VecDeque;

/// Sent signals in order. A standard signal is kept once, a real-time signal as often as it was sent (signal(7)).
#[derive(Default)]
pub(crate) struct Pending {
    set: SignalSet,
    queue: VecDeque<SignalInfo>,
}

impl Pending {
    /// Makes an empty queue.
    pub(crate) const fn new() -> Pending {
        Pending { set: SignalSet::EMPTY, queue: VecDeque::new() }
    }

    /// Adds a signal. A standard signal that is pending already stays as it is.
    pub(crate) fn push(&mut self, info: SignalInfo) {
        let signal = info.signal();
        if !signal.is_queued() && self.set.contains(signal) {
            return;
        }
        self.set.insert(signal);
        self.queue.push_back(info);
    }

    /// Adds a signal for whose information there is no room: it comes once, without.
    pub(crate) fn push_bare(&mut self, signal: Signal) {
        self.set.insert(signal);
    }

    /// Returns which signals are pending.
    pub(crate) fn set(&self) -> SignalSet {
        self.set
    }

    /// Returns how many entries are queued, for RLIMIT_SIGPENDING.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Takes the next signal that is in `wanted`: faults first, then the lowest number; the oldest of equals.
    pub(crate) fn take(&mut self, wanted: SignalSet) -> Option<SignalInfo> {
        let candidates = self.set.intersection(wanted);
        let synchronous = candidates.intersection(SignalSet::SYNCHRONOUS);
        let signal = synchronous.first().or_else(|| candidates.first())?;
        let place = self.queue.iter().position(|info| info.signal() == signal);
        let info = place.and_then(|place| self.queue.remove(place));
        if !self.queue.iter().any(|other| other.signal() == signal) {
            self.set.remove(signal);
        }
        Some(info.unwrap_or_else(|| SignalInfo::sent(signal, code::USER, 0, 0)))
    }

    /// Forgets the signals of `set`.
    pub(crate) fn discard(&mut self, set: SignalSet) {
        if !self.set.intersection(set).is_empty() {
            self.queue.retain(|info| !set.contains(info.signal()));
            self.set = self.set.without(set);
        }
    }
}
