//! Files that GRUB loaded: their memory stays theirs until they are dropped.

use super::super::asm::direct_map_address;
use super::super::console::log;
use super::super::sync::{Once, SpinLock};
use super::memory_map::memory_map;
use crate::rank::Rank;
use alloc::vec::Vec;
use core::ops::Range;
use multiboot2::BootInformation;

/// The most modules that are kept; further ones are left out, and the log says so.
const MAX_MODULES: usize = 16;

/// A file that GRUB loaded.
pub(crate) struct Module {
    /// The words behind the file's name in grub.cfg.
    pub(crate) arguments: &'static str,
    bytes: &'static [u8],
    pages: Range<u64>,
}

static MODULES: SpinLock<[Option<Module>; MAX_MODULES]> = SpinLock::new(Rank::Driver, [const { None }; MAX_MODULES]);

/// What takes the memory of dropped modules, as physical addresses of pages; `machine::memory` hands it down.
static RELEASE: Once<fn(Range<u64>)> = Once::new();

/// Takes the boot modules, in GRUB's order. Dropping a module gives its memory back. The second call
/// returns none.
pub(crate) fn take_modules() -> Vec<Module> {
    let mut modules = Vec::with_capacity(MAX_MODULES);
    let mut held = MODULES.lock();
    modules.extend(held.iter_mut().filter_map(Option::take));
    modules
}

/// Sets what takes the memory of dropped modules.
pub(in crate::machine) fn set_release(release: fn(Range<u64>)) {
    RELEASE.call_once(|| release);
}

/// Keeps the modules that the loader's tags name.
pub(super) fn read(block: &'static BootInformation<'static>) {
    let mut held = MODULES.lock();
    let mut slots = held.iter_mut();

    for tag in block.module_tags() {
        let arguments = tag.cmdline().unwrap_or_default();
        let (start, end) = (u64::from(tag.start_address()), u64::from(tag.end_address()));
        let pages = start & !0xfff..end.next_multiple_of(0x1000);
        if end < start || !memory_map().ram.contains(pages.clone()) {
            log!(Error, "module {arguments:?} at {start:#x} to {end:#x} is not in memory; left out");
            continue;
        }
        let Some(slot) = slots.next() else {
            log!(Error, "more than {MAX_MODULES} modules; {arguments:?} is left out");
            continue;
        };

        log!(Info, "module {arguments:?}: {} bytes", end - start);
        // SAFETY: the range is RAM that `memory_map` keeps out of the free memory until the module is dropped;
        // the direct map shows all RAM.
        let bytes = unsafe { core::slice::from_raw_parts(direct_map_address(start), (end - start) as usize) };
        *slot = Some(Module { arguments, bytes, pages });
    }
}

impl Module {
    /// Returns the file's content.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.bytes = &[];
        if let Some(release) = RELEASE.get() {
            release(self.pages.clone());
        }
    }
}
