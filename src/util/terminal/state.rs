//! The terminal's state and what changes it: cursor, modes, margins, tabs (console_codes(4)).

use super::PALETTE;
use super::cell::Cell;
use super::charset;
use super::grid::Grid;
use alloc::{vec, vec::Vec};
use vte::Params;

const TAB_WIDTH: usize = 8;

/// Bytes of answers (cursor reports and the like) kept until somebody takes them.
const REPLY_SIZE: usize = 64;

/// How the cursor looks (`CSI ? n c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorShape {
    Hidden,
    Underline,
    Block,
}

/// The place and looks that ESC 7 saves.
#[derive(Clone, Copy)]
struct Saved {
    x: usize,
    y: usize,
    pen: Cell,
    graphics: [bool; 2],
    shift: usize,
    is_origin_relative: bool,
}

/// A terminal's state.
pub(crate) struct State {
    pub(super) grid: Grid,
    pub(super) x: usize,
    pub(super) y: usize,
    /// A character was put into the last column: the next one goes to the next line.
    pub(super) wraps_next: bool,
    /// Colours and attributes of the characters to come.
    pub(super) pen: Cell,
    /// First row of the scrolling region, and the row after its last.
    pub(super) top: usize,
    pub(super) bottom: usize,
    pub(super) tabs: Vec<bool>,
    /// Whether G0 and G1 are the special graphics set.
    pub(super) graphics: [bool; 2],
    /// Which of the two is in use: SI, SO.
    pub(super) shift: usize,
    saved: Saved,
    pub(super) palette: [u32; 16],
    pub(super) cursor_shape: CursorShape,
    pub(super) is_cursor_on: bool,
    pub(super) wraps: bool,
    pub(super) inserts: bool,
    pub(super) is_origin_relative: bool,
    pub(super) line_feed_returns: bool,
    pub(super) is_reversed: bool,
    pub(super) has_application_cursor_keys: bool,
    /// The last printed character, for REP.
    pub(super) last: char,
    /// The final byte of `CSI [` comes next and is not printed (a Linux function key that was echoed).
    pub(super) skips_next: bool,
    pub(super) replies: [u8; REPLY_SIZE],
    pub(super) reply_length: usize,
}

impl State {
    pub(super) fn new(columns: usize, rows: usize) -> State {
        let grid = Grid::new(columns, rows);
        let bottom = grid.rows();
        let tabs = default_tabs(grid.columns());
        let saved = Saved { x: 0, y: 0, pen: Cell::BLANK, graphics: [false; 2], shift: 0, is_origin_relative: false };
        State {
            grid,
            x: 0,
            y: 0,
            wraps_next: false,
            pen: Cell::BLANK,
            top: 0,
            bottom,
            tabs,
            graphics: [false; 2],
            shift: 0,
            saved,
            palette: PALETTE,
            cursor_shape: CursorShape::Block,
            is_cursor_on: true,
            wraps: true,
            inserts: false,
            is_origin_relative: false,
            line_feed_returns: false,
            is_reversed: false,
            has_application_cursor_keys: false,
            last: ' ',
            skips_next: false,
            replies: [0; REPLY_SIZE],
            reply_length: 0,
        }
    }

    /// Returns the cells.
    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Returns the cells, to scroll the view and to take note of what was drawn.
    pub(crate) fn grid_mut(&mut self) -> &mut Grid {
        &mut self.grid
    }

    /// Returns column and row of the cursor as the view shows it, `None` where it is hidden or scrolled out.
    pub(crate) fn visible_cursor(&self) -> Option<(usize, usize, CursorShape)> {
        let y = self.y + self.grid.view();
        let is_visible = self.is_cursor_on && self.cursor_shape != CursorShape::Hidden && y < self.grid.rows();
        is_visible.then_some((self.x, y, self.cursor_shape))
    }

    /// Returns the palette as 0xRRGGBB.
    pub(crate) fn palette(&self) -> &[u32; 16] {
        &self.palette
    }

    /// Returns whether the screen as a whole is reversed.
    pub(crate) fn is_reversed(&self) -> bool {
        self.is_reversed
    }

    /// Returns whether the cursor keys send `ESC O x` instead of `ESC [ x`.
    pub(crate) fn has_application_cursor_keys(&self) -> bool {
        self.has_application_cursor_keys
    }

    /// Moves the answers for the program to `bytes`; returns how many bytes.
    pub(crate) fn take_replies(&mut self, bytes: &mut [u8]) -> usize {
        let count = self.reply_length.min(bytes.len());
        bytes[..count].copy_from_slice(&self.replies[..count]);
        self.reply_length = 0;
        count
    }

    pub(super) fn set_palette(&mut self, palette: [u32; 16]) {
        self.palette = palette;
        self.grid.mark_all();
    }

    pub(super) fn set_color(&mut self, index: usize, color: u32) {
        self.palette[index] = color;
        self.grid.mark_all();
    }

