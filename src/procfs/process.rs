//! /proc/PID and /proc/PID/task/TID: one process' directory, and its threads'.
//!
//! Who may look where follows ptrace(2)'s rule in its usual case: the owner, or somebody with CAP_SYS_PTRACE. As on
//! Linux the texts that tell about memory belong to that rule, the rest is for all.

use super::Device;
use super::fixed::FixedDirectory;
use super::node::{Content, Directory, Node, NodeIdentity, Target, Write, number_of, parse_id, text};
use super::status::{self, Subject};
use super::{fixed, maps, mounts};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use crate::fs::{self, Capabilities, Path};
use crate::process::{AccessMode, Process, Thread, may_access, table};
use crate::vm::AddressSpace;
use alloc::string::{String, ToString};
use alloc::{boxed::Box, format, sync::Arc, vec, vec::Vec};

/// The most bytes of arguments or environment that are shown.
const STRINGS_LIMIT: u64 = 1 << 20;

/// What lies behind an entry.
enum Entry {
    Text(fn(&Subject) -> String),
    /// Bytes of one who may be looked into.
    Private(fn(&Subject) -> Result<Vec<u8>>),
    /// A text that can be set.
    Setting(fn(&Subject) -> String, fn(&Subject, &[u8]) -> Result),
    Link(fn(&Thread) -> Option<Path>),
    Folder(fn(Device, Subject) -> Content),
    Memory,
}

use Entry::{Folder, Link, Memory, Private, Setting, Text};

/// Every entry of a process' directory and of a thread's; one of the two lacks `children`, `task`.
const ENTRIES: &[(&str, u32, Entry)] = &[
    ("auxv", 0o400, Private(auxiliary)),
    ("cgroup", 0o444, Text(|_| String::from("0::/\n"))),
    ("children", 0o444, Text(children)),
    (
        "cmdline",
        0o444,
        Private(|subject| Ok(strings(subject.process.space(), subject.process.program().arguments.clone()))),
    ),
    ("comm", 0o644, Setting(|subject| subject.name() + "\n", set_name)),
    ("cwd", 0o777, Link(|thread| Some(thread.places().0.working.clone()))),
    ("environ", 0o400, Private(environment)),
    ("exe", 0o777, Link(|thread| thread.process().program().executable.clone())),
    ("fd", 0o500, Folder(|device, subject| Descriptors::content(device, subject, false))),
    ("fdinfo", 0o555, Folder(|device, subject| Descriptors::content(device, subject, true))),
    ("limits", 0o444, Text(|subject| status::limits(&subject.process))),
    ("maps", 0o444, Private(|subject| areas(subject, maps::maps))),
    ("mem", 0o600, Memory),
    ("mountinfo", 0o444, Text(|subject| mount_list(subject, mounts::mountinfo))),
    ("mounts", 0o444, Text(|subject| mount_list(subject, mounts::mounts))),
    ("net", 0o555, Folder(net)),
    ("oom_score", 0o444, Text(status::oom_score)),
    ("oom_score_adj", 0o644, Setting(oom_score_adjustment, set_oom_score_adjustment)),
    ("personality", 0o400, Text(|subject| format!("{:08x}\n", subject.process.personality()))),
    ("root", 0o777, Link(|thread| Some(thread.places().0.root.clone()))),
    ("smaps", 0o444, Private(|subject| areas(subject, maps::smaps))),
    ("smaps_rollup", 0o444, Private(|subject| areas(subject, maps::smaps_rollup))),
    ("stat", 0o444, Text(status::stat)),
    ("statm", 0o444, Text(status::statm)),
    ("status", 0o444, Text(status::status)),
    ("task", 0o555, Folder(Threads::content)),
    ("timerslack_ns", 0o666, Setting(timer_slack, set_timer_slack)),
    ("wchan", 0o444, Text(|_| String::from("0"))),
];

impl Entry {
    fn kind(&self) -> FileKind {
        match self {
            Text(_) | Private(_) | Setting(..) | Memory => FileKind::Regular,
            Link(_) => FileKind::Symlink,
            Folder(_) => FileKind::Directory,
        }
    }

    fn content(&self, device: Device, subject: Subject) -> Content {
        match *self {
            Text(show) => Content::Text { read: text(move || show(&subject)), write: None },
            Private(read) => Content::Text { read: Box::new(move || read(&subject)), write: None },
            Setting(show, set) => {
                let to_show = subject.clone();
                let write: Write = Box::new(move |bytes| set(&subject, bytes));
                Content::Text { read: text(move || show(&to_show)), write: Some(write) }
            }
            Link(find) => Content::Link(link(subject, find)),
            Folder(content) => content(device, subject),
            Memory => Content::Memory(Box::new(move || private_space(&subject.process))),
        }
    }
}

