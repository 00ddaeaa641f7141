//! Which physical memory is free, and which must be reachable although it is not.

use super::super::asm::{image, physical_address_of_image};
use super::super::console::log;
use super::super::sync::Once;
use crate::util::command_line::parse_size;
use crate::util::range_set::RangeSet;
use core::ops::Range;
use multiboot2::{BootInformation, MemoryAreaType};

/// The most separate ranges; firmware has been seen to use some dozens.
const RANGES: usize = 128;

const PAGE: u64 = 4096;

/// Below this nothing is handed out: firmware data live here, and other CPUs start here.
const LOW_MEMORY: u64 = 1 << 20;

/// Below this firmware and the boot stub's first instructions leave things, reserved or not.
const LEAST_START: u64 = 0x8000;

/// Less than this and there is no use in going on.
const LEAST_MEMORY: u64 = 12 << 20;

/// Physical memory as the loader describes it. All ranges are whole pages.
pub(in crate::machine) struct MemoryMap {
    /// RAM that the kernel may hand out now.
    pub(in crate::machine) free: RangeSet<RANGES>,
    /// RAM, modules and kernel image included.
    pub(in crate::machine) ram: RangeSet<RANGES>,
    /// RAM and what firmware keeps its tables in.
    pub(in crate::machine) reachable: RangeSet<RANGES>,
    /// A page of RAM below 1 MiB where further CPUs start, if there is one.
    pub(in crate::machine) start_page: Option<u64>,
}

static MEMORY_MAP: Once<MemoryMap> = Once::new();

/// Returns the memory map. Panics before `boot::start`.
pub(in crate::machine) fn memory_map() -> &'static MemoryMap {
    MEMORY_MAP.get().expect("machine::start reads the boot information first")
}

/// Makes the map from the loader's tag; panics in words if it is missing or too little is free.
pub(super) fn read(block: &'static BootInformation<'static>) {
    let Some(tag) = block.memory_map_tag() else {
        panic!("the loader gave no memory map");
    };

    let map = MEMORY_MAP.call_once(|| {
        let mut map =
            MemoryMap { free: RangeSet::new(), ram: RangeSet::new(), reachable: RangeSet::new(), start_page: None };
        // Available first, then all that contradicts it: firmware's lists overlap.
        for area in tag.memory_areas() {
            if area.typ() == MemoryAreaType::Available {
                map.ram.insert(inner_pages(area.start_address(), area.size()));
            }
        }
        for area in tag.memory_areas() {
            if area.typ() != MemoryAreaType::Available {
                map.ram.remove(outer_pages(area.start_address(), area.size()));
            }
        }
        if let Some(limit) = super::word("mem").and_then(parse_size) {
            map.ram.remove(limit.next_multiple_of(PAGE)..!(PAGE - 1));
        }

        map.reachable = map.ram.clone();
        map.reachable.insert(0..LOW_MEMORY);
        for area in tag.memory_areas() {
            if [MemoryAreaType::AcpiAvailable, MemoryAreaType::ReservedHibernate].map(Into::into).contains(&area.typ())
            {
                map.reachable.insert(outer_pages(area.start_address(), area.size()));
            }
        }

        map.free = map.ram.clone();
        map.free.remove(image_pages());
        for module in block.module_tags() {
            let size = module.end_address().saturating_sub(module.start_address());
            let pages = outer_pages(u64::from(module.start_address()), u64::from(size));
            map.reachable.insert(pages.clone());
            map.free.remove(pages);
        }
        let low = map.free.ranges().map(|range| range.start.max(LEAST_START)..range.end.min(LOW_MEMORY));
        map.start_page = low.filter(|range| !range.is_empty()).map(|range| range.start).next();
        map.free.remove(0..LOW_MEMORY);
        map
    });

    if !map.ram.is_complete() {
        log!(Warning, "the memory map has more than {RANGES} ranges; the highest are not used");
    }
    let kernel = image_pages();
    log!(Info, "kernel at physical {:#x}, {} KiB", kernel.start, (kernel.end - kernel.start) >> 10);
    let (ram, free) = (map.ram.total() >> 10, map.free.total() >> 10);
    log!(
        Info,
        "memory: {ram} KiB, {free} KiB of it free, up to {:#x}",
        map.ram.ranges().last().map_or(0, |last| last.end)
    );
    assert!(
        map.free.total() >= LEAST_MEMORY,
        "too little memory: {free} KiB are free, {} KiB are needed",
        LEAST_MEMORY >> 10
    );
}

fn image_pages() -> Range<u64> {
    let all = image().all;
    physical_address_of_image(all.start)..physical_address_of_image(all.end)
}

/// Returns the whole pages inside an area.
fn inner_pages(start: u64, size: u64) -> Range<u64> {
    let end = start.saturating_add(size) & !(PAGE - 1);
    start.checked_next_multiple_of(PAGE).unwrap_or(end)..end
}

/// Returns the pages that an area touches.
fn outer_pages(start: u64, size: u64) -> Range<u64> {
    let end = start.saturating_add(size);
    start & !(PAGE - 1)..end.checked_next_multiple_of(PAGE).unwrap_or(!(PAGE - 1))
}
