//! Names of directory entries, and maps from them.

use crate::machine::random;
use crate::util::name::{self, Digest};
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// What the hashes of names depend on: nobody can choose names with the same hash who does not know it.
static SEED: AtomicU64 = AtomicU64::new(0);

/// Chooses what hashes depend on; before there is a name.
pub(super) fn start() {
    let mut seed = [0; 8];
    random::fill(&mut seed);
    SEED.store(u64::from_ne_bytes(seed), Ordering::Relaxed);
}

/// A name and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) bytes: &'a [u8],
    digest: Digest,
}

impl<'a> Name<'a> {
    /// Returns the name that `text` starts with, up to a slash or its end.
    #[inline(always)]
    pub(super) fn first(text: &'a [u8]) -> Name<'a> {
        let digest = name::first(text, SEED.load(Ordering::Relaxed));
        Name { bytes: &text[..digest.length], digest }
    }
}

/// A map from names, which it keeps as `K`.
pub(super) struct NameMap<K, V> {
    slots: HashTable<Slot<K, V>>,
}

struct Slot<K, V> {
    digest: Digest,
    key: K,
    value: V,
}

impl<K: Deref<Target = [u8]>, V> Slot<K, V> {
    #[inline(always)]
    fn is_for(&self, name: Name<'_>) -> bool {
        name::is_same(&self.key, &self.digest, name.bytes, &name.digest)
    }
}

impl<K: Deref<Target = [u8]>, V> NameMap<K, V> {
    /// Returns how many names there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns what `name` stands for.
    #[inline(always)]
    pub(super) fn get(&self, name: Name<'_>) -> Option<&V> {
        self.slots.find(name.digest.hash, |slot| slot.is_for(name)).map(|slot| &slot.value)
    }

    /// Makes `name` stand for `value`; returns what it stood for. Makes a key only if there is none.
    pub(super) fn insert(&mut self, name: Name<'_>, key: impl FnOnce() -> K, value: V) -> Option<V> {
        match self.slots.entry(name.digest.hash, |slot| slot.is_for(name), |slot| slot.digest.hash) {
            Entry::Occupied(mut entry) => Some(core::mem::replace(&mut entry.get_mut().value, value)),
            Entry::Vacant(entry) => {
                entry.insert(Slot { digest: name.digest, key: key(), value });
                None
            }
        }
    }

    /// Removes `name`; returns what it stood for.
    pub(super) fn remove(&mut self, name: Name<'_>) -> Option<V> {
        let entry = self.slots.find_entry(name.digest.hash, |slot| slot.is_for(name)).ok()?;
        Some(entry.remove().0.value)
    }

    /// Removes the names whose values `keeps` does not want.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&V) -> bool) {
        self.slots.retain(|slot| keeps(&slot.value));
    }

    /// Returns all values.
    pub(super) fn into_values(self) -> impl Iterator<Item = V> {
        self.slots.into_iter().map(|slot| slot.value)
    }
}

impl<K, V> Default for NameMap<K, V> {
    fn default() -> Self {
        NameMap { slots: HashTable::new() }
    }
}