    pub(super) fn columns(&self) -> usize {
        self.grid.columns()
    }

    pub(super) fn rows(&self) -> usize {
        self.grid.rows()
    }

    /// What erased cells become: blanks in the background colour of now.
    pub(super) fn blank(&self) -> Cell {
        Cell { background: self.pen.background, ..Cell::BLANK }
    }

    /// Puts the cursor at column `x` and row `y` of the screen, or of the region in origin mode.
    pub(super) fn go_to(&mut self, x: usize, y: usize) {
        let (first, end) = if self.is_origin_relative { (self.top, self.bottom) } else { (0, self.rows()) };
        self.x = x.min(self.columns() - 1);
        self.y = y.clamp(first, end - 1);
        self.wraps_next = false;
    }

    /// `go_to` with a row that counts from the region's top in origin mode.
    pub(super) fn go_to_relative(&mut self, x: usize, y: usize) {
        let first = if self.is_origin_relative { self.top } else { 0 };
        self.go_to(x, first + y);
    }

    pub(super) fn line_feed(&mut self) {
        if self.y + 1 == self.bottom {
            let blank = self.blank();
            self.grid.scroll_up(self.top, self.bottom, 1, blank);
        } else if self.y + 1 < self.rows() {
            self.y += 1;
        }
        self.wraps_next = false;
    }

    pub(super) fn reverse_line_feed(&mut self) {
        if self.y == self.top {
            let blank = self.blank();
            self.grid.scroll_down(self.top, self.bottom, 1, blank);
        } else {
            self.y = self.y.saturating_sub(1);
        }
        self.wraps_next = false;
    }

    pub(super) fn carriage_return(&mut self) {
        self.x = 0;
        self.wraps_next = false;
    }

    pub(super) fn tab(&mut self) {
        let next = (self.x + 1..self.columns()).find(|&x| self.tabs[x]);
        self.x = next.unwrap_or(self.columns() - 1);
        self.wraps_next = false;
    }

    pub(super) fn back_tab(&mut self) {
        self.x = (0..self.x).rev().find(|&x| self.tabs[x]).unwrap_or(0);
        self.wraps_next = false;
    }

    /// Puts one character at the cursor.
    pub(super) fn put(&mut self, character: char) {
        let width = charset::width(character).min(self.columns());
        if width == 0 {
            return;
        }
        if self.wraps_next || self.wraps && self.x + width > self.columns() {
            self.carriage_return();
            self.line_feed();
        }

        let columns = self.columns();
        let (x, pen) = (self.x.min(columns - width), self.pen);
        let inserts = self.inserts;
        let row = self.grid.row_mut(self.y);
        if inserts {
            row.copy_within(x..columns - width, x + width);
        }
        row[x] = Cell { character, ..pen };
        if width == 2 {
            row[x + 1] = Cell { character: ' ', ..pen };
        }

        self.wraps_next = self.wraps && x + width == columns;
        self.x = (x + width).min(columns - 1);
        self.last = character;
    }

    pub(super) fn erase_display(&mut self, what: u16) {
        let blank = self.blank();
        let (y, rows) = (self.y, self.rows());
        match what {
            0 => {
                self.erase_line(0);
                self.grid.blank_rows(y + 1, rows, blank);
            }
            1 => {
                self.erase_line(1);
                self.grid.blank_rows(0, y, blank);
            }
            2 => self.grid.blank_rows(0, rows, blank),
            3 => {
                self.grid.blank_rows(0, rows, blank);
                self.grid.clear_history();
            }
            _ => {}
        }
        self.wraps_next = false;
    }

    pub(super) fn erase_line(&mut self, what: u16) {
        let (blank, x, columns) = (self.blank(), self.x, self.columns());
        let range = match what {
            0 => x..columns,
            1 => 0..x + 1,
            2 => 0..columns,
            _ => return,
        };
        self.grid.row_mut(self.y)[range].fill(blank);
        self.wraps_next = false;
    }

    pub(super) fn erase_characters(&mut self, count: usize) {
        let (blank, x, columns) = (self.blank(), self.x, self.columns());
        self.grid.row_mut(self.y)[x..columns.min(x.saturating_add(count))].fill(blank);
        self.wraps_next = false;
    }

    pub(super) fn insert_characters(&mut self, count: usize) {
        let (blank, x, columns) = (self.blank(), self.x, self.columns());
        let count = count.min(columns - x);
        let row = self.grid.row_mut(self.y);
        row.copy_within(x..columns - count, x + count);
        row[x..x + count].fill(blank);
        self.wraps_next = false;
    }

    pub(super) fn delete_characters(&mut self, count: usize) {
        let (blank, x, columns) = (self.blank(), self.x, self.columns());
        let count = count.min(columns - x);
        let row = self.grid.row_mut(self.y);
        row.copy_within(x + count.., x);
        row[columns - count..].fill(blank);
        self.wraps_next = false;
    }