/// Makes the node of a process' or thread's directory, with all entries but one.
fn directory(device: Device, subject: Subject, absent: &'static str) -> Arc<Node> {
    let identity = identity(device, &subject, "", 0o555);
    Node::new(identity, Content::Directory(Box::new(ProcessDirectory { device, subject, absent })))
}

/// Makes what stat(2) shows of a process' file: it belongs to the process' effective ids, but to root where others may
/// not look into the process. The directory itself always tells whose the process is.
fn identity(device: Device, subject: &Subject, name: &str, permissions: u32) -> NodeIdentity {
    let is_open = name.is_empty() || subject.process.space().is_some() && subject.process.dumpable() == 1;
    let (uid, gid) = subject.identity().filter(|_| is_open).map_or((0, 0), |who| (who.euid, who.egid));
    let place = subject.thread.as_ref().map_or(0, |thread| thread.id());
    let inode = number_of(format!("{}/{place}/{name}", subject.process.id()).as_bytes());
    NodeIdentity { device, inode, permissions, uid, gid }
}

struct ProcessDirectory {
    device: Device,
    subject: Subject,
    absent: &'static str,
}

impl ProcessDirectory {
    fn entries(&self) -> impl Iterator<Item = &'static (&'static str, u32, Entry)> {
        ENTRIES.iter().filter(|(name, ..)| *name != self.absent)
    }
}

impl Directory for ProcessDirectory {
    fn find(&self, name: &[u8]) -> Result<Arc<Node>> {
        let found = self.entries().find(|(entry, ..)| entry.as_bytes() == name);
        let (name, permissions, entry) = found.ok_or(Errno::ENOENT)?;
        let identity = identity(self.device, &self.subject, name, *permissions);
        Ok(Node::new(identity, entry.content(self.device, self.subject.clone())))
    }

    fn names(&self) -> Vec<(Vec<u8>, FileKind)> {
        self.entries().map(|(name, _, entry)| (name.as_bytes().to_vec(), entry.kind())).collect()
    }

    fn process(&self) -> Option<Arc<Process>> {
        self.subject.thread.is_none().then(|| self.subject.process.clone())
    }
}

/// /proc/PID/net: the sockets that there are, the same for every process.
fn net(device: Device, _: Subject) -> Content {
    let table = fixed::file(device, "unix", text(crate::net::unix::list), None);
    Content::Directory(Box::new(FixedDirectory::new(device, "net", 0o555, &[table])))
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

fn areas(subject: &Subject, show: fn(&[crate::vm::AreaDescription]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    private_space(&subject.process)?.map_or(Ok(Vec::new()), |space| show(&space.areas()?))
}

fn mount_list(subject: &Subject, show: fn(&Path) -> String) -> String {
    subject.thread().map(|thread| show(&thread.places().0.root)).unwrap_or_default()
}

fn environment(subject: &Subject) -> Result<Vec<u8>> {
    Ok(strings(private_space(&subject.process)?, subject.process.program().environment.clone()))
}

/// Reads argv's or envp's strings from the process' memory.
fn strings(space: Option<Arc<AddressSpace>>, range: core::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start).min(STRINGS_LIMIT) as usize];
    let count = space.map_or(0, |space| space.read_remote(range.start, &mut bytes));
    bytes.truncate(count);
    bytes
}

fn auxiliary(subject: &Subject) -> Result<Vec<u8>> {
    private_space(&subject.process)?;
    let program = subject.process.program();
    Ok(program.auxiliary.iter().flat_map(|(kind, value)| [kind.to_le_bytes(), value.to_le_bytes()].concat()).collect())
}

/// The children's ids. Stele notes the parent process, not the thread of it that made a child: the first stands for all.
fn children(subject: &Subject) -> String {
    let is_child = |process: &Arc<Process>| subject.id() == process.parent_id();
    table::all().filter(is_child).map(|process| format!("{} ", process.id())).collect()
}

/// A magic link to a place of the file tree; EACCES for those who may not look.
fn link(subject: Subject, find: fn(&Thread) -> Option<Path>) -> Target {
    Box::new(move || {
        Errno::EACCES.when(!may_inspect(&subject.process))?;
        let thread = subject.thread().ok_or(Errno::ENOENT)?;
        let path = find(&thread).ok_or(Errno::ENOENT)?;
        let root = Thread::try_current().map_or_else(|| path.clone(), |caller| caller.places().0.root.clone());
        Ok((path.name(&root), Some(path)))
    })
}

fn set_name(subject: &Subject, bytes: &[u8]) -> Result {
    let Some(thread) = subject.thread() else { return Err(Errno::ESRCH) };
    Errno::EINVAL.when(Thread::try_current().is_some_and(|caller| caller.process().id() != subject.process.id()))?;
    thread.set_name(bytes.strip_suffix(b"\n").unwrap_or(bytes));
    Ok(())
}

