//! Who may do what: the checks of path_resolution(7), "Permissions", and the capabilities that pass them.

use super::{Capabilities, Identity, Inode, MountFlags, Path};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use bitflags::bitflags;

bitflags! {
    /// What is asked for, numbered as access(2) does.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Access: u32 {
        const EXECUTE = 1;
        const WRITE = 2;
        const READ = 4;
    }
}

/// The sticky bit, set-group-ID and set-user-ID.
pub(crate) const STICKY: u32 = 0o1000;
pub(crate) const SET_GID: u32 = 0o2000;
pub(crate) const SET_UID: u32 = 0o4000;

/// What permission checks need to know of an inode: a small part of its metadata, cheap to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ownership {
    pub(crate) permissions: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Checks `access` to an inode by its permission bits: EACCES. Mount flags are not looked at.
#[inline]
pub(crate) fn check(identity: &Identity, inode: &dyn Inode, access: Access) -> Result {
    let ownership = inode.ownership();
    // What owner, group and others may all do, anybody may.
    let by_all = access.bits() * 0o111;
    if ownership.permissions & by_all == by_all { Ok(()) } else { check_asker(identity, inode, access, ownership) }
}

#[inline(never)]
fn check_asker(identity: &Identity, inode: &dyn Inode, access: Access, ownership: Ownership) -> Result {
    let shift = if identity.fsuid == ownership.uid {
        6
    } else if identity.is_in_group(ownership.gid) {
        3
    } else {
        0
    };
    let granted = Access::from_bits_truncate(ownership.permissions >> shift & 7);
    if granted.contains(access) {
        return Ok(());
    }

    let is_directory = inode.kind() == FileKind::Directory;
    let reads_only = !access.contains(Access::WRITE);
    if is_directory {
        if reads_only && identity.can(Capabilities::DAC_READ_SEARCH) {
            return Ok(());
        }
        if identity.can(Capabilities::DAC_OVERRIDE) {
            return Ok(());
        }
        return Err(Errno::EACCES);
    }
    if access == Access::READ && identity.can(Capabilities::DAC_READ_SEARCH) {
        return Ok(());
    }
    // Even root executes only what somebody may execute.
    let is_executable = ownership.permissions & 0o111 != 0;
    if (!access.contains(Access::EXECUTE) || is_executable) && identity.can(Capabilities::DAC_OVERRIDE) {
        return Ok(());
    }
    Err(Errno::EACCES)
}

impl Path {
    /// Checks `access` to what is here: EROFS for writing where the mount is read-only, EACCES.
    pub(crate) fn check(&self, identity: &Identity, access: Access) -> Result {
        if access.contains(Access::WRITE) && has_content(self.entry.kind()) {
            self.require_writable()?;
        }
        check(identity, &**self.entry.inode(), access)
    }

    /// EROFS if the mount is read-only.
    pub(crate) fn require_writable(&self) -> Result {
        if self.mount.flags().contains(MountFlags::READ_ONLY) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Checks that entries may be added to this directory: EROFS, ENOENT if it was removed, EACCES.
    pub(super) fn require_may_create(&self, identity: &Identity) -> Result {
        self.require_writable()?;
        Errno::ENOENT.when(self.entry.is_removed())?;
        check(identity, &**self.entry.inode(), Access::WRITE | Access::EXECUTE)
    }

    /// Checks that the entry `child` of this directory may be removed or replaced: EACCES, EPERM (sticky directory).
    pub(super) fn require_may_remove(&self, identity: &Identity, child: &dyn Inode) -> Result {
        check(identity, &**self.entry.inode(), Access::WRITE | Access::EXECUTE)?;
        let directory = self.entry.inode().ownership();
        Errno::EPERM.when(
            directory.permissions & STICKY != 0
                && identity.fsuid != child.ownership().uid
                && identity.fsuid != directory.uid
                && !identity.can(Capabilities::FOWNER),
        )?;
        Ok(())
    }
}

/// Returns whether the identity owns the inode or has CAP_FOWNER.
pub(crate) fn is_owner(identity: &Identity, inode: &dyn Inode) -> bool {
    identity.fsuid == inode.ownership().uid || identity.can(Capabilities::FOWNER)
}

/// Returns whether a read-only mount forbids writing to a file of this kind: devices, FIFOs and sockets have their
/// content elsewhere.
fn has_content(kind: FileKind) -> bool {
    matches!(kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink)
}
