//! The nodes of /proc and /sys: directories whose entries are found when asked for, texts made when read, links.
//!
//! A node is made anew by each look-up and holds closures, never copies of what it shows. A text is made at the
//! first read of an open file and kept with it, so that a reader with a small buffer sees one state; reading
//! again from the start makes it again (as Linux's seq_file does).

use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, DirectoryEntry, File, FileKind, Metadata, OpenFile, StatusFlags};
use crate::fs::{self, DirectoryFile, Identity, Inode, Path};
use crate::machine::task::Mutex;
use crate::machine::time;
use crate::process::Process;
use crate::rank::Rank;
use crate::vm::{AddressSpace, Destination, Rights, Source};
use alloc::sync::{Arc, Weak};
use alloc::{boxed::Box, string::String, vec, vec::Vec};
use core::any::Any;

/// Makes a file's content.
pub(super) type Read = Box<dyn Fn() -> Result<Vec<u8>> + Send + Sync>;

/// Takes what one write(2) brought.
pub(super) type Write = Box<dyn Fn(&[u8]) -> Result + Send + Sync>;

/// Finds a link's text and, for a magic link, where it leads.
pub(super) type Target = Box<dyn Fn() -> Result<(Vec<u8>, Option<Path>)> + Send + Sync>;

/// Finds a process' memory for one who may look into it; `None` if there is none any more.
pub(super) type FindMemory = Box<dyn Fn() -> Result<Option<Arc<AddressSpace>>> + Send + Sync>;

/// The most bytes that one write takes (a page, as on Linux).
const WRITE_LIMIT: usize = 4096;

/// What a node is.
pub(super) enum Content {
    Directory(Box<dyn Directory>),
    Text {
        read: Read,
        write: Option<Write>,
    },
    Link(Target),
    /// A process' memory, found when the file is opened.
    Memory(FindMemory),
}

/// A directory whose entries are found when asked for.
pub(super) trait Directory: Send + Sync {
    /// Finds an entry. ENOENT.
    fn find(&self, name: &[u8]) -> Result<Arc<Node>>;

    /// Returns all names with their kinds, in the order in which they are listed.
    fn names(&self) -> Vec<(Vec<u8>, FileKind)>;

    /// Returns the process whose directory this is.
    fn process(&self) -> Option<Arc<Process>> {
        None
    }
}

/// A file, directory or link of /proc or /sys.
pub(super) struct Node {
    identity: NodeIdentity,
    content: Content,
}

/// What stat(2) shows of a node.
#[derive(Clone, Copy)]
pub(super) struct NodeIdentity {
    /// The file system's device number.
    pub(super) device: DeviceNumber,
    pub(super) inode: u64,
    pub(super) permissions: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl NodeIdentity {
    /// Returns the identity of something of root's; the inode number is made from the path.
    pub(super) fn of_root(device: DeviceNumber, path: &str, permissions: u32) -> NodeIdentity {
        NodeIdentity { device, inode: number_of(path.as_bytes()), permissions, uid: 0, gid: 0 }
    }
}

/// Makes an inode number from a path: FNV-1a, kept below 2^53 so that every program can print it.
pub(super) fn number_of(path: &[u8]) -> u64 {
    let hash = path
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash & ((1 << 53) - 1)
}

impl Node {
    /// Makes a node.
    pub(super) fn new(identity: NodeIdentity, content: Content) -> Arc<Node> {
        Arc::new(Node { identity, content })
    }

    /// Returns the node's type.
    pub(super) fn kind(&self) -> FileKind {
        match self.content {
            Content::Directory(_) => FileKind::Directory,
            Content::Text { .. } | Content::Memory(_) => FileKind::Regular,
            Content::Link(_) => FileKind::Symlink,
        }
    }

