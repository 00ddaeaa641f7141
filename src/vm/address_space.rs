//! What a process maps. The areas (which addresses mean what) are decided here; the page table shows what of it is
//! in memory and is filled by faults.
//!
//! Parts: `map` (mmap, munmap, mprotect, madvise), `remap` (mremap), `heap` (brk), `fault` (demand paging, copy on
//! write), `fork`, `remote` (access from outside). One sleeping lock guards areas and page table together; files'
//! owners are dropped after it is released, because that may run file system code.

use super::area::{Area, AreaDescription, Protection};
use super::commit::Promise;
use super::{PAGE, PageCache, large_pages};
use crate::errno::Result;
use crate::machine::memory::{Frame, LARGE_PAGE_SIZE, PageTable, Stores, USER_END};
use crate::machine::random;
use crate::machine::task::{Mutex, MutexGuard};
use crate::rank::Rank;
use crate::util::interval_map::IntervalMap;
use alloc::sync::{Arc, Weak};
use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

/// The lowest address that programs may map (Linux's vm.mmap_min_addr).
pub(super) const LOWEST: u64 = 0x1_0000;

/// What must stay free below an area that grows down (Linux's stack_guard_gap, 256 pages).
pub(super) const GUARD_GAP: u64 = 256 * PAGE;

/// How far the stack's top is moved down at random, at most (Linux: 22 bits of pages).
const STACK_RANDOM: u64 = (1 << 22) * PAGE;

/// How far the base of mappings is moved down at random, at most (Linux: 28 bits of pages).
const MAP_RANDOM: u64 = (1 << 28) * PAGE;

/// The least room kept for the stack, whatever its limit.
const STACK_ROOM_MINIMUM: u64 = 128 << 20;

/// Says for a page of a file, by its index and frame, whether it is meant.
type ChoosePage<'a> = dyn Fn(u64, &Frame) -> bool + 'a;

/// The memory of one process. All methods may sleep.
pub(crate) struct AddressSpace {
    pub(super) table: Arc<PageTable>,
    areas: Mutex<Areas>,
    /// For the files that must know who maps them.
    pub(super) this: Weak<AddressSpace>,
    /// A user copy stopped because no frame was left.
    shortage: AtomicBool,
}

/// What the lock guards, beside the page table.
pub(super) struct Areas {
    pub(super) map: IntervalMap<Area>,
    /// Private pages that the program may not access at all for now (PROT_NONE): the page table cannot hold those.
    pub(super) set_aside: BTreeMap<u64, Frame>,
    /// Pages in the page table.
    pub(super) resident: usize,
    pub(super) peak_resident: usize,
    /// Bytes in all areas.
    pub(super) total: u64,
    pub(super) peak_total: u64,
    pub(super) promise: Promise,
    /// Mappings are placed below.
    pub(super) map_base: u64,
    /// Since something was last removed, a place of so many bytes was sought, and there is none above the address.
    pub(super) crowded: (u64, u64),
    /// The heap, from its start to its end as brk(2) set it (not rounded).
    pub(super) heap: Range<u64>,
    /// RLIMIT_STACK, in bytes.
    pub(super) stack_limit: u64,
    /// New areas are locked too (mlockall(2), MCL_FUTURE).
    pub(super) locks_future: bool,
    pub(super) refuses_large_pages: bool,
}

/// Sizes for /proc/PID/status and statm, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryStatistics {
    /// All areas, and the most there ever were.
    pub(crate) total: u64,
    pub(crate) peak_total: u64,
    /// Pages present.
    pub(crate) resident: u64,
    /// Private writable areas but the stack.
    pub(crate) data: u64,
    pub(crate) stack: u64,
    /// Executable areas that are not writable.
    pub(crate) text: u64,
    /// Areas of files and shared areas.
    pub(crate) shared: u64,
    /// Locked areas.
    pub(crate) locked: u64,
    /// The page table.
    pub(crate) tables: u64,
    /// What the list of areas takes.
    pub(crate) bookkeeping: u64,
}

