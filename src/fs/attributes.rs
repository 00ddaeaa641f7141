//! Changing attributes: chmod, chown, utimensat; who may, and which bits go with a change of owner.

use super::permission::{self, Access, SET_GID, SET_UID};
use super::{AttributeChange, Capabilities, Path, View};
use crate::errno::{Errno, Result};
use crate::file::{FileKind, Notice, Place, Timestamp};
use crate::machine::time::wall_ns;

/// A new time for utimensat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewTime {
    /// As it is (UTIME_OMIT).
    Keep,
    /// The present (UTIME_NOW).
    Now,
    At(Timestamp),
}

impl View {
    /// chmod(2): EROFS, EPERM.
    pub(crate) fn change_mode(&self, path: &Path, mode: u32) -> Result {
        path.require_writable()?;
        let inode = path.entry.inode();
        // A symbolic link has no permissions to change (fchmodat(2), AT_SYMLINK_NOFOLLOW).
        Errno::EOPNOTSUPP.when(path.entry.kind() == FileKind::Symlink)?;
        Errno::EPERM.when(!permission::is_owner(&self.identity, &**inode))?;
        let mut permissions = mode & 0o7777;
        let gid = inode.ownership().gid;
        if !self.identity.is_in_group(gid) && !self.identity.can(Capabilities::FSETID) {
            permissions &= !SET_GID;
        }
        inode.set_attributes(AttributeChange { permissions: Some(permissions), ..AttributeChange::default() })?;
        path.tell(Notice::ATTRIBUTES);
        Ok(())
    }

    /// chown(2): `None` leaves an id as it is. EROFS, EPERM.
    pub(crate) fn change_owner(&self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result {
        path.require_writable()?;
        let inode = path.entry.inode();
        let now = inode.ownership();
        let is_owner = self.identity.fsuid == now.uid;
        let may_change_owner = self.identity.can(Capabilities::CHOWN);
        if let Some(uid) = uid
            && !(may_change_owner || is_owner && uid == now.uid)
        {
            return Err(Errno::EPERM);
        }
        if let Some(gid) = gid
            && !(may_change_owner || is_owner && (self.identity.is_in_group(gid) || gid == now.gid))
        {
            return Err(Errno::EPERM);
        }
        let mut change = AttributeChange { uid, gid, ..AttributeChange::default() };
        let lost = lost_bits(now.permissions);
        if path.entry.kind() != FileKind::Directory && lost != 0 {
            change.permissions = Some(now.permissions & !lost);
        }
        if uid.is_none() && gid.is_none() && change.permissions.is_none() {
            return Ok(());
        }
        inode.set_attributes(change)?;
        path.tell(Notice::ATTRIBUTES);
        Ok(())
    }

    /// utimensat(2): EROFS, EPERM, EACCES.
    pub(crate) fn change_times(&self, path: &Path, accessed: NewTime, modified: NewTime) -> Result {
        if (accessed, modified) == (NewTime::Keep, NewTime::Keep) {
            return Ok(());
        }
        path.require_writable()?;
        let inode = path.entry.inode();
        if !permission::is_owner(&self.identity, &**inode) {
            Errno::EPERM.when((accessed, modified) != (NewTime::Now, NewTime::Now))?;
            permission::check(&self.identity, &**inode, Access::WRITE)?;
        }
        let present = now();
        let resolve = |time| match time {
            NewTime::Keep => None,
            NewTime::Now => Some(present),
            NewTime::At(time) => Some(time),
        };
        inode.set_attributes(AttributeChange {
            accessed: resolve(accessed),
            modified: resolve(modified),
            ..AttributeChange::default()
        })?;
        path.tell(match (accessed, modified) {
            (NewTime::Keep, _) => Notice::MODIFY,
            (_, NewTime::Keep) => Notice::ACCESS,
            _ => Notice::ATTRIBUTES,
        });
        Ok(())
    }
}

/// Returns the present as file times are kept.
pub(crate) fn now() -> Timestamp {
    wall_ns() as Timestamp
}

/// Returns which bits a change of owner or content takes away: set-user-ID; set-group-ID where the group may execute
/// (else it means mandatory locking and stays).
pub(super) fn lost_bits(permissions: u32) -> u32 {
    let set_gid = if permissions & 0o010 != 0 { SET_GID } else { 0 };
    permissions & (SET_UID | set_gid)
}
