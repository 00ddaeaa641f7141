//! Tracing, the kernel's side of ptrace(2): who traces whom, and where a traced thread stops and tells.
//!
//! A traced thread that stops lends its registers (`UserMode`) to its `Trace`, notes why, wakes the tracer's wait(2)
//! and sleeps until the tracer lets it run or it is killed. The tracer is a process: any of its threads may ask.
//! Attaching, and the lists of tracees, change under the table's lock; a `Trace` behind its own, `Rank::Trace`.

use super::signal::{self, ChildChange, InterruptedCall, Signal, SignalInfo, SignalSet};
use super::thread_group::{State, Stop};
use super::{AccessMode, Process, Thread, exit, job_control, may_access, table};
use crate::errno::{Errno, Result};
use crate::fs::Capabilities;
use crate::machine::user::UserMode;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::sync::atomic::Ordering;
use linux_raw_sys::ptrace as raw;

/// RFLAGS' trap flag: one instruction, then a debug exception.
const TRAP_FLAG: u64 = 0x100;
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
    if Arc::ptr_eq(caller.process(), target.process()) {
        return Err(Errno::EPERM);
    }
    table::with(|table| {
        // Under the table's lock, as is the change of identity by exec: the check is about what is traced.
        if !may_access(caller, target, AccessMode::Real) || target.is_exiting() {
            return Err(Errno::EPERM);
        }
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
    table: &mut table::Table,
    thread: &Arc<Thread>,
    tracer: &Arc<Process>,
    attachment: Attachment,
    options: TraceOptions,
) -> Result {
    if table.nodes.get(&tracer.id()).is_none_or(|node| node.ended.is_some()) || thread.is_traced() {
        return Err(Errno::EPERM);
    }
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
    .inspect(|()| go_on(thread))
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
    if thread.trace.lock().as_ref().is_none_or(|trace| trace.attachment != Attachment::Seized) {
        return Err(Errno::EIO);
    }
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

/// Ends the tracing of a thread that is out of its tracer's list. Under the same lock of the table, so that whoever
/// attaches next finds nothing left of it; `go_on` follows.
fn let_go(thread: &Thread) {
    thread.has_trap_due.store(false, Ordering::Relaxed);
    thread.passes_stop.store(false, Ordering::Relaxed);
    if let Some(trace) = thread.trace.lock().as_deref_mut() {
        trace.tracer = None;
        trace.run = Run::Freely;
        trace.let_run();
    }
    thread.is_traced.store(false, Ordering::Relaxed);
}

/// Lets a thread that nobody traces any more find out what is due for it.
fn go_on(thread: &Arc<Thread>) {
    signal::recalculate(&mut thread.process().state.lock(), thread);
    thread.process().resume.wake_all();
}

/// A tracee whose tracer has ended.
pub(super) struct Orphan {
    thread: Arc<Thread>,
    /// It had ended before: nobody but its tracer has heard of that.
    has_ended: bool,
    /// The tracer asked for its end (PTRACE_O_EXITKILL).
    is_killed: bool,
}

/// Takes all threads that the ending process traces from it.
pub(super) fn orphan_all(table: &mut table::Table, tracer: &Process) -> Vec<Orphan> {
    let tracees = table.nodes.get_mut(&tracer.id()).map(|node| core::mem::take(&mut node.tracees)).unwrap_or_default();
    let mut orphans = Vec::new();
    for thread in tracees {
        let has_ended = match table.nodes.get_mut(&thread.id()) {
            Some(node) => {
                node.tracer = None;
                node.ended.is_some()
            }
            None => thread.has_left(),
        };
        let is_killed =
            thread.trace.lock().as_ref().is_some_and(|trace| trace.options.contains(TraceOptions::EXIT_KILL));
        let_go(&thread);
        orphans.push(Orphan { thread, has_ended, is_killed });
    }
    orphans
}

/// The tracees go on alone, or die where their tracer asked for that. Zombies become their parents'.
pub(super) fn release_all(orphans: Vec<Orphan>) {
    for Orphan { thread, has_ended, is_killed } in orphans {
        go_on(&thread);
        if is_killed {
            thread.process().send_signal(SignalInfo::kernel(Signal::KILL));
        }
        if has_ended {
            exit::after_tracing(&thread);
        }
    }
}

/// Stops the calling thread and tells its tracer; returns the signal that it goes on with. At once `None` if nobody
/// traces it.
fn stop(
    thread: &Arc<Thread>,
    user: &mut UserMode,
    code: i32,
    info: Option<SignalInfo>,
    is_killed: impl Fn(&State) -> bool,
) -> Option<SignalInfo> {
    let process = thread.process();
    if is_killed(&process.state.lock()) {
        return None;
    }
    let tracer = {
        let mut slot = thread.trace.lock();
        let trace = slot.as_deref_mut()?;
        let tracer = trace.tracer.clone()?;
        if core::mem::take(&mut trace.is_stepping) {
            user.registers.rflags &= !TRAP_FLAG;
        }
        user.settle();
        core::mem::swap(user, &mut trace.user);
        let signal = if code < 0x80 { code } else { 0 };
        trace.stop = Some(TraceStop { code, info, is_news: true, is_released: false, is_listening: false, signal });
        tracer
    };
    let change = if info.is_none() { ChildChange::Stopped } else { ChildChange::Trapped };
    job_control::tell(&tracer, thread.process(), thread.id(), change, code & 0x7f);

    process.resume.wait_until(|| {
        let is_killed = is_killed(&process.state.lock());
        let stop = thread.trace.lock();
        let stop = stop.as_ref().and_then(|trace| trace.stop.as_ref());
        (is_killed || stop.is_none_or(|stop| stop.is_released)).then_some(())
    });

    let mut slot = thread.trace.lock();
    let trace = slot.as_deref_mut()?;
    core::mem::swap(user, &mut trace.user);
    let stop = trace.stop.take()?;
    stop.info.filter(|info| info.signal().number() == stop.signal)
}

/// Returns whether the thread is to end, whatever its tracer wants.
fn is_ending(thread: &Thread, state: &State) -> bool {
    let is_replaced = state.executor.is_some_and(|executor| executor != thread.id());
    state.ending.is_some() || is_replaced || thread.is_exiting()
}

/// A stop in or around a system call, which shows as such in the registers and may be changed there.
fn stop_in_call(
    thread: &Arc<Thread>,
    user: &mut UserMode,
    call: &mut Option<InterruptedCall>,
    code: i32,
    info: Option<SignalInfo>,
) -> Option<SignalInfo> {
    set_original(thread, call.map_or(NO_CALL, |call| call.number));
    if let Some(call) = call {
        user.registers.rax = (-i64::from(call.result.number())) as u64;
    }
    let answer = stop(thread, user, code, info, |state| is_ending(thread, state));
    *call = interrupted_call(original(thread), user);
    answer
}

/// Returns the interrupted call that the registers show.
fn interrupted_call(number: u64, user: &UserMode) -> Option<InterruptedCall> {
    let result = Errno::from_interruption(user.registers.rax)?;
    (number as i64 >= 0).then_some(InterruptedCall { number, result })
}

fn set_original(thread: &Thread, number: u64) {
    if let Some(trace) = thread.trace.lock().as_deref_mut() {
        trace.original_rax = number;
    }
}

fn original(thread: &Thread) -> u64 {
    thread.trace.lock().as_deref().map_or(NO_CALL, |trace| trace.original_rax)
}

fn run_of(thread: &Thread) -> Run {
    thread.trace.lock().as_deref().filter(|trace| trace.tracer.is_some()).map_or(Run::Freely, |trace| trace.run)
}

/// A signal is to be delivered: the tracer decides. Returns what is left of it.
pub(super) fn stop_for_signal(
    thread: &Arc<Thread>,
    user: &mut UserMode,
    call: &mut Option<InterruptedCall>,
    info: SignalInfo,
) -> Option<SignalInfo> {
    let info = stop_in_call(thread, user, call, info.signal().number(), Some(info))?;
    let mut own = thread.signals.lock();
    if own.blocked.contains(info.signal()) && !SignalSet::ABSOLUTE.contains(info.signal()) {
        own.pending.push(info);
        return None;
    }
    Some(info)
}

/// The process is stopped by job control's `signal`, or (`None`) a seized tracee is to tell that something changed.
pub(super) fn stop_for_group(
    thread: &Arc<Thread>,
    user: &mut UserMode,
    call: &mut Option<InterruptedCall>,
    signal: Option<i32>,
) {
    thread.has_trap_due.store(false, Ordering::Relaxed);
    let is_seized = thread.trace.lock().as_ref().is_some_and(|trace| trace.attachment == Attachment::Seized);
    let number = signal.unwrap_or(Signal::TRAP.number());
    let code = if is_seized { number | (raw::PTRACE_EVENT_STOP as i32) << 8 } else { number };
    let info = Signal::from_number(number).filter(|_| is_seized).map(|signal| trap_info(thread, signal, code));
    stop_in_call(thread, user, call, code, info);
}

fn trap_info(thread: &Thread, signal: Signal, code: i32) -> SignalInfo {
    SignalInfo::sent(signal, code, thread.id(), thread.identity().uid)
}

/// Stops for event `event` (PTRACE_EVENT_*) if the tracer asked for it; `message` is for PTRACE_GETEVENTMSG. Returns
/// whether it asked.
pub(crate) fn stop_for_event(thread: &Arc<Thread>, user: &mut UserMode, event: u32, message: i32) -> bool {
    if !wants_event(thread, event) {
        return false;
    }
    if let Some(trace) = thread.trace.lock().as_deref_mut() {
        trace.message = message as u64;
    }
    let code = Signal::TRAP.number() | (event as i32) << 8;
    let info = trap_info(thread, Signal::TRAP, code);
    // The end of a process does not skip the stop that tells of it, but for SIGKILL's.
    stop(thread, user, code, Some(info), |state| match event {
        raw::PTRACE_EVENT_EXIT => state.ending == Some(Signal::KILL.number()),
        _ => is_ending(thread, state),
    });
    true
}

/// The thread is about to end: PTRACE_EVENT_EXIT.
pub(crate) fn stop_for_exit(thread: &Arc<Thread>, user: &mut UserMode) {
    let own = thread.exit_code.load(Ordering::Relaxed);
    let status = thread.process().state.lock().ending.unwrap_or(own);
    stop_for_event(thread, user, raw::PTRACE_EVENT_EXIT, status);
}

/// Returns whether the tracer asked for event `event`.
pub(crate) fn wants_event(thread: &Thread, event: u32) -> bool {
    thread.is_traced()
        && thread
            .trace
            .lock()
            .as_ref()
            .is_some_and(|trace| trace.options.bits() & 1 << event != 0 && trace.tracer.is_some())
}

/// After exec: the event, or classic tracing's SIGTRAP. `old_id` is the thread's id before.
pub(crate) fn stop_for_exec(thread: &Arc<Thread>, user: &mut UserMode, old_id: i32) {
    let is_classic = thread.trace.lock().as_ref().is_some_and(|trace| trace.attachment == Attachment::Classic);
    if !stop_for_event(thread, user, raw::PTRACE_EVENT_EXEC, old_id) && is_classic && thread.is_traced() {
        let own = SignalInfo::sent(Signal::TRAP, signal::code::USER, thread.id(), thread.identity().uid);
        thread.send_signal(own);
    }
}

/// The start of a traced thread's system call: stops if the tracer asked for that. Returns the call's number, which
/// the tracer may have changed; `None` if the call is not to be made.
pub(crate) fn enter_call(thread: &Arc<Thread>, user: &mut UserMode) -> Option<u64> {
    let number = user.registers.rax & 0xffff_ffff;
    set_original(thread, number);
    user.registers.rax = (-i64::from(Errno::ENOSYS.number())) as u64;
    if run_of(thread) != Run::ToSystemCall {
        return Some(number);
    }
    stop_at_call(thread, user, raw::PTRACE_EVENTMSG_SYSCALL_ENTRY);
    let is_killed = is_ending(thread, &thread.process().state.lock());
    let number = original(thread);
    (!is_killed && number as i32 >= 0).then_some(number & 0xffff_ffff)
}

/// The end of a traced thread's system call, with its result in the registers: stops if the tracer asked for that.
/// Returns the call if it was interrupted, as the registers show it then.
pub(crate) fn leave_call(thread: &Arc<Thread>, user: &mut UserMode) -> Option<InterruptedCall> {
    match run_of(thread) {
        Run::Freely => {}
        Run::ToSystemCall => stop_at_call(thread, user, raw::PTRACE_EVENTMSG_SYSCALL_EXIT),
        Run::OneInstruction => {
            signal::force(thread, SignalInfo::fault(Signal::TRAP, signal::code::TRAP_BRKPT, user.registers.rip));
        }
    }
    interrupted_call(original(thread), user)
}

fn stop_at_call(thread: &Arc<Thread>, user: &mut UserMode, message: u32) {
    let code = {
        let mut slot = thread.trace.lock();
        let Some(trace) = slot.as_deref_mut() else { return };
        trace.message = u64::from(message);
        let mark = if trace.options.contains(TraceOptions::MARK_SYSTEM_CALLS) { 0x80 } else { 0 };
        Signal::TRAP.number() | mark
    };
    let info = trap_info(thread, Signal::TRAP, code);
    if let Some(signal) = stop(thread, user, code, Some(info), |state| is_ending(thread, state)) {
        // "… restarted with a signal number: the tracee is sent it" (Linux: ptrace_report_syscall).
        thread.send_signal(signal);
    }
}

/// A handler is about to run: a tracer that steps sees its first instruction.
pub(super) fn stop_at_handler(thread: &Arc<Thread>, user: &mut UserMode) {
    if run_of(thread) == Run::OneInstruction {
        let info = trap_info(thread, Signal::TRAP, Signal::TRAP.number());
        stop(thread, user, Signal::TRAP.number(), Some(info), |state| is_ending(thread, state));
    }
}

/// The last act before user mode: the trap flag, if the tracer steps.
pub(crate) fn arm(thread: &Thread, user: &mut UserMode) {
    let mut slot = thread.trace.lock();
    let Some(trace) = slot.as_deref_mut() else { return };
    if trace.run == Run::OneInstruction && user.registers.rflags & TRAP_FLAG == 0 {
        user.registers.rflags |= TRAP_FLAG;
        trace.is_stepping = true;
    }
}

/// Keeps what a debug exception tells for the tracer.
pub(super) fn note_debug_status(thread: &Thread, status: u64) {
    if let Some(trace) = thread.trace.lock().as_deref_mut() {
        trace.debug_status |= status;
    }
}

/// Takes away the trap flag that `arm` set: a handler's frame keeps the program's own.
pub(super) fn disarm(thread: &Thread, user: &mut UserMode) {
    if let Some(trace) = thread.trace.lock().as_deref_mut()
        && core::mem::take(&mut trace.is_stepping)
    {
        user.registers.rflags &= !TRAP_FLAG;
    }
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
