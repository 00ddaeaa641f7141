//! Inodes of tmpfs.
//!
//! Two short locks: `entries` of a directory, `attributes` of every node; the one never held while the other is taken,
//! but for `rename`, which takes the entries of two directories one after the other (the callers hold both
//! directories, so nobody sees the moment in between).

use super::entries::Entries;
use super::{Options, Shared};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, DirectoryEntry, FileKind, Metadata, Timestamp};
use crate::fs::files::Content;
use crate::fs::inode::Attachment;
use crate::fs::permission::Ownership;
use crate::fs::{AttributeChange, Inode, NewNode, now};
use crate::machine::memory::PAGE_SIZE;
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use crate::vm::PageCache;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::{FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, XATTR_CREATE, XATTR_REPLACE};

/// Bytes that a directory entry counts in st_size (Linux's BOGO_DIRENT_SIZE).
const ENTRY_SIZE: u64 = 20;

/// "relatime": an access time older than this is renewed at each access (mount(8)).
const DAY_NS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// An inode.
pub(super) struct Node {
    shared: Arc<Shared>,
    number: u64,
    kind: FileKind,
    body: Body,
    attributes: SpinLock<Attributes>,
    /// Pages of the content that the instance's count has.
    counted_pages: AtomicU64,
}

enum Body {
    Regular(Content),
    Directory(SpinLock<Entries>),
    Symlink(Vec<u8>),
    Device(DeviceNumber),
    /// FIFOs and sockets.
    Meeting(Attachment),
}

struct Attributes {
    permissions: u32,
    uid: u32,
    gid: u32,
    links: u32,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
    born: Timestamp,
    /// A file without names may get one (O_TMPFILE without O_EXCL).
    is_linkable: bool,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    /// Makes an instance's root directory.
    pub(super) fn new_root(shared: &Arc<Shared>, options: &Options) -> Arc<Node> {
        shared.inodes.fetch_add(1, Ordering::Relaxed);
        let number = shared.next_inode.fetch_add(1, Ordering::Relaxed);
        Node::with_number(shared, number, NewNode::Directory, options.permissions, options.uid, options.gid)
    }

    fn new(shared: &Arc<Shared>, node: NewNode, permissions: u32, uid: u32, gid: u32) -> Result<Arc<Node>> {
        let number = shared.new_inode()?;
        Ok(Node::with_number(shared, number, node, permissions, uid, gid))
    }

    fn with_number(
        shared: &Arc<Shared>, number: u64, node: NewNode, permissions: u32, uid: u32, gid: u32,
    ) -> Arc<Node> {
        let (kind, body) = match node {
            NewNode::Regular => (FileKind::Regular, Body::Regular(Content::new(PageCache::new(0, None)))),
            NewNode::Directory => {
                (FileKind::Directory, Body::Directory(SpinLock::new(Rank::Entries, Entries::default())))
            }
            NewNode::Symlink(text) => (FileKind::Symlink, Body::Symlink(text)),
            NewNode::Device(kind, device) => (kind, Body::Device(device)),
            NewNode::Fifo => (FileKind::Fifo, Body::Meeting(SpinLock::new(Rank::Attributes, None))),
            NewNode::Socket => (FileKind::Socket, Body::Meeting(SpinLock::new(Rank::Attributes, None))),
        };
        let time = now();
        let attributes = Attributes {
            permissions,
            uid,
            gid,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            accessed: time,
            modified: time,
            changed: time,
            born: time,
            is_linkable: false,
            xattrs: BTreeMap::new(),
        };
        Arc::new(Node {
            shared: shared.clone(),
            number,
            kind,
            body,
            attributes: SpinLock::new(Rank::Attributes, attributes),
            counted_pages: AtomicU64::new(0),
        })
    }

    fn entries(&self) -> Result<&SpinLock<Entries>> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Notes that entries changed; `links` is what the number of subdirectories changed by.
    fn note_entries(&self, links: i32) {
        let time = now();
        let mut attributes = self.attributes.lock();
        attributes.modified = time;
        attributes.changed = time;
        attributes.links = attributes.links.saturating_add_signed(links);
    }

    /// Notes a change of the number of names.
    fn change_links(&self, by: i32) {
        let time = now();
        let mut attributes = self.attributes.lock();
        attributes.links = attributes.links.saturating_add_signed(by);
        attributes.changed = time;
    }

    /// A name of this node is gone: a directory loses `.` with it.
    fn lose_name(&self) {
        self.change_links(if self.kind == FileKind::Directory { -2 } else { -1 });
    }

    /// Brings the instance's count of pages up to date; mappings fill in pages without telling.
    fn count_pages(&self, content: &Content) -> u64 {
        let pages = content.pages.resident() as u64;
        let before = self.counted_pages.swap(pages, Ordering::Relaxed);
        self.shared.pages.fetch_add(pages.wrapping_sub(before), Ordering::Relaxed);
        pages
    }

    fn same_kind_of_node(other: &Arc<dyn Inode>) -> Result<Arc<Node>> {
        let any: Arc<dyn Any + Send + Sync> = other.clone();
        any.downcast::<Node>().map_err(|_| Errno::EXDEV)
    }

    fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A whole tree goes with an unmounted instance: level by level, not each directory inside the one above.
        let mut waiting: Vec<Arc<Node>> = Vec::new();
        waiting.extend(self.entries().into_iter().flat_map(|entries| entries.lock().take_nodes()));
        while let Some(node) = waiting.pop() {
            if let Some(last) = Arc::into_inner(node) {
                waiting.extend(last.entries().into_iter().flat_map(|entries| entries.lock().take_nodes()));
            }
        }
        self.shared.pages.fetch_sub(*self.counted_pages.get_mut(), Ordering::Relaxed);
        self.shared.inodes.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inode for Node {
    fn metadata(&self) -> Metadata {
        let (mut represents, mut pages) = (DeviceNumber::default(), 0);
        let size = match &self.body {
            Body::Regular(content) => {
                if content.pages.take_stored_to() {
                    self.note_write();
                }
                pages = self.count_pages(content);
                content.pages.size()
            }
            Body::Directory(entries) => (entries.lock().len() as u64 + 2) * ENTRY_SIZE,
            Body::Symlink(text) => text.len() as u64,
            Body::Device(number) => {
                represents = *number;
                0
            }
            Body::Meeting(_) => 0,
        };
        let attributes = self.attributes.lock();
        Metadata {
            device: self.shared.device,
            inode: self.number,
            kind: self.kind,
            permissions: attributes.permissions,
            links: attributes.links,
            uid: attributes.uid,
            gid: attributes.gid,
            represents,
            size,
            block_size: PAGE_SIZE as u32,
            blocks: pages * (PAGE_SIZE as u64 / 512),
            accessed: attributes.accessed,
            modified: attributes.modified,
            changed: attributes.changed,
            born: attributes.born,
        }
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn ownership(&self) -> Ownership {
        let attributes = self.attributes.lock();
        Ownership { permissions: attributes.permissions, uid: attributes.uid, gid: attributes.gid }
    }

    fn set_attributes(&self, change: AttributeChange) -> Result {
        let time = now();
        let mut attributes = self.attributes.lock();
        attributes.permissions = change.permissions.unwrap_or(attributes.permissions);
        attributes.uid = change.uid.unwrap_or(attributes.uid);
        attributes.gid = change.gid.unwrap_or(attributes.gid);
        attributes.accessed = change.accessed.unwrap_or(attributes.accessed);
        attributes.modified = change.modified.unwrap_or(attributes.modified);
        attributes.changed = time;
        Ok(())
    }

    fn look_up(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.entries()?.lock().get(name).cloned();
        found.map(|node| node as Arc<dyn Inode>).ok_or(Errno::ENOENT)
    }

    fn create(&self, name: &[u8], node: NewNode, permissions: u32, uid: u32, gid: u32) -> Result<Arc<dyn Inode>> {
        let entries = self.entries()?;
        let child = Node::new(&self.shared, node, permissions, uid, gid)?;
        entries.lock().insert(name, child.clone())?;
        self.note_entries(i32::from(child.is_directory()));
        Ok(child)
    }

    fn create_unnamed(&self, permissions: u32, uid: u32, gid: u32, linkable: bool) -> Result<Arc<dyn Inode>> {
        let node = Node::new(&self.shared, NewNode::Regular, permissions, uid, gid)?;
        {
            let mut attributes = node.attributes.lock();
            attributes.links = 0;
            attributes.is_linkable = linkable;
        }
        Ok(node)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result {
        let target = Node::same_kind_of_node(target)?;
        Errno::EXDEV.when(!Arc::ptr_eq(&target.shared, &self.shared))?;
        {
            let attributes = target.attributes.lock();
            Errno::ENOENT.when(attributes.links == 0 && !attributes.is_linkable)?;
        }
        self.entries()?.lock().insert(name, target.clone())?;
        target.change_links(1);
        self.note_entries(0);
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result {
        let removed = {
            let mut entries = self.entries()?.lock();
            Errno::EISDIR.when(entries.get(name).ok_or(Errno::ENOENT)?.is_directory())?;
            entries.remove(name)
        };
        if let Some(node) = removed {
            node.lose_name();
            self.note_entries(0);
        }
        Ok(())
    }

    fn remove_directory(&self, name: &[u8]) -> Result {
        let child = self.entries()?.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        Errno::ENOTEMPTY.when(child.entries()?.lock().len() != 0)?;
        let removed = self.entries()?.lock().remove(name);
        child.lose_name();
        self.note_entries(-1);
        drop(removed);
        Ok(())
    }

    fn rename(&self, name: &[u8], new_parent: &Arc<dyn Inode>, new_name: &[u8], exchange: bool) -> Result {
        let new_parent = Node::same_kind_of_node(new_parent)?;
        let node = self.entries()?.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        let target = new_parent.entries()?.lock().get(new_name).cloned();

        if exchange {
            let target = target.ok_or(Errno::ENOENT)?;
            self.entries()?.lock().replace(name, target.clone());
            new_parent.entries()?.lock().replace(new_name, node.clone());
            let difference = i32::from(target.is_directory()) - i32::from(node.is_directory());
            let moves_directories = !core::ptr::eq(self, &*new_parent);
            self.note_entries(if moves_directories { difference } else { 0 });
            new_parent.note_entries(if moves_directories { -difference } else { 0 });
            target.change_links(0);
            node.change_links(0);
            return Ok(());
        }

        if let Some(target) = &target {
            Errno::ENOTEMPTY.when(target.is_directory() && target.entries()?.lock().len() != 0)?;
            target.lose_name();
            new_parent.note_entries(-i32::from(target.is_directory()));
        }
        // The new name always is there, for one who lists the directory too.
        let replaced = new_parent.entries()?.lock().put(new_name, node.clone());
        let moved = self.entries()?.lock().remove(name);
        drop((replaced, moved));
        self.note_entries(-i32::from(node.is_directory()));
        new_parent.note_entries(i32::from(node.is_directory()));
        node.change_links(0);
        Ok(())
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match &self.body {
            Body::Symlink(text) => Ok(text.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn read_directory(&self, position: u64, visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        for (entry, next) in self.entries()?.lock().from(position) {
            if !visit(DirectoryEntry { inode: entry.node.number, kind: entry.node.kind, name: &entry.name, next }) {
                break;
            }
        }
        Ok(())
    }

    fn content(&self) -> Option<&Content> {
        match &self.body {
            Body::Regular(content) => Some(content),
            _ => None,
        }
    }

    fn attachment(&self) -> Option<&Attachment> {
        match &self.body {
            Body::Meeting(attachment) => Some(attachment),
            _ => None,
        }
    }

    fn note_access(&self) {
        let time = now();
        let mut attributes = self.attributes.lock();
        let is_older = attributes.accessed <= attributes.modified || attributes.accessed <= attributes.changed;
        if is_older || time - attributes.accessed >= DAY_NS {
            attributes.accessed = time;
        }
    }

    fn note_write(&self) {
        if let Body::Regular(content) = &self.body {
            self.count_pages(content);
        }
        let time = now();
        let mut attributes = self.attributes.lock();
        attributes.modified = time;
        attributes.changed = time;
    }

    fn reserve(&self, offset: u64, length: u64) -> Result {
        let Body::Regular(content) = &self.body else { return Err(Errno::EINVAL) };
        let size = content.pages.size();
        let page = PAGE_SIZE as u64;
        let end = offset.saturating_add(length).div_ceil(page);
        let new_from = (size.div_ceil(page)).max(offset / page);
        self.shared.require_pages(end.saturating_sub(new_from))
    }

    fn truncate(&self, size: u64) -> Result {
        let Body::Regular(content) = &self.body else { return Err(Errno::EINVAL) };
        {
            let _order = content.order.lock();
            content.pages.resize(size)?;
        }
        self.note_write();
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, length: u64) -> Result {
        let Body::Regular(content) = &self.body else { return Err(Errno::ENODEV) };
        let end = offset.checked_add(length).filter(|end| *end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
        let _order = content.order.lock();
        match mode {
            mode if mode == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE => content.pages.punch(offset, length)?,
            0 | FALLOC_FL_KEEP_SIZE => {
                let page = PAGE_SIZE as u64;
                let (first, last) = (offset / page, end.div_ceil(page));
                self.shared.require_pages((last - first).saturating_sub(content.pages.resident() as u64))?;
                let size = content.pages.size();
                if mode == 0 && end > size {
                    content.pages.resize(end)?;
                }
                // Pages past the end cannot be held ahead: a later write finds or misses them as any write does.
                for index in first..last.min(content.pages.size().div_ceil(page)) {
                    content.pages.page(index)?;
                }
            }
            _ => return Err(Errno::EOPNOTSUPP),
        }
        self.note_write();
        Ok(())
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        require_known_xattr(name)?;
        self.attributes.lock().xattrs.get(name).cloned().ok_or(Errno::ENODATA)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result {
        require_known_xattr(name)?;
        let time = now();
        let (name, value) = (name.to_vec(), value.to_vec());
        let mut attributes = self.attributes.lock();
        match (attributes.xattrs.contains_key(&name), flags) {
            (true, XATTR_CREATE) => return Err(Errno::EEXIST),
            (false, XATTR_REPLACE) => return Err(Errno::ENODATA),
            _ => {}
        }
        attributes.xattrs.insert(name, value);
        attributes.changed = time;
        Ok(())
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>> {
        Ok(self.attributes.lock().xattrs.keys().cloned().collect())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result {
        require_known_xattr(name)?;
        let time = now();
        let mut attributes = self.attributes.lock();
        attributes.xattrs.remove(name).ok_or(Errno::ENODATA)?;
        attributes.changed = time;
        Ok(())
    }
}

/// tmpfs keeps attributes of the spaces trusted and security; user attributes came after Linux 6.1 (tmpfs(5)).
fn require_known_xattr(name: &[u8]) -> Result {
    let is_known = name.starts_with(b"trusted.") || name.starts_with(b"security.");
    if is_known { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}
