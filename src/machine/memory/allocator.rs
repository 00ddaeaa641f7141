//! Who has which physical page: the buddy allocator, per-CPU caches of single pages in front of it, and a
//! counter for each page.
//!
//! What a counter counts is its user's choice: handles (`Frame`), present entries (page table pages), nothing
//! (heap, stacks).

use super::raw;
use super::{FrameStatistics, OutOfMemory, PAGE_SIZE};
use crate::machine::asm::direct_map_address;
use crate::machine::boot::MemoryMap;
use crate::machine::cpu::{self, MAX_CPUS};
use crate::machine::sync::IrqLock;
use crate::rank::Rank;
use crate::util::buddy::{Buddy, MAX_PAGES, Node, ORDERS};
use core::ops::Range;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

const PAGE_SHIFT: u32 = 12;

/// Single pages that a CPU keeps for itself at most.
const CACHE_SIZE: usize = 64;

/// Pages that hold only zeros that a CPU keeps beside those.
const CLEAN_SIZE: usize = 16;

/// How many pages go between a cache and the buddy allocator at once, as an order.
const BATCH_ORDER: usize = 5;
const BATCH: usize = 1 << BATCH_ORDER;

/// The smallest reserve, in pages.
const RESERVE_MINIMUM: usize = 256;

/// The reserve as a part of all pages: more than the tables that all of memory in 2 MiB pages needs to be split.
const RESERVE_DIVISOR: usize = 128;

/// The part of all pages that must be free where a large page is taken of which little may be needed.
const ABUNDANCE_DIVISOR: usize = 8;

/// What the boot stub's direct map shows: until the final page tables are loaded, pages come from below.
const EARLY_LIMIT: u64 = 4 << 30;

static BUDDY: IrqLock<Buddy<'static>> = IrqLock::new(Rank::Frames, Buddy::empty());

static CACHES: [IrqLock<Cache>; MAX_CPUS] =
    [const { IrqLock::new(Rank::FrameCache, Cache { pages: Pages::new(), clean: Pages::new() }) }; MAX_CPUS];

/// One counter per page; set once by `start`.
static COUNTERS: AtomicPtr<AtomicU32> = AtomicPtr::new(core::ptr::null_mut());

/// How many pages have a counter.
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// How many pages were ever handed over to the allocator.
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// How many pages programs do not get.
static RESERVE: AtomicUsize = AtomicUsize::new(RESERVE_MINIMUM);

/// How many pages the buddy allocator had when it was last left.
static FREE: AtomicUsize = AtomicUsize::new(0);

/// Free pages of one CPU.
struct Cache {
    pages: Pages<CACHE_SIZE>,
    /// These hold only zeros.
    clean: Pages<CLEAN_SIZE>,
}

/// Free pages, most recently used last.
struct Pages<const SIZE: usize> {
    pages: [u32; SIZE],
    length: usize,
}

/// Takes over the free memory of `map` below 4 GiB.
pub(super) fn start(map: &MemoryMap) {
    let highest = map.ram.ranges().last().map_or(0, |last| last.end >> PAGE_SHIFT);
    let pages = (highest as usize).min(MAX_PAGES);

    // The counters and the buddy allocator's nodes, in the first free place that is large enough.
    let counters_size = (pages * size_of::<AtomicU32>()).next_multiple_of(64);
    let size = ((counters_size + pages * size_of::<Node>()) as u64).next_multiple_of(1 << PAGE_SHIFT);
    let place = map.free.ranges().find(|range| range.start + size <= range.end.min(EARLY_LIMIT));
    let place = place.expect("no room for the table of pages").start;
    // SAFETY: the place is free memory that the direct map shows, and is kept out of the allocator below.
    let nodes = unsafe {
        raw::clear(place, size as usize);
        COUNTERS.store(direct_map_address(place).cast(), Ordering::Relaxed);
        let nodes = direct_map_address(place + counters_size as u64).cast::<Node>();
        core::slice::from_raw_parts_mut(nodes, pages)
    };
    PAGES.store(pages, Ordering::Relaxed);

    *BUDDY.lock() = Buddy::new(nodes);
    give_free_memory(map, 0..EARLY_LIMIT, place..place + size);
}

/// Takes over the rest, once the direct map shows it.
pub(super) fn add_high_memory(map: &MemoryMap) {
    give_free_memory(map, EARLY_LIMIT..(MAX_PAGES as u64) << PAGE_SHIFT, 0..0);
}

fn give_free_memory(map: &MemoryMap, within: Range<u64>, taken: Range<u64>) {
    for range in map.free.ranges() {
        let (start, end) = (range.start.max(within.start), range.end.min(within.end));
        // `taken` starts where a free range starts.
        let start = if start == taken.start { taken.end } else { start };
        if start < end {
            release(start..end);
        }
    }
}

/// Adds physical memory (whole pages) to the free memory.
pub(super) fn release(range: Range<u64>) {
    let (start, end) = ((range.start >> PAGE_SHIFT) as u32, (range.end >> PAGE_SHIFT) as u32);
    with_buddy(|buddy| buddy.free_range(start, end));
    let pages = (end - start) as usize;
    let total = TOTAL.fetch_add(pages, Ordering::Relaxed) + pages;
    RESERVE.fetch_max(total / RESERVE_DIVISOR, Ordering::Relaxed);
}

/// Takes a page; its content and its counter are what they happen to be. Any context.
pub(super) fn allocate_page() -> Option<u32> {
    let own = {
        let mut cache = CACHES[cpu::index()].lock();
        if cache.pages.length == 0 {
            refill(&mut cache.pages);
        }
        cache.take()
    };
    // The last pages may be in the caches of CPUs that do not need them.
    own.or_else(|| CACHES[..cpu::count()].iter().find_map(|cache| cache.lock().take()))
}

