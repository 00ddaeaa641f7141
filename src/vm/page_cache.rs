//! The pages of a file in memory: shared by read(2), write(2) and every mapping of the file.

use super::{Destination, Source};
use crate::errno::Result;
use crate::machine::memory::Frame;
use alloc::sync::Arc;

/// Where pages come from that are not in memory, and where changed ones go. A file system implements it; tmpfs has none.
pub(crate) trait Pager: Send + Sync {
    /// Fills `frame` (zeroed) with the file's page `index`.
    fn read_page(&self, index: u64, frame: &Frame) -> Result;

    /// Stores `frame` as the file's page `index`.
    fn write_page(&self, index: u64, frame: &Frame) -> Result;
}

/// The pages of one file, and the file's size.
pub(crate) struct PageCache {
    _pager: Option<Arc<dyn Pager>>,
}

impl PageCache {
    /// Makes the cache of a file of `size` bytes. Without a pager, missing pages are zero and pages live only here.
    pub(crate) fn new(_size: u64, _pager: Option<Arc<dyn Pager>>) -> Arc<PageCache> {
        todo!()
    }

    /// Returns the file's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        todo!()
    }

    /// Changes the file's size; pages beyond it are dropped and taken out of all mappings, the last one's tail cleared.
    pub(crate) fn resize(&self, _size: u64) -> Result {
        todo!()
    }

    /// Reads from `offset` up to the end of the file; returns how many bytes.
    pub(crate) fn read(&self, _offset: u64, _to: &mut Destination<'_>) -> Result<usize> {
        todo!()
    }

    /// Writes at `offset`, growing the file; returns how many bytes. ENOSPC when no memory is left.
    pub(crate) fn write(&self, _offset: u64, _from: &mut Source<'_>) -> Result<usize> {
        todo!()
    }

    /// Returns the page `index`, made or read if missing; `None` if it lies beyond the end of the file.
    pub(crate) fn page(&self, _index: u64) -> Result<Option<Frame>> {
        todo!()
    }

    /// Returns how many pages are in memory.
    pub(crate) fn resident(&self) -> usize {
        todo!()
    }

    /// Finds the next data (or, if not `data`, hole) at or after `offset` (lseek(2), SEEK_DATA and SEEK_HOLE).
    pub(crate) fn seek(&self, _offset: u64, _data: bool) -> Option<u64> {
        todo!()
    }

    /// Drops the pages of a range, so that it reads as zeros (fallocate(2), FALLOC_FL_PUNCH_HOLE).
    pub(crate) fn punch(&self, _offset: u64, _length: u64) -> Result {
        todo!()
    }
}
