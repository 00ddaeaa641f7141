//! Paths, mounts, inodes and file systems. No descriptor numbers, no "current process": the caller's
//! identity is an argument.

/// Places for files that have none.
mod anonymous;

/// chmod, chown, utimensat.
pub(crate) mod attributes;

/// Making and removing names.
mod change;

/// The directory cache.
mod dentry;

/// devtmpfs: /dev fills itself.
mod devfs;

/// Which device number stands for what.
pub(crate) mod devices;

/// FIFOs.
mod fifo;

/// Open regular files and directories.
mod files;

/// Who asks: the ids that permissions are checked against.
mod identity;

/// Watching files.
pub(crate) mod inotify;

/// Boot modules into the root file system.
mod initramfs;

/// What a file system implements.
mod inode;

/// File system types by name.
pub(crate) mod kinds;

/// null, zero, random, kmsg, …
mod memory_devices;

/// Regular files without a name.
mod memory_file;

/// Volumes, mounts and the tree of mounts.
mod mount;

/// mount(2) and its relatives.
mod mounting;

/// Names of directory entries, and maps from them.
mod names;

/// open(2).
mod open;

/// Places in the tree.
mod path;

/// Who may do what.
mod permission;

/// rename(2).
mod rename;

/// The root of the file tree when the kernel starts.
mod start;

/// Files in memory.
mod tmpfs;

/// Walking a name component by component.
mod walk;

pub(crate) use anonymous::path_to;
pub(crate) use attributes::{NewTime, now};
pub(crate) use dentry::Dentry;
pub(crate) use files::{DirectoryFile, RegularFile};
pub(crate) use identity::{Capabilities, Identity};
pub(crate) use inode::{AttributeChange, FileSystem, FileSystemStatistics, Inode, NewNode};
pub(crate) use inotify::Inotify;
pub(crate) use memory_file::memory_file;
pub(crate) use mount::{Mount, MountFlags, Namespace, Volume};
pub(crate) use mounting::MountRequest;
pub(crate) use open::{KNOWN_FLAGS, check_flags, metadata_of, open_file, open_to_run, path_of};
pub(crate) use path::{Path, Places, View};
pub(crate) use permission::{Access, check as check_permission};
pub(crate) use rename::RenameFlags;
pub(crate) use start::{mount_root, namespace};
pub(crate) use walk::{PATH_LIMIT, Restrictions};
