//! Making and removing names: mknod, mkdir, symlink, link, unlink, rmdir; checks in Linux's order.

use super::names::Name;
use super::permission::{Access, SET_GID};
use super::walk::{Last, Parent, Walk};
use super::{Capabilities, Dentry, Identity, Mount, NewNode, Path, View, inotify, permission};
use crate::errno::{Errno, Result};
use crate::file::{FileKind, Notice, Place};
use alloc::sync::Arc;

/// Permissions and owner of a new file: the caller's, or the directory's group where that is set-group-ID.
pub(super) struct Placement {
    permissions: u32,
    uid: u32,
    gid: u32,
}

impl Placement {
    /// Decides for a new file of `kind` in `directory`; `permissions` are without the umask's bits already.
    pub(super) fn new(identity: &Identity, directory: &Path, kind: FileKind, permissions: u32) -> Placement {
        let parent = directory.entry.inode().ownership();
        let mut placement = Placement { permissions, uid: identity.fsuid, gid: identity.fsgid };
        if parent.permissions & SET_GID == 0 {
            return placement;
        }
        placement.gid = parent.gid;
        if kind == FileKind::Directory {
            placement.permissions |= SET_GID;
        } else if permissions & (SET_GID | 0o010) == SET_GID | 0o010
            && !identity.is_in_group(parent.gid)
            && !identity.can(Capabilities::FSETID)
        {
            placement.permissions &= !SET_GID;
        }
        placement
    }

    /// Makes the file; `changes` of the directory is held and the name known to be free.
    pub(super) fn create(&self, directory: &Path, name: Name<'_>, node: NewNode) -> Result<Arc<Dentry>> {
        let inode = directory.entry.inode().create(name.bytes, node, self.permissions, self.uid, self.gid)?;
        let entry = directory.entry.add_child(name, inode);
        inotify::tell_in(&directory.entry, name.bytes, inotify::with_kind(&entry, Notice::CREATE), 0);
        Ok(entry)
    }

    /// Makes a regular file without a name; `linkable`: linkat(2) may give it one.
    pub(super) fn create_unnamed(&self, directory: &Path, linkable: bool) -> Result<Arc<Dentry>> {
        let inode = directory.entry.inode().create_unnamed(self.permissions, self.uid, self.gid, linkable)?;
        let name = alloc::format!("#{}", inode.metadata().inode);
        Ok(Dentry::new_unnamed(inode, &directory.entry, name.as_bytes()))
    }
}

impl View {
    /// Makes a directory, device, FIFO, socket, symbolic link or empty file; `mode` is masked by the umask.
    pub(crate) fn create(&self, name: &[u8], node: NewNode, mode: u32) -> Result<Path> {
        let walk = Walk::new(self, name)?.enter_parent()?;
        let parent = walk.parent();
        let is_directory = matches!(node, NewNode::Directory);
        self.create_at(&parent, is_directory, None, |directory, last| {
            Errno::EPERM.when(matches!(node, NewNode::Device(..)) && !self.identity.can(Capabilities::MKNOD))?;
            let (kind, mode) = match &node {
                NewNode::Regular => (FileKind::Regular, mode & !self.umask),
                NewNode::Directory => (FileKind::Directory, mode & !self.umask),
                NewNode::Symlink(_) => (FileKind::Symlink, 0o777),
                NewNode::Device(kind, _) => (*kind, mode & !self.umask),
                NewNode::Fifo => (FileKind::Fifo, mode & !self.umask),
                NewNode::Socket => (FileKind::Socket, mode & !self.umask),
            };
            Placement::new(&self.identity, directory, kind, mode).create(directory, last, node.clone())
        })
    }

    /// Gives `target` one more name. EPERM for directories, EXDEV, ENOENT if it has no name any more.
    pub(crate) fn link(&self, target: &Path, name: &[u8]) -> Result {
        let walk = Walk::new(self, name)?.enter_parent()?;
        let parent = walk.parent();
        self.create_at(&parent, false, Some(&target.mount), |directory, last| {
            Errno::EPERM.when(target.entry.is_directory())?;
            let inode = target.entry.inode();
            directory.entry.inode().link(last.bytes, inode)?;
            let entry = directory.entry.add_child(last, inode.clone());
            inotify::tell_of(inode, Notice::ATTRIBUTES);
            inotify::tell_in(&directory.entry, last.bytes, Notice::CREATE, 0);
            Ok(entry)
        })?;
        Ok(())
    }

