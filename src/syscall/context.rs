//! What a call knows about its caller.

use super::argument::{Answer, Fd};
use crate::errno::{Errno, Result};
use crate::file::{FdTable, OpenFile};
use crate::fs::{Identity, Path, View, path_of};
use crate::machine::user::UserMode;
use crate::process::{Process, Thread};
use crate::vm::AddressSpace;
use alloc::{boxed::Box, sync::Arc};
use core::cell::{Cell, RefCell};

/// How a call goes on that a signal interrupted (restart_syscall(2)).
pub(crate) type RestartCall = Box<dyn FnOnce(&Ctx<'_>) -> Result<u64> + Send>;

/// The caller of a system call.
///
/// It holds the thread's address space and descriptor table, so that a call does not count references; only the thread
/// itself replaces them (execve, unshare), and says so by `set_replaced`.
pub(crate) struct Ctx<'a> {
    thread: &'a Arc<Thread>,
    space: Arc<AddressSpace>,
    files: Arc<FdTable>,
    /// The user registers, for the few calls that read or replace them (clone, execve, rt_sigreturn, …).
    pub(crate) user: RefCell<UserMode>,
    /// The call gave the thread another address space or descriptor table.
    is_replaced: Cell<bool>,
}

impl<'a> Ctx<'a> {
    /// Makes the context of all calls of a thread.
    pub(super) fn new(thread: &'a Arc<Thread>, user: UserMode) -> Ctx<'a> {
        let (space, files) = held_by(thread);
        Ctx { thread, space, files, user: RefCell::new(user), is_replaced: Cell::new(false) }
    }

    /// Returns the calling thread.
    pub(crate) fn thread(&self) -> &'a Arc<Thread> {
        self.thread
    }

    /// Returns the calling process.
    pub(crate) fn process(&self) -> &Arc<Process> {
        self.thread.process()
    }

    /// Returns the loaded address space.
    pub(crate) fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// Returns the file descriptors.
    pub(crate) fn files(&self) -> &Arc<FdTable> {
        &self.files
    }

    /// Returns argument `index` of the call, as it is in its register.
    #[inline(always)]
    pub(super) fn argument(&self, index: usize) -> u64 {
        let user = self.user.borrow();
        let registers = &user.registers;
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9][index]
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

    /// After a call: holds what the thread has now.
    #[inline(always)]
    pub(super) fn follow_replacement(&mut self) {
        if *self.is_replaced.get_mut() {
            self.is_replaced.set(false);
            (self.space, self.files) = held_by(self.thread);
        }
    }

    /// Lets go of all but the address space, which is loaded still.
    pub(super) fn into_space(self) -> Arc<AddressSpace> {
        self.space
    }

    /// Keeps how the call goes on if no handler runs; the answer of the interrupted call.
    pub(crate) fn restart_later<R: Answer>(&self, call: impl FnOnce(&Ctx<'_>) -> Result<R> + Send + 'static) -> Errno {
        let call: RestartCall = Box::new(move |ctx| call(ctx).map(Answer::in_rax));
        self.thread.set_restart(Some(Box::new(call)));
        Errno::RESTART_BLOCK
    }

    /// Returns the view for a path relative to `directory` (AT_FDCWD: the working directory). EBADF, ENOTDIR.
    #[inline]
    pub(crate) fn view(&self, directory: Fd) -> Result<View> {
        let start = if directory == Fd::CURRENT { None } else { Some(self.directory(directory)?) };
        let (places, umask) = self.thread.places();
        Ok(View::new(places, start, self.identity(), umask))
    }

    #[inline(never)]
    fn directory(&self, fd: Fd) -> Result<Path> {
        let path = path_of(&*self.file(fd)?).ok_or(Errno::ENOTDIR)?;
        Errno::ENOTDIR.when(!path.entry().is_directory())?;
        Ok(path)
    }
}

/// Returns the thread's address space and descriptor table.
fn held_by(thread: &Thread) -> (Arc<AddressSpace>, Arc<FdTable>) {
    let space = thread.process().space().expect("a process has memory until its last thread ends");
    (space, thread.files())
}
