//! /proc/PID and /proc/PID/task/TID: one process' directory, and its threads'.
//!
//! Who may look where follows ptrace(2)'s rule in its usual case: the owner, or somebody with CAP_SYS_PTRACE. As on
//! Linux the texts that tell about memory belong to that rule, the rest is for all.

use super::Device;
use super::node::{Content, Directory, Node, NodeIdentity, Read, Target, Write, number_of, parse_id, text};
use super::status::{self, Subject};
use super::{maps, mounts, net};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use crate::fs::{self, Capabilities, Path};
use crate::process::{AccessMode, Process, ProgramInformation, Thread, may_access, table};
use crate::vm::AddressSpace;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// The most bytes of arguments or environment that are shown.
const STRINGS_LIMIT: u64 = 1 << 20;

/// Every entry of a process' directory; those of a thread's lack `task`.
const ENTRIES: &[(&str, FileKind, u32)] = &[
    ("auxv", FileKind::Regular, 0o400),
    ("cgroup", FileKind::Regular, 0o444),
    ("cmdline", FileKind::Regular, 0o444),
    ("comm", FileKind::Regular, 0o644),
    ("cwd", FileKind::Symlink, 0o777),
    ("environ", FileKind::Regular, 0o400),
    ("exe", FileKind::Symlink, 0o777),
    ("fd", FileKind::Directory, 0o500),
    ("fdinfo", FileKind::Directory, 0o555),
    ("limits", FileKind::Regular, 0o444),
    ("maps", FileKind::Regular, 0o444),
    ("mem", FileKind::Regular, 0o600),
    ("mountinfo", FileKind::Regular, 0o444),
    ("mounts", FileKind::Regular, 0o444),
    ("net", FileKind::Directory, 0o555),
    ("oom_score", FileKind::Regular, 0o444),
    ("oom_score_adj", FileKind::Regular, 0o644),
    ("personality", FileKind::Regular, 0o400),
    ("root", FileKind::Symlink, 0o777),
    ("smaps", FileKind::Regular, 0o444),
    ("stat", FileKind::Regular, 0o444),
    ("statm", FileKind::Regular, 0o444),
    ("status", FileKind::Regular, 0o444),
    ("task", FileKind::Directory, 0o555),
    ("wchan", FileKind::Regular, 0o444),
];

/// Makes the node of a process' directory.
pub(super) fn directory(device: Device, process: Arc<Process>) -> Arc<Node> {
    let subject = Subject { process, thread: None };
    let identity = identity(device, &subject, "", 0o555);
    Node::new(identity, Content::Directory(Box::new(ProcessDirectory { device, subject })))
}

/// Makes what stat(2) shows of a process' file: it belongs to the process' effective ids.
fn identity(device: Device, subject: &Subject, name: &str, permissions: u32) -> NodeIdentity {
    let (uid, gid) = subject.thread().map_or((0, 0), |thread| {
        let who = thread.identity();
        if subject.process.dumpable() == 1 { (who.euid, who.egid) } else { (0, 0) }
    });
    let place = subject.thread.as_ref().map_or(0, |thread| thread.id());
    let inode = number_of(format!("{}/{place}/{name}", subject.process.id()).as_bytes());
    NodeIdentity { device, inode, permissions, uid, gid }
}

struct ProcessDirectory {
    device: Device,
    subject: Subject,
}

impl ProcessDirectory {
    fn entries(&self) -> impl Iterator<Item = &'static (&'static str, FileKind, u32)> {
        let is_thread = self.subject.thread.is_some();
        ENTRIES.iter().filter(move |(name, ..)| !(is_thread && *name == "task"))
    }
}

impl Directory for ProcessDirectory {
    fn find(&self, name: &[u8]) -> Result<Arc<Node>> {
        let found = self.entries().find(|(entry, ..)| entry.as_bytes() == name);
        let (name, _, permissions) = found.ok_or(Errno::ENOENT)?;
        let identity = identity(self.device, &self.subject, name, *permissions);
        Ok(Node::new(identity, content(self.device, name, self.subject.clone())))
    }

    fn names(&self) -> Vec<(Vec<u8>, FileKind)> {
        self.entries().map(|(name, kind, _)| (name.as_bytes().to_vec(), *kind)).collect()
    }

    fn process(&self) -> Option<Arc<Process>> {
        self.subject.thread.is_none().then(|| self.subject.process.clone())
    }
}