fn oom_score_adjustment(subject: &Subject) -> String {
    format!("{}\n", subject.process.oom_score_adjustment())
}

fn set_oom_score_adjustment(subject: &Subject, bytes: &[u8]) -> Result {
    let value: i32 = number(bytes)?;
    Errno::EINVAL.when(!(-1000..=1000).contains(&value))?;
    let may_lower = Thread::try_current().is_none_or(|caller| caller.identity().can(Capabilities::SYS_RESOURCE));
    Errno::EACCES.when(value < subject.process.oom_score_adjustment() && !may_lower)?;
    subject.process.set_oom_score_adjustment(value);
    Ok(())
}

/// How late a timer of the thread may be. EPERM for another's without CAP_SYS_NICE.
fn timer_slack(subject: &Subject) -> String {
    subject.thread().map(|thread| format!("{}\n", thread.attributes().timer_slack_ns)).unwrap_or_default()
}

fn set_timer_slack(subject: &Subject, bytes: &[u8]) -> Result {
    let thread = subject.thread().ok_or(Errno::ESRCH)?;
    let may_set = |caller: Arc<Thread>| Arc::ptr_eq(&caller, &thread) || caller.identity().can(Capabilities::SYS_NICE);
    Errno::EPERM.when(!Thread::try_current().is_none_or(may_set))?;
    let slack_ns = number(bytes)?;
    thread.change_attributes(|own| own.timer_slack_ns = slack_ns);
    Ok(())
}

/// Reads what was written as a decimal number. EINVAL.
fn number<T: core::str::FromStr>(bytes: &[u8]) -> Result<T> {
    core::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok()).ok_or(Errno::EINVAL)
}

/// /proc/PID/task.
struct Threads {
    device: Device,
    process: Arc<Process>,
}

impl Threads {
    fn content(device: Device, subject: Subject) -> Content {
        Content::Directory(Box::new(Threads { device, process: subject.process }))
    }
}

impl Directory for Threads {
    fn find(&self, name: &[u8]) -> Result<Arc<Node>> {
        let id = parse_id(name).ok_or(Errno::ENOENT)?;
        let thread = self.process.threads().into_iter().find(|thread| thread.id() == id).ok_or(Errno::ENOENT)?;
        let subject = Subject { process: self.process.clone(), thread: Some(thread) };
        Ok(directory(self.device, subject, "task"))
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

impl Descriptors {
    fn content(device: Device, subject: Subject, shows_details: bool) -> Content {
        Content::Directory(Box::new(Descriptors { device, subject, shows_details }))
    }
}

impl Directory for Descriptors {
    fn find(&self, name: &[u8]) -> Result<Arc<Node>> {
        Errno::EACCES.when(!may_inspect(&self.subject.process))?;
        let fd = parse_id(name).ok_or(Errno::ENOENT)?;
        let files = self.subject.thread().ok_or(Errno::ENOENT)?.files();
        let open = files.get(fd).map_err(|_| Errno::ENOENT)?;
        if self.shows_details {
            let identity = identity(self.device, &self.subject, &format!("fdinfo/{fd}"), 0o400);
            let position = open.position();
            let flags = open.flags().bits() | (u32::from(files.is_close_on_exec(fd)?) * 0o2000000);
            // Pipes, sockets and the like lie in mounts that nobody can see.
            let mount = fs::path_of(&open).map_or(0, |path| path.mount().id());
            let inode = fs::metadata_of(&open).map_or(0, |metadata| metadata.inode);
            let details = open.file().details();
            let details = format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{inode}\n{details}");
            return Ok(Node::new(identity, Content::Text { read: text(move || details.clone()), write: None }));
        }
        let permissions = (u32::from(open.is_readable()) * 0o500) | (u32::from(open.is_writable()) * 0o300);
        let identity = identity(self.device, &self.subject, &format!("fd/{fd}"), permissions);
        let target: Target = Box::new(move || {
            let Some(path) = fs::path_of(&open) else {
                return Ok((open.file().name().into_bytes(), Some(fs::path_to(&open))));
            };
            let root = Thread::try_current().map_or_else(|| path.clone(), |caller| caller.places().0.root.clone());
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

/// Finds the directory of a process or (not listed, as on Linux) of any thread, of which it tells then.
pub(super) fn find(device: Device, name: &[u8]) -> Result<Arc<Node>> {
    let id = parse_id(name).ok_or(Errno::ENOENT)?;
    let subject = match table::find(id) {
        Some(process) => Subject { process, thread: None },
        None => {
            let thread = table::find_thread(id).ok_or(Errno::ENOENT)?;
            Subject { process: thread.process().clone(), thread: Some(thread) }
        }
    };
    Ok(directory(device, subject, "children"))
}
