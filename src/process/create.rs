//! New threads and processes: fork(2), vfork(2), clone(2).
//!
//! `create` makes everything but starts nothing, so that whatever fails leaves no trace; `Newborn::start` lets the
//! new thread run.

use super::attributes::{Attributes, Scheduling};
use super::cpu_limit;
use super::limits::{self, Limits};
use super::signal::{self, Dispositions, Signal, SignalSet};
use super::thread::{AlternateStack, ThreadSeed};
use super::thread_group::{Seed, Stop};
use super::{Directories, Process, Program, Resource, Session, Thread, table};
use crate::errno::{Errno, Result};
use crate::file::{Charge, FdTable};
use crate::fs::{Capabilities, Identity};
use crate::machine::task::{Class, Task};
use crate::machine::user::UserMode;
use alloc::{boxed::Box, sync::Arc};
use bitflags::bitflags;
use core::sync::atomic::Ordering;

bitflags! {
    /// CLONE_* of clone(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct CloneFlags: u64 {
        const MEMORY = 0x100;
        const DIRECTORIES = 0x200;
        const FILES = 0x400;
        const SIGNAL_HANDLERS = 0x800;
        const PIDFD = 0x1000;
        const TRACE = 0x2000;
        const VFORK = 0x4000;
        const PARENT = 0x8000;
        const THREAD = 0x1_0000;
        const NEW_MOUNTS = 0x2_0000;
        const SEMAPHORE_UNDO = 0x4_0000;
        const SET_TLS = 0x8_0000;
        const PARENT_SET_TID = 0x10_0000;
        const CHILD_CLEAR_TID = 0x20_0000;
        const DETACHED = 0x40_0000;
        const UNTRACED = 0x80_0000;
        const CHILD_SET_TID = 0x100_0000;
        const NEW_CGROUP = 0x200_0000;
        const NEW_HOST_NAME = 0x400_0000;
        const NEW_IPC = 0x800_0000;
        const NEW_USER = 0x1000_0000;
        const NEW_PIDS = 0x2000_0000;
        const NEW_NETWORK = 0x4000_0000;
        const IO = 0x8000_0000;
        const CLEAR_SIGNAL_HANDLERS = 0x1_0000_0000;
        const INTO_CGROUP = 0x2_0000_0000;
    }
}

impl CloneFlags {
    /// The flags that ask for namespaces, which are not built in.
    pub(crate) const NAMESPACES: CloneFlags = CloneFlags::NEW_MOUNTS
        .union(CloneFlags::NEW_CGROUP)
        .union(CloneFlags::NEW_HOST_NAME)
        .union(CloneFlags::NEW_IPC)
        .union(CloneFlags::NEW_USER)
        .union(CloneFlags::NEW_PIDS)
        .union(CloneFlags::NEW_NETWORK);
}

/// What to make.
pub(crate) struct CloneRequest {
    pub(crate) flags: CloneFlags,
    /// The signal that the parent gets at the end; 0 for none.
    pub(crate) exit_signal: i32,
    /// The new stack pointer; 0 keeps the parent's value.
    pub(crate) stack: u64,
    /// Thread-local storage, with SET_TLS.
    pub(crate) tls: u64,
    /// Where CHILD_SET_TID and CHILD_CLEAR_TID write.
    pub(crate) child_tid: u64,
    /// The id to have; `None` for any.
    pub(crate) id: Option<i32>,
}

/// The first function of a new thread, in the room above.
pub(crate) type Entry = fn(Arc<Thread>, UserMode);

/// A thread that is entered everywhere but does not run yet.
pub(crate) struct Newborn {
    thread: Arc<Thread>,
    task: Arc<Task>,
}

impl Newborn {
    /// Returns the thread.
    pub(crate) fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }

    /// Lets it run.
    pub(crate) fn start(self) -> Arc<Thread> {
        self.task.start();
        self.thread
    }
}

