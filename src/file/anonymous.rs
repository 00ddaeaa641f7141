//! What stat(2) shows of files that no file system holds: pipes, epoll instances, eventfds and the like.

use super::{DeviceNumber, FileKind, Metadata};
use crate::machine::time;
use core::sync::atomic::{AtomicU64, Ordering};

/// The device number of pipes: Linux's pipefs, an unnamed device.
const PIPE_DEVICE: DeviceNumber = DeviceNumber { major: 0, minor: 14 };

/// The device number of the one inode behind epoll, eventfd, timerfd, … (Linux's anon_inodefs).
const ANONYMOUS_DEVICE: DeviceNumber = DeviceNumber { major: 0, minor: 15 };

/// Returns an inode number for a new file without a file system, never given before.
pub(crate) fn next_inode() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(2);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns the metadata of a pipe (or, as sockets, any file with a number of its own), made now by `uid` and `gid`.
pub(crate) fn pipe_metadata(uid: u32, gid: u32) -> Metadata {
    let now = time::wall_ns() as i64;
    Metadata { uid, gid, ..Metadata::new(PIPE_DEVICE, next_inode(), FileKind::Fifo, 0o600, now) }
}

/// Returns the metadata that all anonymous inodes share: Linux shows mode 0600 without a file type; `Regular` is
/// nearest, and no program looks.
pub(crate) fn metadata() -> Metadata {
    Metadata::new(ANONYMOUS_DEVICE, 1, FileKind::Regular, 0o600, 0)
}
