//! A map from disjoint half-open ranges of addresses to values: the areas of an address space.
//!
//! Ranges are cut where an operation covers only a part of them, and joined again where neighbours continue each
//! other; the value says how (`Piece`). Look-ups cost O(log n).

use alloc::collections::BTreeMap;
use core::ops::Range;

/// A value that can be cut and joined with the range it stands for.
pub(crate) trait Piece: Sized {
    /// Cuts at `offset` from the range's start: `self` becomes the front, the result is the back.
    fn split_off(&mut self, offset: u64) -> Self;

    /// Takes in `next`, which follows directly after the `length` of `self`, if the two are one thing; else returns
    /// `false` and changes nothing.
    fn try_join(&mut self, length: u64, next: &Self) -> bool;
}

/// Disjoint ranges and their values.
#[derive(Clone)]
pub(crate) struct IntervalMap<T> {
    /// By start: end and value.
    entries: BTreeMap<u64, (u64, T)>,
}

impl<T: Piece> IntervalMap<T> {
    /// Makes an empty map.
    pub(crate) const fn new() -> IntervalMap<T> {
        IntervalMap { entries: BTreeMap::new() }
    }

    /// Returns how many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the range that contains `address`.
    pub(crate) fn find(&self, address: u64) -> Option<(Range<u64>, &T)> {
        let (&start, (end, value)) = self.entries.range(..=address).next_back()?;
        (address < *end).then_some((start..*end, value))
    }

    /// Returns the range that contains `address`, its value to be changed. The change must not hinder later cuts.
    pub(crate) fn find_mut(&mut self, address: u64) -> Option<(Range<u64>, &mut T)> {
        let (&start, (end, value)) = self.entries.range_mut(..=address).next_back()?;
        (address < *end).then_some((start..*end, value))
    }

    /// Returns the first range that starts at or above `address`.
    pub(crate) fn next_from(&self, address: u64) -> Option<(Range<u64>, &T)> {
        let (&start, (end, value)) = self.entries.range(address..).next()?;
        Some((start..*end, value))
    }

    /// Returns the last range that ends at or below `address`.
    pub(crate) fn previous_to(&self, address: u64) -> Option<(Range<u64>, &T)> {
        self.entries
            .range(..address)
            .rev()
            .map(|(&start, (end, value))| (start..*end, value))
            .find(|(r, _)| r.end <= address)
    }

