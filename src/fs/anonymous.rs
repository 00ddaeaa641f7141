//! Files that have no place in the tree (pipes, sockets), made reachable through /proc/PID/fd: walking onto such a link
//! ends at an inode that stands for the open file itself. `echo >/dev/stderr` with a pipe there comes this way.

use super::{Dentry, FileSystem, FileSystemStatistics, Identity, Inode, Mount, MountFlags, Path, Volume};
use crate::errno::{Errno, Result};
use crate::file::pipe::PipeEnd;
use crate::file::{File, Metadata, OpenFile, StatusFlags};
use crate::machine::sync::Lazy;
use alloc::sync::Arc;

/// "PIPEFS_MAGIC" of statfs(2).
const MAGIC: u64 = 0x5049_5045;

/// The mount of all such places; it is in no tree.
static MOUNT: Lazy<Arc<Mount>> = Lazy::new(|| {
    let volume = Volume::new(Arc::new(AnonymousFiles));
    let root = volume.root().clone();
    Mount::new(volume, root, b"none", MountFlags::empty())
});

/// Returns a place that stands for an open file without one.
pub(crate) fn path_to(file: &Arc<OpenFile>) -> Path {
    let inode = Arc::new(OpenedInode { file: file.clone() });
    Path { mount: MOUNT.clone(), entry: Dentry::new_root(inode, false) }
}

/// Returns whether a place is one of these.
pub(super) fn contains(path: &Path) -> bool {
    Arc::ptr_eq(&path.mount, &MOUNT)
}

/// The inode that an open file would have.
struct OpenedInode {
    file: Arc<OpenFile>,
}

impl Inode for OpenedInode {
    fn metadata(&self) -> Metadata {
        // Pipes, sockets and the like always know theirs.
        self.file.file().metadata().unwrap_or_else(|_| crate::file::anonymous::metadata())
    }

    fn open(self: Arc<Self>, _path: &Path, flags: StatusFlags, _identity: &Identity) -> Result<Arc<dyn File>> {
        // Linux opens a pipe anew as a FIFO; a socket or an event descriptor answers ENXIO.
        let end = self.file.downcast::<PipeEnd>().ok_or(Errno::ENXIO)?;
        let end: Arc<dyn File> = end.reopen(flags)?;
        Ok(end)
    }
}

/// The file system of these places: nothing but their root, which nobody sees.
struct AnonymousFiles;

impl FileSystem for AnonymousFiles {
    fn name(&self) -> &'static str {
        "pipefs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(NoInode)
    }

    fn statistics(&self) -> FileSystemStatistics {
        FileSystemStatistics { kind: MAGIC, block_size: 4096, name_limit: 255, ..FileSystemStatistics::default() }
    }

    fn caches_names(&self) -> bool {
        false
    }
}

struct NoInode;

impl Inode for NoInode {
    fn metadata(&self) -> Metadata {
        crate::file::anonymous::metadata()
    }
}
