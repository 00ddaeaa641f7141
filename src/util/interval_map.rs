//! A map from disjoint half-open ranges of addresses to values: the areas of an address space.
//!
//! Ranges are cut where an operation covers only a part of them, and joined again where neighbours continue each
//! other; the value says how (`Piece`). The ranges are a sorted deque: look-ups are binary searches in one block of
//! memory, which for the few dozen areas that programs have is several times cheaper than a tree (a tree made up nine
//! tenths of mmap's instructions); a change moves what lies on its shorter side, little where mappings are placed one below
//! the other. Most look-ups come to where the last one did, and begin there.

use alloc::collections::VecDeque;
use core::{cell::Cell, ops::Range};

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
    /// In ascending order; none is empty.
    entries: VecDeque<Entry<T>>,
    /// What the last look-up found.
    last: Cell<usize>,
}

#[derive(Clone)]
struct Entry<T> {
    start: u64,
    end: u64,
    value: T,
}

impl<T> Entry<T> {
    fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    fn show(&self) -> (Range<u64>, &T) {
        (self.range(), &self.value)
    }
}

impl<T: Piece> IntervalMap<T> {
    /// Makes an empty map.
    pub(crate) const fn new() -> IntervalMap<T> {
        IntervalMap { entries: VecDeque::new(), last: Cell::new(0) }
    }

    /// Returns how many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Makes room for `more` ranges, so that adding and cutting so many needs no memory; `false` if there is none.
    pub(crate) fn reserve(&mut self, more: usize) -> bool {
        self.entries.try_reserve(more).is_ok()
    }

    /// Returns the range that contains `address`.
    pub(crate) fn find(&self, address: u64) -> Option<(Range<u64>, &T)> {
        let entry = self.entries.get(self.first_ending_after(address))?;
        (entry.start <= address).then(|| entry.show())
    }

    /// Returns the range that contains `address`, its value to be changed. The change must not hinder later cuts.
    pub(crate) fn find_mut(&mut self, address: u64) -> Option<(Range<u64>, &mut T)> {
        let index = self.first_ending_after(address);
        let entry = self.entries.get_mut(index)?;
        (entry.start <= address).then(|| (entry.range(), &mut entry.value))
    }

    /// Returns the first range that starts at or above `address`.
    pub(crate) fn next_from(&self, address: u64) -> Option<(Range<u64>, &T)> {
        self.entries.get(self.first_starting_from(address)).map(Entry::show)
    }

    /// Returns the last range that ends at or below `address`.
    pub(crate) fn previous_to(&self, address: u64) -> Option<(Range<u64>, &T)> {
        let index = self.first_ending_after(address).checked_sub(1)?;
        self.entries.get(index).map(Entry::show)
    }

