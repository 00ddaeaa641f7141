//! Names in the file tree: open, create, link, rename, remove, change attributes; working directory and root.

use super::argument::{At, AtFlags, Fd, NotFollowed, UserStr};
use super::context::Ctx;
use super::file::{CLOSE_ON_EXEC, reserve};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, FileKind, OpenFile, StatusFlags};
use crate::fs::{
    Access, Capabilities, Identity, KNOWN_FLAGS, NewNode, PATH_LIMIT, Path, RenameFlags, Restrictions, View,
    check_flags, path_of,
};
use crate::vm::{UserPtr, UserString};
use alloc::sync::Arc;
use linux_raw_sys::general::{AT_EACCESS, AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW};

/// O_CREAT and the bit of O_TMPFILE that no other flag has.
const CREATES: u32 = 0o100 | 0o20000000;

/// Reads a path. EFAULT, ENAMETOOLONG.
#[inline(always)]
pub(super) fn read_name<'a>(name: UserStr<'_>, buffer: &'a mut UserString) -> Result<&'a [u8]> {
    name.read_short_string(PATH_LIMIT, buffer)
}

/// Returns the view for `name` from `directory`, which an absolute name ignores and an empty one never reaches.
#[inline]
pub(super) fn view_for(ctx: &Ctx<'_>, directory: Fd, name: &[u8]) -> Result<View> {
    let first = *name.first().ok_or(Errno::ENOENT)?;
    ctx.view(if first == b'/' { Fd::CURRENT } else { directory })
}

/// What a call with AT_EMPTY_PATH works on.
pub(super) enum Target {
    Place(Path),
    /// An open file that never had a place: a pipe, a socket.
    File(Arc<OpenFile>),
}

/// Returns the view for a name, and the name. EFAULT, ENAMETOOLONG, ENOENT, EBADF.
pub(super) fn read_at<'a>(ctx: &Ctx<'_>, at: At<'_>, buffer: &'a mut UserString) -> Result<(View, &'a [u8])> {
    let name = read_name(at.name, buffer)?;
    Ok((view_for(ctx, at.directory, name)?, name))
}

/// Finds what `directory`, `name` and the AT_* `flags` mean.
#[inline(always)]
pub(super) fn find(ctx: &Ctx<'_>, directory: Fd, name: &[u8], flags: u32) -> Result<Target> {
    if name.is_empty() && flags & AT_EMPTY_PATH != 0 {
        return find_open(ctx, directory);
    }
    view_for(ctx, directory, name)?.look_up(name, flags & AT_SYMLINK_NOFOLLOW == 0).map(Target::Place)
}

/// Finds what `directory` means by itself.
#[inline(never)]
fn find_open(ctx: &Ctx<'_>, directory: Fd) -> Result<Target> {
    if directory == Fd::CURRENT {
        return Ok(Target::Place(ctx.thread().view().start().clone()));
    }
    let file = ctx.file(directory)?;
    Ok(path_of(&file).map_or(Target::File(file), Target::Place))
}

/// Like `find`, for calls that change or ask for what only files with a place have.
pub(super) fn find_place(ctx: &Ctx<'_>, at: At<'_>, flags: u32) -> Result<(View, Path)> {
    match find(ctx, at.directory, read_name(at.name, &mut UserString::new())?, flags)? {
        Target::Place(path) => Ok((ctx.thread().view(), path)),
        Target::File(_) => Err(Errno::EINVAL),
    }
}

/// An argument that names a file: calls that differ only in how they name it are one function.
pub(crate) trait Subject {
    /// Returns the file's place.
    fn place(self, ctx: &Ctx<'_>) -> Result<(View, Path)>;
}

impl Subject for At<'_> {
    fn place(self, ctx: &Ctx<'_>) -> Result<(View, Path)> {
        find_place(ctx, self, 0)
    }
}

impl Subject for NotFollowed<'_> {
    fn place(self, ctx: &Ctx<'_>) -> Result<(View, Path)> {
        find_place(ctx, self.0, AT_SYMLINK_NOFOLLOW)
    }
}

impl Subject for Fd {
    fn place(self, ctx: &Ctx<'_>) -> Result<(View, Path)> {
        place_of(ctx, self)
    }
}

