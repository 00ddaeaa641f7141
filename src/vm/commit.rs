//! How much memory programs have been promised (proc(5), Committed_AS), and how much they may be: overcommit by
//! vm.overcommit_memory, 0 all but what is obviously too much, 1 all, 2 no more than the limit.
//!
//! What counts is what may need frames of its own: private writable areas, and anonymous memory that is shared, all in
//! whole. Each CPU keeps a count of its own, so that mmap touches no line of another; the sum is made when asked for.

use super::PAGE;
use crate::errno::{Errno, Result};
use crate::machine::cpu::{self, MAX_CPUS};
use crate::machine::memory::total_pages;
use crate::util::tunable::Tunable;
use core::sync::atomic::{AtomicI64, Ordering};

/// vm.overcommit_memory.
pub(crate) static POLICY: Tunable = Tunable::new(HEURISTIC, 0, 2);

/// vm.overcommit_ratio: hundredths of memory that may be promised under the policy 2.
pub(crate) static RATIO: Tunable = Tunable::new(50, 0, 1 << 31);

const HEURISTIC: usize = 0;
const ALWAYS: usize = 1;

/// Bytes promised on one CPU, less those given back there. On a cache line of its own.
#[repr(align(64))]
struct Count(AtomicI64);

static PROMISED: [Count; MAX_CPUS] = [const { Count(AtomicI64::new(0)) }; MAX_CPUS];

/// Memory promised to one address space, or for one shared area; dropping it gives it back.
#[derive(Default)]
pub(super) struct Promise {
    bytes: u64,
}

impl Promise {
    /// Promises `bytes` more. ENOMEM.
    pub(super) fn extend(&mut self, bytes: u64) -> Result {
        let is_too_much = match POLICY.get() {
            HEURISTIC => bytes / PAGE > total_pages() as u64,
            ALWAYS => false,
            _ => promised().saturating_add(bytes) > limit(),
        };
        Errno::ENOMEM.when(is_too_much)?;
        self.change(bytes.cast_signed());
        Ok(())
    }

    /// Gives `bytes` back.
    pub(super) fn reduce(&mut self, bytes: u64) {
        self.change(-bytes.cast_signed());
    }

    fn change(&mut self, by: i64) {
        self.bytes = self.bytes.wrapping_add_signed(by);
        PROMISED[cpu::index()].0.fetch_add(by, Ordering::Relaxed);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.reduce(self.bytes);
    }
}

/// Returns whether no more than the limit is promised.
pub(super) fn is_strict() -> bool {
    POLICY.get() > ALWAYS
}

/// Returns how many bytes are promised in all.
pub(crate) fn promised() -> u64 {
    PROMISED.iter().map(|count| count.0.load(Ordering::Relaxed)).sum::<i64>().max(0).cast_unsigned()
}

/// Returns how many bytes may be promised under the policy 2.
pub(crate) fn limit() -> u64 {
    total_pages() as u64 * RATIO.get() as u64 / 100 * PAGE
}
