//! Flushing translations that page tables no longer hold, on this CPU and, by the hook that `machine::trap` hands
//! down, on others.

use super::{PAGE_SIZE, allocator, kernel_table};
use crate::machine::sync::Once;
use core::ops::Range;
use x86_64::VirtAddr;
use x86_64::instructions::tlb;

/// From so many pages on, dropping all translations costs less than one by one.
const WHOLE_FLUSH_PAGES: u64 = 64;

/// Makes the CPUs of a mask flush a range of addresses, and returns when they have.
pub(in crate::machine) type ShootDown = fn(cpus: u64, range: Range<u64>);

static SHOOT_DOWN: Once<ShootDown> = Once::new();

/// Sets how other CPUs are told to flush; they call `flush_here`.
#[expect(dead_code, reason = "for the start of further CPUs")]
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
pub(super) fn flush_others(cpus: u64, range: Range<u64>) {
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
    let mut range = Range { start: u64::MAX, end: 0 };
    for address in pages {
        if let Some(page) = kernel_table::unmap_page(address) {
            freed[length] = page;
            length += 1;
            range = range.start.min(address)..range.end.max(address + PAGE_SIZE as u64);
        }
    }
    flush_others(!(1 << crate::machine::cpu::index()), range);
    for &page in &freed[..length] {
        allocator::free_page(page);
    }
}