/// Returns the place of an open file, for the `f…` calls. EBADF (also for O_PATH); EINVAL for what has none.
pub(super) fn place_of(ctx: &Ctx<'_>, fd: Fd) -> Result<(View, Path)> {
    let file = ctx.file(fd)?;
    Errno::EBADF.when(file.flags().contains(StatusFlags::PATH))?;
    Ok((ctx.thread().view(), path_of(&file).ok_or(Errno::EINVAL)?))
}

/// creat(2): O_CREAT|O_WRONLY|O_TRUNC.
pub(crate) fn creat(ctx: &Ctx<'_>, name: UserStr<'_>, mode: u32) -> Result<usize> {
    open(ctx, At::here(name), 0o1101, mode)
}

/// open(2), openat(2).
pub(crate) fn open(ctx: &Ctx<'_>, at: At<'_>, flags: u32, mode: u32) -> Result<usize> {
    check_flags(flags)?;
    let buffer = &mut UserString::new();
    let name = read_name(at.name, buffer)?;
    Errno::ENOENT.when(name.is_empty())?;
    let fd = reserve(ctx)?;
    let file = view_for(ctx, at.directory, name)?.open(name, flags, mode)?;
    Ok(fd.fill(file, flags & CLOSE_ON_EXEC != 0) as usize)
}

/// openat2(2): unknown flags are errors here, and how names resolve can be restricted.
pub(crate) fn openat2(ctx: &Ctx<'_>, at: At<'_>, how: UserPtr<'_, [u64; 3]>, size: usize) -> Result<usize> {
    /// "EAGAIN … not all path components were in the cache": which of them are is not asked for here.
    const RESOLVE_CACHED: u64 = 0x20;
    Errno::EINVAL.when(size < size_of::<[u64; 3]>())?;
    let [flags, mode, resolve] = how.read()?;
    for extra in (size_of::<[u64; 3]>()..size.min(4096)).map(|offset| how.cast::<u8>().add(offset)) {
        Errno::E2BIG.when(extra.read()? != 0)?;
    }
    let known = u64::from(KNOWN_FLAGS);
    let has_mode = flags & u64::from(CREATES) != 0;
    Errno::EINVAL.when(flags & !known != 0 || mode & !0o7777 != 0 || mode != 0 && !has_mode)?;
    let restrictions = Restrictions::from_bits(resolve & !RESOLVE_CACHED).ok_or(Errno::EINVAL)?;
    Errno::EINVAL.when(restrictions.contains(Restrictions::BENEATH | Restrictions::IN_ROOT))?;
    Errno::EAGAIN.when(resolve & RESOLVE_CACHED != 0)?;
    check_flags(flags as u32)?;
    let buffer = &mut UserString::new();
    let name = read_name(at.name, buffer)?;
    Errno::ENOENT.when(name.is_empty())?;
    let fd = reserve(ctx)?;
    let mut view = if restrictions.is_empty() { view_for(ctx, at.directory, name)? } else { ctx.view(at.directory)? };
    if restrictions.contains(Restrictions::IN_ROOT) {
        view = view.rooted_at_start();
    }
    let file = view.open_restricted(name, flags as u32, mode as u32, restrictions)?;
    Ok(fd.fill(file, flags as u32 & CLOSE_ON_EXEC != 0) as usize)
}

/// access(2), faccessat(2), faccessat2(2): with the real ids, unless AT_EACCESS.
pub(crate) fn access(ctx: &Ctx<'_>, at: At<'_>, mode: u32, AtFlags(flags): AtFlags) -> Result {
    let access = Access::from_bits(mode).ok_or(Errno::EINVAL)?;
    Errno::EINVAL.when(flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)?;
    let buffer = &mut UserString::new();
    let name = read_name(at.name, buffer)?;
    if name.is_empty() && flags & AT_EMPTY_PATH != 0 {
        return match find(ctx, at.directory, name, flags)? {
            Target::Place(path) => with_access_ids(ctx.thread().view(), flags).check_access(&path, access),
            Target::File(_) => Ok(()),
        };
    }
    let view = with_access_ids(view_for(ctx, at.directory, name)?, flags);
    let path = view.look_up(name, flags & AT_SYMLINK_NOFOLLOW == 0)?;
    view.check_access(&path, access)
}

