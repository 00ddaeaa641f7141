//! Signals sent and not yet delivered, of one thread or of a whole process.

use super::{Signal, SignalInfo, SignalSet, code};
use crate::file::Charge;
use alloc::collections::VecDeque;

/// Sent signals in order. A standard signal is kept once, a real-time signal as often as it was sent (signal(7)).
#[derive(Default)]
pub(crate) struct Pending {
    set: SignalSet,
    /// A real-time signal counts as its user's while it waits.
    queue: VecDeque<(SignalInfo, Option<Charge>)>,
}

impl Pending {
    /// Makes an empty queue.
    pub(crate) const fn new() -> Pending {
        Pending { set: SignalSet::EMPTY, queue: VecDeque::new() }
    }

    /// Adds a signal. A standard signal that is pending already stays as it is, unless it comes from a timer of
    /// timer_create(2): each has its own.
    pub(crate) fn push(&mut self, info: SignalInfo) {
        self.push_charged(info, None);
    }

    /// Adds a signal that somebody pays for.
    pub(crate) fn push_charged(&mut self, info: SignalInfo, charge: Option<Charge>) {
        let signal = info.signal();
        if !signal.is_queued() && info.timer_id().is_none() && self.set.contains(signal) {
            return;
        }
        self.set.insert(signal);
        self.queue.push_back((info, charge));
    }

    /// Adds a signal for whose information there is no room: it comes once, without.
    pub(crate) fn push_bare(&mut self, signal: Signal) {
        self.set.insert(signal);
    }

    /// Returns which signals are pending.
    pub(crate) fn set(&self) -> SignalSet {
        self.set
    }

    /// Returns whether the signal of the timer with this id waits.
    pub(crate) fn holds_timer(&self, id: i32) -> bool {
        self.queue.iter().any(|(info, _)| info.timer_id() == Some(id))
    }

    /// Takes the next signal that is in `wanted`: faults first, then the lowest number; the oldest of equals.
    #[inline]
    pub(crate) fn take(&mut self, wanted: SignalSet) -> Option<SignalInfo> {
        let candidates = self.set.intersection(wanted);
        if candidates.is_empty() { None } else { self.take_one(candidates) }
    }

    fn take_one(&mut self, candidates: SignalSet) -> Option<SignalInfo> {
        let synchronous = candidates.intersection(SignalSet::SYNCHRONOUS);
        let signal = synchronous.first().or_else(|| candidates.first())?;
        let place = self.queue.iter().position(|(info, _)| info.signal() == signal);
        let entry = if place == Some(0) { self.queue.pop_front() } else { place.and_then(|it| self.queue.remove(it)) };
        let info = entry.map(|(info, _)| info);
        if !self.queue.iter().any(|(other, _)| other.signal() == signal) {
            self.set.remove(signal);
        }
        Some(info.unwrap_or_else(|| SignalInfo::sent(signal, code::USER, 0, 0)))
    }

    /// Forgets the signals of `set`.
    pub(crate) fn discard(&mut self, set: SignalSet) {
        if !self.set.intersection(set).is_empty() {
            self.queue.retain(|(info, _)| !set.contains(info.signal()));
            self.set = self.set.without(set);
        }
    }
}