    /// Returns all ranges in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Range<u64>, &T)> {
        self.entries.iter().map(Entry::show)
    }

    /// Returns the ranges that overlap `range`, in order and whole.
    pub(crate) fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, &T)> {
        let first = self.first_ending_after(range.start);
        self.entries.range(first..).take_while(move |entry| entry.start < range.end).map(Entry::show)
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
        let index = self.first_starting_from(range.start);
        let mut added = Entry { start: range.start, end: range.end, value };
        // Joined with the one before, it needs no place of its own.
        if let Some(before) = index.checked_sub(1).and_then(|before| self.entries.get_mut(before))
            && before.end == added.start
            && before.value.try_join(before.end - before.start, &added.value)
        {
            before.end = added.end;
            self.join_after(index - 1);
            return;
        }
        // Nor does it where the one behind continues it.
        if let Some(next) = self.entries.get_mut(index)
            && added.end == next.start
            && added.value.try_join(added.end - added.start, &next.value)
        {
            *next = Entry { end: next.end, ..added };
            return;
        }
        self.entries.insert(index, added);
    }

    /// Adds a range behind all others, without joining it.
    pub(crate) fn append(&mut self, range: Range<u64>, value: T) {
        debug_assert!(self.entries.back().is_none_or(|last| last.end <= range.start));
        self.entries.push_back(Entry { start: range.start, end: range.end, value });
    }

    /// Removes what lies in `range`, cutting ranges that reach out of it; calls `removed` for each piece.
    pub(crate) fn remove(&mut self, range: Range<u64>, mut removed: impl FnMut(Range<u64>, T)) {
        let index = self.first_ending_after(range.start);
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.start < range.end) else { return };
        // An end of one range is taken off without moving what lies behind it.
        if entry.start == range.start && range.end < entry.end {
            let back = entry.value.split_off(range.end - range.start);
            entry.start = range.end;
            return removed(range, core::mem::replace(&mut entry.value, back));
        }
        if entry.start < range.start && range.end == entry.end {
            entry.end = range.start;
            return removed(range.clone(), entry.value.split_off(range.start - entry.start));
        }
        let inside = self.cut_out(&range);
        for entry in self.entries.drain(inside) {
            removed(entry.start..entry.end, entry.value);
        }
    }

    /// Changes the values of what lies in `range`, cutting ranges that reach out of it and joining afterwards.
    pub(crate) fn update(&mut self, range: Range<u64>, mut change: impl FnMut(&mut T)) {
        let inside = self.cut_out(&range);
        for entry in self.entries.range_mut(inside.clone()) {
            change(&mut entry.value);
        }
        for index in inside.clone().rev() {
            self.join_after(index);
        }
        if let Some(before) = inside.start.checked_sub(1) {
            self.join_after(before);
        }
    }

    /// Finds the highest free range of `length` that lies in `within`; `guard` says how much must stay free below a
    /// range. Returns its start.
    pub(crate) fn free_top_down(&self, within: Range<u64>, length: u64, guard: impl Fn(&T) -> u64) -> Option<u64> {
        let above = self.first_starting_from(within.end);
        let mut ceiling = within.end;
        if let Some(entry) = self.entries.get(above) {
            ceiling = ceiling.min(entry.start.saturating_sub(guard(&entry.value)));
        }
        for entry in self.entries.range(..above).rev().take_while(|entry| entry.end > within.start) {
            if ceiling.checked_sub(length).is_some_and(|found| found >= entry.end) {
                return Some(ceiling - length);
            }
            ceiling = ceiling.min(entry.start.saturating_sub(guard(&entry.value)));
        }
        ceiling.checked_sub(length).filter(|found| *found >= within.start)
    }

    fn first_ending_after(&self, address: u64) -> usize {
        let last = self.last.get();
        let ends_before = |index: usize| self.entries.get(index).is_none_or(|entry| entry.end <= address);
        if !ends_before(last) && (last == 0 || ends_before(last - 1)) {
            return last;
        }
        let found = self.entries.partition_point(|entry| entry.end <= address);
        self.last.set(found);
        found
    }

    fn first_starting_from(&self, address: u64) -> usize {
        let index = self.first_ending_after(address);
        index + usize::from(self.entries.get(index).is_some_and(|entry| entry.start < address))
    }

    /// Makes the ends of `range` borders; returns the indexes of what lies inside.
    fn cut_out(&mut self, range: &Range<u64>) -> Range<usize> {
        let mut first = self.first_ending_after(range.start);
        if self.cut_at(first, range.start) {
            first += 1;
        }
        let last = self.first_ending_after(range.end);
        if self.cut_at(last, range.end) {
            return first..last + 1;
        }
        first..last
    }

    /// Cuts the entry `index` at `address` if that lies within it; returns whether it did.
    fn cut_at(&mut self, index: usize, address: u64) -> bool {
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.start < address && address < entry.end)
        else {
            return false;
        };
        let back = Entry { start: address, end: entry.end, value: entry.value.split_off(address - entry.start) };
        entry.end = address;
        self.entries.insert(index + 1, back);
        true
    }

    /// Joins the entry `index` with the next if they meet and their values can be joined.
    fn join_after(&mut self, index: usize) {
        let mut pair = self.entries.range_mut(index..);
        if let (Some(entry), Some(next)) = (pair.next(), pair.next())
            && entry.end == next.start
            && entry.value.try_join(entry.end - entry.start, &next.value)
        {
            entry.end = next.end;
            self.entries.remove(index + 1);
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
