//! The kernel's own page tables, the upper half of every address space: the image with exactly the access that
//! each part needs, all RAM (not executable), device memory, stacks and the heap's large blocks.
//!
//! The top-level entries are made at the start and never change, so every user page table copies them once.

use super::entry::{self, Table};
use super::{OutOfMemory, PAGE_SIZE};
use crate::machine::asm::{DIRECT_MAP, KERNEL_BASE, image, physical_address_of_image, stack_guard};
use crate::machine::boot::{MemoryMap, memory_map};
use crate::machine::cpu::{self, Features};
use crate::machine::sync::{IrqLock, Once};
use crate::rank::Rank;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::PhysAddr;
use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

/// The heap's large blocks.
pub(super) const HEAP_AREA: Range<u64> = 0xffff_fe00_0000_0000..0xffff_fe80_0000_0000;

/// Kernel stacks.
pub(super) const STACK_AREA: Range<u64> = 0xffff_fe80_0000_0000..0xffff_ff00_0000_0000;

/// Device memory.
const DEVICE_AREA: Range<u64> = 0xffff_ff00_0000_0000..0xffff_ff80_0000_0000;

/// How a mapping of device memory is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum Caching {
    /// Like RAM: for firmware's tables.
    WriteBack,
    /// Every access goes to the device: for registers.
    Uncached,
    /// Writes are gathered: for video memory.
    WriteCombining,
}

/// The top-level table, which never changes, and which of its entries are used (a bit for each).
static ROOT: Once<(Table, [u64; 8])> = Once::new();

/// The kernel's table and where the next device is mapped.
struct KernelTable {
    root: Table,
    next_device: u64,
}

static KERNEL_TABLE: Once<IrqLock<KernelTable>> = Once::new();

/// Makes the tables and loads them.
pub(super) fn start(map: &MemoryMap) -> Result<(), OutOfMemory> {
    let mut table = KernelTable { root: Table::new()?, next_device: DEVICE_AREA.start };

    let parts = image();
    let image_base = physical_address_of_image(KERNEL_BASE);
    let data = entry::WRITE | entry::NO_EXECUTE;
    for (part, access) in [(parts.text, 0), (parts.rodata, entry::NO_EXECUTE), (parts.data, data)] {
        table.map(
            part.start,
            image_base + (part.start - KERNEL_BASE),
            part.end - part.start,
            access,
            PAGE_SIZE as u64,
        )?;
    }
    table.unmap_page(stack_guard());

    let largest = if cpu::features().contains(Features::GIB_PAGES) { 1 << 30 } else { 1 << 21 };
    for range in map.reachable.ranges() {
        table.map(DIRECT_MAP + range.start, range.start, range.end - range.start, data, largest)?;
    }
    for area in [HEAP_AREA, STACK_AREA, DEVICE_AREA] {
        table.next_level(table.root, area.start, 3)?;
    }

    let root = PhysFrame::containing_address(PhysAddr::new(table.root.address()));
    ROOT.call_once(|| (table.root, used_entries(table.root)));
    KERNEL_TABLE.call_once(|| IrqLock::new(Rank::KernelPageTable, table));
    // SAFETY: the new tables map the running code, its data and stack where they were, and all RAM.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
    // The boot stub's entries were not global, so none survives.
    Ok(())
}

/// Returns the physical address of the kernel's own top-level table, which maps no user memory.
pub(in crate::machine) fn root_address() -> u64 {
    root().0.address()
}

/// Copies the kernel's top-level entries into a new address space.
pub(super) fn copy_kernel_entries(to: Table) {
    each_used_entry(|index, entry| to.entries()[index].store(entry, Ordering::Relaxed));
}

/// Takes them out of an address space that is given up.
pub(super) fn clear_kernel_entries(from: Table) {
    each_used_entry(|index, _| from.entries()[index].store(0, Ordering::Relaxed));
}

fn each_used_entry(visit: impl Fn(usize, u64)) {
    let (table, used) = root();
    for (word, mut bits) in used.iter().copied().enumerate() {
        while bits != 0 {
            let index = word * 64 + bits.trailing_zeros() as usize;
            visit(index, table.entries()[index].load(Ordering::Relaxed));
            bits &= bits - 1;
        }
    }
}

fn used_entries(root: Table) -> [u64; 8] {
    let mut used = [0; 8];
    for (index, entry) in root.entries().iter().enumerate() {
        if entry.load(Ordering::Relaxed) & entry::PRESENT != 0 {
            used[index / 64] |= 1 << (index % 64);
        }
    }
    used
}

/// Maps `length` bytes of device memory at `physical` for ever; returns the virtual address. Panics without
/// memory for the tables.
pub(in crate::machine) fn map_device(physical: u64, length: u64, caching: Caching) -> usize {
    let kind = match caching {
        Caching::WriteBack => 0,
        Caching::Uncached => entry::CACHE_DISABLE | entry::WRITE_THROUGH,
        Caching::WriteCombining => entry::ATTRIBUTE,
    };
    let offset = physical % PAGE_SIZE as u64;
    let size = (offset + length).next_multiple_of(PAGE_SIZE as u64);

    let mut table = table().lock();
    // At the same distance from a 2 MiB boundary, so that large pages fit.
    let start = table.next_device.next_multiple_of(1 << 21) + (physical - offset) % (1 << 21);
    table.next_device = start + size + PAGE_SIZE as u64;
    assert!(table.next_device < DEVICE_AREA.end, "no room for device memory at {physical:#x}");
    let access = entry::WRITE | entry::NO_EXECUTE | kind;
    table.map(start, physical - offset, size, access, 1 << 21).expect("boot leaves memory for mapping devices");
    (start + offset) as usize
}

