//! /proc/PID/mounts and mountinfo: what is mounted, as seen from a process' root directory.

use crate::fs::{self, Mount, MountFlags, Path};
use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};
use core::fmt::Write;

/// /proc/PID/mounts: the six fields of fstab(5), one line a mount.
pub(super) fn mounts(root: &Path) -> String {
    let mut text = String::new();
    for mount in fs::namespace().mounts() {
        let Some(point) = point(&mount, root) else { continue };
        let options = options(mount.flags(), &mount.volume().file_system().options());
        let kind = mount.volume().file_system().name();
        let _ = writeln!(text, "{} {} {kind} {options} 0 0", escaped(mount.source()), escaped(&point));
    }
    text
}

/// /proc/PID/mountinfo: the tree of mounts (proc(5)).
pub(super) fn mountinfo(root: &Path) -> String {
    let mut text = String::new();
    for mount in fs::namespace().mounts() {
        let Some(point) = point(&mount, root) else { continue };
        let parent = mount.point().map_or(mount.id(), |point| point.mount().id());
        let file_system = mount.volume().file_system();
        let device = file_system.root().metadata().device;
        let shown = if Arc::ptr_eq(mount.root(), mount.volume().root()) {
            String::from("/")
        } else {
            format!("/{}", escaped(&mount.root().name()))
        };
        let _ = writeln!(
            text,
            "{} {parent} {}:{} {shown} {} {} - {} {} {}",
            mount.id(),
            device.major,
            device.minor,
            escaped(&point),
            options(mount.flags(), ""),
            file_system.name(),
            escaped(mount.source()),
            options(mount.flags() & MountFlags::READ_ONLY, &file_system.options()),
        );
    }
    text
}

/// Returns how many pages the files of all file systems in memory hold.
pub(super) fn pages_in_files() -> usize {
    // A file system may be mounted at several places, but counts once.
    let mut used = BTreeMap::new();
    for mount in fs::namespace().mounts() {
        let figures = mount.volume().file_system().statistics();
        used.insert(Arc::as_ptr(mount.volume()).addr(), figures.blocks.saturating_sub(figures.blocks_free));
    }
    used.values().sum::<u64>() as usize
}

/// Returns the mount point's name; `None` for what cannot be seen from `root`.
fn point(mount: &Arc<Mount>, root: &Path) -> Option<Vec<u8>> {
    let name = mount.root_path().full_name(root);
    name.is_reachable.then_some(name.bytes)
}

fn options(flags: MountFlags, own: &str) -> String {
    let mut text = String::from(if flags.contains(MountFlags::READ_ONLY) { "ro" } else { "rw" });
    for (flag, word) in [
        (MountFlags::NO_SET_ID, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXECUTE, ",noexec"),
        (MountFlags::NO_ACCESS_TIMES, ",noatime"),
        (MountFlags::NO_DIRECTORY_ACCESS_TIMES, ",nodiratime"),
        (MountFlags::RELATIVE_ACCESS_TIMES, ",relatime"),
    ] {
        if flags.contains(flag) {
            text.push_str(word);
        }
    }
    if !own.is_empty() {
        text.push(',');
        text.push_str(own);
    }
    text
}

/// Writes space, tab, newline and backslash as octal, as the fields are separated by space.
fn escaped(name: &[u8]) -> String {
    let mut text = String::new();
    for part in name.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                ' ' | '\t' | '\n' | '\\' => {
                    let _ = write!(text, "\\{:03o}", u32::from(letter));
                }
                _ => text.push(letter),
            }
        }
    }
    text
}
