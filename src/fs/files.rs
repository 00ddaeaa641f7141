//! Open regular files and directories of any file system, and places opened with O_PATH: `File` over `Inode`.
//!
//! A regular file's bytes are its inode's page cache; the inode is told of reads and writes (times, space). Writes
//! hold `Content::order`, so that appends do not overlap and a write does not cross a truncation.

use super::{AttributeChange, MountFlags, Path, attributes};
use crate::errno::{Errno, Result};
use crate::file::{DirectoryEntry, File, FileKind, Metadata, Notice, Place, StatusFlags};
use crate::machine::task::Mutex;
use crate::rank::Rank;
use crate::vm::{Destination, PageCache, Seals, Source};
use alloc::{string::String, sync::Arc};
use core::sync::atomic::{AtomicI32, Ordering};

/// The greatest size of a file (MAX_LFS_FILESIZE).
const SIZE_LIMIT: u64 = i64::MAX as u64;

/// What a regular file's inode holds.
pub(crate) struct Content {
    pub(crate) pages: Arc<PageCache>,
    /// Held over writes and changes of size.
    pub(crate) order: Mutex<()>,
    /// How many have it open for writing; below zero, how many programs run from it. Never both (ETXTBSY).
    writers: AtomicI32,
}

impl Content {
    /// Wraps a page cache.
    pub(crate) fn new(pages: Arc<PageCache>) -> Content {
        Content { pages, order: Mutex::new(Rank::FileContent, ()), writers: AtomicI32::new(0) }
    }

    /// "ETXTBSY pathname refers to an executable image which is currently being executed" (truncate(2)).
    pub(super) fn require_not_running(&self) -> Result {
        if self.writers.load(Ordering::Relaxed) < 0 { Err(Errno::ETXTBSY) } else { Ok(()) }
    }

    /// Counts a user of the kind `by` (1 writes, -1 runs). ETXTBSY if one of the other kind is there.
    fn begin(&self, by: i32) -> Result {
        let join = |users: i32| (users * by >= 0).then_some(users + by);
        self.writers.fetch_update(Ordering::AcqRel, Ordering::Relaxed, join).map_err(|_| Errno::ETXTBSY)?;
        Ok(())
    }
}

/// An open regular file.
pub(crate) struct RegularFile {
    path: Path,
    pages: Arc<PageCache>,
    /// Whoever opened it may write without losing the set-user-ID bits (CAP_FSETID).
    keeps_set_id: bool,
    /// What it counts as in `Content::writers`: 1 open for writing, -1 for running, 0 for reading.
    use_count: i32,
}

impl RegularFile {
    /// Opens the regular file at `path` for reading, or for writing too. ETXTBSY.
    pub(super) fn new(path: Path, writes: bool, keeps_set_id: bool) -> Result<Arc<RegularFile>> {
        RegularFile::make(path, i32::from(writes), keeps_set_id)
    }

    /// Opens the regular file at `path` to run it: nobody writes to it meanwhile. ETXTBSY.
    pub(super) fn new_running(path: Path) -> Result<Arc<RegularFile>> {
        RegularFile::make(path, -1, true)
    }

    fn make(path: Path, use_count: i32, keeps_set_id: bool) -> Result<Arc<RegularFile>> {
        let content = path.entry().inode().content().ok_or(Errno::EINVAL)?;
        if use_count != 0 {
            content.begin(use_count)?;
        }
        let pages = content.pages.clone();
        Ok(Arc::new(RegularFile { path, pages, keeps_set_id, use_count }))
    }

    /// fcntl(2)'s F_ADD_SEALS, between writes: EPERM, EBUSY.
    pub(crate) fn add_seals(&self, seals: Seals) -> Result {
        let _order = self.content()?.order.lock();
        self.pages.add_seals(seals)
    }

    fn content(&self) -> Result<&Content> {
        self.path.entry().inode().content().ok_or(Errno::EINVAL)
    }

    /// Takes away the set-user-ID and set-group-ID bits, as a write by others than root does.
    fn clear_set_id(&self) -> Result {
        let inode = self.path.entry().inode();
        let permissions = inode.ownership().permissions;
        let lost = attributes::lost_bits(permissions);
        if lost == 0 || self.keeps_set_id {
            return Ok(());
        }
        inode.set_attributes(AttributeChange { permissions: Some(permissions & !lost), ..AttributeChange::default() })
    }
}

impl Drop for RegularFile {
    fn drop(&mut self) {
        if let (true, Some(content)) = (self.use_count != 0, self.path.entry().inode().content()) {
            content.writers.fetch_sub(self.use_count, Ordering::AcqRel);
        }
    }
}

impl File for RegularFile {
    fn read(&self, to: &mut Destination<'_>, position: &mut u64, flags: StatusFlags) -> Result<usize> {
        let count = self.pages.read(*position, to)?;
        *position += count as u64;
        note_access(&self.path, flags);
        Ok(count)
    }

