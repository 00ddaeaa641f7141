//! Open files: what a file descriptor names, and readiness. No paths and no protocols here.

/// What stat(2) shows of files that no file system holds.
pub(crate) mod anonymous;

/// epoll(7).
pub(crate) mod epoll;

/// eventfd(2).
pub(crate) mod eventfd;

/// The table of a process' file descriptors.
mod fd_table;

/// Advisory locks: fcntl(2) record locks and flock(2).
pub(crate) mod locks;

/// What stat(2) shows.
mod metadata;

/// What watchers hear of files.
pub(crate) mod notice;

/// An open file description: position and status flags over a `File`.
mod open_file;

/// Pipes and FIFOs.
pub(crate) mod pipe;

/// Who waits for a file to become readable or writable.
mod readiness;

/// Signals for readiness.
pub(crate) mod signal_io;

/// timerfd_create(2).
pub(crate) mod timerfd;

/// How much of something each user has.
mod user_count;

/// What follows the wall clock when somebody sets it.
pub(crate) mod wall_clock;

pub(crate) use fd_table::{FdTable, Reservation};
pub(crate) use metadata::{DeviceNumber, FileKind, Metadata, Timestamp};
pub(crate) use notice::{Notice, Place};
pub(crate) use open_file::{OpenFile, StatusFlags};
pub(crate) use readiness::{Events, Observer, Readiness};
pub(crate) use user_count::{Charge, UserCount};

use crate::errno::{Errno, Result};
use crate::vm::{AddressSpace, Destination, PageCache, Source};
use alloc::{string::String, sync::Arc};
use core::any::Any;

/// One directory entry, for getdents64(2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectoryEntry<'a> {
    pub(crate) inode: u64,
    pub(crate) kind: FileKind,
    pub(crate) name: &'a [u8],
    /// The position after this entry: a cookie for lseek and the next read.
    pub(crate) next: u64,
}

/// What lies behind an open file. The defaults answer what Linux answers for a file that lacks the operation.
pub(crate) trait File: Any + Send + Sync {
    /// Reads; `position` is the file position for seekable files and is advanced by what was read.
    /// "EINVAL fd is attached to an object which is unsuitable for reading" (read(2)).
    fn read(&self, _to: &mut Destination<'_>, _position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// Writes; advances `position`; with APPEND sets it to the end first. EINVAL as for read (write(2)).
    fn write(&self, _from: &mut Source<'_>, _position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// Returns whether the file has positions: lseek, pread and pwrite work, else ESPIPE.
    fn is_seekable(&self) -> bool {
        false
    }

    /// Returns whether lseek is taken and leaves the position at 0, as on Linux where a file's position means nothing.
    fn ignores_seek(&self) -> bool {
        false
    }

    /// Returns the size for SEEK_END.
    fn size(&self) -> u64 {
        0
    }

    /// Finds data or a hole from `offset` (SEEK_DATA, SEEK_HOLE). ENXIO beyond the end.
    fn seek_data(&self, offset: u64, data: bool) -> Result<u64> {
        let size = self.size();
        Errno::ENXIO.when(offset >= size)?;
        Ok(if data { offset } else { size })
    }

    /// Returns where the file was found, if it knows; else the open file may.
    fn place(&self) -> Option<&dyn Place> {
        None
    }

    /// Returns which of `interest` hold now (ERROR and HANG_UP always count) and, if there is an observer, tells it when
    /// that may have changed, until it is dropped. A file without readiness is always ready.
    fn poll(&self, interest: Events, _observer: Option<&Arc<dyn Observer>>) -> Events {
        interest & (Events::READ | Events::WRITE)
    }

    /// Returns whether `poll` can ever block: epoll_ctl answers EPERM for files where it cannot.
    fn can_poll(&self) -> bool {
        false
    }

    /// "ENOTTY The specified operation does not apply to the kind of object that fd references" (ioctl(2)).
    fn ioctl(&self, _space: &AddressSpace, _request: u32, _argument: u64) -> Result<usize> {
        Err(Errno::ENOTTY)
    }

    /// Returns what fstat(2) shows.
    fn metadata(&self) -> Result<Metadata> {
        Ok(anonymous::metadata())
    }

    /// Returns the directory's entries from `position` on through `visit` until that returns `false`. ENOTDIR. `visit` does
    /// not sleep.
    fn read_directory(&self, _position: u64, _visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        Err(Errno::ENOTDIR)
    }

    /// Sets the size. "EINVAL The argument fd does not reference a regular file" (ftruncate(2)).
    fn truncate(&self, _size: u64) -> Result {
        Err(Errno::EINVAL)
    }

    /// Allocates or frees space (fallocate(2)). ENODEV, ESPIPE.
    fn allocate(&self, _mode: u32, _offset: u64, _length: u64) -> Result {
        Err(Errno::ENODEV)
    }

    /// Waits until all is on the medium. "EINVAL fd is bound to a special file which does not support synchronization".
    fn sync(&self) -> Result {
        Err(Errno::EINVAL)
    }

    /// Returns the pages for mmap(2). "ENODEV The underlying filesystem … does not support memory mapping."
    fn page_cache(&self) -> Result<Arc<PageCache>> {
        Err(Errno::ENODEV)
    }

    /// A descriptor of this open file was closed in a process (drops POSIX locks, FLUSH errors).
    fn flush(&self) -> Result {
        Ok(())
    }

    /// Returns what the link /proc/self/fd/N shows, for example `pipe:[17]`.
    fn name(&self) -> String;

    /// Returns extra lines of /proc/PID/fdinfo/N.
    fn details(&self) -> String {
        String::new()
    }
}
