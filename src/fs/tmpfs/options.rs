//! Mount options of tmpfs(5): size, nr_blocks, nr_inodes, mode, uid, gid.

use crate::errno::{Errno, Result};
use crate::machine::memory::{PAGE_SIZE, total_pages};
use alloc::string::String;
use core::fmt::Write;

/// Mount options; `None` is the default, half of the memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// 0: no limit.
    pub(crate) size_pages: Option<u64>,
    /// 0: no limit.
    pub(crate) inodes: Option<u64>,
    pub(crate) permissions: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { size_pages: None, inodes: None, permissions: 0o1777, uid: 0, gid: 0 }
    }
}

impl Options {
    /// Reads `name=value` words separated by commas. EINVAL for unknown names and bad values.
    pub(crate) fn parse(text: &[u8]) -> Result<Options> {
        let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        let mut options = Options::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "size" => options.size_pages = Some(size(value)?.div_ceil(PAGE_SIZE as u64)),
                "nr_blocks" => options.size_pages = Some(number(value)?),
                "nr_inodes" => options.inodes = Some(number(value)?),
                "mode" => {
                    let mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)?;
                    options.permissions = mode & 0o7777;
                }
                "uid" => options.uid = value.parse().map_err(|_| Errno::EINVAL)?,
                "gid" => options.gid = value.parse().map_err(|_| Errno::EINVAL)?,
                // Which memory node and whether huge pages are used is advice; there is one node and small pages.
                "mpol" | "huge" | "inode32" | "inode64" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }

    /// Returns the options that are not the default, as /proc/mounts shows them.
    pub(super) fn show(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: core::fmt::Arguments<'_>| {
            if !text.is_empty() {
                text.push(',');
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}={value}");
        };
        if let Some(pages) = self.size_pages {
            add("size", format_args!("{}k", pages * PAGE_SIZE as u64 / 1024));
        }
        if let Some(inodes) = self.inodes {
            add("nr_inodes", format_args!("{inodes}"));
        }
        if self.permissions != 0o1777 {
            add("mode", format_args!("{:o}", self.permissions));
        }
        if self.uid != 0 {
            add("uid", format_args!("{}", self.uid));
        }
        if self.gid != 0 {
            add("gid", format_args!("{}", self.gid));
        }
        text
    }
}

/// Reads a size in bytes with a suffix `k`, `m`, `g` or `t`, or as `%` of the memory.
fn size(value: &str) -> Result<u64> {
    if let Some(percent) = value.strip_suffix('%') {
        let percent: u64 = percent.parse().map_err(|_| Errno::EINVAL)?;
        return Ok(total_pages() as u64 * PAGE_SIZE as u64 / 100 * percent);
    }
    number(value)
}

fn number(value: &str) -> Result<u64> {
    let (digits, shift) = match value.as_bytes().last() {
        Some(b'k' | b'K') => (&value[..value.len() - 1], 10),
        Some(b'm' | b'M') => (&value[..value.len() - 1], 20),
        Some(b'g' | b'G') => (&value[..value.len() - 1], 30),
        Some(b't' | b'T') => (&value[..value.len() - 1], 40),
        _ => (value, 0),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    number.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}