    /// Returns all ranges in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Range<u64>, &T)> {
        self.entries.iter().map(|(&start, (end, value))| (start..*end, value))
    }

    /// Returns the ranges that overlap `range`, in order and whole.
    pub(crate) fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, &T)> {
        let first = self.find(range.start).map_or(range.start, |(found, _)| found.start);
        self.entries.range(first..range.end.max(first)).map(|(&start, (end, value))| (start..*end, value))
    }

    /// Returns whether nothing overlaps `range`.
    pub(crate) fn is_free(&self, range: Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// Returns whether every address of `range` is in some range.
    pub(crate) fn is_covered(&self, range: Range<u64>) -> bool {
        let mut reached = range.start;
        for (found, _) in self.overlapping(range.clone()) {
            if found.start > reached {
                return false;
            }
            reached = found.end;
        }
        reached >= range.end
    }

    /// Adds a range, which must be free and not empty, and joins it with its neighbours where that is possible.
    pub(crate) fn insert(&mut self, range: Range<u64>, value: T) {
        debug_assert!(range.start < range.end && self.is_free(range.clone()));
        let start = range.start;
        self.entries.insert(start, (range.end, value));
        self.join_at(range.end);
        self.join_at(start);
    }

    /// Removes what lies in `range`, cutting ranges that reach out of it; calls `removed` for each piece.
    pub(crate) fn remove(&mut self, range: Range<u64>, mut removed: impl FnMut(Range<u64>, T)) {
        self.cut_at(range.start);
        self.cut_at(range.end);
        while let Some((&start, _)) = self.entries.range(range.clone()).next() {
            if let Some((end, value)) = self.entries.remove(&start) {
                removed(start..end, value);
            }
        }
    }

    /// Changes the values of what lies in `range`, cutting ranges that reach out of it and joining afterwards.
    pub(crate) fn update(&mut self, range: Range<u64>, mut change: impl FnMut(&mut T)) {
        self.cut_at(range.start);
        self.cut_at(range.end);
        for (_, (_, value)) in self.entries.range_mut(range.clone()) {
            change(value);
        }

        let mut seam = range.end;
        self.join_at(seam);
        while let Some((&start, _)) = self.entries.range(range.start..seam).next_back() {
            self.join_at(start);
            seam = start;
        }
    }

    /// Finds the highest free range of `length` that lies in `within`; `guard` says how much must stay free below a
    /// range. Returns its start.
    pub(crate) fn free_top_down(&self, within: Range<u64>, length: u64, guard: impl Fn(&T) -> u64) -> Option<u64> {
        // What reaches over the upper border counts as well.
        let mut ceiling = within.end;
        if let Some((above, value)) = self.next_from(within.end) {
            ceiling = ceiling.min(above.start.saturating_sub(guard(value)));
        }
        for (&start, (end, value)) in self.entries.range(..within.end).rev() {
            if *end <= within.start {
                break;
            }
            if ceiling.checked_sub(length).is_some_and(|found| found >= *end) {
                return Some(ceiling - length);
            }
            ceiling = ceiling.min(start.saturating_sub(guard(value)));
        }
        ceiling.checked_sub(length).filter(|found| *found >= within.start)
    }

    /// Makes `address` a border if a range crosses it.
    fn cut_at(&mut self, address: u64) {
        let Some((&start, (end, value))) = self.entries.range_mut(..address).next_back() else { return };
        if *end <= address {
            return;
        }
        let back = value.split_off(address - start);
        let back_end = core::mem::replace(end, address);
        self.entries.insert(address, (back_end, back));
    }

    /// Joins the ranges that meet at `address` if their values can be.
    fn join_at(&mut self, address: u64) {
        let mut near = self.entries.range_mut(..=address);
        let Some((&next_start, (next_end, next))) = near.next_back() else { return };
        let Some((&start, (end, value))) = near.next_back() else { return };
        if next_start == address && *end == address && value.try_join(address - start, next) {
            *end = *next_end;
            self.entries.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IntervalMap, Piece};
    use alloc::vec::Vec;
    use core::ops::Range;

    /// A file's window: joins where offsets continue.
    #[derive(Clone, Debug, PartialEq)]
    struct Window {
        file: u32,
        offset: u64,
    }

    impl Piece for Window {
        fn split_off(&mut self, offset: u64) -> Window {
            Window { file: self.file, offset: self.offset + offset }
        }

        fn try_join(&mut self, length: u64, next: &Window) -> bool {
            self.file == next.file && self.offset + length == next.offset
        }
    }

    fn window(file: u32, offset: u64) -> Window {
        Window { file, offset }
    }

    fn listed(map: &IntervalMap<Window>) -> Vec<(Range<u64>, u32, u64)> {
        map.iter().map(|(range, value)| (range, value.file, value.offset)).collect()
    }

    #[test]
    fn removing_the_middle_leaves_both_ends_with_their_offsets() {
        let mut map = IntervalMap::new();
        map.insert(10..50, window(1, 100));
        let mut removed = Vec::new();
        map.remove(20..30, |range, value| removed.push((range, value)));
        assert_eq!(listed(&map), [(10..20, 1, 100), (30..50, 1, 120)]);
        assert_eq!(removed, [(20..30, window(1, 110))]);
    }

    #[test]
    fn removing_spans_several_ranges_and_holes() {
        let mut map = IntervalMap::new();
        map.insert(0..10, window(1, 0));
        map.insert(20..30, window(2, 0));
        map.insert(40..50, window(3, 0));
        let mut count = 0;
        map.remove(5..45, |_, _| count += 1);
        assert_eq!(count, 3);
        assert_eq!(listed(&map), [(0..5, 1, 0), (45..50, 3, 5)]);
    }

    #[test]
    fn neighbours_join_only_where_they_continue() {
        let mut map = IntervalMap::new();
        map.insert(0..10, window(1, 0));
        map.insert(20..30, window(1, 20));
        map.insert(10..20, window(1, 10));
        assert_eq!(listed(&map), [(0..30, 1, 0)]);
        map.insert(30..40, window(1, 31));
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn an_update_cuts_and_a_second_one_joins_again() {
        let mut map = IntervalMap::new();
        map.insert(0..30, window(1, 0));
        map.update(10..20, |value| value.file = 2);
        assert_eq!(listed(&map), [(0..10, 1, 0), (10..20, 2, 10), (20..30, 1, 20)]);
        map.update(0..30, |value| value.file = 1);
        assert_eq!(listed(&map), [(0..30, 1, 0)]);
    }

    #[test]
    fn coverage_sees_holes_and_borders() {
        let mut map = IntervalMap::new();
        map.insert(0..10, window(1, 0));
        map.insert(10..20, window(2, 0));
        assert!(map.is_covered(3..20));
        assert!(!map.is_covered(3..21));
        map.insert(30..40, window(1, 0));
        assert!(!map.is_covered(15..35));
        assert!(map.is_free(20..30));
        assert!(!map.is_free(19..30));
    }

    #[test]
    fn find_and_neighbours() {
        let mut map = IntervalMap::new();
        map.insert(10..20, window(1, 0));
        map.insert(30..40, window(2, 0));
        assert!(map.find(9).is_none() && map.find(20).is_none());
        assert_eq!(map.find(19).map(|found| found.0), Some(10..20));
        assert_eq!(map.next_from(11).map(|found| found.0), Some(30..40));
        assert_eq!(map.previous_to(30).map(|found| found.0), Some(10..20));
        assert_eq!(map.previous_to(35).map(|found| found.0), Some(10..20));
        assert!(map.previous_to(15).is_none());
    }

    #[test]
    fn the_highest_gap_is_found_and_guards_are_kept() {
        let mut map = IntervalMap::new();
        let none = |_: &Window| 0;
        assert_eq!(map.free_top_down(10..100, 20, none), Some(80));
        map.insert(70..90, window(1, 0));
        assert_eq!(map.free_top_down(10..100, 10, none), Some(90));
        assert_eq!(map.free_top_down(10..100, 20, none), Some(50));
        assert_eq!(map.free_top_down(10..100, 20, |_| 5), Some(45));
        assert_eq!(map.free_top_down(10..100, 60, none), Some(10));
        assert_eq!(map.free_top_down(10..100, 61, none), None);
        assert_eq!(map.free_top_down(10..80, 20, none), Some(50));
        map.insert(5..15, window(1, 0));
        assert_eq!(map.free_top_down(10..100, 60, none), None);
        assert_eq!(map.free_top_down(10..100, 55, none), Some(15));
    }

    #[test]
    fn random_operations_agree_with_a_plain_array() {
        let mut seed = 12345_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        let mut map: IntervalMap<Window> = IntervalMap::new();
        let mut plain: [Option<(u32, u64)>; 64] = [None; 64];
        for _ in 0..20_000 {
            let start = random(64);
            let end = start + 1 + random(64 - start);
            match random(3) {
                0 => {
                    map.remove(start..end, |_, _| ());
                    plain[start as usize..end as usize].fill(None);
                }
                1 => {
                    map.remove(start..end, |_, _| ());
                    let value = window(random(3) as u32, start + random(2));
                    for at in start..end {
                        plain[at as usize] = Some((value.file, value.offset + at - start));
                    }
                    map.insert(start..end, value);
                }
                _ => {
                    let file = random(3) as u32;
                    map.update(start..end, |value| value.file = file);
                    plain[start as usize..end as usize].iter_mut().flatten().for_each(|cell| cell.0 = file);
                }
            }
            for at in 0..64 {
                let found = map.find(at).map(|(range, value)| (value.file, value.offset + at - range.start));
                assert_eq!(found, plain[at as usize]);
            }
            assert_eq!(map.is_covered(start..end), plain[start as usize..end as usize].iter().all(Option::is_some));
            assert_eq!(map.is_free(start..end), plain[start as usize..end as usize].iter().all(Option::is_none));
        }
    }
}
