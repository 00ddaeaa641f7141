//! Taking pages out of a user page table: what is removed is gathered, flushed on every CPU at once, and only then
//! dropped, the tables that became empty too.

use super::entry::{self, Child, Table};
use super::tlb::{Cpus, Stale};
use super::{Frame, LARGE_PAGE_SIZE, LargeFrame, PAGE_SIZE};
use core::{mem::MaybeUninit, ops::Range, sync::atomic::Ordering};

/// How much is flushed together: each time interrupts all CPUs that have the table loaded, and waits for them. As many as
/// the pages of one table.
const GATHERED: usize = 512;

/// What an entry that was taken out held.
#[derive(Clone, Copy)]
enum Gathered {
    Frame(u32),
    LargeFrame(u32),
    Table(Table),
}

/// Pages on their way out of a table: gathered, flushed together, then dropped.
pub(super) struct Removal<'a> {
    /// Who may have the translations.
    cpus: &'a Cpus,
    gathered: [MaybeUninit<Gathered>; GATHERED],
    gathered_length: usize,
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
            gathered: [const { MaybeUninit::uninit() }; GATHERED],
            gathered_length: 0,
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
                let address = range.start + ((index - first) * PAGE_SIZE) as u64;
                self.gather(Gathered::Frame(entry::page(old)), address, PAGE_SIZE);
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
                        self.pages += LARGE_PAGE_SIZE / PAGE_SIZE;
                        self.large_pages += LARGE_PAGE_SIZE / PAGE_SIZE;
                        let old = slot.swap(0, Ordering::AcqRel);
                        self.gather(Gathered::LargeFrame(entry::page(old)), start, LARGE_PAGE_SIZE);
                    }
                    Child::Table(below) => {
                        self.remove(below, level - 1, part);
                        if below.count() == 0 {
                            slot.store(0, Ordering::Release);
                            removed += 1;
                            self.freed_tables += 1;
                            self.gather(Gathered::Table(below), start, PAGE_SIZE);
                        }
                    }
                }
                Ok(())
            });
            debug_assert!(all.is_ok());
        }
        table.subtract(removed);
    }

    /// Keeps what was at `address` until no CPU has a translation of the `size` bytes there.
    fn gather(&mut self, what: Gathered, address: u64, size: usize) {
        if self.gathered_length == self.gathered.len() {
            self.finish();
        }
        self.gathered[self.gathered_length].write(what);
        self.gathered_length += 1;
        self.stale.add(address, size as u64);
    }

    /// Flushes and drops what was gathered.
    pub(super) fn finish(&mut self) {
        self.cpus.flush(self.stale.take());
        for what in &self.gathered[..self.gathered_length] {
            // SAFETY: so many were written. The references of the entry are nobody's now, and no CPU has the translation any
            // more, nor, of a table, what it keeps of the levels between.
            unsafe {
                match what.assume_init() {
                    Gathered::Frame(page) => drop(Frame::from_number(page)),
                    Gathered::LargeFrame(page) => drop(LargeFrame::from_number(page)),
                    Gathered::Table(table) => table.free(),
                }
            }
        }
        self.gathered_length = 0;
    }
}
