//! A terminal emulator: bytes go in, a grid of cells comes out. It understands what `TERM=linux` promises (see
//! `infocmp linux`, console_codes(4)) and UTF-8. The `vte` crate parses; what the sequences do is in `state`.
//!
//! Nothing allocates after `Emulator::new`, so that it can show log lines from any context.

/// What one cell shows.
mod cell;

/// Line drawing and widths.
mod charset;

/// Which control function each sequence is.
mod dispatch;

/// Rows, history, changes.
mod grid;

/// Attributes and colours: SGR.
mod rendition;

/// What control functions do.
mod state;

#[cfg(test)]
mod tests;

pub(crate) use cell::{Attributes, Cell};
pub(crate) use state::CursorShape;

use alloc::boxed::Box;
use state::State;

/// Bytes of an operating system command that are kept: none is used, the parser only needs somewhere to put them.
const COMMAND_SIZE: usize = 16;

/// The palette at start and after a reset: 0xRRGGBB.
pub(crate) const PALETTE: [u32; 16] = [
    0x16_181d, 0xd8_5b63, 0x7f_b66b, 0xd9_a95b, 0x5f_94d6, 0xb5_7cc9, 0x57_b3b8, 0xc8_ccd4, //
    0x5d_6472, 0xf0_7b82, 0x9f_d68a, 0xf2_c97d, 0x83_b4f2, 0xd3_9ce6, 0x7d_d3d7, 0xf4_f6fa,
];

/// A terminal emulator.
pub(crate) struct Emulator {
    parser: Box<vte::Parser<COMMAND_SIZE>>,
    prefix: Prefix,
    state: State,
}

/// How far a palette sequence has come. `ESC ] P nrrggbb` and `ESC ] R` lack the end that every other `ESC ]` sequence
/// has, so they are taken out before the parser sees them.
#[derive(Clone, Copy)]
enum Prefix {
    None,
    Escape,
    Command,
    Palette { digits: usize, value: u32 },
}

impl Emulator {
    /// Makes an empty terminal.
    pub(crate) fn new(columns: usize, rows: usize) -> Emulator {
        Emulator {
            parser: Box::new(vte::Parser::new_with_size()),
            prefix: Prefix::None,
            state: State::new(columns, rows),
        }
    }

    /// Shows `bytes`.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((&first, tail)) = rest.split_first() {
            if matches!(self.prefix, Prefix::None) {
                let plain = rest.iter().position(|&byte| byte == 0x1b).unwrap_or(rest.len());
                self.parse(&rest[..plain]);
                rest = &rest[plain..];
                if !rest.is_empty() {
                    self.prefix = Prefix::Escape;
                    rest = &rest[1..];
                }
            } else {
                self.feed_prefix(first);
                rest = tail;
            }
        }
    }

    /// Handles a byte that may belong to a palette sequence.
    fn feed_prefix(&mut self, byte: u8) {
        self.prefix = match (self.prefix, byte) {
            (Prefix::Escape, b']') => Prefix::Command,
            (Prefix::Escape, 0x1b) => {
                self.parse(b"\x1b");
                Prefix::Escape
            }
            (Prefix::Command, b'P') => Prefix::Palette { digits: 0, value: 0 },
            (Prefix::Command, b'R') => {
                self.state.set_palette(PALETTE);
                Prefix::None
            }
            (Prefix::Command, _) => {
                self.parse(&[0x1b, b']', byte]);
                Prefix::None
            }
            (Prefix::Palette { digits, value }, _) => match char::from(byte).to_digit(16) {
                Some(digit) if digits == 6 => {
                    self.state.set_color((value >> 20 & 15) as usize, (value << 4 | digit) & 0xff_ffff);
                    Prefix::None
                }
                Some(digit) => Prefix::Palette { digits: digits + 1, value: value << 4 | digit },
                None => Prefix::None,
            },
            (Prefix::Escape | Prefix::None, _) => {
                self.parse(&[0x1b, byte]);
                Prefix::None
            }
        };
    }

    fn parse(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.state, bytes);
    }

    /// Returns the state that the bytes led to.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Returns the state, to scroll the view and to take note of what was drawn.
    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }
}
