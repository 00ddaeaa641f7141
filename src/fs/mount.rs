//! Volumes and mounts: a `Volume` is a file system in use with its directory cache; a `Mount` shows a volume (or a part
//! of it) at a place of the tree; a `Namespace` is one tree of mounts.
//!
//! Each mount knows where it is mounted and what is mounted on it. `Namespace::changes` is held over each change of
//! the tree; `links` is a short spin lock below it that walks take only at mount points.

use super::{Dentry, FileSystem, Path, inotify};
use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::machine::task::Mutex;
use crate::rank::Rank;
use alloc::{sync::Arc, vec::Vec};
use bitflags::bitflags;
use core::sync::atomic::{AtomicU32, Ordering};

bitflags! {
    /// What a mount forbids or leaves out, numbered as mount(2)'s MS_* flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct MountFlags: u32 {
        const READ_ONLY = 1;
        const NO_SET_ID = 2;
        const NO_DEVICES = 4;
        const NO_EXECUTE = 8;
        const NO_ACCESS_TIMES = 1 << 10;
        const NO_DIRECTORY_ACCESS_TIMES = 1 << 11;
        const RELATIVE_ACCESS_TIMES = 1 << 21;
        const STRICT_ACCESS_TIMES = 1 << 24;
    }
}

/// A file system in use, and its directory cache.
pub(crate) struct Volume {
    file_system: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
}

impl Volume {
    /// Puts a file system into use.
    pub(crate) fn new(file_system: Arc<dyn FileSystem>) -> Arc<Volume> {
        let root = Dentry::new_root(file_system.root(), file_system.caches_names());
        Arc::new(Volume { file_system, root })
    }

    /// Returns the file system.
    pub(crate) fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// Returns the entry of its root directory.
    pub(crate) fn root(&self) -> &Arc<Dentry> {
        &self.root
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        inotify::tell_unmounted(self.root.inode().metadata().device);
        self.root.prune();
    }
}

/// A volume, or a part of it, shown at a place of the tree.
pub(crate) struct Mount {
    id: u32,
    /// What was mounted, as the caller named it: a device or any word.
    source: Vec<u8>,
    volume: Arc<Volume>,
    root: Arc<Dentry>,
    flags: AtomicU32,
    links: SpinLock<Links>,
}

#[derive(Default)]
struct Links {
    /// Where this mount is mounted; `None` for the root of a tree and for detached mounts.
    point: Option<Path>,
    /// What is mounted on this mount, and at which entry.
    children: Vec<(Arc<Dentry>, Arc<Mount>)>,
}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl Mount {
    /// Makes a mount that is not in a tree yet and shows `volume` from `root` on.
    pub(crate) fn new(volume: Arc<Volume>, root: Arc<Dentry>, source: &[u8], flags: MountFlags) -> Arc<Mount> {
        Arc::new(Mount {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            source: source.to_vec(),
            volume,
            root,
            flags: AtomicU32::new(flags.bits()),
            links: SpinLock::new(Rank::MountLinks, Links::default()),
        })
    }

    /// Returns the mount's number (statx(2), /proc/PID/mountinfo).
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Returns what the caller of mount(2) named as source.
    pub(crate) fn source(&self) -> &[u8] {
        &self.source
    }

    /// Returns the volume.
    pub(crate) fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// Returns the entry that shows at the mount point.
    pub(crate) fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// Returns what the mount forbids.
    pub(crate) fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Changes what the mount forbids (a remount).
    pub(crate) fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Returns where it is mounted; `None` for the root of a tree and for detached mounts.
    pub(crate) fn point(&self) -> Option<Path> {
        self.links.lock().point.clone()
    }

    /// Returns its root as a path.
    pub(crate) fn root_path(self: &Arc<Self>) -> Path {
        Path { mount: self.clone(), entry: self.root.clone() }
    }

    /// Returns the mount at `entry` of this mount, if there is one.
    pub(super) fn mounted_at(&self, entry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        let links = self.links.lock();
        links.children.iter().find(|(point, _)| Arc::ptr_eq(point, entry)).map(|(_, mount)| mount.clone())
    }

    fn children(&self) -> Vec<Arc<Mount>> {
        self.links.lock().children.iter().map(|(_, mount)| mount.clone()).collect()
    }

    /// Hangs this mount into the tree at `point`, on top of what is mounted there.
    fn attach(self: &Arc<Self>, point: &Path) {
        let point = point.clone().descend();
        point.entry.add_mount();
        self.links.lock().point = Some(point.clone());
        point.mount.links.lock().children.push((point.entry.clone(), self.clone()));
    }

    /// Takes this mount out of the tree.
    fn detach(self: &Arc<Self>) {
        let Some(point) = self.links.lock().point.take() else { return };
        let taken = {
            let mut links = point.mount.links.lock();
            let position = links.children.iter().position(|(_, mount)| Arc::ptr_eq(mount, self));
            position.map(|position| links.children.swap_remove(position))
        };
        drop(taken);
        point.entry.remove_mount();
    }
}

/// One tree of mounts.
pub(crate) struct Namespace {
    root: SpinLock<Arc<Mount>>,
    changes: Mutex<()>,
}

impl Namespace {
    /// Makes a tree of one mount.
    pub(crate) fn new(root: Arc<Mount>) -> Namespace {
        Namespace { root: SpinLock::new(Rank::MountLinks, root), changes: Mutex::new(Rank::MountTree, ()) }
    }

