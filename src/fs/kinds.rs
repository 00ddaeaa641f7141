//! The file system types that mount(2) knows by name: the rooms above add theirs (/proc, /sys) when they start.

use super::tmpfs::{Options, Tmpfs};
use super::{Volume, devfs};
use crate::errno::{Errno, Result};
use crate::file::DeviceNumber;
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU32, Ordering};

/// Makes or finds the volume for a mount of `source` with `options`: `make(source, options)`.
pub(crate) type MakeVolume = fn(&[u8], &[u8]) -> Result<Arc<Volume>>;

static KINDS: SpinLock<BTreeMap<&'static str, MakeVolume>> = SpinLock::new(Rank::Registry, BTreeMap::new());

static NEXT_ANONYMOUS: AtomicU32 = AtomicU32::new(1);

/// Adds a file system type. None of the present ones needs a device (`nodev` in /proc/filesystems).
pub(crate) fn register(name: &'static str, make: MakeVolume) {
    KINDS.lock().insert(name, make);
}

/// Returns the names of all types.
pub(crate) fn names() -> Vec<&'static str> {
    KINDS.lock().keys().copied().collect()
}

/// Makes or finds the volume for a mount. "ENODEV filesystemtype not configured in the kernel" (mount(2)).
pub(super) fn make_volume(kind: &[u8], source: &[u8], options: &[u8]) -> Result<Arc<Volume>> {
    let name = core::str::from_utf8(kind).map_err(|_| Errno::ENODEV)?;
    let make = KINDS.lock().get(name).copied().ok_or(Errno::ENODEV)?;
    make(source, options)
}

/// Adds the types of this room.
pub(super) fn register_own() {
    register("tmpfs", |_, options| Ok(Volume::new(Tmpfs::new("tmpfs", Options::parse(options)?))));
    register("ramfs", |_, options| {
        let options = Options { size_pages: Some(0), inodes: Some(0), ..Options::parse(options)? };
        Ok(Volume::new(Tmpfs::new("ramfs", options)))
    });
    register("devtmpfs", |_, _| Ok(devfs::volume()));
}

/// Returns a new device number for a file system without a device (major 0).
pub(crate) fn next_anonymous_device() -> DeviceNumber {
    DeviceNumber { major: 0, minor: NEXT_ANONYMOUS.fetch_add(1, Ordering::Relaxed) }
}
