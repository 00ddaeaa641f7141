//! The page table of one user address space: which frame each user page shows, and how.
//!
//! Each present entry holds a reference on its frame. A frame taken out of the table is dropped only
//! after every CPU that may have the old translation has flushed it. A table page's counter counts its present
//! entries, so that empty ones are found without looking, and says before which there are none.
//!
//! Aligned 2 MiB may be one entry of the level above the lowest, which holds a reference on each of the 512 frames: splitting it is
//! filling a table with them. What needs a page of its own (`map`) splits; ranges to be unmapped, protected or shared must
//! not cut a large page (`split` before).

use super::entry::{self, Child, Table};
use super::removal::Removal;
use super::tlb::{Cpus, Stale};
use super::{Frame, LARGE_PAGE_SIZE, LargeFrame, OutOfMemory, PAGE_SIZE, USER_END, allocator, kernel_table};
use crate::machine::cpu::{self, MAX_CPUS};
use alloc::{sync::Arc, vec::Vec};
use bitflags::bitflags;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use core::{mem::ManuallyDrop, ops::Range, ptr::null_mut};
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

bitflags! {
    /// What user mode may do with a page. A page that user mode cannot read at all is not mapped.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Access: u8 {
        /// Stores are allowed.
        const WRITE = 1;
        /// Instruction fetch is allowed.
        const EXECUTE = 2;
    }
}

/// What the CPU noted of a mapped page, and what it is part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageState {
    pub(crate) is_accessed: bool,
    pub(crate) is_dirty: bool,
    pub(crate) is_in_large_page: bool,
}

/// Which pages `PageTable::protect` lets be stored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    Forbidden,
    /// As before.
    Kept,
    /// As before, and where nobody else has the page.
    ToOwn,
}

/// What sees a table, its level, the address of its first entry, and the entries that are meant.
type VisitTable<'a> = dyn FnMut(Table, u32, u64, Range<usize>) -> Result<(), OutOfMemory> + 'a;

/// The level of the root table; the lowest is 0.
const ROOT_LEVEL: u32 = 3;

/// A user address space as the CPU sees it. Methods that change it are for one caller at a time, which
/// the owner's lock ensures (`vm::AddressSpace`); wrong use spoils only that user's memory.
pub(crate) struct PageTable {
    root: Table,
    /// The CPUs that have it loaded.
    cpus: Cpus,
    /// How many tables there are below the root.
    tables: AtomicUsize,
    /// How many pages are mapped by large ones.
    large_pages: AtomicUsize,
}

/// What each CPU has loaded; null for the kernel's own table.
static LOADED: [AtomicPtr<PageTable>; MAX_CPUS] = [const { AtomicPtr::new(null_mut()) }; MAX_CPUS];

/// Loads a user address space on this CPU, or the kernel's own table. The caller keeps `table` until it loads
/// another.
pub(in crate::machine) fn load_page_table(table: Option<&PageTable>) {
    let index = cpu::index();
    let next = table.map_or(null_mut(), |table| (&raw const *table).cast_mut());
    let previous = LOADED[index].load(Ordering::Relaxed);
    if previous == next {
        return;
    }

    if let Some(table) = table {
        table.cpus.add(index);
    }
    write_root(table.map_or_else(kernel_table::root_address, |table| table.root.address()));
    LOADED[index].store(next, Ordering::Relaxed);
    // SAFETY: the previous caller has kept it until now; `drop` of a loaded table unloads it.
    if let Some(previous) = unsafe { previous.as_ref() } {
        previous.cpus.remove(index);
    }
}

