//! mmap, munmap, mprotect and madvise: changes of the areas.

use super::address_space::{AddressSpace, Areas, GUARD_GAP, LOWEST};
use super::area::{Area, MapRequest, Mapping, Placement, Protection, Wanted};
use super::fault::{FaultOutcome, Rights, is_zero_page};
use super::{PAGE, round_up};
use crate::errno::{Errno, Result};
use crate::machine::memory::{Stores, USER_END};
use crate::machine::task;
use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

/// The most areas of one address space (Linux's vm.max_map_count).
const MAX_AREAS: usize = 65530;

/// Where MAP_32BIT places mappings, as Linux.
const LOW: Range<u64> = 1 << 30..1 << 31;

/// What was unmapped: to be dropped after the lock is released, because a file's last owner may run its file system.
pub(super) type Removed = Vec<Mapping>;

impl AddressSpace {
    /// Maps memory; returns the address. Errors as mmap(2): ENOMEM, EEXIST, EINVAL.
    pub(crate) fn map(&self, request: MapRequest) -> Result<u64> {
        let length = round_up(request.length);
        Errno::EINVAL.when(request.length == 0)?;
        Errno::ENOMEM.when(length == 0 || length > USER_END)?;
        let mut area = Area::new(&request);
        let mut areas = self.lock();
        if let Mapping::File { cache, .. } = &request.mapping {
            cache.add_mapper(&self.this);
            if request.is_shared && cache.is_sealed_against_writes() {
                Errno::EPERM.when(request.protection.contains(Protection::WRITE))?;
                area.maximum.remove(Protection::WRITE);
            }
        }
        areas.check_count(0)?;
        let start = areas.place(request.placement, length, request.grows_down)?;
        let removed = match request.placement {
            Placement::Fixed(_) => {
                areas.check_hole(&(start..start + length))?;
                self.remove(&mut areas, start..start + length)?
            }
            _ => Vec::new(),
        };
        let added = areas.add(start..start + length, area);
        let populates = request.populate || areas.locks_future;
        drop(areas);
        drop(removed);
        added?;

        if populates && !request.protection.is_empty() {
            // mmap(2): "mmap() doesn't fail if the mapping cannot be populated".
            self.populate(start..start + length);
        }
        Ok(start)
    }

    /// Returns where `length` bytes are free, as a mapping anywhere would be placed. ENOMEM.
    pub(crate) fn find_free(&self, length: u64) -> Result<u64> {
        self.lock().place(Placement::Anywhere(0), round_up(length), false)
    }

    /// Unmaps `length` bytes at `address`; areas in part inside are split. EINVAL, ENOMEM.
    pub(crate) fn unmap(&self, address: u64, length: u64) -> Result {
        let range = checked_range(address, length).ok_or(Errno::EINVAL)?;
        Errno::EINVAL.when(range.is_empty())?;
        let mut areas = self.lock();
        areas.check_hole(&range)?;
        let removed = self.remove(&mut areas, range)?;
        drop(areas);
        drop(removed);
        Ok(())
    }

    /// Changes the protection: EACCES beyond the area's maximum, ENOMEM where something is not mapped.
    pub(crate) fn protect(&self, address: u64, length: u64, protection: Protection) -> Result {
        Errno::EINVAL.when(!address.is_multiple_of(PAGE))?;
        if length == 0 {
            return Ok(());
        }
        let range = checked_range(address, length).ok_or(Errno::ENOMEM)?;

        // Linux changes what lies before the first hole or refusal.
        let mut areas = self.lock();
        let mut reached = range.start;
        let mut result = Err(Errno::ENOMEM);
        let mut is_changed = false;
        for (found, area) in areas.map.overlapping(range.clone()) {
            if found.start > reached {
                break;
            }
            if !area.maximum.contains(protection) {
                result = Err(Errno::EACCES);
                break;
            }
            is_changed |= area.protection != protection;
            reached = found.end.min(range.end);
            if reached == range.end {
                result = Ok(());
            }
        }
        let allowed = range.start..reached;
        if is_changed && !allowed.is_empty() {
            self.cut(&mut areas, &allowed)?;
            areas.promise_writable(allowed.clone(), protection)?;
            self.change_protection(&mut areas, allowed, protection);
        }
        result
    }

