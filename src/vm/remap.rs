//! mremap: areas grow, shrink and move with their pages.

use super::address_space::{AddressSpace, Areas};
use super::area::{Area, Mapping, Placement};
use super::map::{Removed, checked_range};
use super::{USER_END, round_up};
use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use core::ops::Range;

/// What mremap(2) may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remap {
    pub(crate) may_move: bool,
    /// Where to (MREMAP_FIXED).
    pub(crate) fixed: Option<u64>,
    /// What was there stays mapped, and is empty (MREMAP_DONTUNMAP).
    pub(crate) keeps_old: bool,
}

impl AddressSpace {
    /// mremap(2). EINVAL, EFAULT, ENOMEM.
    pub(crate) fn remap(&self, old: u64, old_length: u64, new_length: u64, how: Remap) -> Result<u64> {
        Errno::EINVAL.when(new_length == 0)?;
        let old_range = checked_range(old, old_length).ok_or(Errno::EINVAL)?;
        let new_length = round_up(new_length);

        let mut removed = Vec::new();
        let mut areas = self.lock();
        let result = self.remap_locked(&mut areas, old_range, new_length, how, &mut removed);
        drop(areas);
        drop(removed);
        result
    }

    fn remap_locked(
        &self, areas: &mut Areas, mut old: Range<u64>, new_length: u64, how: Remap, removed: &mut Removed,
    ) -> Result<u64> {
        let Remap { may_move, fixed, keeps_old } = how;
        if let Some(new) = fixed {
            let new_range = checked_range(new, new_length).ok_or(Errno::EINVAL)?;
            Errno::EINVAL.when(new_range.start < old.end && old.start < new_range.end)?;
            areas.place(Placement::Fixed(new), new_length, false)?;
            areas.check_count(4)?;
            removed.extend(self.remove(areas, new_range)?);
        }
        if new_length < old.end - old.start {
            areas.check_hole(&(old.start + new_length..old.end))?;
            removed.extend(self.remove(areas, old.start + new_length..old.end)?);
            old.end = old.start + new_length;
        }
        let (area_range, area) = areas.map.find(old.start).ok_or(Errno::EFAULT)?;
        if let Mapping::File { offset, .. } = &area.mapping
            && (offset + (old.start - area_range.start)).checked_add(new_length).is_none()
        {
            return Err(Errno::EINVAL);
        }
        if old.is_empty() {
            // "If old_size is zero, and old_address refers to a shareable mapping …, then mremap() will create a new
            // mapping of the same pages."
            Errno::EINVAL.when(!area.is_shared)?;
        } else if old.end > area_range.end {
            return Err(Errno::EFAULT);
        }
        let grows_by = new_length - (old.end - old.start);
        if fixed.is_none() && grows_by == 0 && !keeps_old {
            return Ok(old.start);
        }
        let can_extend = fixed.is_none()
            && !keeps_old
            && !old.is_empty()
            && old.end == area_range.end
            && old.end.checked_add(grows_by).is_some_and(|end| end <= super::USER_END)
            && areas.is_free_with_gaps(old.end..old.end + grows_by);
        if can_extend {
            let tail = area.tail_at(old.end - area_range.start);
            areas.add(old.end..old.end + grows_by, tail)?;
            return Ok(old.start);
        }
        Errno::ENOMEM.when(!may_move)?;
        // "if we are at the limit, it may fail": both ends of the old part may be cut, and the new one added.
        areas.check_count(3)?;
        let new = match fixed {
            Some(new) => new,
            None => areas.place(Placement::Anywhere(0), new_length, false)?,
        };
        self.move_area(areas, old, new, new_length, keeps_old)?;
        Ok(new)
    }

    /// Moves the part `old` of an area to `new`, where `new_length` bytes are free, with its pages; where it keeps the old part,
    /// that is empty afterwards.
    fn move_area(&self, areas: &mut Areas, old: Range<u64>, new: u64, new_length: u64, keeps_old: bool) -> Result {
        if old.is_empty() {
            let (range, area) = areas.map.find(old.start).ok_or(Errno::EFAULT)?;
            let copy = area.tail_at(old.start - range.start);
            return areas.add(new..new + new_length, copy);
        }
        let growth = if keeps_old { new_length } else { new_length - (old.end - old.start) };
        let is_promised = areas.map.find(old.start).is_some_and(|(_, area)| area.is_promised);
        if is_promised {
            areas.promise.extend(growth)?;
        }
        let result = self.table.split(&old).and_then(|()| self.table.move_pages(old.clone(), new));
        if let Err(error) = result {
            if is_promised {
                areas.promise.reduce(growth);
            }
            return Err(error.into());
        }
        let mut moved = None;
        if keeps_old {
            moved = areas.map.find(old.start).map(|(range, area)| area.tail_at(old.start - range.start));
        } else {
            areas.map.remove(old.clone(), |_, area| moved = Some(area));
            areas.crowded = (0, USER_END);
            areas.total -= old.end - old.start;
        }
        if let Some(area) = moved {
            areas.enter(new..new + new_length, area);
        }
        let aside: Vec<u64> = areas.set_aside.range(old.clone()).map(|(&address, _)| address).collect();
        for address in aside {
            if let Some(frame) = areas.set_aside.remove(&address) {
                areas.set_aside.insert(new + (address - old.start), frame);
            }
        }
        Ok(())
    }
}

impl Area {
    /// Returns the area as it goes on at `distance` bytes from its start.
    fn tail_at(&self, distance: u64) -> Area {
        use crate::util::interval_map::Piece;
        self.clone().split_off(distance)
    }
}