/// Makes a copy of the calling thread, in its process or in a new one. EAGAIN, EINVAL, ENOMEM as clone(2).
pub(crate) fn create(parent: &Arc<Thread>, user: &UserMode, request: &CloneRequest, entry: Entry) -> Result<Newborn> {
    check(request)?;
    // The children of the first process' sibling would have nobody to reap them.
    Errno::EINVAL.when(request.flags.contains(CloneFlags::PARENT) && parent.process().id() == table::INIT)?;
    let group_signals = parent.process().group_signals.load(Ordering::Relaxed);
    // As on Linux, a signal that came first is handled first: it may stop or end the process.
    Errno::RESTART_ALWAYS.when(parent.needs_attention())?;

    let flags = request.flags;
    let mut user = user.duplicate();
    user.registers.rax = 0;
    if request.stack != 0 {
        user.registers.rsp = request.stack;
    }
    if flags.contains(CloneFlags::MEMORY) {
        user.watch_cpu(false);
    }
    Errno::EPERM.when(flags.contains(CloneFlags::SET_TLS) && !user.set_fs_base(request.tls))?;

    let process = parent.process();
    let charge = charge_thread(parent)?;
    Errno::EAGAIN.when(table::thread_count() >= limits::threads_max())?;
    let id = request.id.map_or_else(Reservation::new, |id| Reservation::exact(id, &parent.identity()))?;
    let child_process = if flags.contains(CloneFlags::THREAD) {
        process.clone()
    } else {
        copy_process(parent, id.id, request, &[user.registers.rsp, user.fs_base()])?
    };
    let thread = copy_thread(parent, id.id, charge, &child_process, request)?;
    if flags.contains(CloneFlags::VFORK) {
        *thread.vfork_parent.lock() = Some(process.clone());
    }
    if flags.contains(CloneFlags::CHILD_SET_TID) {
        child_process.space().map(|space| space.write_remote(request.child_tid, &id.id.to_ne_bytes()));
    }
    let newborn = make_task(thread, user, entry)?;
    if parent.attributes().scheduling.resets_on_fork {
        let nice = if let Class::Fair { nice, .. } = newborn.task.class() { nice.max(0) } else { 0 };
        newborn.task.set_class(Class::Fair { nice, is_idle: false });
    }
    enter(parent, &child_process, newborn.thread(), flags, group_signals)?;
    if !flags.contains(CloneFlags::THREAD) {
        cpu_limit::watch(&child_process);
    }
    core::mem::forget(id);
    Ok(newborn)
}

fn check(request: &CloneRequest) -> Result {
    let flags = request.flags;
    let both = |one: CloneFlags, other: CloneFlags| flags.contains(one) && !flags.contains(other);
    let is_wrong = both(CloneFlags::THREAD, CloneFlags::SIGNAL_HANDLERS)
        || both(CloneFlags::SIGNAL_HANDLERS, CloneFlags::MEMORY)
        || flags.contains(CloneFlags::NEW_MOUNTS | CloneFlags::DIRECTORIES)
        || flags.contains(CloneFlags::THREAD | CloneFlags::PIDFD)
        || flags.contains(CloneFlags::SIGNAL_HANDLERS | CloneFlags::CLEAR_SIGNAL_HANDLERS);
    // "EINVAL: Although CLONE_NEW… was specified, support … was not configured in the kernel."
    Errno::EINVAL.when(is_wrong || flags.intersects(CloneFlags::NAMESPACES))?;
    Ok(())
}

/// Counts one more thread of the user's. RLIMIT_NPROC limits them (EAGAIN); root may exceed it.
fn charge_thread(parent: &Thread) -> Result<Charge> {
    let identity = parent.identity();
    let is_free =
        identity.uid == 0 || identity.can(Capabilities::SYS_RESOURCE) || identity.can(Capabilities::SYS_ADMIN);
    let limit = if is_free { usize::MAX } else { parent.process().limit(Resource::Processes) as usize };
    limits::THREADS.charge(identity.uid, 1, limit).ok_or(Errno::EAGAIN)
}

