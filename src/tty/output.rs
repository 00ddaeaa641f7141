//! The output half of the line discipline: what programs write and what is echoed becomes what the terminal
//! gets (OPOST of termios(3)), in a ring that the terminal's driver empties. Keeps track of the cursor's column,
//! which tab expansion and the erasing of tabs need.

use super::settings::{InputFlags, LocalFlags, OutputFlags, Settings};
use alloc::collections::VecDeque;

/// Bytes that the ring holds; writers sleep and echo is dropped beyond it.
pub(crate) const CAPACITY: usize = 4096;

/// The most bytes that one character becomes: a tab at the start of its column.
const LARGEST_EXPANSION: usize = 8;

const TAB_WIDTH: usize = 8;

/// Processed bytes on their way to the terminal.
pub(crate) struct Output {
    ring: VecDeque<u8>,
    column: usize,
    /// Where the line that is being typed starts.
    line_start: usize,
}

impl Output {
    /// Makes an empty ring, at column 0.
    pub(crate) fn new() -> Output {
        Output { ring: VecDeque::new(), column: 0, line_start: 0 }
    }

    /// Returns how many processed bytes wait.
    pub(crate) fn pending(&self) -> usize {
        self.ring.len()
    }

    /// Returns how many bytes fit for sure, whatever they expand to.
    pub(crate) fn has_room(&self) -> bool {
        self.ring.len() + LARGEST_EXPANSION <= CAPACITY
    }

    /// Moves as many bytes as are there and fit to `bytes`; returns how many.
    pub(crate) fn take(&mut self, bytes: &mut [u8]) -> usize {
        let count = bytes.len().min(self.ring.len());
        for (to, from) in bytes.iter_mut().zip(self.ring.drain(..count)) {
            *to = from;
        }
        count
    }

    /// Throws away what waits (TCOFLUSH).
    pub(crate) fn discard(&mut self) {
        self.ring.clear();
    }

    /// Processes what a program wrote, up to the ring's end; returns how many of `bytes` went in.
    pub(crate) fn write(&mut self, settings: &Settings, bytes: &[u8]) -> usize {
        if !settings.output.contains(OutputFlags::OPOST) {
            let count = bytes.len().min(CAPACITY - self.ring.len().min(CAPACITY));
            self.ring.extend(&bytes[..count]);
            return count;
        }

        let mut done = 0;
        while done < bytes.len() && self.has_room() {
            let plain = self.write_plain(settings, &bytes[done..]);
            done += plain;
            if plain == 0 {
                self.process(settings, bytes[done]);
                done += 1;
            }
        }
        done
    }

    /// Echoes one byte as OPOST says; dropped when the ring is full, as on Linux.
    pub(crate) fn echo_raw(&mut self, settings: &Settings, byte: u8) {
        if !self.has_room() {
            return;
        }
        if settings.output.contains(OutputFlags::OPOST) {
            self.process(settings, byte);
        } else {
            self.ring.push_back(byte);
        }
    }

    /// Echoes a typed byte: a control character as `^X` where ECHOCTL asks for it.
    pub(crate) fn echo(&mut self, settings: &Settings, byte: u8) {
        if !self.has_room() {
            return;
        }
        if settings.local.contains(LocalFlags::ECHOCTL) && byte.is_ascii_control() && byte != b'\t' {
            self.ring.extend([b'^', byte ^ 0o100]);
            self.column += 2;
        } else {
            self.echo_raw(settings, byte);
        }
    }

    /// Remembers that the line being typed starts at this column.
    pub(crate) fn mark_line_start(&mut self) {
        self.line_start = self.column;
    }

    /// Moves the cursor back over an erased tab. `columns` is what stands before it in the line; `after_tab` says
    /// that this counts from another tab and not from the line's start.
    pub(crate) fn erase_tab(&mut self, columns: usize, after_tab: bool) {
        let from = if after_tab { columns } else { columns + self.line_start };
        for _ in 0..TAB_WIDTH - from % TAB_WIDTH {
            if self.has_room() {
                self.ring.push_back(b'\x08');
                self.column = self.column.saturating_sub(1);
            }
        }
    }

    /// Takes the longest start of `bytes` that OPOST leaves alone; returns its length.
    fn write_plain(&mut self, settings: &Settings, bytes: &[u8]) -> usize {
        if settings.output.contains(OutputFlags::OLCUC) {
            return 0;
        }

        let fits = bytes.len().min(CAPACITY - self.ring.len());
        let length = bytes[..fits].iter().position(|byte| byte.is_ascii_control()).unwrap_or(fits);
        self.ring.extend(&bytes[..length]);
        self.column += bytes[..length].iter().filter(|&&byte| !is_continuation(settings, byte)).count();
        length
    }

    /// Processes one byte with OPOST on.
    fn process(&mut self, settings: &Settings, byte: u8) {
        let flags = settings.output;
        let mut byte = byte;

        match byte {
            b'\n' => {
                if flags.contains(OutputFlags::ONLRET) {
                    self.column = 0;
                }
                if flags.contains(OutputFlags::ONLCR) {
                    self.column = 0;
                    self.ring.push_back(b'\r');
                }
                self.line_start = self.column;
            }
            b'\r' => {
                if flags.contains(OutputFlags::ONOCR) && self.column == 0 {
                    return;
                }
                if flags.contains(OutputFlags::OCRNL) {
                    byte = b'\n';
                }
                if !flags.contains(OutputFlags::OCRNL) || flags.contains(OutputFlags::ONLRET) {
                    self.column = 0;
                    self.line_start = 0;
                }
            }
            b'\t' => {
                let spaces = TAB_WIDTH - self.column % TAB_WIDTH;
                self.column += spaces;
                if flags.contains(OutputFlags::XTABS) {
                    self.ring.extend(core::iter::repeat_n(b' ', spaces));
                    return;
                }
            }
            b'\x08' => self.column = self.column.saturating_sub(1),
            _ if byte.is_ascii_control() => {}
            _ => {
                if flags.contains(OutputFlags::OLCUC) {
                    byte = byte.to_ascii_uppercase();
                }
                if !is_continuation(settings, byte) {
                    self.column += 1;
                }
            }
        }
        self.ring.push_back(byte);
    }
}

/// Returns whether `byte` continues a UTF-8 character (with IUTF8 on), so that it has no column of its own.
pub(crate) fn is_continuation(settings: &Settings, byte: u8) -> bool {
    settings.input.contains(InputFlags::IUTF8) && byte & 0xc0 == 0x80
}