/// Returns the view as access(2) checks: with the real ids, and root's capabilities only for the real root.
fn with_access_ids(mut view: View, flags: u32) -> View {
    let identity = &view.identity;
    let is_same = identity.uid == identity.fsuid && identity.gid == identity.fsgid && identity.uid != 0;
    if flags & AT_EACCESS != 0 || is_same && identity.effective.is_empty() {
        return view;
    }
    let effective = if identity.uid == 0 { identity.permitted } else { Capabilities::empty() };
    let real = Identity { fsuid: identity.uid, fsgid: identity.gid, effective, ..Identity::clone(identity) };
    view.identity = Arc::new(real);
    view
}

/// mkdir(2), mkdirat(2).
pub(crate) fn mkdir(ctx: &Ctx<'_>, at: At<'_>, mode: u32) -> Result {
    create(ctx, at, NewNode::Directory, mode & 0o1777)
}

/// mknod(2), mknodat(2).
pub(crate) fn mknod(ctx: &Ctx<'_>, at: At<'_>, mode: u32, device: u32) -> Result {
    let number = DeviceNumber { major: device >> 8 & 0xfff, minor: device & 0xff | device >> 12 & 0xf_ff00 };
    let node = match mode & 0o170000 {
        0 | 0o100000 => NewNode::Regular,
        0o020000 => NewNode::Device(FileKind::CharacterDevice, number),
        0o060000 => NewNode::Device(FileKind::BlockDevice, number),
        0o010000 => NewNode::Fifo,
        0o140000 => NewNode::Socket,
        0o040000 => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    create(ctx, at, node, mode & 0o7777)
}

/// symlink(2), symlinkat(2).
pub(crate) fn symlink(ctx: &Ctx<'_>, target: UserStr<'_>, at: At<'_>) -> Result {
    let target = target.read_string(PATH_LIMIT)?;
    Errno::ENOENT.when(target.is_empty())?;
    create(ctx, at, NewNode::Symlink(target), 0o777)
}

fn create(ctx: &Ctx<'_>, at: At<'_>, node: NewNode, mode: u32) -> Result {
    let buffer = &mut UserString::new();
    let (view, name) = read_at(ctx, at, buffer)?;
    view.create(name, node, mode)?;
    Ok(())
}

/// link(2), linkat(2).
pub(crate) fn link(ctx: &Ctx<'_>, old: At<'_>, new: At<'_>, AtFlags(flags): AtFlags) -> Result {
    Errno::EINVAL.when(flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0)?;
    // "AT_EMPTY_PATH … the caller must have the CAP_DAC_READ_SEARCH capability" (ENOENT without).
    Errno::ENOENT.when(flags & AT_EMPTY_PATH != 0 && !ctx.thread().identity().can(Capabilities::DAC_READ_SEARCH))?;
    let follow = if flags & AT_SYMLINK_FOLLOW == 0 { AT_SYMLINK_NOFOLLOW } else { 0 };
    let buffers = (&mut UserString::new(), &mut UserString::new());
    let (old_name, new_name) = (read_name(old.name, buffers.0)?, read_name(new.name, buffers.1)?);
    let target = match find(ctx, old.directory, old_name, follow | flags & AT_EMPTY_PATH)? {
        Target::Place(path) => path,
        Target::File(_) => return Err(Errno::EXDEV),
    };
    view_for(ctx, new.directory, new_name)?.link(&target, new_name)
}

/// rmdir(2).
pub(crate) fn rmdir(ctx: &Ctx<'_>, name: UserStr<'_>) -> Result {
    unlink(ctx, At::here(name), AtFlags(AT_REMOVEDIR))
}

/// unlink(2), unlinkat(2).
pub(crate) fn unlink(ctx: &Ctx<'_>, at: At<'_>, AtFlags(flags): AtFlags) -> Result {
    Errno::EINVAL.when(flags & !AT_REMOVEDIR != 0)?;
    let buffer = &mut UserString::new();
    let (view, name) = read_at(ctx, at, buffer)?;
    if flags & AT_REMOVEDIR != 0 {
        view.remove_directory(name)?
    } else {
        view.unlink(name)?
    }
    Ok(())
}

/// rename(2), renameat(2), renameat2(2). RENAME_WHITEOUT is for overlay file systems, which there are none of: EINVAL.
pub(crate) fn rename(ctx: &Ctx<'_>, old: At<'_>, new: At<'_>, AtFlags(flags): AtFlags) -> Result {
    let flags = RenameFlags::from_bits(flags).filter(|flags| !flags.is_all()).ok_or(Errno::EINVAL)?;
    let buffers = (&mut UserString::new(), &mut UserString::new());
    let (old_name, new_name) = (read_name(old.name, buffers.0)?, read_name(new.name, buffers.1)?);
    let old_view = view_for(ctx, old.directory, old_name)?;
    let new_view = view_for(ctx, new.directory, new_name)?;
    old_view.rename(old_name, &new_view, new_name, flags)
}

/// readlink(2), readlinkat(2): an empty name means the link that the directory's descriptor was opened on.
pub(crate) fn readlink(ctx: &Ctx<'_>, at: At<'_>, buffer: UserPtr<'_, u8>, size: i32) -> Result<usize> {
    let size = usize::try_from(size).ok().filter(|size| *size > 0).ok_or(Errno::EINVAL)?;
    let name = &mut UserString::new();
    let name = read_name(at.name, name)?;
    let path = match find(ctx, at.directory, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)? {
        Target::Place(path) if !name.is_empty() || path.entry().kind() == FileKind::Symlink => path,
        _ => return Err(Errno::ENOENT),
    };
    let text = path.inode().read_link()?;
    let length = text.len().min(size);
    buffer.destination(length)?.put(&text[..length])
}

/// truncate(2).
pub(crate) fn truncate(ctx: &Ctx<'_>, name: UserStr<'_>, size: i64) -> Result {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let (view, path) = find_place(ctx, At::here(name), 0)?;
    view.truncate(&path, size)
}

/// getcwd(2): returns the length with the NUL.
pub(crate) fn getcwd(ctx: &Ctx<'_>, buffer: UserPtr<'_, u8>, size: usize) -> Result<usize> {
    let (places, _) = ctx.thread().places();
    let name = places.working.full_name(&places.root);
    Errno::ENOENT.when(name.is_removed)?;
    let mut text = name.bytes;
    if !name.is_reachable {
        text.splice(..0, *b"(unreachable)");
    }
    text.push(0);
    Errno::ENAMETOOLONG.when(text.len() > PATH_LIMIT)?;
    Errno::ERANGE.when(text.len() > size)?;
    buffer.slice(text.len())?.write_all(&text)?;
    Ok(text.len())
}

/// chdir(2).
pub(crate) fn chdir(ctx: &Ctx<'_>, name: UserStr<'_>) -> Result {
    let (view, path) = find_place(ctx, At::here(name), 0)?;
    require_directory(&view, &path)?;
    ctx.thread().shared_directories().set_working(path);
    Ok(())
}

/// fchdir(2).
pub(crate) fn fchdir(ctx: &Ctx<'_>, fd: Fd) -> Result {
    let file = ctx.file(fd)?;
    let path = path_of(&file).ok_or(Errno::ENOTDIR)?;
    require_directory(&ctx.thread().view(), &path)?;
    ctx.thread().shared_directories().set_working(path);
    Ok(())
}

/// chroot(2).
pub(crate) fn chroot(ctx: &Ctx<'_>, name: UserStr<'_>) -> Result {
    let (view, path) = find_place(ctx, At::here(name), 0)?;
    require_directory(&view, &path)?;
    Errno::EPERM.when(!view.identity.can(Capabilities::SYS_CHROOT))?;
    ctx.thread().shared_directories().set_root(path);
    Ok(())
}

fn require_directory(view: &View, path: &Path) -> Result {
    Errno::ENOTDIR.when(!path.entry().is_directory())?;
    path.check(&view.identity, Access::EXECUTE)
}

/// umask(2).
pub(crate) fn umask(ctx: &Ctx<'_>, mask: u32) -> Result<usize> {
    Ok(ctx.thread().shared_directories().set_umask(mask) as usize)
}
