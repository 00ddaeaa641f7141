//! A set of numbers kept as sorted, disjoint ranges in a fixed array: for the memory map, before there is a heap.

use core::ops::Range;

/// Up to `N` ranges. What does not fit any more is left out, which `is_complete` tells.
#[derive(Clone, Debug)]
pub(crate) struct RangeSet<const N: usize> {
    ranges: [(u64, u64); N],
    length: usize,
    is_complete: bool,
}

impl<const N: usize> RangeSet<N> {
    /// Makes an empty set.
    pub(crate) const fn new() -> RangeSet<N> {
        RangeSet { ranges: [(0, 0); N], length: 0, is_complete: true }
    }

    /// Returns whether no range was left out for want of room.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the ranges, lowest first.
    pub(crate) fn ranges(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + Clone + '_ {
        self.ranges[..self.length].iter().map(|&(start, end)| start..end)
    }

    /// Returns how many numbers are in the set.
    pub(crate) fn total(&self) -> u64 {
        self.ranges().map(|range| range.end - range.start).sum()
    }

    /// Returns whether all of `range` is in the set.
    pub(crate) fn contains(&self, range: Range<u64>) -> bool {
        range.is_empty() || self.ranges().any(|held| held.start <= range.start && range.end <= held.end)
    }

    /// Adds the numbers of `range`; ranges that touch become one.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges().take_while(|held| held.end < range.start).count();
        let after = self.ranges().take_while(|held| held.start <= range.end).count();

        let mut merged = (range.start, range.end);
        if first < after {
            merged.0 = merged.0.min(self.ranges[first].0);
            merged.1 = merged.1.max(self.ranges[after - 1].1);
        }
        self.replace(first, after, &[merged]);
    }

    /// Takes the numbers of `range` out.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges().take_while(|held| held.end <= range.start).count();
        let after = self.ranges().take_while(|held| held.start < range.end).count();
        if first >= after {
            return;
        }

        let head = (self.ranges[first].0, range.start);
        let tail = (range.end, self.ranges[after - 1].1);
        match (head.0 < head.1, tail.0 < tail.1) {
            (true, true) => self.replace(first, after, &[head, tail]),
            (true, false) => self.replace(first, after, &[head]),
            (false, true) => self.replace(first, after, &[tail]),
            (false, false) => self.replace(first, after, &[]),
        }
    }

    /// Puts `new` in the place of the ranges from index `first` up to `after`.
    fn replace(&mut self, first: usize, after: usize, new: &[(u64, u64)]) {
        let tail = self.length - after;
        if first + new.len() + tail > N {
            self.is_complete = false;
            // The last range gives way: the highest memory is missed least.
            if self.length > after {
                self.length -= 1;
                self.replace(first, after, new);
            }
            return;
        }
        self.ranges.copy_within(after..self.length, first + new.len());
        self.ranges[first..first + new.len()].copy_from_slice(new);
        self.length = first + new.len() + tail;
    }
}

#[cfg(test)]
mod tests {
    use super::RangeSet;

    fn set(ranges: &[(u64, u64)]) -> RangeSet<8> {
        let mut set = RangeSet::new();
        for &(start, end) in ranges {
            set.insert(start..end);
        }
        set
    }

    fn list<const N: usize>(set: &RangeSet<N>) -> Vec<(u64, u64)> {
        set.ranges().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn insert_sorts_and_joins() {
        assert_eq!(list(&set(&[(10, 20), (0, 5), (30, 40)])), [(0, 5), (10, 20), (30, 40)]);
        assert_eq!(list(&set(&[(0, 5), (10, 20), (5, 10)])), [(0, 20)]);
        assert_eq!(list(&set(&[(0, 5), (10, 20), (30, 40), (3, 35)])), [(0, 40)]);
        assert_eq!(list(&set(&[(3, 3)])), []);
    }

    #[test]
    fn remove_cuts_and_splits() {
        let mut cut = set(&[(0, 100)]);
        cut.remove(40..50);
        assert_eq!(list(&cut), [(0, 40), (50, 100)]);
        cut.remove(30..60);
        assert_eq!(list(&cut), [(0, 30), (60, 100)]);
        cut.remove(0..10);
        cut.remove(90..200);
        assert_eq!(list(&cut), [(10, 30), (60, 90)]);
        cut.remove(0..1000);
        assert_eq!(list(&cut), []);
        assert_eq!(cut.total(), 0);
    }

    #[test]
    fn a_full_set_says_so() {
        let mut full = RangeSet::<2>::new();
        for start in [0, 10, 20] {
            full.insert(start..start + 5);
        }
        assert!(!full.is_complete());
        assert_eq!(list(&full), [(0, 5), (10, 15)]);
    }
}
