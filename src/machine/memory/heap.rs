//! The global allocator.
//!
//! Up to 2 KiB: size classes, each CPU with a list of free blocks per class and one more list that they share,
//! which gives whole pages back.
//! Whole pages, and all of 16 KiB and more: straight from the page allocator. What is between: blocks of
//! `linked_list_allocator`, in an area of its own that grows page by page, which also helps out
//! where the page allocator has no pages in a row. Any context; interrupts are off meanwhile.

use super::kernel_table::{self, HEAP_AREA};
use super::{PAGE_SIZE, allocator};
use crate::machine::asm::{DIRECT_MAP, direct_map_address};
use crate::machine::cpu::{self, MAX_CPUS};
use crate::machine::sync::IrqLock;
use crate::rank::Rank;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};
use linked_list_allocator::Heap;

/// Sizes of small blocks. All are multiples of 16; powers of two are aligned to themselves.
const CLASSES: [usize; 14] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];

/// The largest small block.
const SMALL: usize = CLASSES[CLASSES.len() - 1];

/// From here on, blocks are whole pages.
const LARGE: usize = 16 * 1024;

/// Free blocks of a class that a CPU keeps at most; then half of them go to the shared list.
const KEPT: usize = 128;

/// Bytes of free blocks of a class that the shared list keeps without looking for whole pages among them.
const KEPT_SHARED: usize = 64 * 1024;

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

/// A free small block: the next one.
struct Free {
    next: *mut Free,
}

/// A list of free small blocks of one class.
struct List {
    first: *mut Free,
    length: usize,
    /// At this length the shared list gives whole pages back.
    trim_at: usize,
}

/// The lists of one CPU, or the shared ones.
struct Lists([List; CLASSES.len()]);

// SAFETY: the blocks in the lists belong to nobody else; the lock around the lists gives them to one CPU at a time.
unsafe impl Send for Lists {}

static OWN: [IrqLock<Lists>; MAX_CPUS] = [const { IrqLock::new(Rank::Heap, Lists::new()) }; MAX_CPUS];

static SHARED: IrqLock<Lists> = IrqLock::new(Rank::HeapShared, Lists::new());

/// The list allocator and how much of its area is mapped.
struct Middle {
    heap: Heap,
    mapped: usize,
}

static MIDDLE: IrqLock<Middle> = IrqLock::new(Rank::Heap, Middle { heap: Heap::empty(), mapped: 0 });

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
    Middle,
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
    let is_pages = size >= LARGE || size.is_multiple_of(PAGE_SIZE) || layout.align() >= PAGE_SIZE;
    if is_pages { Part::Pages(size.div_ceil(PAGE_SIZE)) } else { Part::Middle }
}

