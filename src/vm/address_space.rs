//! What a process maps: areas, faults, copy on write, fork.

use super::PageCache;
use crate::errno::Result;
use crate::machine::memory::PageTable;
use crate::machine::trap::PageFault;
use alloc::sync::Arc;
use alloc::vec::Vec;
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
    /// Exactly here; what is there is unmapped.
    Fixed(u64),
    /// Exactly here, or EEXIST.
    FixedNoReplace(u64),
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
    /// A label for /proc/PID/maps such as `[stack]`; empty for none.
    pub(crate) label: &'static str,
}

/// How a page fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultOutcome {
    /// The access can be repeated.
    Resolved,
    /// Nothing is mapped there: SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// The area forbids it: SIGSEGV, SEGV_ACCERR.
    NotAllowed,
    /// Beyond the end of the file: SIGBUS, BUS_ADRERR.
    BeyondFile,
    /// No frame was left.
    OutOfMemory,
}

/// One area, as /proc/PID/maps shows it.
#[derive(Clone)]
pub(crate) struct AreaDescription {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) protection: Protection,
    pub(crate) is_shared: bool,
    pub(crate) mapping: Mapping,
    pub(crate) label: &'static str,
    /// Pages present.
    pub(crate) resident: usize,
}

/// The memory of one process. All methods may sleep.
pub(crate) struct AddressSpace {
    table: Arc<PageTable>,
}

impl AddressSpace {
    /// Makes an empty address space.
    pub(crate) fn new() -> Result<Arc<AddressSpace>> {
        todo!()
    }

    /// Makes a copy for a child process; private pages are shared until one side writes.
    pub(crate) fn fork(&self) -> Result<Arc<AddressSpace>> {
        todo!()
    }

    /// Returns the page table, for `task::set_page_table`.
    pub(crate) fn page_table(&self) -> &Arc<PageTable> {
        &self.table
    }

    /// Maps memory; returns the address. Errors as mmap(2): ENOMEM, EEXIST, EINVAL.
    pub(crate) fn map(&self, _request: MapRequest) -> Result<u64> {
        todo!()
    }

    /// Unmaps `length` bytes at `address`; areas in part inside are split.
    pub(crate) fn unmap(&self, _address: u64, _length: u64) -> Result {
        todo!()
    }

    /// Changes the protection: EACCES beyond the area's maximum, ENOMEM where something is not mapped.
    pub(crate) fn protect(&self, _address: u64, _length: u64, _protection: Protection) -> Result {
        todo!()
    }

    /// mremap(2). `fixed` is the new address of MREMAP_FIXED.
    pub(crate) fn remap(
        &self,
        _old: u64,
        _old_length: u64,
        _new_length: u64,
        _may_move: bool,
        _fixed: Option<u64>,
    ) -> Result<u64> {
        todo!()
    }

    /// Sets where the heap starts (exec) and that it is empty.
    pub(crate) fn set_break_start(&self, _address: u64) {
        todo!()
    }

    /// brk(2): moves the heap's end if possible; returns where it is then. `limit` is RLIMIT_DATA in bytes.
    pub(crate) fn set_break(&self, _address: u64, _limit: u64) -> u64 {
        todo!()
    }

    /// Resolves a fault of user mode or of a user copy.
    pub(crate) fn handle_fault(&self, _fault: PageFault) -> FaultOutcome {
        todo!()
    }

    /// Drops the pages of a range so that they read as zero or as the file again (MADV_DONTNEED).
    pub(crate) fn discard(&self, _address: u64, _length: u64) -> Result {
        todo!()
    }

    /// Returns all areas in order of address.
    pub(crate) fn areas(&self) -> Vec<AreaDescription> {
        todo!()
    }

    /// Copies out of this address space, loaded or not (ptrace, /proc/PID/cmdline, environ, mem); returns how far it
    /// came. Brings pages in as an access would; ignores a missing read permission only as ptrace does.
    pub(crate) fn read_remote(&self, _address: u64, _bytes: &mut [u8]) -> usize {
        todo!()
    }

    /// Copies into this address space, loaded or not; returns how far it came.
    pub(crate) fn write_remote(&self, _address: u64, _bytes: &[u8]) -> usize {
        todo!()
    }
}
