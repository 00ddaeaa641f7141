//! Frames, heap, page tables, kernel stacks.

/// The global allocator.
mod heap;

/// Physical pages with reference counts.
mod frame;

/// Kernel stacks.
mod kernel_stack;

/// User page tables.
mod page_table;

pub(crate) use frame::{Frame, FrameStatistics, statistics};
pub(in crate::machine) use kernel_stack::KernelStack;
pub(in crate::machine) use page_table::load_page_table;
pub(crate) use page_table::{Access, PageTable};
pub(crate) use x86_64::{PhysAddr, VirtAddr};

/// Bytes in a page.
pub(crate) const PAGE_SIZE: usize = 4096;

/// The first address above user space: user addresses are below it (47 bits, less one guard page).
pub(crate) const USER_END: u64 = 0x7fff_ffff_f000;

/// There is no free frame left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

/// A user address could not be read or written; `done` bytes before it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadAddress;

/// Takes over the memory that the boot loader described.
pub(super) fn start() {
    heap::start();
}
