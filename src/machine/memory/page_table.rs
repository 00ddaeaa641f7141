//! The page table of one user address space: which frame each user page shows, and how.
//!
//! Each present entry holds a reference on its frame. A frame taken out of the table is dropped only
//! after every CPU that may have the old translation has flushed it. A table page's counter counts its present
//! entries, so that empty ones are found without looking.

use super::entry::{self, Table};
use super::removal::Removal;
use super::tlb::{Cpus, Stale};
use super::{Frame, OutOfMemory, PAGE_SIZE, USER_END, allocator, kernel_table};
use crate::machine::cpu::{self, MAX_CPUS};
use alloc::sync::Arc;
use bitflags::bitflags;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
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
        Ok(Arc::new(PageTable { root, cpus: Cpus::new(), tables: AtomicUsize::new(0) }))
    }

    /// Maps `frame` at the page `address`, replacing what was there.
    pub(crate) fn map(&self, address: u64, frame: Frame, access: Access) -> Result<(), OutOfMemory> {
        let leaf = self.make_leaf(address)?;
        let slot = &leaf.entries()[entry::index(address, 0)];
        let new = u64::from(frame.into_number()) << 12 | bits(access);
        let old = slot.swap(new, Ordering::AcqRel);
        if old & entry::PRESENT == 0 {
            leaf.count(1);
            return Ok(());
        }

        self.cpus.flush(address..address + PAGE_SIZE as u64);
        // SAFETY: the entry's reference is nobody's now, and no CPU has the translation any more.
        drop(unsafe { Frame::from_number(entry::page(old)) });
        Ok(())
    }

    /// Maps the frames that are in `frames` at consecutive pages from `address` on, but leaves alone what is mapped
    /// there; returns how many were mapped. The pages must lie in the same 2 MiB.
    pub(crate) fn map_missing(
        &self,
        address: u64,
        frames: &mut [Option<Frame>],
        access: Access,
    ) -> Result<usize, OutOfMemory> {
        let leaf = self.make_leaf(address)?;
        let mut mapped = 0;
        for (slot, frame) in leaf.entries()[entry::index(address, 0)..].iter().zip(frames) {
            if slot.load(Ordering::Relaxed) & entry::PRESENT == 0
                && let Some(frame) = frame.take()
            {
                slot.store(u64::from(frame.into_number()) << 12 | bits(access), Ordering::Release);
                mapped += 1;
            }
        }
        leaf.count(mapped);
        Ok(mapped as usize)
    }

    /// Returns the frame at the page `address` (as one more reference) and its access.
    pub(crate) fn look_up(&self, address: u64) -> Option<(Frame, Access)> {
        let leaf = self.leaf(address)?;
        let present = leaf.entries()[entry::index(address, 0)].load(Ordering::Acquire);
        if present & entry::PRESENT == 0 {
            return None;
        }
        // SAFETY: the entry holds a reference, and nobody changes the table meanwhile.
        Some((unsafe { Frame::share_number(entry::page(present)) }, access(present)))
    }

    /// Removes all pages in `range`, frees tables that became empty, returns how many pages were removed.
    pub(crate) fn unmap(&self, range: Range<u64>) -> usize {
        let mut removal = Removal::new(&self.cpus);
        removal.remove(self.root, ROOT_LEVEL, clip(range));
        removal.finish();
        if removal.freed_tables > 0 {
            self.tables.fetch_sub(removal.freed_tables, Ordering::Relaxed);
        }
        removal.pages
    }

    /// Returns how many pages the table itself takes.
    pub(crate) fn table_pages(&self) -> usize {
        self.tables.load(Ordering::Relaxed) + 1
    }

    /// Changes the access of each mapped page in `range` to what `change` makes of it.
    pub(crate) fn protect(&self, range: Range<u64>, change: &mut dyn FnMut(Access) -> Access) {
        let mut lost = Stale::new();
        self.each_entry(range.clone(), &mut |address, slot| {
            let old = slot.load(Ordering::Relaxed);
            let (before, after) = (access(old), change(access(old)));
            if before == after {
                return;
            }
            // Two steps, as the CPU may set the accessed and dirty bits at any time.
            slot.fetch_and(!(entry::WRITE | entry::NO_EXECUTE), Ordering::AcqRel);
            slot.fetch_or(bits(after) & (entry::WRITE | entry::NO_EXECUTE), Ordering::AcqRel);
            lost.add(address);
        });
        self.cpus.flush(lost.take());
    }

    /// Maps each page of `range` that is mapped here into `child` too, at the same address and without
    /// write access in both (if `share_writable` is false): the fork of a private area.
    pub(crate) fn share_with(
        &self,
        child: &PageTable,
        range: Range<u64>,
        share_writable: bool,
    ) -> Result<usize, OutOfMemory> {
        let mut shared = 0;
        let mut protected = Stale::new();
        let result = self.each_leaf(self.root, ROOT_LEVEL, clip(range), &mut |leaf, base, indexes| {
            let target = child.make_leaf(base)?;
            let mut copied = 0;
            let present_count = leaf.count(0).cast_signed();
            for index in indexes {
                if copied == present_count {
                    break;
                }
                let slot = &leaf.entries()[index];
                let mut present = slot.load(Ordering::Relaxed);
                if present & entry::PRESENT == 0 {
                    continue;
                }
                if present & entry::WRITE != 0 && !share_writable {
                    present = slot.fetch_and(!entry::WRITE, Ordering::AcqRel) & !entry::WRITE;
                    protected.add(base + (index * PAGE_SIZE) as u64);
                }
                // SAFETY: the entry holds a reference, and nobody changes the table meanwhile.
                let frame = unsafe { Frame::share_number(entry::page(present)) };
                let kept =
                    present & (entry::WRITE | entry::NO_EXECUTE | entry::USER | entry::PRESENT | entry::ACCESSED);
                target.entries()[index].store(u64::from(frame.into_number()) << 12 | kept, Ordering::Release);
                copied += 1;
            }
            target.count(copied);
            shared += copied as usize;
            Ok(())
        });
        self.cpus.flush(protected.take());
        result.map(|()| shared)
    }

    /// Moves the pages of `from` (a range of pages) to start at `to`, as mremap needs. Nothing is mapped there. If
    /// there is no memory for tables, nothing is moved.
    pub(crate) fn move_pages(&self, from: Range<u64>, to: u64) -> Result<(), OutOfMemory> {
        let start = from.start;
        let mut tables = Ok(());
        self.each_entry(from.clone(), &mut |address, _| {
            if tables.is_ok() {
                tables = self.make_leaf(to + (address - start)).map(|_| ());
            }
        });
        if tables.is_err() {
            self.unmap(to..to + (from.end - start));
            return tables;
        }

        self.each_entry(from.clone(), &mut |address, slot| {
            let moved = slot.swap(0, Ordering::AcqRel);
            if let (Some(old_leaf), Some(leaf)) = (self.leaf(address), self.leaf(to + (address - start))) {
                leaf.entries()[entry::index(to + (address - start), 0)].store(moved, Ordering::Release);
                leaf.count(1);
                old_leaf.count(-1);
            }
        });
        self.cpus.flush(from.clone());
        // No pages are left there, only tables.
        self.unmap(from);
        Ok(())
    }

    /// Calls `visit(address, frame, access, accessed, dirty)` for each mapped page in `range`.
    pub(crate) fn visit(&self, range: Range<u64>, visit: &mut dyn FnMut(u64, &Frame, Access, bool, bool)) {
        self.each_entry(range, &mut |address, slot| {
            let present = slot.load(Ordering::Acquire);
            // SAFETY: the reference is the entry's and stays so, as the handle is never dropped; nobody changes the
            // table meanwhile.
            let frame = ManuallyDrop::new(unsafe { Frame::from_number(entry::page(present)) });
            let (accessed, dirty) = (present & entry::ACCESSED != 0, present & entry::DIRTY != 0);
            visit(address, &frame, access(present), accessed, dirty);
        });
    }

    /// Calls `visit` for each present entry in `range`.
    fn each_entry(&self, range: Range<u64>, visit: &mut dyn FnMut(u64, &AtomicU64)) {
        let all = self.each_leaf(self.root, ROOT_LEVEL, clip(range), &mut |leaf, base, indexes| {
            let mut left = leaf.count(0);
            for index in indexes {
                if left == 0 {
                    break;
                }
                let slot = &leaf.entries()[index];
                if slot.load(Ordering::Relaxed) & entry::PRESENT != 0 {
                    left -= 1;
                    visit(base + (index * PAGE_SIZE) as u64, slot);
                }
            }
            Ok(())
        });
        debug_assert!(all.is_ok());
    }

    /// Calls `visit` with each lowest-level table that has entries for `range`, the address of the table's first
    /// entry, and the entries that are in the range.
    fn each_leaf(
        &self,
        table: Table,
        level: u32,
        range: Range<u64>,
        visit: &mut dyn FnMut(Table, u64, Range<usize>) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        if range.is_empty() {
            return Ok(());
        }
        if level == 0 {
            let base = range.start & !(entry::span(1) - 1);
            return visit(table, base, entry::index(range.start, 0)..entry::index(range.end - 1, 0) + 1);
        }
        for (below, part) in table.children(level, range) {
            self.each_leaf(below, level - 1, part, visit)?;
        }
        Ok(())
    }

    fn leaf(&self, address: u64) -> Option<Table> {
        let mut table = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            let present = table.entries()[entry::index(address, level)].load(Ordering::Relaxed);
            if present & entry::PRESENT == 0 {
                return None;
            }
            // SAFETY: user tables have no large pages.
            table = unsafe { Table::of(present) };
        }
        Some(table)
    }

    /// Returns the lowest-level table for `address`, made if missing.
    fn make_leaf(&self, address: u64) -> Result<Table, OutOfMemory> {
        assert!(address < USER_END, "{address:#x} is not a user address");
        let mut table = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            let slot = &table.entries()[entry::index(address, level)];
            let present = slot.load(Ordering::Relaxed);
            let below = if present & entry::PRESENT != 0 {
                // SAFETY: user tables have no large pages.
                unsafe { Table::of(present) }
            } else {
                let below = new_table()?;
                self.tables.fetch_add(1, Ordering::Relaxed);
                slot.store(below.address() | TABLE_BITS, Ordering::Release);
                table.count(1);
                below
            };
            table = below;
        }
        Ok(table)
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        if LOADED[cpu::index()].load(Ordering::Relaxed) == &raw mut *self {
            load_page_table(None);
        }
        self.unmap(0..USER_END);
        // SAFETY: its tables are gone, no CPU has it loaded (who loads it keeps it), and this is the last handle.
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
