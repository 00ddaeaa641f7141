//! Tracing, the kernel's side of ptrace(2): who traces whom, and what a tracer asks for.
//!
//! A traced thread that stops lends its registers (`UserMode`) to its `Trace`, notes why, wakes the tracer's wait(2)
//! and sleeps until the tracer lets it run or it is killed. The tracer is a process: any of its threads may ask.
//! Attaching, and the lists of tracees, change under the table's lock; a `Trace` behind its own, `Rank::Trace`.

/// Where a tracee stops.
mod stops;

pub(crate) use stops::{arm, enter_call, leave_call, stop_for_event, stop_for_exec, stop_for_exit, wants_event};
pub(super) use stops::{disarm, note_debug_status, stop_at_handler, stop_for_group, stop_for_signal};

use super::signal::{self, Signal, SignalInfo};
use super::thread_group::{State, Stop};
use super::{AccessMode, Process, Thread, exit, may_access, table};
use crate::errno::{Errno, Result};
use crate::fs::Capabilities;
use crate::machine::user::UserMode;
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use bitflags::bitflags;
use core::sync::atomic::Ordering;
use linux_raw_sys::ptrace as raw;

/// "No system call" in the place of its number.
const NO_CALL: u64 = u64::MAX;

bitflags! {
    /// PTRACE_O_* of ptrace(2). No seccomp filter can be installed, so its event never comes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct TraceOptions: u32 {
        const MARK_SYSTEM_CALLS = raw::PTRACE_O_TRACESYSGOOD;
        const FORK = raw::PTRACE_O_TRACEFORK;
        const VFORK = raw::PTRACE_O_TRACEVFORK;
        const CLONE = raw::PTRACE_O_TRACECLONE;
        const EXEC = raw::PTRACE_O_TRACEEXEC;
        const VFORK_DONE = raw::PTRACE_O_TRACEVFORKDONE;
        const EXIT = raw::PTRACE_O_TRACEEXIT;
        const SECCOMP = raw::PTRACE_O_TRACESECCOMP;
        const EXIT_KILL = raw::PTRACE_O_EXITKILL;
    }
}

/// How a tracee was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// PTRACE_ATTACH, PTRACE_TRACEME: SIGSTOP stops it first.
    Classic,
    /// PTRACE_SEIZE.
    Seized,
}

/// How far a tracee runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Freely,
    ToSystemCall,
    OneInstruction,
}

/// The tracer's view of one thread. Made at the first attach, kept as long as the thread.
pub(crate) struct Trace {
    tracer: Option<Arc<Process>>,
    options: TraceOptions,
    attachment: Attachment,
    run: Run,
    stop: Option<TraceStop>,
    /// While it is stopped: its registers.
    pub(crate) user: UserMode,
    /// The system call that it is in, `NO_CALL` if in none: a tracer may change it.
    pub(crate) original_rax: u64,
    /// PTRACE_GETEVENTMSG.
    message: u64,
    /// DR6 as the tracer sees it: which breakpoints were met since it was cleared.
    pub(crate) debug_status: u64,
    /// The trap flag is the tracer's, not the program's.
    is_stepping: bool,
}

/// Why a tracee is stopped.
struct TraceStop {
    /// What wait(2) shows in bits 8 and up.
    code: i32,
    info: Option<SignalInfo>,
    /// Nobody has waited for it.
    is_news: bool,
    /// The tracer lets it go on.
    is_released: bool,
    /// PTRACE_LISTEN: it stays, but the tracer may not touch it.
    is_listening: bool,
    /// The signal that it gets when it goes on.
    signal: i32,
}

impl Trace {
    /// Changes the options.
    pub(crate) fn set_options(&mut self, options: TraceOptions) {
        self.options = options;
    }

    /// Returns PTRACE_GETEVENTMSG.
    pub(crate) fn message(&self) -> u64 {
        self.message
    }

    /// Returns the signal information of the stop; `None` in a group stop of classic tracing.
    pub(crate) fn info(&mut self) -> Option<&mut SignalInfo> {
        self.stop.as_mut()?.info.as_mut()
    }
}

