//! Sending: into which queue a signal goes, who is woken, and what happens at once (SIGKILL, stop and continue).

use super::{Action, ChildChange, DefaultAction, IGNORE, Pending, Signal, SignalInfo, SignalSet};
use crate::errno::{Errno, Result};
use crate::file::{Charge, Events};
use crate::fs::{Capabilities, Identity};
use crate::machine::task::{WaitError, WaitQueue};
use crate::process::limits::QUEUED_SIGNALS;
use crate::process::thread::ThreadSignals;
use crate::process::thread_group::{State, Stop};
use crate::process::{Process, Resource, Thread, exit, job_control, table, timers, trace};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// Which queue a signal goes to.
#[derive(Clone, Copy)]
enum Target<'a> {
    Thread(&'a Arc<Thread>),
    Process,
}

/// Sends a signal to one thread. Permission was checked.
pub(crate) fn send_to_thread(thread: &Arc<Thread>, info: SignalInfo) {
    send(thread.process(), Target::Thread(thread), info);
}

/// `send_to_process` for who has the table locked.
pub(in crate::process) fn send_to_process_in(table: &table::Table, process: &Process, info: SignalInfo) {
    send_in(table, process, Target::Process, info);
}

/// `send_to_thread` for who has the table locked.
pub(in crate::process) fn send_to_thread_in(table: &table::Table, thread: &Arc<Thread>, info: SignalInfo) {
    send_in(table, thread.process(), Target::Thread(thread), info);
}

/// Sends a signal to a process: any of its threads may take it. Permission was checked.
pub(crate) fn send_to_process(process: &Arc<Process>, info: SignalInfo) {
    send(process, Target::Process, info);
}

/// Sends a signal (`None`: only looks) to each process of a group that `may` get it. ESRCH if there is none, EPERM if none
/// may. A process that forks at this moment has its child among them, or does it anew.
pub(crate) fn send_to_group(group: i32, info: Option<SignalInfo>, may: impl Fn(&Process) -> bool) -> Result {
    table::with(|table| {
        let mut answer = Err(Errno::ESRCH);
        for process in table.group_members(group) {
            if !may(&process) {
                answer = answer.or(Err(Errno::EPERM));
                continue;
            }
            answer = Ok(());
            if let Some(info) = info {
                send_to_one_of_many(table, &process, info);
            }
        }
        answer
    })
}

/// Sends a signal (`None`: only looks) to each process but the first and the `caller` that `may` get it (kill(2) with -1).
/// ESRCH if there is no other; none that may is no error.
pub(crate) fn send_to_all(caller: &Process, info: Option<SignalInfo>, may: impl Fn(&Process) -> bool) -> Result {
    table::with(|table| {
        let all = table.nodes.values().map(|node| &node.process);
        let others = all.filter(|process| process.id() != table::INIT && process.id() != caller.id());
        let mut answer = Err(Errno::ESRCH);
        for process in others {
            answer = Ok(());
            if let Some(info) = info.filter(|_| may(process)) {
                send_to_one_of_many(table, process, info);
            }
        }
        answer
    })
}

fn send_to_one_of_many(table: &table::Table, process: &Process, info: SignalInfo) {
    process.group_signals.fetch_add(1, Ordering::Relaxed);
    send_to_process_in(table, process, info);
}

/// Sends the kernel's own `signal` to all processes of a group; none if `group` is 0.
pub(crate) fn signal_group(group: i32, signal: Signal) {
    if group != 0 {
        // A group that has gone is no error.
        let _ = send_to_group(group, Some(SignalInfo::kernel(signal)), |_| true);
    }
}

/// Sends a signal that the thread itself caused (a fault): it can be neither blocked nor ignored, and even the first
/// process dies of it.
pub(crate) fn force(thread: &Arc<Thread>, info: SignalInfo) {
    let process = thread.process();
    let mut state = process.state.lock();
    let signal = info.signal();
    let is_helpless = {
        let mut own = thread.signals.lock();
        let is_blocked = own.blocked.contains(signal);
        own.blocked.remove(signal);
        own.pending.push(info);
        is_blocked || state.dispositions.get(signal).handler <= IGNORE
    };
    if is_helpless {
        state.dispositions.reset(signal);
        process.is_unkillable.store(false, Ordering::Relaxed);
    }
    recalculate(&mut state, thread);
}

/// Returns whether `sender` may send `signal` to `process`: same user, CAP_KILL, or SIGCONT within the session
/// (kill(2)).
pub(crate) fn may_send(sender: &Thread, process: &Process, signal: Option<Signal>) -> bool {
    if core::ptr::eq(Arc::as_ptr(sender.process()), process) {
        return true;
    }
    let own = sender.identity();
    let Some(target) = process.main_identity() else { return true };
    is_same_user(&own, &target)
        || own.can(Capabilities::KILL)
        || signal == Some(Signal::CONT) && process.session_id() == sender.process().session_id()
}

