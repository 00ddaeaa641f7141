//! /sys: the few values that programs read (`../proc` has the rest). What Stele has not is absent, which programs take
//! as "not there".

use super::Device;
use super::fixed::{self, Leaf};
use super::node::{Node, Write, text};
use super::status::{mask, ranges};
use crate::errno::{Errno, Result};
use crate::machine::memory::LARGE_PAGE_SIZE;
use crate::machine::{cpu, platform};
use crate::tty;
use crate::vm::large_pages;
use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

/// Makes a value's text.
type Show = fn() -> String;

/// What the administrator chooses at run time: when programs get large pages.
const LARGE_PAGES: &str = "kernel/mm/transparent_hugepage/enabled";

/// Every value, by its path below /sys.
const VALUES: &[(&str, Show)] = &[
    ("class/tty/console/active", || String::from(tty::active_consoles())),
    ("devices/system/clocksource/clocksource0/available_clocksource", || String::from("tsc")),
    ("devices/system/clocksource/clocksource0/current_clocksource", || String::from("tsc")),
    ("devices/system/cpu/kernel_max", || format!("{}", cpu::MAX_CPUS - 1)),
    ("devices/system/cpu/online", all_cpus),
    ("devices/system/cpu/possible", all_cpus),
    ("devices/system/cpu/present", all_cpus),
    ("kernel/mm/transparent_hugepage/hpage_pmd_size", || format!("{LARGE_PAGE_SIZE}")),
];

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

/// Makes the whole tree.
pub(super) fn tree(device: Device) -> Arc<Node> {
    let file = |path: &str, show: Box<dyn Fn() -> String + Send + Sync>| {
        fixed::file(device, path, text(move || show() + "\n"), None)
    };
    let mut leaves: Vec<Leaf> = VALUES.iter().map(|(path, show)| file(path, Box::new(*show))).collect();
    let write: Write = Box::new(choose_large_pages);
    leaves.push(fixed::file(device, LARGE_PAGES, text(|| large_pages() + "\n"), Some(write)));
    leaves.extend(EMPTY.iter().map(|path| (String::from(*path), fixed::directory(device, path, 0o755, &[]))));
    for cpu in 0..cpu::count() {
        let place = platform::place(cpu);
        for (name, value) in [
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
        ] {
            let path = format!("devices/system/cpu/cpu{cpu}/topology/{name}");
            leaves.push(file(&path, Box::new(move || value.clone())));
        }
    }
    fixed::directory(device, "", 0o755, &leaves)
}
