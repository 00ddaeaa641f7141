//! The memory devices: null, zero, full, random, urandom (mem(4), random(4)) and kmsg, the kernel log as records
//! (Documentation/ABI/testing/dev-kmsg).

use super::devices::{self, DeviceOpener, Node};
use super::{Identity, now};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, Events, File, FileKind, Metadata, Observer, StatusFlags, anonymous};
use crate::machine::console::{self, Level};
use crate::machine::random;
use crate::machine::task;
use crate::machine::time::monotonic_ns;
use crate::vm::{Destination, PageCache, Source};
use alloc::{string::String, sync::Arc};

/// The major number of all memory devices.
const MAJOR: u32 = 1;

/// The longest line that /dev/kmsg takes (Linux's LOG_LINE_MAX).
const LINE_LIMIT: usize = 992;

/// How often a sleeping reader of /dev/kmsg looks for new records: the log itself wakes nobody, it is written to from
/// any context.
const LOG_INTERVAL_NS: u64 = 100_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Null,
    Zero,
    Full,
    Random,
    Log,
}

/// Registers the devices.
pub(super) fn register() {
    let devices = [
        (3, "null", 0o666, Device::Null),
        (5, "zero", 0o666, Device::Zero),
        (7, "full", 0o666, Device::Full),
        (8, "random", 0o666, Device::Random),
        (9, "urandom", 0o666, Device::Random),
        (11, "kmsg", 0o644, Device::Log),
    ];
    for (minor, name, permissions, device) in devices {
        let number = DeviceNumber { major: MAJOR, minor };
        let node = Node { name, permissions, gid: 0 };
        devices::register(number, FileKind::CharacterDevice, Arc::new(device), Some(node));
    }
}

impl DeviceOpener for Device {
    fn open(&self, number: DeviceNumber, _flags: StatusFlags, _identity: &Identity) -> Result<Arc<dyn File>> {
        Ok(Arc::new(MemoryFile { device: *self, number }))
    }
}

struct MemoryFile {
    device: Device,
    number: DeviceNumber,
}

impl File for MemoryFile {
    fn read(&self, to: &mut Destination<'_>, position: &mut u64, flags: StatusFlags) -> Result<usize> {
        match self.device {
            Device::Null => Ok(0),
            Device::Zero | Device::Full => put_pieces(to, |to, length| to.put_zeros(length)),
            Device::Random => put_random(to),
            Device::Log => read_record(to, position, flags),
        }
    }

    fn write(&self, from: &mut Source<'_>, _position: &mut u64, _flags: StatusFlags) -> Result<usize> {
        match self.device {
            Device::Full => Err(Errno::ENOSPC),
            Device::Log => write_record(from),
            Device::Null | Device::Zero | Device::Random => Ok(from.remaining()),
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    /// /dev/kmsg's position is the number of a record.
    fn ignores_seek(&self) -> bool {
        !matches!(self.device, Device::Log)
    }

    fn size(&self) -> u64 {
        match self.device {
            Device::Log => next_record(),
            _ => 0,
        }
    }

    fn poll(&self, interest: Events, _observer: Option<&Arc<dyn Observer>>) -> Events {
        interest & (Events::READ | Events::WRITE | Events::READ_NORMAL | Events::WRITE_NORMAL)
    }

    fn metadata(&self) -> Result<Metadata> {
        let time = now();
        let metadata = anonymous::metadata();
        Ok(Metadata {
            kind: FileKind::CharacterDevice,
            represents: self.number,
            accessed: time,
            modified: time,
            changed: time,
            ..metadata
        })
    }

    fn page_cache(&self) -> Result<Arc<PageCache>> {
        match self.device {
            // Each mapping of /dev/zero is fresh zero memory.
            Device::Zero => Ok(PageCache::new(i64::MAX as u64, None)),
            _ => Err(Errno::ENODEV),
        }
    }

    fn name(&self) -> String {
        let name = match (self.device, self.number.minor) {
            (Device::Random, 9) => "urandom",
            (Device::Random, _) => "random",
            (Device::Null, _) => "null",
            (Device::Zero, _) => "zero",
            (Device::Full, _) => "full",
            (Device::Log, _) => "kmsg",
        };
        alloc::format!("/dev/{name}")
    }
}

/// Fills the whole destination piece by piece; other tasks get their turn, and a signal ends it.
fn put_pieces(
    to: &mut Destination<'_>, mut put: impl FnMut(&mut Destination<'_>, usize) -> Result<usize>,
) -> Result<usize> {
    let mut done = 0;
    loop {
        match put(to, to.remaining().min(4096)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        if to.remaining() == 0 {
            break;
        }
        task::reschedule_point();
        if task::current().is_interrupted() {
            break;
        }
    }
    Ok(done)
}

#[inline(never)]
fn put_random(to: &mut Destination<'_>) -> Result<usize> {
    let mut piece = [0; 256];
    put_pieces(to, |to, length| {
        let piece = &mut piece[..length.min(256)];
        random::fill(piece);
        to.put(piece)
    })
}

/// Returns the number that the next record will have.
fn next_record() -> u64 {
    let mut next = 0;
    loop {
        let records = console::records(next, 256);
        match records.last() {
            Some(last) => next = last.sequence + 1,
            None => return next,
        }
    }
}

/// Reads one record as `priority,number,microseconds,-;text` and a newline; waits for one if there is none.
#[cold]
fn read_record(to: &mut Destination<'_>, position: &mut u64, flags: StatusFlags) -> Result<usize> {
    let record = loop {
        if let Some(record) = console::records(*position, 1).into_iter().next() {
            break record;
        }
        Errno::EAGAIN.when(flags.contains(StatusFlags::NON_BLOCKING))?;
        task::sleep_until(monotonic_ns() + LOG_INTERVAL_NS)?;
    };
    if *position != 0 && record.sequence > *position {
        // "EPIPE: the next record was overwritten"; the following read goes on with the oldest there is.
        *position = record.sequence;
        return Err(Errno::EPIPE);
    }
    let mut line = alloc::format!("{},{},{},-;", record.level as u8, record.sequence, record.time_ns / 1000);
    for character in record.text.trim_end().chars() {
        if character < ' ' || character == '\\' || character == '\x7f' {
            line.push_str(&alloc::format!("\\x{:02x}", character as u32));
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    Errno::EINVAL.when(to.remaining() < line.len())?;
    let count = to.put(line.as_bytes())?;
    *position = record.sequence + 1;
    Ok(count)
}

/// Writes one record; a leading `<N>` gives its priority.
#[cold]
fn write_record(from: &mut Source<'_>) -> Result<usize> {
    let length = from.remaining();
    Errno::EINVAL.when(length > LINE_LIMIT)?;
    let mut bytes = alloc::vec![0; length];
    let taken = from.take(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes[..taken]).into_owned();
    let (level, text) = match text.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((number, rest)) => match number.parse::<u32>() {
            Ok(number) => (level(number & 7), rest),
            Err(_) => (Level::Warning, text.as_str()),
        },
        None => (Level::Warning, text.as_str()),
    };
    console::record(level, format_args!("{}", text.trim_end_matches('\n')));
    Ok(length)
}

fn level(number: u32) -> Level {
    match number {
        0 => Level::Emergency,
        1 => Level::Alert,
        2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warning,
        5 => Level::Notice,
        6 => Level::Info,
        _ => Level::Debug,
    }
}
