//! Where the kernel's own image lies, as `linker.ld` says, and where the loader put it.

use core::ops::Range;

/// The virtual address that physical address 0 would have if the image were where it was linked.
pub(in crate::machine) const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;

unsafe extern "C" {
    static kernel_start: u8;
    static kernel_text_start: u8;
    static kernel_text_end: u8;
    static kernel_rodata_start: u8;
    static kernel_rodata_end: u8;
    static kernel_data_start: u8;
    static kernel_end: u8;
    static kernel_symbols_start: u8;
    static kernel_symbols_end: u8;
    static boot_load_offset: u64;
    static boot_stack_guard: u8;
}

/// The virtual addresses of the image's parts.
#[derive(Clone, Debug)]
pub(in crate::machine) struct Image {
    pub(in crate::machine) text: Range<u64>,
    pub(in crate::machine) rodata: Range<u64>,
    pub(in crate::machine) data: Range<u64>,
    /// All of it, from the first page to the last.
    pub(in crate::machine) all: Range<u64>,
    /// The table of function names that the second link adds.
    pub(in crate::machine) symbols: Range<u64>,
}

/// Returns where the image's parts lie.
pub(in crate::machine) fn image() -> Image {
    let address = |symbol: *const u8| symbol.addr() as u64;

    Image {
        text: address(&raw const kernel_text_start)..address(&raw const kernel_text_end),
        rodata: address(&raw const kernel_rodata_start)..address(&raw const kernel_rodata_end),
        data: address(&raw const kernel_data_start)..address(&raw const kernel_end),
        all: address(&raw const kernel_start)..address(&raw const kernel_end),
        symbols: address(&raw const kernel_symbols_start)..address(&raw const kernel_symbols_end),
    }
}

/// Returns the physical address of the virtual address `address` in the image.
pub(in crate::machine) fn physical_address_of_image(address: u64) -> u64 {
    // SAFETY: the boot stub wrote it before any Rust ran, and nobody writes it afterwards.
    let offset = unsafe { boot_load_offset };
    address - KERNEL_BASE + offset
}

/// Returns the page below the stack that the boot CPU starts on.
pub(in crate::machine) fn stack_guard() -> u64 {
    (&raw const boot_stack_guard).addr() as u64
}

/// Where all RAM is mapped (not executable): the boot stub maps the lowest 4 GiB, `machine::memory` the rest.
pub(in crate::machine) const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;

/// Returns where the direct map shows the physical address `physical`, which may not be mapped.
pub(in crate::machine) fn direct_map_address(physical: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut((DIRECT_MAP + physical) as usize)
}
