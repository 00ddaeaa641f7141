//! The table of a process' file descriptors.

use super::OpenFile;
use crate::errno::Result;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The file descriptors of one process (or of several, clone(2) CLONE_FILES).
pub(crate) struct FdTable {
    _entries: (),
}

impl FdTable {
    /// Makes an empty table.
    pub(crate) fn new() -> Arc<FdTable> {
        todo!()
    }

    /// Makes a copy that shares the open files (fork).
    pub(crate) fn duplicate(&self) -> Arc<FdTable> {
        todo!()
    }

    /// Returns the open file of `fd`. EBADF.
    pub(crate) fn get(&self, _fd: i32) -> Result<Arc<OpenFile>> {
        todo!()
    }

    /// Puts `file` at the lowest free descriptor from `from` on. EMFILE at `limit`.
    pub(crate) fn insert(&self, _file: Arc<OpenFile>, _from: i32, _limit: u64, _close_on_exec: bool) -> Result<i32> {
        todo!()
    }

    /// Puts `file` at `fd`, closing what was there (dup2).
    pub(crate) fn replace(&self, _fd: i32, _file: Arc<OpenFile>, _limit: u64, _close_on_exec: bool) -> Result {
        todo!()
    }

    /// Closes `fd`. EBADF.
    pub(crate) fn close(&self, _fd: i32) -> Result {
        todo!()
    }

    /// Closes all descriptors marked close-on-exec.
    pub(crate) fn close_on_exec(&self) {
        todo!()
    }

    /// Closes all.
    pub(crate) fn close_all(&self) {
        todo!()
    }

    /// Returns the close-on-exec mark. EBADF.
    pub(crate) fn is_close_on_exec(&self, _fd: i32) -> Result<bool> {
        todo!()
    }

    /// Sets the close-on-exec mark. EBADF.
    pub(crate) fn set_close_on_exec(&self, _fd: i32, _mark: bool) -> Result {
        todo!()
    }

    /// Returns all open descriptors in order.
    pub(crate) fn descriptors(&self) -> Vec<(i32, Arc<OpenFile>)> {
        todo!()
    }
}
