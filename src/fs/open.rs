//! open(2): from a name and flags to an open file; and what stands behind an inode of each kind.

use super::change::Placement;
use super::files::{DirectoryFile, PlaceFile, RegularFile};
use super::names::Name;
use super::permission::{self, Access};
use super::walk::{Last, Restrictions, Walk};
use super::{Capabilities, Identity, Inode, MountFlags, NewNode, Path, View, anonymous, devices, fifo};
use crate::errno::{Errno, Result};
use crate::file::{File, FileKind, Notice, OpenFile, Place, StatusFlags};
use alloc::sync::Arc;
use core::any::Any;
use linux_raw_sys::general::{O_CLOEXEC, O_CREAT, O_EXCL, O_TRUNC};

const UNNAMED: u32 = 0o20000000;
/// All bits that openat2(2) knows.
pub(crate) const KNOWN_FLAGS: u32 = StatusFlags::all().bits() | O_CREAT | O_EXCL | O_TRUNC | UNNAMED | O_CLOEXEC;

/// Checks open(2)'s flags, which comes before all else. EINVAL.
pub(crate) fn check_flags(flags: u32) -> Result {
    let is_directory = flags & StatusFlags::DIRECTORY.bits() != 0;
    let is_wrong = is_directory && flags & O_CREAT != 0 || flags & UNNAMED != 0 && (!is_directory || flags & 3 == 0);
    Errno::EINVAL.when(is_wrong && flags & StatusFlags::PATH.bits() == 0)
}

impl View {
    /// open(2), all flags but O_CLOEXEC: `flags` are the raw O_* bits.
    pub(crate) fn open(&self, name: &[u8], flags: u32, mode: u32) -> Result<Arc<OpenFile>> {
        self.open_restricted(name, flags, mode, Restrictions::empty())
    }

    /// openat2(2): like `open`, where the walk keeps to `restrictions`.
    pub(crate) fn open_restricted(
        &self, name: &[u8], flags: u32, mode: u32, restrictions: Restrictions,
    ) -> Result<Arc<OpenFile>> {
        let request = Request::new(flags, mode);
        if request.has(UNNAMED) {
            let directory = self.look_up_restricted(name, true, restrictions)?;
            return self.open_unnamed(&directory, &request);
        }
        let follow = !request.status.contains(StatusFlags::NO_FOLLOW);
        if !request.has(O_CREAT) {
            let path = self.look_up_restricted(name, follow, restrictions)?;
            return self.open_found(path, &request, false);
        }

        let mut walk = Walk::restricted(self, name, restrictions)?;
        loop {
            walk = walk.enter_parent()?;
            let parent = walk.parent();
            let Last::Name(last) = parent.last else {
                let path = match parent.last {
                    Last::Above => walk.above()?,
                    Last::Name(_) | Last::This | Last::Root => parent.place.clone(),
                };
                return self.open_found(path, &request, false);
            };
            Errno::EISDIR.when(parent.has_slash)?;
            let (path, is_new) = self.find_or_create(parent.place, last, &request)?;
            walk.check_mount(&path)?;
            if path.entry.kind() == FileKind::Symlink && follow && !request.has(O_EXCL) {
                walk = walk.follow_last(&path.entry)?;
                continue;
            }
            return self.open_found(path, &request, is_new);
        }
    }

    fn find_or_create(&self, directory: &Path, name: Name<'_>, request: &Request) -> Result<(Path, bool)> {
        match directory.child(name) {
            Ok(path) => return Ok((path, false)),
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        let _changes = directory.entry.changes.lock();
        if let Some(entry) = directory.entry.child_locked(name)? {
            return Ok((Path { mount: directory.mount.clone(), entry }.descend(), false));
        }
        directory.require_may_create(&self.identity)?;
        let placement = Placement::new(&self.identity, directory, FileKind::Regular, request.mode & !self.umask);
        let entry = placement.create(directory, name, NewNode::Regular)?;
        Ok((Path { mount: directory.mount.clone(), entry }, true))
    }

    /// Checks and opens; a file that this call made is not checked: its mode is for later opens (open(2), O_CREAT).
    fn open_found(&self, path: Path, request: &Request, is_new: bool) -> Result<Arc<OpenFile>> {
        let kind = path.entry.kind();
        if request.status.contains(StatusFlags::PATH) {
            Errno::ENOTDIR.when(request.status.contains(StatusFlags::DIRECTORY) && kind != FileKind::Directory)?;
            return Ok(OpenFile::new(PlaceFile::new(path), request.status));
        }
        if !is_new {
            self.check_open(&path, kind, request)?;
        }
        if request.has(O_TRUNC) && kind == FileKind::Regular && !is_new {
            path.require_writable()?;
            if let Some(content) = path.entry.inode().content() {
                content.require_not_running()?;
            }
            path.entry.inode().truncate(0)?;
            path.tell(Notice::MODIFY);
        }
        open_file(&path, request.status, &self.identity)
    }

    fn check_open(&self, path: &Path, kind: FileKind, request: &Request) -> Result {
        Errno::EEXIST.when(request.has(O_CREAT) && request.has(O_EXCL))?;
        Errno::EISDIR.when(request.has(O_CREAT) && kind == FileKind::Directory)?;
        Errno::ENOTDIR.when(request.status.contains(StatusFlags::DIRECTORY) && kind != FileKind::Directory)?;
        let access = request.access();
        match kind {
            FileKind::Symlink => return Err(Errno::ELOOP),
            FileKind::Directory if access.contains(Access::WRITE) => return Err(Errno::EISDIR),
            FileKind::CharacterDevice | FileKind::BlockDevice
                if path.mount.flags().contains(MountFlags::NO_DEVICES) =>
            {
                return Err(Errno::EACCES);
            }
            _ => {}
        }
        path.check(&self.identity, access)?;
        let hides_access = request.status.contains(StatusFlags::NO_ACCESS_TIME);
        Errno::EPERM.when(hides_access && !permission::is_owner(&self.identity, &**path.entry.inode()))?;
        Ok(())
    }

    /// Opens a new file without a name in a directory (O_TMPFILE).
    fn open_unnamed(&self, directory: &Path, request: &Request) -> Result<Arc<OpenFile>> {
        Errno::ENOTDIR.when(!directory.entry.is_directory())?;
        directory.require_writable()?;
        permission::check(&self.identity, &**directory.entry.inode(), Access::WRITE | Access::EXECUTE)?;
        let placement = Placement::new(&self.identity, directory, FileKind::Regular, request.mode & !self.umask);
        let entry = placement.create_unnamed(directory, !request.has(O_EXCL))?;
        let path = Path { mount: directory.mount.clone(), entry };
        // "O_DIRECTORY" is part of O_TMPFILE's bits; the file is none.
        open_file(&path, request.status.difference(StatusFlags::DIRECTORY), &self.identity)
    }
}

/// What a caller of open(2) asked for.
struct Request {
    raw: u32,
    status: StatusFlags,
    mode: u32,
}

impl Request {
    /// Reads the flags: EINVAL for what does not go together.
    fn new(flags: u32, mode: u32) -> Request {
        let mut flags = flags;
        if flags & StatusFlags::PATH.bits() != 0 {
            flags &= (StatusFlags::PATH | StatusFlags::DIRECTORY | StatusFlags::NO_FOLLOW).bits();
        }
        let status = StatusFlags::from_bits_truncate(flags & !(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC));
        Request { raw: flags, status, mode: mode & 0o7777 }
    }

