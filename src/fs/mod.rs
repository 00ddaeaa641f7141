//! Paths, mounts, inodes and file systems. No descriptor numbers, no "current process": the caller's
//! identity is an argument.

/// Who asks: the ids that permissions are checked against.
mod identity;

/// What a file system implements.
mod inode;

/// Names in the tree: directory cache entries, mounts, and walking.
mod path;

pub(crate) use identity::{Capabilities, Identity};
pub(crate) use inode::{AttributeChange, FileSystem, FileSystemStatistics, Inode, NewNode};
pub(crate) use path::{Path, View};
