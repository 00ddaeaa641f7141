//! The directory cache: one `Dentry` for each name that was looked up, with its inode; the absence of a name is
//! remembered too. A walk over known names asks no file system and allocates nothing.
//!
//! A parent holds its children and a child its parent; the circle is cut when the name is removed (`forget`) or the
//! volume goes (`prune`). `changes` is held over everything that adds, removes or first looks up an entry, so the
//! file system sees one change of a directory at a time; `children` and `place` are short spin locks below it.

use super::names::{Name, NameMap};
use super::{Inode, inotify};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use crate::file::notice::{self, Notice};
use crate::machine::sync::SpinLock;
use crate::machine::task::Mutex;
use crate::rank::Rank;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The longest name of one directory entry (NAME_MAX).
pub(crate) const NAME_LIMIT: usize = 255;

/// Absent names remembered per directory; a program that probes for more makes the directory forget them all.
const ABSENT_LIMIT: usize = 512;

/// A known name and its inode.
pub(crate) struct Dentry {
    inode: Arc<dyn Inode>,
    kind: FileKind,
    /// Whether look-ups may be answered from `children` (not for /proc, where names come and go by themselves).
    caches_names: bool,
    /// Held over each change of the directory's entries and over look-ups that the cache cannot answer.
    pub(super) changes: Mutex<()>,
    /// How many mounts have this entry as their mount point.
    mounts: AtomicU32,
    is_removed: AtomicBool,
    place: SpinLock<Place>,
    children: SpinLock<Children>,
}

struct Place {
    parent: Option<Arc<Dentry>>,
    name: Box<[u8]>,
}

#[derive(Default)]
struct Children {
    entries: NameMap<Box<[u8]>, Option<Arc<Dentry>>>,
    absent: usize,
}

impl Dentry {
    /// Makes the entry of a volume's root.
    pub(super) fn new_root(inode: Arc<dyn Inode>, caches_names: bool) -> Arc<Dentry> {
        Dentry::make(inode, caches_names, None, &[], false)
    }

    /// Makes the entry of a file that has no name in `parent` (O_TMPFILE), shown as `name`.
    pub(super) fn new_unnamed(inode: Arc<dyn Inode>, parent: &Arc<Dentry>, name: &[u8]) -> Arc<Dentry> {
        Dentry::make(inode, parent.caches_names, Some(parent.clone()), name, true)
    }

    fn make(
        inode: Arc<dyn Inode>, caches_names: bool, parent: Option<Arc<Dentry>>, name: &[u8], is_removed: bool,
    ) -> Arc<Dentry> {
        let kind = inode.kind();
        Arc::new(Dentry {
            inode,
            kind,
            caches_names,
            changes: Mutex::new(Rank::Directory, ()),
            mounts: AtomicU32::new(0),
            is_removed: AtomicBool::new(is_removed),
            place: SpinLock::new(Rank::Dentry, Place { parent, name: name.into() }),
            children: SpinLock::new(Rank::Dentry, Children::default()),
        })
    }

    /// Returns the inode.
    pub(crate) fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// Returns the inode's type, which never changes.
    pub(crate) fn kind(&self) -> FileKind {
        self.kind
    }