/// Makes the process of a new thread, which will write to the addresses `written` first.
fn copy_process(parent: &Thread, id: i32, request: &CloneRequest, written: &[u64]) -> Result<Arc<Process>> {
    let process = parent.process();
    let flags = request.flags;
    let space = process.space().ok_or(Errno::ESRCH)?;
    // While other threads run, only a page that nobody may write to can be copied.
    let written = if process.thread_count() == 1 { written } else { &[] };
    let space = if flags.contains(CloneFlags::MEMORY) { space } else { space.fork(written)? };
    let dispositions = process.dispositions();
    let dispositions = if flags.contains(CloneFlags::SIGNAL_HANDLERS) {
        dispositions
    } else if flags.contains(CloneFlags::CLEAR_SIGNAL_HANDLERS) {
        dispositions.after_exec()
    } else {
        dispositions.duplicate()
    };
    let (parent_id, exit_signal) = if flags.contains(CloneFlags::PARENT) {
        (process.parent_id(), process.exit_signal.load(Ordering::Relaxed))
    } else {
        (process.id(), request.exit_signal)
    };
    Ok(Process::new(Seed {
        id,
        parent: parent_id,
        group: process.group_id(),
        session: process.session(),
        limits: process.limits().duplicate(),
        exit_signal,
        space,
        dispositions,
        program: process.program(),
        dumpable: process.dumpable(),
        personality: process.personality(),
        oom_score_adjustment: process.oom_score_adjustment(),
    }))
}

fn copy_thread(
    parent: &Thread, id: i32, charge: Charge, process: &Arc<Process>, request: &CloneRequest,
) -> Result<Arc<Thread>> {
    let flags = request.flags;
    let files = parent.files();
    let directories = parent.shared_directories();
    // "If CLONE_VM is set and CLONE_VFORK is not, any alternate signal stack is cleared in the child" (sigaltstack(2)).
    let loses_stack = flags.contains(CloneFlags::MEMORY) && !flags.contains(CloneFlags::VFORK);
    let mut attributes = *parent.attributes.lock();
    attributes.parent_death_signal = 0;
    if attributes.scheduling.resets_on_fork {
        attributes.scheduling = Scheduling::default();
    }
    Ok(Thread::new(ThreadSeed {
        id,
        process: process.clone(),
        files: if flags.contains(CloneFlags::FILES) { files } else { files.duplicate()? },
        directories: if flags.contains(CloneFlags::DIRECTORIES) { directories } else { directories.duplicate() },
        identity: parent.identity(),
        charge,
        undo_list: flags.contains(CloneFlags::SEMAPHORE_UNDO).then(|| parent.undo_list()),
        blocked: parent.blocked(),
        alternate_stack: if loses_stack { AlternateStack::default() } else { parent.alternate_stack() },
        attributes,
        clear_child_tid: if flags.contains(CloneFlags::CHILD_CLEAR_TID) { request.child_tid } else { 0 },
        // The area lies in memory: of a copy a thread has its own, of shared memory it has none yet.
        rseq: if flags.contains(CloneFlags::MEMORY) { None } else { *parent.rseq.lock() },
    }))
}

/// Enters the new thread into its process, and a new process into the table.
fn enter(
    parent: &Arc<Thread>, process: &Arc<Process>, thread: &Arc<Thread>, flags: CloneFlags, group_signals: u32,
) -> Result {
    table::with(|table| {
        // A signal to the group that found no child yet is for the child too: it comes first, and the call again.
        let own = parent.process();
        let is_crossed =
            own.group_signals.load(Ordering::Relaxed) != group_signals || own.state.lock().ending.is_some();
        Errno::RESTART_ALWAYS.when(is_crossed && !flags.contains(CloneFlags::THREAD))?;
        let mut state = process.state.lock();
        if flags.contains(CloneFlags::THREAD) {
            // What is due for the process was decided without the new thread: let it happen first.
            Errno::RESTART_ALWAYS
                .when(state.ending.is_some() || state.executor.is_some() || state.stop != Stop::None)?;
        }
        state.threads.push(thread.clone());
        signal::recalculate(&mut state, thread);
        drop(state);
        table.add_thread(thread);
        if !flags.contains(CloneFlags::THREAD) {
            process.group.store(parent.process().group_id(), Ordering::Relaxed);
            table.add_process(process);
        }
        Ok(())
    })
}

