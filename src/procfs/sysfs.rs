//! /sys: the few values that programs read (`../proc` has the rest). What Stele has not is absent, which programs take
//! as "not there".

use super::Device;
use super::node::{Content, Directory, FixedDirectory, Node, NodeIdentity, text};
use super::status::ranges;
use crate::machine::cpu;
use crate::tty;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Makes a value's text.
type Show = fn() -> String;

/// Every value, by its path below /sys, in order.
const VALUES: &[(&str, Show)] = &[
    ("class/tty/console/active", || String::from(tty::active_consoles())),
    ("devices/system/clocksource/clocksource0/available_clocksource", || String::from("tsc")),
    ("devices/system/clocksource/clocksource0/current_clocksource", || String::from("tsc")),
    ("devices/system/cpu/kernel_max", || format!("{}", cpu::MAX_CPUS - 1)),
    ("devices/system/cpu/online", all_cpus),
    ("devices/system/cpu/possible", all_cpus),
    ("devices/system/cpu/present", all_cpus),
    ("kernel/mm/transparent_hugepage/enabled", || String::from("always madvise [never]")),
];

/// Directories that stay empty, for programs that only look.
const EMPTY: &[&str] = &["block", "bus", "class/block", "class/net", "fs", "module", "power"];

fn all_cpus() -> String {
    ranges(cpu::online())
}

/// Makes the root directory of /sys.
pub(super) fn tree(device: Device) -> Arc<Node> {
    folder(device, "")
}

/// Makes the directory of everything whose path begins with `prefix` (empty, or ending in a slash).
fn folder(device: Device, prefix: &'static str) -> Arc<Node> {
    let mut entries: Vec<(&'static str, Arc<Node>)> = Vec::new();
    let values = VALUES.iter().map(|(path, show)| (*path, Some(*show)));
    for (path, show) in values.chain(EMPTY.iter().map(|path| (*path, None))) {
        let Some(rest) = path.strip_prefix(prefix).filter(|rest| !rest.is_empty()) else { continue };
        let name = rest.split_once('/').map_or(rest, |(name, _)| name);
        if entries.iter().any(|(entry, _)| *entry == name) {
            continue;
        }
        let node = match show.filter(|_| rest == name) {
            Some(show) => {
                let read = text(move || show() + "\n");
                Node::new(NodeIdentity::of_root(device, path, 0o444), Content::Text { read, write: None })
            }
            None if rest == name => empty_folder(device, path),
            None => folder(device, &path[..prefix.len() + name.len() + 1]),
        };
        entries.push((name, node));
    }
    directory(device, prefix, Box::new(FixedDirectory { entries }))
}

fn empty_folder(device: Device, path: &'static str) -> Arc<Node> {
    directory(device, path, Box::new(FixedDirectory { entries: Vec::new() }))
}

fn directory(device: Device, path: &str, content: Box<dyn Directory>) -> Arc<Node> {
    Node::new(NodeIdentity::of_root(device, path, 0o755), Content::Directory(content))
}
