//! An open file description (open(2)): position and status flags over a `File`, shared by duplicated
//! descriptors and across fork.

use super::File;
use crate::errno::Result;
use crate::machine::task::Mutex;
use crate::rank::Rank;
use crate::vm::{Destination, Source};
use alloc::sync::Arc;
use bitflags::bitflags;
use core::any::Any;
use core::sync::atomic::AtomicU32;

bitflags! {
    /// Access mode and status flags, as fcntl(2) F_GETFL numbers them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct StatusFlags: u32 {
        const WRITE_ONLY = 0o1;
        const READ_WRITE = 0o2;
        const APPEND = 0o2000;
        const NON_BLOCKING = 0o4000;
        const SYNC_DATA = 0o10000;
        const ASYNC = 0o20000;
        const DIRECT = 0o40000;
        const LARGE_FILE = 0o100000;
        const DIRECTORY = 0o200000;
        const NO_FOLLOW = 0o400000;
        const NO_ACCESS_TIME = 0o1000000;
        const SYNC = 0o4010000;
        const PATH = 0o10000000;
    }
}

/// An open file description.
pub(crate) struct OpenFile {
    file: Arc<dyn File>,
    /// Where the file was found, if its `File` does not know (a device, a FIFO). Who opened it put it here and
    /// alone looks inside (`fs::path_of`); this room knows no paths.
    place: Option<Arc<dyn Any + Send + Sync>>,
    _position: Mutex<u64>,
    _flags: AtomicU32,
}

impl OpenFile {
    /// Opens `file` with these flags, at position 0.
    pub(crate) fn new(file: Arc<dyn File>, flags: StatusFlags) -> Arc<OpenFile> {
        OpenFile::make(file, flags, None)
    }

    /// Opens `file` like `new`, with a note of where it was found.
    pub(crate) fn new_at(file: Arc<dyn File>, flags: StatusFlags, place: Arc<dyn Any + Send + Sync>) -> Arc<OpenFile> {
        OpenFile::make(file, flags, Some(place))
    }

    fn make(file: Arc<dyn File>, flags: StatusFlags, place: Option<Arc<dyn Any + Send + Sync>>) -> Arc<OpenFile> {
        Arc::new(OpenFile {
            file,
            place,
            _position: Mutex::new(Rank::FilePosition, 0),
            _flags: AtomicU32::new(flags.bits()),
        })
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Returns the note of where the file was found, if it was opened with one.
    pub(crate) fn place(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.place.as_ref()
    }

    /// Returns the file as a `T`, if it is one.
    pub(crate) fn downcast<T: File>(&self) -> Option<Arc<T>> {
        todo!()
    }

    /// Returns the flags.
    pub(crate) fn flags(&self) -> StatusFlags {
        todo!()
    }

    /// Changes the flags that F_SETFL may change.
    pub(crate) fn set_flags(&self, _flags: StatusFlags) {
        todo!()
    }

    /// Returns whether it is open for reading.
    pub(crate) fn is_readable(&self) -> bool {
        todo!()
    }

    /// Returns whether it is open for writing.
    pub(crate) fn is_writable(&self) -> bool {
        todo!()
    }

    /// read(2): EBADF if not open for reading.
    pub(crate) fn read(&self, _to: &mut Destination<'_>) -> Result<usize> {
        todo!()
    }

    /// write(2): EBADF if not open for writing.
    pub(crate) fn write(&self, _from: &mut Source<'_>) -> Result<usize> {
        todo!()
    }

    /// pread(2): ESPIPE where there are no positions.
    pub(crate) fn read_at(&self, _to: &mut Destination<'_>, _offset: u64) -> Result<usize> {
        todo!()
    }

    /// pwrite(2).
    pub(crate) fn write_at(&self, _from: &mut Source<'_>, _offset: u64) -> Result<usize> {
        todo!()
    }

    /// lseek(2): `whence` as Linux numbers it. EINVAL, ENXIO, ESPIPE, EOVERFLOW.
    pub(crate) fn seek(&self, _offset: i64, _whence: u32) -> Result<u64> {
        todo!()
    }
}
