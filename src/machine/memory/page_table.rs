//! The page table of one user address space: which frame each user page shows, and how.
//!
//! Each present entry holds a reference on its frame. A frame taken out of the table is dropped only
//! after every CPU that may have the old translation has flushed it.

use super::{Frame, OutOfMemory};
use crate::machine::sync::Once;
use alloc::sync::Arc;
use bitflags::bitflags;
use core::ops::Range;
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

/// A user address space as the CPU sees it. Methods that change it are for one caller at a time, which
/// the owner's lock ensures (`vm::AddressSpace`); wrong use spoils only that user's memory.
pub(crate) struct PageTable {
    _root: Frame,
}

impl PageTable {
    /// Makes an empty table that shares the kernel's half.
    pub(crate) fn new() -> Result<Arc<PageTable>, OutOfMemory> {
        todo!()
    }

    /// Maps `frame` at the page `address`, replacing what was there.
    pub(crate) fn map(&self, _address: u64, _frame: Frame, _access: Access) -> Result<(), OutOfMemory> {
        todo!()
    }

    /// Returns the frame at the page `address` (as one more reference) and its access.
    pub(crate) fn look_up(&self, _address: u64) -> Option<(Frame, Access)> {
        todo!()
    }

    /// Removes all pages in `range`, frees tables that became empty, returns how many pages were removed.
    pub(crate) fn unmap(&self, _range: Range<u64>) -> usize {
        todo!()
    }

    /// Changes the access of each mapped page in `range` to what `change` makes of it.
    pub(crate) fn protect(&self, _range: Range<u64>, _change: &mut dyn FnMut(Access) -> Access) {
        todo!()
    }

    /// Maps each page of `range` that is mapped here into `child` too, at the same address and without
    /// write access in both (if `share_writable` is false): the fork of a private area.
    pub(crate) fn share_with(
        &self,
        _child: &PageTable,
        _range: Range<u64>,
        _share_writable: bool,
    ) -> Result<usize, OutOfMemory> {
        todo!()
    }

    /// Moves the pages of `from` (a range of pages) to start at `to`, as mremap needs.
    pub(crate) fn move_pages(&self, _from: Range<u64>, _to: u64) -> Result<(), OutOfMemory> {
        todo!()
    }

    /// Calls `visit(address, frame, access, accessed, dirty)` for each mapped page in `range`.
    pub(crate) fn visit(&self, _range: Range<u64>, _visit: &mut dyn FnMut(u64, &Frame, Access, bool, bool)) {
        todo!()
    }
}

/// Loads a user address space into this CPU, or (`None`) the kernel's, which has no user half. The caller keeps
/// the table as long as it is loaded.
pub(in crate::machine) fn load_page_table(table: Option<&PageTable>) {
    static KERNEL: Once<PhysFrame> = Once::new();
    // The first call finds the kernel's own table.
    let (kernel, flags) = (KERNEL.call_once(|| Cr3::read().0), Cr3Flags::empty());
    let root = table.map_or(*kernel, |table| PhysFrame::containing_address(table._root.address()));
    // SAFETY: every user table shares the kernel's half, so nothing changes for the kernel.
    unsafe { Cr3::write(root, flags) };
}
