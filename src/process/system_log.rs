//! The reader's side of the kernel's log as syslog(2) sees it: one place where reading goes on, and one up to which the
//! log was cleared, for the whole system.

use crate::machine::console::{self, Record};
use alloc::{format, string::String, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

/// The next record for SYSLOG_ACTION_READ.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Records before this one were cleared away for SYSLOG_ACTION_READ_ALL.
static CLEARED: AtomicU64 = AtomicU64::new(0);

/// How many records are looked at together.
const BATCH: usize = 64;

/// Returns a record as dmesg(1) and /dev/kmsg's readers know it: `<6>[    1.234567] text`.
fn line(record: &Record) -> String {
    let microseconds = record.time_ns / 1000;
    let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
    format!("<{}>[{seconds:5}.{fraction:06}] {}\n", record.level as u8, record.text)
}

/// Returns the records from `sequence` on as lines.
fn lines_from(sequence: u64) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    let mut next = sequence;
    loop {
        let records = console::records(next, BATCH);
        let Some(last) = records.last() else { return lines };
        next = last.sequence + 1;
        lines.extend(records.iter().map(|record| (record.sequence, line(record))));
    }
}

/// Returns the last lines that fit into `size` bytes, of what was not cleared.
pub(crate) fn last_lines(size: usize) -> String {
    let lines = lines_from(CLEARED.load(Ordering::Relaxed));
    let mut room = size;
    let fitting = lines.iter().rev().take_while(|(_, line)| {
        let fits = line.len() <= room;
        room -= if fits { line.len() } else { 0 };
        fits
    });
    let first = lines.len() - fitting.count();
    lines[first..].iter().map(|(_, line)| line.as_str()).collect()
}

/// Forgets all records so far for `last_lines`.
pub(crate) fn clear() {
    CLEARED.store(console::next_sequence(), Ordering::Relaxed);
}

/// Takes the next lines that fit into `size` bytes; empty when there is nothing new.
pub(crate) fn take_lines(size: usize) -> String {
    let mut taken = String::new();
    for (sequence, line) in lines_from(NEXT.load(Ordering::Relaxed)) {
        if taken.len() + line.len() > size {
            break;
        }
        taken.push_str(&line);
        NEXT.store(sequence + 1, Ordering::Relaxed);
    }
    taken
}

/// Returns how many bytes `take_lines` has left.
pub(crate) fn unread() -> usize {
    lines_from(NEXT.load(Ordering::Relaxed)).iter().map(|(_, line)| line.len()).sum()
}
