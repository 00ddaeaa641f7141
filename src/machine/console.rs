//! The log: a ring of records that `dmesg` reads, copied to the attached consoles while the machine
//! boots, and the panic report.
//!
//! `log!(Info, "…")` from any context. A console is attached as a `LogSink` (first the polled
//! serial port, later the screen). Who logs shows the records too, unless somebody does already: then that
//! one shows the new ones as well, so a console is never entered twice and no lock is held meanwhile.

/// The serial port before and without its driver.
mod early_serial;

/// Formatting without memory.
mod line;

/// The panic report.
pub(crate) mod report;

/// Function names for addresses.
mod symbols;

use super::sync::{IrqLock, Once};
use crate::rank::Rank;
use crate::util::log_ring::LogRing;
use alloc::{string::String, vec::Vec};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use line::Line;
use x86_64::instructions::interrupts;

/// Bytes of the ring: a whole boot with room to spare.
const RING_SIZE: usize = 128 * 1024;

/// The most bytes of one record; longer lines are cut.
const LINE_SIZE: usize = 512;

/// The most consoles.
const MAX_SINKS: usize = 4;

/// Linux's default (`CONSOLE_LOGLEVEL_DEFAULT`): all but debug records are shown.
const DEFAULT_CONSOLE_LEVEL: u8 = 7;

/// How urgent a record is: Linux's and syslog's eight levels, 0 the most urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

/// Appends one line to the log and shows it on the consoles if its level is urgent enough.
macro_rules! log {
    ($level:ident, $($arg:tt)*) => {
        $crate::machine::console::record($crate::machine::console::Level::$level, core::format_args!($($arg)*))
    };
}
pub(crate) use log;

/// One line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Counts from 0 for the first record since start; gaps mean overwritten records.
    pub(crate) sequence: u64,
    /// Monotonic time of the record.
    pub(crate) time_ns: u64,
    pub(crate) level: Level,
    pub(crate) text: String,
}

/// A console that shows log lines; called with interrupts off, must not log, sleep or allocate.
pub(crate) trait LogSink: Sync {
    /// Shows `text` (UTF-8, `\n` ends lines).
    fn show(&self, text: &str);

    /// Shows `text` of the panic report: like `show`, but whoever holds the console's locks will never let
    /// them go.
    fn show_panic(&self, text: &str) {
        self.show(text);
    }
}

struct Log {
    ring: LogRing<RING_SIZE>,
    sinks: [Option<Sink>; MAX_SINKS],
}

#[derive(Clone, Copy)]
struct Sink {
    console: &'static dyn LogSink,
    /// The first record that it has not shown.
    next: u64,
}

static LOG: IrqLock<Log> = IrqLock::new(Rank::Log, Log { ring: LogRing::new(), sinks: [None; MAX_SINKS] });

/// Somebody shows records now.
static SHOWING: AtomicBool = AtomicBool::new(false);

static CONSOLE_LEVEL: AtomicU8 = AtomicU8::new(DEFAULT_CONSOLE_LEVEL);

/// Nanoseconds since start, once `machine::time` has handed it down.
static CLOCK: Once<fn() -> u64> = Once::new();

/// Starts the log: attaches the serial port if there is one.
pub(super) fn start() {
    if let Some(serial) = early_serial::detect() {
        attach(serial);
    }
}

/// Sets the clock for the records' times; until then they are 0.
pub(super) fn set_clock(monotonic_ns: fn() -> u64) {
    CLOCK.call_once(|| monotonic_ns);
}

/// Appends one record; the function behind `log!`. Any context.
pub(crate) fn record(level: Level, message: fmt::Arguments<'_>) {
    let mut line = Line::<LINE_SIZE>::new();
    // A line cannot fail: what does not fit is cut.
    let _ = line.write_fmt(message);
    let time_ns = CLOCK.get().map_or(0, |clock| clock());

    {
        let mut log = LOG.lock();
        for text in line.text().split('\n') {
            log.ring.push(time_ns, level as u8, text.as_bytes());
        }
    }
    show_pending();
}