fn is_same_user(own: &Identity, target: &Identity) -> bool {
    [own.euid, own.uid].iter().any(|id| *id == target.suid || *id == target.uid)
}

fn send(process: &Arc<Process>, target: Target<'_>, info: SignalInfo) {
    if enter(process, target, info) {
        table::with(|table| announce_continue(table, process));
    }
}

fn send_in(table: &table::Table, process: &Process, target: Target<'_>, info: SignalInfo) {
    if enter(process, target, info) {
        announce_continue(table, process);
    }
}

fn announce_continue(table: &table::Table, process: &Process) {
    job_control::announce(table, process, ChildChange::Continued, Signal::CONT.number());
}

/// Enters the signal into its queue, or does what it does at once; returns whether it continued a stopped process.
fn enter(process: &Process, target: Target<'_>, info: SignalInfo) -> bool {
    let signal = info.signal();
    let mut state = process.state.lock();
    if state.threads.is_empty() || state.ending.is_some() {
        if signal == Signal::KILL {
            // It ends already, but may be in the stop that tells a tracer so.
            state.threads.iter().for_each(|thread| trace::release(thread));
        }
        return false;
    }

    let mut continued = false;
    if SignalSet::STOPS.contains(signal) {
        discard(&mut state, SignalSet::of(&[Signal::CONT]));
    } else if signal == Signal::CONT {
        discard(&mut state, SignalSet::STOPS);
        continued = job_control::clear_stop(process, &mut state);
    }

    if !is_dropped(process, &state, target, &info) {
        queue(process, &mut state, target, info);
    }
    continued
}

/// Returns whether the signal has no effect: ignored and not blocked, or one that the first process does not handle.
fn is_dropped(process: &Process, state: &State, target: Target<'_>, info: &SignalInfo) -> bool {
    let signal = info.signal();
    let action = state.dispositions.get(signal);
    let spares_init =
        process.is_unkillable() && action.handler == super::DEFAULT && signal.default_action() != DefaultAction::Ignore;
    if !spares_init && (!action.ignores(signal) || signal.is_absolute()) {
        return false;
    }
    // Who blocks a signal or waits for it with sigtimedwait(2) gets it all the same, busybox' init for one; and a
    // tracer sees all.
    let thread = match target {
        Target::Thread(thread) => thread,
        Target::Process => &state.threads[0],
    };
    let own = thread.signals.lock();
    !own.blocked.union(own.waited).contains(signal) && (!thread.is_traced() || signal == Signal::KILL)
}

fn queue(process: &Process, state: &mut State, target: Target<'_>, info: SignalInfo) {
    let signal = info.signal();
    if signal == Signal::KILL {
        exit::mark_ending(process, state, signal.number());
        return;
    }
    let is_limited = signal.is_queued() && info.timer_id().is_none();
    let charge = if is_limited { charge(process, state) } else { None };
    let has_room = !is_limited || charge.is_some();
    let push = |pending: &mut Pending| match has_room {
        true => pending.push_charged(info, charge),
        false => pending.push_bare(signal),
    };
    match target {
        Target::Thread(thread) => {
            push(&mut thread.signals.lock().pending);
            recalculate(state, thread);
        }
        Target::Process => {
            push(&mut state.pending);
            if let Some(thread) = choose(state, signal).cloned() {
                recalculate(state, &thread);
            }
        }
    }
    process.signal_arrivals().announce(Events::READ);
}

/// Returns a thread that may take the signal at once; the oldest for preference.
fn choose(state: &State, signal: Signal) -> Option<&Arc<Thread>> {
    let is_held = |thread: &Thread| thread.is_exiting() || thread.is_stopped() || thread.is_trace_stopped();
    state.threads.iter().find(|thread| !is_held(thread) && !thread.signals.lock().blocked.contains(signal))
}

/// Takes the next signal of `wanted`, blocked or not; sleeps until there is one, another signal is due, or the time is
/// over (sigtimedwait(2)).
pub(crate) fn wait_for(
    thread: &Arc<Thread>, wanted: SignalSet, deadline_ns: Option<u64>,
) -> core::result::Result<SignalInfo, WaitError> {
    let real = thread.blocked();
    {
        let mut own = thread.signals.lock();
        own.waited = wanted;
    }
    // While it waits the signals count as unblocked, so that senders wake this thread for them.
    thread.set_blocked(real.without(wanted));
    let queue = WaitQueue::new();
    let mut answer = queue.wait_deadline(deadline_ns, || take(thread, wanted));
    if answer.is_err()
        && let Some(info) = take(thread, wanted)
    {
        answer = Ok(info);
    }
    // In this order: at no moment does the thread seem to want none of them.
    thread.set_blocked(real);
    thread.signals.lock().waited = SignalSet::EMPTY;
    answer
}

