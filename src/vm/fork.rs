//! The copy of an address space for a child process: private pages are shown read-only on both sides until one
//! writes. Pages that the child can find again in a file are not copied; most children exec before they need them.

use super::address_space::Areas;
use super::area::{Area, Mapping};
use super::commit::Promise;
use super::{AddressSpace, PAGE, budget};
use crate::errno::{Errno, Result};
use crate::machine::memory::{Access, USER_END};
use crate::util::interval_map::IntervalMap;
use alloc::{collections::BTreeMap, sync::Arc};

impl AddressSpace {
    /// Makes a copy for a child process; private pages are shared until one side writes, but those at the addresses
    /// `written`, to which both sides are about to write: copied at once, they cost neither side a fault.
    pub(crate) fn fork(&self, written: &[u64]) -> Result<Arc<AddressSpace>> {
        let mut areas = self.lock();
        let child = AddressSpace::with_areas(Areas {
            map: IntervalMap::new(),
            set_aside: BTreeMap::new(),
            resident: 0,
            peak_resident: 0,
            total: 0,
            peak_total: 0,
            promise: Promise::default(),
            map_base: areas.map_base,
            crowded: (0, USER_END),
            heap: areas.heap.clone(),
            stack_limit: areas.stack_limit,
            locks_future: false,
            refuses_large_pages: areas.refuses_large_pages,
        })?;

        let mut child_areas = child.lock_nested();
        Errno::ENOMEM.when(!child_areas.map.reserve(areas.map.len() + 1))?;
        for (range, area) in areas.map.iter().filter(|(_, area)| !area.is_left_out_of_fork) {
            if let Mapping::File { cache, .. } = &area.mapping {
                cache.add_mapper(&child.this);
            }
            if area.has_private_pages && !area.is_shared && !area.is_wiped_by_fork {
                for address in written.iter().map(|address| address & !(PAGE - 1)).filter(|it| range.contains(it)) {
                    child_areas.resident += self.copy_writable(&child, address);
                }
                child_areas.resident += self.table.share_with(&child.table, range.clone())?;
            }
            child_areas.append(range, Area { is_locked: false, ..area.clone() })?;
        }
        for (&address, frame) in &areas.set_aside {
            if child_areas.map.find(address).is_some_and(|(_, area)| !area.is_wiped_by_fork) {
                child_areas.set_aside.insert(address, frame.clone());
            }
        }
        areas.peak_resident = areas.peak_resident.max(areas.resident);
        drop(child_areas);
        drop(areas);
        Ok(child)
    }

    /// Gives `child` a copy of the page at `address` if it may be written now; returns how many pages that were. Not where
    /// there are large pages, which are shared whole.
    fn copy_writable(&self, child: &AddressSpace, address: u64) -> usize {
        if self.table.large_pages() > 0 {
            return 0;
        }
        let Some((frame, access)) = self.table.look_up(address).filter(|(_, access)| access.contains(Access::WRITE))
        else {
            return 0;
        };
        let Ok(copy) = budget::copy_of(&frame) else { return 0 };
        child.table.map_missing(address, &mut [Some(copy)], access).unwrap_or(0)
    }
}
