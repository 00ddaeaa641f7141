//! Directory trees that stay as they are made, from a list of files with their paths.

use super::Device;
use super::node::{Content, Directory, Node, NodeIdentity, Read, Write};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use alloc::{boxed::Box, collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};

/// A node and its path below the directory that is to be made.
pub(super) type Leaf = (String, Arc<Node>);

/// Makes a text file, which root may write to where there is a `write`.
pub(super) fn file(device: Device, path: &str, read: Read, write: Option<Write>) -> Leaf {
    let permissions = if write.is_some() { 0o644 } else { 0o444 };
    let identity = NodeIdentity::of_root(device, path, permissions);
    (path.into(), Node::new(identity, Content::Text { read, write }))
}

/// Makes the directory at `path` with `leaves` in it, and in directories that their paths name.
pub(super) fn directory(device: Device, path: &str, permissions: u32, leaves: &[Leaf]) -> Arc<Node> {
    let entries = FixedDirectory::new(device, path, permissions, leaves);
    Node::new(NodeIdentity::of_root(device, path, permissions), Content::Directory(Box::new(entries)))
}

/// The entries of one such directory.
pub(super) struct FixedDirectory(BTreeMap<String, Arc<Node>>);

impl FixedDirectory {
    /// Sorts `leaves` into directories.
    pub(super) fn new(device: Device, path: &str, permissions: u32, leaves: &[Leaf]) -> FixedDirectory {
        let mut folders: BTreeMap<&str, Vec<Leaf>> = BTreeMap::new();
        let mut entries = BTreeMap::new();
        for (name, node) in leaves {
            match name.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest.into(), node.clone())),
                None => drop(entries.insert(name.clone(), node.clone())),
            }
        }
        for (name, leaves) in folders {
            entries.insert(name.into(), directory(device, &format!("{path}/{name}"), permissions, &leaves));
        }
        FixedDirectory(entries)
    }
}

impl Directory for FixedDirectory {
    fn find(&self, name: &[u8]) -> Result<Arc<Node>> {
        core::str::from_utf8(name).ok().and_then(|name| self.0.get(name)).cloned().ok_or(Errno::ENOENT)
    }

    fn names(&self) -> Vec<(Vec<u8>, FileKind)> {
        self.0.iter().map(|(name, node)| (name.clone().into_bytes(), node.kind())).collect()
    }
}
