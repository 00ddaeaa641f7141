//! Files and credentials in messages (unix(7), "Ancillary messages").
//!
//! Files on the way count for who sent them, as far as RLIMIT_NOFILE. Dropping files may close sockets whose messages hold
//! files again: so they go through a list that one CPU at a time works off, and no chain of them uses up a stack.

use super::garbage;
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::fs::{Capabilities, Identity};
use crate::machine::sync::SpinLock;
use crate::net::{ControlBuffer, control};
use crate::process::{Resource, Thread, table};
use crate::rank::Rank;
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use linux_raw_sys::net::{MSG_CMSG_CLOEXEC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The most files of one message (Linux: SCM_MAX_FD).
const FILES_LIMIT: usize = 253;

/// `struct ucred`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Credentials {
    process_id: i32,
    uid: u32,
    gid: u32,
}

impl Credentials {
    /// Whose they are if nobody asked for them when the message was sent.
    const NOBODY: Credentials = Credentials { process_id: 0, uid: 65534, gid: 65534 };

    /// Returns the caller's.
    pub(super) fn of_caller() -> Credentials {
        let thread = Thread::current();
        let identity = thread.identity();
        Credentials { process_id: thread.process().id(), uid: identity.uid, gid: identity.gid }
    }

    /// Checks that the caller may claim to be these. EPERM, ESRCH.
    fn check(&self, identity: &Identity) -> Result {
        let is_own_process = self.process_id == Thread::current().process().id();
        let is_own_user = [identity.uid, identity.euid, identity.suid].contains(&self.uid);
        let is_own_group = [identity.gid, identity.egid, identity.sgid].contains(&self.gid);
        Errno::EPERM.when(
            !(is_own_process || identity.can(Capabilities::SYS_ADMIN))
                || !(is_own_user || identity.can(Capabilities::SETUID))
                || !(is_own_group || identity.can(Capabilities::SETGID)),
        )?;
        Errno::ESRCH.when(!is_own_process && table::find(self.process_id).is_none())?;
        Ok(())
    }
}

/// Open files on the way.
pub(super) struct Rights {
    files: Vec<Arc<OpenFile>>,
    /// Whose they count as.
    uid: u32,
}

/// How many files are on the way, by user.
static COUNTS: SpinLock<BTreeMap<u32, usize>> = SpinLock::new(Rank::Registry, BTreeMap::new());

impl Rights {
    /// Sends files on the way. "ETOOMANYREFS This error can occur for sendmsg(2) when sending a file descriptor …"
    fn new(files: Vec<Arc<OpenFile>>, thread: &Thread) -> Result<Rights> {
        let identity = thread.identity();
        let limit = thread.process().limit(Resource::OpenFiles);
        let is_free = identity.can(Capabilities::SYS_RESOURCE) || identity.can(Capabilities::SYS_ADMIN);
        let mut counts = COUNTS.lock();
        let count = counts.entry(identity.uid).or_default();
        Errno::ETOOMANYREFS.when(*count as u64 > limit && !is_free)?;
        *count += files.len();
        drop(counts);
        files.iter().for_each(garbage::note_departure);
        Ok(Rights { files, uid: identity.uid })
    }

    /// Returns the files.
    pub(super) fn files(&self) -> &[Arc<OpenFile>] {
        &self.files
    }

    /// Takes the files off the way.
    fn arrive(&mut self) -> Vec<Arc<OpenFile>> {
        let files = core::mem::take(&mut self.files);
        files.iter().for_each(garbage::note_arrival);
        let mut counts = COUNTS.lock();
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= files.len();
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
        files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if !self.files.is_empty() {
            let files = self.arrive();
            discard(files);
        }
    }
}

struct Discarded {
    files: Vec<Arc<OpenFile>>,
    is_worked_off: bool,
}