impl Thread {
    /// Returns whether it has a tracer. One load: the hot path.
    pub(crate) fn is_traced(&self) -> bool {
        self.is_traced.load(Ordering::Relaxed)
    }

    /// Returns the tracer.
    pub(crate) fn tracer(&self) -> Option<Arc<Process>> {
        self.trace.lock().as_ref()?.tracer.clone()
    }

    /// Returns whether it is in a stop of tracing.
    pub(crate) fn is_trace_stopped(&self) -> bool {
        self.is_traced() && self.trace.lock().as_ref().is_some_and(|trace| trace.stop.is_some())
    }

    /// Calls `with` on the trace of a tracee of `tracer` that is stopped. ESRCH.
    pub(crate) fn with_trace<T>(&self, tracer: &Process, with: impl FnOnce(&mut Trace) -> T) -> Result<T> {
        let mut slot = self.trace.lock();
        let trace = slot.as_deref_mut().filter(|trace| trace.is_traced_by(tracer)).ok_or(Errno::ESRCH)?;
        match &trace.stop {
            Some(stop) if !stop.is_listening && !stop.is_released => Ok(with(trace)),
            _ => Err(Errno::ESRCH),
        }
    }
}

impl Trace {
    fn is_traced_by(&self, process: &Process) -> bool {
        self.tracer.as_ref().is_some_and(|tracer| core::ptr::eq(&**tracer, process))
    }

    fn let_run(&mut self) {
        if let Some(stop) = &mut self.stop {
            stop.is_released = true;
        }
    }
}

/// PTRACE_TRACEME: the parent traces the caller. EPERM if somebody does already.
pub(crate) fn trace_me(thread: &Arc<Thread>) -> Result {
    table::with(|table| {
        let parent = table.nodes.get(&thread.process().parent_id()).ok_or(Errno::EPERM)?;
        let tracer = parent.process.clone();
        enlist(table, thread, &tracer, Attachment::Classic, TraceOptions::empty())
    })
}

/// PTRACE_ATTACH and PTRACE_SEIZE. EPERM.
pub(crate) fn attach(caller: &Thread, target: &Arc<Thread>, attachment: Attachment, options: TraceOptions) -> Result {
    Errno::EPERM.when(Arc::ptr_eq(caller.process(), target.process()))?;
    table::with(|table| {
        // Under the table's lock, as is the change of identity by exec: the check is about what is traced.
        Errno::EPERM.when(!may_access(caller, target, AccessMode::Real) || target.is_exiting())?;
        enlist(table, target, caller.process(), attachment, options)
    })?;
    let mut state = target.process().state.lock();
    if attachment == Attachment::Classic {
        target.signals.lock().pending.push(SignalInfo::kernel(Signal::STOP));
    }
    signal::recalculate(&mut state, target);
    drop(state);
    // A thread that job control stopped changes over to a stop of tracing.
    target.process().resume.wake_all();
    Ok(())
}

/// Has the child of a traced thread traced too, before it runs.
pub(crate) fn attach_child(parent: &Thread, child: &Arc<Thread>) {
    let (tracer, attachment, options, original_rax) = {
        let slot = parent.trace.lock();
        let Some(trace) = slot.as_deref() else { return };
        let Some(tracer) = trace.tracer.clone() else { return };
        (tracer, trace.attachment, trace.options, trace.original_rax)
    };
    let enlisted = table::with(|table| enlist(table, child, &tracer, attachment, options));
    if enlisted.is_err() {
        return;
    }
    if let Some(trace) = child.trace.lock().as_deref_mut() {
        trace.original_rax = original_rax;
    }
    let mut state = child.process().state.lock();
    match attachment {
        Attachment::Classic => {
            child.signals.lock().pending.push(SignalInfo::sent(Signal::STOP, signal::code::USER, 0, 0));
        }
        Attachment::Seized => child.has_trap_due.store(true, Ordering::Relaxed),
    }
    signal::recalculate(&mut state, child);
}

