//! The screen: a terminal emulator whose cells are drawn to video memory.
//!
//! Whoever writes (`write`, or the log as a `LogSink`) changes cells; `draw` compares them with what was drawn
//! last and redraws the difference, so that many scrolled lines cost one redraw. Video memory is never read. One lock that keeps
//! interrupts off guards all; it is let go between rows and between pieces of text, so that interrupts wait a millisecond
//! at most. Nothing allocates after `start`.

/// Framebuffers.
mod pixels;

/// VGA text memory.
mod text;

use super::boot::{self, Display, VideoMemory};
use super::console::{self, LogSink, log};
use super::sync::{IrqLock, Once};
use super::task::WaitQueue;
use super::time;
use crate::rank::Rank;
use crate::util::terminal::{Cell, CursorShape, Emulator, PALETTE};
use alloc::{vec, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};
use pixels::Pixels;
use text::Text;

/// Bytes of text taken in under the lock at once.
const PIECE: usize = 64;

/// How long text waits for its drawing while more comes: a fiftieth of a second looks immediate.
const REDRAW_INTERVAL_NS: u64 = 20_000_000;

/// The screen.
pub(crate) struct Screen {
    content: IrqLock<Content>,
    /// Something changed since the last `draw` began.
    is_stale: AtomicBool,
    stale: WaitQueue,
    size: Size,
}

/// The screen's size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// In pixels; 0 on a text display.
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// What the lock guards.
struct Content {
    emulator: Emulator,
    canvas: Canvas,
    memory: VideoMemory,
    /// What each cell of the display shows, row by row.
    drawn: Vec<Look>,
    /// The cursor as drawn.
    cursor: Option<(usize, usize, CursorShape)>,
    /// The palette, and whether the screen is reversed, as drawn.
    colors: ([u32; 16], bool),
}

/// How cells become video memory.
enum Canvas {
    Pixels(Pixels),
    Text(Text),
}

/// All that decides how a cell looks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    cell: Cell,
    cursor: CursorShape,
}

/// A look that no cell has: what the display shows is not known.
const UNKNOWN: Look = Look { cell: Cell { character: '\0', ..Cell::BLANK }, cursor: CursorShape::Hidden };

static SCREEN: Once<Screen> = Once::new();

/// Takes the display, if there is one, and shows the log on it. After the heap and the video memory's mapping.
pub(super) fn start() {
    let Some((display, memory)) = boot::take_display() else { return };
    let Some(canvas) = Canvas::new(&display) else {
        log!(Warning, "the display is too small for text; it is not used");
        return;
    };
    let screen = SCREEN.call_once(|| Screen::new(canvas, memory, &display));
    let Size { columns, rows, .. } = screen.size;
    log!(Info, "screen: {columns}x{rows} characters");
    console::attach(screen);
}

/// Returns the screen, if there is one.
pub(crate) fn screen() -> Option<&'static Screen> {
    SCREEN.get()
}

impl Screen {
    fn new(canvas: Canvas, memory: VideoMemory, display: &Display) -> Screen {
        let (columns, rows) = canvas.size();
        let (width, height) = match *display {
            Display::Pixels { width, height, .. } => (width as usize, height as usize),
            Display::Text { .. } => (0, 0),
        };
        let content = Content {
            emulator: Emulator::new(columns, rows),
            drawn: vec![UNKNOWN; columns * rows],
            cursor: None,
            colors: (PALETTE, false),
            canvas,
            memory,
        };
        Screen {
            content: IrqLock::new(Rank::Screen, content),
            is_stale: AtomicBool::new(true),
            stale: WaitQueue::new(),
            size: Size { columns, rows, width, height },
        }
    }

    /// Returns the size.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Shows `bytes` as a terminal does, the drawing left to `keep_drawn`. Returns how many bytes of answers the terminal
    /// gave, in `replies`.
    pub(crate) fn write(&self, bytes: &[u8], replies: &mut [u8; 64]) -> usize {
        for piece in bytes.chunks(PIECE) {
            self.content.lock().emulator.feed(piece);
        }
        let count = self.content.lock().emulator.state_mut().take_replies(replies);
        self.note_change();
        count
    }

    /// Returns whether the cursor keys send application sequences.
    pub(crate) fn has_application_cursor_keys(&self) -> bool {
        self.content.lock().emulator.state().has_application_cursor_keys()
    }

    /// Scrolls the view back by `lines` (forward where negative).
    pub(crate) fn scroll_view(&self, lines: isize) {
        self.content.lock().emulator.state_mut().grid_mut().scroll_view(lines);
        self.note_change();
    }

    /// Shows the newest lines again.
    pub(crate) fn reset_view(&self) {
        self.scroll_view(isize::MIN);
    }