// SAFETY: blocks of all three parts are disjoint, as large and as aligned as asked for, and stay until given back.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match part_for(layout) {
            Part::Small(class) => allocate_small(class),
            Part::Middle => allocate_middle(layout),
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
            Part::Middle | Part::Pages(_) => {
                if let Some(block) = NonNull::new(block) {
                    // SAFETY: as above; only the list allocator's blocks are in its area.
                    unsafe { MIDDLE.lock().heap.deallocate(block, layout) };
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

fn allocate_small(class: usize) -> *mut u8 {
    let mut own = OWN[cpu::index()].lock();
    let list = &mut own.0[class];
    if list.first.is_null() {
        SHARED.lock().0[class].move_to(list, KEPT / 2);
    }
    if list.first.is_null() && !fill(list, CLASSES[class]) {
        return null_mut();
    }
    list.pop().cast()
}

/// # Safety
/// `block` must be a block of the class `class` that belongs to the caller.
unsafe fn free_small(block: *mut u8, class: usize) {
    let mut own = OWN[cpu::index()].lock();
    let list = &mut own.0[class];
    // SAFETY: the block is the caller's, aligned to 16 and at least as large as a `Free`.
    unsafe { list.push(block.cast()) };
    if list.length > KEPT {
        let shared = &mut SHARED.lock().0[class];
        list.move_to(shared, KEPT / 2);
        if shared.length >= shared.trim_at {
            shared.trim(CLASSES[class]);
        }
    }
}

/// Cuts a new page into blocks of `size` bytes; `false` if there is no page.
fn fill(list: &mut List, size: usize) -> bool {
    let Some(page) = allocator::allocate_page() else { return false };
    PAGES.fetch_add(1, Ordering::Relaxed);
    allocator::counter(page).store(0, Ordering::Relaxed);
    let start = direct_map_address(u64::from(page) << 12);
    for index in (0..PAGE_SIZE / size).rev() {
        // SAFETY: inside the page, which was just allocated for the heap.
        unsafe { list.push(start.add(index * size).cast()) };
    }
    true
}

fn allocate_pages(count: usize, layout: Layout) -> *mut u8 {
    let page = if count == 1 { allocator::allocate_page() } else { allocator::allocate_pages(count) };
    match page {
        Some(page) => {
            PAGES.fetch_add(count, Ordering::Relaxed);
            direct_map_address(u64::from(page) << 12)
        }
        None if count > 1 => allocate_middle(layout),
        None => null_mut(),
    }
}

fn allocate_middle(layout: Layout) -> *mut u8 {
    let mut middle = MIDDLE.lock();
    if let Ok(block) = middle.heap.allocate_first_fit(layout) {
        return block.as_ptr();
    }
    // Room for the block wherever it must start.
    let needed = layout.size() + layout.align() + 64;
    if !middle.grow(needed.max(GROWTH)) && !middle.grow(needed) {
        return null_mut();
    }
    middle.heap.allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr)
}

impl Middle {
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

/// Returns the page that holds a small block.
fn page_of(block: *mut Free) -> u32 {
    ((block.addr() as u64 - DIRECT_MAP) / PAGE_SIZE as u64) as u32
}

impl Lists {
    const fn new() -> Lists {
        let mut lists = [const { List { first: null_mut(), length: 0, trim_at: 0 } }; CLASSES.len()];
        let mut class = 0;
        while class < CLASSES.len() {
            lists[class].trim_at = KEPT_SHARED / CLASSES[class];
            class += 1;
        }
        Lists(lists)
    }
}

impl List {
    /// # Safety
    /// `block` must be a block of the list's class that nobody uses.
    unsafe fn push(&mut self, block: *mut Free) {
        // SAFETY: as the caller promises.
        unsafe { block.write(Free { next: self.first }) };
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

    /// Moves up to `count` blocks to another list of the same class.
    fn move_to(&mut self, other: &mut List, count: usize) {
        for _ in 0..count {
            let block = self.pop();
            if block.is_null() {
                return;
            }
            // SAFETY: it was in a list of this class.
            unsafe { other.push(block) };
        }
    }

    /// Gives back the pages of which all blocks, of `size` bytes, are in the list. The pages' counters, otherwise
    /// zero, count the blocks. It is done again when the list is a quarter longer than what is left, so that each
    /// free pays little.
    fn trim(&mut self, size: usize) {
        const WHOLE: u32 = 1 << 31;
        let blocks_in_page = (PAGE_SIZE / size) as u32;
        let mut block = self.first;
        while !block.is_null() {
            allocator::counter(page_of(block)).fetch_add(1, Ordering::Relaxed);
            // SAFETY: blocks in a list are free and hold a `Free`.
            block = unsafe { (*block).next };
        }

        let mut rest = core::mem::replace(self, List { first: null_mut(), length: 0, trim_at: 0 });
        loop {
            let block = rest.pop();
            if block.is_null() {
                break;
            }
            let counter = allocator::counter(page_of(block));
            let count = counter.load(Ordering::Relaxed);
            if count != blocks_in_page && count & WHOLE == 0 {
                counter.store(0, Ordering::Relaxed);
                // SAFETY: it was in this list.
                unsafe { self.push(block) };
                continue;
            }
            let left = (count | WHOLE) - 1;
            counter.store(left, Ordering::Relaxed);
            if left == WHOLE {
                PAGES.fetch_sub(1, Ordering::Relaxed);
                allocator::free_page(page_of(block));
            }
        }
        self.trim_at = self.length + (self.length / 4).max(KEPT_SHARED / size);
    }
}
