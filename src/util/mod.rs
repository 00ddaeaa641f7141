//! Pure data structures and algorithms: no hardware, no Linux, no other room. Host-tested.

/// How to switch off, found in ACPI's byte code.
pub(crate) mod aml_sleep;

/// Dates, and the clock chip's way to write them.
pub(crate) mod calendar;

/// The ChaCha20 block function.
pub(crate) mod chacha;

/// The cpio archives of an initramfs.
pub(crate) mod cpio;

/// What an ELF file asks to be loaded.
pub(crate) mod elf_layout;

/// Disjoint address ranges with values that are cut and joined.
pub(crate) mod interval_map;

/// Byte-range locks on one file.
pub(crate) mod lock_ranges;

/// Text records in a fixed buffer.
pub(crate) mod log_ring;

/// Ranges of numbers in a fixed array.
pub(crate) mod range_set;

/// Free blocks of pages.
pub(crate) mod buddy;

/// Words of the kernel's command line.
pub(crate) mod command_line;

/// Checks of the boot loader's information block.
pub(crate) mod multiboot_block;

/// The tasks that wait for a CPU.
pub(crate) mod run_queue;

/// A terminal emulator.
pub(crate) mod terminal;

/// Numbers that an administrator may set.
pub(crate) mod tunable;

/// The `#!` line of a script.
pub(crate) mod script_line;

/// Names of directory entries.
pub(crate) mod name;

/// Bitmap fonts.
pub(crate) mod psf;
