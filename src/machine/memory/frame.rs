//! Physical pages with reference counts.
//!
//! A `Frame` is a counted handle: clone adds a reference, drop takes one away, the last frees the
//! page. Its content may be mapped into user space and change at any time, so it is copied in and
//! out and never lent as a reference. A `LargeFrame` is one reference to each of the pages of an aligned 2 MiB.

use super::{LARGE_PAGE_SIZE, OutOfMemory, PAGE_SIZE, PhysAddr, USER_END, allocator, raw};
use crate::machine::asm::{direct_map_address, user_copy};
use core::sync::atomic::{Ordering, fence};
use core::{mem::ManuallyDrop, num::NonZeroU32, ops::Range};

/// A counted reference to one 4 KiB page of memory.
pub(crate) struct Frame {
    /// The page's number; page 0 is firmware's and never handed out.
    number: NonZeroU32,
}

impl Frame {
    /// Allocates a page filled with zeros. Any context but interrupt handlers.
    pub(crate) fn zeroed() -> Result<Frame, OutOfMemory> {
        let frame = Frame::allocate()?;
        // SAFETY: the page was just allocated, so nobody else knows it.
        unsafe { raw::clear(frame.physical(), PAGE_SIZE) };
        Ok(frame)
    }

    /// Allocates a page with the content of `source`.
    pub(crate) fn copy_of(source: &Frame) -> Result<Frame, OutOfMemory> {
        let frame = Frame::allocate()?;
        // SAFETY: both are whole pages of RAM; the new one was just allocated, so nobody else knows it.
        unsafe { raw::copy(frame.bytes(), source.bytes(), PAGE_SIZE) };
        Ok(frame)
    }

    /// Allocates a page that begins with up to a page of `bytes`; the rest is zero.
    pub(crate) fn with_bytes(bytes: &[u8]) -> Result<Frame, OutOfMemory> {
        let frame = Frame::allocate()?;
        frame.write(0, bytes);
        frame.clear(bytes.len(), PAGE_SIZE - bytes.len());
        Ok(frame)
    }

    /// Allocates a page that begins with up to a page of `length` bytes from the user address `from` in the loaded
    /// address space; the rest is zero. Returns how many bytes were copied before an access failed, too.
    pub(crate) fn with_user_bytes(from: u64, length: usize) -> Result<(Frame, usize), OutOfMemory> {
        let frame = Frame::allocate()?;
        let copied = frame.copy_from_user(0, from, length);
        frame.clear(copied, PAGE_SIZE - copied);
        Ok((frame, copied))
    }

    /// Returns the physical address of the page.
    pub(crate) fn address(&self) -> PhysAddr {
        PhysAddr::new(self.physical())
    }

    /// Returns how many handles (page table entries count as one each) exist.
    pub(crate) fn references(&self) -> usize {
        allocator::counter(self.number.get()).load(Ordering::Acquire) as usize
    }

    /// Copies from the page at `offset` into `bytes`. Panics if that crosses the page's end.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        check(offset, bytes.len());
        // SAFETY: the range is inside the page, which this handle keeps.
        unsafe { raw::copy(bytes.as_mut_ptr(), self.bytes().add(offset), bytes.len()) };
    }

    /// Copies `bytes` into the page at `offset`. Panics if that crosses the page's end.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        check(offset, bytes.len());
        // SAFETY: the range is inside the page, which this handle keeps and to which no references exist.
        unsafe { raw::copy(self.bytes().add(offset), bytes.as_ptr(), bytes.len()) };
    }

    /// Sets `length` bytes at `offset` to zero. Panics if that crosses the page's end.
    pub(crate) fn clear(&self, offset: usize, length: usize) {
        check(offset, length);
        // SAFETY: as for `write`.
        unsafe { raw::clear(self.physical() + offset as u64, length) };
    }

    /// Copies `length` bytes at `offset` to the user address `to` in the loaded address space; returns
    /// how many bytes were copied before an access failed. Panics if that crosses the page's end.
    pub(crate) fn copy_to_user(&self, offset: usize, to: u64, length: usize) -> usize {
        check(offset, length);
        let length = user_length(to, length);
        // SAFETY: the user range ends below `USER_END`, so only user memory is written, and a fault there ends the
        // copy; the source is inside the page.
        let left = unsafe { user_copy(user_address(to), self.bytes().add(offset), length) };
        length - left
    }

    /// Copies `length` bytes at the user address `from` into the page at `offset`; returns how many were
    /// copied before an access failed. Panics if that crosses the page's end.
    pub(crate) fn copy_from_user(&self, offset: usize, from: u64, length: usize) -> usize {
        check(offset, length);
        let length = user_length(from, length);
        // SAFETY: as for `copy_to_user`, the other way.
        let left = unsafe { user_copy(self.bytes().add(offset), user_address(from), length) };
        length - left
    }

    /// Gives up the handle without its reference, for an entry of a page table that keeps it.
    pub(super) fn into_number(self) -> u32 {
        ManuallyDrop::new(self).number.get()
    }

    /// Takes over a reference that `into_number` gave up.
    ///
    /// # Safety
    /// Each call of `into_number` allows one call.
    pub(super) unsafe fn from_number(number: u32) -> Frame {
        Frame { number: NonZeroU32::new(number).expect("page 0 is never handed out") }
    }

    /// Makes one more handle of the page that an entry of a page table keeps.
    ///
    /// # Safety
    /// The entry's reference must last until this returns.
    pub(super) unsafe fn share_number(number: u32) -> Frame {
        allocator::counter(number).fetch_add(1, Ordering::Relaxed);
        // SAFETY: the new reference is this handle's.
        unsafe { Frame::from_number(number) }
    }

    fn allocate() -> Result<Frame, OutOfMemory> {
        let page = allocator::allocate_page().ok_or(OutOfMemory)?;
        allocator::counter(page).store(1, Ordering::Relaxed);
        Ok(Frame { number: NonZeroU32::new(page).ok_or(OutOfMemory)? })
    }

    fn physical(&self) -> u64 {
        u64::from(self.number.get()) << 12
    }

    fn bytes(&self) -> *mut u8 {
        direct_map_address(self.physical())
    }
}

