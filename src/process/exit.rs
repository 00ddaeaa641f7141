//! The end of threads and processes: exit(2), exit_group(2), death by a signal; zombies, orphans, and who is told.

use super::futex;
use super::job_control::{self, TICK_NS};
use super::signal::{self, ActionFlags, ChildChange, IGNORE, Signal, SignalInfo};
use super::thread_group::State;
use super::{Process, Thread, table, trace};
use crate::machine::task;
use crate::vm::AddressSpace;
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

/// Returns the wait status of an exit with `code`.
pub(crate) fn exited(code: i32) -> i32 {
    (code & 0xff) << 8
}

/// Lets all threads of the process end with this wait status, unless they are ending already.
pub(crate) fn end_process(process: &Process, status: i32) {
    mark_ending(process, &mut process.state.lock(), status);
}

/// `end_process` under the process' lock.
pub(super) fn mark_ending(process: &Process, state: &mut State, status: i32) {
    if state.ending.is_none() {
        state.ending = Some(status);
        for thread in &state.threads {
            thread.set_attention(true);
        }
        process.resume.wake_all();
    }
}

/// Lets the calling thread end with this wait status, alone.
pub(crate) fn end_thread(thread: &Thread, status: i32) {
    let state = thread.process().state.lock();
    thread.exit_code.store(status, Ordering::Relaxed);
    thread.is_exiting.store(true, Ordering::Release);
    thread.set_attention(true);
    drop(state);
}

/// Ends the calling thread for good: the last act of its loop. The memory it ran in was taken out of its loop.
pub(crate) fn leave(thread: &Arc<Thread>, space: Arc<AddressSpace>) {
    let process = thread.process();
    thread.is_exiting.store(true, Ordering::Release);
    release_memory(thread, &space);
    task::set_page_table(None);
    drop(space);
    thread.leave_undo_list();
    // Before anybody can know of the end: what it had open, was in or ran must not keep a mount in use then.
    let files = thread.files.lock().take();
    drop(files);
    let directories = thread.directories.lock().take();
    drop(directories);

    let is_last = unlist(thread);
    if is_last {
        let (space, program, pending) = {
            let mut state = process.state.lock();
            (state.space.take(), state.program.take(), core::mem::replace(&mut state.pending, signal::Pending::new()))
        };
        if let Some(space) = space {
            process.note_peak(&space);
        }
        drop((program, pending));
        end(process);
    }
}

/// Tells those who wait for this thread to let go of its memory: robust futexes, join, vfork (Linux: mm_release).
/// That memory must be loaded still.
pub(super) fn release_memory(thread: &Arc<Thread>, space: &AddressSpace) {
    let (robust_list, _) = thread.robust_list();
    if robust_list != 0 {
        thread.set_robust_list(0, 0);
        futex::robust::release_all(space, robust_list, thread.id() as u32);
    }
    futex::priority::let_go(thread);
    let address = thread.clear_child_tid();
    if address != 0 {
        thread.set_clear_child_tid(0);
        futex::robust::clear_and_wake(space, address);
    }
    thread.complete_vfork();
}

/// Takes the thread out of its process; its usage stays with the process. Returns whether it was the last.
fn unlist(thread: &Arc<Thread>) -> bool {
    let process = thread.process();
    let usage = thread.usage();
    // In one step for the table too: a thread that executes a program takes over the first one's id once that is gone.
    let (gone, is_last, tracer) = table::with(|table| {
        let (gone, stopped, is_last) = {
            let mut state = process.state.lock();
            state.usage.add(&usage);
            if thread.is_first() {
                process.exit_status.store(thread.exit_code.load(Ordering::Relaxed), Ordering::Relaxed);
                state.remains = Some((thread.identity(), thread.name()));
            }
            let place = state.threads.iter().position(|other| Arc::ptr_eq(other, thread));
            let gone = place.map(|place| state.threads.remove(place));
            let is_counted = thread.is_stopped.load(Ordering::Relaxed);
            let stopped = if is_counted { None } else { job_control::arrive(&mut state) };
            if let Some(status) = state.ending {
                thread.exit_code.store(status, Ordering::Relaxed);
            }
            if !state.pending.set().is_empty() {
                signal::hand_over(&mut state, thread);
            }
            (gone, stopped, state.threads.is_empty())
        };
        if let Some(signal) = stopped.filter(|_| !is_last) {
            job_control::announce(table, process, ChildChange::Stopped, signal);
        }
        // The first thread's id stays taken until the process is waited for, a traced one's until the tracer has.
        thread.has_left.store(true, Ordering::Release);
        let charge = thread.take_charge();
        if let Some(node) = table.nodes.get_mut(&thread.id()) {
            node.charge = charge;
        }
        let tracer = thread.tracer().filter(|_| !thread.is_first());
        match &tracer {
            None => table.remove_thread(thread.id()),
            Some(tracer) => {
                let status = thread.exit_code.load(Ordering::Relaxed);
                tell(table, tracer, process, thread.id(), Signal::CHLD.number(), status);
            }
        }
        (gone, is_last, tracer)
    });
    if let Some(tracer) = tracer {
        tracer.child_events.wake_all();
    }
    drop(gone);
    process.resume.wake_all();
    is_last
}

