//! The input half of the line discipline (termios(3)): typed bytes become lines or raw input, are echoed, edit
//! the line, or stand for a signal or for flow control. Pure: what must happen outside is returned as `Received`.

use super::output::{Output, is_continuation};
use super::settings::{Control, InputFlags, LocalFlags, Settings};
use alloc::collections::VecDeque;

/// Bytes that fit: "the maximum line length is 4096 chars (including the terminating newline)".
const CAPACITY: usize = 4096;

/// The signal that a control character stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyed {
    Interrupt,
    Quit,
    Suspend,
}

/// What a received byte asks of the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// A signal is due for the foreground process group.
    pub(crate) signal: Option<Keyed>,
    /// Output stops (`Some(true)`) or goes on.
    pub(crate) stop: Option<bool>,
}

/// The end of a line in the buffer.
#[derive(Clone, Copy)]
struct LineEnd {
    /// Position of the terminating character, counted from the terminal's first byte on.
    position: u64,
    /// The character is ^D: it ends the line without being part of it.
    is_end_of_file: bool,
}

/// Typed bytes that were not read yet.
pub(crate) struct Input {
    bytes: VecDeque<u8>,
    /// Position of the first byte in `bytes`.
    first: u64,
    /// Position after the last finished line; what follows can still be edited.
    line_start: u64,
    line_ends: VecDeque<LineEnd>,
    /// The next byte is taken literally (after ^V).
    literal_next: bool,
    /// Between the `\` and the `/` of ECHOPRT.
    is_erasing: bool,
}

impl Input {
    /// Makes an empty buffer.
    pub(crate) fn new() -> Input {
        Input {
            bytes: VecDeque::new(),
            first: 0,
            line_start: 0,
            line_ends: VecDeque::new(),
            literal_next: false,
            is_erasing: false,
        }
    }

    /// Returns whether one more byte can be received: an over-long line loses its last byte to the next one, a
    /// buffer with lines to read does not.
    pub(crate) fn has_room(&self, settings: &Settings) -> bool {
        self.bytes.len() < CAPACITY - 1 || settings.is_canonical() && self.line_ends.is_empty()
    }

    /// Returns how many bytes a read could get now (FIONREAD).
    pub(crate) fn readable(&self, settings: &Settings) -> usize {
        if settings.is_canonical() {
            let marks = self.line_ends.iter().filter(|end| end.is_end_of_file).count();
            (self.line_start - self.first) as usize - marks
        } else {
            self.bytes.len()
        }
    }

    /// Returns whether a read would get `minimum` bytes, or a line (or end of file) in canonical mode.
    pub(crate) fn is_ready(&self, settings: &Settings, minimum: usize) -> bool {
        if settings.is_canonical() { !self.line_ends.is_empty() } else { self.bytes.len() >= minimum.max(1) }
    }

    /// Throws everything away (TCIFLUSH).
    pub(crate) fn discard(&mut self) {
        self.first = self.end();
        self.line_start = self.first;
        self.bytes.clear();
        self.line_ends.clear();
        self.is_erasing = false;
    }

    /// The settings changed from `old`: when canonical mode was switched, what is there becomes one line, or raw.
    pub(crate) fn settings_changed(&mut self, old: &Settings, new: &Settings) {
        let watched = LocalFlags::ICANON | LocalFlags::EXTPROC;
        if (old.local ^ new.local).intersects(watched) {
            self.line_ends.clear();
            self.line_start = self.first;
            if new.is_canonical() && !self.bytes.is_empty() {
                self.line_ends.push_back(LineEnd { position: self.end() - 1, is_end_of_file: false });
                self.line_start = self.end();
            }
            self.literal_next = false;
            self.is_erasing = false;
        }
    }

    /// Moves bytes to `to`, in canonical mode of one line at most; returns how many, and whether the read is over
    /// (the line or the data ended).
    pub(crate) fn take(&mut self, settings: &Settings, to: &mut [u8]) -> (usize, bool) {
        if !settings.is_canonical() {
            return (self.take_bytes(to), self.bytes.is_empty());
        }

        let Some(&end) = self.line_ends.front() else { return (0, true) };
        let text = (end.position - self.first) as usize + usize::from(!end.is_end_of_file);
        let limit = to.len().min(text);
        let count = self.take_bytes(&mut to[..limit]);
        let is_over = count == text;
        if is_over {
            if end.is_end_of_file {
                self.bytes.pop_front();
                self.first += 1;
            }
            self.line_ends.pop_front();
        }
        (count, is_over)
    }