/// Drops files, later if somebody is at it already.
fn discard(files: Vec<Arc<OpenFile>>) {
    static DISCARDED: SpinLock<Discarded> =
        SpinLock::new(Rank::Registry, Discarded { files: Vec::new(), is_worked_off: false });
    {
        let mut discarded = DISCARDED.lock();
        discarded.files.extend(files);
        if core::mem::replace(&mut discarded.is_worked_off, true) {
            return;
        }
    }
    loop {
        let next = {
            let mut discarded = DISCARDED.lock();
            let next = discarded.files.pop();
            discarded.is_worked_off = next.is_some();
            next
        };
        if next.is_none() {
            return;
        }
    }
}

/// What a message brings besides its bytes.
#[derive(Default)]
pub(super) struct Ancillary {
    pub(super) credentials: Option<Credentials>,
    pub(super) rights: Option<Rights>,
}

impl Ancillary {
    /// Reads control messages. EINVAL for kinds that there are not, EBADF, EPERM, ESRCH, ETOOMANYREFS.
    pub(super) fn read(bytes: &[u8]) -> Result<Ancillary> {
        if bytes.is_empty() {
            return Ok(Ancillary::default());
        }
        let thread = Thread::current();
        let descriptors = thread.files();
        let mut files = Vec::new();
        let mut credentials = None;
        control::visit(bytes, |message| {
            match (message.level, message.kind) {
                (SOL_SOCKET, SCM_RIGHTS) => {
                    let (numbers, _) = message.data.as_chunks::<4>();
                    Errno::EINVAL.when(files.len() + numbers.len() > FILES_LIMIT)?;
                    for number in numbers {
                        files.push(descriptors.get(i32::from_ne_bytes(*number))?);
                    }
                }
                (SOL_SOCKET, SCM_CREDENTIALS) => {
                    let claimed = Credentials::read_from_bytes(message.data).map_err(|_| Errno::EINVAL)?;
                    claimed.check(&thread.identity())?;
                    credentials = Some(claimed);
                }
                (SOL_SOCKET, _) => return Err(Errno::EINVAL),
                _ => {}
            }
            Ok(())
        })?;
        let rights = if files.is_empty() { None } else { Some(Rights::new(files, &thread)?) };
        Ok(Ancillary { credentials, rights })
    }

    /// Hands all to a receiver: credentials if it wants them, files as new descriptors, as far as there is room.
    pub(super) fn deliver(self, wants_credentials: bool, control: Option<&mut ControlBuffer>, flags: u32) {
        let Some(control) = control else { return };
        if wants_credentials {
            let credentials = self.credentials.unwrap_or(Credentials::NOBODY);
            control.put(SOL_SOCKET, SCM_CREDENTIALS, credentials.as_bytes());
        }
        let Some(mut rights) = self.rights else { return };
        let thread = Thread::current();
        let limit = thread.process().limit(Resource::OpenFiles);
        let descriptors = thread.files();
        let mut files = rights.arrive();
        let count = files.len();
        let left = files.split_off(count.min(control.room() / size_of::<i32>()));
        let mut numbers = Vec::new();
        for file in files {
            let Ok(number) = descriptors.insert(file, 0, limit, flags & MSG_CMSG_CLOEXEC != 0) else { break };
            numbers.push(number);
        }
        if !numbers.is_empty() {
            control.put(SOL_SOCKET, SCM_RIGHTS, numbers.as_bytes());
        }
        if numbers.len() < count {
            control.note_truncation();
        }
        discard(left);
    }

    /// Copies it for a receiver who only looks (MSG_PEEK).
    pub(super) fn duplicate(credentials: Option<Credentials>, rights: Option<&Rights>) -> Ancillary {
        let rights = rights.map(|rights| {
            rights.files.iter().for_each(garbage::note_departure);
            *COUNTS.lock().entry(rights.uid).or_default() += rights.files.len();
            Rights { files: rights.files.clone(), uid: rights.uid }
        });
        Ancillary { credentials, rights }
    }
}
