//! rename(2) and renameat2(2).

use super::permission::{self, Access};
use super::walk::{Last, Walk};
use super::{Dentry, Path, View, inotify, open};
use crate::errno::{Errno, Result};
use crate::file::Notice;
use crate::machine::task::Mutex;
use crate::rank::Rank;
use alloc::sync::Arc;
use bitflags::bitflags;

bitflags! {
    /// What renameat2(2) does with an existing new name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct RenameFlags: u32 {
        /// EEXIST if the new name exists.
        const NO_REPLACE = 1;
        /// The two names change places.
        const EXCHANGE = 2;
    }
}

/// Held while a rename changes who is whose parent, so that no two renames make a circle together.
static TREE_SHAPE: Mutex<()> = Mutex::new(Rank::Rename, ());

impl View {
    /// Renames `old_name` of this view to `new_name` of `new_view` (the same caller, maybe another start).
    pub(crate) fn rename(&self, old_name: &[u8], new_view: &View, new_name: &[u8], flags: RenameFlags) -> Result {
        let (old, new) = (Walk::new(self, old_name)?.enter_parent()?, Walk::new(new_view, new_name)?.enter_parent()?);
        let (old, new) = (old.parent(), new.parent());
        Errno::EXDEV.when(!Arc::ptr_eq(&old.place.mount, &new.place.mount))?;
        let Last::Name(old_last) = old.last else { return Err(Errno::EBUSY) };
        let Last::Name(new_last) = new.last else {
            return Err(if flags.contains(RenameFlags::NO_REPLACE) { Errno::EEXIST } else { Errno::EBUSY });
        };
        old.place.require_writable()?;

        let target = {
            let is_same_directory = Arc::ptr_eq(&old.place.entry, &new.place.entry);
            let _shape = (!is_same_directory).then(|| TREE_SHAPE.lock());
            let (first, second) = locking_order(&old.place.entry, &new.place.entry);
            let _first_changes = first.changes.lock();
            let _second_changes = second.map(|second| second.changes.lock_nested());

            let source = old.place.entry.child_locked(old_last)?.ok_or(Errno::ENOENT)?;
            let target = new.place.entry.child_locked(new_last)?;
            let exchange = flags.contains(RenameFlags::EXCHANGE);
            match &target {
                Some(_) if flags.contains(RenameFlags::NO_REPLACE) => return Err(Errno::EEXIST),
                None if exchange => return Err(Errno::ENOENT),
                Some(target) if exchange && !target.is_directory() && new.has_slash => return Err(Errno::ENOTDIR),
                _ => {}
            }
            Errno::ENOTDIR.when(!source.is_directory() && (old.has_slash || (!exchange && new.has_slash)))?;
            Errno::EINVAL.when(new.place.entry.is_inside(&source))?;
            if target.as_ref().is_some_and(|target| old.place.entry.is_inside(target)) {
                return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
            }
            let is_same_file =
                target.as_ref().is_some_and(|target| open::is_same_inode(target.inode(), source.inode()));
            if is_same_file {
                // "If oldpath and newpath are existing hard links referring to the same file, then rename() does
                // nothing, and returns a success status."
                return Ok(());
            }
            self.check_rename(old.place, &source, new.place, target.as_ref(), exchange)?;

            let new_parent = new.place.entry.inode();
            // A directory that goes must not get an entry meanwhile.
            let target_changes = target
                .as_ref()
                .filter(|target| target.is_directory() && !exchange)
                .map(|target| target.changes.lock_nested());
            old.place.entry.inode().rename(old_last.bytes, new_parent, new_last.bytes, exchange)?;
            match &target {
                Some(target) if exchange => {
                    // Neither name is missing meanwhile.
                    old.place.entry.insert_child(old_last, target);
                    source.move_to(&new.place.entry, new_last);
                    target.move_to(&old.place.entry, old_last);
                }
                Some(target) => {
                    source.move_to(&new.place.entry, new_last);
                    target.mark_removed();
                }
                None => source.move_to(&new.place.entry, new_last),
            }
            drop(target_changes);
            let (old_directory, new_directory) = (&old.place.entry, &new.place.entry);
            inotify::tell_rename(old_directory, old_last.bytes, new_directory, new_last.bytes, &source);
            match &target {
                Some(target) if flags.contains(RenameFlags::EXCHANGE) => {
                    inotify::tell_rename(new_directory, new_last.bytes, old_directory, old_last.bytes, target);
                }
                Some(target) => inotify::tell_of(target.inode(), Notice::ATTRIBUTES),
                None => {}
            }
            target
        };
        // The last use of a big file frees its pages: not with directories locked.
        drop(target);
        Ok(())
    }

    fn check_rename(
        &self, old_parent: &Path, source: &Arc<Dentry>, new_parent: &Path, target: Option<&Arc<Dentry>>, exchange: bool,
    ) -> Result {
        old_parent.require_may_remove(&self.identity, &**source.inode())?;
        match target {
            None => new_parent.require_may_create(&self.identity)?,
            Some(target) => {
                new_parent.require_may_remove(&self.identity, &**target.inode())?;
                Errno::ENOTDIR.when(!exchange && source.is_directory() && !target.is_directory())?;
                Errno::EISDIR.when(!exchange && !source.is_directory() && target.is_directory())?;
            }
        }
        // A directory that changes its parent is written to: its `..` changes.
        if !Arc::ptr_eq(&old_parent.entry, &new_parent.entry) {
            for moved in core::iter::once(source).chain(target.filter(|_| exchange)) {
                if moved.is_directory() {
                    permission::check(&self.identity, &**moved.inode(), Access::WRITE)?;
                }
            }
        }
        let is_busy = source.is_mount_point() || target.is_some_and(|target| target.is_mount_point());
        if is_busy { Err(Errno::EBUSY) } else { Ok(()) }
    }
}

/// Returns two directories in the order in which to lock them: the one above first, else by address; one if they
/// are the same.
fn locking_order<'a>(one: &'a Arc<Dentry>, other: &'a Arc<Dentry>) -> (&'a Arc<Dentry>, Option<&'a Arc<Dentry>>) {
    if Arc::ptr_eq(one, other) {
        return (one, None);
    }
    let one_first = if other.is_inside(one) {
        true
    } else if one.is_inside(other) {
        false
    } else {
        Arc::as_ptr(one) < Arc::as_ptr(other)
    };
    if one_first { (one, Some(other)) } else { (other, Some(one)) }
}
