//! The seam between Rust and `asm/` and `linker.ld`: declares their symbols and asserts every layout both
//! sides share.
//!
//! What is here is used inside `machine` only; each assembly file's head says what its symbols do.

/// Symbols and layouts of `asm/ap_boot.s`.
mod ap_boot;

/// Symbols of `linker.ld` and `asm/boot.s`.
mod image;

/// Symbols of `asm/shared_code.s`.
mod shared_code;

/// Symbols and layouts of `asm/switch.s`.
mod switch;

/// Symbols and layouts of `asm/trap_entry.s`.
mod trap;

/// Symbols and layouts of `asm/user_copy.s`.
mod user_copy;

/// Symbols and layouts of `asm/user_entry.s`.
mod user_entry;

pub(super) use ap_boot::{ApParameters, ap_boot_code, early_page_table};
pub(super) use image::{DIRECT_MAP, KERNEL_BASE, direct_map_address, image, physical_address_of_image, stack_guard};
pub(crate) use shared_code::shared_code;
pub(super) use switch::{FirstFrame, switch_stack, switch_start};
pub(super) use trap::{TrapFrame, trap_stub};
pub(super) use user_copy::{
    Means, user_copy, user_copy_fixup, user_copy_means, user_copy_smap, user_copy_text, user_exchange_u32,
    user_load_state, user_load_u32, user_store_state, user_zero,
};
pub(super) use user_entry::{CpuHead, UserExit, VECTOR_SYSCALL, enter_user, selector, syscall_entry};
pub(crate) use user_entry::{Registers, UserRegisters};
