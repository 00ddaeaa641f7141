//! One area of an address space: a range of pages with one protection and one mapping, and the requests that make it.

use super::{LargePages, PageCache, Usage, commit};
use crate::util::interval_map::Piece;
use alloc::sync::Arc;
use bitflags::bitflags;
use core::any::Any;

bitflags! {
    /// What a program may do with an area (mmap(2), PROT_*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Protection: u32 {
        const READ = 1;
        const WRITE = 2;
        const EXECUTE = 4;
    }
}

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Anywhere; near the hint if that is free (0: no hint).
    Anywhere(u64),
    /// The same within the second GiB (MAP_32BIT).
    Low(u64),
    /// Exactly here; what is there is unmapped.
    Fixed(u64),
    /// Exactly here, or EEXIST.
    FixedNoReplace(u64),
}

/// What an area without a file is for, as /proc/PID/maps names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    None,
    Heap,
    Stack,
    Vdso,
    Vvar,
}

impl Label {
    /// Returns the name; none is empty.
    pub(crate) fn name(self) -> &'static str {
        ["", "[heap]", "[stack]", "[vdso]", "[vvar]"][self as usize]
    }
}

/// What an area shows.
#[derive(Clone)]
pub(crate) enum Mapping {
    /// Zero pages of its own.
    Anonymous,
    /// A file's pages from `offset` (bytes, a multiple of the page size). Shared anonymous memory is a file
    /// without a name.
    File {
        cache: Arc<PageCache>,
        offset: u64,
        /// The open file, kept alive, for its name in /proc/PID/maps (a `dyn File`; vm does not look inside).
        owner: Option<Arc<dyn Any + Send + Sync>>,
    },
}

/// A request to map memory; lengths are rounded up to pages.
#[derive(Clone)]
pub(crate) struct MapRequest {
    pub(crate) placement: Placement,
    pub(crate) length: u64,
    pub(crate) protection: Protection,
    /// What `protect` may raise the protection to (a shared mapping of a file opened read-only lacks WRITE).
    pub(crate) maximum: Protection,
    pub(crate) mapping: Mapping,
    /// Stores go to the mapping itself (MAP_SHARED) instead of private copies.
    pub(crate) is_shared: bool,
    /// Extends downwards on faults just below it (the stack).
    pub(crate) grows_down: bool,
    /// Fill in the pages now (MAP_POPULATE).
    pub(crate) populate: bool,
    /// May be larger than all memory (MAP_NORESERVE).
    pub(crate) may_overcommit: bool,
    pub(crate) large_pages: LargePages,
    pub(crate) label: Label,
}

impl MapRequest {
    /// Returns the request for private zero pages that may be read and written, anywhere.
    pub(crate) fn anonymous(length: u64) -> MapRequest {
        MapRequest {
            placement: Placement::Anywhere(0),
            length,
            protection: Protection::READ | Protection::WRITE,
            maximum: Protection::all(),
            mapping: Mapping::Anonymous,
            is_shared: false,
            grows_down: false,
            populate: false,
            may_overcommit: false,
            large_pages: LargePages::Unadvised,
            label: Label::None,
        }
    }
}

/// One area, as /proc/PID/maps shows it.
#[derive(Clone)]
pub(crate) struct AreaDescription {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) protection: Protection,
    pub(crate) is_shared: bool,
    pub(crate) mapping: Mapping,
    pub(crate) label: Label,
    pub(crate) is_locked: bool,
    pub(crate) large_pages: LargePages,
    /// It can have large pages.
    pub(crate) takes_large_pages: bool,
    /// Pages present.
    pub(crate) usage: Usage,
}

/// The kind of an access to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Read,
    Write,
    Execute,
}

