//! Page faults: memory appears when it is touched.
//!
//! anonymous, read → the one zero page, shared · anonymous, write → a page of its own, large or small · file, read → the cached page
//! (and its neighbours) · private file, write → a copy · present but not writable → copy on write, or the page itself
//! if nobody else has it.

use super::address_space::{AddressSpace, Areas, GUARD_GAP};
use super::area::{Area, Mapping, Protection, Wanted};
use super::{PAGE, PageCache, budget, large_pages};
use crate::errno::{Errno, Result};
use crate::machine::memory::{Access, Frame, LARGE_PAGE_SIZE, OutOfMemory, USER_END};
use crate::machine::sync::Once;
use crate::machine::trap::PageFault;
use alloc::collections::BTreeMap;
use core::ops::Range;

/// How many pages of a file one fault maps at most, if they are in memory: one aligned window.
const AROUND: usize = 16;

/// The page that all untouched anonymous memory shows when it is read.
static ZERO_PAGE: Once<Frame> = Once::new();

/// How a page fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultOutcome {
    /// The access can be repeated.
    Resolved,
    /// Nothing is mapped there: SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// The area forbids it: SIGSEGV, SEGV_ACCERR.
    NotAllowed,
    /// Beyond the end of the file: SIGBUS, BUS_ADRERR.
    BeyondFile,
    /// No frame was left.
    OutOfMemory,
}

/// Whether an area's protection counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// As for the program itself.
    Program,
    /// As for its debugger: reads anything, writes private copies of what is not writable.
    Debugger,
}

impl AddressSpace {
    /// Resolves a fault of user mode or of a user copy.
    pub(crate) fn handle_fault(&self, fault: PageFault) -> FaultOutcome {
        let wanted = if fault.is_write {
            Wanted::Write
        } else if fault.is_execute {
            Wanted::Execute
        } else {
            Wanted::Read
        };
        self.resolve(&mut self.lock(), fault.address & !(PAGE - 1), wanted, Rights::Program)
    }

    /// Makes the page at `address` ready for the access.
    pub(super) fn resolve(&self, areas: &mut Areas, address: u64, wanted: Wanted, rights: Rights) -> FaultOutcome {
        let (range, area) = match areas.map.find_mut(address) {
            Some(found) => found,
            None => {
                let is_grown = address < USER_END && areas.grow_down_to(address);
                return if is_grown { self.resolve(areas, address, wanted, rights) } else { FaultOutcome::NotMapped };
            }
        };
        let is_allowed = match rights {
            Rights::Program => area.allows(wanted),
            // A page in the table would be the program's to read.
            Rights::Debugger if area.protection.is_empty() => false,
            Rights::Debugger => wanted != Wanted::Write || area.allows(wanted) || !area.is_shared,
        };
        if !is_allowed {
            return FaultOutcome::NotAllowed;
        }

        if let Some(frame) = areas.set_aside.get(&address) {
            if self.table.map(address, frame.clone(), area.access() - Access::WRITE).is_err() {
                return FaultOutcome::OutOfMemory;
            }
            areas.resident += 1;
            areas.set_aside.remove(&address);
        }

        let refuses_large = areas.refuses_large_pages;
        let mut filler =
            Filler { space: self, area, range, address, set_aside: &areas.set_aside, refuses_large, added: 0 };
        match self.table.replace(address, |shown| filler.choose(shown, wanted == Wanted::Write)) {
            Ok(()) => {
                areas.resident += filler.added;
                FaultOutcome::Resolved
            }
            Err(Errno::ENOMEM | Errno::ENOSPC) => FaultOutcome::OutOfMemory,
            Err(_) => FaultOutcome::BeyondFile,
        }
    }
}

impl Areas {
    /// Extends the area above that grows down so that it holds `address`; returns whether that was possible.
    fn grow_down_to(&mut self, address: u64) -> bool {
        let Some((range, area)) = self.map.next_from(address) else { return false };
        if !area.grows_down || range.end - address > self.stack_limit {
            return false;
        }
        let is_too_near = |(below, area): (Range<u64>, &Area)| {
            !area.grows_down && !area.protection.is_empty() && below.end + GUARD_GAP > address
        };
        if self.map.previous_to(address).is_some_and(is_too_near) {
            return false;
        }
        let area = area.clone();
        if self.check_count(0).is_err() {
            return false;
        }
        self.add(address..range.start, area).is_ok()
    }
}

impl Area {
    /// Returns the access that the protection gives to a page.
    pub(super) fn access(&self) -> Access {
        let mut access = Access::empty();
        access.set(Access::WRITE, self.protection.contains(Protection::WRITE));
        access.set(Access::EXECUTE, self.protection.contains(Protection::EXECUTE));
        access
    }
}

