//! The check of the order of locks, in debug builds; in release builds nothing is left of it.
//!
//! Each CPU keeps one bit for each rank that it holds, which is enough: a lock may be taken if no bit of its
//! rank or a greater one is set. An interrupt handler adds its bits to those of the code that it interrupted,
//! and takes them away before it returns.

use super::super::cpu;
use crate::rank::Rank;
use core::sync::atomic::{AtomicBool, Ordering};

/// Cleared when the kernel panics: then the log matters more than the order.
static IS_CHECKING: AtomicBool = AtomicBool::new(true);

/// One held rank of this CPU; dropping it takes the rank away.
#[derive(Debug)]
pub(super) struct Held {
    #[cfg(debug_assertions)]
    bit: u64,
}

impl Held {
    /// Notes that this CPU takes a lock of `rank`. Panics if it holds one of the same or a greater rank.
    #[inline(always)]
    #[track_caller]
    pub(super) fn take(rank: Rank) -> Held {
        Self::check(rank, 0);
        Self::note(rank)
    }

    /// Like `take`, but one of the same rank may be held.
    #[inline(always)]
    #[track_caller]
    pub(super) fn take_nested(rank: Rank) -> Held {
        Self::check(rank, 1);
        Self::note(rank)
    }

    /// Notes a lock that was free, whatever the order: who does not wait cannot be part of a deadlock.
    #[cfg(debug_assertions)]
    pub(super) fn note(rank: Rank) -> Held {
        if !is_checking() {
            return Held { bit: 0 };
        }
        let held = &cpu::this().held_ranks;
        let before = held.load(Ordering::Relaxed);
        let bit = 1 << rank as u8 & !before;
        held.store(before | bit, Ordering::Relaxed);
        Held { bit }
    }

    #[cfg(not(debug_assertions))]
    #[inline(always)]
    pub(super) fn note(_rank: Rank) -> Held {
        Held {}
    }

    /// Takes the rank away that a forgotten `Held` left.
    #[inline(always)]
    pub(super) fn forget(_rank: Rank) {
        #[cfg(debug_assertions)]
        if is_checking() {
            drop(Held { bit: 1 << _rank as u8 });
        }
    }

    #[cfg(debug_assertions)]
    #[track_caller]
    fn check(rank: Rank, allowed: u8) {
        if !is_checking() {
            return;
        }
        let held = cpu::this().held_ranks.load(Ordering::Relaxed);
        if held >> (rank as u8 + allowed) != 0 {
            stop_checks();
            panic!("a lock of rank {rank:?} is taken while ranks {held:#x} are held");
        }
    }

    #[cfg(not(debug_assertions))]
    #[inline(always)]
    fn check(_rank: Rank, _allowed: u8) {}
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        if self.bit != 0 {
            let held = &cpu::this().held_ranks;
            held.store(held.load(Ordering::Relaxed) & !self.bit, Ordering::Relaxed);
        }
    }
}

/// Panics, in debug builds, if this CPU holds a spinning lock.
#[inline(always)]
#[track_caller]
pub(in crate::machine) fn assert_may_sleep() {
    if cfg!(debug_assertions) && is_checking() {
        let held = cpu::this().held_ranks.load(Ordering::Relaxed);
        if held != 0 {
            stop_checks();
            panic!("a task sleeps while it holds spinning locks of ranks {held:#x}");
        }
    }
}

/// Panics, in debug builds, if this CPU holds a lock that others may wait for with interrupts off.
#[inline(always)]
#[track_caller]
pub(in crate::machine) fn assert_may_call() {
    if cfg!(debug_assertions) && is_checking() {
        let held = cpu::this().held_ranks.load(Ordering::Relaxed);
        if held >> Rank::DriverIrq as u8 != 0 {
            stop_checks();
            panic!("a CPU calls others while it holds spinning locks of ranks {held:#x}");
        }
    }
}

/// Ends the checks for good, for the panic report.
pub(in crate::machine) fn stop_checks() {
    IS_CHECKING.store(false, Ordering::Relaxed);
}

fn is_checking() -> bool {
    IS_CHECKING.load(Ordering::Relaxed) && cpu::is_installed()
}