impl AddressSpace {
    /// Makes an empty address space.
    pub(crate) fn new() -> Result<Arc<AddressSpace>> {
        AddressSpace::with_areas(Areas {
            map: IntervalMap::new(),
            set_aside: BTreeMap::new(),
            resident: 0,
            peak_resident: 0,
            total: 0,
            peak_total: 0,
            promise: Promise::default(),
            // `reserve_stack` sets it at random.
            map_base: USER_END - STACK_ROOM_MINIMUM,
            crowded: (0, USER_END),
            heap: 0..0,
            stack_limit: 8 << 20,
            locks_future: false,
            refuses_large_pages: false,
        })
    }

    pub(super) fn with_areas(areas: Areas) -> Result<Arc<AddressSpace>> {
        let table = PageTable::new()?;
        Ok(Arc::new_cyclic(|this| AddressSpace {
            table,
            areas: Mutex::new(Rank::AddressSpace, areas),
            this: this.clone(),
            shortage: AtomicBool::new(false),
        }))
    }

    /// Notes that a user copy stopped because no frame was left.
    pub(super) fn note_shortage(&self) {
        self.shortage.store(true, Ordering::Relaxed);
    }

    /// Returns, once, whether a user copy stopped because no frame was left: then the call's EFAULT or
    /// short count says the wrong thing.
    pub(crate) fn take_shortage(&self) -> bool {
        self.shortage.load(Ordering::Relaxed) && self.shortage.swap(false, Ordering::Relaxed)
    }

    /// Returns the page table, for `task::set_page_table`.
    pub(crate) fn page_table(&self) -> &Arc<PageTable> {
        &self.table
    }

    /// Keeps room for a stack of `limit` bytes (RLIMIT_STACK) when a new program starts.
    pub(crate) fn reserve_stack(&self, limit: u64) {
        let mut areas = self.lock();
        areas.stack_limit = limit;
        areas.map_base = map_base(limit);
    }

    /// Sets how large the stack may grow (RLIMIT_STACK), in bytes.
    pub(crate) fn set_stack_limit(&self, limit: u64) {
        self.lock().stack_limit = limit;
    }

    /// Returns a random address for the top of the stack, aligned to pages.
    pub(crate) fn random_stack_top() -> u64 {
        USER_END - random_offset(STACK_RANDOM)
    }

    /// Returns all areas in order of address. ENOMEM.
    pub(crate) fn areas(&self) -> Result<Vec<AreaDescription>> {
        let areas = &*self.lock();
        let describe = |(range, area): (Range<u64>, &Area)| AreaDescription {
            start: range.start,
            end: range.end,
            protection: area.protection,
            is_shared: area.is_shared,
            mapping: area.mapping.clone(),
            label: area.label,
            is_locked: area.is_locked,
            large_pages: area.large_pages,
            takes_large_pages: !areas.refuses_large_pages
                && area.takes_large_pages()
                && large_pages::around(range.end.saturating_sub(LARGE_PAGE_SIZE as u64), &range).is_some(),
            usage: self.usage(areas, range, area),
        };
        let mut all = Vec::new();
        all.try_reserve_exact(areas.map.len())?;
        all.extend(areas.map.iter().map(describe));
        Ok(all)
    }

    /// Returns the sizes that /proc shows and limits are checked against.
    pub(crate) fn statistics(&self) -> MemoryStatistics {
        let areas = self.lock();
        let mut sizes = MemoryStatistics {
            total: areas.total,
            peak_total: areas.peak_total,
            resident: (areas.resident + areas.set_aside.len()) as u64 * PAGE,
            tables: self.table.table_pages() as u64 * PAGE,
            bookkeeping: (areas.map.len() * size_of::<Area>()) as u64,
            ..MemoryStatistics::default()
        };
        for (range, area) in areas.map.iter() {
            let length = range.end - range.start;
            let kind = if area.grows_down {
                &mut sizes.stack
            } else if area.is_executable_only() {
                &mut sizes.text
            } else if area.is_private_writable() {
                &mut sizes.data
            } else {
                &mut sizes.shared
            };
            *kind += length;
            if area.is_locked {
                sizes.locked += length;
            }
        }
        sizes
    }

    /// Returns the most pages that there ever were.
    pub(crate) fn peak_resident_pages(&self) -> u64 {
        let areas = self.lock();
        areas.peak_resident.max(areas.resident) as u64
    }

