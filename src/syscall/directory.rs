//! Listing directories: getdents.

use super::argument::Fd;
use super::context::Ctx;
use crate::errno::{Errno, Result};
use crate::file::{DirectoryEntry, FileKind, StatusFlags};
use crate::vm::UserPtr;
use alloc::vec::Vec;

/// The most bytes collected at a time; a program that gives more room calls again.
const PIECE: usize = 1 << 15;

/// How a record is laid out, besides inode number, position after the entry and length, which stand first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// struct linux_dirent64: the type stands before the name.
    Large,
    /// struct linux_dirent: the type stands in the last byte.
    Old,
}

/// getdents64(2).
pub(crate) fn getdents64(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, size: u32) -> Result<usize> {
    list(ctx, fd, buffer, size, Format::Large)
}

/// getdents(2), the older one.
pub(crate) fn getdents(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, size: u32) -> Result<usize> {
    list(ctx, fd, buffer, size, Format::Old)
}

/// Collects records until one does not fit. "EINVAL Result buffer is too small."
fn list(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, size: u32, format: Format) -> Result<usize> {
    let file = ctx.file(fd)?;
    Errno::EBADF.when(file.flags().contains(StatusFlags::PATH))?;
    let size = (size as usize).min(PIECE);
    let mut bytes = Vec::with_capacity(size);
    let mut is_too_small = false;
    file.read_directory(&mut |entry| {
        let is_put = put(&mut bytes, size, entry, format);
        is_too_small = !is_put && bytes.is_empty();
        is_put
    })?;
    Errno::EINVAL.when(is_too_small)?;
    buffer.slice(bytes.len())?.write_all(&bytes)?;
    Ok(bytes.len())
}

/// Adds a record; `false` if there would be more than `size` bytes.
fn put(bytes: &mut Vec<u8>, size: usize, entry: DirectoryEntry<'_>, format: Format) -> bool {
    let (name_at, after_name) = match format {
        Format::Large => (19, 1),
        Format::Old => (18, 2),
    };
    let length = (name_at + entry.name.len() + after_name).next_multiple_of(8);
    let start = bytes.len();
    if start + length > size {
        return false;
    }
    bytes.resize(start + length, 0);
    let record = &mut bytes[start..];
    record[..8].copy_from_slice(&entry.inode.to_ne_bytes());
    record[8..16].copy_from_slice(&entry.next.to_ne_bytes());
    record[16..18].copy_from_slice(&(length as u16).to_ne_bytes());
    record[name_at..name_at + entry.name.len()].copy_from_slice(entry.name);
    let type_at = if format == Format::Large { 18 } else { length - 1 };
    record[type_at] = type_number(entry.kind);
    true
}

/// Returns d_type: the type bits of st_mode, moved down (DT_*).
fn type_number(kind: FileKind) -> u8 {
    (kind.mode_bits() >> 12) as u8
}