/// What is known of one area; its range is the key in the address space's map.
#[derive(Clone)]
pub(super) struct Area {
    pub(super) protection: Protection,
    pub(super) maximum: Protection,
    pub(super) mapping: Mapping,
    pub(super) is_shared: bool,
    pub(super) grows_down: bool,
    /// Its memory is promised (`commit`): private, and writable once, unless it may be more than there is.
    pub(super) is_promised: bool,
    pub(super) may_overcommit: bool,
    /// Holds pages of its own: a fork must share them. Others can be found again in the file.
    pub(super) has_private_pages: bool,
    /// Its pages stay in memory (mlock(2)).
    pub(super) is_locked: bool,
    /// Absent in children (madvise(2), MADV_DONTFORK).
    pub(super) is_left_out_of_fork: bool,
    /// Empty in children (madvise(2), MADV_WIPEONFORK).
    pub(super) is_wiped_by_fork: bool,
    pub(super) large_pages: LargePages,
    pub(super) label: Label,
}

impl Area {
    /// Makes the area that `request` asks for.
    pub(super) fn new(request: &MapRequest) -> Area {
        let may_overcommit = request.may_overcommit && !commit::is_strict();
        Area {
            protection: request.protection,
            maximum: request.maximum,
            mapping: request.mapping.clone(),
            is_shared: request.is_shared,
            grows_down: request.grows_down,
            is_promised: !may_overcommit && !request.is_shared && request.protection.contains(Protection::WRITE),
            may_overcommit,
            has_private_pages: false,
            is_locked: false,
            is_left_out_of_fork: false,
            is_wiped_by_fork: false,
            large_pages: request.large_pages,
            label: request.label,
        }
    }

    /// Returns whether the protection allows the access. As on x86, what may be written or executed may be read.
    pub(super) fn allows(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Read => !self.protection.is_empty(),
            Wanted::Write => self.protection.contains(Protection::WRITE),
            Wanted::Execute => self.protection.contains(Protection::EXECUTE),
        }
    }

    /// Returns whether stores go to private pages (what RLIMIT_DATA counts, with brk).
    pub(super) fn is_private_writable(&self) -> bool {
        !self.is_shared && self.protection.contains(Protection::WRITE)
    }

    /// Returns whether it holds program code.
    pub(super) fn is_executable_only(&self) -> bool {
        self.protection.contains(Protection::EXECUTE) && !self.protection.contains(Protection::WRITE)
    }

    /// Returns the file and its page index at `distance` bytes from the area's start.
    pub(super) fn file_page(&self, distance: u64) -> Option<(&Arc<PageCache>, u64)> {
        match &self.mapping {
            Mapping::Anonymous => None,
            Mapping::File { cache, offset, .. } => Some((cache, (offset + distance) / super::PAGE)),
        }
    }

    /// Returns whether the area shows `cache`.
    pub(super) fn shows(&self, cache: &PageCache) -> bool {
        matches!(&self.mapping, Mapping::File { cache: shown, .. } if core::ptr::eq(Arc::as_ptr(shown), cache))
    }
}

impl Piece for Area {
    fn split_off(&mut self, offset: u64) -> Area {
        let mut back = self.clone();
        if let Mapping::File { offset: start, .. } = &mut back.mapping {
            *start += offset;
        }
        back
    }

    fn try_join(&mut self, length: u64, next: &Area) -> bool {
        let continues = match (&self.mapping, &next.mapping) {
            (Mapping::Anonymous, Mapping::Anonymous) => true,
            (
                Mapping::File { cache, offset, owner },
                Mapping::File { cache: next_cache, offset: next_offset, owner: next_owner },
            ) => {
                Arc::ptr_eq(cache, next_cache)
                    && offset + length == *next_offset
                    && match (owner, next_owner) {
                        (None, None) => true,
                        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                        _ => false,
                    }
            }
            _ => false,
        };
        let is_alike = continues
            && self.protection == next.protection
            && self.maximum == next.maximum
            && self.is_shared == next.is_shared
            && self.grows_down == next.grows_down
            && self.is_promised == next.is_promised
            && self.may_overcommit == next.may_overcommit
            && self.is_locked == next.is_locked
            && self.is_left_out_of_fork == next.is_left_out_of_fork
            && self.is_wiped_by_fork == next.is_wiped_by_fork
            && self.large_pages == next.large_pages
            && self.label == next.label;
        if is_alike {
            self.has_private_pages |= next.has_private_pages;
        }
        is_alike
    }
}
