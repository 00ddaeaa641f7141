//! What a file system implements: `FileSystem` and `Inode`. Permission checks are made above, in `path`.

use super::files::Content;
use super::permission::Ownership;
use super::{Identity, Path, open};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, DirectoryEntry, File, FileKind, Metadata, StatusFlags, Timestamp};
use crate::machine::sync::SpinLock;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

/// What statfs(2) shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FileSystemStatistics {
    /// The magic number (statfs(2)), for example 0x01021994 for tmpfs.
    pub(crate) kind: u64,
    pub(crate) block_size: u64,
    pub(crate) blocks: u64,
    pub(crate) blocks_free: u64,
    pub(crate) files: u64,
    pub(crate) files_free: u64,
    pub(crate) name_limit: u64,
}

/// A mounted (or mountable) file system.
pub(crate) trait FileSystem: Send + Sync {
    /// Returns its type's name, for example `tmpfs`.
    fn name(&self) -> &'static str;
    /// Returns the root directory.
    fn root(&self) -> Arc<dyn Inode>;
    /// Returns what statfs(2) shows.
    fn statistics(&self) -> FileSystemStatistics;
    /// Returns its own mount options as /proc/mounts shows them, for example `size=1024k`.
    fn options(&self) -> alloc::string::String {
        alloc::string::String::new()
    }
    /// Returns whether the directory cache may keep names (and their absence) between look-ups; /proc may not.
    fn caches_names(&self) -> bool {
        true
    }
    /// Changes its own mount options (mount(2), MS_REMOUNT). EINVAL.
    fn remount(&self, _options: &[u8]) -> Result {
        Ok(())
    }
    /// Writes everything to the medium.
    fn sync(&self) -> Result {
        Ok(())
    }
}

/// What belongs to an inode while it is in use: made by the first user, gone with the last.
pub(crate) type Attachment = SpinLock<Option<Weak<dyn Any + Send + Sync>>>;

/// What to create.
#[derive(Clone, Debug)]
pub(crate) enum NewNode {
    Regular,
    Directory,
    Symlink(Vec<u8>),
    Device(FileKind, DeviceNumber),
    Fifo,
    Socket,
}

/// Attributes to change; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttributeChange {
    pub(crate) permissions: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) accessed: Option<Timestamp>,
    pub(crate) modified: Option<Timestamp>,
}

/// A file, directory, link or device of a file system.
pub(crate) trait Inode: Any + Send + Sync {
    /// Returns what stat(2) shows.
    fn metadata(&self) -> Metadata;

    /// Returns the type, which never changes.
    fn kind(&self) -> FileKind {
        self.metadata().kind
    }

    /// Returns what permission checks need, cheaper than all metadata where that matters.
    fn ownership(&self) -> Ownership {
        let Metadata { permissions, uid, gid, .. } = self.metadata();
        Ownership { permissions, uid, gid }
    }

    /// Changes attributes; the change time becomes now.
    fn set_attributes(&self, _change: AttributeChange) -> Result {
        Err(Errno::EPERM)
    }

    /// Finds an entry of this directory (never `.` or `..`). ENOENT, ENOTDIR.
    fn look_up(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOTDIR)
    }

    /// Makes an entry with the given permissions and owner. EEXIST, ENOSPC; where nothing can be made, EACCES for a
    /// regular file and EPERM else.
    fn create(&self, _name: &[u8], node: NewNode, _permissions: u32, _uid: u32, _gid: u32) -> Result<Arc<dyn Inode>> {
        Err(if matches!(node, NewNode::Regular) { Errno::EACCES } else { Errno::EPERM })
    }

    /// Makes a regular file without a name (O_TMPFILE); `linkable`: `link` may give it one. "EOPNOTSUPP The filesystem
    /// containing pathname does not support O_TMPFILE."
    fn create_unnamed(&self, _permissions: u32, _uid: u32, _gid: u32, _linkable: bool) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes another name for `target`, an inode of the same file system. EEXIST, EMLINK.
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result {
        Err(Errno::EPERM)
    }

    /// Removes a name that is not a directory's. ENOENT, EISDIR.
    fn unlink(&self, _name: &[u8]) -> Result {
        Err(Errno::EPERM)
    }

    /// Removes an empty directory. ENOTEMPTY, ENOTDIR.
    fn remove_directory(&self, _name: &[u8]) -> Result {
        Err(Errno::EPERM)
    }

    /// Moves the entry `name` to `new_name` in `new_parent` (same file system), replacing what the caller found
    /// replaceable; with `exchange` the two change places.
    fn rename(&self, _name: &[u8], _new_parent: &Arc<dyn Inode>, _new_name: &[u8], _exchange: bool) -> Result {
        Err(Errno::EPERM)
    }

    /// Returns a symbolic link's text. EINVAL.
    fn read_link(&self) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    /// Returns where a magic link leads (/proc/PID/fd/N, exe, cwd), bypassing its text.
    fn follow(&self) -> Option<Result<Path>> {
        None
    }

    /// Lists entries from `position` on (without `.` and `..`) through `visit` until it returns `false`. `visit` does not
    /// sleep.
    fn read_directory(&self, _position: u64, _visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        Err(Errno::ENOTDIR)
    }

    /// Opens the file: what reads and writes it. `path` is where it was found. Unless a file system says otherwise, that
    /// is its content for a regular file, and for a device what is registered for its number.
    fn open(self: Arc<Self>, path: &Path, flags: StatusFlags, identity: &Identity) -> Result<Arc<dyn File>> {
        open::open_by_kind(path, flags, identity)
    }

    /// Returns a regular file's content, if it is kept in pages.
    fn content(&self) -> Option<&Content> {
        None
    }

    /// Returns a place for what belongs to the inode while it is in use: a FIFO's pipe, a bound socket.
    fn attachment(&self) -> Option<&Attachment> {
        None
    }

    /// Content or entries were read: the access time becomes now, if the file system keeps it (relatime of mount(8)).
    fn note_access(&self) {}

    /// Content was written: modification and change time become now.
    fn note_write(&self) {}

    /// Makes sure that `length` bytes from `offset` on may be written. ENOSPC; EFBIG.
    fn reserve(&self, _offset: u64, _length: u64) -> Result {
        Ok(())
    }

    /// Sets a regular file's size.
    fn truncate(&self, _size: u64) -> Result {
        Err(Errno::EINVAL)
    }

    /// Allocates or frees a regular file's space (fallocate(2)).
    fn allocate(&self, _mode: u32, _offset: u64, _length: u64) -> Result {
        Err(Errno::EOPNOTSUPP)
    }

    /// Waits until the file is on the medium.
    fn sync(&self) -> Result {
        Ok(())
    }

    /// Reads an extended attribute. ENODATA, EOPNOTSUPP.
    fn get_xattr(&self, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute.
    fn set_xattr(&self, _name: &[u8], _value: &[u8], _flags: u32) -> Result {
        Err(Errno::EOPNOTSUPP)
    }

    /// Lists the extended attributes' names.
    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    /// Removes an extended attribute.
    fn remove_xattr(&self, _name: &[u8]) -> Result {
        Err(Errno::EOPNOTSUPP)
    }
}
