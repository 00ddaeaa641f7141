//! The global allocator.
//!
//! Up to 2 KiB: size classes, each CPU with a short list of free blocks per class, and for each class one list that
//! they share. A page of which all blocks are in the shared list goes back to the page allocator at once.
//! Above: whole pages, straight from the page allocator. Where it has no pages in a row,
//! `linked_list_allocator` helps out, in an area of its own that grows page by page.
//! Any context; interrupts are off meanwhile.

use super::kernel_table::{self, HEAP_AREA};
use super::{PAGE_SIZE, allocator};
use crate::machine::asm::{DIRECT_MAP, direct_map_address};
use crate::machine::cpu::{self, MAX_CPUS};
use crate::machine::sync::{InterruptsOff, IrqLock};
use crate::rank::Rank;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};
use linked_list_allocator::Heap;

/// Sizes of small blocks. All are multiples of 16; powers of two are aligned to themselves.
const CLASSES: [usize; 14] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];

/// The largest small block.
const SMALL: usize = CLASSES[CLASSES.len() - 1];

/// Bytes of free blocks of a class that a CPU keeps at most, if they are between 8 and 128 blocks; then half of them go
/// to the shared list. What all CPUs keep is lost to programs, and each block may keep a page from going back.
const KEPT: usize = 8 * 1024;

/// What the list allocator's area grows by at least.
const GROWTH: usize = 64 * 1024;

/// Class by size in units of 16 bytes, rounded up.
const CLASS_OF_UNITS: [u8; SMALL / 16 + 1] = {
    let mut classes = [0; SMALL / 16 + 1];
    let mut units = 0;
    let mut class = 0;
    while units < classes.len() {
        while CLASSES[class] < units * 16 {
            class += 1;
        }
        classes[units] = class as u8;
        units += 1;
    }
    classes
};

/// A free small block: its neighbours in the list.
struct Free {
    next: *mut Free,
    /// Only in a shared list.
    previous: *mut Free,
}

/// A CPU's free blocks of one class, the last freed first.
struct Own {
    first: *mut Free,
    length: usize,
}

/// On cache lines of its own.
#[repr(align(64))]
struct Lists([Own; CLASSES.len()]);

/// The free blocks of one class that no CPU keeps. Each page's counter counts its blocks in the list.
struct Shared {
    first: *mut Free,
    last: *mut Free,
}

// SAFETY: the blocks in the lists belong to nobody else; the lock around the lists gives them to one CPU at a time.
unsafe impl Send for Lists {}

// SAFETY: as for `Lists`.
unsafe impl Send for Shared {}

/// Each CPU's lists. No lock guards them: that CPU alone uses them, with interrupts off.
struct OwnLists(UnsafeCell<Lists>);

// SAFETY: see above; `with_own` is the only way to them.
unsafe impl Sync for OwnLists {}

static OWN: [OwnLists; MAX_CPUS] =
    [const { OwnLists(UnsafeCell::new(Lists([const { Own { first: null_mut(), length: 0 } }; CLASSES.len()]))) };
        MAX_CPUS];

static SHARED: [IrqLock<Shared>; CLASSES.len()] =
    [const { IrqLock::new(Rank::HeapShared, Shared { first: null_mut(), last: null_mut() }) }; CLASSES.len()];

/// The list allocator and how much of its area is mapped.
struct Fallback {
    heap: Heap,
    mapped: usize,
}

static FALLBACK: IrqLock<Fallback> = IrqLock::new(Rank::Heap, Fallback { heap: Heap::empty(), mapped: 0 });

/// How many pages the heap has.
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// Returns how many pages the heap has.
pub(crate) fn heap_pages() -> usize {
    PAGES.load(Ordering::Relaxed)
}

struct KernelHeap;

#[global_allocator]
static HEAP: KernelHeap = KernelHeap;

/// Which part of the heap serves a request.
enum Part {
    Small(usize),
    Pages(usize),
}

fn part_for(layout: Layout) -> Part {
    let size = match layout.align() {
        0..=16 => layout.size(),
        align => layout.size().max(align).next_power_of_two(),
    };
    if size <= SMALL {
        return Part::Small(usize::from(CLASS_OF_UNITS[size.div_ceil(16)]));
    }
    Part::Pages(size.div_ceil(PAGE_SIZE))
}