/// What the end of a process asks for once the table is unlocked.
#[derive(Default)]
struct Aftermath {
    parent: Option<Arc<Process>>,
    /// Parents that got zombie children.
    adopters: Vec<Arc<Process>>,
    reaped: Vec<table::Node>,
    inherited: Vec<Inherited>,
}

/// The end of the process: its last thread has gone.
fn end(process: &Arc<Process>) {
    let status = process.state.lock().ending.unwrap_or_else(|| process.exit_status.load(Ordering::Relaxed));
    if process.id() == table::INIT {
        panic!("Attempted to kill init! exitcode=0x{status:08x}");
    }
    process.exit_status.store(status, Ordering::Relaxed);
    process.timers().clear();
    give_up_terminal(process);

    let mut aftermath = Aftermath::default();
    table::with(|table| {
        aftermath.inherited = trace::orphan_all(table, process);
        for member in orphaned_members(table, process) {
            signal::send_to_process_in(table, &member, SignalInfo::kernel(Signal::HUP));
            signal::send_to_process_in(table, &member, SignalInfo::kernel(Signal::CONT));
        }
        reparent_children(table, process, &mut aftermath);
        let Some(node) = table.nodes.get_mut(&process.id()) else { return };
        node.ended = Some(status);
        let tracer = node.tracer;
        aftermath.parent = table.nodes.get(&tracer.unwrap_or(process.parent_id())).map(|node| node.process.clone());
        process.announce_end();
        if let Some(parent) = &aftermath.parent {
            if tracer.is_none() && is_reaped_at_once(parent, process) {
                aftermath.reaped.extend(table.remove_process(process.id()));
            }
            tell(table, parent, process, process.id(), process.exit_signal.load(Ordering::Relaxed), status);
        }
    });

    for adopter in &aftermath.adopters {
        adopter.child_events.wake_all();
    }
    if let Some(parent) = &aftermath.parent {
        parent.child_events.wake_all();
    }
}

/// A thread that has ended lost its tracer, which waited for it or ended too: what its end means to others comes now,
/// under the same lock of the table. What is returned is to be dropped when that is unlocked.
pub(super) fn after_tracing(table: &mut table::Table, thread: Arc<Thread>) -> Inherited {
    let process = thread.process();
    let (mut parent, mut reaped) = (None, None);
    if !thread.is_first() {
        table.remove_thread(thread.id());
    } else if let Some(status) = table.nodes.get(&process.id()).and_then(|node| node.ended) {
        parent = table.nodes.get(&process.parent_id()).map(|node| node.process.clone());
        if let Some(parent) = &parent {
            reaped = if is_reaped_at_once(parent, process) { table.remove_process(process.id()) } else { None };
            tell(table, parent, process, process.id(), process.exit_signal.load(Ordering::Relaxed), status);
        }
    }
    Inherited { parent, _gone: (reaped, thread) }
}

/// An end that a tracer leaves to the parent, which goes on with it when this is dropped.
pub(super) struct Inherited {
    parent: Option<Arc<Process>>,
    _gone: (Option<table::Node>, Arc<Thread>),
}

impl Drop for Inherited {
    fn drop(&mut self) {
        if let Some(parent) = &self.parent {
            parent.child_events.wake_all();
        }
    }
}