impl Clone for Frame {
    fn clone(&self) -> Frame {
        allocator::counter(self.number.get()).fetch_add(1, Ordering::Relaxed);
        Frame { number: self.number }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let page = self.number.get();
        if allocator::counter(page).fetch_sub(1, Ordering::Release) == 1 {
            // What other handles did with the page comes before what its next owner does.
            fence(Ordering::Acquire);
            allocator::free_page(page);
        }
    }
}

/// A counted reference to each of the pages of a large one.
pub(crate) struct LargeFrame {
    first: NonZeroU32,
}

impl LargeFrame {
    const PAGES: usize = LARGE_PAGE_SIZE / PAGE_SIZE;

    /// Allocates a large page filled with zeros. Any context but interrupt handlers.
    pub(crate) fn zeroed() -> Result<LargeFrame, OutOfMemory> {
        let first = allocator::allocate_pages(LargeFrame::PAGES).and_then(NonZeroU32::new).ok_or(OutOfMemory)?;
        let frame = LargeFrame { first };
        frame.pages().for_each(|page| allocator::counter(page).store(1, Ordering::Relaxed));
        // SAFETY: the pages were just allocated, so nobody else knows them.
        unsafe { raw::clear(u64::from(first.get()) << 12, LARGE_PAGE_SIZE) };
        Ok(frame)
    }

    /// Returns whether there is no other handle of any of the pages, but for `page` if it is one of them.
    pub(super) fn is_unshared(&self, page: Option<&Frame>) -> bool {
        let known = page.map_or(0, |page| page.number.get());
        let is_alone = |page| allocator::counter(page).load(Ordering::Acquire) == 1 + u32::from(page == known);
        self.pages().all(is_alone)
    }

    /// Gives up the handle without its references, for an entry of a page table that keeps them.
    pub(super) fn into_number(self) -> u32 {
        ManuallyDrop::new(self).first.get()
    }

    /// Takes over the references that `into_number` gave up.
    ///
    /// # Safety
    /// Each call of `into_number` allows one call.
    pub(super) unsafe fn from_number(number: u32) -> LargeFrame {
        LargeFrame { first: NonZeroU32::new(number).expect("page 0 is never handed out") }
    }

    fn pages(&self) -> Range<u32> {
        self.first.get()..self.first.get() + LargeFrame::PAGES as u32
    }
}

impl Clone for LargeFrame {
    fn clone(&self) -> LargeFrame {
        self.pages().for_each(|page| {
            allocator::counter(page).fetch_add(1, Ordering::Relaxed);
        });
        LargeFrame { first: self.first }
    }
}

impl Drop for LargeFrame {
    fn drop(&mut self) {
        if self.is_unshared(None) {
            return allocator::free_pages(self.first.get(), LargeFrame::PAGES);
        }
        for page in self.pages() {
            // SAFETY: each page's reference is this handle's, which ends.
            drop(unsafe { Frame::from_number(page) });
        }
    }
}

fn check(offset: usize, length: usize) {
    assert!(offset <= PAGE_SIZE && length <= PAGE_SIZE - offset, "{length} bytes at {offset} cross the page's end");
}

/// Returns how much of a user range lies below `USER_END`.
fn user_length(address: u64, length: usize) -> usize {
    length.min(USER_END.saturating_sub(address) as usize)
}

fn user_address(address: u64) -> *mut u8 {
    core::ptr::without_provenance_mut(address as usize)
}