    /// Takes one typed byte. `is_stopped` says whether output is stopped now.
    pub(crate) fn receive(&mut self, settings: &Settings, out: &mut Output, byte: u8, is_stopped: bool) -> Received {
        let mut received = Received::default();
        let mut byte = byte;

        if settings.input.contains(InputFlags::ISTRIP) {
            byte &= 0x7f;
        }
        if settings.input.contains(InputFlags::IUCLC) && settings.local.contains(LocalFlags::IEXTEN) {
            byte = byte.to_ascii_lowercase();
        }
        if self.literal_next {
            self.literal_next = false;
            self.echo_and_put(settings, out, byte);
            return received;
        }
        if settings.local.contains(LocalFlags::EXTPROC) {
            self.put(byte);
            return received;
        }

        if let Some(stop) = flow_control(settings, byte) {
            received.stop = Some(stop);
            return received;
        }
        if let Some(keyed) = signal(settings, byte) {
            received.signal = Some(keyed);
            if settings.input.contains(InputFlags::IXON) {
                received.stop = Some(false);
            }
            if !settings.local.contains(LocalFlags::NOFLSH) {
                self.discard();
                out.discard();
            }
            if settings.local.contains(LocalFlags::ECHO) {
                out.echo(settings, byte);
            }
            return received;
        }
        if is_stopped && settings.input.contains(InputFlags::IXON | InputFlags::IXANY) {
            received.stop = Some(false);
        }

        if byte == b'\r' {
            if settings.input.contains(InputFlags::IGNCR) {
                return received;
            }
            if settings.input.contains(InputFlags::ICRNL) {
                byte = b'\n';
            }
        } else if byte == b'\n' && settings.input.contains(InputFlags::INLCR) {
            byte = b'\r';
        }

        if !settings.is_canonical() || !self.edit(settings, out, byte) {
            self.echo_and_put(settings, out, byte);
        }
        received
    }

    /// Handles the characters that mean something in canonical mode; returns whether `byte` was one.
    fn edit(&mut self, settings: &Settings, out: &mut Output, byte: u8) -> bool {
        let has_echo = settings.local.contains(LocalFlags::ECHO);
        let is_extended = settings.local.contains(LocalFlags::IEXTEN);

        if settings.is(Control::Erase, byte) {
            self.erase(settings, out, Erase::Character);
        } else if settings.is(Control::Kill, byte) {
            self.kill(settings, out);
        } else if is_extended && settings.is(Control::WordErase, byte) {
            self.erase(settings, out, Erase::Word);
        } else if is_extended && settings.is(Control::LiteralNext, byte) {
            self.literal_next = true;
            if has_echo {
                self.finish_erasing(settings, out);
                if settings.local.contains(LocalFlags::ECHOCTL) {
                    out.echo_raw(settings, b'^');
                    out.echo_raw(settings, b'\x08');
                }
            }
        } else if is_extended && has_echo && settings.is(Control::Reprint, byte) {
            self.finish_erasing(settings, out);
            out.echo(settings, byte);
            out.echo_raw(settings, b'\n');
            let from = (self.line_start - self.first) as usize;
            for &typed in self.bytes.range(from..) {
                out.echo(settings, typed);
            }
        } else if byte == b'\n' {
            if has_echo || settings.local.contains(LocalFlags::ECHONL) {
                out.echo_raw(settings, b'\n');
            }
            self.finish_line(byte, false);
        } else if settings.is(Control::EndOfFile, byte) {
            self.finish_line(byte, true);
        } else if settings.is(Control::EndOfLine, byte) || is_extended && settings.is(Control::EndOfLine2, byte) {
            if has_echo {
                if self.is_line_empty() {
                    out.mark_line_start();
                }
                out.echo(settings, byte);
            }
            self.finish_line(byte, false);
        } else {
            return false;
        }
        true
    }

    /// Echoes an ordinary byte and appends it.
    fn echo_and_put(&mut self, settings: &Settings, out: &mut Output, byte: u8) {
        if settings.local.contains(LocalFlags::ECHO) {
            self.finish_erasing(settings, out);
            if byte == b'\n' {
                out.echo_raw(settings, byte);
            } else {
                if self.is_line_empty() {
                    out.mark_line_start();
                }
                out.echo(settings, byte);
            }
        }
        if byte == 0xff && settings.input.contains(InputFlags::PARMRK) {
            self.put(byte);
        }
        self.put(byte);
    }

    /// Appends a byte; in a full buffer it replaces the last one.
    fn put(&mut self, byte: u8) {
        if self.bytes.len() >= CAPACITY - 1 {
            self.bytes.pop_back();
        }
        self.bytes.push_back(byte);
    }

    /// Appends the byte that ends the line and makes the line readable.
    fn finish_line(&mut self, byte: u8, is_end_of_file: bool) {
        self.bytes.push_back(byte);
        self.line_ends.push_back(LineEnd { position: self.end() - 1, is_end_of_file });
        self.line_start = self.end();
    }

    /// Takes back the whole line (^U).
    fn kill(&mut self, settings: &Settings, out: &mut Output) {
        if self.is_line_empty() {
            return;
        }
        if settings.local.contains(LocalFlags::ECHO | LocalFlags::ECHOK | LocalFlags::ECHOKE | LocalFlags::ECHOE) {
            self.erase(settings, out, Erase::Line);
            return;
        }

        self.bytes.truncate((self.line_start - self.first) as usize);
        if settings.local.contains(LocalFlags::ECHO) {
            self.finish_erasing(settings, out);
            out.echo(settings, settings.character(Control::Kill));
            if settings.local.contains(LocalFlags::ECHOK) {
                out.echo_raw(settings, b'\n');
            }
        }
    }

