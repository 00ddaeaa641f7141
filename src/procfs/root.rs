//! The root of /proc: the processes' directories, and what is not about one process.

use super::fixed::{self, FixedDirectory, Leaf};
use super::node::{Content, Directory, Node, NodeIdentity, text};
use super::{Device, process, sysctl, system, sysvipc};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use crate::machine::console::log;
use crate::machine::platform;
use crate::process::system_name::{RELEASE, VERSION};
use crate::process::{Thread, table};
use crate::{fs, machine};
use alloc::string::{String, ToString};
use alloc::{boxed::Box, format, sync::Arc, vec::Vec};

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
    ("sysvipc/msg", sysvipc::queues),
    ("sysvipc/sem", sysvipc::sets),
    ("sysvipc/shm", sysvipc::segments),
    ("uptime", system::uptime),
    ("version", version),
    ("vmstat", system::vmstat),
];

/// Makes a link's target.
type Point = fn() -> Result<String>;

const LINKS: &[(&str, Point)] = &[
    ("self", || Ok(caller()?.process().id().to_string())),
    ("thread-self", || caller().map(|thread| format!("{}/task/{}", thread.process().id(), thread.id()))),
    ("mounts", || Ok(String::from("self/mounts"))),
    ("net", || Ok(String::from("self/net"))),
];

/// Makes the root directory of /proc.
pub(super) fn tree(device: Device) -> Arc<Node> {
    let texts = TEXTS.iter().map(|(path, make)| fixed::file(device, path, text(*make), None));
    let mut leaves: Vec<Leaf> = texts.chain(sysctl::leaves(device)).collect();
    for (name, target) in LINKS {
        let content = Content::Link(Box::new(move || Ok((target()?.into_bytes(), None))));
        leaves.push(((*name).into(), Node::new(NodeIdentity::of_root(device, name, 0o777), content)));
    }
    let request = Content::Text { read: Box::new(|| Err(Errno::EIO)), write: Some(Box::new(system_request)) };
    leaves.push(("sysrq-trigger".into(), Node::new(NodeIdentity::of_root(device, "sysrq-trigger", 0o200), request)));
    let root = Root { device, fixed: FixedDirectory::new(device, "", 0o555, &leaves) };
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
