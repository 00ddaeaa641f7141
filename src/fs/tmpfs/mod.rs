//! tmpfs: files that live in memory alone (tmpfs(5)); the root file system, /dev, /tmp and /dev/shm are ones.
//!
//! `Tmpfs` is an instance with its limits, `Node` an inode, `Entries` a directory's content.

/// A directory's entries.
mod entries;

/// Inodes.
mod node;

/// Mount options.
mod options;

pub(crate) use options::Options;

use super::kinds::next_anonymous_device;
use super::{FileSystem, FileSystemStatistics, Inode};
use crate::errno::{Errno, Result};
use crate::file::DeviceNumber;
use crate::machine::memory::{PAGE_SIZE, require_plenty, total_pages};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::{string::String, sync::Arc};
use core::sync::atomic::{AtomicU64, Ordering};
use node::Node;

/// "TMPFS_MAGIC" of statfs(2).
const MAGIC: u64 = 0x0102_1994;

/// An instance of tmpfs.
pub(crate) struct Tmpfs {
    shared: Arc<Shared>,
    root: Arc<Node>,
}

/// What the inodes of an instance share.
struct Shared {
    name: &'static str,
    device: DeviceNumber,
    options: SpinLock<Options>,
    next_inode: AtomicU64,
    inodes: AtomicU64,
    pages: AtomicU64,
}

impl Tmpfs {
    /// Makes an empty one of type `name` (`tmpfs`, `devtmpfs`, `rootfs`).
    pub(crate) fn new(name: &'static str, options: Options) -> Arc<Tmpfs> {
        let shared = Arc::new(Shared {
            name,
            device: next_anonymous_device(),
            options: SpinLock::new(Rank::Attributes, options),
            next_inode: AtomicU64::new(1),
            inodes: AtomicU64::new(0),
            pages: AtomicU64::new(0),
        });
        let root = Node::new_root(&shared, &options);
        Arc::new(Tmpfs { shared, root })
    }
}

impl FileSystem for Tmpfs {
    fn name(&self) -> &'static str {
        self.shared.name
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> FileSystemStatistics {
        let shared = &self.shared;
        let pages = shared.pages.load(Ordering::Relaxed);
        let inodes = shared.inodes.load(Ordering::Relaxed);
        let (size, files) = (shared.page_limit(), shared.inode_limit());
        FileSystemStatistics {
            kind: MAGIC,
            block_size: PAGE_SIZE as u64,
            blocks: size,
            blocks_free: size.saturating_sub(pages),
            files,
            files_free: files.saturating_sub(inodes),
            name_limit: 255,
        }
    }

    /// Changes the limits of size and inodes; mode and owner stay. EINVAL below what is in use.
    fn remount(&self, options: &[u8]) -> Result {
        let new = Options::parse(options)?;
        let is_too_small = |limit: Option<u64>, used: &AtomicU64| {
            limit.is_some_and(|limit| limit != 0 && limit < used.load(Ordering::Relaxed))
        };
        Errno::EINVAL
            .when(is_too_small(new.size_pages, &self.shared.pages) || is_too_small(new.inodes, &self.shared.inodes))?;
        let mut options = self.shared.options.lock();
        options.size_pages = new.size_pages.or(options.size_pages);
        options.inodes = new.inodes.or(options.inodes);
        Ok(())
    }

    fn options(&self) -> String {
        self.shared.options.lock().show()
    }
}

impl Shared {
    fn page_limit(&self) -> u64 {
        let limit = self.options.lock().size_pages;
        limit.unwrap_or_else(|| total_pages() as u64 / 2)
    }

    fn inode_limit(&self) -> u64 {
        let limit = self.options.lock().inodes;
        limit.unwrap_or_else(|| total_pages() as u64 / 2)
    }

    /// Counts one more inode and returns its number. ENOSPC at the limit, or when memory is short.
    fn new_inode(&self) -> Result<u64> {
        require_plenty().map_err(|_| Errno::ENOSPC)?;
        let limit = self.inode_limit();
        let count = self.inodes.fetch_add(1, Ordering::Relaxed) + 1;
        if limit != 0 && count > limit {
            self.inodes.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::ENOSPC);
        }
        Ok(self.next_inode.fetch_add(1, Ordering::Relaxed))
    }

    /// ENOSPC if `more` pages would not fit.
    fn require_pages(&self, more: u64) -> Result {
        let limit = self.page_limit();
        Errno::ENOSPC.when(limit != 0 && self.pages.load(Ordering::Relaxed).saturating_add(more) > limit)?;
        Ok(())
    }
}
