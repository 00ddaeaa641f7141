//! Delivery: what a thread does about its signals on its way back to user mode, and what becomes of the call that a
//! signal interrupted (signal(7), "Interruption of system calls").

use super::{Action, ActionFlags, DEFAULT, DefaultAction, IGNORE, Signal, SignalInfo, SignalSet, frame};
use crate::errno::Errno;
use crate::machine::console::log;
use crate::machine::user::UserMode;
use crate::process::thread_group::Stop;
use crate::process::{Thread, exit, job_control, rseq, table, timers, trace};
use crate::vm::AddressSpace;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::__NR_restart_syscall;

/// Whether the thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Resume,
    /// The thread, or its process, is to end.
    End,
}

/// A system call that a signal interrupted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InterruptedCall {
    /// Its number, which a restart puts back into `rax`.
    pub(crate) number: u64,
    /// `RESTART` or one of its kind.
    pub(crate) result: Errno,
}

/// What a thread finds due.
enum Due {
    Nothing,
    End,
    Stop,
    /// A tracer is to be told of something.
    Trap(Option<i32>),
    Signal(SignalInfo),
}

/// Acts on all that is due for the calling thread. `call` is the system call that returns now, if it was interrupted.
pub(crate) fn deliver(
    thread: &Arc<Thread>, space: &AddressSpace, user: &mut UserMode, mut call: Option<InterruptedCall>,
) -> Delivery {
    while thread.needs_attention() {
        match next_due(thread) {
            Due::End => return Delivery::End,
            Due::Stop => job_control::take_part_in_stop(thread, user, &mut call),
            Due::Trap(signal) => trace::stop_for_group(thread, user, &mut call, signal),
            Due::Nothing => break,
            Due::Signal(mut info) => {
                timers::collect(thread.process(), &mut info);
                if thread.is_traced() {
                    let Some(given) = trace::stop_for_signal(thread, user, &mut call, info) else { continue };
                    info = given;
                }
                let action = thread.process().state.lock().dispositions.take_for_delivery(info.signal());
                match action.handler {
                    IGNORE => {}
                    DEFAULT => take_default_action(thread, &info),
                    _ => handle(thread, space, user, &info, &action, call.take()),
                }
            }
        }
    }
    if let Some(call) = call {
        restart_without_handler(user, call);
    }
    thread.restore_blocked();
    if thread.is_traced() {
        trace::arm(thread, user);
    }
    Delivery::Resume
}

/// Takes what is due next, and clears the attention mark when that is nothing.
fn next_due(thread: &Arc<Thread>) -> Due {
    let process = thread.process();
    let mut state = process.state.lock();
    let is_replaced = state.executor.is_some_and(|executor| executor != thread.id());
    if state.ending.is_some() || is_replaced || thread.is_exiting() {
        return Due::End;
    }
    if state.stop != Stop::None && !thread.passes_stop.load(Ordering::Relaxed) {
        return Due::Stop;
    }
    if thread.has_trap_due.load(Ordering::Relaxed) {
        return Due::Trap(trace::group_signal(&state));
    }
    let info = {
        let mut own = thread.signals.lock();
        let wanted = SignalSet::from_bits(!own.blocked.bits());
        own.pending.take(wanted).or_else(|| state.pending.take(wanted))
    };
    match info {
        None => {
            super::recalculate(&mut state, thread);
            Due::Nothing
        }
        Some(info) => {
            thread.may_stop.store(true, Ordering::Relaxed);
            Due::Signal(info)
        }
    }
}

fn take_default_action(thread: &Arc<Thread>, info: &SignalInfo) {
    let process = thread.process();
    let signal = info.signal();
    match signal.default_action() {
        DefaultAction::Ignore | DefaultAction::Continue => {}
        DefaultAction::Stop => {
            // "A stop signal sent to an orphaned process group is ignored", but for SIGSTOP (POSIX).
            if !process.is_unkillable() && (signal == Signal::STOP || !table::is_orphaned_group(process.group_id())) {
                job_control::request_stop(thread, signal);
            }
        }
        DefaultAction::Terminate | DefaultAction::Dump => {
            if !process.is_unkillable() {
                exit::end_process(process, signal.number());
            }
        }
    }
}

/// Prepares the user registers and stack for a handler.
fn handle(
    thread: &Arc<Thread>, space: &AddressSpace, user: &mut UserMode, info: &SignalInfo, action: &Action,
    call: Option<InterruptedCall>,
) {
    if let Some(call) = call {
        let is_restarted = match call.result {
            Errno::RESTART_ALWAYS => true,
            Errno::RESTART => action.flags.contains(ActionFlags::RESTART),
            _ => false,
        };
        if is_restarted {
            repeat(user, call.number);
        } else {
            user.registers.rax = (-i64::from(Errno::EINTR.number())) as u64;
        }
    }

    let signal = info.signal();
    let (blocked, returned_mask, alternate) = {
        let mut own = thread.signals.lock();
        (own.blocked, own.saved_blocked.take().unwrap_or(own.blocked), own.alternate_stack)
    };
    if thread.is_traced() {
        trace::disarm(thread, user);
    }
    let is_section_left = rseq::interrupt(thread, space, user);
    if is_section_left.and_then(|()| frame::push(thread, space, user, &alternate, info, action, returned_mask)).is_err()
    {
        report_bad_frame(thread, user);
        if signal == Signal::SEGV {
            thread.process().dispositions().reset(signal);
        }
        super::force(thread, SignalInfo::kernel(Signal::SEGV));
        return;
    }

    let mut blocked = blocked.union(action.mask);
    if !action.flags.contains(ActionFlags::NO_DEFER) {
        blocked.insert(signal);
    }
    thread.set_blocked(blocked);
    if thread.is_traced() {
        trace::stop_at_handler(thread, user);
    }
}

fn report_bad_frame(thread: &Thread, user: &UserMode) {
    let registers = &user.registers;
    thread.with_name(|name| {
        let name = core::str::from_utf8(name).unwrap_or("?");
        log!(
            Info,
            "{name}[{}] bad frame in setup_rt_frame: ip:{:x} sp:{:x}",
            thread.id(),
            registers.rip,
            registers.rsp
        );
    });
}

/// No handler runs: the call starts again, or goes on by restart_syscall.
fn restart_without_handler(user: &mut UserMode, call: InterruptedCall) {
    let number = if call.result == Errno::RESTART_BLOCK { u64::from(__NR_restart_syscall) } else { call.number };
    repeat(user, number);
}

/// Lets user mode run the two-byte `syscall` instruction again.
fn repeat(user: &mut UserMode, number: u64) {
    user.registers.rax = number;
    user.registers.rip = user.registers.rip.wrapping_sub(2);
}
