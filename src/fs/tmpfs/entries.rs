//! A directory's entries: by name for look-ups, by age for listing.
//!
//! Each entry has a cookie that only grows; a listing goes from the newest to the oldest, as Linux's tmpfs does, so a
//! position stays right whatever is created or removed meanwhile.

use super::node::Node;
use crate::errno::{Errno, Result};
use crate::fs::names::{Name, NameMap};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

/// The position in a listing of the entry with cookie `c` is this minus `c`.
const POSITIONS: u64 = 1 << 62;

/// The entries of one directory.
#[derive(Default)]
pub(super) struct Entries {
    by_name: NameMap<Arc<[u8]>, u64>,
    by_cookie: BTreeMap<u64, Entry>,
    last_cookie: u64,
}

/// One entry.
pub(super) struct Entry {
    pub(super) name: Arc<[u8]>,
    pub(super) node: Arc<Node>,
}

impl Entries {
    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Finds an entry.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<Node>> {
        let cookie = self.by_name.get(Name::first(name))?;
        self.by_cookie.get(cookie).map(|entry| &entry.node)
    }

    /// Adds an entry. EEXIST.
    pub(super) fn insert(&mut self, name: &[u8], node: Arc<Node>) -> Result {
        Errno::EEXIST.when(self.get(name).is_some())?;
        self.add(name, node);
        Ok(())
    }

    fn add(&mut self, name: &[u8], node: Arc<Node>) {
        self.last_cookie += 1;
        let text: Arc<[u8]> = name.into();
        self.by_name.insert(Name::first(name), || text.clone(), self.last_cookie);
        self.by_cookie.insert(self.last_cookie, Entry { name: text, node });
    }

    /// Adds an entry, or replaces one; returns the node before.
    pub(super) fn put(&mut self, name: &[u8], node: Arc<Node>) -> Option<Arc<Node>> {
        let before = self.replace(name, node.clone());
        if before.is_none() {
            self.add(name, node);
        }
        before
    }

    /// Removes an entry and returns its node.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Arc<Node>> {
        let cookie = self.by_name.remove(Name::first(name))?;
        self.by_cookie.remove(&cookie).map(|entry| entry.node)
    }

    /// Puts `node` under the name of an existing entry, at its place; returns the node before.
    pub(super) fn replace(&mut self, name: &[u8], node: Arc<Node>) -> Option<Arc<Node>> {
        let cookie = self.by_name.get(Name::first(name))?;
        let entry = self.by_cookie.get_mut(cookie)?;
        Some(core::mem::replace(&mut entry.node, node))
    }

    /// Takes all nodes out.
    pub(super) fn take_nodes(&mut self) -> impl Iterator<Item = Arc<Node>> + use<> {
        self.by_name = NameMap::default();
        core::mem::take(&mut self.by_cookie).into_values().map(|entry| entry.node)
    }

    /// Returns the entries from `position` of the listing on, each with the position after it.
    pub(super) fn from(&self, position: u64) -> impl Iterator<Item = (&Entry, u64)> {
        let older = self.by_cookie.range(..=POSITIONS.saturating_sub(position));
        older.rev().map(|(cookie, entry)| (entry, POSITIONS - cookie + 1))
    }
}
