//! Taking pages out of a user page table: what is removed is gathered, flushed on every CPU at once, and only then
//! dropped, the tables that became empty too.

use super::entry::{self, Child, Table};
use super::tlb::{Cpus, Stale};
use super::{Frame, LARGE_PAGE_SIZE, LargeFrame, PAGE_SIZE};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// Pages on their way out of a table: gathered, flushed together, then dropped.
pub(super) struct Removal<'a> {
    /// Who may have the translations.
    cpus: &'a Cpus,
    frames: [MaybeUninit<u32>; 64],
    frames_length: usize,
    large: [Option<LargeFrame>; 8],
    large_length: usize,
    tables: [Option<Table>; 8],
    tables_length: usize,
    /// What must be flushed before they are dropped.
    stale: Stale,
    /// How many pages were removed.
    pub(super) pages: usize,
    /// How many of these were in large ones.
    pub(super) large_pages: usize,
    /// How many tables became empty.
    pub(super) freed_tables: usize,
}

impl<'a> Removal<'a> {
    /// Starts a removal from the tables that `cpus` have loaded.
    pub(super) fn new(cpus: &'a Cpus) -> Removal<'a> {
        Removal {
            cpus,
            frames: [const { MaybeUninit::uninit() }; 64],
            frames_length: 0,
            large: [const { None }; 8],
            large_length: 0,
            tables: [None; 8],
            tables_length: 0,
            stale: Stale::new(),
            pages: 0,
            large_pages: 0,
            freed_tables: 0,
        }
    }

    /// Takes the pages of `range` out of `table` and of the tables below.
    pub(super) fn remove(&mut self, table: Table, level: u32, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut removed = 0;
        if level == 0 {
            let first = entry::index(range.start, 0);
            table.each_present(first..entry::index(range.end - 1, 0) + 1, |index, slot| {
                let old = slot.swap(0, Ordering::AcqRel);
                removed += 1;
                self.add_frame(range.start + ((index - first) * PAGE_SIZE) as u64, entry::page(old));
            });
            self.pages += removed as usize;
        } else {
            let all = table.each_child(level, range, |child, part| {
                let start = part.start;
                let slot = &table.entries()[entry::index(start, level)];
                match child {
                    Child::LargePage => {
                        debug_assert!(part.end - start == LARGE_PAGE_SIZE as u64, "a large page is not split");
                        removed += 1;
                        self.add_large_frame(start, entry::page(slot.swap(0, Ordering::AcqRel)));
                    }
                    Child::Table(below) => {
                        self.remove(below, level - 1, part);
                        if below.count(0) == 0 {
                            slot.store(0, Ordering::Release);
                            removed += 1;
                            self.add_table(start, below);
                        }
                    }
                }
                Ok(())
            });
            debug_assert!(all.is_ok());
        }
        table.count(-removed);
    }

    fn add_frame(&mut self, address: u64, page: u32) {
        if self.frames_length == self.frames.len() {
            self.finish();
        }
        self.frames[self.frames_length].write(page);
        self.frames_length += 1;
        self.stale.add(address, PAGE_SIZE as u64);
    }

    fn add_large_frame(&mut self, address: u64, page: u32) {
        if self.large_length == self.large.len() {
            self.finish();
        }
        // SAFETY: the entry's references are nobody's now.
        self.large[self.large_length] = Some(unsafe { LargeFrame::from_number(page) });
        self.large_length += 1;
        self.pages += LARGE_PAGE_SIZE / PAGE_SIZE;
        self.large_pages += LARGE_PAGE_SIZE / PAGE_SIZE;
        self.stale.add(address, LARGE_PAGE_SIZE as u64);
    }

    fn add_table(&mut self, address: u64, table: Table) {
        if self.tables_length == self.tables.len() {
            self.finish();
        }
        self.tables[self.tables_length] = Some(table);
        self.tables_length += 1;
        self.freed_tables += 1;
        self.stale.add(address, PAGE_SIZE as u64);
    }

    /// Flushes and drops what was gathered.
    pub(super) fn finish(&mut self) {
        self.cpus.flush(self.stale.take());
        for page in &self.frames[..self.frames_length] {
            // SAFETY: so many were written; the entry's reference is nobody's now, and no CPU has the translation any more.
            drop(unsafe { Frame::from_number(page.assume_init()) });
        }
        self.large[..self.large_length].fill_with(|| None);
        for table in self.tables[..self.tables_length].iter_mut().filter_map(Option::take) {
            // SAFETY: its entry was cleared and flushed, with what the CPU keeps of the levels between.
            unsafe { table.free() };
        }
        self.frames_length = 0;
        self.large_length = 0;
        self.tables_length = 0;
    }
}