/// Gives a page back. Any context.
pub(super) fn free_page(page: u32) {
    let pages = &mut CACHES[cpu::index()].lock().pages;
    if !pages.push(page) {
        // The oldest ones, which the CPU's caches have forgotten first.
        with_buddy(|buddy| pages.pages[..BATCH].iter().for_each(|&page| buddy.free(page, 0)));
        pages.pages.copy_within(BATCH.., 0);
        pages.length -= BATCH;
        pages.push(page);
    }
}

/// Takes a page that holds only zeros; its counter is what it happens to be. Any context.
pub(super) fn allocate_clean_page() -> Option<u32> {
    let clean = CACHES[cpu::index()].lock().clean.pop();
    clean.or_else(|| {
        let page = allocate_page()?;
        // SAFETY: the page was just allocated, so nobody else knows it.
        unsafe { raw::clear(u64::from(page) << PAGE_SHIFT, PAGE_SIZE) };
        Some(page)
    })
}

/// Gives back a page that holds only zeros. Any context.
pub(super) fn free_clean_page(page: u32) {
    let is_kept = CACHES[cpu::index()].lock().clean.push(page);
    if !is_kept {
        free_page(page);
    }
}

/// Takes `count` pages that follow one another; returns the first.
pub(super) fn allocate_pages(count: usize) -> Option<u32> {
    let order = count.next_power_of_two().trailing_zeros() as usize;
    if order >= ORDERS {
        return None;
    }
    with_buddy(|buddy| {
        let first = buddy.allocate(order)?;
        buddy.free_range(first + count as u32, first + (1 << order));
        Some(first)
    })
}

/// Gives back `count` pages from `first` on.
pub(super) fn free_pages(first: u32, count: usize) {
    with_buddy(|buddy| buddy.free_range(first, first + count as u32));
}

/// Returns the counter of a page. Panics if there is no such page.
pub(super) fn counter(page: u32) -> &'static AtomicU32 {
    assert!((page as usize) < PAGES.load(Ordering::Relaxed), "no page {page:#x}");
    // SAFETY: `start` set up as many counters, which stay for ever.
    unsafe { &*COUNTERS.load(Ordering::Relaxed).add(page as usize) }
}

/// Returns the counts of pages now. Any context.
pub(crate) fn statistics() -> FrameStatistics {
    let cached: usize = CACHES[..cpu::count()].iter().map(|cache| cache.lock().length()).sum();
    let free = BUDDY.lock().free_pages() + cached;
    let reserve = RESERVE.load(Ordering::Relaxed);
    FrameStatistics { total: total_pages(), free, available: free.saturating_sub(reserve) }
}

/// Returns how many pages there are in all.
pub(crate) fn total_pages() -> usize {
    TOTAL.load(Ordering::Relaxed)
}

/// Fails when no more than the reserve is left, which programs may not use up: the kernel goes on working with it, and
/// kills the program that asked for too much. Without a lock; what CPUs have in their caches does not count.
pub(crate) fn require_plenty() -> Result<(), OutOfMemory> {
    if FREE.load(Ordering::Relaxed) > RESERVE.load(Ordering::Relaxed) { Ok(()) } else { Err(OutOfMemory) }
}

/// Fails unless so much is free that some may be wasted.
pub(crate) fn require_abundance() -> Result<(), OutOfMemory> {
    if FREE.load(Ordering::Relaxed) > TOTAL.load(Ordering::Relaxed) / ABUNDANCE_DIVISOR {
        Ok(())
    } else {
        Err(OutOfMemory)
    }
}

/// Returns whether even the reserve is half used up, by what the kernel keeps for programs.
pub(crate) fn is_scarce() -> bool {
    FREE.load(Ordering::Relaxed) < RESERVE.load(Ordering::Relaxed) / 2
}

fn with_buddy<T>(action: impl FnOnce(&mut Buddy<'static>) -> T) -> T {
    let mut buddy = BUDDY.lock();
    let result = action(&mut buddy);
    FREE.store(buddy.free_pages(), Ordering::Relaxed);
    result
}

impl Cache {
    fn take(&mut self) -> Option<u32> {
        self.pages.pop().or_else(|| self.clean.pop())
    }

    fn length(&self) -> usize {
        self.pages.length + self.clean.length
    }
}

impl<const SIZE: usize> Pages<SIZE> {
    const fn new() -> Pages<SIZE> {
        Pages { pages: [0; SIZE], length: 0 }
    }

    fn pop(&mut self) -> Option<u32> {
        self.length = self.length.checked_sub(1)?;
        Some(self.pages[self.length])
    }

    /// Adds a page; `false` if there is no room.
    fn push(&mut self, page: u32) -> bool {
        let Some(place) = self.pages.get_mut(self.length) else { return false };
        *place = page;
        self.length += 1;
        true
    }
}

/// Fills an empty cache, if there are pages.
fn refill(cache: &mut Pages<CACHE_SIZE>) {
    with_buddy(|buddy| {
        if let Some(first) = buddy.allocate(BATCH_ORDER) {
            // Lowest last, so that pages are handed out in rising order.
            for (slot, page) in cache.pages.iter_mut().zip((first..first + BATCH as u32).rev()) {
                *slot = page;
            }
            cache.length = BATCH;
            return;
        }
        while cache.length < BATCH {
            let Some(page) = buddy.allocate(0) else { break };
            cache.pages[cache.length] = page;
            cache.length += 1;
        }
    });
}
