//! Frames, heap, page tables, kernel stacks.

/// Copying and clearing pages.
mod raw;

/// Free pages and the counter of each page.
mod allocator;

/// Entries and pages of page tables.
mod entry;

/// The kernel's own page tables.
mod kernel_table;

/// Translations that must go.
mod tlb;

/// The global allocator.
mod heap;

/// Physical pages with reference counts.
mod frame;

/// Kernel stacks.
mod stack;

/// Pages on their way out of a page table.
mod removal;

/// User page tables.
mod page_table;

pub(crate) use allocator::{is_scarce, require_abundance, require_plenty, statistics, total_pages};
pub(crate) use frame::{Frame, LargeFrame};
pub(crate) use heap::heap_pages;
pub(in crate::machine) use heap::trim;
pub(in crate::machine) use kernel_table::root_address;
pub(in crate::machine) use kernel_table::{Caching, map_device, map_firmware};
pub(in crate::machine) use page_table::load_page_table;
pub(crate) use page_table::{Access, PageTable, Stores};
pub(crate) use stack::STACK_SIZE;
pub(in crate::machine) use stack::{KernelStack, assert_margin, is_below_stack};
pub(in crate::machine) use tlb::{flush_here, set_shoot_down};
pub(crate) use x86_64::{PhysAddr, VirtAddr};

use super::boot;
use super::console::log;

/// Bytes in a page.
pub(crate) const PAGE_SIZE: usize = 4096;

/// Bytes in a large page, which one entry of a table above the lowest maps.
pub(crate) const LARGE_PAGE_SIZE: usize = 2 << 20;

/// The first address above user space: user addresses are below it (47 bits, less one guard page).
pub(crate) const USER_END: u64 = 0x7fff_ffff_f000;

/// There is no free frame left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

/// Counts of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FrameStatistics {
    /// Frames that the allocator manages.
    pub(crate) total: usize,
    /// Frames free, per-CPU caches included.
    pub(crate) free: usize,
    /// Of the free frames, those that programs may have.
    pub(crate) available: usize,
}

/// A user address could not be read or written; `done` bytes before it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadAddress;

/// Takes over the memory that the boot loader described. Afterwards there is a heap, and the boot stub's page
/// tables are not used any more.
pub(super) fn start() {
    let map = boot::memory_map();
    allocator::start(map);
    kernel_table::start(map).expect("boot::start has checked that there is memory enough");
    allocator::add_high_memory(map);
    boot::set_release(allocator::release);

    if let Some(video) = boot::framebuffer() {
        let address = map_device(video.start, video.end - video.start, Caching::WriteCombining);
        // SAFETY: just mapped, for ever, all of it, and nobody else gets this address.
        unsafe { boot::set_video_memory(address) };
    }
    let FrameStatistics { total, free, .. } = statistics();
    log!(Info, "memory: {} KiB managed, {} KiB free", (total * PAGE_SIZE) >> 10, (free * PAGE_SIZE) >> 10);
}