    fn change_protection(&self, areas: &mut Areas, range: Range<u64>, protection: Protection) {
        if protection.is_empty() {
            self.set_aside(areas, range.clone());
        }
        for (found, area) in areas.map.overlapping(range.clone()) {
            let stores = match (protection.contains(Protection::WRITE), area.is_shared) {
                (false, _) => Stores::Forbidden,
                (true, true) => Stores::Kept,
                (true, false) => Stores::ToOwn,
            };
            let part = found.start.max(range.start)..found.end.min(range.end);
            self.table.protect(part, protection.contains(Protection::EXECUTE), stores);
        }
        areas.map.update(range, |area| {
            area.protection = protection;
            area.is_promised |= area.is_private_writable() && !area.may_overcommit;
        });
    }

    /// Takes the pages of a range out of the page table; private ones are kept for when access is given again.
    fn set_aside(&self, areas: &mut Areas, range: Range<u64>) {
        let Areas { map, set_aside, resident, .. } = areas;
        for (found, area) in map.overlapping(range.clone()) {
            if area.is_shared || !area.has_private_pages {
                continue;
            }
            let part = found.start.max(range.start)..found.end.min(range.end);
            self.table.visit(part, &mut |address, frame, _| {
                if !is_zero_page(frame) {
                    set_aside.insert(address, frame.clone());
                }
            });
        }
        *resident -= self.table.unmap(range);
    }

