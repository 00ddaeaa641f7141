//! What one character cell shows.

use bitflags::bitflags;

/// A colour: a place in the palette, or red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Color(u32);

/// Marks a `Color` that is no place in the palette.
const DIRECT: u32 = 1 << 24;

impl Color {
    /// Light grey, the text's colour unless asked otherwise.
    pub(crate) const FOREGROUND: Color = Color(7);
    /// Black.
    pub(crate) const BACKGROUND: Color = Color(0);

    /// One of the 16 colours that programs may redefine.
    pub(crate) const fn palette(index: u8) -> Color {
        Color((index & 15) as u32)
    }

    /// A colour of its own.
    pub(crate) const fn direct(red: u8, green: u8, blue: u8) -> Color {
        Color(DIRECT | (red as u32) << 16 | (green as u32) << 8 | blue as u32)
    }

    /// One of xterm's 256: the palette, a cube of 6 levels each, 24 greys.
    pub(crate) fn indexed(index: u8) -> Color {
        const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
        match index {
            0..16 => Color::palette(index),
            16..232 => {
                let index = usize::from(index - 16);
                Color::direct(LEVELS[index / 36], LEVELS[index / 6 % 6], LEVELS[index % 6])
            }
            232.. => {
                let level = 8 + 10 * (index - 232);
                Color::direct(level, level, level)
            }
        }
    }

    /// Returns the brighter twin of one of the palette's first eight, else itself.
    pub(crate) fn brightened(self) -> Color {
        if self.0 < 8 { Color(self.0 + 8) } else { self }
    }

    /// Returns the palette's index nearest to the colour, or the colour's own.
    pub(crate) fn palette_index(self, palette: &[u32; 16]) -> u8 {
        if self.0 & DIRECT == 0 {
            return self.0 as u8;
        }
        let distance = |other: u32| {
            let channel = |shift: u32| (self.0 >> shift & 0xff).abs_diff(other >> shift & 0xff).pow(2);
            channel(0) + channel(8) + channel(16)
        };
        (0..16).min_by_key(|&index| distance(palette[index as usize])).unwrap_or(7)
    }

    /// Returns 0xRRGGBB.
    pub(crate) fn rgb(self, palette: &[u32; 16]) -> u32 {
        if self.0 & DIRECT == 0 { palette[(self.0 & 15) as usize] } else { self.0 & 0xff_ffff }
    }
}

bitflags! {
    /// How a character looks besides its colours.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Attributes: u8 {
        const BOLD = 1 << 0;
        const DIM = 1 << 1;
        const ITALIC = 1 << 2;
        const UNDERLINE = 1 << 3;
        const BLINK = 1 << 4;
        const REVERSE = 1 << 5;
    }
}

/// One character cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) character: char,
    pub(crate) foreground: Color,
    pub(crate) background: Color,
    pub(crate) attributes: Attributes,
}

impl Cell {
    /// An empty cell in the usual colours.
    pub(crate) const BLANK: Cell = Cell {
        character: ' ',
        foreground: Color::FOREGROUND,
        background: Color::BACKGROUND,
        attributes: Attributes::empty(),
    };

    /// Returns the colours to draw with, as 0xRRGGBB: foreground, background. Bold is bright, as on a PC's screen.
    pub(crate) fn colors(&self, palette: &[u32; 16], is_screen_reversed: bool) -> (u32, u32) {
        let is_bold = self.attributes.contains(Attributes::BOLD);
        let foreground = if is_bold { self.foreground.brightened() } else { self.foreground };
        let mut front = foreground.rgb(palette);
        let mut back = self.background.rgb(palette);

        if self.attributes.contains(Attributes::DIM) {
            front = front >> 1 & 0x7f_7f7f;
        }
        if self.attributes.contains(Attributes::REVERSE) != is_screen_reversed {
            core::mem::swap(&mut front, &mut back);
        }
        (front, back)
    }
}
