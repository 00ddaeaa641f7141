//! What the boot loader left: memory map, modules, command line, framebuffer, ACPI root pointer.
//!
//! The Multiboot2 information block is checked, copied and parsed before the first frame is handed out; what it
//! names (modules, the video memory) is kept out of the free memory by `memory_map`.

/// Screens.
mod display;

/// Files that GRUB loaded.
mod module;

/// Which memory is free, which is firmware's.
mod memory_map;

pub(crate) use display::{Display, VideoMemory, take_display};
pub(in crate::machine) use display::{framebuffer, set_video_memory};
pub(in crate::machine) use memory_map::{MemoryMap, memory_map};
pub(in crate::machine) use module::set_release;
pub(crate) use module::{Module, take_modules};

use super::asm::direct_map_address;
use super::console::{self, log};
use super::sync::Once;
use crate::util::{command_line, multiboot_block};
use core::cell::UnsafeCell;
use multiboot2::{BootInformation, BootInformationHeader, MAGIC};

/// The largest information block that is accepted. GRUB's have some hundred bytes, and some thousand on UEFI.
const BLOCK_SIZE: usize = 64 * 1024;

/// The boot information that outlives boot.
pub(crate) struct Boot {
    /// The words after the kernel's name in grub.cfg.
    pub(crate) command_line: &'static str,
    /// The loader's name, for example `GRUB 2.06`.
    pub(crate) loader: &'static str,
    /// ACPI's root table, if the firmware has one.
    pub(in crate::machine) acpi_root: Option<AcpiRoot>,
}

/// Where ACPI's tables start (ACPI specification 6.5, 5.2.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) struct AcpiRoot {
    /// Of the RSDP: 0 means that `address` is an RSDT, else an XSDT.
    pub(in crate::machine) revision: u8,
    /// Physical address of the RSDT or XSDT.
    pub(in crate::machine) address: u64,
}

static BOOT: Once<Boot> = Once::new();

static PARSED: Once<BootInformation<'static>> = Once::new();

/// Returns the boot information. Panics before `start` has read it.
pub(crate) fn information() -> &'static Boot {
    BOOT.get().expect("machine::start reads the boot information first")
}

/// Returns the value of the kernel word `name=value`; the last one if there are several.
pub(crate) fn word(name: &str) -> Option<&'static str> {
    command_line::value(information().command_line, name)
}

/// Returns whether the kernel's words have `name` alone.
pub(in crate::machine) fn has_word(name: &str) -> bool {
    command_line::words(information().command_line).any(|(word, _)| word == name)
}

/// Reads the information block at the physical address `information`, which a loader that put `magic` into a
/// register left. Panics, in words, if there is none to rely on.
pub(super) fn start(magic: u32, information: u32) {
    assert!(magic == MAGIC, "not started by a Multiboot2 loader");
    let block = PARSED.call_once(|| parse(copy_block(information)));

    let boot = BOOT.call_once(|| Boot {
        command_line: block.command_line_tag().and_then(|tag| tag.cmdline().ok()).unwrap_or_default(),
        loader: block.boot_loader_name_tag().and_then(|tag| tag.name().ok()).unwrap_or("a nameless loader"),
        acpi_root: find_acpi_root(block),
    });
    console::report::set_command_line(boot.command_line);
    set_console_level();
    log!(Info, "Stele {}, started by {}", env!("CARGO_PKG_VERSION"), boot.loader);
    log!(Info, "command line: {}", boot.command_line);

    memory_map::read(block);
    module::read(block);
    display::read(block);
}

/// Reads the words that say what the consoles show, as Linux does: `quiet` is `loglevel=4`, `debug` is 10.
fn set_console_level() {
    for (name, value) in command_line::words(information().command_line) {
        let level = match (name, value) {
            ("quiet", None) => Some(4),
            ("debug", None) => Some(10),
            ("ignore_loglevel", None) => Some(u8::MAX),
            ("loglevel", Some(value)) => value.parse().ok(),
            _ => None,
        };
        if let Some(level) = level {
            console::set_console_level(level);
        }
    }
}

fn find_acpi_root(block: &BootInformation<'_>) -> Option<AcpiRoot> {
    if let Some(tag) = block.rsdp_v2_tag().filter(|tag| tag.checksum_is_valid() && tag.xsdt_address() != 0) {
        return Some(AcpiRoot { revision: tag.revision(), address: tag.xsdt_address() as u64 });
    }
    let tag = block.rsdp_v1_tag().filter(|tag| tag.checksum_is_valid())?;
    Some(AcpiRoot { revision: 0, address: tag.rsdt_address() as u64 })
}

/// The copy of the information block.
#[repr(C, align(8))]
struct Block(UnsafeCell<[u8; BLOCK_SIZE]>);

// SAFETY: written once, by the boot CPU alone before anything else runs (`copy_block`), and only read afterwards.
unsafe impl Sync for Block {}

static BLOCK: Block = Block(UnsafeCell::new([0; BLOCK_SIZE]));

/// Copies the information block to where nobody overwrites it.
fn copy_block(information: u32) -> &'static [u8] {
    assert!(
        information.is_multiple_of(8) && information >= 0x500,
        "the boot information is damaged: its address is impossible"
    );
    let source = direct_map_address(u64::from(information));
    // SAFETY: the boot stub's direct map holds the lowest 4 GiB, and what lies there can be read, RAM or not.
    let size = unsafe { source.cast::<u32>().read() } as usize;
    assert!(
        size <= BLOCK_SIZE && u64::from(information) + size as u64 <= 1 << 32,
        "the boot information is damaged: it says to be {size} bytes long"
    );

    // SAFETY: both are `size` bytes and apart, as the kernel's image is not where the loader put the block; no
    // reference to the copy exists yet.
    unsafe {
        let copy = BLOCK.0.get().cast::<u8>();
        source.copy_to_nonoverlapping(copy, size);
        core::slice::from_raw_parts(copy, size)
    }
}

fn parse(bytes: &'static [u8]) -> BootInformation<'static> {
    if let Err(reason) = multiboot_block::check(bytes) {
        panic!("the boot information is damaged: {reason}");
    }
    // SAFETY: `bytes` is aligned to 8, never changes, and holds as many bytes as its header says, as was just
    // checked.
    let block = unsafe { BootInformation::load(bytes.as_ptr().cast::<BootInformationHeader>()) };
    block.unwrap_or_else(|error| panic!("the boot information is damaged: {error}"))
}