    /// Drops the pages of a range so that they read as zero or as the file again (MADV_DONTNEED). ENOMEM where nothing
    /// is mapped (the rest is done), EINVAL for locked areas unless these are meant too.
    pub(crate) fn discard(&self, address: u64, length: u64, locked_too: bool) -> Result {
        let range = checked_range(address, length).ok_or(Errno::EINVAL)?;
        let mut areas = self.lock();
        Errno::EINVAL.when(!locked_too && areas.map.overlapping(range.clone()).any(|(_, area)| area.is_locked))?;
        self.table.split(&range)?;
        areas.peak_resident = areas.peak_resident.max(areas.resident);
        areas.resident -= self.table.unmap(range.clone());
        areas.forget_set_aside(&range);
        if areas.map.is_covered(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Drops the pages of a range that only private zero pages may back (MADV_FREE): EINVAL for others.
    pub(crate) fn discard_private(&self, address: u64, length: u64) -> Result {
        let range = checked_range(address, length).ok_or(Errno::EINVAL)?;
        let is_private =
            self.visit_areas(range, |mapping, _, is_shared, _| matches!(mapping, Mapping::Anonymous) && !is_shared);
        match is_private {
            Ok(false) => Err(Errno::EINVAL),
            _ => self.discard(address, length, false),
        }
    }

    /// Marks a range to be empty in children, or not (MADV_WIPEONFORK, MADV_KEEPONFORK). EINVAL where it is not private
    /// and anonymous, EAGAIN at the limit of areas, ENOMEM.
    pub(crate) fn wipe_on_fork(&self, address: u64, length: u64, is_wiped: bool) -> Result {
        let range = checked_range(address, length).ok_or(Errno::EINVAL)?;
        let is_private = |mapping: &Mapping| matches!(mapping, Mapping::Anonymous);
        Errno::EINVAL.when(self.lock().map.overlapping(range).any(|(_, area)| !is_private(&area.mapping)))?;
        self.advise(address, length, |area| area.is_wiped_by_fork = is_wiped && is_private(&area.mapping))
    }

    /// Marks a range to be left out of children, or not (MADV_DONTFORK, MADV_DOFORK). EAGAIN at the limit of areas, ENOMEM.
    pub(crate) fn leave_out_of_fork(&self, address: u64, length: u64, is_left_out: bool) -> Result {
        self.advise(address, length, |area| area.is_left_out_of_fork = is_left_out)
    }

    /// Changes how a range is treated. EAGAIN at the limit of areas, ENOMEM where something is not mapped (the rest is done).
    pub(super) fn advise(&self, address: u64, length: u64, change: impl FnMut(&mut Area)) -> Result {
        let range = checked_range(address, length).ok_or(Errno::EINVAL)?;
        let mut areas = self.lock();
        self.cut(&mut areas, &range).map_err(|_| Errno::EAGAIN)?;
        areas.map.update(range.clone(), change);
        if areas.map.is_covered(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Makes it possible that `range` is treated differently from what is around it. ENOMEM.
    fn cut(&self, areas: &mut Areas, range: &Range<u64>) -> Result {
        areas.check_cuts(range)?;
        Ok(self.table.split(range)?)
    }

    /// Returns whether part of the range is locked in memory.
    pub(crate) fn is_locked(&self, range: Range<u64>) -> bool {
        self.lock().map.overlapping(range).any(|(_, area)| area.is_locked)
    }

    /// Marks a range as locked in memory, or not, and brings its pages in (mlock(2)). ENOMEM where nothing is mapped.
    pub(crate) fn set_locked(&self, address: u64, length: u64, is_locked: bool, brings_in: bool) -> Result {
        let range = checked_range(address, length).ok_or(Errno::EINVAL)?;
        {
            let mut areas = self.lock();
            Errno::ENOMEM.when(!areas.map.is_covered(range.clone()))?;
            self.cut(&mut areas, &range)?;
            areas.map.update(range.clone(), |area| area.is_locked = is_locked);
        }
        Errno::ENOMEM.when(is_locked && brings_in && !self.populate(range))?;
        Ok(())
    }

    /// Marks all areas, and future ones if `future`, as locked or not (mlockall(2), munlockall(2)).
    pub(crate) fn set_all_locked(&self, current: bool, future: bool, brings_in: bool) {
        {
            let mut areas = self.lock();
            areas.map.update(0..USER_END, |area| area.is_locked = current);
            areas.locks_future = future;
        }
        if current && brings_in {
            self.populate(0..USER_END);
        }
    }

    /// Returns whether all of the range is mapped.
    pub(crate) fn is_mapped(&self, address: u64, length: u64) -> bool {
        checked_range(address, length).is_some_and(|range| self.lock().map.is_covered(range))
    }

    /// Calls `visit(mapping, protection, is_shared, its file's part in bytes)` for each area in the range; returns
    /// whether it said `true` to all. ENOMEM where something is not mapped.
    pub(crate) fn visit_areas(
        &self, range: Range<u64>, mut visit: impl FnMut(&Mapping, Protection, bool, Range<u64>) -> bool,
    ) -> Result<bool> {
        let areas = self.lock();
        let mut is_agreed = true;
        for (found, area) in areas.map.overlapping(range.clone()) {
            let part = range.start.max(found.start)..range.end.min(found.end);
            let offset = match &area.mapping {
                Mapping::Anonymous => 0,
                Mapping::File { offset, .. } => offset + part.start - found.start,
            };
            let bytes = offset..offset + (part.end - part.start);
            is_agreed &= visit(&area.mapping, area.protection, area.is_shared, bytes);
        }
        if areas.map.is_covered(range) { Ok(is_agreed) } else { Err(Errno::ENOMEM) }
    }

    /// Returns whose pages the shared memory at `address` is, as a number, and where in them in bytes; `None` for private
    /// memory. EFAULT where nothing is mapped.
    pub(crate) fn shared_place(&self, address: u64) -> Result<Option<(usize, u64)>> {
        let areas = self.lock();
        let (range, area) = areas.map.find(address).ok_or(Errno::EFAULT)?;
        Ok(match &area.mapping {
            Mapping::File { cache, offset, .. } if area.is_shared => {
                Some((Arc::as_ptr(cache).addr(), offset + (address - range.start)))
            }
            _ => None,
        })
    }

    /// Returns the start of the area that holds `address`, if it grows down.
    pub(crate) fn growing_area_start(&self, address: u64) -> Option<u64> {
        let areas = self.lock();
        areas.map.find(address).filter(|(_, area)| area.grows_down).map(|(range, _)| range.start)
    }

    /// Says for each page of the range whether it is in memory (mincore(2)). ENOMEM where nothing is mapped.
    pub(crate) fn residency(&self, range: Range<u64>, is_resident: &mut [u8]) -> Result {
        let areas = self.lock();
        Errno::ENOMEM.when(!areas.map.is_covered(range.clone()))?;
        is_resident.fill(0);
        for (found, area) in areas.map.overlapping(range.clone()) {
            if let Some((cache, first)) = area.file_page(0) {
                let pages = first..first + (found.end - found.start) / PAGE;
                cache.collect_present(pages, |index, _| {
                    let address = found.start + (index - first) * PAGE;
                    if range.contains(&address) {
                        is_resident[((address - range.start) / PAGE) as usize] = 1;
                    }
                });
            }
        }
        self.table.visit(range.clone(), &mut |address, _, _| {
            is_resident[((address - range.start) / PAGE) as usize] = 1;
        });
        Ok(())
    }

    /// Brings in all pages of a range that can be, for reading or, where allowed, for private writing; returns whether
    /// none failed.
    pub(crate) fn populate(&self, range: Range<u64>) -> bool {
        let mut is_complete = true;
        let mut address = range.start;
        while address < range.end {
            {
                let mut areas = self.lock();
                let Some((found, area)) = areas.map.find(address).or_else(|| areas.map.next_from(address)) else {
                    break;
                };
                address = address.max(found.start);
                if area.protection.is_empty() || address >= range.end {
                    address = found.end;
                    continue;
                }
                let writes = area.allows(Wanted::Write) && !area.is_shared;
                let wanted = if writes { Wanted::Write } else { Wanted::Read };
                match self.resolve(&mut areas, address, wanted, Rights::Program) {
                    FaultOutcome::Resolved => {}
                    FaultOutcome::OutOfMemory => return false,
                    _ => {
                        // The rest of the area is likely to be as bad, and may be endless: a file's end came.
                        is_complete = false;
                        address = found.end;
                        continue;
                    }
                }
            }
            address += PAGE;
            task::reschedule_point();
        }
        is_complete
    }

    /// Takes everything out of a range. ENOMEM, and nothing changed, without memory to split a large page.
    pub(super) fn remove(&self, areas: &mut Areas, range: Range<u64>) -> Result<Removed> {
        self.table.split(&range)?;
        let Areas { map, total, promise, resident, peak_resident, crowded, .. } = areas;
        let mut removed = Vec::new();
        let mut hull: Option<Range<u64>> = None;
        map.remove(range.clone(), |piece, area| {
            *total -= piece.end - piece.start;
            if area.is_promised {
                promise.reduce(piece.end - piece.start);
            }
            hull = Some(hull.as_ref().map_or(piece.start, |hull| hull.start)..piece.end);
            if matches!(area.mapping, Mapping::File { .. }) {
                removed.push(area.mapping);
            }
        });
        if let Some(hull) = hull {
            *crowded = (0, USER_END);
            *peak_resident = (*peak_resident).max(*resident);
            *resident -= self.table.unmap(hull);
        }
        areas.forget_set_aside(&range);
        Ok(removed)
    }
}

impl Areas {
    /// ENOMEM if there may not be `more` areas beside the one that may always be added, or no memory to list them.
    pub(super) fn check_count(&mut self, more: usize) -> Result {
        if self.map.len() + more <= MAX_AREAS { self.make_room() } else { Err(Errno::ENOMEM) }
    }

    /// ENOMEM if a change of all in `range` would cut an area, and there are as many as there may be.
    pub(super) fn check_cuts(&mut self, range: &Range<u64>) -> Result {
        let is_cut = self.is_nearly_full() && (self.is_within(range.start) || self.is_within(range.end));
        if is_cut { self.check_count(1) } else { self.make_room() }
    }

    /// ENOMEM if taking out `range` would make two areas of one, and there are as many as there may be.
    pub(super) fn check_hole(&mut self, range: &Range<u64>) -> Result {
        let is_inside = |(found, _): (Range<u64>, &Area)| found.start < range.start && range.end < found.end;
        let is_hole = self.is_nearly_full() && self.map.find(range.start).is_some_and(is_inside);
        if is_hole { self.check_count(1) } else { self.make_room() }
    }

    /// Returns whether it must be looked at what a change would add.
    fn is_nearly_full(&self) -> bool {
        self.map.len() >= MAX_AREAS
    }

    /// ENOMEM without memory for what one change adds at most: two cuts, and what comes between.
    fn make_room(&mut self) -> Result {
        if self.map.reserve(3) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn is_within(&self, address: u64) -> bool {
        self.map.find(address).is_some_and(|(found, _)| found.start < address)
    }

    /// Promises the memory of private areas in `range` that become writable. ENOMEM.
    fn promise_writable(&mut self, range: Range<u64>, protection: Protection) -> Result {
        if !protection.contains(Protection::WRITE) {
            return Ok(());
        }
        let new = |(found, area): (Range<u64>, &Area)| {
            let length = found.end.min(range.end) - found.start.max(range.start);
            if area.is_shared || area.is_promised || area.may_overcommit { 0 } else { length }
        };
        let bytes = self.map.overlapping(range.clone()).map(new).sum();
        if bytes == 0 { Ok(()) } else { self.promise.extend(bytes) }
    }

    /// Chooses the address of a new area of `length` bytes.
    pub(super) fn place(&mut self, placement: Placement, length: u64, grows_down: bool) -> Result<u64> {
        Errno::ENOMEM.when(length > USER_END)?;
        match placement {
            Placement::Fixed(address) | Placement::FixedNoReplace(address) => {
                Errno::EINVAL.when(address % PAGE != 0)?;
                Errno::ENOMEM.when(address > USER_END - length)?;
                Errno::EPERM.when(address < LOWEST)?;
                let keeps = matches!(placement, Placement::FixedNoReplace(_));
                Errno::EEXIST.when(keeps && !self.map.is_free(address..address + length))?;
                Ok(address)
            }
            Placement::Low(hint) => {
                let hint = hint & !(PAGE - 1);
                let is_fitting = hint >= LOWEST && hint <= LOW.end.saturating_sub(length);
                if is_fitting && self.is_free_with_gaps(hint..hint + length) {
                    return Ok(hint);
                }
                self.map.free_top_down(LOW, length, |_| 0).ok_or(Errno::ENOMEM)
            }
            Placement::Anywhere(hint) => {
                let hint = if hint == 0 { 0 } else { (hint & !(PAGE - 1)).max(LOWEST) };
                if hint != 0 && hint <= USER_END - length && self.is_free_with_gaps(hint..hint + length) {
                    return Ok(hint);
                }
                let below = if grows_down { GUARD_GAP } else { 0 };
                let guard = |area: &Area| if area.grows_down { GUARD_GAP } else { 0 };
                let needed = length + below;
                let (sought, above) = self.crowded;
                let base = if needed >= sought { self.map_base.min(above) } else { self.map_base };
                if let Some(start) = self.map.free_top_down(LOWEST..base, needed, guard) {
                    self.crowded = (needed, start + needed);
                    return Ok(start + below);
                }
                let start = self.map.free_top_down(LOWEST..USER_END, needed, guard).ok_or(Errno::ENOMEM)?;
                Ok(start + below)
            }
        }
    }

    /// Returns whether the range is free and the stack above it keeps its gap.
    pub(super) fn is_free_with_gaps(&self, range: Range<u64>) -> bool {
        self.map.is_free(range.clone())
            && !self
                .map
                .next_from(range.end)
                .is_some_and(|(above, area)| area.grows_down && above.start - GUARD_GAP.min(above.start) < range.end)
    }

    fn forget_set_aside(&mut self, range: &Range<u64>) {
        if !self.set_aside.is_empty() {
            let mut from = self.set_aside.split_off(&range.start);
            let mut after = from.split_off(&range.end);
            self.set_aside.append(&mut after);
        }
    }
}

/// Returns the pages that `length` bytes at the aligned `address` take, if that is in user space.
pub(super) fn checked_range(address: u64, length: u64) -> Option<Range<u64>> {
    if !address.is_multiple_of(PAGE) || length > USER_END {
        return None;
    }
    let end = address.checked_add(round_up(length)).filter(|end| *end <= USER_END)?;
    Some(address..end)
}
