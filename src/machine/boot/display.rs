//! The display that GRUB set up: a linear framebuffer, or VGA text.

use super::super::console::log;
use super::super::sync::SpinLock;
use crate::rank::Rank;
use core::ops::Range;
use multiboot2::{BootInformation, FramebufferType};

/// A linear framebuffer or VGA text memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Display {
    /// Direct colour pixels.
    Pixels {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes from one row to the next.
        pitch: u32,
        /// Bits from one pixel to the next: 16, 24 or 32.
        bits_per_pixel: u8,
        /// Bit position and width of red.
        red: (u8, u8),
        /// Bit position and width of green.
        green: (u8, u8),
        /// Bit position and width of blue.
        blue: (u8, u8),
    },
    /// Character cells, 16 bits each: code page 437 and VGA attributes.
    Text {
        /// Cells in a row.
        columns: u32,
        /// Rows.
        rows: u32,
        /// Bytes from one row to the next.
        pitch: u32,
    },
}

/// Video memory, mapped write-combining; it can only be written.
pub(crate) struct VideoMemory {
    address: usize,
    length: usize,
}

/// The display and where its memory is: physical at first, then mapped.
struct Found {
    display: Display,
    physical: Range<u64>,
    memory: Option<VideoMemory>,
}

static FOUND: SpinLock<Option<Found>> = SpinLock::new(Rank::Screen, None);

/// Takes the display that GRUB set up, if any. The second call returns `None`.
pub(crate) fn take_display() -> Option<(Display, VideoMemory)> {
    let found = FOUND.lock().take()?;
    Some((found.display, found.memory?))
}

/// Returns the physical addresses of the video memory.
pub(in crate::machine) fn framebuffer() -> Option<Range<u64>> {
    FOUND.lock().as_ref().map(|found| found.physical.clone())
}

/// Tells where the video memory is mapped. The mapping must stay, be for writing and hold all of `framebuffer()`.
///
/// # Safety
/// `address` must be such a mapping, used by nobody else.
pub(in crate::machine) unsafe fn set_video_memory(address: usize) {
    if let Some(found) = FOUND.lock().as_mut() {
        let length = (found.physical.end - found.physical.start) as usize;
        found.memory = Some(VideoMemory { address, length });
    }
}

/// Keeps what the loader's tag says about the display, if it makes sense.
pub(super) fn read(block: &'static BootInformation<'static>) {
    let Some(Ok(tag)) = block.framebuffer_tag() else { return };
    let (width, height, pitch) = (tag.width(), tag.height(), tag.pitch());
    let bits_per_pixel = tag.bpp();

    let display = match tag.buffer_type() {
        Ok(FramebufferType::RGB { red, green, blue }) => Display::Pixels {
            width,
            height,
            pitch,
            bits_per_pixel,
            red: (red.position, red.size),
            green: (green.position, green.size),
            blue: (blue.position, blue.size),
        },
        Ok(FramebufferType::Text) => Display::Text { columns: width, rows: height, pitch },
        _ => {
            log!(Warning, "the display has indexed colours; it is not used");
            return;
        }
    };

    let row = u64::from(width) * u64::from(bits_per_pixel) / 8;
    let length = u64::from(pitch) * u64::from(height);
    let is_sane = width > 0 && height > 0 && [16, 24, 32].contains(&bits_per_pixel) && row <= u64::from(pitch);
    let Some(end) = tag.address().checked_add(length).filter(|&end| is_sane && end < 1 << 46 && tag.address() != 0)
    else {
        log!(Warning, "the loader's description of the display makes no sense; it is not used");
        return;
    };

    log!(Info, "display: {width}x{height}, {bits_per_pixel} bits, at {:#x}", tag.address());
    *FOUND.lock() = Some(Found { display, physical: tag.address()..end, memory: None });
}

impl VideoMemory {
    /// Copies `bytes` to `offset`; what lies outside is left out. Any context.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let length = bytes.len().min(self.length.saturating_sub(offset));
        if length == 0 {
            return;
        }
        let target = core::ptr::with_exposed_provenance_mut::<u8>(self.address + offset);
        // SAFETY: `set_video_memory` got a mapping of `self.length` bytes for us alone, no reference to it exists,
        // and the range ends inside it.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), target, length) };
    }
}