/// Makes what lies behind an entry.
fn content(device: Device, name: &str, subject: Subject) -> Content {
    let readable = |read: Read| Content::Text { read, write: None };
    match name {
        "fd" => Content::Directory(Box::new(Descriptors { device, subject, shows_details: false })),
        "fdinfo" => Content::Directory(Box::new(Descriptors { device, subject, shows_details: true })),
        "task" => Content::Directory(Box::new(Threads { device, process: subject.process })),
        "exe" => Content::Link(link(subject, |thread| thread.process().program().executable)),
        "cwd" => Content::Link(link(subject, |thread| Some(thread.directories().1))),
        "root" => Content::Link(link(subject, |thread| Some(thread.directories().0))),
        "cmdline" => readable(of_process(subject, |process| Ok(strings(process.space(), process.program().arguments)))),
        "environ" => {
            readable(of_process(subject, |process| Ok(strings(private_space(process)?, process.program().environment))))
        }
        "auxv" => readable(of_process(subject, |process| {
            private_space(process)?;
            Ok(auxiliary(&process.program()))
        })),
        "maps" => readable(areas(subject, maps::maps)),
        "smaps" => readable(areas(subject, maps::smaps)),
        "comm" => Content::Text {
            read: text({
                let subject = subject.clone();
                move || subject.name() + "\n"
            }),
            write: Some(set_name(subject)),
        },
        "oom_score_adj" => Content::Text {
            read: text({
                let process = subject.process.clone();
                move || format!("{}\n", process.oom_score_adjustment())
            }),
            write: Some(set_oom_score_adjustment(subject)),
        },
        "cgroup" => readable(text(|| String::from("0::/\n"))),
        "limits" => readable(text(move || status::limits(&subject.process))),
        "mem" => Content::Memory(Box::new(move || private_space(&subject.process))),
        "mounts" => readable(mount_list(subject, mounts::mounts)),
        "mountinfo" => readable(mount_list(subject, mounts::mountinfo)),
        "net" => net::directory(device),
        "oom_score" => readable(text(move || status::oom_score(&subject))),
        "personality" => readable(text(move || format!("{:08x}\n", subject.process.personality()))),
        "stat" => readable(text(move || status::stat(&subject))),
        "statm" => readable(text(move || status::statm(&subject))),
        "wchan" => readable(text(|| String::from("0"))),
        _ => readable(text(move || status::status(&subject))),
    }
}

/// Returns whether the caller may look into the process.
fn may_inspect(process: &Process) -> bool {
    let Some(caller) = Thread::try_current() else { return true };
    match process.main_thread() {
        Some(thread) => may_access(&caller, &thread, AccessMode::File),
        None => caller.identity().can(Capabilities::SYS_PTRACE),
    }
}

/// Returns the process' memory for one who may look into it; `None` once there is none. EACCES.
fn private_space(process: &Process) -> Result<Option<Arc<AddressSpace>>> {
    // In this order: a space that an exec replaces after the check is the old one, which the check was about.
    let Some(space) = process.space() else { return Ok(None) };
    if may_inspect(process) { Ok(Some(space)) } else { Err(Errno::EACCES) }
}

fn of_process(subject: Subject, read: fn(&Process) -> Result<Vec<u8>>) -> Read {
    Box::new(move || read(&subject.process))
}

fn areas(subject: Subject, show: fn(&[crate::vm::AreaDescription]) -> String) -> Read {
    Box::new(move || {
        let space = private_space(&subject.process)?;
        Ok(space.map(|space| show(&space.areas())).unwrap_or_default().into_bytes())
    })
}

fn mount_list(subject: Subject, show: fn(&Path) -> String) -> Read {
    text(move || subject.thread().map(|thread| show(&thread.directories().0)).unwrap_or_default())
}

/// Reads argv's or envp's strings from the process' memory.
fn strings(space: Option<Arc<AddressSpace>>, range: core::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start).min(STRINGS_LIMIT) as usize];
    let count = space.map_or(0, |space| space.read_remote(range.start, &mut bytes));
    bytes.truncate(count);
    bytes
}

fn auxiliary(program: &ProgramInformation) -> Vec<u8> {
    program.auxiliary.iter().flat_map(|(kind, value)| [kind.to_le_bytes(), value.to_le_bytes()].concat()).collect()
}

/// A magic link to a place of the file tree; EACCES for those who may not look.
fn link(subject: Subject, find: fn(&Thread) -> Option<Path>) -> Target {
    Box::new(move || {
        if !may_inspect(&subject.process) {
            return Err(Errno::EACCES);
        }
        let thread = subject.thread().ok_or(Errno::ENOENT)?;
        let path = find(&thread).ok_or(Errno::ENOENT)?;
        let root = Thread::try_current().map_or_else(|| path.clone(), |caller| caller.directories().0);
        Ok((path.name(&root), Some(path)))
    })
}

