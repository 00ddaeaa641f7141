//! Where a tracee stops: each stop is told to the tracer, which may change registers, call and signal meanwhile. All of
//! it runs in the traced thread, on its way through the kernel.

use super::{Attachment, NO_CALL, Run, Trace, TraceOptions, TraceStop};
use crate::errno::Errno;
use crate::machine::user::UserMode;
use crate::process::signal::{self, ChildChange, InterruptedCall, Signal, SignalInfo, SignalSet};
use crate::process::thread_group::State;
use crate::process::{Thread, job_control};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::TRAP_BRKPT;
use linux_raw_sys::ptrace as raw;

/// RFLAGS' trap flag: one instruction, then a debug exception.
const TRAP_FLAG: u64 = 0x100;

/// Calls `with` on the thread's trace; `None` if nobody ever traced it.
fn with<T>(thread: &Thread, with: impl FnOnce(&mut Trace) -> T) -> Option<T> {
    thread.trace.lock().as_deref_mut().map(with)
}

/// Stops the calling thread and tells its tracer; returns the signal that it goes on with. At once `None` if nobody
/// traces it.
fn stop(
    thread: &Arc<Thread>, user: &mut UserMode, code: i32, info: Option<SignalInfo>, is_killed: impl Fn(&State) -> bool,
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
    drop(slot);
    // What came meanwhile was not told to a thread in a stop.
    signal::recalculate(&mut process.state.lock(), thread);
    stop.info.filter(|info| info.signal().number() == stop.signal)
}

/// Returns whether the thread is to end, whatever its tracer wants.
fn is_ending(thread: &Thread, state: &State) -> bool {
    let is_replaced = state.executor.is_some_and(|executor| executor != thread.id());
    state.ending.is_some() || is_replaced || thread.is_exiting()
}

/// A stop in or around a system call, which shows as such in the registers and may be changed there.
fn stop_in_call(
    thread: &Arc<Thread>, user: &mut UserMode, call: &mut Option<InterruptedCall>, code: i32, info: Option<SignalInfo>,
) -> Option<SignalInfo> {
    set_original(thread, call.map_or(NO_CALL, |call| call.number));
    if let Some(call) = call {
        user.registers.rax = call.result.in_rax();
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
    with(thread, |trace| trace.original_rax = number);
}

fn original(thread: &Thread) -> u64 {
    with(thread, |trace| trace.original_rax).unwrap_or(NO_CALL)
}

fn run_of(thread: &Thread) -> Run {
    with(thread, |trace| if trace.tracer.is_some() { trace.run } else { Run::Freely }).unwrap_or(Run::Freely)
}

/// A signal is to be delivered: the tracer decides. Returns what is left of it.
pub(in crate::process) fn stop_for_signal(
    thread: &Arc<Thread>, user: &mut UserMode, call: &mut Option<InterruptedCall>, info: SignalInfo,
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
pub(in crate::process) fn stop_for_group(
    thread: &Arc<Thread>, user: &mut UserMode, call: &mut Option<InterruptedCall>, signal: Option<i32>,
) {
    thread.has_trap_due.store(false, Ordering::Relaxed);
    let is_seized = with(thread, |trace| trace.attachment == Attachment::Seized).unwrap_or(false);
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
    with(thread, |trace| trace.message = message as u64);
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
    let wants = |trace: &mut Trace| trace.options.bits() & 1 << event != 0 && trace.tracer.is_some();
    thread.is_traced() && with(thread, wants).unwrap_or(false)
}

/// After exec: the event, or classic tracing's SIGTRAP. `old_id` is the thread's id before.
pub(crate) fn stop_for_exec(thread: &Arc<Thread>, user: &mut UserMode, old_id: i32) {
    let is_classic = with(thread, |trace| trace.attachment == Attachment::Classic).unwrap_or(false);
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
            signal::force(thread, SignalInfo::fault(Signal::TRAP, TRAP_BRKPT, user.registers.rip));
        }
    }
    interrupted_call(original(thread), user)
}

fn stop_at_call(thread: &Arc<Thread>, user: &mut UserMode, message: u32) {
    let code = with(thread, |trace| {
        trace.message = u64::from(message);
        let mark = if trace.options.contains(TraceOptions::MARK_SYSTEM_CALLS) { 0x80 } else { 0 };
        Signal::TRAP.number() | mark
    });
    let Some(code) = code else { return };
    let info = trap_info(thread, Signal::TRAP, code);
    if let Some(signal) = stop(thread, user, code, Some(info), |state| is_ending(thread, state)) {
        // "… restarted with a signal number: the tracee is sent it" (Linux: ptrace_report_syscall).
        thread.send_signal(signal);
    }
}

/// A handler is about to run: a tracer that steps sees its first instruction.
pub(in crate::process) fn stop_at_handler(thread: &Arc<Thread>, user: &mut UserMode) {
    if run_of(thread) == Run::OneInstruction {
        let info = trap_info(thread, Signal::TRAP, Signal::TRAP.number());
        stop(thread, user, Signal::TRAP.number(), Some(info), |state| is_ending(thread, state));
    }
}

/// The last act before user mode: the trap flag, if the tracer steps.
pub(crate) fn arm(thread: &Thread, user: &mut UserMode) {
    with(thread, |trace| {
        if trace.run == Run::OneInstruction && user.registers.rflags & TRAP_FLAG == 0 {
            user.registers.rflags |= TRAP_FLAG;
            trace.is_stepping = true;
        }
    });
}

/// Keeps what a debug exception tells for the tracer.
pub(in crate::process) fn note_debug_status(thread: &Thread, status: u64) {
    with(thread, |trace| trace.debug_status |= status);
}

/// Takes away the trap flag that `arm` set: a handler's frame keeps the program's own.
pub(in crate::process) fn disarm(thread: &Thread, user: &mut UserMode) {
    with(thread, |trace| {
        if core::mem::take(&mut trace.is_stepping) {
            user.registers.rflags &= !TRAP_FLAG;
        }
    });
}