    /// Takes back the last character, word or all of the line, on the terminal too.
    fn erase(&mut self, settings: &Settings, out: &mut Output, what: Erase) {
        let mut has_seen_word = false;

        while let Some(length) = self.last_character_length(settings) {
            let start = self.bytes.len() - length;
            let byte = self.bytes[start];
            if what == Erase::Word {
                if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
                    has_seen_word = true;
                } else if has_seen_word {
                    break;
                }
            }

            if settings.local.contains(LocalFlags::ECHO) {
                self.show_erased(settings, out, start, what);
            }
            self.bytes.truncate(start);
            if what == Erase::Character {
                break;
            }
        }
        if self.is_line_empty() && settings.local.contains(LocalFlags::ECHO) {
            self.finish_erasing(settings, out);
        }
    }

    /// Returns the length in bytes of the line's last character, `None` if the line is empty.
    fn last_character_length(&self, settings: &Settings) -> Option<usize> {
        let line = (self.line_start - self.first) as usize;
        let tail = self.bytes.range(line..).rev().position(|&byte| !is_continuation(settings, byte))?;
        Some(tail + 1)
    }

    /// Shows on the terminal that the character at index `start`, the last one, goes away.
    fn show_erased(&mut self, settings: &Settings, out: &mut Output, start: usize, what: Erase) {
        let byte = self.bytes[start];

        if settings.local.contains(LocalFlags::ECHOPRT) {
            if !self.is_erasing {
                self.is_erasing = true;
                out.echo_raw(settings, b'\\');
            }
            out.echo(settings, byte);
            for &rest in self.bytes.range(start + 1..) {
                out.echo_raw(settings, rest);
            }
        } else if what == Erase::Character && !settings.local.contains(LocalFlags::ECHOE) {
            out.echo(settings, settings.character(Control::Erase));
        } else if byte == b'\t' {
            let (columns, after_tab) = self.columns_before(settings, start);
            out.erase_tab(columns, after_tab);
        } else {
            let has_caret = settings.local.contains(LocalFlags::ECHOCTL);
            let columns = match byte.is_ascii_control() {
                true if has_caret => 2,
                true => 0,
                false => 1,
            };
            for _ in 0..columns {
                for erasing in *b"\x08 \x08" {
                    out.echo_raw(settings, erasing);
                }
            }
        }
    }

    /// Returns the columns between index `end` and the tab before it, or the line's start; and whether it was a tab.
    fn columns_before(&self, settings: &Settings, end: usize) -> (usize, bool) {
        let line = (self.line_start - self.first) as usize;
        let mut columns = 0;

        for &byte in self.bytes.range(line..end).rev() {
            if byte == b'\t' {
                return (columns, true);
            }
            if byte.is_ascii_control() {
                columns += if settings.local.contains(LocalFlags::ECHOCTL) { 2 } else { 0 };
            } else if !is_continuation(settings, byte) {
                columns += 1;
            }
        }
        (columns, false)
    }

    /// Ends an ECHOPRT sequence.
    fn finish_erasing(&mut self, settings: &Settings, out: &mut Output) {
        if self.is_erasing {
            self.is_erasing = false;
            out.echo_raw(settings, b'/');
        }
    }

    fn take_bytes(&mut self, to: &mut [u8]) -> usize {
        let count = to.len().min(self.bytes.len());
        for (to, from) in to.iter_mut().zip(self.bytes.drain(..count)) {
            *to = from;
        }
        self.first += count as u64;
        self.line_start = self.line_start.max(self.first);
        count
    }

    fn is_line_empty(&self) -> bool {
        self.line_start == self.end()
    }

    fn end(&self) -> u64 {
        self.first + self.bytes.len() as u64
    }
}

/// How much ^H, ^W or ^U takes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

/// Returns whether `byte` stops (`true`) or starts output, if it does.
fn flow_control(settings: &Settings, byte: u8) -> Option<bool> {
    if !settings.input.contains(InputFlags::IXON) {
        return None;
    }
    if settings.is(Control::Start, byte) {
        return Some(false);
    }
    settings.is(Control::Stop, byte).then_some(true)
}

/// Returns the signal that `byte` stands for.
fn signal(settings: &Settings, byte: u8) -> Option<Keyed> {
    if !settings.local.contains(LocalFlags::ISIG) {
        return None;
    }
    [(Control::Interrupt, Keyed::Interrupt), (Control::Quit, Keyed::Quit), (Control::Suspend, Keyed::Suspend)]
        .into_iter()
        .find_map(|(control, keyed)| settings.is(control, byte).then_some(keyed))
}