/// Takes the next pending signal of `wanted`, blocked or not, for the calling thread.
pub(crate) fn take(thread: &Arc<Thread>, wanted: SignalSet) -> Option<SignalInfo> {
    let taken = {
        let mut state = thread.process().state.lock();
        let mut own = thread.signals.lock();
        own.pending.take(wanted).or_else(|| state.pending.take(wanted))
    };
    taken.map(|mut info| {
        timers::collect(thread.process(), &mut info);
        info
    })
}

/// Returns whether one more signal may be queued by RLIMIT_SIGPENDING; sigqueue(3) answers EAGAIN else.
pub(crate) fn may_queue(process: &Process) -> bool {
    let state = process.state.lock();
    // Who has ended gets none, which is no error.
    state.threads.is_empty() || charge(process, &state).is_some()
}

/// Returns how many real-time signals wait for a user's threads.
pub(crate) fn queued_for(uid: u32) -> usize {
    QUEUED_SIGNALS.of(uid)
}

/// Counts one more signal that waits for the user of `process`; `None` if that is more than RLIMIT_SIGPENDING allows.
fn charge(process: &Process, state: &State) -> Option<Charge> {
    let uid = state.threads.first()?.identity().uid;
    QUEUED_SIGNALS.charge(uid, 1, process.limit(Resource::PendingSignals) as usize)
}

/// Forgets the pending signals of `set`, of the process and of all its threads.
pub(in crate::process) fn discard(state: &mut State, set: SignalSet) {
    state.pending.discard(set);
    for thread in &state.threads {
        thread.signals.lock().pending.discard(set);
    }
}

/// Sets or takes back a thread's attention mark by what is due for it. After each change of queues, mask, stop or end.
pub(in crate::process) fn recalculate(state: &mut State, thread: &Arc<Thread>) {
    let is_due = is_due(state, thread, &thread.signals.lock());
    thread.set_attention(is_due);
}

fn is_due(state: &State, thread: &Thread, own: &ThreadSignals) -> bool {
    let is_ending = state.ending.is_some() || state.executor.is_some_and(|executor| executor != thread.id());
    let is_stopping = state.stop != Stop::None
        && !thread.passes_stop.load(Ordering::Relaxed)
        && !matches!(state.stop, Stop::Requested { .. } if thread.is_stopped());
    let is_trapping = thread.has_trap_due.load(Ordering::Relaxed);
    let signals = own.pending.set().union(state.pending.set()).without(own.blocked);
    is_ending || is_stopping || is_trapping || thread.is_exiting() || !signals.is_empty()
}

impl Process {
    /// Changes what the process does about a signal; forgets pending ones that have no effect any more. Returns the
    /// action before.
    pub(crate) fn set_action(&self, signal: Signal, action: Action) -> Action {
        let mut state = self.state.lock();
        let old = state.dispositions.set(signal, action);
        if action.ignores(signal) {
            discard(&mut state, SignalSet::of(&[signal]));
        }
        old
    }

    /// Sends a signal to the process; permission was checked.
    pub(crate) fn send_signal(self: &Arc<Process>, info: SignalInfo) {
        send_to_process(self, info);
    }
}

impl Thread {
    /// Changes the blocked signals; SIGKILL and SIGSTOP stay unblocked. Returns the ones before.
    pub(crate) fn set_blocked(self: &Arc<Thread>, blocked: SignalSet) -> SignalSet {
        let mut state = self.process().state.lock();
        let (old, is_due) = {
            let mut own = self.signals.lock();
            let old = core::mem::replace(&mut own.blocked, blocked.without(SignalSet::ABSOLUTE));
            (old, is_due(&state, self, &own))
        };
        self.set_attention(is_due);
        let newly_blocked = blocked.without(old);
        if !state.pending.set().intersection(newly_blocked).is_empty() {
            hand_over(&mut state, self);
        }
        old
    }

    /// Blocks `blocked` for the time of one call (sigsuspend, ppoll, pselect, epoll_pwait): the mask before comes back
    /// after the handler that ends it, or by `restore_blocked`.
    pub(crate) fn set_temporary_blocked(self: &Arc<Thread>, blocked: SignalSet) {
        let old = self.set_blocked(blocked);
        self.signals.lock().saved_blocked = Some(old);
    }

    /// Puts back the mask before `set_temporary_blocked`: the call ended without a signal.
    pub(crate) fn restore_blocked(self: &Arc<Thread>) {
        let saved = self.signals.lock().saved_blocked.take();
        if let Some(saved) = saved {
            self.set_blocked(saved);
        }
    }
}

/// Finds other threads for the process' signals, which `thread` does not take now.
pub(in crate::process) fn hand_over(state: &mut State, thread: &Arc<Thread>) {
    for index in 0..state.threads.len() {
        let other = state.threads[index].clone();
        if !Arc::ptr_eq(&other, thread) && !other.is_exiting() {
            recalculate(state, &other);
        }
    }
}