    /// Returns the mount at the root of the tree.
    pub(crate) fn root(&self) -> Arc<Mount> {
        self.root.lock().clone()
    }

    /// Returns all mounts of the tree in the order of their numbers.
    pub(crate) fn mounts(&self) -> Vec<Arc<Mount>> {
        let mut all = alloc::vec![self.root()];
        let mut next = 0;
        while next < all.len() {
            let children = all[next].children();
            all.extend(children);
            next += 1;
        }
        all.sort_by_key(|mount| mount.id);
        all
    }

    /// Mounts `mount` (with what is mounted on it) at `point`, over what is mounted there already. ENOTDIR; ENOENT if
    /// the mount point was removed; EINVAL if it is not in this tree.
    pub(crate) fn mount(&self, mount: &Arc<Mount>, point: &Path) -> Result {
        let _changes = self.changes.lock();
        Errno::ENOTDIR.when(mount.root.is_directory() != point.entry.is_directory())?;
        self.require_member(&point.mount)?;
        Errno::ENOENT.when(point.entry.is_removed())?;
        mount.attach(point);
        Ok(())
    }

    /// Copies the mount of `source` so that it shows `source` (bind); with what is mounted below if `recursive`.
    pub(crate) fn copy(&self, source: &Path, recursive: bool) -> Result<Arc<Mount>> {
        let _changes = self.changes.lock();
        let old = &source.mount;
        let copy = Mount::new(old.volume.clone(), source.entry.clone(), &old.source, old.flags());
        if recursive {
            let mut waiting = alloc::vec![(old.clone(), copy.clone())];
            while let Some((from, to)) = waiting.pop() {
                let children = from.links.lock().children.clone();
                for (entry, child) in children.into_iter().filter(|(entry, _)| entry.is_inside(&to.root)) {
                    let child_copy = Mount::new(child.volume.clone(), child.root.clone(), &child.source, child.flags());
                    child_copy.attach(&Path { mount: to.clone(), entry });
                    waiting.push((child, child_copy));
                }
            }
        }
        Ok(copy)
    }

    /// Moves the mount whose root is `from` to `point`. EINVAL if `from` is no mount's root or the tree's; ELOOP into
    /// itself.
    pub(crate) fn move_mount(&self, from: &Path, point: &Path) -> Result {
        let _changes = self.changes.lock();
        Errno::EINVAL.when(!from.is_mount_root() || from.mount.point().is_none())?;
        self.require_member(&point.mount)?;
        Errno::EINVAL.when(from.entry.is_directory() != point.entry.is_directory())?;
        let mut above = Some(point.clone());
        while let Some(path) = above {
            Errno::ELOOP.when(Arc::ptr_eq(&path.mount, &from.mount))?;
            above = path.mount.point();
        }
        from.mount.detach();
        from.mount.attach(point);
        Ok(())
    }

    /// Unmounts the mount whose root is `path`: EINVAL if it is not one or the tree's root; EBUSY if it is in use or has
    /// mounts on it, unless `lazily` (MNT_DETACH): then it and all on it leave the tree now and end with their last
    /// use.
    pub(crate) fn unmount(&self, path: Path, lazily: bool) -> Result {
        let _changes = self.changes.lock();
        Errno::EINVAL.when(!path.is_mount_root())?;
        let Path { mount, entry } = path;
        drop(entry);
        Errno::EINVAL.when(mount.point().is_none())?;
        if !lazily {
            // One reference is `mount` here, one the tree's; a third is somebody's file or directory in it.
            let is_used = Arc::strong_count(&mount) > 2 || !mount.links.lock().children.is_empty();
            Errno::EBUSY.when(is_used)?;
        }
        let mut waiting = alloc::vec![mount];
        while let Some(mount) = waiting.pop() {
            waiting.extend(mount.children());
            mount.detach();
        }
        Ok(())
    }

    /// pivot_root(2) after its checks of permission: the mount at `new_root` becomes the tree's root, the old one goes
    /// to `put_old`. EINVAL, EBUSY.
    pub(crate) fn pivot(&self, new_root: &Path, put_old: &Path) -> Result {
        let _changes = self.changes.lock();
        let old = self.root();
        Errno::EBUSY.when(Arc::ptr_eq(&new_root.mount, &old) || Arc::ptr_eq(&put_old.mount, &old))?;
        // Linux refuses the rootfs too: it cannot be moved (pivot_root(2), "The rootfs … cannot be pivot_root()ed").
        Errno::EINVAL.when(!new_root.is_mount_root() || old.volume.file_system.name() == "rootfs")?;
        Errno::EINVAL
            .when(!Arc::ptr_eq(&put_old.mount, &new_root.mount) || !put_old.entry.is_inside(&new_root.entry))?;
        new_root.mount.detach();
        old.attach(put_old);
        *self.root.lock() = new_root.mount.clone();
        Ok(())
    }

    /// EINVAL if `mount` is not in this tree.
    fn require_member(&self, mount: &Arc<Mount>) -> Result {
        let mut top = mount.clone();
        while let Some(point) = top.point() {
            top = point.mount;
        }
        if Arc::ptr_eq(&top, &self.root()) { Ok(()) } else { Err(Errno::EINVAL) }
    }
}
