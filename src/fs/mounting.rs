//! mount(2), umount2(2), pivot_root(2) and statfs(2): their flags and checks over `Namespace`.

use super::{Access, Capabilities, Mount, MountFlags, Path, View, kinds, permission, start};
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::{
    MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MOVE, MS_PRIVATE, MS_REC, MS_REMOUNT, MS_SHARED, MS_SLAVE,
    MS_UNBINDABLE, UMOUNT_NOFOLLOW,
};

/// What a caller of mount(2) gives besides the target.
pub(crate) struct MountRequest<'a> {
    pub(crate) source: Option<&'a [u8]>,
    pub(crate) kind: Option<&'a [u8]>,
    pub(crate) flags: u32,
    pub(crate) options: &'a [u8],
}

impl View {
    /// mount(2).
    pub(crate) fn mount(&self, target: &[u8], request: &MountRequest<'_>) -> Result {
        let target = self.look_up(target, true)?;
        self.require_may_mount()?;
        let flags = request.flags;
        if flags & MS_REMOUNT != 0 {
            return remount(&target, request);
        }
        if flags & MS_BIND != 0 {
            let source = request.source.filter(|source| !source.is_empty()).ok_or(Errno::EINVAL)?;
            let source = self.look_up(source, true)?;
            let mount = start::namespace().copy(&source, flags & MS_REC != 0)?;
            return start::namespace().mount(&mount, &target);
        }
        if flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE) != 0 {
            return change_propagation(&target, flags);
        }
        if flags & MS_MOVE != 0 {
            let source = request.source.filter(|source| !source.is_empty()).ok_or(Errno::EINVAL)?;
            let source = self.look_up(source, true)?;
            return start::namespace().move_mount(&source, &target);
        }

        let kind = request.kind.ok_or(Errno::EINVAL)?;
        let source = request.source.unwrap_or(b"none");
        let volume = kinds::make_volume(kind, source, request.options)?;
        let is_there_already = target.is_mount_root() && Arc::ptr_eq(target.mount.volume(), &volume);
        Errno::EBUSY.when(is_there_already)?;
        let root = volume.root().clone();
        let mount = Mount::new(volume, root, source, mount_flags(flags));
        start::namespace().mount(&mount, &target)
    }

    /// umount2(2).
    pub(crate) fn unmount(&self, target: &[u8], flags: u32) -> Result {
        Errno::EINVAL.when(flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0)?;
        let target = self.look_up(target, flags & UMOUNT_NOFOLLOW == 0)?;
        self.require_may_mount()?;
        Errno::EINVAL.when(!target.is_mount_root())?;
        if flags & MNT_EXPIRE != 0 {
            // "EINVAL … MNT_EXPIRE with either MNT_DETACH or MNT_FORCE"; the first of two calls only marks.
            return Err(if flags & (MNT_FORCE | MNT_DETACH) != 0 { Errno::EINVAL } else { Errno::EAGAIN });
        }
        start::namespace().unmount(target, flags & MNT_DETACH != 0)
    }

    /// pivot_root(2).
    pub(crate) fn pivot_root(&self, new_root: &[u8], put_old: &[u8]) -> Result {
        self.require_may_mount()?;
        let new_root = self.look_up(new_root, true)?;
        let put_old = self.look_up(put_old, true)?;
        for directory in [&new_root, &put_old] {
            Errno::ENOTDIR.when(!directory.entry.is_directory())?;
            permission::check(&self.identity, &**directory.entry.inode(), Access::EXECUTE)?;
        }
        start::namespace().pivot(&new_root, &put_old)
    }

    fn require_may_mount(&self) -> Result {
        if self.identity.can(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
    }
}

/// Changes a mount's flags and, without MS_BIND, its file system's options.
fn remount(target: &Path, request: &MountRequest<'_>) -> Result {
    Errno::EINVAL.when(!target.is_mount_root())?;
    if request.flags & MS_BIND == 0 {
        target.mount.volume().file_system().remount(request.options)?;
    }
    target.mount.set_flags(mount_flags(request.flags));
    Ok(())
}

/// Makes a mount private, slave or unbindable: each is private here, for nothing is propagated between mounts in one
/// namespace. MS_SHARED is refused: a program could see that nothing is shared.
fn change_propagation(target: &Path, flags: u32) -> Result {
    let kind = flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE);
    Errno::EINVAL.when(!target.is_mount_root() || kind.count_ones() != 1 || kind == MS_SHARED)?;
    Ok(())
}

/// Returns the per-mount flags of mount(2)'s; relatime is the default since Linux 2.6.30.
fn mount_flags(flags: u32) -> MountFlags {
    let mut kept = MountFlags::from_bits_truncate(flags);
    if !kept.intersects(MountFlags::NO_ACCESS_TIMES | MountFlags::STRICT_ACCESS_TIMES) {
        kept |= MountFlags::RELATIVE_ACCESS_TIMES;
    }
    kept
}
