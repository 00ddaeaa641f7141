//! Copying and clearing physical pages through the direct map, by instructions that do not mind if user mode
//! changes the bytes meanwhile.

use super::PAGE_SIZE;
use crate::machine::asm::direct_map_address;
use core::arch::asm;

/// Sets `length` bytes at physical address `physical` to zero.
///
/// # Safety
/// The range must be RAM, and nobody may hold a reference to it.
pub(super) unsafe fn clear(physical: u64, length: usize) {
    // SAFETY: as the caller promises. User mode may change the bytes meanwhile: the compiler knows nothing about
    // what the instructions touch.
    unsafe {
        asm!(
            "rep stosq",
            "mov ecx, edx",
            "rep stosb",
            inout("rcx") length / 8 => _,
            inout("rdi") direct_map_address(physical) => _,
            in("rax") 0,
            in("edx") length % 8,
            options(nostack, preserves_flags),
        );
    }
}

/// Sets a whole page to zero.
///
/// # Safety
/// As for `clear`.
pub(super) unsafe fn clear_page(physical: u64) {
    // SAFETY: as the caller promises.
    unsafe { clear(physical, PAGE_SIZE) }
}

/// Copies `length` bytes.
///
/// # Safety
/// Both ranges must be mapped, the destination writable, and no reference to the destination may exist; what is
/// in user pages may change meanwhile.
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: as the caller promises; see `clear`.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, edx",
            "rep movsb",
            inout("rcx") length / 8 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            in("edx") length % 8,
            options(nostack, preserves_flags),
        );
    }
}