    /// Keeps the display up to date, for ever: the work of one task.
    pub(crate) fn keep_drawn(&self) -> ! {
        loop {
            self.stale.wait_until(|| self.is_stale.swap(false, Ordering::AcqRel).then_some(()));
            let start = time::monotonic_ns();
            self.draw();
            let end = time::monotonic_ns();

            // Slow displays get as much rest as work.
            let rest = REDRAW_INTERVAL_NS.max(end - start);
            let _interrupted = super::task::sleep_until(end + rest);
        }
    }

    /// Redraws what changed.
    fn draw(&self) {
        for y in 0..self.size.rows {
            self.content.lock().draw_row(y);
        }
    }

    fn note_change(&self) {
        if !self.is_stale.swap(true, Ordering::AcqRel) {
            self.stale.wake_one();
        }
    }
}

impl LogSink for Screen {
    /// Draws at once: what is logged may be the last thing that happens.
    fn show(&self, text: &str) {
        let mut content = self.content.lock();
        content.feed_text(text);
        for y in 0..self.size.rows {
            content.draw_row(y);
        }
    }

    fn show_panic(&self, text: &str) {
        let content = self.content.try_lock().or_else(|| {
            // SAFETY: during a panic nothing else runs on this CPU any more, so whoever holds the lock will not go on;
            // the report comes from one CPU alone.
            unsafe { self.content.break_open() };
            self.content.try_lock()
        });
        if let Some(mut content) = content {
            content.show_panic(text, self.size.rows);
        }
    }
}

impl Content {
    /// Feeds text whose lines end with a bare line feed.
    fn feed_text(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    self.emulator.feed(line.as_bytes());
                    self.emulator.feed(b"\r\n");
                }
                None => self.emulator.feed(line.as_bytes()),
            }
        }
    }

    fn show_panic(&mut self, text: &str, rows: usize) {
        // Ends a sequence that a program left unfinished (ECMA-48, CAN), then all else that it set up.
        self.emulator.feed(b"\x18");
        self.emulator.state_mut().settle();
        self.feed_text(text);
        for y in 0..rows {
            self.draw_row(y);
        }
    }

    /// Redraws the cells of row `y` that look different from what was drawn.
    fn draw_row(&mut self, y: usize) {
        self.find_changes();
        let state = self.emulator.state();
        if !state.grid().is_changed(y) {
            return;
        }

        let columns = state.grid().columns();
        let drawn = &mut self.drawn[y * columns..][..columns];
        let looks = state.grid().visible_row(y).iter().enumerate().map(|(x, &cell)| {
            let shape = self.cursor.filter(|&(column, row, _)| (column, row) == (x, y));
            Look { cell, cursor: shape.map_or(CursorShape::Hidden, |(_, _, shape)| shape) }
        });
        // One run from the first to the last difference: unchanged cells between are few and cheap.
        let mut first = columns;
        let mut end = 0;
        for (x, (look, old)) in looks.zip(drawn.iter_mut()).enumerate() {
            if *old != look {
                *old = look;
                first = first.min(x);
                end = x + 1;
            }
        }
        if first < end {
            let looks = &drawn[first..end];
            self.canvas.draw(&self.memory, first, y, looks, &self.colors.0, self.colors.1);
        }
        self.emulator.state_mut().grid_mut().clear_changed(y);
    }

    /// Marks the rows whose looks changed by more than their cells: the cursor moved, the colours changed.
    fn find_changes(&mut self) {
        let state = self.emulator.state_mut();
        let cursor = state.visible_cursor();
        if cursor != self.cursor {
            for (_, row, _) in [self.cursor, cursor].into_iter().flatten() {
                state.grid_mut().mark_row(row);
            }
            self.cursor = cursor;
        }

        let colors = (*state.palette(), state.is_reversed());
        if colors != self.colors {
            self.colors = colors;
            self.drawn.fill(UNKNOWN);
            state.grid_mut().mark_all();
        }
    }
}

impl Canvas {
    fn new(display: &Display) -> Option<Canvas> {
        match *display {
            Display::Pixels { .. } => Pixels::new(display).map(Canvas::Pixels),
            Display::Text { columns, rows, pitch } => Text::new(columns, rows, pitch).map(Canvas::Text),
        }
    }

    /// Returns columns and rows.
    fn size(&self) -> (usize, usize) {
        match self {
            Canvas::Pixels(pixels) => pixels.size(),
            Canvas::Text(text) => text.size(),
        }
    }

    /// Draws cells from column `x` of row `y` on.
    fn draw(
        &mut self, memory: &VideoMemory, x: usize, y: usize, looks: &[Look], palette: &[u32; 16], is_reversed: bool,
    ) {
        match self {
            Canvas::Pixels(pixels) => pixels.draw(memory, x, y, looks, palette, is_reversed),
            Canvas::Text(text) => text.draw(memory, x, y, looks, palette, is_reversed),
        }
    }
}
