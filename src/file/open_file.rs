//! An open file description (open(2)): position and status flags over a `File`, shared by duplicated
//! descriptors and across fork.
//!
//! The position lock is taken only for files that have positions; it orders whole calls ("POSIX requires that
//! read, write and the like update the file offset atomically", write(2), BUGS).

use super::signal_io::{SignalIo, SignalTarget, Watch};
use super::{DirectoryEntry, Events, File, Notice, Observer, Place, locks, notice};
use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::machine::task::Mutex;
use crate::rank::Rank;
use crate::vm::{Destination, Source};
use alloc::sync::Arc;
use bitflags::bitflags;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

bitflags! {
    /// Access mode and status flags, as fcntl(2) F_GETFL numbers them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct StatusFlags: u32 {
        const WRITE_ONLY = 0o1;
        const READ_WRITE = 0o2;
        /// Only for the opening itself: a terminal does not become the controlling one.
        const NO_CONTROL = 0o400;
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

impl StatusFlags {
    /// What F_SETFL may change (fcntl(2)).
    const CHANGEABLE: StatusFlags = StatusFlags::APPEND
        .union(StatusFlags::NON_BLOCKING)
        .union(StatusFlags::ASYNC)
        .union(StatusFlags::DIRECT)
        .union(StatusFlags::NO_ACCESS_TIME);

    /// Returns whether operations must answer EAGAIN instead of sleeping.
    pub(crate) fn is_non_blocking(self) -> bool {
        self.contains(StatusFlags::NON_BLOCKING)
    }
}

/// The greatest file position (Linux's loff_t is signed).
const MAX_OFFSET: u64 = i64::MAX as u64;

/// An open file description.
pub(crate) struct OpenFile {
    file: Arc<dyn File>,
    /// Where the file was found, if its `File` does not know (a device, a FIFO). Who opened it put it here and
    /// alone looks inside (`fs::path_of`); this room knows no paths.
    place: Option<Arc<dyn Place>>,
    /// Changed with `position_turn` locked; read without, for /proc.
    position: AtomicU64,
    /// Whether reads and writes go by the position.
    has_position: bool,
    position_turn: Mutex<()>,
    flags: AtomicU32,
    /// Signals for readiness.
    signal_io: SpinLock<SignalIo>,
    /// A flock(2) or open-file-description lock was taken through this one.
    pub(super) has_locks: AtomicBool,
}

impl OpenFile {
    /// Opens `file` with these flags, at position 0.
    pub(crate) fn new(file: Arc<dyn File>, flags: StatusFlags) -> Arc<OpenFile> {
        OpenFile::make(file, flags, None)
    }

    /// Opens `file` like `new`, with a note of where it was found.
    pub(crate) fn new_at(file: Arc<dyn File>, flags: StatusFlags, place: Arc<dyn Place>) -> Arc<OpenFile> {
        OpenFile::make(file, flags, Some(place))
    }

    fn make(file: Arc<dyn File>, flags: StatusFlags, place: Option<Arc<dyn Place>>) -> Arc<OpenFile> {
        Arc::new(OpenFile {
            has_position: file.is_seekable() && !file.ignores_seek(),
            file,
            place,
            position: AtomicU64::new(0),
            position_turn: Mutex::new(Rank::FilePosition, ()),
            flags: AtomicU32::new(flags.difference(StatusFlags::NO_CONTROL).bits()),
            signal_io: SpinLock::new(Rank::SignalIo, SignalIo::default()),
            has_locks: AtomicBool::new(false),
        })
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Returns where the file was found, if it was found by a name.
    pub(crate) fn place(&self) -> Option<&dyn Place> {
        self.place.as_deref().or_else(|| self.file.place())
    }

    /// Tells who watches the file.
    pub(crate) fn tell(&self, notice: Notice) {
        if notice::is_anybody_watching()
            && !self.flags().contains(StatusFlags::PATH)
            && let Some(place) = self.place()
        {
            place.tell(notice);
        }
    }

    /// Tells of a transfer of bytes, if there was one.
    fn told(&self, notice: Notice, result: Result<usize>) -> Result<usize> {
        if result.is_ok_and(|count| count > 0) {
            self.tell(notice);
        }
        result
    }

    /// Returns the file as a `T`, if it is one.
    pub(crate) fn downcast<T: File>(&self) -> Option<Arc<T>> {
        let file: Arc<dyn Any + Send + Sync> = self.file.clone();
        file.downcast::<T>().ok()
    }

    /// Returns the flags.
    pub(crate) fn flags(&self) -> StatusFlags {
        StatusFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Changes the flags that F_SETFL may change.
    pub(crate) fn set_flags(&self, flags: StatusFlags) {
        let kept = self.flags() - StatusFlags::CHANGEABLE;
        self.flags.store((kept | (flags & StatusFlags::CHANGEABLE)).bits(), Ordering::Relaxed);
    }

    /// Returns whether it is open for reading.
    pub(crate) fn is_readable(&self) -> bool {
        matches!(self.access_mode(), 0 | 2)
    }

    /// Returns whether it is open for writing.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.access_mode(), 1 | 2)
    }

    /// Returns O_ACCMODE's two bits; 3 (neither, as for O_PATH) allows ioctl(2) at most (open(2), NOTES).
    fn access_mode(&self) -> u32 {
        let flags = self.flags();
        if flags.contains(StatusFlags::PATH) { 3 } else { flags.bits() & 3 }
    }

    /// read(2). The caller has asked whether it is open for reading.
    pub(crate) fn read(&self, to: &mut Destination<'_>) -> Result<usize> {
        let result = if self.has_position {
            self.with_position(|position| self.file.read(to, position, self.flags()))
        } else {
            self.file.read(to, &mut 0, self.flags())
        };
        self.told(Notice::ACCESS, result)
    }

    /// write(2). The caller has asked whether it is open for writing.
    pub(crate) fn write(&self, from: &mut Source<'_>) -> Result<usize> {
        let result = if self.has_position {
            self.with_position(|position| self.file.write(from, position, self.flags()))
        } else {
            self.file.write(from, &mut 0, self.flags())
        };
        self.told(Notice::MODIFY, result)
    }

    /// pread(2): ESPIPE where there are no positions.
    pub(crate) fn read_at(&self, to: &mut Destination<'_>, offset: u64) -> Result<usize> {
        self.check_offset(offset)?;
        Errno::EBADF.when(!self.is_readable())?;
        let mut position = offset;
        let result = self.file.read(to, &mut position, self.flags());
        self.told(Notice::ACCESS, result)
    }

    /// pwrite(2); with O_APPEND at the end, "regardless of the value of offset" (its BUGS).
    pub(crate) fn write_at(&self, from: &mut Source<'_>, offset: u64) -> Result<usize> {
        self.check_offset(offset)?;
        Errno::EBADF.when(!self.is_writable())?;
        let mut position = offset;
        let result = self.file.write(from, &mut position, self.flags());
        self.told(Notice::MODIFY, result)
    }

    /// EINVAL for a negative offset, ESPIPE where there are no positions.
    fn check_offset(&self, offset: u64) -> Result {
        Errno::EINVAL.when(offset > MAX_OFFSET)?;
        Errno::EBADF.when(self.flags().contains(StatusFlags::PATH))?;
        Errno::ESPIPE.when(!self.file.is_seekable())?;
        Ok(())
    }

    /// lseek(2): `whence` as Linux numbers it. EINVAL, ENXIO, ESPIPE.
    pub(crate) fn seek(&self, offset: i64, whence: u32) -> Result<u64> {
        Errno::EBADF.when(self.flags().contains(StatusFlags::PATH))?;
        Errno::EINVAL.when(whence > 4)?;
        if self.file.ignores_seek() {
            return Ok(0);
        }
        Errno::ESPIPE.when(!self.file.is_seekable())?;

        self.with_position(|position| {
            *position = match whence {
                0 => u64::try_from(offset).map_err(|_| Errno::EINVAL)?,
                1 => checked_target(*position, offset)?,
                2 => checked_target(self.file.size(), offset)?,
                _ => self.file.seek_data(u64::try_from(offset).map_err(|_| Errno::ENXIO)?, whence == 3)?,
            };
            Ok(*position)
        })
    }

    /// Returns which of `interest`, ERROR and HANG_UP hold now, in the spellings asked for; see `File::poll`.
    pub(crate) fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        let events = self.file.poll(interest.in_both_spellings(), observer);
        events.in_both_spellings() & (interest | Events::ALWAYS)
    }

    /// Lists directory entries from the position on; an entry that `visit` refuses by `false` comes again. ENOTDIR.
    pub(crate) fn read_directory(&self, visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        self.with_position(|position| {
            self.file.read_directory(*position, &mut |entry| {
                let is_taken = visit(entry);
                if is_taken {
                    *position = entry.next;
                }
                is_taken
            })
        })?;
        self.tell(Notice::ACCESS);
        Ok(())
    }

    /// Returns how it tells of readiness by signals.
    pub(crate) fn signal_target(&self) -> SignalTarget {
        self.signal_io.lock().target
    }

    /// Changes how it tells of readiness by signals.
    pub(crate) fn set_signal_target(&self, change: impl FnOnce(&mut SignalTarget)) {
        change(&mut self.signal_io.lock().target);
    }

    /// Begins or ends to tell of readiness, after O_ASYNC was changed by `descriptor`.
    pub(crate) fn follow_async_flag(self: &Arc<Self>, descriptor: i32) {
        let wants = self.flags().contains(StatusFlags::ASYNC) && self.file.can_poll();
        if wants == self.signal_io.lock().watch.is_some() {
            return;
        }
        let watch = wants.then(|| Watch::begin(self, descriptor));
        let before = core::mem::replace(&mut self.signal_io.lock().watch, watch);
        drop(before);
    }

    /// Returns the position, for /proc/PID/fdinfo.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Calls `with` on the position, with other calls on it kept out meanwhile.
    fn with_position<R>(&self, with: impl FnOnce(&mut u64) -> R) -> R {
        let _turn = self.position_turn.lock();
        let mut position = self.position.load(Ordering::Relaxed);
        let result = with(&mut position);
        self.position.store(position, Ordering::Relaxed);
        result
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.tell(if self.is_writable() { Notice::CLOSE_WRITE } else { Notice::CLOSE });
        if self.has_locks.load(Ordering::Relaxed) {
            locks::release_open_file(self);
        }
    }
}

/// Returns `base + offset`. EINVAL below zero, EOVERFLOW beyond what an off_t holds.
fn checked_target(base: u64, offset: i64) -> Result<u64> {
    let target = (base as i64).checked_add(offset).ok_or(Errno::EOVERFLOW)?;
    u64::try_from(target).map_err(|_| Errno::EINVAL)
}