/// Returns the records from `sequence` on that the ring still holds, at most `limit`.
pub(crate) fn records(sequence: u64, limit: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut next = sequence;
    while records.len() < limit {
        // Copied one by one, so that nothing is allocated under the lock.
        let mut line = Line::<LINE_SIZE>::new();
        let Some((entry_sequence, time_ns, level)) = read_record(next, &mut line) else { break };
        next = entry_sequence + 1;
        records.push(Record { sequence: entry_sequence, time_ns, level, text: String::from(line.text()) });
    }
    records
}

/// Returns the sequence number that the next record will get.
pub(crate) fn next_sequence() -> u64 {
    LOG.lock().ring.next_sequence()
}

/// Records less urgent than this are kept but not shown on the consoles (`loglevel=`, `quiet`).
pub(crate) fn set_console_level(level: u8) {
    CONSOLE_LEVEL.store(level, Ordering::Relaxed);
}

/// Adds a console; it is first shown what the log holds so far.
pub(crate) fn attach(sink: &'static dyn LogSink) {
    let free = {
        let mut log = LOG.lock();
        let free = log.sinks.iter_mut().find(|slot| slot.is_none());
        free.map(|slot| *slot = Some(Sink { console: sink, next: 0 })).is_some()
    };
    assert!(free, "more consoles than MAX_SINKS");
    show_pending();
}

/// Lets the driver of the first serial port send the log's lines there.
pub(crate) fn set_serial_driver(driver: &'static dyn LogSink) {
    early_serial::set_driver(driver);
}

/// Shows what the consoles have not shown yet, unless somebody does so already.
fn show_pending() {
    interrupts::without_interrupts(|| {
        while !SHOWING.swap(true, Ordering::Acquire) {
            while let Some((console, line)) = take_pending() {
                console.show(line.text());
            }
            SHOWING.store(false, Ordering::Release);

            // A record that came between the last look and the store has nobody else to show it.
            if !has_pending() {
                break;
            }
        }
    });
}

fn has_pending() -> bool {
    let log = LOG.lock();
    let end = log.ring.next_sequence();
    log.sinks.iter().flatten().any(|sink| sink.next < end)
}

/// Takes the next line that some console has to show.
fn take_pending() -> Option<(&'static dyn LogSink, Line<{ LINE_SIZE + 32 }>)> {
    let level = CONSOLE_LEVEL.load(Ordering::Relaxed);
    let mut guard = LOG.lock();
    let Log { ring, sinks } = &mut *guard;

    for sink in sinks.iter_mut().flatten() {
        let next = ring.entries(sink.next).find(|entry| entry.level < level);
        sink.next = next.map_or(ring.next_sequence(), |entry| entry.sequence + 1);
        if let Some(entry) = next {
            let mut line = Line::new();
            let (seconds, microseconds) = (entry.time_ns / 1_000_000_000, entry.time_ns / 1000 % 1_000_000);
            let _ = write!(line, "[{seconds:5}.{microseconds:06}] ");
            line.append_with(|bytes| ring.read_text(&entry, bytes));
            let _ = line.write_str("\n");
            return Some((sink.console, line));
        }
    }
    None
}

/// Copies the text of the first record from `sequence` on into `line`.
fn read_record(sequence: u64, line: &mut Line<LINE_SIZE>) -> Option<(u64, u64, Level)> {
    let log = LOG.lock();
    let entry = log.ring.entries(sequence).next()?;
    line.append_with(|bytes| log.ring.read_text(&entry, bytes));
    Some((entry.sequence, entry.time_ns, level_of(entry.level)))
}

fn level_of(number: u8) -> Level {
    const LEVELS: [Level; 8] = [
        Level::Emergency,
        Level::Alert,
        Level::Critical,
        Level::Error,
        Level::Warning,
        Level::Notice,
        Level::Info,
        Level::Debug,
    ];
    LEVELS[usize::from(number & 7)]
}
