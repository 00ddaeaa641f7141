//! A terminal's requests (ioctl_tty(2)), with Linux's checks in Linux's order.

use super::job_control;
use super::settings::{Control, Termio, Termios, Termios2, WindowSize};
use super::terminal::{Access, Terminal};
use crate::errno::{Errno, Result};
use crate::fs::Capabilities;
use crate::process::Thread;
use crate::vm::{AddressSpace, UserPtr};
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct vt_stat`: the terminal in front, the signal to send, and which terminals are open, one bit each.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct VirtualTerminals {
    active: u16,
    signal: u16,
    open: u16,
}

/// Serves request `request` of an open file with `access`.
pub(super) fn serve(
    terminal: &Terminal, access: Access, is_readable: bool, space: &AddressSpace, request: u32, argument: u64,
) -> Result<usize> {
    if terminal.is_hung_up(access) {
        return Err(if request == ioctl::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO });
    }
    let number = argument as u32;

    match request {
        ioctl::TCGETS => put(space, argument, &terminal.settings().to_termios()),
        ioctl::TCGETS2 => put(space, argument, &terminal.settings().to_termios2()),
        ioctl::TCGETA => put(space, argument, &terminal.settings().to_termio()),
        ioctl::TCSETS | ioctl::TCSETSW | ioctl::TCSETSF => {
            let new: Termios = get_change(terminal, space, argument)?;
            prepare_change(terminal, request != ioctl::TCSETS, request == ioctl::TCSETSF)?;
            terminal.set_settings(|settings| settings.set_termios(&new));
            Ok(0)
        }
        ioctl::TCSETS2 | ioctl::TCSETSW2 | ioctl::TCSETSF2 => {
            let new: Termios2 = get_change(terminal, space, argument)?;
            prepare_change(terminal, request != ioctl::TCSETS2, request == ioctl::TCSETSF2)?;
            terminal.set_settings(|settings| settings.set_termios2(&new));
            Ok(0)
        }
        ioctl::TCSETA | ioctl::TCSETAW | ioctl::TCSETAF => {
            let new: Termio = get_change(terminal, space, argument)?;
            prepare_change(terminal, request != ioctl::TCSETA, request == ioctl::TCSETAF)?;
            terminal.set_settings(|settings| settings.set_termio(&new));
            Ok(0)
        }
        ioctl::TIOCGLCKTRMIOS => put(space, argument, &terminal.settings().locked),
        ioctl::TIOCSLCKTRMIOS if !is_administrator() => Err(Errno::EPERM),
        ioctl::TIOCSLCKTRMIOS => {
            let locked = get(space, argument)?;
            terminal.set_settings(|settings| settings.locked = locked);
            Ok(0)
        }
        ioctl::TIOCGWINSZ => {
            let window = terminal.state.lock().window;
            put(space, argument, &window)
        }
        ioctl::TIOCSWINSZ => set_window(terminal, get(space, argument)?),
        ioctl::TIOCGPGRP => put(space, argument, &job_control::foreground(terminal)?),
        ioctl::TIOCSPGRP => done(job_control::set_foreground(terminal, || get(space, argument))),
        ioctl::TIOCGSID => put(space, argument, &job_control::session(terminal)?),
        ioctl::TIOCSCTTY => done(job_control::acquire(terminal, argument == 1, is_readable)),
        ioctl::TIOCNOTTY => done(job_control::give_up(terminal)),
        ioctl::TIOCINQ => {
            let count = {
                let state = terminal.state.lock();
                state.input.readable(&state.settings) as i32
            };
            put(space, argument, &count)
        }
        ioctl::TIOCOUTQ => {
            let count = terminal.state.lock().output.pending() as i32;
            put(space, argument, &count)
        }
        ioctl::TCFLSH => discard(terminal, number),
        ioctl::TCXONC => control_flow(terminal, number),
        ioctl::TCSBRK | ioctl::TCSBRKP => {
            // A break itself has no use for our lines; waiting for the output is what tcdrain(3) asks for.
            job_control::check_change(terminal)?;
            done(terminal.drain().map_err(|_| Errno::EINTR))
        }
        ioctl::TIOCSTI => insert(terminal, get(space, argument)?),
        ioctl::TIOCEXCL => Ok(set_exclusive(terminal, true)),
        ioctl::TIOCNXCL => Ok(set_exclusive(terminal, false)),
        ioctl::TIOCGEXCL => {
            let is_exclusive = i32::from(terminal.state.lock().is_exclusive);
            put(space, argument, &is_exclusive)
        }
        ioctl::TIOCGDEV => put(space, argument, &(terminal.number().encoded() as u32)),
        ioctl::TIOCGETD => put(space, argument, &0i32),
        ioctl::TIOCSETD => set_discipline(terminal, get(space, argument)?),
        ioctl::TIOCVHANGUP => hang_up(terminal),
        // What programs ask to find out whether this is a screen: a keyboard of 101 keys, text mode, UTF-8.
        ioctl::KDGKBTYPE if terminal.hardware().is_screen() => put(space, argument, &2u8),
        ioctl::KDGETMODE if terminal.hardware().is_screen() => put(space, argument, &0i32),
        ioctl::KDGKBMODE if terminal.hardware().is_screen() => put(space, argument, &3i32),
        ioctl::VT_OPENQRY if terminal.hardware().is_screen() => put(space, argument, &2i32),
        ioctl::VT_GETSTATE if terminal.hardware().is_screen() => {
            put(space, argument, &VirtualTerminals { active: 1, signal: 0, open: 0b11 })
        }
        _ => Err(Errno::ENOTTY),
    }
}

fn get<T: FromBytes + IntoBytes>(space: &AddressSpace, argument: u64) -> Result<T> {
    UserPtr::new(space, argument).read()
}

fn put<T: IntoBytes + Immutable>(space: &AddressSpace, argument: u64, value: &T) -> Result<usize> {
    done(UserPtr::new(space, argument).write(value))
}

fn done(result: Result) -> Result<usize> {
    result.map(|()| 0)
}

/// Reads new settings, after the check that the caller may change them.
fn get_change<T: FromBytes + IntoBytes>(terminal: &Terminal, space: &AddressSpace, argument: u64) -> Result<T> {
    job_control::check_change(terminal)?;
    get(space, argument)
}

/// What TCSETSW and TCSETSF do before the change.
fn prepare_change(terminal: &Terminal, drain: bool, discard_input: bool) -> Result {
    if discard_input {
        terminal.discard(true, false);
    }
    if drain {
        terminal.drain()?;
    }
    Ok(())
}

fn set_window(terminal: &Terminal, size: WindowSize) -> Result<usize> {
    let old = core::mem::replace(&mut terminal.state.lock().window, size);
    if old != size {
        job_control::signal_window_change(terminal);
    }
    Ok(0)
}

fn discard(terminal: &Terminal, which: u32) -> Result<usize> {
    job_control::check_change(terminal)?;
    match which {
        raw::TCIFLUSH => terminal.discard(true, false),
        raw::TCOFLUSH => terminal.discard(false, true),
        raw::TCIOFLUSH => terminal.discard(true, true),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn control_flow(terminal: &Terminal, action: u32) -> Result<usize> {
    job_control::check_change(terminal)?;
    match action {
        raw::TCOOFF => terminal.set_stopped(true),
        raw::TCOON => terminal.set_stopped(false),
        raw::TCIOFF => terminal.send_control(Control::Stop),
        raw::TCION => terminal.send_control(Control::Start),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn insert(terminal: &Terminal, byte: u8) -> Result<usize> {
    Errno::EPERM.when(!job_control::controls_caller(terminal) && !is_administrator())?;
    terminal.receive(&[byte]);
    Ok(0)
}

fn set_exclusive(terminal: &Terminal, is_exclusive: bool) -> usize {
    terminal.state.lock().is_exclusive = is_exclusive;
    0
}

/// Only discipline 0, N_TTY, exists.
fn set_discipline(terminal: &Terminal, discipline: i32) -> Result<usize> {
    job_control::check_change(terminal)?;
    if discipline == 0 { Ok(0) } else { Err(Errno::EINVAL) }
}

fn hang_up(terminal: &Terminal) -> Result<usize> {
    Errno::EPERM.when(!is_administrator())?;
    job_control::disconnect(terminal);
    terminal.hang_up();
    Ok(0)
}

/// vhangup(2): cuts off all who have the caller's terminal open. EPERM without CAP_SYS_TTY_CONFIG.
pub(crate) fn hang_up_own() -> Result {
    Errno::EPERM.when(!Thread::current().identity().can(Capabilities::SYS_TTY_CONFIG))?;
    if let Some(terminal) = job_control::terminal_of_caller() {
        job_control::disconnect(&terminal);
        terminal.hang_up();
    }
    Ok(())
}

fn is_administrator() -> bool {
    Thread::current().identity().can(Capabilities::SYS_ADMIN)
}
