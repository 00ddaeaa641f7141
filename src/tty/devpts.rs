//! devpts: the file system of /dev/pts, one node for each pseudo-terminal. All mounts show the same terminals.

use super::pty::{self, MULTIPLEXER, Owner, Pair};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, DirectoryEntry, FileKind, Metadata};
use crate::fs::kinds;
use crate::fs::{AttributeChange, FileSystem, FileSystemStatistics, Identity, Inode, Volume, now};
use crate::machine::sync::{Lazy, SpinLock};
use crate::rank::Rank;
use alloc::{format, string::String, sync::Arc};
use core::str;

/// The magic number of statfs(2).
const MAGIC: u64 = 0x1cd1;

/// Inode numbers, as Linux gives them: the directory, ptmx, then terminal N at N + 3.
const ROOT_INODE: u64 = 1;
const MULTIPLEXER_INODE: u64 = 2;
const FIRST_TERMINAL_INODE: u64 = 3;

/// What mount options ask for (Linux's Documentation/filesystems/devpts.rst).
#[derive(Clone, Copy)]
struct Options {
    /// Permissions of new terminals.
    mode: u32,
    /// Owner and group of new terminals; those of their maker unless given.
    uid: Option<u32>,
    gid: Option<u32>,
    /// Permissions of ptmx.
    multiplexer_mode: u32,
}

static OPTIONS: SpinLock<Options> =
    SpinLock::new(Rank::Registry, Options { mode: 0o600, uid: None, gid: None, multiplexer_mode: 0 });

static DEVICE: Lazy<DeviceNumber> = Lazy::new(kinds::next_anonymous_device);

static VOLUME: Lazy<Arc<Volume>> = Lazy::new(|| Volume::new(Arc::new(Devpts)));

/// Lets programs mount it.
pub(super) fn start() {
    kinds::register("devpts", |_, options| {
        let options = Options::parse(options)?;
        *OPTIONS.lock() = options;
        Ok(VOLUME.clone())
    });
}

/// Returns whom a terminal that `identity` makes belongs to.
pub(super) fn new_owner(identity: &Identity) -> Owner {
    let options = *OPTIONS.lock();
    Owner {
        permissions: options.mode,
        uid: options.uid.unwrap_or(identity.fsuid),
        gid: options.gid.unwrap_or(identity.fsgid),
        time: now(),
    }
}

impl Options {
    fn parse(text: &[u8]) -> Result<Options> {
        let mut options = Options { mode: 0o600, uid: None, gid: None, multiplexer_mode: 0 };
        let text = str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let number = |radix| u32::from_str_radix(value, radix).map_err(|_| Errno::EINVAL);
            match name {
                "mode" => options.mode = number(8)? & 0o7777,
                "ptmxmode" => options.multiplexer_mode = number(8)? & 0o7777,
                "uid" => options.uid = Some(number(10)?),
                "gid" => options.gid = Some(number(10)?),
                "max" => drop(number(10)?),
                "newinstance" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

struct Devpts;

impl FileSystem for Devpts {
    fn name(&self) -> &'static str {
        "devpts"
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(Root)
    }

    fn statistics(&self) -> FileSystemStatistics {
        FileSystemStatistics { kind: MAGIC, block_size: 4096, name_limit: 255, ..FileSystemStatistics::default() }
    }

    fn options(&self) -> String {
        let options = *OPTIONS.lock();
        let gid = options.gid.map(|gid| format!("gid={gid},")).unwrap_or_default();
        format!("{gid}mode={:03o},ptmxmode={:03o}", options.mode, options.multiplexer_mode)
    }

    fn caches_names(&self) -> bool {
        false
    }
}

/// The directory.
struct Root;

impl Inode for Root {
    fn metadata(&self) -> Metadata {
        let owner = Owner { permissions: 0o755, uid: 0, gid: 0, time: now() };
        describe(ROOT_INODE, FileKind::Directory, DeviceNumber::default(), &owner)
    }

    fn look_up(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if name == b"ptmx" {
            return Ok(Arc::new(Multiplexer));
        }
        // Digits without a leading zero or sign are the only names.
        let is_plain = name.iter().all(u8::is_ascii_digit) && (name.len() == 1 || name.first() != Some(&b'0'));
        let index = str::from_utf8(name).ok().filter(|_| is_plain).and_then(|name| name.parse().ok());
        let pair = index.and_then(pty::find).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(TerminalNode { pair }))
    }

    fn read_directory(&self, position: u64, visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        let multiplexer = (b"ptmx".to_vec(), MULTIPLEXER_INODE);
        let terminals = pty::indices()
            .into_iter()
            .map(|index| (format!("{index}").into_bytes(), FIRST_TERMINAL_INODE + u64::from(index)));
        for (name, inode) in core::iter::once(multiplexer).chain(terminals) {
            // The inode's number serves as the position after it.
            let is_new = inode > position;
            if is_new && !visit(DirectoryEntry { inode, kind: FileKind::CharacterDevice, name: &name, next: inode }) {
                break;
            }
        }
        Ok(())
    }
}

/// /dev/pts/ptmx.
struct Multiplexer;

impl Inode for Multiplexer {
    fn metadata(&self) -> Metadata {
        let owner = Owner { permissions: OPTIONS.lock().multiplexer_mode, uid: 0, gid: 0, time: now() };
        describe(MULTIPLEXER_INODE, FileKind::CharacterDevice, MULTIPLEXER, &owner)
    }
}

/// /dev/pts/N.
struct TerminalNode {
    pair: Arc<Pair>,
}

impl Inode for TerminalNode {
    fn metadata(&self) -> Metadata {
        describe_terminal(&self.pair)
    }

    fn set_attributes(&self, change: AttributeChange) -> Result {
        let time = now();
        let mut owner = self.pair.owner.lock();
        owner.permissions = change.permissions.unwrap_or(owner.permissions);
        owner.uid = change.uid.unwrap_or(owner.uid);
        owner.gid = change.gid.unwrap_or(owner.gid);
        owner.time = change.modified.unwrap_or(time);
        Ok(())
    }
}

/// Returns what stat(2) shows for the terminal with this device number, if it is a pseudo-terminal.
pub(super) fn metadata_of(number: DeviceNumber) -> Option<Metadata> {
    let pair = pty::find(number.minor).filter(|pair| pair.number() == number)?;
    Some(describe_terminal(&pair))
}

fn describe_terminal(pair: &Pair) -> Metadata {
    let number = pair.number();
    let owner = *pair.owner.lock();
    describe(FIRST_TERMINAL_INODE + u64::from(number.minor), FileKind::CharacterDevice, number, &owner)
}

fn describe(inode: u64, kind: FileKind, represents: DeviceNumber, owner: &Owner) -> Metadata {
    let Owner { permissions, uid, gid, time } = *owner;
    Metadata { uid, gid, represents, block_size: 1024, ..Metadata::new(*DEVICE, inode, kind, permissions, time) }
}
