//! Large pages: the first store to aligned 2 MiB of private anonymous memory may bring in all of it as one page.
//!
//! Whether it does is chosen for the system (/sys/kernel/mm/transparent_hugepage/enabled), the address space
//! (prctl(2), PR_SET_THP_DISABLE) and the area (madvise(2)). Where the 2 MiB do not lie within one area, hold pages already, or
//! memory is short, pages are small. A large page lies within one area: whatever cuts an area splits it first.

use super::address_space::AddressSpace;
use super::area::{Area, Mapping};
use crate::errno::Result;
use crate::machine::memory::LARGE_PAGE_SIZE;
use crate::util::tunable::Tunable;
use core::ops::Range;

const NEVER: usize = 0;
const ADVISED: usize = 1;
const ALWAYS: usize = 2;

/// The names of the system's choices, by their values.
pub(crate) const CHOICES: [&str; 3] = ["never", "madvise", "always"];

/// When areas get large pages.
pub(crate) static CHOICE: Tunable = Tunable::new(ALWAYS, NEVER, ALWAYS);

/// What madvise(2) said about large pages in an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LargePages {
    Unadvised,
    /// MADV_HUGEPAGE
    Wanted,
    /// MADV_NOHUGEPAGE
    Refused,
}

impl AddressSpace {
    /// Has the address space have large pages, or not (prctl(2), PR_SET_THP_DISABLE).
    pub(crate) fn refuse_large_pages(&self, is_refused: bool) {
        self.lock().refuses_large_pages = is_refused;
    }

    /// Returns whether it has no large pages.
    pub(crate) fn refuses_large_pages(&self) -> bool {
        self.lock().refuses_large_pages
    }

    /// Sets what is said about large pages in a range. EAGAIN at the limit of areas, ENOMEM.
    pub(crate) fn advise_large_pages(&self, address: u64, length: u64, advice: LargePages) -> Result {
        self.advise(address, length, |area| area.large_pages = advice)
    }
}

impl Area {
    /// Returns whether large pages are wanted in it.
    pub(super) fn takes_large_pages(&self) -> bool {
        let least = match self.large_pages {
            LargePages::Unadvised => ALWAYS,
            LargePages::Wanted => ADVISED,
            LargePages::Refused => return false,
        };
        matches!(self.mapping, Mapping::Anonymous) && CHOICE.get() >= least
    }
}

/// Returns the aligned large page around `address`, if it lies in `range`.
pub(super) fn around(address: u64, range: &Range<u64>) -> Option<Range<u64>> {
    let start = address & !(LARGE_PAGE_SIZE as u64 - 1);
    let end = start + LARGE_PAGE_SIZE as u64;
    (range.start <= start && end <= range.end).then_some(start..end)
}
