//! /proc/PID/maps and smaps: the areas of an address space.

use crate::errno::Result;
use crate::file::{DeviceNumber, OpenFile};
use crate::vm::{AreaDescription, Label, LargePages, Mapping, Protection};
use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;

/// The column in which Linux writes the name.
const NAME_COLUMN: usize = 73;

/// /proc/PID/maps: one line an area. ENOMEM.
pub(super) fn maps(areas: &[AreaDescription]) -> Result<Vec<u8>> {
    joined(areas, line)
}

/// /proc/PID/smaps: the lines of maps, each with its sizes. ENOMEM.
pub(super) fn smaps(areas: &[AreaDescription]) -> Result<Vec<u8>> {
    joined(areas, |text, area| {
        line(text, area);
        rows(text, &[("Size", area.end - area.start), ("KernelPageSize", 4096), ("MMUPageSize", 4096)]);
        rows(text, &sizes(area));
        let _ = writeln!(text, "THPeligible:           {}\nVmFlags: {}", u8::from(area.takes_large_pages), flags(area));
    })
}

/// /proc/PID/smaps_rollup: the sizes of all areas together. ENOMEM.
pub(super) fn smaps_rollup(areas: &[AreaDescription]) -> Result<Vec<u8>> {
    let (Some(first), Some(last)) = (areas.first(), areas.last()) else { return Ok(Vec::new()) };
    let mut sum = sizes(first);
    for area in &areas[1..] {
        sum.iter_mut().zip(sizes(area)).for_each(|(row, (_, bytes))| row.1 += bytes);
    }
    let mut text = format!("{:08x}-{:08x} ---p 00000000 00:00 0", first.start, last.end);
    text.extend(core::iter::repeat_n(' ', NAME_COLUMN.saturating_sub(text.len())));
    text.push_str("[rollup]\n");
    rows(&mut text, &sum);
    Ok(text.into_bytes())
}

/// What is in memory of an area, in bytes.
fn sizes(area: &AreaDescription) -> [(&'static str, u64); 11] {
    let usage = &area.usage;
    [
        ("Rss", usage.resident),
        ("Pss", usage.proportional),
        ("Shared_Clean", usage.shared_clean),
        ("Shared_Dirty", usage.shared_dirty),
        ("Private_Clean", usage.private_clean),
        ("Private_Dirty", usage.private_dirty),
        ("Referenced", usage.referenced),
        ("Anonymous", usage.anonymous),
        ("AnonHugePages", usage.large),
        ("Swap", 0),
        ("Locked", if area.is_locked { usage.proportional } else { 0 }),
    ]
}

fn rows(text: &mut String, rows: &[(&str, u64)]) {
    for (name, bytes) in rows {
        let _ = writeln!(text, "{name}:{:>width$} kB", bytes >> 10, width = 23 - name.len());
    }
}

/// Joins the areas' texts: there may be very many, so that memory may be short.
fn joined(areas: &[AreaDescription], show: impl Fn(&mut String, &AreaDescription)) -> Result<Vec<u8>> {
    let mut all = String::new();
    for area in areas {
        // More than any area's text but for one with a very long name.
        all.try_reserve(2048)?;
        show(&mut all, area);
    }
    Ok(all.into_bytes())
}

fn flags(area: &AreaDescription) -> String {
    let mut flags = String::new();
    for (holds, name) in [
        (area.protection.contains(Protection::READ), "rd "),
        (area.protection.contains(Protection::WRITE), "wr "),
        (area.protection.contains(Protection::EXECUTE), "ex "),
        (area.is_shared, "sh "),
        (area.label == Label::Stack, "gd "),
        (area.large_pages == LargePages::Wanted, "hg "),
        (area.large_pages == LargePages::Refused, "nh "),
    ] {
        if holds {
            flags.push_str(name);
        }
    }
    flags
}

fn line(text: &mut String, area: &AreaDescription) {
    let letter = |holds: bool, letter: char| if holds { letter } else { '-' };
    let (device, inode, offset, name) = match &area.mapping {
        Mapping::File { offset, owner: Some(owner), .. } => match owner.downcast_ref::<OpenFile>() {
            Some(open) => {
                let metadata = open.file().metadata().ok();
                let device = metadata.map_or(DeviceNumber::default(), |metadata| metadata.device);
                (device, metadata.map_or(0, |metadata| metadata.inode), *offset, open.file().name())
            }
            None => (DeviceNumber::default(), 0, *offset, String::from(area.label.name())),
        },
        Mapping::File { offset, .. } => (DeviceNumber::default(), 0, *offset, String::from(area.label.name())),
        Mapping::Anonymous => (DeviceNumber::default(), 0, 0, String::from(area.label.name())),
    };
    let start = text.len();
    let _ = write!(
        text,
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
        let padding = NAME_COLUMN.saturating_sub(text.len() - start);
        text.extend(core::iter::repeat_n(' ', padding));
        text.push_str(&name);
    }
    text.push('\n');
}
