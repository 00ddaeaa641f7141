//! The log: a ring of records that `dmesg` reads, copied to the attached consoles while the machine
//! boots, and the panic report.
//!
//! `log!(Level::Info, "…")` from any context. A console is attached as a `LogSink` (first the polled
//! serial port, later the screen).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

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

/// Appends one record; the function behind `log!`. Any context.
pub(crate) fn record(_level: Level, _message: fmt::Arguments<'_>) {
    todo!()
}

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

/// Returns the records from `sequence` on that the ring still holds, at most `limit`.
pub(crate) fn records(_sequence: u64, _limit: usize) -> Vec<Record> {
    todo!()
}

/// Records less urgent than this are kept but not shown on the consoles (`loglevel=`, `quiet`).
pub(crate) fn set_console_level(_level: u8) {
    todo!()
}

/// A console that shows log lines; called with interrupts off, must not log, sleep or allocate.
pub(crate) trait LogSink: Sync {
    /// Shows `text` (UTF-8, `\n` ends lines).
    fn show(&self, text: &str);
}

/// Adds a console; it is first shown what the log holds so far.
pub(crate) fn attach(_sink: &'static dyn LogSink) {
    todo!()
}
