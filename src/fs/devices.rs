//! Which device number stands for what: who offers a device registers it here, and a device inode on any file system
//! opens what is registered for its number. A registered device also appears in /dev by itself (`devfs`).

use super::{Identity, devfs};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, File, FileKind, StatusFlags};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::{collections::BTreeMap, sync::Arc};

/// What opens a registered device.
pub(crate) trait DeviceOpener: Send + Sync {
    /// Opens the device `number`.
    fn open(&self, number: DeviceNumber, flags: StatusFlags, identity: &Identity) -> Result<Arc<dyn File>>;
}

impl<F> DeviceOpener for F
where
    F: Fn(DeviceNumber, StatusFlags) -> Result<Arc<dyn File>> + Send + Sync,
{
    fn open(&self, number: DeviceNumber, flags: StatusFlags, _identity: &Identity) -> Result<Arc<dyn File>> {
        self(number, flags)
    }
}

/// How a device appears in /dev.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    /// The name below /dev; may contain slashes.
    pub(crate) name: &'a str,
    pub(crate) permissions: u32,
    pub(crate) gid: u32,
}

static OPENERS: SpinLock<BTreeMap<(bool, DeviceNumber), Arc<dyn DeviceOpener>>> =
    SpinLock::new(Rank::Registry, BTreeMap::new());

/// Offers a device: `kind` is CharacterDevice or BlockDevice. With a `node`, /dev gets an entry for it. May sleep.
pub(crate) fn register(number: DeviceNumber, kind: FileKind, opener: Arc<dyn DeviceOpener>, node: Option<Node<'_>>) {
    OPENERS.lock().insert((kind == FileKind::BlockDevice, number), opener);
    if let Some(node) = node {
        devfs::add_node(node, number, kind);
    }
}

/// Opens the device `number`. "ENXIO The file is a device special file and no corresponding device exists" (open(2)).
pub(super) fn open(
    kind: FileKind, number: DeviceNumber, flags: StatusFlags, identity: &Identity,
) -> Result<Arc<dyn File>> {
    let opener = OPENERS.lock().get(&(kind == FileKind::BlockDevice, number)).cloned().ok_or(Errno::ENXIO)?;
    opener.open(number, flags, identity)
}
