//! A line of text on the stack: formatting where no memory may be allocated.

use core::fmt;

/// Up to `N` bytes of UTF-8; what does not fit is cut at a character.
pub(super) struct Line<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Line<N> {
    /// Makes an empty line.
    pub(super) fn new() -> Line<N> {
        Line { bytes: [0; N], length: 0 }
    }

    /// Returns what was written so far.
    pub(super) fn text(&self) -> &str {
        match core::str::from_utf8(&self.bytes[..self.length]) {
            Ok(text) => text,
            // A record that was cut in the ring; its head is good.
            Err(error) => core::str::from_utf8(&self.bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    /// Appends what `fill` puts into the free part; it returns how many bytes.
    pub(super) fn append_with(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) {
        self.length += fill(&mut self.bytes[self.length..]);
    }
}

impl<const N: usize> fmt::Write for Line<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The last byte stays free for the line's end.
        let free = N - self.length - usize::from(text != "\n");
        let mut length = text.len().min(free);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        self.bytes[self.length..self.length + length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}
