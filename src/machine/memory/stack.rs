//! Kernel stacks: mapped pages with unmapped ones around them, so that an overflow faults.
//!
//! Some freed stacks stay mapped for the next thread, which saves mapping and flushing.

use super::{OutOfMemory, PAGE_SIZE, VirtAddr, allocator, kernel_table};
use crate::machine::sync::IrqLock;
use crate::rank::Rank;

/// Bytes of a stack.
pub(crate) const STACK_SIZE: usize = 32 * 1024;

/// Bytes from one stack to the next: as much again lies unmapped below each.
const SLOT_SIZE: u64 = 2 * STACK_SIZE as u64;

/// Bytes at the end of each stack that nothing may have used when a task goes to user mode, and what is written there
/// to see it (debug builds).
const MARGIN: u64 = PAGE_SIZE as u64;
const UNUSED: u64 = 0x756e_7573_6564_2121;

/// The most stacks at a time.
const MAX_STACKS: usize = 1 << 15;

/// Freed stacks that stay mapped.
const KEPT: usize = 32;

/// A stack; dropping it frees it, which the thread on it must not do itself.
pub(in crate::machine) struct KernelStack {
    slot: usize,
}

struct Slots {
    /// One bit per slot: mapped or about to be.
    used: [u64; MAX_STACKS / 64],
    /// No bit is free before this word, so that few tables are needed.
    first: usize,
    kept: [usize; KEPT],
    kept_length: usize,
}

static SLOTS: IrqLock<Slots> = IrqLock::new(
    Rank::KernelPageTable,
    Slots { used: [0; MAX_STACKS / 64], first: 0, kept: [0; KEPT], kept_length: 0 },
);

impl KernelStack {
    /// Allocates a stack; its content is undefined.
    pub(in crate::machine) fn new() -> Result<KernelStack, OutOfMemory> {
        if let Some(slot) = take_kept() {
            return Ok(KernelStack { slot });
        }
        allocator::require_plenty()?;
        let slot = take_slot()?;
        // From here on, dropping it undoes what was done.
        let stack = KernelStack { slot };
        for address in pages(slot) {
            let page = allocator::allocate_page().ok_or(OutOfMemory)?;
            if let Err(error) = kernel_table::map_page(address, page) {
                allocator::free_page(page);
                return Err(error);
            }
        }
        if cfg!(debug_assertions) {
            // SAFETY: the words are the end of a stack that nobody uses yet.
            margin(slot).for_each(|word| unsafe { (word as *mut u64).write(UNUSED) });
        }
        Ok(stack)
    }

    /// Returns the address behind the stack's last byte; pushes go below it.
    pub(in crate::machine) fn top(&self) -> VirtAddr {
        VirtAddr::new(bottom(self.slot) + STACK_SIZE as u64)
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        let is_whole = kernel_table::is_mapped(bottom(self.slot) + STACK_SIZE as u64 - PAGE_SIZE as u64);
        if is_whole && keep(self.slot) {
            return;
        }
        super::tlb::unmap_kernel_pages(pages(self.slot));
        let mut slots = SLOTS.lock();
        slots.used[self.slot / 64] &= !(1 << (self.slot % 64));
        slots.first = slots.first.min(self.slot / 64);
    }
}

/// Returns whether `address` is in the unmapped part below a stack: an access there is an overflow.
pub(in crate::machine) fn is_below_stack(address: u64) -> bool {
    let area = kernel_table::STACK_AREA;
    let is_boot_guard = address & !(PAGE_SIZE as u64 - 1) == crate::machine::asm::stack_guard();
    is_boot_guard || area.contains(&address) && (address - area.start) % SLOT_SIZE < SLOT_SIZE - STACK_SIZE as u64
}

/// Panics, in debug builds, if the running task has come near the end of its stack.
#[inline(always)]
pub(in crate::machine) fn assert_margin() {
    let area = kernel_table::STACK_AREA;
    let here = (&raw const area).addr() as u64;
    if cfg!(debug_assertions) && area.contains(&here) {
        let mut words = margin(((here - area.start) / SLOT_SIZE) as usize);
        // SAFETY: the words are the end of the running task's stack.
        let has_margin = words.all(|word| unsafe { (word as *const u64).read_volatile() } == UNUSED);
        assert!(has_margin, "a task used its stack up to the last {MARGIN} bytes");
    }
}

/// Returns words of a stack's margin, near enough to one another that what is used is seen.
fn margin(slot: usize) -> impl Iterator<Item = u64> {
    (bottom(slot)..bottom(slot) + MARGIN).step_by(64)
}

fn bottom(slot: usize) -> u64 {
    kernel_table::STACK_AREA.start + (slot as u64 + 1) * SLOT_SIZE - STACK_SIZE as u64
}

fn pages(slot: usize) -> impl Iterator<Item = u64> + Clone {
    (bottom(slot)..bottom(slot) + STACK_SIZE as u64).step_by(PAGE_SIZE)
}

fn take_kept() -> Option<usize> {
    let mut slots = SLOTS.lock();
    slots.kept_length = slots.kept_length.checked_sub(1)?;
    Some(slots.kept[slots.kept_length])
}

fn keep(slot: usize) -> bool {
    let mut slots = SLOTS.lock();
    let length = slots.kept_length;
    let Some(place) = slots.kept.get_mut(length) else { return false };
    *place = slot;
    slots.kept_length += 1;
    true
}

fn take_slot() -> Result<usize, OutOfMemory> {
    let mut slots = SLOTS.lock();
    let word = (slots.first..slots.used.len()).find(|&word| slots.used[word] != u64::MAX).ok_or(OutOfMemory)?;
    let bit = slots.used[word].trailing_ones() as usize;
    slots.used[word] |= 1 << bit;
    slots.first = word;
    Ok(word * 64 + bit)
}
