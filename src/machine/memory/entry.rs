//! Entries of page tables (SDM vol. 3A, 4.5), and the pages that hold them.

use super::{OutOfMemory, allocator};
use crate::machine::asm::direct_map_address;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
pub(super) const WRITE_THROUGH: u64 = 1 << 3;
pub(super) const CACHE_DISABLE: u64 = 1 << 4;
pub(super) const ACCESSED: u64 = 1 << 5;
pub(super) const DIRTY: u64 = 1 << 6;
/// In entries of the two middle levels: maps 1 GiB or 2 MiB.
pub(super) const LARGE: u64 = 1 << 7;
/// In entries of the lowest level: chooses the upper half of the page attribute table.
pub(super) const ATTRIBUTE: u64 = 1 << 7;
/// The same for large pages.
pub(super) const LARGE_ATTRIBUTE: u64 = 1 << 12;
pub(super) const GLOBAL: u64 = 1 << 8;
pub(super) const NO_EXECUTE: u64 = 1 << 63;

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Returns the physical address in an entry.
pub(super) fn address(entry: u64) -> u64 {
    entry & ADDRESS
}

/// Returns the page number in an entry.
pub(super) fn page(entry: u64) -> u32 {
    (address(entry) >> 12) as u32
}

/// Returns which entry of a table on `level` (0 lowest) maps `virtual_address`.
pub(super) fn index(virtual_address: u64, level: u32) -> usize {
    (virtual_address >> (12 + 9 * level)) as usize & 511
}

/// Returns how many bytes one entry of a table on `level` maps.
pub(super) fn span(level: u32) -> u64 {
    1 << (12 + 9 * level)
}

/// Where a table's counter has, above the count of its entries, how far from the table's end they began at most: 512 less
/// the lowest index.
const SPREAD_SHIFT: u32 = 16;

/// What an entry above the lowest level leads to.
pub(super) enum Child {
    Table(Table),
    LargePage,
}

/// A page that holds 512 entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    page: u32,
}

impl Table {
    /// Allocates an empty table.
    pub(super) fn new() -> Result<Table, OutOfMemory> {
        let page = allocator::allocate_clean_page().ok_or(OutOfMemory)?;
        allocator::counter(page).store(0, Ordering::Relaxed);
        Ok(Table { page })
    }

    /// Returns the table whose page an entry names.
    ///
    /// # Safety
    /// `entry` must be an entry that refers to a table.
    pub(super) unsafe fn of(entry: u64) -> Table {
        Table { page: page(entry) }
    }

    /// Returns the physical address.
    pub(super) fn address(self) -> u64 {
        u64::from(self.page) << 12
    }

    /// Returns the entries. The reference must not outlive the table.
    pub(super) fn entries<'a>(self) -> &'a [AtomicU64; 512] {
        // SAFETY: a `Table` is a page of RAM that holds entries, only ever used as atomics, and the direct map shows
        // it.
        unsafe { &*direct_map_address(self.address()).cast() }
    }

    /// Returns how many entries are present.
    pub(super) fn count(self) -> u32 {
        allocator::counter(self.page).load(Ordering::Relaxed) % (1 << SPREAD_SHIFT)
    }

    /// Counts `number` more entries, none before `index`.
    pub(super) fn add(self, index: usize, number: u32) {
        let counter = allocator::counter(self.page);
        let spread = (512 - index as u32) << SPREAD_SHIFT;
        if counter.fetch_add(number, Ordering::Relaxed) < spread {
            let widen = |now: u32| (now < spread).then_some((now % (1 << SPREAD_SHIFT)) | spread);
            let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, widen);
        }
    }

    /// Counts `number` entries less.
    pub(super) fn subtract(self, number: u32) {
        allocator::counter(self.page).fetch_sub(number, Ordering::Relaxed);
    }

    /// Calls `visit` with what is below this table (on `level`, above the lowest) for `range` (not empty), each with its part
    /// of the range, until that fails.
    #[inline(always)]
    pub(super) fn each_child(
        self, level: u32, range: Range<u64>, mut visit: impl FnMut(Child, Range<u64>) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        let mut left = self.count();
        let mut start = range.start;
        for slot in &self.entries()[index(range.start, level)..=index(range.end - 1, level)] {
            // Most tables are nearly empty: the count says when the rest need not be looked at.
            if left == 0 {
                break;
            }
            let end = ((start | (span(level) - 1)) + 1).min(range.end);
            let present = slot.load(Ordering::Acquire);
            if present & PRESENT != 0 {
                left -= 1;
                let child = if present & LARGE != 0 {
                    Child::LargePage
                } else {
                    // SAFETY: above the lowest level, what is no large page is a table.
                    Child::Table(unsafe { Table::of(present) })
                };
                visit(child, start..end)?;
            }
            start = end;
        }
        Ok(())
    }

    /// Calls `visit` with the index of each present entry among `indexes`, and the entry.
    #[inline(always)]
    pub(super) fn each_present(self, indexes: Range<usize>, mut visit: impl FnMut(usize, &AtomicU64)) {
        const GROUP: usize = 8;
        let (groups, _) = self.entries().as_chunks::<GROUP>();
        let first = 512 - (allocator::counter(self.page).load(Ordering::Relaxed) >> SPREAD_SHIFT) as usize;
        let mut left = self.count();
        let mut start = indexes.start.max(first);
        while start < indexes.end && left > 0 {
            let group = &groups[start / GROUP];
            let end = (start / GROUP * GROUP + GROUP).min(indexes.end);
            if group.iter().fold(0, |bits, slot| bits | slot.load(Ordering::Relaxed)) & PRESENT != 0 {
                for index in start..end {
                    let slot = &group[index % GROUP];
                    if slot.load(Ordering::Relaxed) & PRESENT != 0 {
                        left -= 1;
                        visit(index, slot);
                    }
                }
            }
            start = end;
        }
    }

    /// Frees the table's page.
    ///
    /// # Safety
    /// All entries are zero, and no entry and no CPU may refer to the table any more.
    pub(super) unsafe fn free(self) {
        allocator::free_clean_page(self.page);
    }
}
