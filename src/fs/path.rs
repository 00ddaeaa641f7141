//! Names in the tree: directory cache entries, mounts, and walking.

use super::{Identity, Inode};
use crate::errno::Result;
use crate::file::{OpenFile, StatusFlags};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A place in the tree: a mount and a directory cache entry in it.
#[derive(Clone)]
pub(crate) struct Path {
    _entry: Arc<()>,
}

/// From where and as whom a path is walked.
#[derive(Clone)]
pub(crate) struct View {
    /// The process' root directory.
    pub(crate) root: Path,
    /// Where relative paths start: the working directory or a directory descriptor's path.
    pub(crate) start: Path,
    pub(crate) identity: Arc<Identity>,
    pub(crate) umask: u32,
}

impl Path {
    /// Returns the inode.
    pub(crate) fn inode(&self) -> Arc<dyn Inode> {
        todo!()
    }

    /// Returns the absolute name as seen from `root`; ends in ` (deleted)` if the name is gone.
    pub(crate) fn name(&self, _root: &Path) -> Vec<u8> {
        todo!()
    }
}

impl View {
    /// Walks `name` to what it names; follows a last symbolic link if `follow`.
    pub(crate) fn look_up(&self, _name: &[u8], _follow: bool) -> Result<Path> {
        todo!()
    }

    /// open(2), all flags but O_CLOEXEC: `flags` are the raw O_* bits.
    pub(crate) fn open(&self, _name: &[u8], _flags: u32, _mode: u32) -> Result<Arc<OpenFile>> {
        let _ = StatusFlags::empty();
        todo!()
    }
}
