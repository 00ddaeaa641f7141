//! The root of the file tree when the kernel starts: a tmpfs filled from the boot modules, and /dev.

use super::tmpfs::{Options, Tmpfs};
use super::{Mount, MountFlags, Namespace, NewNode, Path, View, Volume};
use super::{devfs, initramfs, kinds, memory_devices, names};
use crate::errno::Errno;
use crate::machine::boot;
use crate::machine::console::log;
use crate::machine::sync::Once;

static NAMESPACE: Once<Namespace> = Once::new();

/// Makes the root file system, unpacks the initramfs modules in GRUB's order, mounts /dev, and returns the root
/// directory. In a task; once. Panics if GRUB loaded no module.
pub(crate) fn mount_root() -> Path {
    names::start();
    kinds::register_own();
    let volume = Volume::new(Tmpfs::new("rootfs", Options { permissions: 0o755, ..Options::default() }));
    let mount = Mount::new(volume.clone(), volume.root().clone(), b"rootfs", MountFlags::empty());
    let root = mount.root_path();
    NAMESPACE.call_once(|| Namespace::new(mount));

    let modules = boot::take_modules();
    assert!(
        !modules.is_empty(),
        "no initramfs: grub.cfg must name at least one cpio archive with module2 (newc; plain, gzip or zstd)"
    );
    let view = View::of_kernel(root.clone(), 0);
    for (number, module) in (1..).zip(modules) {
        initramfs::unpack(&view, number, module);
    }

    memory_devices::register();
    devfs::add_links();
    mount_dev(&view);
    root
}

/// Returns the tree of mounts. Panics before `mount_root`.
pub(crate) fn namespace() -> &'static Namespace {
    NAMESPACE.get().expect("the root is mounted before anything asks for mounts")
}

/// Mounts devtmpfs at /dev, so that the first process finds its console whatever the initramfs holds.
fn mount_dev(view: &View) {
    let point = match view.create(b"dev", NewNode::Directory, 0o755) {
        Err(Errno::EEXIST) => view.look_up(b"dev", true),
        created => created,
    };
    let volume = devfs::volume();
    let mount = Mount::new(volume.clone(), volume.root().clone(), b"devtmpfs", MountFlags::empty());
    if let Err(error) = point.and_then(|point| namespace().mount(&mount, &point)) {
        log!(Error, "devtmpfs: cannot mount at /dev: {error:?}");
    }
}
