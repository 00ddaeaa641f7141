//! Byte-range locks on one file: who holds which range shared or exclusively, with the splitting and joining that
//! fcntl(2) asks for ("a process can hold only one type of lock on a file region").
//!
//! Ranges include both ends. The list is kept sorted by owner only as far as needed: files have few locks.

use alloc::vec::Vec;

/// Whether others may hold the range too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockKind {
    Shared,
    Exclusive,
}

/// One locked range; `first` and `last` are both locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangeLock<O> {
    pub(crate) owner: O,
    pub(crate) kind: LockKind,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// The locks on one file.
pub(crate) struct LockRanges<O> {
    locks: Vec<RangeLock<O>>,
}

impl<O: Copy + PartialEq> LockRanges<O> {
    /// Makes an empty set.
    pub(crate) const fn new() -> LockRanges<O> {
        LockRanges { locks: Vec::new() }
    }

    /// Returns whether nothing is locked.
    pub(crate) fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }

    /// Returns all locks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RangeLock<O>> {
        self.locks.iter()
    }

    /// Returns the lock with the lowest start that keeps `wanted` from being set.
    pub(crate) fn conflict(&self, wanted: &RangeLock<O>) -> Option<RangeLock<O>> {
        let blocks = |held: &&RangeLock<O>| {
            held.owner != wanted.owner
                && held.overlaps(wanted.first, wanted.last)
                && (held.kind == LockKind::Exclusive || wanted.kind == LockKind::Exclusive)
        };
        self.locks.iter().filter(blocks).min_by_key(|held| held.first).copied()
    }

    /// Sets `wanted`, which must not conflict: replaces what its owner held there and joins equal neighbours. Returns
    /// whether there was anything to replace.
    pub(crate) fn set(&mut self, mut wanted: RangeLock<O>) -> bool {
        let has_replaced = self.unset(wanted.owner, wanted.first, wanted.last);
        self.locks.retain(|held| {
            let is_joined = held.owner == wanted.owner
                && held.kind == wanted.kind
                && (held.last.checked_add(1) == Some(wanted.first) || wanted.last.checked_add(1) == Some(held.first));
            if is_joined {
                wanted.first = wanted.first.min(held.first);
                wanted.last = wanted.last.max(held.last);
            }
            !is_joined
        });
        self.locks.push(wanted);
        has_replaced
    }

    /// Unlocks what `owner` holds from `first` to `last`; returns whether there was anything.
    pub(crate) fn unset(&mut self, owner: O, first: u64, last: u64) -> bool {
        let mut tails = Vec::new();
        let mut found = false;
        self.locks.retain_mut(|held| {
            if held.owner != owner || !held.overlaps(first, last) {
                return true;
            }
            found = true;
            if held.last > last {
                tails.push(RangeLock { first: last + 1, ..*held });
            }
            if held.first < first {
                held.last = first - 1;
                return true;
            }
            false
        });
        self.locks.append(&mut tails);
        found
    }
}

impl<O> RangeLock<O> {
    fn overlaps(&self, first: u64, last: u64) -> bool {
        self.first <= last && first <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::{LockKind, LockRanges, RangeLock};
    use alloc::vec;
    use alloc::vec::Vec;

    fn lock(owner: u32, kind: LockKind, first: u64, last: u64) -> RangeLock<u32> {
        RangeLock { owner, kind, first, last }
    }

    fn held(locks: &LockRanges<u32>) -> Vec<(u32, u64, u64)> {
        let mut held: Vec<_> = locks.iter().map(|lock| (lock.owner, lock.first, lock.last)).collect();
        held.sort();
        held
    }

    #[test]
    fn shared_locks_do_not_conflict_and_exclusive_ones_do() {
        let mut locks = LockRanges::new();
        locks.set(lock(1, LockKind::Shared, 10, 19));
        assert_eq!(locks.conflict(&lock(2, LockKind::Shared, 0, 99)), None);
        let conflict = locks.conflict(&lock(2, LockKind::Exclusive, 0, 10));
        assert_eq!(conflict, Some(lock(1, LockKind::Shared, 10, 19)));
        assert_eq!(locks.conflict(&lock(2, LockKind::Exclusive, 0, 9)), None);
        assert_eq!(locks.conflict(&lock(1, LockKind::Exclusive, 0, 99)), None);
    }

    #[test]
    fn unlocking_the_middle_splits() {
        let mut locks = LockRanges::new();
        locks.set(lock(1, LockKind::Exclusive, 0, u64::MAX));
        assert!(locks.unset(1, 100, 199));
        assert_eq!(held(&locks), vec![(1, 0, 99), (1, 200, u64::MAX)]);
        assert!(!locks.unset(1, 100, 199));
    }

    #[test]
    fn equal_neighbours_join_and_other_kinds_replace() {
        let mut locks = LockRanges::new();
        locks.set(lock(1, LockKind::Shared, 0, 9));
        locks.set(lock(1, LockKind::Shared, 20, 29));
        locks.set(lock(1, LockKind::Shared, 10, 19));
        assert_eq!(held(&locks), vec![(1, 0, 29)]);
        locks.set(lock(1, LockKind::Exclusive, 5, 6));
        assert_eq!(held(&locks), vec![(1, 0, 4), (1, 5, 6), (1, 7, 29)]);
    }
}
