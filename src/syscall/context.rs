//! What a call knows about its caller.

use super::argument::Fd;
use crate::errno::{Errno, Result};
use crate::file::{FdTable, OpenFile};
use crate::fs::{Identity, View, path_of};
use crate::machine::user::UserMode;
use crate::process::{Process, Thread};
use crate::vm::AddressSpace;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::{Cell, RefCell};

/// "Relative to the working directory" in place of a directory descriptor (openat(2)).
pub(crate) const AT_FDCWD: i32 = -100;

/// How a call goes on that a signal interrupted (restart_syscall(2)).
pub(crate) type RestartCall = Box<dyn FnOnce(&Ctx<'_>) -> Result<usize> + Send>;

/// The caller of a system call.
pub(crate) struct Ctx<'a> {
    thread: &'a Arc<Thread>,
    space: &'a AddressSpace,
    files: &'a Arc<FdTable>,
    /// The user registers, for the few calls that read or replace them (clone, execve, rt_sigreturn, …).
    pub(crate) user: RefCell<&'a mut UserMode>,
    /// The call gave the thread another address space or descriptor table.
    is_replaced: Cell<bool>,
}

impl<'a> Ctx<'a> {
    /// Makes the context of one call.
    pub(crate) fn new(
        thread: &'a Arc<Thread>,
        space: &'a AddressSpace,
        files: &'a Arc<FdTable>,
        user: &'a mut UserMode,
    ) -> Ctx<'a> {
        Ctx { thread, space, files, user: RefCell::new(user), is_replaced: Cell::new(false) }
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
    pub(crate) fn files(&self) -> &Arc<FdTable> {
        self.files
    }

    /// Returns the open file of `fd`. EBADF.
    pub(crate) fn file(&self, fd: Fd) -> Result<Arc<OpenFile>> {
        self.files.get(fd.0)
    }

    /// Returns the credentials.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        self.thread.identity()
    }

    /// Says that the thread has another address space or descriptor table now.
    pub(crate) fn set_replaced(&self) {
        self.is_replaced.set(true);
    }

    /// Returns whether `set_replaced` was called.
    pub(crate) fn is_replaced(&self) -> bool {
        self.is_replaced.get()
    }

    /// Keeps how the call goes on if no handler runs; the answer of the interrupted call.
    pub(crate) fn restart_later(&self, call: impl FnOnce(&Ctx<'_>) -> Result<usize> + Send + 'static) -> Errno {
        let call: RestartCall = Box::new(call);
        self.thread.set_restart(Some(Box::new(call)));
        Errno::RESTART_BLOCK
    }

    /// Returns the view for a path relative to `directory` (AT_FDCWD: the working directory). EBADF, ENOTDIR.
    pub(crate) fn view(&self, directory: Fd) -> Result<View> {
        let (root, working, umask) = self.thread.directories();
        let start = if directory.0 == AT_FDCWD {
            working
        } else {
            let start = path_of(&*self.file(directory)?).ok_or(Errno::ENOTDIR)?;
            if !start.entry().is_directory() {
                return Err(Errno::ENOTDIR);
            }
            start
        };
        Ok(View { root, start, identity: self.identity(), umask })
    }
}