    pub(super) fn insert_lines(&mut self, count: usize) {
        let blank = self.blank();
        self.grid.scroll_down(self.y, self.bottom, count, blank);
        self.wraps_next = false;
    }

    pub(super) fn delete_lines(&mut self, count: usize) {
        let (blank, y, bottom) = (self.blank(), self.y, self.bottom);
        if y == 0 {
            // Deleted lines did not scroll off: they do not belong into the history.
            let count = count.min(bottom);
            self.grid.blank_rows(0, count, blank);
            self.grid.rotate_up(y, bottom, count);
        } else {
            self.grid.scroll_up(y, bottom, count, blank);
        }
        self.wraps_next = false;
    }

    pub(super) fn set_region(&mut self, top: usize, bottom: usize) {
        if top < bottom && bottom <= self.rows() {
            // A region has two rows at least.
            if bottom - top > 1 || self.rows() == 1 {
                (self.top, self.bottom) = (top, bottom);
                self.go_to_relative(0, 0);
            }
        }
    }

    pub(super) fn set_modes(&mut self, is_private: bool, params: &Params, is_on: bool) {
        for &mode in params.iter().flatten() {
            match (is_private, mode) {
                (true, 1) => self.has_application_cursor_keys = is_on,
                (true, 5) => {
                    self.is_reversed = is_on;
                    self.grid.mark_all();
                }
                (true, 6) => {
                    self.is_origin_relative = is_on;
                    self.go_to_relative(0, 0);
                }
                (true, 7) => self.wraps = is_on,
                (true, 25) => self.is_cursor_on = is_on,
                (false, 4) => self.inserts = is_on,
                (false, 20) => self.line_feed_returns = is_on,
                _ => {}
            }
        }
    }

    pub(super) fn save(&mut self) {
        self.saved = Saved {
            x: self.x,
            y: self.y,
            pen: self.pen,
            graphics: self.graphics,
            shift: self.shift,
            is_origin_relative: self.is_origin_relative,
        };
    }

    pub(super) fn restore(&mut self) {
        let saved = self.saved;
        self.pen = saved.pen;
        self.graphics = saved.graphics;
        self.shift = saved.shift;
        self.is_origin_relative = saved.is_origin_relative;
        self.go_to(saved.x, saved.y);
    }

    /// Undoes what a program set up that would spoil a report, but keeps the text and the cursor's place.
    pub(crate) fn settle(&mut self) {
        self.pen = Cell::BLANK;
        (self.top, self.bottom) = (0, self.rows());
        self.wraps = true;
        self.inserts = false;
        self.is_origin_relative = false;
        self.line_feed_returns = false;
        self.is_cursor_on = true;
        self.graphics = [false; 2];
        self.shift = 0;
        self.skips_next = false;
        self.grid.scroll_view(isize::MIN);
    }

    /// Everything as at start (ESC c); the palette and the history stay.
    pub(super) fn reset(&mut self) {
        self.settle();
        self.is_reversed = false;
        self.has_application_cursor_keys = false;
        self.cursor_shape = CursorShape::Block;
        self.tabs.iter_mut().enumerate().for_each(|(x, tab)| *tab = x % TAB_WIDTH == 0);
        self.go_to(0, 0);
        self.save();
        self.erase_display(2);
    }

    /// Fills the screen with E (DECALN).
    pub(super) fn fill_for_alignment(&mut self) {
        let rows = self.rows();
        self.grid.blank_rows(0, rows, Cell { character: 'E', ..Cell::BLANK });
        self.go_to(0, 0);
    }

    pub(super) fn reply(&mut self, bytes: &[u8]) {
        let room = self.replies.len() - self.reply_length;
        if bytes.len() <= room {
            self.replies[self.reply_length..self.reply_length + bytes.len()].copy_from_slice(bytes);
            self.reply_length += bytes.len();
        }
    }

    pub(super) fn report_cursor(&mut self) {
        let first = if self.is_origin_relative { self.top } else { 0 };
        let mut text = [0; 16];
        let mut length = 0;
        let mut push = |byte: u8| {
            text[length] = byte;
            length += 1;
        };
        b"\x1b[".iter().for_each(|&byte| push(byte));
        push_number(&mut push, self.y - first + 1);
        push(b';');
        push_number(&mut push, self.x + 1);
        push(b'R');
        self.reply(&text[..length]);
    }
}

/// Writes a number of up to five decimal digits.
fn push_number(push: &mut impl FnMut(u8), number: usize) {
    let number = number.min(99_999);
    let mut divisor = 10_000;
    while divisor > 1 && number < divisor {
        divisor /= 10;
    }
    while divisor > 0 {
        push(b'0' + (number / divisor % 10) as u8);
        divisor /= 10;
    }
}

fn default_tabs(columns: usize) -> Vec<bool> {
    let mut tabs = vec![false; columns];
    tabs.iter_mut().step_by(TAB_WIDTH).for_each(|tab| *tab = true);
    tabs
}
