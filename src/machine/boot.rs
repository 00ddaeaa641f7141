//! What the boot loader left: memory map, modules, command line, framebuffer, ACPI root pointer.
//!
//! The Multiboot2 information block is parsed and copied before the first frame is handed out.

use alloc::vec::Vec;

/// Reads the information block.
pub(super) fn start(magic: u32, information: u32) {
    super::console::log!(Info, "magic {magic:x} information {information:x}");
}

/// The boot information that outlives boot.
pub(crate) struct Boot {
    /// The words after the kernel's name in grub.cfg.
    pub(crate) command_line: &'static str,
    /// The loader's name, for example `GRUB 2.06`.
    pub(crate) loader: &'static str,
}

/// Returns the boot information. Panics before `start` has read it.
pub(crate) fn information() -> &'static Boot {
    todo!()
}

/// Takes the boot modules, in GRUB's order. Dropping a module gives its memory back. The second call
/// returns none.
pub(crate) fn take_modules() -> Vec<Module> {
    todo!()
}

/// A file that GRUB loaded.
pub(crate) struct Module {
    pub(crate) arguments: &'static str,
    bytes: &'static [u8],
}

impl Module {
    /// The file's content.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

/// A linear framebuffer or VGA text memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Display {
    /// Direct colour pixels.
    Pixels {
        width: u32,
        height: u32,
        /// Bytes from one row to the next.
        pitch: u32,
        bits_per_pixel: u8,
        /// Bit position and width of red, green, blue.
        red: (u8, u8),
        green: (u8, u8),
        blue: (u8, u8),
    },
    /// Character cells, 16 bits each: code page 437 and VGA attributes.
    Text { columns: u32, rows: u32, pitch: u32 },
}

/// Video memory, mapped write-combining; it can only be written.
pub(crate) struct VideoMemory {
    _bytes: usize,
}

impl VideoMemory {
    /// Copies `bytes` to `offset`; what lies outside is left out. Any context.
    pub(crate) fn write(&self, _offset: usize, _bytes: &[u8]) {
        todo!()
    }
}

/// Takes the display that GRUB set up, if any. The second call returns `None`.
pub(crate) fn take_display() -> Option<(Display, VideoMemory)> {
    todo!()
}