/// Sends a parent or tracer the signal for the end of process or thread `id`. Under the same lock of the table as the
/// end becomes known: who has waited for it has the signal too.
fn tell(table: &table::Table, parent: &Arc<Process>, child: &Process, id: i32, signal: i32, status: i32) {
    let Some(signal) = Signal::from_number(signal) else { return };
    // No core is ever dumped: an end by a signal is never CLD_DUMPED.
    let (change, value) = match status & 0x7f {
        0 => (ChildChange::Exited, status >> 8),
        number => (ChildChange::Killed, number),
    };
    let usage = child.usage();
    let uid = child.main_identity().map_or(0, |identity| identity.uid);
    let (user, system) = (usage.user_ns / TICK_NS, usage.system_ns / TICK_NS);
    signal::send_to_process_in(table, parent, SignalInfo::child(signal, change, id, uid, value, user, system));
}

/// "If a process sets SIGCHLD to SIG_IGN or uses SA_NOCLDWAIT, its children do not become zombies" (wait(2)).
pub(super) fn is_reaped_at_once(parent: &Process, child: &Process) -> bool {
    let action = parent.dispositions().get(Signal::CHLD);
    child.exit_signal.load(Ordering::Relaxed) == Signal::CHLD.number()
        && (action.handler == IGNORE || action.flags.contains(ActionFlags::NO_CHILD_WAIT))
}

/// A session leader's end takes the terminal from its session and hangs up the foreground group (credentials(7)).
fn give_up_terminal(process: &Process) {
    let session = process.session();
    if session.id() != process.id() {
        return;
    }
    let Some(terminal) = session.terminal() else { return };
    let foreground = terminal.foreground_group();
    session.set_terminal(None);
    terminal.release();
    if foreground > 0 {
        signal::signal_group(foreground, Signal::HUP);
        signal::signal_group(foreground, Signal::CONT);
    }
}

/// Returns the members of groups that this end leaves without anyone who could continue them, and that have a stopped one.
fn orphaned_members(table: &table::Table, process: &Process) -> Vec<Arc<Process>> {
    let mut orphaned = Vec::new();
    let mut collect = |group: i32, leaving: Option<i32>| {
        let members = table.group_members(group);
        let is_stopped = members.iter().any(|member| member.id() != process.id() && member.is_stopped());
        if is_stopped && table.is_orphaned(group, leaving) {
            orphaned.extend(members);
        }
    };
    let parent = table.nodes.get(&process.parent_id());
    let own_link = parent.is_some_and(|parent| {
        parent.process.group_id() != process.group_id() && parent.process.session_id() == process.session_id()
    });
    if own_link {
        collect(process.group_id(), Some(process.id()));
    }
    let children = table.nodes.get(&process.id()).map(|node| node.children.as_slice()).unwrap_or_default();
    for child in children.iter().filter_map(|id| table.nodes.get(id)) {
        let child = &child.process;
        if child.group_id() != process.group_id() && child.session_id() == process.session_id() {
            // The link from this child to the ending process is the one that goes; others may hold the group.
            collect(child.group_id(), Some(child.id()));
        }
    }
    orphaned
}

/// Gives the children to the nearest subreaper or to the first process.
fn reparent_children(table: &mut table::Table, process: &Process, aftermath: &mut Aftermath) {
    let children = table.nodes.get(&process.id()).map(|node| node.children.clone()).unwrap_or_default();
    if children.is_empty() {
        return;
    }
    let adopter = find_adopter(table, process);
    for id in children {
        table.set_parent(id, adopter.id());
        let Some(child) = table.nodes.get(&id) else { continue };
        let is_ended = child.ended.is_some();
        let child = child.process.clone();
        child.exit_signal.store(Signal::CHLD.number(), Ordering::Relaxed);
        if is_ended && is_reaped_at_once(&adopter, &child) {
            aftermath.reaped.extend(table.remove_process(id));
        } else if is_ended {
            aftermath.adopters.push(adopter.clone());
        }
        for thread in child.threads() {
            if let Some(signal) = Signal::from_number(thread.attributes().parent_death_signal) {
                let info = SignalInfo::sent(signal, signal::code::USER, process.id(), 0);
                signal::send_to_thread_in(table, &thread, info);
            }
        }
    }
}

fn find_adopter(table: &table::Table, process: &Process) -> Arc<Process> {
    let mut id = process.parent_id();
    while let Some(node) = table.nodes.get(&id) {
        if id == table::INIT || node.process.is_subreaper() && node.ended.is_none() {
            return node.process.clone();
        }
        id = node.process.parent_id();
    }
    table.nodes[&table::INIT].process.clone()
}
