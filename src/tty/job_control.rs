//! Job control's view of a terminal: which session it controls, which process group is in the foreground, and who is
//! stopped for touching it from the background (credentials(7), POSIX.1-2017 chapter 11.1).

use super::input::Keyed;
use super::terminal::{Access, Terminal};
use crate::errno::{Errno, Result};
use crate::file::DeviceNumber;
use crate::fs::Capabilities;
use crate::process::{ControllingTerminal, Process, Signal, SignalInfo, Thread, signal, table};
use alloc::sync::Arc;

/// The session and group that a terminal belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JobControl {
    /// The session's id; 0 for none.
    session: i32,
    /// The foreground process group's id; 0 for none.
    foreground: i32,
}

impl ControllingTerminal for Terminal {
    fn device(&self) -> DeviceNumber {
        self.number()
    }

    fn foreground_group(&self) -> i32 {
        self.state.lock().job_control.foreground
    }

    fn release(&self) {
        self.state.lock().job_control = JobControl::default();
        // A line is hung up with its session; a pseudo-terminal's other side may still want the output.
        if self.hardware().can_drain() {
            self.hang_up();
        }
    }
}

/// Returns the calling process' controlling terminal.
pub(super) fn terminal_of_caller() -> Option<Arc<Terminal>> {
    let terminal: Arc<dyn core::any::Any + Send + Sync> = Thread::current().process().session().terminal()?;
    terminal.downcast().ok()
}

/// Returns whether `terminal` controls the calling process.
pub(super) fn controls_caller(terminal: &Terminal) -> bool {
    terminal_of_caller().is_some_and(|own| core::ptr::eq(&*own, terminal))
}

/// A read: a background group is stopped with SIGTTIN. EIO where that would be for ever.
pub(super) fn check_read(terminal: &Terminal, access: Access) -> Result {
    if access.is_console { Ok(()) } else { check(terminal, Signal::TTIN) }
}

/// A write with TOSTOP on: a background group is stopped with SIGTTOU.
pub(super) fn check_write(terminal: &Terminal, access: Access) -> Result {
    if access.is_console { Ok(()) } else { check(terminal, Signal::TTOU) }
}

/// A change of the terminal: a background group is stopped with SIGTTOU.
pub(super) fn check_change(terminal: &Terminal) -> Result {
    check(terminal, Signal::TTOU)
}

fn check(terminal: &Terminal, signal: Signal) -> Result {
    let foreground = terminal.foreground_group();
    let thread = Thread::current();
    let process = thread.process();
    let group = process.group_id();
    if foreground == 0 || group == foreground || !controls_caller(terminal) {
        return Ok(());
    }

    if thread.blocked().contains(signal) || process.dispositions().get(signal).handler == signal::IGNORE {
        return if signal == Signal::TTIN { Err(Errno::EIO) } else { Ok(()) };
    }
    Errno::EIO.when(table::is_orphaned_group(group))?;
    signal::signal_group(group, signal);
    Err(Errno::RESTART)
}

/// Sends the foreground group the signal that was typed.
pub(super) fn signal_foreground(terminal: &Terminal, keyed: Keyed) {
    let signal = match keyed {
        Keyed::Interrupt => Signal::INT,
        Keyed::Quit => Signal::QUIT,
        Keyed::Suspend => Signal::TSTP,
    };
    signal::signal_group(terminal.foreground_group(), signal);
}

/// Sends the foreground group `signal` (TIOCSIG).
pub(super) fn signal_foreground_with(terminal: &Terminal, signal: Signal) {
    signal::signal_group(terminal.foreground_group(), signal);
}

/// TIOCGPGRP from a pseudo-terminal's controller, which needs no connection with the session.
pub(super) fn foreground_of_any(terminal: &Terminal) -> i32 {
    terminal.foreground_group()
}

/// TIOCGSID from a pseudo-terminal's controller.
pub(super) fn session_of_any(terminal: &Terminal) -> Result<i32> {
    let session = terminal.state.lock().job_control.session;
    if session == 0 { Err(Errno::ENOTTY) } else { Ok(session) }
}

/// Tells the foreground group that the window has another size.
pub(super) fn signal_window_change(terminal: &Terminal) {
    signal::signal_group(terminal.foreground_group(), Signal::WINCH);
}

