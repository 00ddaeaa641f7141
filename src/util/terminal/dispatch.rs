//! Which control function each sequence is (console_codes(4), ECMA-48): the parser's calls become `State`'s methods.

use super::charset::special_graphic;
use super::rendition;
use super::state::{CursorShape, State};
use vte::{Params, Perform};

impl Perform for State {
    fn print(&mut self, character: char) {
        if self.skips_next {
            self.skips_next = false;
            return;
        }
        if character == '\x7f' {
            return;
        }
        let is_graphic = self.graphics[self.shift];
        self.put(if is_graphic { special_graphic(character) } else { character });
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            0x08 if self.x > 0 => {
                self.x -= 1;
                self.wraps_next = false;
            }
            b'\t' => self.tab(),
            b'\n' | 0x0b | 0x0c => {
                self.line_feed();
                if self.line_feed_returns {
                    self.carriage_return();
                }
            }
            b'\r' => self.carriage_return(),
            0x0e => self.shift = 1,
            0x0f => self.shift = 0,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore {
            return;
        }
        let mut numbers = params.iter().map(|group| group.first().copied().unwrap_or(0));
        let first = numbers.next().unwrap_or(0);
        let second = numbers.next().unwrap_or(0);
        let count = usize::from(first.max(1));
        let (x, y) = (self.x, self.y);

        match (intermediates, action) {
            (b"", 'A') => self.go_to(x, y.saturating_sub(count)),
            (b"", 'B' | 'e') => self.go_to(x, y + count),
            (b"", 'C' | 'a') => self.go_to(x + count, y),
            (b"", 'D') => self.go_to(x.saturating_sub(count), y),
            (b"", 'E') => self.go_to(0, y + count),
            (b"", 'F') => self.go_to(0, y.saturating_sub(count)),
            (b"", 'G' | '`') => self.go_to(count - 1, y),
            (b"", 'H' | 'f') => self.go_to_relative(usize::from(second.max(1)) - 1, count - 1),
            (b"", 'd') => self.go_to_relative(x, count - 1),
            (b"", 'I') => (0..count.min(self.columns())).for_each(|_| self.tab()),
            (b"", 'Z') => (0..count.min(self.columns())).for_each(|_| self.back_tab()),
            (b"" | b"?", 'J') => self.erase_display(first),
            (b"" | b"?", 'K') => self.erase_line(first),
            (b"", 'L') => self.insert_lines(count),
            (b"", 'M') => self.delete_lines(count),
            (b"", 'P') => self.delete_characters(count),
            (b"", 'X') => self.erase_characters(count),
            (b"", '@') => self.insert_characters(count),
            (b"", 'S') => {
                let blank = self.blank();
                self.grid.scroll_up(self.top, self.bottom, count, blank);
            }
            (b"", 'T') => {
                let blank = self.blank();
                self.grid.scroll_down(self.top, self.bottom, count, blank);
            }
            (b"", 'b') => {
                let last = self.last;
                (0..count.min(self.columns() * self.rows())).for_each(|_| self.put(last));
            }
            (b"", 'c') if first == 0 => self.reply(b"\x1b[?6c"),
            (b"?", 'c') => {
                self.cursor_shape = match first & 0x0f {
                    1 => CursorShape::Hidden,
                    2 | 3 => CursorShape::Underline,
                    _ => CursorShape::Block,
                }
            }
            (b"", 'g') if first == 0 => self.tabs[x] = false,
            (b"", 'g') if first == 3 => self.tabs.fill(false),
            (b"" | b"?", 'h') => self.set_modes(intermediates == b"?", params, true),
            (b"" | b"?", 'l') => self.set_modes(intermediates == b"?", params, false),
            (b"", 'm') => rendition::select(&mut self.pen, params),
            (b"", 'n') if first == 5 => self.reply(b"\x1b[0n"),
            (b"", 'n') if first == 6 => self.report_cursor(),
            (b"", 'r') => {
                let bottom = if second == 0 { self.rows() } else { usize::from(second) };
                self.set_region(count - 1, bottom);
            }
            (b"", 's') => self.save(),
            (b"", 'u') => self.restore(),
            (b"", '[') => self.skips_next = true,
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        if ignore {
            return;
        }
        match (intermediates, byte) {
            (b"", b'c') => self.reset(),
            (b"", b'D') => self.line_feed(),
            (b"", b'E') => {
                self.carriage_return();
                self.line_feed();
            }
            (b"", b'H') => self.tabs[self.x] = true,
            (b"", b'M') => self.reverse_line_feed(),
            (b"", b'Z') => self.reply(b"\x1b[?6c"),
            (b"", b'7') => self.save(),
            (b"", b'8') => self.restore(),
            (b"#", b'8') => self.fill_for_alignment(),
            (b"(", _) => self.graphics[0] = byte == b'0',
            (b")", _) => self.graphics[1] = byte == b'0',
            _ => {}
        }
    }
}