    /// Returns whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// Returns whether the name was removed (or never existed) while the file is still in use.
    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Acquire)
    }

    /// Returns whether something is mounted here, in some mount that shows this entry.
    pub(super) fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    /// Counts one more mount on this entry.
    pub(super) fn add_mount(self: &Arc<Self>) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
        // In a directory that is not cached this entry must be found again, or the mount would be lost.
        if let Some(parent) = self.parent() {
            let name = self.name();
            parent.children.lock().entries.insert(Name::first(&name), || name.clone(), Some(self.clone()));
        }
    }

    /// Counts one mount less.
    pub(super) fn remove_mount(&self) {
        let before = self.mounts.fetch_sub(1, Ordering::AcqRel);
        if let (1, false, Some(parent)) = (before, self.caches_names, self.parent()) {
            let name = self.name();
            let removed = parent.children.lock().entries.remove(Name::first(&name));
            drop(removed);
        }
    }

    /// Returns the parent directory's entry; `None` for a volume's root.
    pub(crate) fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.lock().parent.clone()
    }

    /// Returns the name in the parent.
    pub(crate) fn name(&self) -> Box<[u8]> {
        self.place.lock().name.clone()
    }

    /// Returns parent and name, as they are together at one moment.
    pub(super) fn parent_and_name(&self) -> (Option<Arc<Dentry>>, Box<[u8]>) {
        let place = self.place.lock();
        (place.parent.clone(), place.name.clone())
    }

    /// Returns whether `self` is `other` or lies below it in the same volume.
    pub(super) fn is_inside(self: &Arc<Self>, other: &Arc<Dentry>) -> bool {
        let mut at = self.clone();
        loop {
            if Arc::ptr_eq(&at, other) {
                return true;
            }
            let Some(parent) = at.parent() else { return false };
            at = parent;
        }
    }

    /// Finds the entry `name` (not `.` or `..`). ENOENT, ENAMETOOLONG, ENOTDIR.
    #[inline(always)]
    pub(super) fn child(self: &Arc<Self>, name: Name<'_>) -> Result<Arc<Dentry>> {
        match self.known_child(name) {
            Some(known) => known.ok_or(Errno::ENOENT),
            None => self.unknown_child(name.bytes),
        }
    }

    #[cold]
    fn unknown_child(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Dentry>> {
        Errno::ENAMETOOLONG.when(name.len() > NAME_LIMIT)?;
        let _changes = self.changes.lock();
        self.child_locked(Name::first(name))?.ok_or(Errno::ENOENT)
    }

    /// Finds the entry `name` with `changes` held; `None` if there is none. ENOENT if this directory was removed.
    pub(super) fn child_locked(self: &Arc<Self>, name: Name<'_>) -> Result<Option<Arc<Dentry>>> {
        if let Some(known) = self.known_child(name) {
            return Ok(known);
        }
        Errno::ENAMETOOLONG.when(name.bytes.len() > NAME_LIMIT)?;
        Errno::ENOENT.when(self.is_removed())?;
        match self.inode.look_up(name.bytes) {
            Ok(inode) => Ok(Some(self.add_child(name, inode))),
            Err(Errno::ENOENT) => {
                self.remember_absent(name);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the entry of an inode that the file system just made or found under `name`; `changes` is held.
    pub(super) fn add_child(self: &Arc<Self>, name: Name<'_>, inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let child = Dentry::make(inode, self.caches_names, Some(self.clone()), name.bytes, false);
        self.insert_child(name, &child);
        child
    }

    /// Marks the entry's `name` in `parent` as gone; `changes` of that is held.
    pub(super) fn forget(self: &Arc<Self>, parent: &Dentry, name: Name<'_>) {
        self.mark_removed();
        parent.remember_absent(name);
    }

    /// Marks an entry that has another in its place as gone.
    pub(super) fn mark_removed(&self) {
        self.is_removed.store(true, Ordering::Release);
        // A removed directory has no children any more; what is left are notes about absent names.
        let children = core::mem::take(&mut *self.children.lock());
        drop(children);
    }

    /// Moves the entry to `name` in `parent` (rename(2)); `changes` of both parents are held. What had that name is
    /// no longer found; the caller marks it as removed, or moves it.
    pub(super) fn move_to(self: &Arc<Self>, parent: &Arc<Dentry>, name: Name<'_>) {
        // First the new name: "there is no point at which another process attempting to access newpath will find it
        // missing".
        parent.insert_child(name, self);
        let old = {
            let mut place = self.place.lock();
            let old_name = core::mem::replace(&mut place.name, name.bytes.into());
            (place.parent.replace(parent.clone()), old_name)
        };
        if let (Some(old_parent), old_name) = old {
            let old_name = Name::first(&old_name);
            let is_still_there =
                old_parent.known_child(old_name).flatten().is_some_and(|child| Arc::ptr_eq(&child, self));
            if is_still_there {
                old_parent.remember_absent(old_name);
            }
        }
    }

    /// Lets go of all entries below, so that their circles of references end: the volume is not used any more.
    pub(super) fn prune(&self) {
        let mut waiting: Vec<Children> = alloc::vec![core::mem::take(&mut *self.children.lock())];
        while let Some(children) = waiting.pop() {
            for child in children.entries.into_values().flatten() {
                waiting.push(core::mem::take(&mut *child.children.lock()));
            }
        }
    }

    #[inline(always)]
    fn known_child(&self, name: Name<'_>) -> Option<Option<Arc<Dentry>>> {
        self.children.lock().entries.get(name).cloned()
    }

    /// Lets the entry be found under `name`, instead of what was; `changes` is held.
    pub(super) fn insert_child(self: &Arc<Self>, name: Name<'_>, child: &Arc<Dentry>) {
        if !self.caches_names && !child.is_mount_point() {
            return;
        }
        let before = {
            let mut children = self.children.lock();
            let before = children.entries.insert(name, || name.bytes.into(), Some(child.clone()));
            if let Some(None) = before {
                children.absent -= 1;
            }
            before
        };
        drop(before);
    }

    fn remember_absent(&self, name: Name<'_>) {
        let before = {
            let mut children = self.children.lock();
            if self.caches_names && !self.is_removed() {
                if children.absent >= ABSENT_LIMIT {
                    children.entries.retain(Option::is_some);
                    children.absent = 0;
                }
                let before = children.entries.insert(name, || name.bytes.into(), None);
                if !matches!(before, Some(None)) {
                    children.absent += 1;
                }
                before
            } else {
                children.entries.remove(name)
            }
        };
        drop(before);
    }
}

impl Drop for Dentry {
    /// Tells who watches a file that its last name and its last user are gone.
    ///
    /// Lets go of the directories above one after the other: a chain of removed directories may be as long as a program
    /// likes, and dropping each inside the one below would overrun the stack.
    fn drop(&mut self) {
        if self.is_removed()
            && notice::is_anybody_watching()
            && (self.is_directory() || self.inode.metadata().links == 0)
        {
            inotify::tell_gone(&self.inode, Notice::DELETE_SELF);
        }
        let mut next = self.place.lock().parent.take();
        while let Some(entry) = next {
            next = Arc::into_inner(entry).and_then(|last| last.place.lock().parent.take());
        }
    }
}
