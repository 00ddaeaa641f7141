//! Address spaces, the page cache, and memory that belongs to user programs.

/// What a process maps: areas and page table.
mod address_space;

/// One area, and the requests that make it.
mod area;

/// Frames for programs and files, less a reserve.
mod budget;

/// Where file content and program memory are copied from and to.
mod buffer;

/// What memory is promised to programs.
pub(crate) mod commit;

/// Page faults: demand paging, copy on write.
mod fault;

/// The copy for a child process.
mod fork;

/// The heap that brk(2) moves the end of.
mod heap;

/// Pages of 2 MiB.
pub(crate) mod large_pages;

/// mmap, munmap, mprotect, madvise.
mod map;

/// The pages of a file in memory.
mod page_cache;

/// mremap.
mod remap;

/// Access to an address space from outside.
mod remote;

/// What may not be done to a file any more.
mod seals;

/// Pages in memory by kind.
mod usage;

/// Copies that bring user pages in as they go.
mod user_copy;

/// Pointers into user memory that cannot be dereferenced.
mod user_pointer;

pub(crate) use address_space::{AddressSpace, random_offset};
pub(crate) use area::{AreaDescription, Label, MapRequest, Mapping, Placement, Protection};
pub(crate) use budget::{check as check_budget, defaults};
pub(crate) use buffer::{Destination, Source};
pub(crate) use fault::{FaultOutcome, Rights};
pub(crate) use large_pages::LargePages;
pub(crate) use page_cache::PageCache;
pub(crate) use remap::Remap;
pub(crate) use seals::Seals;
pub(crate) use usage::Usage;
pub(crate) use user_pointer::{UserPtr, UserString};

use crate::machine::memory::{PAGE_SIZE, USER_END};

/// Bytes in a page, as addresses count.
const PAGE: u64 = PAGE_SIZE as u64;

/// Rounds up to whole pages; 0 on overflow.
pub(crate) fn round_up(length: u64) -> u64 {
    length.wrapping_add(PAGE - 1) & !(PAGE - 1)
}
