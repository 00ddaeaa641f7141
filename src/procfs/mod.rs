//! /proc and /sys: the state of the rooms below as files, made when they are read.
//!
//! `node` is the machinery (directories, texts, links); each other file is one part of the tree. Nothing is kept
//! here: a node holds closures that ask the room that owns the fact. Names are never cached by the directory
//! cache, because processes come and go.

/// Directory trees that stay as they are made.
mod fixed;

/// /proc/PID/maps and smaps.
mod maps;

/// /proc/PID/mounts and mountinfo.
mod mounts;

/// Directories, texts and links whose content is made when asked for.
mod node;

/// One process' directory, and its threads'.
mod process;

/// The root of /proc, and what is not about one process.
mod root;

/// One process or thread in numbers.
mod status;

/// /sys.
mod sysfs;

/// /proc/sys.
mod sysctl;

/// /proc/sysvipc.
mod sysvipc;

/// The system-wide texts.
mod system;

use crate::file::DeviceNumber;
use crate::fs::{FileSystem, FileSystemStatistics, Inode, Volume, kinds};
use crate::machine::sync::Once;
use alloc::sync::Arc;
use node::Node;

pub(crate) use node::process_of;

/// Registers both file systems, so that they can be mounted. Once, at boot.
pub(crate) fn start() {
    kinds::register("proc", |_, _| Ok(volume(&PROC, "proc", 0x9fa0, root::tree)));
    kinds::register("sysfs", |_, _| Ok(volume(&SYS, "sysfs", 0x6265_6572, sysfs::tree)));
}

static PROC: Once<Arc<Volume>> = Once::new();
static SYS: Once<Arc<Volume>> = Once::new();

/// Returns the one volume that all mounts of a type show.
fn volume(volume: &Once<Arc<Volume>>, name: &'static str, magic: u64, tree: fn(Device) -> Arc<Node>) -> Arc<Volume> {
    let make = || Volume::new(Arc::new(Tree { name, magic, root: tree(kinds::next_anonymous_device()) }));
    volume.call_once(make).clone()
}

/// A mounted /proc or /sys.
struct Tree {
    name: &'static str,
    /// The type number of statfs(2).
    magic: u64,
    root: Arc<Node>,
}

impl FileSystem for Tree {
    fn name(&self) -> &'static str {
        self.name
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> FileSystemStatistics {
        FileSystemStatistics { kind: self.magic, block_size: 4096, name_limit: 255, ..FileSystemStatistics::default() }
    }

    fn caches_names(&self) -> bool {
        false
    }
}

/// What all nodes of one tree share.
type Device = DeviceNumber;
