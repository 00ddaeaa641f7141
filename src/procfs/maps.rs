//! /proc/PID/maps and smaps: the areas of an address space.

use super::system::kib;
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, OpenFile};
use crate::machine::memory::PAGE_SIZE;
use crate::vm::{AreaDescription, Mapping, Protection};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// The column in which Linux writes the name.
const NAME_COLUMN: usize = 73;

/// /proc/PID/maps: one line an area. ENOMEM.
pub(super) fn maps(areas: &[AreaDescription]) -> Result<Vec<u8>> {
    joined(areas, |area| line(area) + "\n")
}

/// /proc/PID/smaps: the lines of maps, each with its sizes. ENOMEM.
pub(super) fn smaps(areas: &[AreaDescription]) -> Result<Vec<u8>> {
    joined(areas, |area| {
        let mut text = line(area) + "\n";
        let size = kib(((area.end - area.start) / PAGE_SIZE as u64) as usize);
        let resident = kib(area.resident);
        let is_private = !area.is_shared;
        let is_anonymous = matches!(area.mapping, Mapping::Anonymous);
        for (name, value) in [
            ("Size", size),
            ("KernelPageSize", 4),
            ("MMUPageSize", 4),
            ("Rss", resident),
            ("Pss", resident),
            ("Shared_Clean", 0),
            ("Shared_Dirty", if is_private { 0 } else { resident }),
            ("Private_Clean", if is_private && !is_anonymous { resident } else { 0 }),
            ("Private_Dirty", if is_private && is_anonymous { resident } else { 0 }),
            ("Referenced", resident),
            ("Anonymous", if is_anonymous { resident } else { 0 }),
            ("AnonHugePages", 0),
            ("Swap", 0),
            ("Locked", 0),
        ] {
            let _ = writeln!(text, "{:<16}{value:>8} kB", format!("{name}:"));
        }
        let _ = writeln!(text, "VmFlags: {}", flags(area));
        text
    })
}

/// Joins the areas' texts: there may be very many, so that memory may be short.
fn joined(areas: &[AreaDescription], show: impl Fn(&AreaDescription) -> String) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for area in areas {
        let text = show(area);
        all.try_reserve(text.len()).map_err(|_| Errno::ENOMEM)?;
        all.extend_from_slice(text.as_bytes());
    }
    Ok(all)
}

fn flags(area: &AreaDescription) -> String {
    let mut flags = String::new();
    for (holds, name) in [
        (area.protection.contains(Protection::READ), "rd "),
        (area.protection.contains(Protection::WRITE), "wr "),
        (area.protection.contains(Protection::EXECUTE), "ex "),
        (area.is_shared, "sh "),
        (area.label == "[stack]", "gd "),
    ] {
        if holds {
            flags.push_str(name);
        }
    }
    flags
}

fn line(area: &AreaDescription) -> String {
    let letter = |holds: bool, letter: char| if holds { letter } else { '-' };
    let (device, inode, offset, name) = match &area.mapping {
        Mapping::File { offset, owner: Some(owner), .. } => match owner.downcast_ref::<OpenFile>() {
            Some(open) => {
                let metadata = open.file().metadata().ok();
                let device = metadata.map_or(DeviceNumber::default(), |metadata| metadata.device);
                (device, metadata.map_or(0, |metadata| metadata.inode), *offset, open.file().name())
            }
            None => (DeviceNumber::default(), 0, *offset, String::from(area.label)),
        },
        Mapping::File { offset, .. } => (DeviceNumber::default(), 0, *offset, String::from(area.label)),
        Mapping::Anonymous => (DeviceNumber::default(), 0, 0, String::from(area.label)),
    };
    let mut line = format!(
        "{:08x}-{:08x} {}{}{}{} {offset:08x} {:02x}:{:02x} {inode} ",
        area.start,
        area.end,
        letter(area.protection.contains(Protection::READ), 'r'),
        letter(area.protection.contains(Protection::WRITE), 'w'),
        letter(area.protection.contains(Protection::EXECUTE), 'x'),
        if area.is_shared { 's' } else { 'p' },
        device.major,
        device.minor,
    );
    if !name.is_empty() {
        let padding = NAME_COLUMN.saturating_sub(line.len());
        line.extend(core::iter::repeat_n(' ', padding));
        line.push_str(&name);
    }
    line
}
