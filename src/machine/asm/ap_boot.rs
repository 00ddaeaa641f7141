//! Symbols and layouts of `asm/ap_boot.s`.

use core::sync::atomic::AtomicU64;

unsafe extern "C" {
    static ap_boot_start: u8;
    static ap_boot_end: u8;
    static boot_page_table: u8;
}

/// The end of the copy that further CPUs run: what they need to know.
#[repr(C)]
pub(in crate::machine) struct ApParameters {
    /// Physical address of the boot stub's page table.
    pub(in crate::machine) early_table: AtomicU64,
    /// Physical address of the kernel's own page table.
    pub(in crate::machine) final_table: AtomicU64,
    /// The stack of the next CPU, with its index on top; the CPU takes it and leaves 0.
    pub(in crate::machine) stack: AtomicU64,
}

const _: () = assert!(size_of::<ApParameters>() == 24);

/// Returns the code to copy, `ApParameters` at its end.
pub(in crate::machine) fn ap_boot_code() -> &'static [u8] {
    let start = &raw const ap_boot_start;
    let length = (&raw const ap_boot_end).addr() - start.addr();
    // SAFETY: the two symbols enclose read-only data of the kernel's image, which stays mapped for ever.
    unsafe { core::slice::from_raw_parts(start, length) }
}

/// Returns the physical address of the page table that the boot stub made.
pub(in crate::machine) fn early_page_table() -> u64 {
    super::physical_address_of_image((&raw const boot_page_table).addr() as u64)
}