    /// Checks that the last name is free and may be made (in `required_mount`, if that matters: EXDEV), then makes it by
    /// `make(directory, name)`.
    fn create_at(
        &self, parent: &Parent<'_>, is_directory: bool, required_mount: Option<&Arc<Mount>>,
        make: impl FnOnce(&Path, Name<'_>) -> Result<Arc<Dentry>>,
    ) -> Result<Path> {
        let Last::Name(last) = parent.last else { return Err(Errno::EEXIST) };
        let directory = parent.place;
        let _changes = directory.entry.changes.lock();
        Errno::EEXIST.when(directory.entry.child_locked(last)?.is_some())?;
        Errno::ENOENT.when(parent.has_slash && !is_directory)?;
        directory.require_writable()?;
        Errno::EXDEV.when(required_mount.is_some_and(|mount| !Arc::ptr_eq(mount, &directory.mount)))?;
        directory.require_may_create(&self.identity)?;
        let entry = make(directory, last)?;
        Ok(Path { mount: directory.mount.clone(), entry })
    }

    /// unlink(2).
    pub(crate) fn unlink(&self, name: &[u8]) -> Result {
        let walk = Walk::new(self, name)?.enter_parent()?;
        let parent = walk.parent();
        let Last::Name(last) = parent.last else { return Err(Errno::EISDIR) };
        let directory = parent.place;
        directory.require_writable()?;
        let inode = {
            let _changes = directory.entry.changes.lock();
            let entry = directory.entry.child_locked(last)?.ok_or(Errno::ENOENT)?;
            if parent.has_slash {
                return Err(if entry.is_directory() { Errno::EISDIR } else { Errno::ENOTDIR });
            }
            directory.require_may_remove(&self.identity, &**entry.inode())?;
            Errno::EISDIR.when(entry.is_directory())?;
            Errno::EBUSY.when(entry.is_mount_point())?;
            directory.entry.inode().unlink(last.bytes)?;
            entry.forget(&directory.entry, last);
            // What is told of one name keeps its order, so the directory is locked still.
            let inode = entry.inode().clone();
            inotify::tell_of(&inode, Notice::ATTRIBUTES);
            drop(entry);
            inotify::tell_in(&directory.entry, last.bytes, Notice::DELETE, 0);
            inode
        };
        // The last use of a big file frees its pages: not with the directory locked.
        drop(inode);
        Ok(())
    }

    /// rmdir(2).
    pub(crate) fn remove_directory(&self, name: &[u8]) -> Result {
        let walk = Walk::new(self, name)?.enter_parent()?;
        let parent = walk.parent();
        let last = match parent.last {
            Last::Name(last) => last,
            Last::This => return Err(Errno::EINVAL),
            Last::Above => return Err(Errno::ENOTEMPTY),
            Last::Root => return Err(Errno::EBUSY),
        };
        let directory = parent.place;
        directory.require_writable()?;
        let _changes = directory.entry.changes.lock();
        let entry = directory.entry.child_locked(last)?.ok_or(Errno::ENOENT)?;
        directory.require_may_remove(&self.identity, &**entry.inode())?;
        Errno::ENOTDIR.when(!entry.is_directory())?;
        Errno::EBUSY.when(entry.is_mount_point())?;
        {
            // The parent's lock comes before the child's, so that nobody adds an entry to a directory that goes.
            let _child_changes = entry.changes.lock_nested();
            directory.entry.inode().remove_directory(last.bytes)?;
            entry.forget(&directory.entry, last);
        }
        drop(entry);
        inotify::tell_in(&directory.entry, last.bytes, Notice::DELETE | Notice::DIRECTORY, 0);
        Ok(())
    }

    /// access(2) and its relatives; `access` empty asks for existence alone.
    pub(crate) fn check_access(&self, path: &Path, access: Access) -> Result {
        if access.is_empty() {
            return Ok(());
        }
        let is_regular = path.entry.kind() == FileKind::Regular;
        if access.contains(Access::EXECUTE) && is_regular && path.mount.flags().contains(super::MountFlags::NO_EXECUTE)
        {
            return Err(Errno::EACCES);
        }
        path.check(&self.identity, access)
    }

    /// truncate(2).
    pub(crate) fn truncate(&self, path: &Path, size: u64) -> Result {
        match path.entry.kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        path.require_writable()?;
        permission::check(&self.identity, &**path.entry.inode(), Access::WRITE)?;
        if let Some(content) = path.entry.inode().content() {
            content.require_not_running()?;
        }
        path.entry.inode().truncate(size)?;
        path.tell(Notice::MODIFY);
        Ok(())
    }
}
