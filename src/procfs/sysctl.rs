//! /proc/sys: the values of sysctl(8) that programs read, and those that they may set.

use super::Device;
use super::node::{Content, Directory, FixedDirectory, Node, NodeIdentity, Write, text};
use super::system;
use crate::errno::{Errno, Result};
use crate::file::pipe;
use crate::machine::memory;
use crate::process::system_name::{self, RELEASE, VERSION, as_text};
use crate::process::table;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A value: its path below /proc/sys, what it shows, and how it is set if it can be.
struct Value {
    path: &'static str,
    show: fn() -> String,
    set: Option<fn(&str) -> Result>,
}

const fn constant(path: &'static str, show: fn() -> String) -> Value {
    Value { path, show, set: None }
}

const VALUES: &[Value] = &[
    constant("fs/file-max", || String::from("1048576")),
    constant("fs/nr_open", || String::from("1048576")),
    constant("fs/pipe-max-size", || String::from("1048576")),
    constant("fs/pipe-user-pages-hard", || String::from("0")),
    constant("fs/pipe-user-pages-soft", || pipe::USER_PAGES_SOFT.to_string()),
    constant("kernel/cap_last_cap", || String::from("40")),
    constant("kernel/core_pattern", || String::from("core")),
    Value { path: "kernel/domainname", show: || as_text(system_name::domain_name()), set: Some(set_domain_name) },
    Value { path: "kernel/hostname", show: || as_text(system_name::host_name()), set: Some(set_host_name) },
    constant("kernel/ngroups_max", || String::from("65536")),
    constant("kernel/osrelease", || String::from(RELEASE)),
    constant("kernel/ostype", || String::from("Linux")),
    constant("kernel/pid_max", || table::ID_MAX.to_string()),
    constant("kernel/random/boot_id", boot_identity),
    constant("kernel/random/entropy_avail", || String::from("256")),
    constant("kernel/random/poolsize", || String::from("256")),
    constant("kernel/random/uuid", system::uuid),
    constant("kernel/randomize_va_space", || String::from("2")),
    constant("kernel/tainted", || String::from("0")),
    constant("kernel/threads-max", || (memory::statistics().total / 8).to_string()),
    constant("kernel/version", || String::from(VERSION)),
    constant("net/core/optmem_max", || String::from("131072")),
    constant("net/core/rmem_default", || String::from("212992")),
    constant("net/core/rmem_max", || String::from("212992")),
    constant("net/core/somaxconn", || String::from("4096")),
    constant("net/core/wmem_default", || String::from("212992")),
    constant("net/core/wmem_max", || String::from("212992")),
    constant("net/unix/max_dgram_qlen", || String::from("10")),
    constant("vm/max_map_count", || String::from("65530")),
    constant("vm/overcommit_memory", || String::from("0")),
    constant("vm/swappiness", || String::from("0")),
];

fn boot_identity() -> String {
    static IDENTITY: crate::machine::sync::Once<String> = crate::machine::sync::Once::new();
    IDENTITY.call_once(system::uuid).trim_end().to_string()
}

fn set_host_name(name: &str) -> Result {
    system_name::set_host_name(name.as_bytes())
}

fn set_domain_name(name: &str) -> Result {
    system_name::set_domain_name(name.as_bytes())
}

/// Makes the directory /proc/sys.
pub(super) fn tree(device: Device) -> Arc<Node> {
    folder(device, "")
}

/// Makes the directory of all values whose paths begin with `prefix` (empty, or ending in a slash).
fn folder(device: Device, prefix: &'static str) -> Arc<Node> {
    let mut entries: Vec<(&'static str, Arc<Node>)> = Vec::new();
    for value in VALUES {
        let Some(rest) = value.path.strip_prefix(prefix) else { continue };
        match rest.split_once('/') {
            None => entries.push((rest, leaf(device, value))),
            Some((name, _)) if entries.last().is_some_and(|(last, _)| *last == name) => {}
            Some((name, _)) => {
                let length = prefix.len() + name.len() + 1;
                entries.push((name, folder(device, &value.path[..length])));
            }
        }
    }
    let content: Box<dyn Directory> = Box::new(FixedDirectory { entries });
    Node::new(NodeIdentity::of_root(device, &format!("sys/{prefix}"), 0o555), Content::Directory(content))
}

fn leaf(device: Device, value: &'static Value) -> Arc<Node> {
    let permissions = if value.set.is_some() { 0o644 } else { 0o444 };
    let write: Option<Write> = value.set.map(|set| -> Write {
        Box::new(move |bytes| set(core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim_end_matches('\n')))
    });
    let read = text(|| format!("{}\n", (value.show)().trim_end()));
    Node::new(NodeIdentity::of_root(device, value.path, permissions), Content::Text { read, write })
}