    fn has(&self, flag: u32) -> bool {
        self.raw & flag != 0
    }

    /// Returns what the access mode needs; truncation needs writing too.
    fn access(&self) -> Access {
        let by_mode = match self.raw & 3 {
            0 => Access::READ,
            1 => Access::WRITE,
            _ => Access::READ | Access::WRITE,
        };
        if self.has(O_TRUNC) { by_mode | Access::WRITE } else { by_mode }
    }
}

/// Makes the open file of a place, without checks.
pub(crate) fn open_file(path: &Path, status: StatusFlags, identity: &Identity) -> Result<Arc<OpenFile>> {
    if status.intersects(StatusFlags::WRITE_ONLY | StatusFlags::READ_WRITE) && path.entry.kind() == FileKind::Regular {
        path.require_writable()?;
    }
    let file = path.inode().open(path, status, identity)?;
    let open = match file.place() {
        Some(_) => OpenFile::new(file, status),
        None => OpenFile::new_at(file, status, Arc::new(path.clone())),
    };
    open.tell(Notice::OPEN);
    Ok(open)
}

/// Opens an inode by its kind: what `Inode::open` does unless a file system says otherwise.
pub(super) fn open_by_kind(path: &Path, flags: StatusFlags, identity: &Identity) -> Result<Arc<dyn File>> {
    let inode = path.entry.inode();
    match path.entry.kind() {
        FileKind::Regular => {
            let writes = flags.intersects(StatusFlags::WRITE_ONLY | StatusFlags::READ_WRITE);
            Ok(RegularFile::new(path.clone(), writes, identity.can(Capabilities::FSETID))?)
        }
        FileKind::Directory => Ok(DirectoryFile::new(path.clone())),
        FileKind::CharacterDevice | FileKind::BlockDevice => {
            let metadata = inode.metadata();
            devices::open(metadata.kind, metadata.represents, flags, identity)
        }
        FileKind::Fifo => fifo::open(inode, flags, identity),
        // "ENXIO The file is a UNIX domain socket" (open(2)).
        FileKind::Socket => Err(Errno::ENXIO),
        FileKind::Symlink => Err(Errno::ELOOP),
    }
}

/// Opens a regular file to run it, without checks: as long as it is open, nobody opens it for writing. ETXTBSY.
pub(crate) fn open_to_run(path: &Path, identity: &Identity) -> Result<Arc<OpenFile>> {
    let inode = path.entry.inode();
    if inode.content().is_some() {
        let open = OpenFile::new(RegularFile::new_running(path.clone())?, StatusFlags::empty());
        open.tell(Notice::OPEN);
        return Ok(open);
    }
    open_file(path, StatusFlags::empty(), identity)
}

/// Returns where an open file was found; `None` for what never had a name (pipes, sockets).
pub(crate) fn path_of(file: &OpenFile) -> Option<Path> {
    file.place().and_then(as_path).filter(|path| !anonymous::contains(path)).cloned()
}

fn as_path(place: &dyn Place) -> Option<&Path> {
    let place: &dyn Any = place;
    place.downcast_ref()
}

/// Returns what fstat(2) shows: of the inode that was opened, where there is one.
pub(crate) fn metadata_of(file: &OpenFile) -> Result<crate::file::Metadata> {
    match file.place().and_then(as_path) {
        Some(path) => Ok(path.entry.inode().metadata()),
        None => file.file().metadata(),
    }
}

/// Returns whether both are the same inode.
pub(super) fn is_same_inode(one: &Arc<dyn Inode>, other: &Arc<dyn Inode>) -> bool {
    core::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