/// Returns where `length` bytes of firmware's tables at `physical` can be read, mapping them if need be.
pub(in crate::machine) fn map_firmware(physical: u64, length: u64) -> usize {
    if memory_map().reachable.contains(physical..physical + length) {
        return (DIRECT_MAP + physical) as usize;
    }
    map_device(physical, length, Caching::WriteBack)
}

/// Maps the page `page` at `address` in one of the kernel's areas, for data.
pub(super) fn map_page(address: u64, page: u32) -> Result<(), OutOfMemory> {
    let access = entry::WRITE | entry::NO_EXECUTE;
    table().lock().map(address, u64::from(page) << 12, PAGE_SIZE as u64, access, PAGE_SIZE as u64)
}

/// Unmaps the page at `address`, on this CPU at once; returns what was mapped. Others are the caller's to tell.
pub(super) fn unmap_page(address: u64) -> Option<u32> {
    let entry = table().lock().unmap_page(address);
    tlb::flush(VirtAddr::new(address));
    (entry & entry::PRESENT != 0).then(|| entry::page(entry))
}

/// Returns whether a page is mapped at `address` in one of the kernel's areas.
pub(super) fn is_mapped(address: u64) -> bool {
    table().lock().slot(address).is_some_and(|slot| slot.load(Ordering::Relaxed) & entry::PRESENT != 0)
}

fn table() -> &'static IrqLock<KernelTable> {
    KERNEL_TABLE.get().expect("machine::start makes the page tables before anybody maps")
}

fn root() -> &'static (Table, [u64; 8]) {
    ROOT.get().expect("machine::start makes the page tables before anybody uses them")
}

impl KernelTable {
    /// Maps `length` bytes of physical memory with pages of up to `largest` bytes.
    fn map(&mut self, address: u64, physical: u64, length: u64, access: u64, largest: u64) -> Result<(), OutOfMemory> {
        let global = if cpu::features().contains(Features::PGE) { entry::GLOBAL } else { 0 };
        let bits = access | entry::PRESENT | entry::ACCESSED | entry::DIRTY | global;

        let mut done = 0;
        while done < length {
            let fits = |level: &u32| {
                let size = 1u64 << (12 + 9 * level);
                size <= largest && length - done >= size && ((address + done) | (physical + done)).is_multiple_of(size)
            };
            let level = (1..=2).rev().find(fits).unwrap_or(0);

            let mut table = self.root;
            for upper in (level + 1..=3).rev() {
                table = self.next_level(table, address + done, upper)?;
            }
            let bits = if level == 0 { bits } else { large(bits) };
            table.entries()[entry::index(address + done, level)].store((physical + done) | bits, Ordering::Relaxed);
            done += 1 << (12 + 9 * level);
        }
        Ok(())
    }

    /// Returns the table below the entry of `table` (on `level`) for `address`, made if missing.
    fn next_level(&mut self, table: Table, address: u64, level: u32) -> Result<Table, OutOfMemory> {
        let slot = &table.entries()[entry::index(address, level)];
        let present = slot.load(Ordering::Relaxed);
        if present & entry::PRESENT != 0 {
            assert!(present & entry::LARGE == 0, "{address:#x} is mapped by a large page already");
            // SAFETY: it is present and not a large page.
            return Ok(unsafe { Table::of(present) });
        }
        let below = Table::new()?;
        slot.store(below.address() | entry::PRESENT | entry::WRITE, Ordering::Relaxed);
        Ok(below)
    }

    /// Clears the lowest-level entry for `address`; returns it.
    fn unmap_page(&mut self, address: u64) -> u64 {
        self.slot(address).map_or(0, |slot| slot.swap(0, Ordering::Relaxed))
    }

    /// Returns the lowest-level entry for `address`, if its table exists.
    fn slot(&self, address: u64) -> Option<&AtomicU64> {
        let mut table = self.root;
        for level in (1..=3).rev() {
            let present = table.entries()[entry::index(address, level)].load(Ordering::Relaxed);
            if present & entry::PRESENT == 0 || present & entry::LARGE != 0 {
                return None;
            }
            // SAFETY: it is present and not a large page.
            table = unsafe { Table::of(present) };
        }
        Some(&table.entries()[entry::index(address, 0)])
    }
}

/// Turns the bits of a small page's entry into those of a large page's.
fn large(bits: u64) -> u64 {
    let attribute = if bits & entry::ATTRIBUTE != 0 { entry::LARGE_ATTRIBUTE } else { 0 };
    bits & !entry::ATTRIBUTE | entry::LARGE | attribute
}
