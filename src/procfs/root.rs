//! The root of /proc: the processes' directories, and what is not about one process.

use super::node::{Content, Directory, FixedDirectory, Node, NodeIdentity, Target, text};
use super::{Device, process, sysctl, system, sysvipc};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use crate::machine::console::log;
use crate::machine::platform;
use crate::process::system_name::{RELEASE, VERSION};
use crate::process::{Thread, table};
use crate::{fs, machine};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Makes a text.
type Show = fn() -> String;

/// Texts in the root.
const TEXTS: &[(&str, Show)] = &[
    ("cmdline", system::cmdline),
    ("cpuinfo", system::cpuinfo),
    ("devices", system::devices),
    ("diskstats", String::new),
    ("filesystems", system::filesystems),
    ("interrupts", system::interrupts),
    ("loadavg", system::loadavg),
    ("locks", system::lock_list),
    ("meminfo", system::meminfo),
    ("modules", String::new),
    ("partitions", || String::from("major minor  #blocks  name\n\n")),
    ("stat", system::stat),
    ("swaps", || String::from("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")),
    ("uptime", system::uptime),
    ("version", version),
    ("vmstat", system::vmstat),
];

/// Makes the root directory of /proc.
pub(super) fn tree(device: Device) -> Arc<Node> {
    let file = |name: &str, content| Node::new(NodeIdentity::of_root(device, name, 0o444), content);
    let link =
        |name: &str, target: Target| Node::new(NodeIdentity::of_root(device, name, 0o777), Content::Link(target));
    let mut entries: Vec<(&'static str, Arc<Node>)> = TEXTS
        .iter()
        .map(|(name, make)| (*name, file(name, Content::Text { read: text(*make), write: None })))
        .collect();
    entries.push(("self", link("self", Box::new(|| Ok((caller()?.process().id().to_string().into_bytes(), None))))));
    entries.push((
        "thread-self",
        link(
            "thread-self",
            Box::new(|| {
                let thread = caller()?;
                Ok((format!("{}/task/{}", thread.process().id(), thread.id()).into_bytes(), None))
            }),
        ),
    ));
    entries.push(("mounts", link("mounts", Box::new(|| Ok((b"self/mounts".to_vec(), None))))));
    entries.push(("net", link("net", Box::new(|| Ok((b"self/net".to_vec(), None))))));
    entries.push(("sys", sysctl::tree(device)));
    entries.push(("sysvipc", sysvipc::tree(device)));
    entries.push((
        "sysrq-trigger",
        Node::new(
            NodeIdentity::of_root(device, "sysrq-trigger", 0o200),
            Content::Text { read: Box::new(|| Err(Errno::EIO)), write: Some(Box::new(system_request)) },
        ),
    ));
    let root = Root { device, fixed: FixedDirectory { entries } };
    Node::new(NodeIdentity::of_root(device, "", 0o555), Content::Directory(Box::new(root)))
}

fn caller() -> Result<Arc<Thread>> {
    Thread::try_current().ok_or(Errno::ENOENT)
}

/// /proc/version.
fn version() -> String {
    format!("Linux version {RELEASE} ({VERSION})\n")
}

/// The letters of Linux's magic system request key that have a meaning here (sysrq).
fn system_request(bytes: &[u8]) -> Result {
    match bytes.first() {
        Some(b'c') => panic!("sysrq triggered crash"),
        Some(b'b') => platform::restart(),
        Some(b'o') => platform::power_off(),
        Some(b's') => fs::namespace().mounts().iter().try_for_each(|mount| mount.volume().file_system().sync()),
        Some(b'm') => {
            let frames = machine::memory::statistics();
            log!(Info, "sysrq: {} of {} frames free", frames.free, frames.total);
            Ok(())
        }
        Some(b't') => {
            for process in table::all() {
                log!(Info, "sysrq: process {} state {}", process.id(), u8::from(process.is_stopped()));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

struct Root {
    device: Device,
    fixed: FixedDirectory,
}

impl Directory for Root {
    fn find(&self, name: &[u8]) -> Result<Arc<Node>> {
        self.fixed.find(name).or_else(|_| process::find(self.device, name))
    }

    fn names(&self) -> Vec<(Vec<u8>, FileKind)> {
        let mut names = self.fixed.names();
        names.extend(table::all().map(|process| (process.id().to_string().into_bytes(), FileKind::Directory)));
        names
    }
}
