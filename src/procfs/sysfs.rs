//! /sys: the few values that programs read (`../proc` has the rest). What Stele has not is absent, which programs take
//! as "not there".

use super::Device;
use super::node::{Content, Directory, FixedDirectory, Node, NodeIdentity, Write, text};
use super::status::{mask, ranges};
use crate::errno::{Errno, Result};
use crate::machine::memory::LARGE_PAGE_SIZE;
use crate::machine::sync::Once;
use crate::machine::{cpu, platform};
use crate::tty;
use crate::vm::large_pages;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Makes a value's text.
type Show = fn() -> String;

/// What the administrator chooses at run time: when programs get large pages.
const LARGE_PAGES: &str = "kernel/mm/transparent_hugepage/enabled";

/// Every value, by its path below /sys, in order.
const VALUES: &[(&str, Show)] = &[
    ("class/tty/console/active", || String::from(tty::active_consoles())),
    ("devices/system/clocksource/clocksource0/available_clocksource", || String::from("tsc")),
    ("devices/system/clocksource/clocksource0/current_clocksource", || String::from("tsc")),
    ("devices/system/cpu/kernel_max", || format!("{}", cpu::MAX_CPUS - 1)),
    ("devices/system/cpu/online", all_cpus),
    ("devices/system/cpu/possible", all_cpus),
    ("devices/system/cpu/present", all_cpus),
    (LARGE_PAGES, large_pages),
    ("kernel/mm/transparent_hugepage/hpage_pmd_size", || format!("{LARGE_PAGE_SIZE}")),
];

/// Where the CPUs are.
const CPUS: &str = "devices/system/cpu/";

/// Directories that stay empty, for programs that only look.
const EMPTY: &[&str] = &["block", "bus", "class/block", "class/net", "fs", "module", "power"];

/// Shows the choices, most first, the present one in brackets.
fn large_pages() -> String {
    let present = large_pages::CHOICE.get();
    let show = |(value, name): (usize, &&str)| if value == present { format!("[{name}]") } else { String::from(*name) };
    large_pages::CHOICES.iter().enumerate().rev().map(show).collect::<Vec<_>>().join(" ")
}

fn choose_large_pages(bytes: &[u8]) -> Result {
    let value = large_pages::CHOICES.iter().position(|name| name.as_bytes() == bytes.trim_ascii_end());
    let is_set = value.is_some_and(|value| large_pages::CHOICE.set(value));
    if is_set { Ok(()) } else { Err(Errno::EINVAL) }
}

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
                let write = (path == LARGE_PAGES).then(|| -> Write { Box::new(choose_large_pages) });
                let permissions = if write.is_some() { 0o644 } else { 0o444 };
                Node::new(NodeIdentity::of_root(device, path, permissions), Content::Text { read, write })
            }
            None if rest == name => empty_folder(device, path),
            None => folder(device, &path[..prefix.len() + name.len() + 1]),
        };
        entries.push((name, node));
    }
    if prefix == CPUS {
        entries.extend(cpu_names().iter().enumerate().map(|(cpu, name)| (name.as_str(), cpu_folder(device, cpu))));
    }
    directory(device, prefix, Box::new(FixedDirectory { entries }))
}

/// Returns the names of the folders that stand for the CPUs.
fn cpu_names() -> &'static [String] {
    static NAMES: Once<Vec<String>> = Once::new();
    NAMES.call_once(|| (0..cpu::count()).map(|cpu| format!("cpu{cpu}")).collect())
}

/// Makes the folder of one CPU. Each list of CPUs goes by an old and a new name (Documentation/admin-guide/cputopology).
fn cpu_folder(device: Device, cpu: usize) -> Arc<Node> {
    let place = platform::place(cpu);
    let file = |(name, value): (&'static str, String)| {
        let identity = NodeIdentity::of_root(device, &format!("{CPUS}{cpu}/{name}"), 0o444);
        let read = text(move || value.clone() + "\n");
        (name, Node::new(identity, Content::Text { read, write: None }))
    };
    let entries = [
        ("core_cpus", mask(place.core_cpus)),
        ("core_cpus_list", ranges(place.core_cpus)),
        ("core_id", format!("{}", place.core)),
        ("core_siblings", mask(place.package_cpus)),
        ("core_siblings_list", ranges(place.package_cpus)),
        ("package_cpus", mask(place.package_cpus)),
        ("package_cpus_list", ranges(place.package_cpus)),
        ("physical_package_id", format!("{}", place.package)),
        ("thread_siblings", mask(place.core_cpus)),
        ("thread_siblings_list", ranges(place.core_cpus)),
    ];
    let entries = entries.into_iter().map(file).collect();
    let topology = directory(device, &format!("{CPUS}{cpu}/topology"), Box::new(FixedDirectory { entries }));
    let entries = Vec::from([("topology", topology)]);
    directory(device, &format!("{CPUS}{cpu}"), Box::new(FixedDirectory { entries }))
}

fn empty_folder(device: Device, path: &'static str) -> Arc<Node> {
    directory(device, path, Box::new(FixedDirectory { entries: Vec::new() }))
}

fn directory(device: Device, path: &str, content: Box<dyn Directory>) -> Arc<Node> {
    Node::new(NodeIdentity::of_root(device, path, 0o755), Content::Directory(content))
}
