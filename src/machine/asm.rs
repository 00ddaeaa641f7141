//! The seam between Rust and `asm/` and `linker.ld`: declares their symbols and asserts every layout both
//! sides share.

/// Symbols of `linker.ld` and `asm/boot.s`.
mod image;

pub(super) use image::{KERNEL_BASE, first_stack, image, physical_address_of_image};
