//! Places in the tree, and from where and as whom names are walked (`View`; the walking itself is in `walk`).

use super::{Dentry, Identity, Inode, Mount};
use alloc::{sync::Arc, vec::Vec};

/// A place in the tree: a mount and a directory cache entry in it.
#[derive(Clone)]
pub(crate) struct Path {
    pub(super) mount: Arc<Mount>,
    pub(super) entry: Arc<Dentry>,
}

/// A process' root and working directory.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) root: Path,
    pub(crate) working: Path,
}

/// From where and as whom a path is walked.
#[derive(Clone)]
pub(crate) struct View {
    places: Arc<Places>,
    /// Where relative paths start, if not at the working directory.
    start: Option<Path>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) umask: u32,
}

/// How a place is reached from a root directory.
pub(crate) struct Name {
    /// The absolute name: from the root directory if it is above, else from the top of the place's own tree.
    pub(crate) bytes: Vec<u8>,
    /// Whether the root directory is above the place.
    pub(crate) is_reachable: bool,
    /// Whether the name was removed.
    pub(crate) is_removed: bool,
}

impl View {
    /// Makes a view from a process' directories; relative paths start at `start` if there is one.
    pub(crate) fn new(places: Arc<Places>, start: Option<Path>, identity: Arc<Identity>, umask: u32) -> View {
        View { places, start, identity, umask }
    }

    /// Makes the kernel's own view: all is allowed from `root` on.
    pub(crate) fn of_kernel(root: Path, umask: u32) -> View {
        let places = Places { working: root.clone(), root };
        View::new(Arc::new(places), None, Arc::new(Identity::root()), umask)
    }

    /// Returns the view that cannot leave where relative paths start.
    pub(crate) fn rooted_at_start(self) -> View {
        let root = self.start().clone();
        View { places: Arc::new(Places { working: root.clone(), root }), start: None, ..self }
    }

    /// Returns the process' root directory.
    pub(crate) fn root(&self) -> &Path {
        &self.places.root
    }

    /// Returns where relative paths start: the working directory or a directory descriptor's path.
    pub(crate) fn start(&self) -> &Path {
        self.start.as_ref().unwrap_or(&self.places.working)
    }
}

impl Path {
    /// Returns the inode.
    pub(crate) fn inode(&self) -> Arc<dyn Inode> {
        self.entry.inode().clone()
    }

    /// Returns the mount.
    pub(crate) fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// Returns the directory cache entry.
    pub(crate) fn entry(&self) -> &Arc<Dentry> {
        &self.entry
    }

    /// Returns whether both are the same place.
    pub(crate) fn is_same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry) && Arc::ptr_eq(&self.mount, &other.mount)
    }

    /// Returns whether it is what shows at a mount point.
    pub(crate) fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.entry, self.mount.root())
    }

    /// Returns the absolute name as seen from `root`; ends in ` (deleted)` if the name is gone.
    pub(crate) fn name(&self, root: &Path) -> Vec<u8> {
        let mut name = self.full_name(root);
        if name.is_removed {
            name.bytes.extend_from_slice(b" (deleted)");
        }
        name.bytes
    }

    /// Returns the absolute name as seen from `root`, and what is special about it.
    pub(crate) fn full_name(&self, root: &Path) -> Name {
        let mut components = Vec::new();
        let mut place = self.clone();
        let is_reachable = loop {
            if place.is_same(root) {
                break true;
            }
            if place.is_mount_root() {
                let Some(point) = place.mount.point() else { break false };
                place = point;
                continue;
            }
            let (parent, name) = place.entry.parent_and_name();
            let Some(parent) = parent else { break false };
            components.push(name);
            place.entry = parent;
        };

        let mut bytes = Vec::new();
        for component in components.iter().rev() {
            bytes.push(b'/');
            bytes.extend_from_slice(component);
        }
        if bytes.is_empty() {
            bytes.push(b'/');
        }
        Name { bytes, is_reachable, is_removed: self.entry.is_removed() }
    }

    /// Returns what is mounted here, on top of all; itself if nothing is.
    #[inline(never)]
    pub(super) fn descend(mut self) -> Path {
        while self.entry.is_mount_point() {
            let Some(mount) = self.mount.mounted_at(&self.entry) else { break };
            self.entry = mount.root().clone();
            self.mount = mount;
        }
        self
    }

    /// Returns the directory above, not leaving `root`; crosses mounts.
    pub(super) fn parent(mut self, root: &Path) -> Path {
        while !self.is_same(root) {
            if !self.is_mount_root() {
                if let Some(parent) = self.entry.parent() {
                    self.entry = parent;
                }
                break;
            }
            let Some(point) = self.mount.point() else { break };
            self = point;
        }
        self.descend()
    }
}

impl core::fmt::Debug for Path {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Path({}, {})", self.mount.id(), self.entry.name().escape_ascii())
    }
}
