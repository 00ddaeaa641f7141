//! Cells in VGA text memory: code page 437, 16 colours before 8 backgrounds.

use super::Look;
use crate::machine::boot::VideoMemory;
use crate::util::terminal::{Attributes, CursorShape};
use alloc::{vec, vec::Vec};
use x86_64::instructions::port::Port;

/// What code page 437 has from 0x80 on.
const UPPER_HALF: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                          αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// The palette's numbers as VGA orders them: red and blue change places.
const VGA_COLOR: [u8; 16] = [0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15];

/// A character display.
pub(super) struct Text {
    columns: usize,
    rows: usize,
    pitch: usize,
    line: Vec<u8>,
}

impl Text {
    /// Prepares for a display of this size, and hides the hardware's own cursor.
    pub(super) fn new(columns: u32, rows: u32, pitch: u32) -> Option<Text> {
        let (columns, rows, pitch) = (columns as usize, rows as usize, pitch as usize);
        if columns == 0 || rows == 0 || pitch < columns * 2 {
            return None;
        }
        // SAFETY: index and data port of the VGA's CRT controller, which a text display has; register 10 bit 5 switches
        // the cursor off and touches nothing else.
        unsafe {
            Port::<u8>::new(0x3d4).write(0x0a);
            Port::<u8>::new(0x3d5).write(1 << 5);
        }
        Some(Text { columns, rows, pitch, line: vec![0; columns * 2] })
    }

    /// Returns columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// Draws cells from column `x` of row `y` on.
    pub(super) fn draw(
        &mut self, memory: &VideoMemory, x: usize, y: usize, looks: &[Look], palette: &[u32; 16], is_reversed: bool,
    ) {
        for (pair, look) in self.line.chunks_exact_mut(2).zip(looks) {
            pair[0] = encode(look.cell.character);
            pair[1] = attribute(look, palette, is_reversed);
        }
        memory.write(y * self.pitch + x * 2, &self.line[..looks.len() * 2]);
    }
}

fn attribute(look: &Look, palette: &[u32; 16], is_reversed: bool) -> u8 {
    let cell = look.cell;
    let is_bold = cell.attributes.intersects(Attributes::BOLD | Attributes::UNDERLINE);
    let foreground = if is_bold { cell.foreground.brightened() } else { cell.foreground };
    let mut front = VGA_COLOR[usize::from(foreground.palette_index(palette))];
    let mut back = VGA_COLOR[usize::from(cell.background.palette_index(palette))];

    let is_swapped = cell.attributes.contains(Attributes::REVERSE) != is_reversed;
    if is_swapped != (look.cursor != CursorShape::Hidden) {
        core::mem::swap(&mut front, &mut back);
    }
    // Bit 7 would blink.
    front | (back & 7) << 4
}

fn encode(character: char) -> u8 {
    if (' '..='~').contains(&character) {
        return character as u8;
    }
    match UPPER_HALF.chars().position(|other| other == character) {
        Some(index) => 0x80 + index as u8,
        None => match character {
            '→' => 0x1a,
            '←' => 0x1b,
            '↑' => 0x18,
            '↓' => 0x19,
            '◆' => 0x04,
            _ => b'?',
        },
    }
}