fn make_task(thread: Arc<Thread>, user: UserMode, entry: Entry) -> Result<Newborn> {
    let data = thread.clone();
    let runner = thread.clone();
    let task = Task::new(Some(data), Box::new(move || entry(runner, user)))?;
    thread.set_task(&task);
    Ok(Newborn { thread, task })
}

/// An id that nobody else gets until the thread with it is entered, or this is dropped.
struct Reservation {
    id: i32,
}

impl Reservation {
    fn new() -> Result<Reservation> {
        let id = table::with(|table| {
            let id = table.next_id()?;
            table.reserve(id);
            Some(id)
        });
        Ok(Reservation { id: id.ok_or(Errno::EAGAIN)? })
    }

    /// Takes the id that clone3(2) was given. EINVAL, EPERM, EEXIST.
    fn exact(id: i32, identity: &Identity) -> Result<Reservation> {
        Errno::EINVAL.when(!(1..table::ID_MAX).contains(&id))?;
        Errno::EPERM.when(!identity.can(Capabilities::SYS_ADMIN) && !identity.can(Capabilities::CHECKPOINT_RESTORE))?;
        let is_free = table::with(|table| {
            let is_free = !table.is_used(id);
            if is_free {
                table.reserve(id);
            }
            is_free
        });
        if is_free { Ok(Reservation { id }) } else { Err(Errno::EEXIST) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        table::with(|table| table.remove_thread(self.id));
    }
}

/// Makes the first process, which runs `program`.
pub(crate) fn create_first(program: Program, files: Arc<FdTable>, entry: Entry) -> Result<Newborn> {
    let id = Reservation::new()?;
    let mut user = UserMode::new();
    user.registers.rip = program.entry;
    user.registers.rsp = program.stack_pointer;
    let process = Process::new(Seed {
        id: id.id,
        parent: 0,
        group: 0,
        session: Session::new(0),
        limits: Limits::initial(),
        exit_signal: Signal::CHLD.number(),
        space: program.space,
        dispositions: Dispositions::new(),
        program: program.information,
        dumpable: 1,
        personality: 0,
        oom_score_adjustment: 0,
    });
    let thread = Thread::new(ThreadSeed {
        id: id.id,
        process: process.clone(),
        files,
        directories: Directories::first(),
        identity: Arc::new(Identity::root()),
        charge: limits::THREADS.charge(0, 1, usize::MAX).ok_or(Errno::EAGAIN)?,
        undo_list: None,
        blocked: SignalSet::EMPTY,
        alternate_stack: AlternateStack::default(),
        attributes: Attributes::named(&program.command),
        clear_child_tid: 0,
        rseq: None,
    });
    let newborn = make_task(thread, user, entry)?;
    table::with(|table| {
        process.state.lock().threads.push(newborn.thread().clone());
        table.add_thread(newborn.thread());
        table.add_process(&process);
    });
    core::mem::forget(id);
    Ok(newborn)
}

/// Sleeps until `child`, made with VFORK, executes a program or ends; or until the calling thread is to end.
pub(crate) fn wait_for_vfork(parent: &Thread, child: &Thread) {
    let process = parent.process();
    process.resume.wait_until(|| {
        let has_let_go = child.vfork_parent.lock().is_none();
        let state = process.state.lock();
        let is_ending = state.ending.is_some() || state.executor.is_some_and(|executor| executor != parent.id());
        (has_let_go || is_ending).then_some(())
    });
}
