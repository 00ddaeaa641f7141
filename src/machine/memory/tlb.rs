//! Flushing translations that page tables no longer hold, on this CPU and, by the hook that `machine::trap` hands
//! down, on others.

use super::{PAGE_SIZE, allocator, kernel_table};
use crate::machine::cpu;
use crate::machine::sync::Once;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::VirtAddr;
use x86_64::instructions::tlb;

/// From so many pages on, dropping all translations costs less than one by one.
const WHOLE_FLUSH_PAGES: u64 = 64;

/// Makes the CPUs of a mask flush a range of addresses, and returns when they have.
pub(in crate::machine) type ShootDown = fn(cpus: u64, range: Range<u64>);

static SHOOT_DOWN: Once<ShootDown> = Once::new();

/// The range that holds all pages whose translations must go.
pub(super) struct Stale {
    start: u64,
    end: u64,
}

impl Stale {
    /// Makes an empty range.
    pub(super) fn new() -> Stale {
        Stale { start: u64::MAX, end: 0 }
    }

    /// Widens it to the page of `size` bytes at `address`.
    pub(super) fn add(&mut self, address: u64, size: u64) {
        self.start = self.start.min(address);
        self.end = self.end.max(address + size);
    }

    /// Empties it; returns what it was.
    pub(super) fn take(&mut self) -> Range<u64> {
        let Stale { start, end } = core::mem::replace(self, Stale::new());
        start.min(end)..end
    }
}

/// The CPUs that have a page table loaded, one bit each.
pub(super) struct Cpus(AtomicU64);

impl Cpus {
    /// Makes an empty set.
    pub(super) fn new() -> Cpus {
        Cpus(AtomicU64::new(0))
    }

    /// Adds a CPU, before it loads the table: who changes the table from then on tells it to flush.
    pub(super) fn add(&self, index: usize) {
        self.0.fetch_or(1 << index, Ordering::SeqCst);
    }

    /// Takes out a CPU, after it has loaded another table.
    pub(super) fn remove(&self, index: usize) {
        self.0.fetch_and(!(1 << index), Ordering::SeqCst);
    }

    /// Flushes the translations of `range` on them.
    pub(super) fn flush(&self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let here = 1 << cpu::index();
        let cpus = self.0.load(Ordering::SeqCst);
        if cpus & here != 0 {
            flush_here(range.clone());
        }
        flush_others(cpus & !here, range);
    }
}

/// Sets how other CPUs are told to flush; they call `flush_here`.
pub(in crate::machine) fn set_shoot_down(shoot_down: ShootDown) {
    SHOOT_DOWN.call_once(|| shoot_down);
}

/// Flushes the translations of `range` on this CPU. Any context.
pub(in crate::machine) fn flush_here(range: Range<u64>) {
    let is_kernel = range.end > 1 << 63;
    if !is_kernel && (range.end - range.start) / PAGE_SIZE as u64 > WHOLE_FLUSH_PAGES {
        tlb::flush_all();
        return;
    }
    for address in range.step_by(PAGE_SIZE) {
        tlb::flush(VirtAddr::new_truncate(address));
    }
}

/// Flushes the translations of `range` on the CPUs of the mask `cpus`, this one not among them.
fn flush_others(cpus: u64, range: Range<u64>) {
    if cpus != 0
        && let Some(shoot_down) = SHOOT_DOWN.get()
    {
        shoot_down(cpus, range);
    }
}

/// Unmaps and frees the pages at the kernel addresses `pages`, once no CPU has a translation for them.
pub(super) fn unmap_kernel_pages(pages: impl Iterator<Item = u64> + Clone) {
    let mut freed = [0; 16];
    let mut length = 0;
    let mut stale = Stale::new();
    for address in pages {
        if let Some(page) = kernel_table::unmap_page(address) {
            freed[length] = page;
            length += 1;
            stale.add(address, PAGE_SIZE as u64);
        }
    }
    flush_others(!(1 << cpu::index()), stale.take());
    for &page in &freed[..length] {
        allocator::free_page(page);
    }
}