fn enlist(
    table: &mut table::Table, thread: &Arc<Thread>, tracer: &Arc<Process>, attachment: Attachment,
    options: TraceOptions,
) -> Result {
    Errno::EPERM.when(table.nodes.get(&tracer.id()).is_none_or(|node| node.ended.is_some()) || thread.is_traced())?;
    let fresh = Trace {
        tracer: None,
        options,
        attachment,
        run: Run::Freely,
        stop: None,
        user: UserMode::new(),
        original_rax: NO_CALL,
        message: 0,
        debug_status: 0,
        is_stepping: false,
    };
    {
        let mut slot = thread.trace.lock();
        let trace = slot.get_or_insert_with(|| Box::new(fresh));
        (trace.tracer, trace.options, trace.attachment) = (Some(tracer.clone()), options, attachment);
        trace.run = Run::Freely;
    }
    table.add_tracee(tracer.id(), thread);
    thread.is_traced.store(true, Ordering::Relaxed);
    Ok(())
}

/// Returns the tracee `id` of `tracer`. ESRCH.
pub(crate) fn tracee(tracer: &Process, id: i32) -> Result<Arc<Thread>> {
    let thread = table::find_thread(id).ok_or(Errno::ESRCH)?;
    let is_own = thread.trace.lock().as_ref().is_some_and(|trace| trace.is_traced_by(tracer));
    if is_own { Ok(thread) } else { Err(Errno::ESRCH) }
}

/// Lets a stopped tracee run, with `signal` (0 for none) in place of the one that stopped it. ESRCH.
pub(crate) fn resume(tracer: &Process, thread: &Arc<Thread>, run: Run, signal: i32) -> Result {
    let signal = Replacement::new(tracer, signal);
    thread.with_trace(tracer, |trace| {
        trace.run = run;
        signal.apply(trace);
    })?;
    release(thread);
    Ok(())
}

/// PTRACE_DETACH. ESRCH.
pub(crate) fn detach(tracer: &Process, thread: &Arc<Thread>, signal: i32) -> Result {
    let signal = Replacement::new(tracer, signal);
    table::with(|table| {
        thread.with_trace(tracer, |trace| signal.apply(trace))?;
        table.remove_tracee(tracer.id(), thread);
        let_go(thread);
        Ok(())
    })
}

/// PTRACE_LISTEN: a seized tracee in a group stop stays there, but says when that ends. EIO else; ESRCH.
pub(crate) fn listen(tracer: &Process, thread: &Arc<Thread>) -> Result {
    thread.with_trace(tracer, |trace| {
        let is_seized = trace.attachment == Attachment::Seized;
        match &mut trace.stop {
            Some(stop) if is_seized && stop.code >> 8 == raw::PTRACE_EVENT_STOP as i32 => {
                stop.is_listening = true;
                Ok(())
            }
            _ => Err(Errno::EIO),
        }
    })??;
    if thread.has_trap_due.load(Ordering::Relaxed) {
        notify(thread);
    }
    Ok(())
}

/// PTRACE_INTERRUPT: stops a seized tracee. EIO.
pub(crate) fn interrupt(thread: &Arc<Thread>) -> Result {
    Errno::EIO.when(thread.trace.lock().as_ref().is_none_or(|trace| trace.attachment != Attachment::Seized))?;
    let mut state = thread.process().state.lock();
    notify(thread);
    signal::recalculate(&mut state, thread);
    Ok(())
}

/// Has a seized tracee stop soon to tell that something changed; one that listens at once. The caller recalculates its
/// attention.
pub(super) fn notify(thread: &Thread) {
    let mut slot = thread.trace.lock();
    let Some(trace) = slot.as_deref_mut().filter(|trace| trace.attachment == Attachment::Seized) else { return };
    if trace.tracer.is_none() {
        return;
    }
    thread.has_trap_due.store(true, Ordering::Relaxed);
    if let Some(stop) = trace.stop.as_mut().filter(|stop| stop.is_listening) {
        stop.is_released = true;
        drop(slot);
        thread.process().resume.wake_all();
    }
}