/// One fault on its way.
struct Filler<'a> {
    space: &'a AddressSpace,
    area: &'a mut Area,
    range: Range<u64>,
    address: u64,
    /// Where a page of the file must not be shown, because there is a private one.
    set_aside: &'a BTreeMap<u64, Frame>,
    refuses_large: bool,
    /// How many pages were added to the address space.
    added: usize,
}

impl Filler<'_> {
    /// Says what the page is to show that shows `shown`, and how; `None` if nothing is to be done any more.
    fn choose(&mut self, shown: Option<(Frame, Access)>, is_write: bool) -> Result<Option<(Frame, Access)>> {
        match shown {
            Some((frame, access)) if is_write && !access.contains(Access::WRITE) => self.make_writable(frame),
            Some(_) => Ok(None),
            None if matches!(self.area.mapping, Mapping::File { .. }) => self.fill_from_file(is_write),
            None if is_write && self.fill_large().is_some() => Ok(None),
            None => {
                self.added = 1;
                if is_write {
                    return Ok(self.own(budget::zeroed_frame()?));
                }
                self.area.has_private_pages = true;
                Ok(Some((zero_page()?, self.area.access() - Access::WRITE)))
            }
        }
    }

    /// Puts a large page where there is nothing yet around the address, if it may be and can be had.
    fn fill_large(&mut self) -> Option<()> {
        let whole = large_pages::around(self.address, &self.range)?;
        let is_free = self.area.takes_large_pages()
            && !self.refuses_large
            && self.set_aside.range(whole.clone()).next().is_none()
            && self.space.table.is_vacant(whole.start);
        let frame = if is_free { budget::zeroed_large_frame().ok()? } else { return None };
        self.space.table.map_large(whole.start, frame, self.area.access()).ok()?;
        self.area.has_private_pages = true;
        self.added = LARGE_PAGE_SIZE / PAGE as usize;
        Some(())
    }

    /// EFAULT beyond the end of the file.
    fn fill_from_file(&mut self, is_write: bool) -> Result<Option<(Frame, Access)>> {
        let Some((cache, index)) = self.area.file_page(self.address - self.range.start) else {
            return Err(Errno::EFAULT);
        };
        let frame = cache.page(index)?.ok_or(Errno::EFAULT)?;
        self.added = 1;
        if is_write && !self.area.is_shared {
            return Ok(self.own(budget::copy_of(&frame)?));
        }

        let mut access = self.area.access();
        if is_write {
            cache.mark_dirty(index);
            return Ok(Some((frame, access)));
        }
        if !self.area.is_shared || cache.needs_write_back() {
            access -= Access::WRITE;
        }
        self.added = self.map_around(cache, index, frame, access)?;
        Ok(None)
    }

    /// Maps the page `index`, which is `frame`, and its neighbours in the window that are in memory but not mapped;
    /// returns how many.
    fn map_around(
        &self, cache: &PageCache, index: u64, frame: Frame, access: Access,
    ) -> core::result::Result<usize, OutOfMemory> {
        let window_start = (self.address & !(AROUND as u64 * PAGE - 1)).max(self.range.start);
        let window_end = ((self.address | (AROUND as u64 * PAGE - 1)) + 1).min(self.range.end);
        let length = ((window_end - window_start) / PAGE) as usize;
        let own = ((self.address - window_start) / PAGE) as usize;
        let first = index - own as u64;

        let mut frames = [const { None }; AROUND];
        cache.collect_present(first..first + length as u64, |index, frame| {
            frames[(index - first) as usize] = Some(frame.clone());
        });
        frames[own] = Some(frame);
        for (&address, _) in self.set_aside.range(window_start..window_end) {
            frames[((address - window_start) / PAGE) as usize] = None;
        }
        self.space.table.map_missing(window_start, &mut frames[..length], access)
    }

    /// A store to a page that is present but not writable.
    fn make_writable(&mut self, frame: Frame) -> Result<Option<(Frame, Access)>> {
        let access = self.area.access();
        if self.area.is_shared {
            if let Some((cache, index)) = self.area.file_page(self.address - self.range.start) {
                cache.mark_dirty(index);
            }
            Ok(Some((frame, access)))
        } else if self.space.table.take_over_large(self.address, &frame, access) {
            Ok(None)
        } else if frame.references() == 2 {
            // The page table's reference and ours: nobody else has the page.
            Ok(self.own(frame))
        } else {
            Ok(self.own(budget::copy_of(&frame)?))
        }
    }

    /// A page that belongs to this address space alone.
    fn own(&mut self, frame: Frame) -> Option<(Frame, Access)> {
        self.area.has_private_pages = true;
        Some((frame, self.area.access()))
    }
}

/// Returns the shared zero page.
pub(super) fn zero_page() -> Result<Frame> {
    Ok(ZERO_PAGE.try_call_once(Frame::zeroed).cloned()?)
}

/// Returns whether `frame` is the shared zero page.
pub(super) fn is_zero_page(frame: &Frame) -> bool {
    ZERO_PAGE.get().is_some_and(|zero| zero.address() == frame.address())
}
