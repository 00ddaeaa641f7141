//! Listing directories: getdents.

use super::argument::Fd;
use super::context::Ctx;
use crate::errno::{Errno, Result};
use crate::file::{DirectoryEntry, FileKind, StatusFlags};
use crate::vm::UserPtr;
use alloc::vec::Vec;

/// The most bytes collected at a time; a program that gives more room calls again.
const PIECE: usize = 1 << 15;

/// Bytes before the name in struct linux_dirent64, and in the older struct linux_dirent.
const HEADER_64: usize = 19;
const HEADER: usize = 18;

/// getdents64(2).
pub(crate) fn getdents64(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, size: u32) -> Result<usize> {
    list(ctx, fd, buffer, size, |entry, bytes, room| {
        let length = (HEADER_64 + entry.name.len() + 1).next_multiple_of(8);
        if length > room {
            return false;
        }
        let end = bytes.len() + length;
        put_start(bytes, entry, length);
        bytes.push(type_number(entry.kind));
        bytes.extend_from_slice(&entry.name);
        bytes.resize(end, 0);
        true
    })
}

/// getdents(2), the older one: the type stands in each record's last byte.
pub(crate) fn getdents(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, size: u32) -> Result<usize> {
    list(ctx, fd, buffer, size, |entry, bytes, room| {
        let length = (HEADER + entry.name.len() + 2).next_multiple_of(8);
        if length > room {
            return false;
        }
        let end = bytes.len() + length;
        put_start(bytes, entry, length);
        bytes.extend_from_slice(&entry.name);
        bytes.resize(end - 1, 0);
        bytes.push(type_number(entry.kind));
        true
    })
}

/// Collects records by `put(entry, bytes, room)` until one does not fit. "EINVAL Result buffer is too small."
fn list(
    ctx: &Ctx<'_>,
    fd: Fd,
    buffer: UserPtr<'_, u8>,
    size: u32,
    put: impl Fn(&DirectoryEntry, &mut Vec<u8>, usize) -> bool,
) -> Result<usize> {
    let file = ctx.file(fd)?;
    if file.flags().contains(StatusFlags::PATH) {
        return Err(Errno::EBADF);
    }
    let size = (size as usize).min(PIECE);
    let mut bytes = Vec::with_capacity(size);
    let mut is_too_small = false;
    file.read_directory(&mut |entry| {
        let room = size - bytes.len();
        let is_put = put(entry, &mut bytes, room);
        is_too_small = !is_put && bytes.is_empty();
        is_put
    })?;
    if is_too_small {
        return Err(Errno::EINVAL);
    }
    buffer.slice(bytes.len())?.write_all(&bytes)?;
    Ok(bytes.len())
}

/// Puts inode number, position after the entry, and the record's length.
fn put_start(bytes: &mut Vec<u8>, entry: &DirectoryEntry, length: usize) {
    bytes.extend_from_slice(&entry.inode.to_ne_bytes());
    bytes.extend_from_slice(&entry.next.to_ne_bytes());
    bytes.extend_from_slice(&(length as u16).to_ne_bytes());
}

/// Returns d_type: the type bits of st_mode, moved down (DT_*).
fn type_number(kind: FileKind) -> u8 {
    (kind.mode_bits() >> 12) as u8
}
