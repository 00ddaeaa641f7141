//! The table of all processes: ids, parents and children, process groups, sessions, zombies.
//!
//! One lock guards all relations, so that fork, exit, wait and job control each see one consistent tree. The
//! `Process` objects carry copies of what is read often. Nothing that sleeps is dropped under the lock.

use super::{Process, Session, Thread};
use crate::file::Charge;
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::sync::{Arc, Weak};
use alloc::{collections::BTreeMap, vec::Vec};
use core::sync::atomic::Ordering;

/// The first id that is given again after the highest was (Linux: `RESERVED_PIDS`).
const FIRST_REUSED_ID: i32 = 300;

/// Ids are below this (/proc/sys/kernel/pid_max).
pub(crate) const ID_MAX: i32 = 32768;

/// The process that adopts orphans.
pub(crate) const INIT: i32 = 1;

/// All processes and how they relate.
pub(super) struct Table {
    last_id: i32,
    pub(super) nodes: BTreeMap<i32, Node>,
    threads: BTreeMap<i32, Weak<Thread>>,
    /// Members of each process group.
    groups: BTreeMap<i32, Vec<i32>>,
    /// Members of each session.
    sessions: BTreeMap<i32, Vec<i32>>,
}

/// One process in the tree.
pub(super) struct Node {
    pub(super) process: Arc<Process>,
    pub(super) children: Vec<i32>,
    /// The wait status of a process that ended and was not waited for: a zombie.
    pub(super) ended: Option<i32>,
    /// The threads that it traces; those that ended until it has waited for them.
    pub(super) tracees: Vec<Arc<Thread>>,
    /// Counts its first thread, once that has ended, until the process was waited for.
    pub(super) charge: Option<Charge>,
    /// Who traces its first thread, and hears of its end before the parent does.
    pub(super) tracer: Option<i32>,
}

static TABLE: SpinLock<Table> = SpinLock::new(
    Rank::ProcessTable,
    Table {
        last_id: 0,
        nodes: BTreeMap::new(),
        threads: BTreeMap::new(),
        groups: BTreeMap::new(),
        sessions: BTreeMap::new(),
    },
);

/// Calls `with` on the table, locked.
pub(super) fn with<T>(with: impl FnOnce(&mut Table) -> T) -> T {
    with(&mut TABLE.lock())
}

/// Finds a process, a zombie too.
pub(crate) fn find(id: i32) -> Option<Arc<Process>> {
    with(|table| table.nodes.get(&id).map(|node| node.process.clone()))
}

/// Finds a thread that has not ended.
pub(crate) fn find_thread(id: i32) -> Option<Arc<Thread>> {
    with(|table| table.threads.get(&id).and_then(Weak::upgrade))
}

/// Returns all processes in order of id, zombies too. Each is looked for anew, so it needs no memory under the lock; what
/// comes or goes meanwhile may be seen or not.
pub(crate) fn all() -> impl Iterator<Item = Arc<Process>> {
    let mut next = 0;
    core::iter::from_fn(move || {
        with(|table| {
            let (id, node) = table.nodes.range(next..).next()?;
            next = id + 1;
            Some(node.process.clone())
        })
    })
}

/// Returns whether the process has ended and waits for its parent to notice.
pub(crate) fn is_zombie(id: i32) -> bool {
    with(|table| table.nodes.get(&id).is_some_and(|node| node.ended.is_some()))
}

/// Returns the processes of a process group.
pub(crate) fn group_members(group: i32) -> Vec<Arc<Process>> {
    with(|table| table.group_members(group))
}

/// Returns the last id given out, for /proc/loadavg.
pub(crate) fn last_id() -> i32 {
    with(|table| table.last_id)
}

/// Returns how many threads there are.
pub(crate) fn thread_count() -> usize {
    with(|table| table.threads.len())
}

/// Returns whether no member of the group has a parent in another group of the same session: nobody could continue it
/// (POSIX, "orphaned process group").
pub(crate) fn is_orphaned_group(group: i32) -> bool {
    with(|table| table.is_orphaned(group, None))
}

impl Table {
    /// Keeps `id` from being given again until `add_thread` or `remove_thread`.
    pub(super) fn reserve(&mut self, id: i32) {
        self.threads.insert(id, Weak::new());
    }

    /// Finds an id that nothing uses; the caller reserves or enters it under the same lock.
    pub(super) fn next_id(&mut self) -> Option<i32> {
        for _ in 0..ID_MAX {
            self.last_id = if self.last_id + 1 >= ID_MAX { FIRST_REUSED_ID } else { self.last_id + 1 };
            if !self.is_used(self.last_id) {
                return Some(self.last_id);
            }
        }
        None
    }

    /// Returns whether a process, thread, group or session has the id.
    pub(super) fn is_used(&self, id: i32) -> bool {
        self.nodes.contains_key(&id)
            || self.threads.contains_key(&id)
            || self.groups.contains_key(&id)
            || self.sessions.contains_key(&id)
    }

    pub(super) fn add_thread(&mut self, thread: &Arc<Thread>) {
        self.threads.insert(thread.id(), Arc::downgrade(thread));
    }