    /// Returns how many bytes are mapped, for RLIMIT_AS.
    pub(crate) fn total(&self) -> u64 {
        self.lock().total
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Areas> {
        self.areas.lock()
    }

    /// Locks a new address space while its parent is locked; nobody else knows it.
    pub(super) fn lock_nested(&self) -> MutexGuard<'_, Areas> {
        self.areas.lock_nested()
    }

    /// Returns whether a shared mapping of `cache` is here that stores, or may be allowed to.
    pub(super) fn may_write_cache(&self, cache: &PageCache) -> bool {
        let areas = self.lock();
        areas
            .map
            .iter()
            .any(|(_, area)| area.is_shared && area.maximum.contains(Protection::WRITE) && area.shows(cache))
    }

    /// Takes the pages `indices` of the file out of this address space: all, private copies too, or those for which
    /// `only(index, frame)` holds.
    pub(super) fn unmap_cache(&self, cache: &PageCache, indices: Range<u64>, only: Option<&ChoosePage<'_>>) {
        let mut areas = self.lock();
        let Areas { map, set_aside, resident, .. } = &mut *areas;
        for (range, area) in map.iter().filter(|(_, area)| area.shows(cache)) {
            let Some((_, first)) = area.file_page(0) else { continue };
            let skipped = indices.start.saturating_sub(first).saturating_mul(PAGE);
            let end = range.start.saturating_add(indices.end.saturating_sub(first).saturating_mul(PAGE));
            let gone = range.start.saturating_add(skipped)..range.end.min(end);
            if gone.start >= gone.end {
                continue;
            }
            match only {
                Some(is_chosen) if area.has_private_pages => {
                    let mut chosen = Vec::new();
                    self.table.visit(gone, &mut |address, frame, _| {
                        if is_chosen(first + (address - range.start) / PAGE, frame) {
                            chosen.push(address);
                        }
                    });
                    for address in chosen {
                        *resident -= self.table.unmap(address..address + PAGE);
                    }
                }
                _ => {
                    *resident -= self.table.unmap(gone.clone());
                    set_aside.retain(|address, _| !gone.contains(address));
                }
            }
        }
    }

    /// Makes stores to shared mappings of the file fault again, so that they are noticed.
    pub(super) fn write_protect_cache(&self, cache: &PageCache) {
        let areas = self.lock();
        for (range, area) in areas.map.iter().filter(|(_, area)| area.is_shared && area.shows(cache)) {
            self.table.protect(range, area.protection.contains(Protection::EXECUTE), Stores::Forbidden);
        }
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        // The page table could find its pages alone, but would have to look at every entry of each table.
        self.table.unmap_all(self.areas.get_mut().map.iter().map(|(range, _)| range));
    }
}

impl Areas {
    /// Adds an area and counts it. Its range must be free. ENOMEM if so much memory cannot be promised.
    pub(super) fn add(&mut self, range: Range<u64>, area: Area) -> Result {
        if area.is_promised {
            self.promise.extend(range.end - range.start)?;
        }
        self.enter(range, area);
        Ok(())
    }

    /// `add` of an area behind all others.
    pub(super) fn append(&mut self, range: Range<u64>, area: Area) -> Result {
        let length = range.end - range.start;
        if area.is_promised {
            self.promise.extend(length)?;
        }
        self.total += length;
        self.peak_total = self.total;
        self.map.append(range, area);
        Ok(())
    }

    /// Adds an area whose memory is promised already.
    pub(super) fn enter(&mut self, range: Range<u64>, mut area: Area) {
        area.is_locked |= self.locks_future;
        self.total += range.end - range.start;
        self.peak_total = self.peak_total.max(self.total);
        self.map.insert(range, area);
    }
}

/// Returns where mappings are placed below, with room for a stack of `stack_limit` bytes and its random offset.
fn map_base(stack_limit: u64) -> u64 {
    let room = stack_limit.clamp(STACK_ROOM_MINIMUM, USER_END / 6 * 5) & !(PAGE - 1);
    USER_END - room - STACK_RANDOM - GUARD_GAP - random_offset(MAP_RANDOM)
}

/// Returns a random multiple of the page size below `limit` (a power of two).
pub(crate) fn random_offset(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    random::fill(&mut bytes);
    u64::from_le_bytes(bytes) & (limit - 1) & !(PAGE - 1)
}
