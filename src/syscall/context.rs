//! What a call knows about its caller.

use super::argument::Fd;
use crate::errno::Result;
use crate::file::{FdTable, OpenFile};
use crate::fs::View;
use crate::machine::user::UserMode;
use crate::process::{Process, Thread};
use crate::vm::AddressSpace;
use alloc::sync::Arc;
use core::cell::RefCell;

/// The caller of a system call.
pub(crate) struct Ctx<'a> {
    thread: &'a Arc<Thread>,
    space: &'a AddressSpace,
    /// The user registers, for the few calls that read or replace them (clone, execve, rt_sigreturn, …).
    pub(crate) user: RefCell<&'a mut UserMode>,
}

impl<'a> Ctx<'a> {
    /// Makes the context of one call.
    pub(crate) fn new(thread: &'a Arc<Thread>, space: &'a AddressSpace, user: &'a mut UserMode) -> Ctx<'a> {
        Ctx { thread, space, user: RefCell::new(user) }
    }

    /// Returns the calling thread.
    pub(crate) fn thread(&self) -> &Arc<Thread> {
        self.thread
    }

    /// Returns the calling process.
    pub(crate) fn process(&self) -> &Arc<Process> {
        self.thread.process()
    }

    /// Returns the loaded address space.
    pub(crate) fn space(&self) -> &AddressSpace {
        self.space
    }

    /// Returns the file descriptors.
    pub(crate) fn files(&self) -> Arc<FdTable> {
        self.thread.files()
    }

    /// Returns the open file of `fd`. EBADF.
    pub(crate) fn file(&self, fd: Fd) -> Result<Arc<OpenFile>> {
        self.files().get(fd.0)
    }

    /// Returns the view for a path relative to `directory` (AT_FDCWD: the working directory). EBADF, ENOTDIR.
    pub(crate) fn view(&self, _directory: Fd) -> Result<View> {
        todo!()
    }
}