fn write_root(address: u64) {
    let frame = PhysFrame::containing_address(PhysAddr::new(address));
    // SAFETY: every root maps the kernel alike, and user memory only as the address space's owner said.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}

impl PageTable {
    /// Makes an empty table that shares the kernel's half.
    pub(crate) fn new() -> Result<Arc<PageTable>, OutOfMemory> {
        let root = new_table()?;
        kernel_table::copy_kernel_entries(root);
        Ok(Arc::new(PageTable {
            root,
            cpus: Cpus::new(),
            tables: AtomicUsize::new(0),
            large_pages: AtomicUsize::new(0),
        }))
    }

    /// Maps `frame` at the page `address`, replacing what was there.
    pub(crate) fn map(&self, address: u64, frame: Frame, access: Access) -> Result<(), OutOfMemory> {
        self.put(self.make_table(address, 0)?, address, frame, access);
        Ok(())
    }

    /// Asks `decide` what the page at `address` is to show, which shows so far what it is told; maps that.
    pub(crate) fn replace<E: From<OutOfMemory>>(
        &self, address: u64, decide: impl FnOnce(Option<(Frame, Access)>) -> Result<Option<(Frame, Access)>, E>,
    ) -> Result<(), E> {
        let (table, level) = self.lowest_table(address);
        if let Some((frame, access)) = decide(shown(table, level, address))? {
            let leaf = if level == 0 { table } else { self.make_table(address, 0)? };
            self.put(leaf, address, frame, access);
        }
        Ok(())
    }

    fn put(&self, leaf: Table, address: u64, frame: Frame, may: Access) {
        let slot = &leaf.entries()[entry::index(address, 0)];
        let new = u64::from(frame.into_number()) << 12 | bits(may);
        if slot.load(Ordering::Relaxed) & entry::PRESENT == 0 {
            slot.store(new, Ordering::Release);
            leaf.add(entry::index(address, 0), 1);
            return;
        }

        let old = slot.swap(new, Ordering::AcqRel);
        // A CPU that has a translation with less access forgets it when it faults.
        let is_wider = entry::page(old) == entry::page(new) && access(new).contains(access(old));
        if !is_wider {
            self.cpus.flush(address..address + PAGE_SIZE as u64);
        }
        // SAFETY: the entry's reference is nobody's now, and no CPU has the translation any more.
        drop(unsafe { Frame::from_number(entry::page(old)) });
    }

    /// Maps the frames that are in `frames` at consecutive pages from `address` on, but leaves alone what is mapped
    /// there; returns how many were mapped. The pages must lie in the same 2 MiB.
    pub(crate) fn map_missing(
        &self, address: u64, frames: &mut [Option<Frame>], access: Access,
    ) -> Result<usize, OutOfMemory> {
        let leaf = self.make_table(address, 0)?;
        let mut mapped = 0;
        for (slot, frame) in leaf.entries()[entry::index(address, 0)..].iter().zip(frames) {
            if slot.load(Ordering::Relaxed) & entry::PRESENT == 0
                && let Some(frame) = frame.take()
            {
                slot.store(u64::from(frame.into_number()) << 12 | bits(access), Ordering::Release);
                mapped += 1;
            }
        }
        leaf.add(entry::index(address, 0), mapped);
        Ok(mapped as usize)
    }

    /// Returns whether the large page's worth of addresses around `address` has neither pages nor a table.
    pub(crate) fn is_vacant(&self, address: u64) -> bool {
        let (slot, level) = self.lowest_entry(address);
        level > 0 && slot.load(Ordering::Relaxed) & entry::PRESENT == 0
    }

    /// Maps a large page at `address`, where it is vacant.
    pub(crate) fn map_large(&self, address: u64, frame: LargeFrame, access: Access) -> Result<(), OutOfMemory> {
        let table = self.make_table(address, 1)?;
        let slot = &table.entries()[entry::index(address, 1)];
        slot.store(u64::from(frame.into_number()) << 12 | bits(access) | entry::LARGE, Ordering::Release);
        table.add(entry::index(address, 1), 1);
        self.large_pages.fetch_add(LARGE_PAGE_SIZE / PAGE_SIZE, Ordering::Relaxed);
        Ok(())
    }

    /// Gives `access` to the large page around `address` if there is one whose frames nobody else has, but for the handle
    /// `own` of the page at `address`; returns whether so.
    pub(crate) fn take_over_large(&self, address: u64, own: &Frame, access: Access) -> bool {
        if self.large_pages() == 0 {
            return false;
        }
        let (slot, level) = self.lowest_entry(address);
        let old = slot.load(Ordering::Relaxed);
        if level == 0 || old & entry::PRESENT == 0 {
            return false;
        }
        let is_ours = is_unshared(old, level, Some(own));
        if is_ours {
            // A CPU that still has the translation without that forgets it when it faults.
            slot.fetch_or(bits(access) & entry::WRITE, Ordering::AcqRel);
        }
        is_ours
    }

    /// Splits the large pages that reach over the ends of `range`. The tables come from the kernel's reserve: a program
    /// must be able to give back what it has.
    pub(crate) fn split(&self, range: &Range<u64>) -> Result<(), OutOfMemory> {
        if self.large_pages() == 0 {
            return Ok(());
        }
        for address in [range.start, range.end] {
            let (slot, level) = self.lowest_entry(address.min(USER_END - 1));
            let is_large = level > 0 && slot.load(Ordering::Relaxed) & entry::PRESENT != 0;
            if is_large && !address.is_multiple_of(LARGE_PAGE_SIZE as u64) {
                self.split_entry(slot, address)?;
            }
        }
        Ok(())
    }

    /// Returns the frame at the page `address` (as one more reference) and its access.
    pub(crate) fn look_up(&self, address: u64) -> Option<(Frame, Access)> {
        let (table, level) = self.lowest_table(address);
        shown(table, level, address)
    }

    /// Removes all pages in `range`, frees tables that became empty, returns how many pages were removed.
    pub(crate) fn unmap(&self, range: Range<u64>) -> usize {
        self.unmap_all(core::iter::once(range))
    }

    /// `unmap` of all `ranges` together.
    pub(crate) fn unmap_all(&self, ranges: impl Iterator<Item = Range<u64>>) -> usize {
        let mut removal = Removal::new(&self.cpus);
        let mut ranges = ranges.peekable();
        while let Some(mut range) = ranges.next() {
            while let Some(next) = ranges.next_if(|next| next.start == range.end) {
                range.end = next.end;
            }
            let range = clip(range);
            // Mostly a few pages go, and their table stays.
            let pages = range.end.saturating_sub(range.start) / PAGE_SIZE as u64;
            match self.only_table(&range).filter(|table| u64::from(table.count()) > pages) {
                Some(table) => removal.remove(table, 0, range),
                None => removal.remove(self.root, ROOT_LEVEL, range),
            }
        }
        removal.finish();
        if removal.freed_tables > 0 {
            self.tables.fetch_sub(removal.freed_tables, Ordering::Relaxed);
        }
        if removal.large_pages > 0 {
            self.large_pages.fetch_sub(removal.large_pages, Ordering::Relaxed);
        }
        removal.pages
    }

    /// Returns how many pages the table itself takes.
    pub(crate) fn table_pages(&self) -> usize {
        self.tables.load(Ordering::Relaxed) + 1
    }

    /// Returns how many of the pages are mapped by large ones.
    pub(crate) fn large_pages(&self) -> usize {
        self.large_pages.load(Ordering::Relaxed)
    }

    /// Sets for the mapped pages in `range` whether they may be executed, and which may be stored to.
    pub(crate) fn protect(&self, range: Range<u64>, is_executable: bool, stores: Stores) {
        let mut lost = Stale::new();
        let no_execute = if is_executable { 0 } else { entry::NO_EXECUTE };
        self.each_entry(range, |address, slot, level| {
            let old = slot.load(Ordering::Relaxed);
            let writes = match stores {
                Stores::Forbidden => 0,
                Stores::ToOwn if old & entry::WRITE == 0 && is_unshared(old, level, None) => entry::WRITE,
                Stores::ToOwn | Stores::Kept => old & entry::WRITE,
            };
            let changed = (old ^ (writes | no_execute)) & (entry::WRITE | entry::NO_EXECUTE);
            if changed != 0 {
                // The CPU may set the accessed and dirty bits at any time.
                slot.fetch_xor(changed, Ordering::AcqRel);
                // A CPU that has a translation with less access forgets it when it faults.
                if changed & (old & entry::WRITE | no_execute) != 0 {
                    lost.add(address, entry::span(level));
                }
            }
        });
        self.cpus.flush(lost.take());
    }

    /// Maps each page of `range` that is mapped here, and not in `child`, into `child` too, at the same address and
    /// without write access in both: the fork of a private area. Returns how many pages.
    pub(crate) fn share_with(&self, child: &PageTable, range: Range<u64>) -> Result<usize, OutOfMemory> {
        let mut pages = 0;
        let mut protected = Stale::new();
        let result = self.each_table(range, &mut |table, level, base, indexes| {
            let span = entry::span(level);
            let target = child.make_table(base + indexes.start as u64 * span, level)?;
            let mut copied = 0;
            let first = indexes.start;
            table.each_present(indexes, |index, slot| {
                let shared = &target.entries()[index];
                if shared.load(Ordering::Relaxed) & entry::PRESENT != 0 {
                    return;
                }
                let mut present = slot.load(Ordering::Relaxed);
                if present & entry::WRITE != 0 {
                    present = slot.fetch_and(!entry::WRITE, Ordering::AcqRel) & !entry::WRITE;
                    protected.add(base + index as u64 * span, span);
                }
                share_frames(present, level);
                shared.store(present & !entry::DIRTY, Ordering::Release);
                copied += 1;
            });
            target.add(first, copied);
            let shared = copied as usize * (span as usize / PAGE_SIZE);
            pages += shared;
            if level > 0 {
                child.large_pages.fetch_add(shared, Ordering::Relaxed);
            }
            Ok(())
        });
        self.cpus.flush(protected.take());
        result.map(|()| pages)
    }

    /// Moves the pages of `from` (a range of pages) to start at `to`, as mremap needs. Nothing is mapped there. If
    /// there is no memory for tables, nothing is moved.
    pub(crate) fn move_pages(&self, from: Range<u64>, to: u64) -> Result<(), OutOfMemory> {
        let start = from.start;
        // What must not fail half-way comes first: tables for the large pages, and for where all goes.
        let mut large = Vec::new();
        self.each_entry(from.clone(), |address, _, level| {
            if level > 0 {
                large.push(address);
            }
        });
        for address in large {
            self.split_entry(self.lowest_entry(address).0, address)?;
        }
        let mut tables = Ok(());
        self.each_entry(from.clone(), |address, _, _| {
            if tables.is_ok() {
                tables = self.make_table(to + (address - start), 0).map(|_| ());
            }
        });
        if tables.is_err() {
            self.unmap(to..to + (from.end - start));
            return tables;
        }

        self.each_table(from.clone(), &mut |old, _, base, indexes| {
            for index in indexes {
                let moved = old.entries()[index].swap(0, Ordering::AcqRel);
                if moved & entry::PRESENT != 0 {
                    let address = to + (base + (index * PAGE_SIZE) as u64 - start);
                    let new = self.make_table(address, 0)?;
                    new.entries()[entry::index(address, 0)].store(moved, Ordering::Release);
                    new.add(entry::index(address, 0), 1);
                    old.subtract(1);
                }
            }
            Ok(())
        })?;
        self.cpus.flush(from.clone());
        // No pages are left there, only tables.
        self.unmap(from);
        Ok(())
    }

    /// Calls `visit(address, frame, state)` for each mapped page in `range`.
    pub(crate) fn visit(&self, range: Range<u64>, visit: &mut dyn FnMut(u64, &Frame, PageState)) {
        self.each_entry(range.clone(), |start, slot, level| {
            let present = slot.load(Ordering::Acquire);
            let state = PageState {
                is_accessed: present & entry::ACCESSED != 0,
                is_dirty: present & entry::DIRTY != 0,
                is_in_large_page: level > 0,
            };
            let pages = (start..start + entry::span(level)).step_by(PAGE_SIZE).zip(entry::page(present)..);
            for (address, number) in pages.filter(|(address, _)| range.contains(address)) {
                // SAFETY: the reference is the entry's and stays so, as the handle is never dropped; nobody changes the
                // table meanwhile.
                let frame = ManuallyDrop::new(unsafe { Frame::from_number(number) });
                visit(address, &frame, state);
            }
        });
    }

    /// Calls `visit(address, entry, its level)` for each present entry that maps pages in `range`.
    fn each_entry(&self, range: Range<u64>, mut visit: impl FnMut(u64, &AtomicU64, u32)) {
        let all = self.each_table(range, &mut |table, level, base, indexes| {
            let span = entry::span(level);
            table.each_present(indexes, |index, slot| visit(base + index as u64 * span, slot, level));
            Ok(())
        });
        debug_assert!(all.is_ok());
    }

    /// Calls `visit` with each lowest-level table that has entries for `range`, its level, the address of its first entry,
    /// and the entries that are in the range; and for each large page with the table, on level 1, that has its entry.
    fn each_table(&self, range: Range<u64>, visit: &mut VisitTable<'_>) -> Result<(), OutOfMemory> {
        let range = clip(range);
        match self.only_table(&range) {
            Some(table) => visit_lowest(table, &range, visit),
            None => self.each_table_below(self.root, ROOT_LEVEL, range, visit),
        }
    }

    fn each_table_below(
        &self, table: Table, level: u32, range: Range<u64>, visit: &mut VisitTable<'_>,
    ) -> Result<(), OutOfMemory> {
        if range.is_empty() {
            return Ok(());
        }
        if level == 0 {
            return visit_lowest(table, &range, visit);
        }
        let base = range.start & !(entry::span(level + 1) - 1);
        table.each_child(level, range, |child, part| match child {
            Child::Table(below) => self.each_table_below(below, level - 1, part, visit),
            Child::LargePage => {
                let index = entry::index(part.start, level);
                visit(table, level, base, index..index + 1)
            }
        })
    }

    /// Returns the lowest-level table that has all of `range`, the usual case, if there is one.
    fn only_table(&self, range: &Range<u64>) -> Option<Table> {
        let is_within_one = range.start < range.end && range.start >> 21 == (range.end - 1) >> 21;
        let (table, level) = if is_within_one { self.lowest_table(range.start) } else { return None };
        (level == 0).then_some(table)
    }

    /// Returns the entry for `address` below which there is none, present or not, and its level.
    fn lowest_entry(&self, address: u64) -> (&AtomicU64, u32) {
        let (table, level) = self.lowest_table(address);
        (&table.entries()[entry::index(address, level)], level)
    }

    /// Returns the table in which that is, and its level.
    fn lowest_table(&self, address: u64) -> (Table, u32) {
        let mut table = self.root;
        let mut level = ROOT_LEVEL;
        loop {
            let present = table.entries()[entry::index(address, level)].load(Ordering::Relaxed);
            if level == 0 || present & entry::PRESENT == 0 || present & entry::LARGE != 0 {
                return (table, level);
            }
            // SAFETY: above the lowest level, what is no large page is a table.
            table = unsafe { Table::of(present) };
            level -= 1;
        }
    }

    /// Returns the table on `lowest` for `address`, made if missing; a large page is split.
    fn make_table(&self, address: u64, lowest: u32) -> Result<Table, OutOfMemory> {
        assert!(address < USER_END, "{address:#x} is not a user address");
        let mut table = self.root;
        for level in (lowest + 1..=ROOT_LEVEL).rev() {
            let slot = &table.entries()[entry::index(address, level)];
            let present = slot.load(Ordering::Relaxed);
            table = if present & entry::LARGE != 0 {
                self.split_entry(slot, address)?
            } else if present & entry::PRESENT != 0 {
                // SAFETY: above the lowest level, what is no large page is a table.
                unsafe { Table::of(present) }
            } else {
                let below = new_table()?;
                self.tables.fetch_add(1, Ordering::Relaxed);
                slot.store(below.address() | TABLE_BITS, Ordering::Release);
                table.add(entry::index(address, level), 1);
                below
            };
        }
        Ok(table)
    }

    /// Puts a table with entries for the pages of a large one, the one around `address`, in its entry's place.
    fn split_entry(&self, slot: &AtomicU64, address: u64) -> Result<Table, OutOfMemory> {
        let leaf = Table::new()?;
        // Out first: a CPU must not have translations of both sizes (SDM vol. 3A, 4.10.2.3). Accesses fault meanwhile, and
        // wait for the owner's lock.
        let large = slot.swap(0, Ordering::AcqRel);
        let start = address & !(LARGE_PAGE_SIZE as u64 - 1);
        self.cpus.flush(start..start + LARGE_PAGE_SIZE as u64);
        for (entry, offset) in leaf.entries().iter().zip((0..).step_by(PAGE_SIZE)) {
            entry.store((large & !entry::LARGE) + offset, Ordering::Relaxed);
        }
        leaf.add(0, 512);
        self.tables.fetch_add(1, Ordering::Relaxed);
        self.large_pages.fetch_sub(LARGE_PAGE_SIZE / PAGE_SIZE, Ordering::Relaxed);
        slot.store(leaf.address() | TABLE_BITS, Ordering::Release);
        Ok(leaf)
    }
}

fn visit_lowest(table: Table, range: &Range<u64>, visit: &mut VisitTable<'_>) -> Result<(), OutOfMemory> {
    let base = range.start & !(entry::span(1) - 1);
    visit(table, 0, base, entry::index(range.start, 0)..entry::index(range.end - 1, 0) + 1)
}

/// Returns the frame that the entry for `address` in `table`, on `level`, shows there (as one more reference), and its
/// access.
fn shown(table: Table, level: u32, address: u64) -> Option<(Frame, Access)> {
    let present = table.entries()[entry::index(address, level)].load(Ordering::Acquire);
    if present & entry::PRESENT == 0 {
        return None;
    }
    let within = (address & (entry::span(level) - 1)) >> 12;
    // SAFETY: the entry holds a reference, and nobody changes the table meanwhile.
    Some((unsafe { Frame::share_number(entry::page(present) + within as u32) }, access(present)))
}

/// Returns whether nobody else has what the entry `present`, on `level`, maps, but for the handle `own` of a page of it.
fn is_unshared(present: u64, level: u32, own: Option<&Frame>) -> bool {
    let number = entry::page(present);
    if level == 0 {
        // SAFETY: the reference is the entry's and stays so, as the handle is never dropped.
        return ManuallyDrop::new(unsafe { Frame::from_number(number) }).references() == 1;
    }
    // SAFETY: the same for each of its frames.
    ManuallyDrop::new(unsafe { LargeFrame::from_number(number) }).is_unshared(own)
}

/// Adds a reference for one more entry like `present`, which is on `level`.
fn share_frames(present: u64, level: u32) {
    let number = entry::page(present);
    if level == 0 {
        // SAFETY: the entry holds a reference, and nobody changes the table meanwhile.
        unsafe { Frame::share_number(number) }.into_number();
    } else {
        // SAFETY: the same for each of its frames; the handle is never dropped.
        let frame = ManuallyDrop::new(unsafe { LargeFrame::from_number(number) });
        (*frame).clone().into_number();
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        if LOADED[cpu::index()].load(Ordering::Relaxed) == &raw mut *self {
            load_page_table(None);
        }
        self.unmap(0..USER_END);
        kernel_table::clear_kernel_entries(self.root);
        // SAFETY: it is empty now, no CPU has it loaded (who loads it keeps it), and this is the last handle.
        unsafe { self.root.free() };
    }
}

/// Entries that lead to a table: what the page may do is said at the lowest level.
const TABLE_BITS: u64 = entry::PRESENT | entry::WRITE | entry::USER | entry::ACCESSED;

/// Makes a table for user pages. Programs cause it, so it is not made from the kernel's reserve.
fn new_table() -> Result<Table, OutOfMemory> {
    allocator::require_plenty()?;
    Table::new()
}

/// Returns the part of `range` that user pages can be in.
fn clip(range: Range<u64>) -> Range<u64> {
    range.start.min(USER_END)..range.end.min(USER_END)
}

fn bits(access: Access) -> u64 {
    let mut bits = entry::PRESENT | entry::USER;
    if access.contains(Access::WRITE) {
        bits |= entry::WRITE;
    }
    if !access.contains(Access::EXECUTE) {
        bits |= entry::NO_EXECUTE;
    }
    bits
}

fn access(entry: u64) -> Access {
    let mut access = Access::empty();
    access.set(Access::WRITE, entry & entry::WRITE != 0);
    access.set(Access::EXECUTE, entry & entry::NO_EXECUTE == 0);
    access
}
