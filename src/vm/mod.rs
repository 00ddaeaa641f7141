//! Address spaces, the page cache, and memory that belongs to user programs.

/// What a process maps: areas, faults, fork.
mod address_space;

/// Where file content and program memory are copied from and to.
mod buffer;

/// The pages of a file in memory.
mod page_cache;

/// Copies that bring user pages in as they go.
mod user_copy;

/// Pointers into user memory that cannot be dereferenced.
mod user_pointer;

pub(crate) use address_space::{
    AddressSpace, AreaDescription, FaultOutcome, MapRequest, Mapping, Placement, Protection,
};
pub(crate) use buffer::{Destination, Source};
pub(crate) use page_cache::{PageCache, Pager};
pub(crate) use user_pointer::{UserPtr, UserSlice};
