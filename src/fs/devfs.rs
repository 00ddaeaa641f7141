//! devtmpfs: one tmpfs that is filled as devices are registered, whether or not it is mounted; each mount of type
//! `devtmpfs` shows it.

use super::devices::Node;
use super::tmpfs::{Options, Tmpfs};
use super::{Inode, Mount, MountFlags, NewNode, Path, View, Volume};
use crate::errno::Result;
use crate::file::{DeviceNumber, FileKind};
use crate::machine::console::log;
use crate::machine::sync::Lazy;
use alloc::sync::Arc;

static VOLUME: Lazy<Arc<Volume>> = Lazy::new(|| {
    let options = Options { permissions: 0o755, ..Options::default() };
    Volume::new(Tmpfs::new("devtmpfs", options))
});

/// Links that Linux's user space expects in /dev, which udev or init would make, and directories to mount on.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Returns the volume that every mount of devtmpfs shows.
pub(super) fn volume() -> Arc<Volume> {
    VOLUME.clone()
}

/// Makes the links and directories that are there besides devices.
pub(super) fn add_links() {
    let view = view();
    for (name, target) in LINKS {
        report(name, view.create(name.as_bytes(), NewNode::Symlink(target.into()), 0o777).map(drop));
    }
    report("shm", view.create(b"shm", NewNode::Directory, 0o1777).map(drop));
    report("pts", view.create(b"pts", NewNode::Directory, 0o755).map(drop));
}

/// Adds a device's node; a node of that name that is there already stays.
pub(super) fn add_node(node: Node<'_>, number: DeviceNumber, kind: FileKind) {
    let view = view();
    for (end, _) in node.name.match_indices('/') {
        // It may be there from a device before.
        let _ = view.create(&node.name.as_bytes()[..end], NewNode::Directory, 0o755);
    }
    let added = view.create(node.name.as_bytes(), NewNode::Device(kind, number), node.permissions).and_then(|path| {
        let inode: Arc<dyn Inode> = path.inode();
        inode.set_attributes(super::AttributeChange { gid: Some(node.gid), ..Default::default() })
    });
    report(node.name, added);
}

fn report(name: &str, added: Result) {
    if let Err(error) = added {
        log!(Warning, "devtmpfs: {name}: {error:?}");
    }
}

/// Returns root's view of the volume alone, mounted nowhere.
fn view() -> View {
    let volume = volume();
    let root = volume.root().clone();
    let mount = Mount::new(volume, root, b"devtmpfs", MountFlags::empty());
    let root: Path = mount.root_path();
    View::of_kernel(root, 0)
}
