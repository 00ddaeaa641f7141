//! Cells on a linear framebuffer of 16, 24 or 32 bits per pixel, with one of Spleen's bitmap fonts.
//!
//! The crate `spleen-font` brings the font files; its own look-up reads the 8×16 file's table wrongly (it is of PSF
//! version 1) and searches linearly, so `util::psf` reads them.

use super::Look;
use crate::machine::boot::{Display, VideoMemory};
use crate::util::psf::Font;
use crate::util::terminal::{Attributes, CursorShape};
use alloc::{vec, vec::Vec};

/// From this height on a screen gets the 12×24 font, and from the next on 16×32.
const MEDIUM_HEIGHT: u32 = 1000;
const LARGE_HEIGHT: u32 = 1400;

/// A framebuffer.
pub(super) struct Pixels {
    font: Font,
    columns: usize,
    rows: usize,
    pitch: usize,
    /// Bytes per pixel.
    depth: usize,
    red: Channel,
    green: Channel,
    blue: Channel,
    /// One line of pixels, to be copied out at once.
    line: Vec<u8>,
    /// The colours of the run being drawn, as pixels: foreground, background.
    colors: Vec<(u32, u32)>,
    /// The glyphs of the run.
    glyphs: Vec<&'static [u8]>,
}

/// A colour's place in a pixel.
#[derive(Clone, Copy)]
struct Channel {
    position: u32,
    width: u32,
}

impl Channel {
    fn new((position, width): (u8, u8)) -> Channel {
        Channel { position: u32::from(position).min(31), width: u32::from(width).min(8) }
    }

    /// Returns the pixel bits of an 8-bit level.
    fn place(self, level: u32) -> u32 {
        (level & 0xff) >> (8 - self.width) << self.position
    }
}

impl Pixels {
    /// Prepares for the display; `None` where not even one character fits.
    pub(super) fn new(display: &Display) -> Option<Pixels> {
        let Display::Pixels { width, height, pitch, bits_per_pixel, red, green, blue } = *display else { return None };
        let file = match height {
            ..MEDIUM_HEIGHT => spleen_font::FONT_8X16,
            MEDIUM_HEIGHT..LARGE_HEIGHT => spleen_font::FONT_12X24,
            _ => spleen_font::FONT_16X32,
        };
        let font = Font::parse(file)?;
        let columns = width as usize / font.width();
        let rows = height as usize / font.height();
        let depth = usize::from(bits_per_pixel).div_ceil(8);

        (columns > 0 && rows > 0).then(|| Pixels {
            line: vec![0; columns * font.width() * depth],
            colors: vec![(0, 0); columns],
            glyphs: vec![&[]; columns],
            columns,
            rows,
            pitch: pitch as usize,
            depth,
            red: Channel::new(red),
            green: Channel::new(green),
            blue: Channel::new(blue),
            font,
        })
    }

    /// Returns columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// Draws cells from column `x` of row `y` on, a line of pixels at a time.
    pub(super) fn draw(
        &mut self, memory: &VideoMemory, x: usize, y: usize, looks: &[Look], palette: &[u32; 16], is_reversed: bool,
    ) {
        for (index, look) in looks.iter().enumerate() {
            let (front, back) = look.cell.colors(palette, is_reversed);
            let (front, back) = if look.cursor == CursorShape::Block { (back, front) } else { (front, back) };
            self.colors[index] = (self.pixel(front), self.pixel(back));
            self.glyphs[index] = self.font.glyph(look.cell.character);
        }

        let start = y * self.font.height() * self.pitch + x * self.font.width() * self.depth;
        let length = looks.len() * self.font.width() * self.depth;
        // Much of a screen is empty, and all lines of empty cells are alike.
        let is_empty = looks.iter().all(is_empty);
        for line in 0..self.font.height() {
            match self.depth {
                _ if is_empty && line > 0 => {}
                4 => self.render::<4>(line, looks),
                3 => self.render::<3>(line, looks),
                _ => self.render::<2>(line, looks),
            }
            memory.write(start + line * self.pitch, &self.line[..length]);
        }
    }

    /// Puts pixel line `line` of the run into `self.line`.
    fn render<const DEPTH: usize>(&mut self, line: usize, looks: &[Look]) {
        let (width, height, row_size) = (self.font.width(), self.font.height(), self.font.row_size());
        let cells = self.line.chunks_exact_mut(width * DEPTH);
        for (((pixels, look), &(front, back)), glyph) in cells.zip(looks).zip(&self.colors).zip(&self.glyphs) {
            let mut bits = 0;
            for &byte in &glyph[line * row_size..][..row_size] {
                bits = bits << 8 | u32::from(byte);
            }
            bits <<= 32 - 8 * row_size as u32;
            if is_ruled(look, line, height) {
                bits = u32::MAX;
            }

            for pixel in pixels.chunks_exact_mut(DEPTH) {
                // All ones where the bit is set.
                let mask = (bits >> 31).wrapping_neg();
                let value = back ^ (front ^ back) & mask;
                pixel.copy_from_slice(&value.to_le_bytes()[..DEPTH]);
                bits <<= 1;
            }
        }
    }

    fn pixel(&self, rgb: u32) -> u32 {
        self.red.place(rgb >> 16) | self.green.place(rgb >> 8) | self.blue.place(rgb)
    }
}

/// Returns whether the cell shows its background alone.
fn is_empty(look: &Look) -> bool {
    look.cell.character == ' '
        && !look.cell.attributes.contains(Attributes::UNDERLINE)
        && look.cursor != CursorShape::Underline
}

/// Returns whether an underline, or a cursor that is one, fills pixel line `line` of the cell.
fn is_ruled(look: &Look, line: usize, height: usize) -> bool {
    let thickness = height.div_ceil(16);
    let underline = height - 2 * thickness..height - thickness;
    look.cell.attributes.contains(Attributes::UNDERLINE) && underline.contains(&line)
        || look.cursor == CursorShape::Underline && line >= height - 2 * thickness
}
