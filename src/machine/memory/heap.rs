//! The heap.

use core::alloc::{GlobalAlloc, Layout};
use linked_list_allocator::Heap;

struct Global(spin::Mutex<Heap>);

#[global_allocator]
static HEAP: Global = Global(spin::Mutex::new(Heap::empty()));

static mut EARLY: [u8; 4 << 20] = [0; 4 << 20];

/// Gives the heap its first memory.
pub(super) fn start() {
    // SAFETY: called once; nothing else uses the array.
    unsafe { HEAP.0.lock().init((&raw mut EARLY).cast(), 4 << 20) }
}

// SAFETY: the list allocator under the lock keeps the contract.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(core::ptr::null_mut(), |block| block.as_ptr())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = core::ptr::NonNull::new(block) {
            // SAFETY: the caller gives back what `alloc` gave out.
            unsafe { self.0.lock().deallocate(block, layout) }
        }
    }
}
