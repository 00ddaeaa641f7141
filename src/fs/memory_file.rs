//! Regular files without a name in the tree: memfd_create(2). They live in a tmpfs of the kernel's own that is mounted
//! nowhere (as on Linux), so all that regular files can do they can too.

use super::open::open_file;
use super::tmpfs::{Options, Tmpfs};
use super::{Dentry, Identity, Mount, MountFlags, Path, Volume};
use crate::errno::Result;
use crate::file::{OpenFile, StatusFlags};
use crate::machine::sync::Once;
use alloc::sync::Arc;

/// Makes an empty file open for reading and writing that /proc/PID/fd shows as `/memfd:NAME (deleted)`.
pub(crate) fn memory_file(name: &[u8], may_be_sealed: bool, identity: &Identity) -> Result<Arc<OpenFile>> {
    static MOUNT: Once<Arc<Mount>> = Once::new();
    let mount = MOUNT.call_once(|| {
        let options = Options { size_pages: Some(0), inodes: Some(0), ..Options::default() };
        let volume = Volume::new(Tmpfs::new("tmpfs", options));
        let root = volume.root().clone();
        Mount::new(volume, root, b"tmpfs", MountFlags::empty())
    });

    let inode = mount.root().inode().create_unnamed(0o777, identity.fsuid, identity.fsgid, false)?;
    if may_be_sealed && let Some(content) = inode.content() {
        content.pages.allow_sealing();
    }
    let name = [b"memfd:", name].concat();
    let path = Path { mount: mount.clone(), entry: Dentry::new_unnamed(inode, mount.root(), &name) };
    open_file(&path, StatusFlags::READ_WRITE | StatusFlags::LARGE_FILE, identity)
}
