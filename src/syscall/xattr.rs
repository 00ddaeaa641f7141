//! Extended attributes (xattr(7)).

use super::argument::UserStr;
use super::context::Ctx;
use super::path::Subject;
use crate::errno::{Errno, Result};
use crate::file::{FileKind, Notice, Place};
use crate::fs::{Access, Capabilities, Path, View};
use crate::vm::UserPtr;
use alloc::vec::Vec;

/// The longest name with its NUL, the greatest value and list (limits.h).
const NAME_LIMIT: usize = 256;
const SIZE_LIMIT: usize = 65536;

/// setxattr(2)'s flags.
const FLAGS: u32 = 3;

/// getxattr(2), lgetxattr(2), fgetxattr(2).
pub(crate) fn getxattr<S: Subject>(
    ctx: &Ctx<'_>, subject: S, name: UserStr<'_>, value: UserPtr<'_, u8>, size: usize,
) -> Result<usize> {
    let (view, path) = find(ctx, subject)?;
    let name = read_attribute_name(name)?;
    check(&view, &path, &name, Access::READ)?;
    give(&path.inode().get_xattr(&name)?, value, size)
}

/// setxattr(2), lsetxattr(2), fsetxattr(2).
pub(crate) fn setxattr<S: Subject>(
    ctx: &Ctx<'_>, subject: S, name: UserStr<'_>, value: UserPtr<'_, u8>, size: usize, flags: u32,
) -> Result {
    let (view, path) = find(ctx, subject)?;
    Errno::EINVAL.when(flags & !FLAGS != 0)?;
    let name = read_attribute_name(name)?;
    Errno::E2BIG.when(size > SIZE_LIMIT)?;
    let value = value.slice(size)?.read_all()?;
    path.require_writable()?;
    check(&view, &path, &name, Access::WRITE)?;
    path.inode().set_xattr(&name, &value, flags)?;
    path.tell(Notice::ATTRIBUTES);
    Ok(())
}

/// listxattr(2), llistxattr(2), flistxattr(2).
pub(crate) fn listxattr<S: Subject>(ctx: &Ctx<'_>, subject: S, list: UserPtr<'_, u8>, size: usize) -> Result<usize> {
    let (view, path) = find(ctx, subject)?;
    let is_administrator = view.identity.can(Capabilities::SYS_ADMIN);
    let mut bytes = Vec::new();
    for name in path.inode().list_xattrs()? {
        if is_administrator || !name.starts_with(b"trusted.") {
            bytes.extend_from_slice(&name);
            bytes.push(0);
        }
    }
    give(&bytes, list, size)
}

/// removexattr(2), lremovexattr(2), fremovexattr(2).
pub(crate) fn removexattr<S: Subject>(ctx: &Ctx<'_>, subject: S, name: UserStr<'_>) -> Result {
    let (view, path) = find(ctx, subject)?;
    let name = read_attribute_name(name)?;
    path.require_writable()?;
    check(&view, &path, &name, Access::WRITE)?;
    path.inode().remove_xattr(&name)?;
    path.tell(Notice::ATTRIBUTES);
    Ok(())
}

/// Files without a place (pipes, sockets) have no extended attributes.
fn find(ctx: &Ctx<'_>, subject: impl Subject) -> Result<(View, Path)> {
    subject.place(ctx).map_err(|error| if error == Errno::EINVAL { Errno::EOPNOTSUPP } else { error })
}

/// Reads an attribute's name. "ERANGE The size of name is too long" or zero.
fn read_attribute_name(name: UserStr<'_>) -> Result<Vec<u8>> {
    let name = name.read_string(NAME_LIMIT);
    let name = name.map_err(|error| if error == Errno::ENAMETOOLONG { Errno::ERANGE } else { error })?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

/// Gives out a value: with size 0 only its length. ERANGE if it does not fit.
fn give(bytes: &[u8], to: UserPtr<'_, u8>, size: usize) -> Result<usize> {
    if size == 0 {
        return Ok(bytes.len());
    }
    Errno::ERANGE.when(bytes.len() > size)?;
    to.slice(bytes.len())?.write_all(bytes)?;
    Ok(bytes.len())
}

/// Who may read and write attributes of which name space (xattr(7), "Extended attribute namespaces").
fn check(view: &View, path: &Path, name: &[u8], access: Access) -> Result {
    let is_administrator = view.identity.can(Capabilities::SYS_ADMIN);
    let writes = access.contains(Access::WRITE);
    if name.starts_with(b"trusted.") {
        return match (is_administrator, writes) {
            (true, _) => Ok(()),
            (false, true) => Err(Errno::EPERM),
            (false, false) => Err(Errno::ENODATA),
        };
    }
    if name.starts_with(b"security.") {
        return if is_administrator || !writes { Ok(()) } else { Err(Errno::EPERM) };
    }
    Errno::EOPNOTSUPP.when(!name.starts_with(b"user."))?;
    if !matches!(path.entry().kind(), FileKind::Regular | FileKind::Directory) {
        return Err(if writes { Errno::EPERM } else { Errno::ENODATA });
    }
    path.check(&view.identity, access)
}