/// A session leader without a terminal opened this one: it becomes the controlling terminal, if it is free.
pub(super) fn acquire_at_open(terminal: &Terminal) {
    let Some(thread) = Thread::try_current() else { return };
    let process = thread.process();
    if is_leader(process) && process.session().terminal().is_none() {
        // EPERM: it is another's, which is no error here.
        let _ = control(terminal, process, 0);
    }
}

/// TIOCSCTTY.
pub(super) fn acquire(terminal: &Terminal, steal: bool, is_readable: bool) -> Result {
    let thread = Thread::current();
    let process = thread.process();
    let owner = terminal.state.lock().job_control.session;
    if is_leader(process) && owner == process.session_id() {
        return Ok(());
    }
    Errno::EPERM.when(!is_leader(process) || process.session().terminal().is_some())?;

    let is_administrator = thread.identity().can(Capabilities::SYS_ADMIN);
    if owner != 0 {
        Errno::EPERM.when(!steal || !is_administrator)?;
        if let Some(leader) = table::find(owner) {
            leader.session().set_terminal(None);
        }
    }
    Errno::EPERM.when(!is_readable && !is_administrator)?;
    control(terminal, process, owner)
}

/// TIOCNOTTY: a session leader's whole session loses the terminal, with SIGHUP and SIGCONT for its foreground group.
pub(super) fn give_up(terminal: &Terminal) -> Result {
    Errno::ENOTTY.when(!controls_caller(terminal))?;
    let thread = Thread::current();
    let process = thread.process();
    // Other processes keep sharing their session's terminal: it is the session that has one here.
    if is_leader(process) {
        let foreground = core::mem::take(&mut terminal.state.lock().job_control).foreground;
        process.session().set_terminal(None);
        signal::signal_group(foreground, Signal::HUP);
        signal::signal_group(foreground, Signal::CONT);
    }
    Ok(())
}

/// TIOCGPGRP.
pub(super) fn foreground(terminal: &Terminal) -> Result<i32> {
    Errno::ENOTTY.when(!controls_caller(terminal))?;
    Ok(terminal.foreground_group())
}

/// TIOCGSID.
pub(super) fn session(terminal: &Terminal) -> Result<i32> {
    let session = terminal.state.lock().job_control.session;
    Errno::ENOTTY.when(session == 0 || !controls_caller(terminal))?;
    Ok(session)
}

/// TIOCSPGRP; `group` is read only when the caller may ask at all.
pub(super) fn set_foreground(terminal: &Terminal, group: impl FnOnce() -> Result<i32>) -> Result {
    check_change(terminal).map_err(|error| if error == Errno::EIO { Errno::ENOTTY } else { error })?;
    let group = group()?;
    Errno::EINVAL.when(group < 0)?;

    let caller = Thread::current().process().session_id();
    Errno::ENOTTY.when(!controls_caller(terminal) || terminal.state.lock().job_control.session != caller)?;
    let members = table::group_members(group);
    let member = members.first().ok_or(Errno::ESRCH)?;
    Errno::EPERM.when(member.session_id() != caller)?;
    terminal.state.lock().job_control.foreground = group;
    Ok(())
}

/// Ends all that the terminal controls: SIGHUP and SIGCONT, and nobody has it any more (tty_hangup of a line that broke).
pub(super) fn disconnect(terminal: &Terminal) {
    let JobControl { session, foreground } = core::mem::take(&mut terminal.state.lock().job_control);
    if let Some(leader) = table::find(session) {
        leader.session().set_terminal(None);
        leader.send_signal(SignalInfo::kernel(Signal::HUP));
        leader.send_signal(SignalInfo::kernel(Signal::CONT));
    }
    signal::signal_group(foreground, Signal::HUP);
    signal::signal_group(foreground, Signal::CONT);
}

/// Gives the terminal to the session of `process`, from that of leader `owner` (0: none). EPERM if it is not that one's now.
fn control(terminal: &Terminal, process: &Process, owner: i32) -> Result {
    let mine = JobControl { session: process.session_id(), foreground: process.group_id() };
    {
        let present = &mut terminal.state.lock().job_control;
        Errno::EPERM.when(present.session != owner)?;
        *present = mine;
    }
    process.session().set_terminal(terminal.shared().map(|shared| -> Arc<dyn ControllingTerminal> { shared }));
    Ok(())
}

fn is_leader(process: &Process) -> bool {
    process.session_id() == process.id()
}