    fn write(&self, from: &mut Source<'_>, position: &mut u64, flags: StatusFlags) -> Result<usize> {
        if from.remaining() == 0 {
            return Ok(0);
        }
        let content = self.content()?;
        let inode = self.path.entry().inode();
        let _order = content.order.lock();
        let start = if flags.contains(StatusFlags::APPEND) { self.pages.size() } else { *position };
        Errno::EFBIG.when(start >= SIZE_LIMIT)?;
        self.clear_set_id()?;
        inode.reserve(start, from.remaining() as u64)?;
        let count = self.pages.write(start, from)?;
        *position = start + count as u64;
        inode.note_write();
        Ok(count)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn size(&self) -> u64 {
        self.pages.size()
    }

    fn seek_data(&self, offset: u64, data: bool) -> Result<u64> {
        Errno::ENXIO.when(offset >= self.pages.size())?;
        self.pages.seek(offset, data).ok_or(Errno::ENXIO)
    }

    fn place(&self) -> Option<&dyn Place> {
        Some(&self.path)
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.path.entry().inode().metadata())
    }

    fn truncate(&self, size: u64) -> Result {
        self.clear_set_id()?;
        self.path.entry().inode().truncate(size)?;
        self.path.tell(Notice::MODIFY);
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, length: u64) -> Result {
        self.path.entry().inode().allocate(mode, offset, length)?;
        self.path.tell(Notice::MODIFY);
        Ok(())
    }

    fn sync(&self) -> Result {
        self.path.entry().inode().sync()
    }

    fn page_cache(&self) -> Result<Arc<PageCache>> {
        note_access(&self.path, StatusFlags::empty());
        Ok(self.pages.clone())
    }

    fn name(&self) -> String {
        shown_name(&self.path)
    }
}

/// An open directory.
pub(crate) struct DirectoryFile {
    path: Path,
}

impl DirectoryFile {
    /// Opens the directory at `path`.
    pub(crate) fn new(path: Path) -> Arc<DirectoryFile> {
        Arc::new(DirectoryFile { path })
    }

    /// Returns which directory it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// `.` and `..` have the positions 0 and 1; the inode's own entries follow.
const DOTS: u64 = 2;

impl File for DirectoryFile {
    fn read(&self, _to: &mut Destination<'_>, _position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        // "EISDIR fd refers to a directory" (read(2)).
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn size(&self) -> u64 {
        self.path.entry().inode().metadata().size
    }

    fn place(&self) -> Option<&dyn Place> {
        Some(&self.path)
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.path.entry().inode().metadata())
    }

    fn read_directory(&self, position: u64, visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        let entry = self.path.entry();
        Errno::ENOENT.when(entry.is_removed())?;
        note_access(&self.path, StatusFlags::empty());
        let dot = |name, inode, next| DirectoryEntry { inode, kind: FileKind::Directory, name, next };
        if position == 0 && !visit(dot(b".", entry.inode().metadata().inode, 1)) {
            return Ok(());
        }
        if position <= 1 {
            let above = entry.parent().map_or_else(|| entry.inode().metadata(), |parent| parent.inode().metadata());
            if !visit(dot(b"..", above.inode, DOTS)) {
                return Ok(());
            }
        }
        entry.inode().read_directory(position.saturating_sub(DOTS), &mut |found| {
            let next = found.next + DOTS;
            visit(DirectoryEntry { next, ..found })
        })
    }

    fn sync(&self) -> Result {
        self.path.entry().inode().sync()
    }

    fn name(&self) -> String {
        shown_name(&self.path)
    }
}

/// A place opened with O_PATH: it can be named, and nothing else.
pub(crate) struct PlaceFile {
    path: Path,
}

impl PlaceFile {
    /// Keeps the place.
    pub(super) fn new(path: Path) -> Arc<PlaceFile> {
        Arc::new(PlaceFile { path })
    }
}

impl File for PlaceFile {
    // "The file itself is not opened, and other file operations … fail with the error EBADF" (open(2), O_PATH).
    fn read(&self, _to: &mut Destination<'_>, _position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn write(&self, _from: &mut Source<'_>, _position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn place(&self) -> Option<&dyn Place> {
        Some(&self.path)
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.path.entry().inode().metadata())
    }

    fn read_directory(&self, _position: u64, _visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        Err(Errno::EBADF)
    }

    fn truncate(&self, _size: u64) -> Result {
        Err(Errno::EBADF)
    }

    fn allocate(&self, _mode: u32, _offset: u64, _length: u64) -> Result {
        Err(Errno::EBADF)
    }

    fn sync(&self) -> Result {
        Err(Errno::EBADF)
    }

    fn page_cache(&self) -> Result<Arc<PageCache>> {
        Err(Errno::EBADF)
    }

    fn name(&self) -> String {
        shown_name(&self.path)
    }
}

/// Notes a read in the inode's access time, unless the mount or the open file leaves that out.
pub(super) fn note_access(path: &Path, flags: StatusFlags) {
    let mount_flags = path.mount().flags();
    let is_silent = flags.contains(StatusFlags::NO_ACCESS_TIME)
        || mount_flags.intersects(MountFlags::NO_ACCESS_TIMES | MountFlags::READ_ONLY)
        || mount_flags.contains(MountFlags::NO_DIRECTORY_ACCESS_TIMES) && path.entry().is_directory();
    if !is_silent {
        path.entry().inode().note_access();
    }
}

fn shown_name(path: &Path) -> String {
    let mut top = path.clone();
    while let Some(point) = top.mount().point() {
        top = point;
    }
    let root = top.mount().root_path();
    String::from_utf8_lossy(&path.name(&root)).into_owned()
}
