//! Job control: stopping and continuing whole processes, process groups and sessions (setpgid(2), setsid(2)).
//!
//! A stop: one thread takes a stop signal and requests it; each thread arrives on its way to user mode; the last one
//! tells the parent. SIGCONT ends it at the moment it is sent.

use super::signal::{self, ActionFlags, ChildChange, InterruptedCall, Signal, SignalInfo};
use super::thread_group::{State, Stop, StopNews};
use super::{Process, Session, Thread, table, trace};
use crate::errno::{Errno, Result};
use crate::machine::user::UserMode;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// Asks all threads of the process to stop, because `thread` took `signal`, unless SIGCONT has come since.
pub(super) fn request_stop(thread: &Thread, signal: Signal) {
    let mut state = thread.process().state.lock();
    if state.ending.is_some() || !thread.may_stop.load(Ordering::Relaxed) {
        return;
    }
    if state.stop == Stop::None {
        state.stop = Stop::Requested { signal: signal.number(), left: state.threads.len() };
    }
    for index in 0..state.threads.len() {
        let thread = state.threads[index].clone();
        // Whom a tracer let run in spite of an earlier stop stops again.
        thread.passes_stop.store(false, Ordering::Relaxed);
        signal::recalculate(&mut state, &thread);
    }
}

/// Stays here while the process is stopped; a traced thread as long as its tracer wants. The calling thread is the
/// current one.
pub(super) fn take_part_in_stop(thread: &Arc<Thread>, user: &mut UserMode, call: &mut Option<InterruptedCall>) {
    let process = thread.process();
    let (complete, signal) = {
        let mut state = process.state.lock();
        let (Stop::Requested { signal, .. } | Stop::Stopped { signal }) = state.stop else { return };
        if state.ending.is_some() {
            return;
        }
        let is_counted = thread.is_stopped.swap(true, Ordering::Relaxed);
        (if is_counted { None } else { arrive(&mut state) }, signal)
    };
    if let Some(signal) = complete {
        table::with(|table| announce(table, process, ChildChange::Stopped, signal));
    }
    if thread.is_traced() {
        trace::stop_for_group(thread, user, call, Some(signal));
        let state = process.state.lock();
        if state.stop != Stop::None && thread.is_traced() && !thread.has_trap_due.load(Ordering::Relaxed) {
            thread.passes_stop.store(true, Ordering::Relaxed);
        }
        return;
    }
    process.resume.wait_until(|| {
        let state = process.state.lock();
        let is_over = state.stop == Stop::None
            || state.ending.is_some()
            || thread.is_traced()
            // It was continued, and stops anew.
            || !thread.is_stopped.load(Ordering::Relaxed)
            || state.executor.is_some_and(|executor| executor != thread.id());
        is_over.then_some(())
    });
}

/// Counts one thread less that a requested stop waits for (it stopped or ended). Returns the signal if it was the last.
pub(super) fn arrive(state: &mut State) -> Option<i32> {
    let Stop::Requested { signal, left } = state.stop else { return None };
    if left > 1 {
        state.stop = Stop::Requested { signal, left: left - 1 };
        return None;
    }
    state.stop = Stop::Stopped { signal };
    state.stop_news = Some(StopNews::Stopped(signal));
    Some(signal)
}

/// Ends a stop: SIGCONT came. Returns whether the process was stopped, so that the parent is to be told.
pub(super) fn clear_stop(process: &Process, state: &mut State) -> bool {
    let was_stopped = matches!(state.stop, Stop::Stopped { .. });
    for thread in &state.threads {
        thread.may_stop.store(false, Ordering::Relaxed);
    }
    if state.stop != Stop::None {
        state.stop = Stop::None;
        for index in 0..state.threads.len() {
            let thread = state.threads[index].clone();
            thread.is_stopped.store(false, Ordering::Relaxed);
            thread.passes_stop.store(false, Ordering::Relaxed);
            trace::notify(&thread);
            signal::recalculate(state, &thread);
        }
        process.resume.wake_all();
    }
    if was_stopped {
        state.stop_news = Some(StopNews::Continued);
    }
    was_stopped
}

/// Tells the parent that the process is stopped now, or (`ChildChange::Continued`, SIGCONT) that it goes on. By then that may
/// be over: wait(2) looks for itself.
pub(super) fn announce(table: &table::Table, process: &Process, change: ChildChange, signal: i32) {
    if let Some(parent) = table.nodes.get(&process.parent_id()) {
        tell(&parent.process, process, process.id(), change, signal);
    }
}

/// Tells a parent or tracer what became of process or thread `id`: SIGCHLD, and who sleeps in wait(2).
pub(super) fn tell(to: &Arc<Process>, process: &Process, id: i32, change: ChildChange, status: i32) {
    let action = to.dispositions().get(Signal::CHLD);
    if action.handler != signal::IGNORE && !action.flags.contains(ActionFlags::NO_CHILD_STOP) {
        let uid = process.main_identity().map_or(0, |identity| identity.uid);
        let usage = process.usage();
        let (user, system) = (usage.user_ns / TICK_NS, usage.system_ns / TICK_NS);
        to.send_signal(SignalInfo::child(Signal::CHLD, change, id, uid, status, user, system));
    }
    to.child_events.wake_all();
}

/// Nanoseconds per tick of the times that user space gets in ticks (USER_HZ is 100).
pub(crate) const TICK_NS: u64 = 10_000_000;

/// setpgid(2): moves process `id` (0: the caller) to group `group` (0: one of its own).
pub(crate) fn set_group(caller: &Process, id: i32, group: i32) -> Result {
    Errno::EINVAL.when(group < 0)?;
    let id = if id == 0 { caller.id() } else { id };
    let group = if group == 0 { id } else { group };
    table::with(|table| {
        let node = table.nodes.get(&id).ok_or(Errno::ESRCH)?;
        let process = &node.process;
        if process.parent_id() == caller.id() {
            Errno::EPERM.when(process.session_id() != caller.session_id())?;
            Errno::EACCES.when(process.has_executed.load(Ordering::Relaxed))?;
        } else if id != caller.id() {
            return Err(Errno::ESRCH);
        }
        Errno::EPERM.when(process.session_id() == id)?;
        Errno::EPERM.when(group != id && table.group_session(group) != Some(caller.session_id()))?;
        table.set_group(id, group);
        Ok(())
    })
}

/// setsid(2): makes the caller the leader of a new session without a terminal. EPERM if it leads a group.
pub(crate) fn create_session(caller: &Process) -> Result<i32> {
    let id = caller.id();
    let session = Session::new(id);
    let old = table::with(|table| -> Result<_> {
        Errno::EPERM.when(caller.group_id() == id || table.has_group(id))?;
        let old = table.set_session(id, session);
        table.set_group(id, id);
        Ok(old)
    })?;
    drop(old);
    Ok(id)
}