    fn directory(&self) -> Result<&dyn Directory> {
        match &self.content {
            Content::Directory(directory) => Ok(&**directory),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

impl Inode for Node {
    fn metadata(&self) -> Metadata {
        let now = time::wall_ns() as i64;
        let NodeIdentity { device, inode, permissions, uid, gid } = self.identity;
        Metadata { uid, gid, block_size: 1024, ..Metadata::new(device, inode, self.kind(), permissions, now) }
    }

    fn look_up(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        Ok(self.directory()?.find(name)?)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match &self.content {
            Content::Link(target) => Ok(target()?.0),
            _ => Err(Errno::EINVAL),
        }
    }

    fn follow(&self) -> Option<Result<Path>> {
        let Content::Link(target) = &self.content else { return None };
        match target() {
            Ok((_, path)) => path.map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    fn read_directory(&self, position: u64, visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        /// Where numbers begin: a process or descriptor has the same position whichever come and go below it.
        const NUMBERS: u64 = 1 << 16;
        let names = self.directory()?.names();
        for (index, (name, kind)) in names.into_iter().enumerate() {
            let next = parse_id(&name).map_or(index as u64, |number| NUMBERS + number as u64) + 1;
            if next <= position {
                continue;
            }
            let inode = number_of(&[&self.identity.inode.to_le_bytes(), &name[..]].concat());
            if !visit(DirectoryEntry { inode, kind, name: &name, next }) {
                break;
            }
        }
        Ok(())
    }

    fn open(self: Arc<Self>, path: &Path, _flags: StatusFlags, _identity: &Identity) -> Result<Arc<dyn File>> {
        match &self.content {
            Content::Link(_) => Err(Errno::ELOOP),
            Content::Directory(_) => Ok(DirectoryFile::new(path.clone())),
            Content::Memory(find) => Ok(Arc::new(OpenMemory {
                space: find()?.map(|space| Arc::downgrade(&space)).unwrap_or_default(),
                node: self,
                path: path.clone(),
            })),
            Content::Text { .. } => {
                Ok(Arc::new(OpenText { node: self, path: path.clone(), text: Mutex::new(Rank::FileContent, None) }))
            }
        }
    }

    fn truncate(&self, _size: u64) -> Result {
        // open(2) with O_TRUNC, as the shell's `>` does, is no error and changes nothing.
        match &self.content {
            Content::Text { write: Some(_), .. } | Content::Memory(_) => Ok(()),
            _ => Err(Errno::EACCES),
        }
    }
}

/// Returns the process whose directory is open as `file`.
pub(crate) fn process_of(file: &OpenFile) -> Option<Arc<Process>> {
    let directory = file.downcast::<DirectoryFile>()?;
    let inode: Arc<dyn Any + Send + Sync> = directory.path().inode();
    inode.downcast::<Node>().ok()?.directory().ok()?.process()
}

/// An open text.
struct OpenText {
    node: Arc<Node>,
    path: Path,
    /// The text as of the last read from the start.
    text: Mutex<Option<Vec<u8>>>,
}

impl File for OpenText {
    fn read(&self, to: &mut Destination<'_>, position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        let Content::Text { read, .. } = &self.node.content else { return Err(Errno::EINVAL) };
        let mut text = self.text.lock();
        if *position == 0 || text.is_none() {
            *text = Some(read()?);
        }
        let bytes = text.as_deref().unwrap_or_default();
        let start = bytes.len().min(*position as usize);
        let count = to.put(&bytes[start..])?;
        *position += count as u64;
        Ok(count)
    }

    fn write(&self, from: &mut Source<'_>, position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        let Content::Text { write: Some(write), .. } = &self.node.content else { return Err(Errno::EINVAL) };
        let mut bytes = vec![0; from.remaining().min(WRITE_LIMIT)];
        let count = from.take(&mut bytes)?;
        write(&bytes[..count])?;
        *position += count as u64;
        Ok(count)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.node.metadata())
    }

    fn name(&self) -> String {
        name_of(&self.path)
    }
}

/// /proc/PID/mem, open: the memory that the process had then, for as long as anybody runs in it.
struct OpenMemory {
    node: Arc<Node>,
    path: Path,
    space: Weak<AddressSpace>,
}

impl File for OpenMemory {
    fn read(&self, to: &mut Destination<'_>, position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        let Some(space) = self.space.upgrade() else { return Ok(0) };
        let length = to.remaining();
        let count = space.give_remote(Rights::Debugger, *position, length, to).map_err(|_| Errno::EIO)?;
        *position += count as u64;
        Ok(count)
    }

    fn write(&self, from: &mut Source<'_>, position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        let Some(space) = self.space.upgrade() else { return Ok(0) };
        let length = from.remaining();
        let count = space.take_remote(Rights::Debugger, *position, length, from).map_err(|_| Errno::EIO)?;
        *position += count as u64;
        Ok(count)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.node.metadata())
    }

    fn name(&self) -> String {
        name_of(&self.path)
    }
}

fn name_of(path: &Path) -> String {
    String::from_utf8_lossy(&path.name(&fs::namespace().root().root_path())).into_owned()
}

/// Reads a process, thread or descriptor number as a file name: decimal, no sign, no leading zero.
pub(super) fn parse_id(name: &[u8]) -> Option<i32> {
    let text = core::str::from_utf8(name).ok()?;
    if text.len() > 1 && text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Wraps a function that makes text as a `Read`.
pub(super) fn text(make: impl Fn() -> String + Send + Sync + 'static) -> Read {
    Box::new(move || Ok(make().into_bytes()))
}
