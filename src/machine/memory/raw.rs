//! Copying and clearing physical pages through the direct map, by instructions that do not mind if user mode
//! changes the bytes meanwhile.

use crate::machine::asm::{direct_map_address, user_copy, user_zero};

/// Sets `length` bytes at physical address `physical` to zero.
///
/// # Safety
/// The range must be RAM, and nobody may hold a reference to it.
pub(super) unsafe fn clear(physical: u64, length: usize) {
    // SAFETY: as the caller promises. User mode may change the bytes meanwhile: the compiler knows nothing about
    // what the instructions touch.
    let left = unsafe { user_zero(direct_map_address(physical), length) };
    debug_assert_eq!(left, 0);
}

/// Copies `length` bytes.
///
/// # Safety
/// Both ranges must be mapped, the destination writable, and no reference to the destination may exist; what is
/// in user pages may change meanwhile.
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: as the caller promises; see `clear`.
    let left = unsafe { user_copy(to, from, length) };
    debug_assert_eq!(left, 0);
}
