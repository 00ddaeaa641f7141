//! The heap that brk(2) moves the end of.

use super::address_space::{AddressSpace, LOWEST};
use super::area::{Area, Label, MapRequest};
use super::{PAGE, round_up};
use crate::machine::memory::USER_END;

impl AddressSpace {
    /// Sets where the heap starts (exec) and that it is empty.
    pub(crate) fn set_break_start(&self, address: u64) {
        self.lock().heap = address..address;
    }

    /// Returns the heap's start and end.
    pub(crate) fn heap(&self) -> core::ops::Range<u64> {
        self.lock().heap.clone()
    }

    /// brk(2): moves the heap's end if possible; returns where it is then. `limit` is RLIMIT_DATA in bytes.
    pub(crate) fn set_break(&self, address: u64, limit: u64) -> u64 {
        let mut areas = self.lock();
        let heap = areas.heap.clone();
        if address < heap.start.max(LOWEST) || address > USER_END - PAGE || address - heap.start > limit {
            return heap.end;
        }
        let (old_end, new_end) = (round_up(heap.end), round_up(address));
        if new_end < old_end {
            let Ok(removed) = self.remove(&mut areas, new_end..old_end) else { return heap.end };
            areas.heap.end = address;
            drop(areas);
            drop(removed);
            return address;
        }
        if new_end > old_end {
            // One page stays free above, and more below a stack (Linux's do_brk).
            let is_free = areas.check_count(0).is_ok() && areas.is_free_with_gaps(old_end..new_end + PAGE);
            let request = MapRequest { label: Label::Heap, ..MapRequest::anonymous(new_end - old_end) };
            if !is_free || areas.add(old_end..new_end, Area::new(&request)).is_err() {
                return heap.end;
            }
        }
        areas.heap.end = address;
        address
    }
}