// SAFETY: blocks of all parts are disjoint, as large and as aligned as asked for, and stay until given back.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match part_for(layout) {
            Part::Small(class) => allocate_small(class),
            Part::Pages(count) => allocate_pages(count, layout),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match part_for(layout) {
            // SAFETY: the caller gives back what `alloc` gave it for this layout.
            Part::Small(class) => unsafe { free_small(block, class) },
            Part::Pages(count) if !HEAP_AREA.contains(&(block.addr() as u64)) => {
                let page = page_of(block.cast());
                PAGES.fetch_sub(count, Ordering::Relaxed);
                if count == 1 { allocator::free_page(page) } else { allocator::free_pages(page, count) }
            }
            Part::Pages(_) => {
                if let Some(block) = NonNull::new(block) {
                    // SAFETY: as above; only the list allocator's blocks are in its area.
                    unsafe { FALLBACK.lock().heap.deallocate(block, layout) };
                }
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else { return null_mut() };
        let fits = match (part_for(layout), part_for(new_layout)) {
            (Part::Small(old), Part::Small(new)) => old == new,
            (Part::Pages(old), Part::Pages(new)) => old == new && !HEAP_AREA.contains(&(block.addr() as u64)),
            _ => false,
        };
        if fits {
            return block;
        }
        // SAFETY: the new layout is valid; both blocks are at least as long as what is copied, and apart; the old one
        // is the caller's to give back.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Calls `action` on this CPU's list of a class. It uses no list of a CPU besides.
#[inline(always)]
fn with_own<T>(class: usize, action: impl FnOnce(&mut Own) -> T) -> T {
    let _off = InterruptsOff::new();
    // SAFETY: with interrupts off nothing else runs on this CPU, and what is called here does not come here again.
    let lists = unsafe { &mut *OWN[cpu::index()].0.get() };
    action(&mut lists.0[class])
}

fn allocate_small(class: usize) -> *mut u8 {
    with_own(class, |own| {
        if own.first.is_null() && !supply(own, class) {
            return null_mut();
        }
        own.pop().cast()
    })
}

/// Gets blocks from the shared list, or else a new page; `false` if there is neither.
#[cold]
fn supply(own: &mut Own, class: usize) -> bool {
    SHARED[class].lock().give(own, kept(class) / 2);
    !own.first.is_null() || own.fill(CLASSES[class])
}

/// # Safety
/// `block` must be a block of the class `class` that belongs to the caller.
unsafe fn free_small(block: *mut u8, class: usize) {
    with_own(class, |own| {
        // SAFETY: the block is the caller's, aligned to 16 and at least as large as a `Free`.
        unsafe { own.push(block.cast()) };
        if own.length > kept(class) {
            give_back(own, class, kept(class) / 2);
        }
    });
}

/// Gives all free blocks that this CPU keeps to the shared lists, so that their pages may go back. Any context.
pub(in crate::machine) fn trim() {
    for class in 0..CLASSES.len() {
        with_own(class, |own| give_back(own, class, own.length));
    }
}

/// Gives `count` blocks to the shared list.
#[cold]
fn give_back(own: &mut Own, class: usize, count: usize) {
    SHARED[class].lock().take(own, count, CLASSES[class]);
}

/// Returns how many blocks of a class a CPU keeps at most.
fn kept(class: usize) -> usize {
    const COUNTS: [usize; CLASSES.len()] = {
        let mut counts = [0; CLASSES.len()];
        let mut class = 0;
        while class < counts.len() {
            let count = KEPT / CLASSES[class];
            counts[class] = if count < 8 {
                8
            } else if count > 128 {
                128
            } else {
                count
            };
            class += 1;
        }
        counts
    };
    COUNTS[class]
}

fn allocate_pages(count: usize, layout: Layout) -> *mut u8 {
    let page = if count == 1 { allocator::allocate_page() } else { allocator::allocate_pages(count) };
    match page {
        Some(page) => {
            PAGES.fetch_add(count, Ordering::Relaxed);
            direct_map_address(u64::from(page) << 12)
        }
        None if count > 1 => allocate_fallback(layout),
        None => null_mut(),
    }
}

fn allocate_fallback(layout: Layout) -> *mut u8 {
    let mut fallback = FALLBACK.lock();
    if let Ok(block) = fallback.heap.allocate_first_fit(layout) {
        return block.as_ptr();
    }
    // Room for the block wherever it must start.
    let needed = layout.size() + layout.align() + 64;
    if !fallback.grow(needed.max(GROWTH)) && !fallback.grow(needed) {
        return null_mut();
    }
    fallback.heap.allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr)
}

impl Fallback {
    /// Maps `size` bytes more; `false` if there is no memory (what was mapped then is used all the same).
    fn grow(&mut self, size: usize) -> bool {
        let size = size.next_multiple_of(PAGE_SIZE);
        let mut grown = 0;
        while grown < size {
            let Some(page) = allocator::allocate_page() else { break };
            let address = HEAP_AREA.start + (self.mapped + grown) as u64;
            if address >= HEAP_AREA.end || kernel_table::map_page(address, page).is_err() {
                allocator::free_page(page);
                break;
            }
            grown += PAGE_SIZE;
        }
        PAGES.fetch_add(grown / PAGE_SIZE, Ordering::Relaxed);

        if self.mapped == 0 && grown > 0 {
            // SAFETY: the pages were just mapped for this heap alone, at the start of its area.
            unsafe { self.heap.init(core::ptr::with_exposed_provenance_mut(HEAP_AREA.start as usize), grown) };
        } else if grown > 0 {
            // SAFETY: the pages were just mapped for this heap alone, right behind those that it has.
            unsafe { self.heap.extend(grown) };
        }
        self.mapped += grown;
        grown >= size
    }
}

impl Own {
    /// # Safety
    /// `block` must be a block of the list's class that nobody uses.
    unsafe fn push(&mut self, block: *mut Free) {
        // SAFETY: as the caller promises.
        unsafe { (*block).next = self.first };
        self.first = block;
        self.length += 1;
    }

    /// Takes the first block, or null.
    fn pop(&mut self) -> *mut Free {
        let block = self.first;
        if !block.is_null() {
            // SAFETY: blocks in a list are free and hold a `Free`.
            self.first = unsafe { (*block).next };
            self.length -= 1;
        }
        block
    }

    /// Cuts a new page into blocks of `size` bytes; `false` if there is no page.
    fn fill(&mut self, size: usize) -> bool {
        let Some(page) = allocator::allocate_page() else { return false };
        PAGES.fetch_add(1, Ordering::Relaxed);
        allocator::counter(page).store(0, Ordering::Relaxed);
        for block in blocks(page, size).rev() {
            // SAFETY: inside the page, which was just allocated for the heap.
            unsafe { self.push(block) };
        }
        true
    }
}

impl Shared {
    /// Moves up to `count` blocks to a CPU's list of the same class.
    fn give(&mut self, own: &mut Own, count: usize) {
        for _ in 0..count {
            let block = self.first;
            if block.is_null() {
                return;
            }
            self.unlink(block);
            allocator::counter(page_of(block)).fetch_sub(1, Ordering::Relaxed);
            // SAFETY: it was in a list of this class.
            unsafe { own.push(block) };
        }
    }

    /// Takes `count` blocks of `size` bytes, and gives back the pages of which all blocks are here then.
    fn take(&mut self, own: &mut Own, count: usize, size: usize) {
        let blocks_in_page = (PAGE_SIZE / size) as u32;
        for _ in 0..count {
            let block = own.pop();
            let page = page_of(block);
            let free = allocator::counter(page).fetch_add(1, Ordering::Relaxed) + 1;
            // Blocks of pages that are mostly free are given last, so that these pages may become free.
            self.link(block, 2 * free <= blocks_in_page);
            if free == blocks_in_page {
                blocks(page, size).for_each(|block| self.unlink(block));
                PAGES.fetch_sub(1, Ordering::Relaxed);
                allocator::free_page(page);
            }
        }
    }

    fn link(&mut self, block: *mut Free, is_first: bool) {
        let (previous, next) = if is_first { (null_mut(), self.first) } else { (self.last, null_mut()) };
        // SAFETY: the block is free, and nobody else has it.
        unsafe { block.write(Free { next, previous }) };
        *self.after(previous) = block;
        *self.before(next) = block;
    }

    fn unlink(&mut self, block: *mut Free) {
        // SAFETY: blocks in a list are free and hold a `Free`.
        let Free { next, previous } = unsafe { block.read() };
        *self.after(previous) = next;
        *self.before(next) = previous;
    }

    /// Returns what names the block behind `block`, or the first.
    fn after(&mut self, block: *mut Free) -> &mut *mut Free {
        // SAFETY: a block in the list, so nobody else uses it.
        if block.is_null() { &mut self.first } else { unsafe { &mut (*block).next } }
    }

    /// Returns what names the block before `block`, or the last.
    fn before(&mut self, block: *mut Free) -> &mut *mut Free {
        // SAFETY: as above.
        if block.is_null() { &mut self.last } else { unsafe { &mut (*block).previous } }
    }
}

/// Returns the blocks of `size` bytes in a page of the heap.
fn blocks(page: u32, size: usize) -> impl DoubleEndedIterator<Item = *mut Free> {
    let start = direct_map_address(u64::from(page) << 12);
    (0..PAGE_SIZE / size).map(move |index| start.wrapping_add(index * size).cast())
}

/// Returns the page that holds a small block.
fn page_of(block: *mut Free) -> u32 {
    ((block.addr() as u64 - DIRECT_MAP) / PAGE_SIZE as u64) as u32
}