/// What a tracer makes of the signal that stopped its tracee.
#[derive(Clone, Copy)]
struct Replacement {
    signal: i32,
    /// For another signal than the one that stopped it: the tracer's own.
    info: Option<SignalInfo>,
}

impl Replacement {
    fn new(tracer: &Process, signal: i32) -> Replacement {
        let uid = tracer.main_identity().map_or(0, |identity| identity.uid);
        let own = |signal| SignalInfo::sent(signal, signal::code::USER, tracer.id(), uid);
        Replacement { signal, info: Signal::from_number(signal).map(own) }
    }

    fn apply(self, trace: &mut Trace) {
        let Some(stop) = &mut trace.stop else { return };
        stop.signal = self.signal;
        if stop.info.is_none_or(|info| info.signal().number() != self.signal) {
            stop.info = self.info;
        }
    }
}

/// Lets the tracee go on from its stop.
pub(super) fn release(thread: &Thread) {
    if let Some(trace) = thread.trace.lock().as_deref_mut() {
        trace.let_run();
    }
    thread.process().resume.wake_all();
}

/// Ends the tracing of a thread that is out of its tracer's list, which finds out what is due for it. Under the same lock
/// of the table, so that whoever attaches next finds nothing left of it.
fn let_go(thread: &Arc<Thread>) {
    thread.has_trap_due.store(false, Ordering::Relaxed);
    thread.passes_stop.store(false, Ordering::Relaxed);
    if let Some(trace) = thread.trace.lock().as_deref_mut() {
        trace.tracer = None;
        trace.run = Run::Freely;
        trace.let_run();
    }
    thread.is_traced.store(false, Ordering::Relaxed);
    signal::recalculate(&mut thread.process().state.lock(), thread);
    thread.process().resume.wake_all();
}

/// Takes all threads that the ending process traces from it: they go on alone, or die where it asked for that
/// (PTRACE_O_EXITKILL); of those that had ended the parents hear now.
pub(super) fn orphan_all(table: &mut table::Table, tracer: &Process) -> Vec<exit::Inherited> {
    let tracees = table.nodes.get_mut(&tracer.id()).map(|node| core::mem::take(&mut node.tracees)).unwrap_or_default();
    let mut inherited = Vec::new();
    for thread in tracees {
        let node = table.nodes.get_mut(&thread.id());
        let has_ended = node.as_ref().map_or_else(|| thread.has_left(), |node| node.ended.is_some());
        if let Some(node) = node {
            node.tracer = None;
        }
        let is_doomed =
            thread.trace.lock().as_ref().is_some_and(|trace| trace.options.contains(TraceOptions::EXIT_KILL));
        let_go(&thread);
        if is_doomed {
            signal::send_to_process_in(table, thread.process(), SignalInfo::kernel(Signal::KILL));
        }
        if has_ended {
            inherited.push(exit::after_tracing(table, thread));
        }
    }
    inherited
}

/// Returns the wait status of the tracee's stop that nobody has waited for; takes the news unless `keeps`.
pub(super) fn take_news(thread: &Thread, keeps: bool) -> Option<i32> {
    let mut slot = thread.trace.lock();
    let stop = slot.as_deref_mut()?.stop.as_mut()?;
    let is_news = stop.is_news && !stop.is_released;
    stop.is_news &= keeps;
    is_news.then_some(stop.code << 8 | 0x7f)
}

/// Returns whether a set-user-ID program may give its identity to `thread`: not under the eyes of a tracer without
/// CAP_SYS_PTRACE (execve(2)).
pub(super) fn allows_new_identity(thread: &Thread) -> bool {
    thread.tracer().is_none_or(|tracer| tracer.main_identity().is_some_and(|who| who.can(Capabilities::SYS_PTRACE)))
}

/// The group stop's signal, if there is one.
pub(super) fn group_signal(state: &State) -> Option<i32> {
    match state.stop {
        Stop::None => None,
        Stop::Requested { signal, .. } | Stop::Stopped { signal } => Some(signal),
    }
}