    pub(super) fn remove_thread(&mut self, id: i32) {
        self.threads.remove(&id);
    }

    /// Enters a new process below its parent, into its group and session.
    pub(super) fn add_process(&mut self, process: &Arc<Process>) {
        let id = process.id();
        if let Some(parent) = self.nodes.get_mut(&process.parent_id()) {
            parent.children.push(id);
        }
        self.groups.entry(process.group_id()).or_default().push(id);
        self.sessions.entry(process.session_id()).or_default().push(id);
        let node = Node {
            process: process.clone(),
            children: Vec::new(),
            ended: None,
            tracees: Vec::new(),
            charge: None,
            tracer: None,
        };
        self.nodes.insert(id, node);
    }

    /// Removes a zombie that was waited for. Returns it, to be dropped without the lock.
    pub(super) fn remove_process(&mut self, id: i32) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        if let Some(parent) = self.nodes.get_mut(&node.process.parent_id()) {
            parent.children.retain(|child| *child != id);
        }
        leave(&mut self.groups, node.process.group_id(), id);
        leave(&mut self.sessions, node.process.session_id(), id);
        Some(node)
    }

    /// Enters `thread` as a tracee of `tracer`.
    pub(super) fn add_tracee(&mut self, tracer: i32, thread: &Arc<Thread>) {
        if let Some(node) = self.nodes.get_mut(&tracer) {
            node.tracees.push(thread.clone());
        }
        self.set_tracer(thread, Some(tracer));
    }

    /// Takes `thread` out of the tracees of `tracer`.
    pub(super) fn remove_tracee(&mut self, tracer: i32, thread: &Arc<Thread>) {
        if let Some(node) = self.nodes.get_mut(&tracer) {
            node.tracees.retain(|tracee| !Arc::ptr_eq(tracee, thread));
        }
        self.set_tracer(thread, None);
    }

    /// Notes who traces `thread`, if that is its process' first.
    pub(super) fn set_tracer(&mut self, thread: &Thread, tracer: Option<i32>) {
        if let Some(node) = self.nodes.get_mut(&thread.id()) {
            node.tracer = tracer;
        }
    }

    /// Makes `child` a child of `parent`.
    pub(super) fn set_parent(&mut self, child: i32, parent: i32) {
        let Some(node) = self.nodes.get(&child) else { return };
        let old = node.process.parent.swap(parent, Ordering::Relaxed);
        if let Some(old) = self.nodes.get_mut(&old) {
            old.children.retain(|id| *id != child);
        }
        if let Some(new) = self.nodes.get_mut(&parent) {
            new.children.push(child);
        }
    }

    /// Moves a process to another group.
    pub(super) fn set_group(&mut self, id: i32, group: i32) {
        let Some(node) = self.nodes.get(&id) else { return };
        let old = node.process.group.swap(group, Ordering::Relaxed);
        leave(&mut self.groups, old, id);
        self.groups.entry(group).or_default().push(id);
    }

    /// Moves a process to a session of its own.
    pub(super) fn set_session(&mut self, id: i32, session: Arc<Session>) -> Option<Arc<Session>> {
        let node = self.nodes.get(&id)?;
        self.sessions.entry(session.id()).or_default().push(id);
        let old = core::mem::replace(&mut *node.process.session.lock(), session);
        leave(&mut self.sessions, old.id(), id);
        Some(old)
    }

    /// Returns whether there is such a group.
    pub(super) fn has_group(&self, group: i32) -> bool {
        self.groups.contains_key(&group)
    }

    /// Returns the members of a group.
    pub(super) fn group_members(&self, group: i32) -> Vec<Arc<Process>> {
        let members = self.groups.get(&group).map(Vec::as_slice).unwrap_or_default();
        members.iter().filter_map(|id| self.nodes.get(id)).map(|node| node.process.clone()).collect()
    }

    /// Returns the group's session, if the group has members.
    pub(super) fn group_session(&self, group: i32) -> Option<i32> {
        let member = self.groups.get(&group)?.first()?;
        Some(self.nodes.get(member)?.process.session_id())
    }

    /// Returns whether the group is orphaned, or would be without process `leaving`.
    pub(super) fn is_orphaned(&self, group: i32, leaving: Option<i32>) -> bool {
        let members = self.groups.get(&group).map(Vec::as_slice).unwrap_or_default();
        !members.iter().filter_map(|id| self.nodes.get(id)).any(|node| {
            let process = &node.process;
            let parent_id = process.parent_id();
            let Some(parent) = self.nodes.get(&parent_id) else { return false };
            Some(process.id()) != leaving
                && node.ended.is_none()
                && parent_id != INIT
                && parent.process.group_id() != group
                && parent.process.session_id() == process.session_id()
        })
    }
}

fn leave(sets: &mut BTreeMap<i32, Vec<i32>>, set: i32, id: i32) {
    if let Some(members) = sets.get_mut(&set) {
        members.retain(|member| *member != id);
        if members.is_empty() {
            sets.remove(&set);
        }
    }
}
