//! The pages of a file in memory: shared by read(2), write(2) and every mapping of the file.
//!
//! Flow of a read: look the page up → (missing) `Pager` fills a new one, or a hole reads as zeros → copy from the page
//! to the user. Not owned here: the position and APPEND (`file`), attributes and the order of writers (the file
//! system, whose content lock makes write and resize exclude each other).
//!
//! Locking: `pages` is held only to look up, add and remove, never over a copy, so that a user buffer may be a mapping
//! of the same file. Whoever makes the file smaller does it in this order: size and pages (so that no fault can find
//! them any more), then the mappings; a fault that came earlier holds its address space's lock until it has mapped
//! the page, so the second step finds it.

use super::commit::Promise;
use super::{AddressSpace, Destination, PAGE, Seals, Source, budget};
use crate::errno::{Errno, Result};
use crate::machine::memory::{Frame, PAGE_SIZE};
use crate::machine::sync::SpinLock;
use crate::machine::task::{self, Mutex};
use crate::rank::Rank;
use alloc::sync::{Arc, Weak};
use alloc::{collections::BTreeMap, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Where pages come from that are not in memory, and where changed ones go. A file system implements it; tmpfs has none.
pub(crate) trait Pager: Send + Sync {
    /// Fills `frame` (zeroed) with the file's page `index`.
    fn read_page(&self, index: u64, frame: &Frame) -> Result;

    /// Stores `frame` as the file's page `index`.
    fn write_page(&self, index: u64, frame: &Frame) -> Result;
}

/// How many pages a hole takes out of the cache and its mappings at once.
const DROPPED_AT_ONCE: usize = 512;

/// The pages of one file, and the file's size.
pub(crate) struct PageCache {
    pager: Option<Arc<dyn Pager>>,
    /// Changed only with `pages` locked; read without.
    size: AtomicU64,
    pages: SpinLock<BTreeMap<u64, CachedPage>>,
    /// Held while the pager fills a page, so that two readers do not fill it twice.
    filling: Mutex<()>,
    mappers: SpinLock<Mappers>,
    is_stored_to: AtomicBool,
    /// `seals::Seals`.
    pub(super) seal_bits: AtomicU32,
    /// Given back with the file.
    _promise: Promise,
}

struct CachedPage {
    frame: Frame,
    /// Differs from what the pager has.
    is_dirty: bool,
}

/// The address spaces that have mapped the file and may still do so.
struct Mappers {
    spaces: Vec<Weak<AddressSpace>>,
    /// At this length, dead and double entries are removed.
    prune_at: usize,
}

impl PageCache {
    /// Makes the cache of a file of `size` bytes. Without a pager, missing pages are zero and pages live only here.
    pub(crate) fn new(size: u64, pager: Option<Arc<dyn Pager>>) -> Arc<PageCache> {
        PageCache::with_promise(size, pager, Promise::default())
    }

    fn with_promise(size: u64, pager: Option<Arc<dyn Pager>>, promise: Promise) -> Arc<PageCache> {
        Arc::new(PageCache {
            pager,
            size: AtomicU64::new(size),
            pages: SpinLock::new(Rank::CachedPages, BTreeMap::new()),
            filling: Mutex::new(Rank::PageCache, ()),
            is_stored_to: AtomicBool::new(false),
            mappers: SpinLock::new(Rank::CacheMappers, Mappers { spaces: Vec::new(), prune_at: 8 }),
            seal_bits: AtomicU32::new(Seals::SEAL.bits()),
            _promise: promise,
        })
    }

    /// Makes `size` bytes of shared memory without a name, which are promised. ENOMEM.
    pub(crate) fn anonymous(size: u64) -> Result<Arc<PageCache>> {
        let mut promise = Promise::default();
        promise.extend(size)?;
        Ok(PageCache::with_promise(size, None, promise))
    }

    /// Returns the file's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Changes the file's size; pages beyond it are dropped and taken out of all mappings, the last one's tail cleared.
    /// EPERM against a seal.
    pub(crate) fn resize(&self, size: u64) -> Result {
        let seals = self.seals();
        Errno::EPERM.when(
            seals.contains(Seals::SHRINK) && size < self.size() || seals.contains(Seals::GROW) && size > self.size(),
        )?;
        let first_beyond = size.div_ceil(PAGE);
        let dropped = {
            let mut pages = self.pages.lock();
            let old = self.size.swap(size, Ordering::AcqRel);
            // What lies behind the end is zero: nothing of the file, and nothing that a mapping stored there, may show
            // when it grows.
            clear_tail(&mut pages, size.min(old));
            if size >= old {
                return Ok(());
            }
            pages.split_off(&first_beyond)
        };
        self.for_each_mapper(|space| space.unmap_cache(self, first_beyond..u64::MAX, None));
        drop(dropped);
        Ok(())
    }

    /// Reads from `offset` up to the end of the file; returns how many bytes.
    pub(crate) fn read(&self, offset: u64, to: &mut Destination<'_>) -> Result<usize> {
        let mut total = 0;
        loop {
            let position = offset.saturating_add(total as u64);
            let left = self.size().saturating_sub(position);
            let within = (position % PAGE) as usize;
            let wanted = to.remaining().min(PAGE_SIZE - within).min(usize::try_from(left).unwrap_or(usize::MAX));
            if wanted == 0 {
                return Ok(total);
            }
            match self.read_piece(position / PAGE, within, wanted, to) {
                Ok(put) if put == wanted => total += put,
                Ok(put) => return Ok(total + put),
                Err(error) if total == 0 => return Err(error),
                Err(_) => return Ok(total),
            }
            task::reschedule_point();
        }
    }

    fn read_piece(&self, index: u64, offset: usize, length: usize, to: &mut Destination<'_>) -> Result<usize> {
        let page = match self.present(index) {
            Some(frame) => Some(frame),
            None if self.pager.is_some() => self.page(index)?,
            None => None,
        };
        match page {
            Some(frame) => to.put_frame(&frame, offset, length),
            None => to.put_zeros(length),
        }
    }

    /// Writes at `offset`, growing the file; returns how many bytes. ENOSPC when no memory is left, EPERM against a seal.
    pub(crate) fn write(&self, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        let size = self.size();
        if offset > size {
            clear_tail(&mut self.pages.lock(), size);
        }
        let mut total = 0;
        while from.remaining() > 0 {
            let position = offset + total as u64;
            let within = (position % PAGE) as usize;
            let wanted = from.remaining().min(PAGE_SIZE - within);
            match self.write_piece(position / PAGE, within, wanted, from) {
                Ok(taken) => {
                    total += taken;
                    if taken < wanted {
                        break;
                    }
                }
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            }
            task::reschedule_point();
        }
        Ok(total)
    }

    fn write_piece(&self, index: u64, offset: usize, length: usize, from: &mut Source<'_>) -> Result<usize> {
        let start = index * PAGE;
        let grows = start + (offset + length) as u64 > self.size();
        Errno::EPERM.when(self.is_sealed_against_writes() || grows && self.seals().contains(Seals::GROW))?;
        let is_inside = start < self.size();
        let no_space = |error| if error == Errno::ENOMEM { Errno::ENOSPC } else { error };
        let existing = match self.present(index) {
            Some(frame) => Some(frame),
            None if is_inside && self.pager.is_some() => Some(self.page(index)?.ok_or(Errno::EIO)?),
            // A whole new page need not be cleared first.
            None if length == PAGE_SIZE => None,
            None => Some(budget::zeroed_frame().map_err(|error| no_space(error.into()))?),
        };
        let (frame, taken) = match existing {
            Some(frame) => {
                let taken = from.take_to_frame(&frame, offset, length)?;
                (frame, taken)
            }
            None => from.take_new_frame().map_err(no_space)?,
        };

        let end = start + (offset + taken) as u64;
        let mut pages = self.pages.lock();
        let page = pages.entry(index).or_insert_with(|| CachedPage { frame: frame.clone(), is_dirty: true });
        if page.frame.address() != frame.address() {
            // A fault of another thread made the page meanwhile: the bytes go there.
            let mut bytes = [0; 256];
            for at in (offset..offset + taken).step_by(bytes.len()) {
                let piece = &mut bytes[..(offset + taken - at).min(256)];
                frame.read(at, piece);
                page.frame.write(at, piece);
            }
        }
        page.is_dirty = true;
        if end > self.size() {
            self.size.store(end, Ordering::Release);
        }
        Ok(taken)
    }

    /// Returns the page `index`, made or read if missing; `None` if it lies beyond the end of the file.
    pub(crate) fn page(&self, index: u64) -> Result<Option<Frame>> {
        let _filling = self.pager.as_ref().map(|_| self.filling.lock());
        if let Some(frame) = self.present(index) {
            return Ok(Some(frame));
        }
        if index >= self.size().div_ceil(PAGE) {
            return Ok(None);
        }
        let frame = budget::zeroed_frame()?;
        if let Some(pager) = &self.pager {
            pager.read_page(index, &frame)?;
        }

        let mut pages = self.pages.lock();
        if index >= self.size().div_ceil(PAGE) {
            return Ok(None);
        }
        let page = pages.entry(index).or_insert(CachedPage { frame, is_dirty: false });
        Ok(Some(page.frame.clone()))
    }

    /// Returns how many pages are in memory.
    pub(crate) fn resident(&self) -> usize {
        self.pages.lock().len()
    }

    /// Finds the next data (or, if not `data`, hole) at or after `offset` (lseek(2), SEEK_DATA and SEEK_HOLE).
    pub(crate) fn seek(&self, offset: u64, data: bool) -> Option<u64> {
        let pages = self.pages.lock();
        let size = self.size();
        if offset >= size {
            return None;
        }
        if self.pager.is_some() {
            return Some(if data { offset } else { size });
        }
        let first = offset / PAGE;
        let found = if data {
            pages.range(first..).next().map(|(&index, _)| index)?
        } else {
            pages.range(first..).zip(first..).take_while(|((index, _), expected)| **index == *expected).count() as u64
                + first
        };
        let position = offset.max(found * PAGE);
        if data { (position < size).then_some(position) } else { Some(position.min(size)) }
    }

    /// Drops the pages of a range, so that it reads as zeros (fallocate(2), FALLOC_FL_PUNCH_HOLE). EPERM against a seal.
    pub(crate) fn punch(&self, offset: u64, length: u64) -> Result {
        Errno::EPERM.when(self.is_sealed_against_writes())?;
        let end = offset.saturating_add(length).min(self.size());
        let whole = offset.div_ceil(PAGE)..end / PAGE;
        self.clear_within(offset, end.min(whole.start * PAGE))?;
        if whole.start > whole.end {
            return Ok(());
        }
        self.clear_within(whole.end * PAGE, end)?;
        if self.pager.is_some() {
            for index in whole {
                self.clear_within(index * PAGE, (index + 1) * PAGE)?;
            }
            return Ok(());
        }

        let mut next = whole.start;
        loop {
            let dropped = self.drop_some(next..whole.end);
            let Some(&(last, _)) = dropped.last() else { return Ok(()) };
            let is_dropped = |index: u64, frame: &Frame| {
                let found = dropped.binary_search_by_key(&index, |&(index, _)| index);
                found.is_ok_and(|place| dropped[place].1.address() == frame.address())
            };
            self.for_each_mapper(|space| space.unmap_cache(self, next..last + 1, Some(&is_dropped)));
            next = last + 1;
            task::reschedule_point();
        }
    }

    /// Takes the first pages of `indices` out, so few that others need not wait for long; returns them in order.
    fn drop_some(&self, indices: core::ops::Range<u64>) -> Vec<(u64, Frame)> {
        let mut pages = self.pages.lock();
        let found: Vec<u64> = pages.range(indices).take(DROPPED_AT_ONCE).map(|(&index, _)| index).collect();
        found.into_iter().filter_map(|index| Some((index, pages.remove(&index)?.frame))).collect()
    }

    /// Writes all changed pages through the pager.
    pub(crate) fn sync(&self) -> Result {
        let Some(pager) = &self.pager else { return Ok(()) };
        // The marks first, then the mappings: a store that comes between is in what is written below.
        let changed: Vec<(u64, Frame)> = {
            let mut pages = self.pages.lock();
            let dirty = pages.iter_mut().filter(|(_, page)| page.is_dirty);
            dirty
                .map(|(&index, page)| {
                    page.is_dirty = false;
                    (index, page.frame.clone())
                })
                .collect()
        };
        // Stores through shared mappings fault again from now on, and mark their page.
        self.for_each_mapper(|space| space.write_protect_cache(self));
        for (position, (index, frame)) in changed.iter().enumerate() {
            if let Err(error) = pager.write_page(*index, frame) {
                changed[position..].iter().for_each(|(index, _)| self.mark_dirty(*index));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns whether stores through a shared mapping must be noticed, so that the page is written back.
    pub(super) fn needs_write_back(&self) -> bool {
        self.pager.is_some()
    }

    /// Notes that the page `index` is changed through a mapping.
    pub(super) fn mark_dirty(&self, index: u64) {
        self.is_stored_to.store(true, Ordering::Relaxed);
        if let Some(page) = self.pages.lock().get_mut(&index) {
            page.is_dirty = true;
        }
    }

    /// Returns whether a mapping changed the file since the last call: its times are to follow (mmap(2)).
    pub(crate) fn take_stored_to(&self) -> bool {
        self.is_stored_to.load(Ordering::Relaxed) && self.is_stored_to.swap(false, Ordering::Relaxed)
    }

    /// Returns the page `index` if it is in memory and within the file.
    pub(super) fn present(&self, index: u64) -> Option<Frame> {
        self.pages.lock().get(&index).map(|page| page.frame.clone())
    }

    /// Calls `visit` with each page of `indices` that is in memory, under the lock: it only collects.
    pub(super) fn collect_present(&self, indices: core::ops::Range<u64>, mut visit: impl FnMut(u64, &Frame)) {
        for (&index, page) in self.pages.lock().range(indices) {
            visit(index, &page.frame);
        }
    }

    /// Notes that `space` maps the file.
    pub(super) fn add_mapper(&self, space: &Weak<AddressSpace>) {
        let mut mappers = self.mappers.lock();
        if mappers.spaces.last().is_some_and(|last| last.ptr_eq(space)) {
            return;
        }
        if mappers.spaces.len() >= mappers.prune_at {
            mappers.spaces.sort_unstable_by_key(Weak::as_ptr);
            mappers.spaces.dedup_by(|a, b| a.ptr_eq(b));
            mappers.spaces.retain(|space| space.strong_count() > 0);
            mappers.prune_at = 8.max(mappers.spaces.len() * 2);
        }
        mappers.spaces.push(space.clone());
    }

    /// Calls `visit` for each address space that may map the file.
    fn for_each_mapper(&self, visit: impl Fn(&AddressSpace)) {
        self.any_mapper(|space| {
            visit(space);
            false
        });
    }

    /// Returns whether `is_such` holds for one of the address spaces that may map the file; asks no further ones then.
    pub(super) fn any_mapper(&self, is_such: impl Fn(&AddressSpace) -> bool) -> bool {
        let mut spaces: Vec<Arc<AddressSpace>> = self.mappers.lock().spaces.iter().filter_map(Weak::upgrade).collect();
        spaces.sort_unstable_by_key(Arc::as_ptr);
        spaces.dedup_by(|a, b| Arc::ptr_eq(a, b));
        spaces.iter().any(|space| is_such(space))
    }

    /// Sets bytes of the file to zero; `start` and `end` lie in the same page, or the range is empty.
    fn clear_within(&self, start: u64, end: u64) -> Result {
        if start >= end {
            return Ok(());
        }
        if self.pager.is_some() {
            self.page(start / PAGE)?;
        }
        if let Some(page) = self.pages.lock().get_mut(&(start / PAGE)) {
            page.frame.clear((start % PAGE) as usize, (end - start) as usize);
            page.is_dirty = true;
        }
        Ok(())
    }
}

/// Clears the last page behind the end of a file of `size` bytes.
fn clear_tail(pages: &mut BTreeMap<u64, CachedPage>, size: u64) {
    let tail = (size % PAGE) as usize;
    if tail != 0
        && let Some(last) = pages.get_mut(&(size / PAGE))
    {
        last.frame.clear(tail, PAGE_SIZE - tail);
        last.is_dirty = true;
    }
}
