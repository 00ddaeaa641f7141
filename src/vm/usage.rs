//! Which pages an address space has in memory, by kind, for /proc: counted when asked for, by a walk.

use super::PAGE;
use super::address_space::{AddressSpace, Areas};
use super::area::Area;
use super::fault::is_zero_page;
use core::ops::Range;

/// Bytes in memory of one area, as smaps shows them. The page that all untouched memory shows does not count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) resident: u64,
    /// Each page divided by how many map it.
    pub(crate) proportional: u64,
    pub(crate) shared_clean: u64,
    pub(crate) shared_dirty: u64,
    pub(crate) private_clean: u64,
    pub(crate) private_dirty: u64,
    pub(crate) referenced: u64,
    /// Pages that belong to no file.
    pub(crate) anonymous: u64,
    /// Of these, each divided by how many map it.
    pub(crate) proportional_anonymous: u64,
    /// What large pages hold of it.
    pub(crate) large: u64,
}

impl AddressSpace {
    /// Counts the pages of an area.
    pub(super) fn usage(&self, areas: &Areas, range: Range<u64>, area: &Area) -> Usage {
        let mut usage = Usage::default();
        self.table.visit(range.clone(), &mut |address, frame, state| {
            if is_zero_page(frame) {
                return;
            }
            let of_file = area.file_page(address - range.start).and_then(|(cache, index)| cache.present(index));
            let is_file = of_file.as_ref().is_some_and(|cached| cached.address() == frame.address());
            // The cache has a reference beside the mappings, and `of_file` is one more.
            let users = (frame.references() - if is_file { 2 } else { 0 }).max(1) as u64;
            usage.add(users, !is_file, state.is_accessed, state.is_dirty || !is_file);
            if state.is_in_large_page {
                usage.large += PAGE;
            }
        });
        for (_, frame) in areas.set_aside.range(range) {
            usage.add(frame.references() as u64, true, false, true);
        }
        usage
    }
}

impl Usage {
    fn add(&mut self, users: u64, is_anonymous: bool, is_referenced: bool, is_dirty: bool) {
        self.resident += PAGE;
        self.proportional += PAGE / users;
        *match (users > 1, is_dirty) {
            (true, true) => &mut self.shared_dirty,
            (true, false) => &mut self.shared_clean,
            (false, true) => &mut self.private_dirty,
            (false, false) => &mut self.private_clean,
        } += PAGE;
        if is_referenced {
            self.referenced += PAGE;
        }
        if is_anonymous {
            self.anonymous += PAGE;
            self.proportional_anonymous += PAGE / users;
        }
    }
}