fn set_name(subject: Subject) -> Write {
    Box::new(move |bytes| {
        let Some(thread) = subject.thread() else { return Err(Errno::ESRCH) };
        if Thread::try_current().is_some_and(|caller| caller.process().id() != subject.process.id()) {
            return Err(Errno::EINVAL);
        }
        thread.set_name(bytes.strip_suffix(b"\n").unwrap_or(bytes));
        Ok(())
    })
}

fn set_oom_score_adjustment(subject: Subject) -> Write {
    Box::new(move |bytes| {
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let value: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
        if !(-1000..=1000).contains(&value) {
            return Err(Errno::EINVAL);
        }
        let may_lower = Thread::try_current().is_none_or(|caller| caller.identity().can(Capabilities::SYS_RESOURCE));
        if value < subject.process.oom_score_adjustment() && !may_lower {
            return Err(Errno::EACCES);
        }
        subject.process.set_oom_score_adjustment(value);
        Ok(())
    })
}

/// /proc/PID/task.
struct Threads {
    device: Device,
    process: Arc<Process>,
}

impl Directory for Threads {
    fn find(&self, name: &[u8]) -> Result<Arc<Node>> {
        let id = parse_id(name).ok_or(Errno::ENOENT)?;
        let thread = self.process.threads().into_iter().find(|thread| thread.id() == id).ok_or(Errno::ENOENT)?;
        let subject = Subject { process: self.process.clone(), thread: Some(thread) };
        let identity = identity(self.device, &subject, "", 0o555);
        Ok(Node::new(identity, Content::Directory(Box::new(ProcessDirectory { device: self.device, subject }))))
    }

    fn names(&self) -> Vec<(Vec<u8>, FileKind)> {
        let threads = self.process.threads();
        threads.iter().map(|thread| (thread.id().to_string().into_bytes(), FileKind::Directory)).collect()
    }
}

/// /proc/PID/fd (links) and fdinfo (texts).
struct Descriptors {
    device: Device,
    subject: Subject,
    shows_details: bool,
}

impl Directory for Descriptors {
    fn find(&self, name: &[u8]) -> Result<Arc<Node>> {
        if !may_inspect(&self.subject.process) {
            return Err(Errno::EACCES);
        }
        let fd = parse_id(name).ok_or(Errno::ENOENT)?;
        let files = self.subject.thread().ok_or(Errno::ENOENT)?.files();
        let open = files.get(fd).map_err(|_| Errno::ENOENT)?;
        if self.shows_details {
            let identity = identity(self.device, &self.subject, &format!("fdinfo/{fd}"), 0o400);
            let position = open.position();
            let flags = open.flags().bits() | (u32::from(files.is_close_on_exec(fd)?) * 0o2000000);
            let details =
                format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t0\nino:\t0\n{}", open.file().details());
            return Ok(Node::new(identity, Content::Text { read: text(move || details.clone()), write: None }));
        }
        let permissions = (u32::from(open.is_readable()) * 0o500) | (u32::from(open.is_writable()) * 0o300);
        let identity = identity(self.device, &self.subject, &format!("fd/{fd}"), permissions);
        let target: Target = Box::new(move || {
            let Some(path) = fs::path_of(&open) else {
                return Ok((open.file().name().into_bytes(), Some(fs::path_to(&open))));
            };
            let root = Thread::try_current().map_or_else(|| path.clone(), |caller| caller.directories().0);
            Ok((path.name(&root), Some(path)))
        });
        Ok(Node::new(identity, Content::Link(target)))
    }

    fn names(&self) -> Vec<(Vec<u8>, FileKind)> {
        let Some(thread) = self.subject.thread().filter(|_| may_inspect(&self.subject.process)) else {
            return Vec::new();
        };
        let kind = if self.shows_details { FileKind::Regular } else { FileKind::Symlink };
        let descriptors = thread.files().descriptors();
        descriptors.iter().map(|(fd, _)| (fd.to_string().into_bytes(), kind)).collect()
    }
}

/// Finds the process whose directory `name` is: a process, or (not listed, as on Linux) any thread.
pub(super) fn find(device: Device, name: &[u8]) -> Result<Arc<Node>> {
    let id = parse_id(name).ok_or(Errno::ENOENT)?;
    let process = table::find(id).or_else(|| table::find_thread(id).map(|thread| thread.process().clone()));
    Ok(directory(device, process.ok_or(Errno::ENOENT)?))
}
