//! The cells of a terminal: rows that scroll without copying, the lines that scrolled off the top, and which rows
//! changed. All memory is taken when the grid is made; nothing here allocates later.

use super::cell::Cell;
use alloc::{boxed::Box, vec, vec::Vec};

/// The most lines kept of what scrolled off.
const HISTORY_LINES: usize = 1000;

/// The most memory for them.
const HISTORY_BYTES: usize = 1 << 20;

/// One line of cells.
type Row = Box<[Cell]>;

/// The cells, with history.
pub(crate) struct Grid {
    columns: usize,
    rows: Vec<Row>,
    is_changed: Vec<bool>,
    /// A ring of lines that scrolled off the top.
    history: Vec<Row>,
    /// Where the next line goes in `history`.
    history_next: usize,
    /// How many lines of `history` are in use.
    history_length: usize,
    /// How many lines the view is scrolled back.
    view: usize,
}

impl Grid {
    /// Makes an empty grid, at least 1×1.
    pub(crate) fn new(columns: usize, rows: usize) -> Grid {
        let (columns, rows) = (columns.max(1), rows.max(1));
        let row = || vec![Cell::BLANK; columns].into_boxed_slice();
        let lines = HISTORY_LINES.min(HISTORY_BYTES / (columns * size_of::<Cell>()));
        Grid {
            columns,
            rows: (0..rows).map(|_| row()).collect(),
            is_changed: vec![true; rows],
            history: (0..lines).map(|_| row()).collect(),
            history_next: 0,
            history_length: 0,
            view: 0,
        }
    }

    /// Returns the width.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the height.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Returns the cells of row `y`, to change them.
    pub(crate) fn row_mut(&mut self, y: usize) -> &mut [Cell] {
        if let Some(changed) = self.is_changed.get_mut(y + self.view) {
            *changed = true;
        }
        &mut self.rows[y]
    }

    /// Returns the cells of row `y`.
    #[cfg(test)]
    pub(crate) fn row(&self, y: usize) -> &[Cell] {
        &self.rows[y]
    }

    /// Returns what the view shows at row `y`: with the view scrolled back, lines of the history.
    pub(crate) fn visible_row(&self, y: usize) -> &[Cell] {
        match y.checked_sub(self.view) {
            Some(row) => &self.rows[row],
            None => {
                let back = self.view - y;
                let lines = self.history.len();
                &self.history[(self.history_next + lines - back) % lines]
            }
        }
    }

    /// Returns whether row `y` of the view changed since `clear_changed`.
    pub(crate) fn is_changed(&self, y: usize) -> bool {
        self.is_changed[y]
    }

    /// Takes note that row `y` was drawn.
    pub(crate) fn clear_changed(&mut self, y: usize) {
        self.is_changed[y] = false;
    }

    /// Marks row `y` of the view as changed.
    pub(crate) fn mark_row(&mut self, y: usize) {
        self.is_changed[y] = true;
    }

    /// Marks all rows as changed.
    pub(crate) fn mark_all(&mut self) {
        self.is_changed.fill(true);
    }

    /// Returns how many lines the view is scrolled back.
    pub(crate) fn view(&self) -> usize {
        self.view
    }

    /// Scrolls the view back by `lines`, or forward where negative, within what there is.
    pub(crate) fn scroll_view(&mut self, lines: isize) {
        let view = self.view.saturating_add_signed(lines).min(self.history_length);
        if view != self.view {
            self.view = view;
            self.mark_all();
        }
    }

    /// Forgets what scrolled off.
    pub(crate) fn clear_history(&mut self) {
        self.history_length = 0;
        if self.view != 0 {
            self.view = 0;
            self.mark_all();
        }
    }

    /// Moves rows `top..bottom` up by `count`; blank rows come in. Rows that leave the screen's top go into the history.
    pub(crate) fn scroll_up(&mut self, top: usize, bottom: usize, count: usize, blank: Cell) {
        let count = count.min(bottom.saturating_sub(top));
        if top == 0 {
            for y in 0..count {
                self.keep(y);
            }
        }
        if count > 0 {
            self.rows[top..bottom].rotate_left(count);
            self.blank_rows(bottom - count, bottom, blank);
            self.mark(top, bottom);
        }
    }

    /// Moves rows `top..bottom` down by `count`; blank rows come in.
    pub(crate) fn scroll_down(&mut self, top: usize, bottom: usize, count: usize, blank: Cell) {
        let count = count.min(bottom.saturating_sub(top));
        if count > 0 {
            self.rows[top..bottom].rotate_right(count);
            self.blank_rows(top, top + count, blank);
            self.mark(top, bottom);
        }
    }

    /// Moves rows `top..bottom` up by `count`; the first ones come in again below.
    pub(crate) fn rotate_up(&mut self, top: usize, bottom: usize, count: usize) {
        self.rows[top..bottom].rotate_left(count.min(bottom - top));
        self.mark(top, bottom);
    }

    /// Blanks rows `from..to`.
    pub(crate) fn blank_rows(&mut self, from: usize, to: usize, blank: Cell) {
        for y in from..to {
            self.row_mut(y).fill(blank);
        }
    }

    /// Puts row `y` into the history in exchange for the oldest line there.
    fn keep(&mut self, y: usize) {
        let lines = self.history.len();
        if lines == 0 {
            return;
        }
        core::mem::swap(&mut self.history[self.history_next], &mut self.rows[y]);
        self.history_next = (self.history_next + 1) % lines;
        self.history_length = (self.history_length + 1).min(lines);
        if self.view > 0 {
            // Who looks back keeps seeing the same lines.
            self.view = (self.view + 1).min(self.history_length);
        }
    }

    fn mark(&mut self, top: usize, bottom: usize) {
        if self.view > 0 {
            self.mark_all();
        } else {
            self.is_changed[top..bottom].fill(true);
        }
    }
}
