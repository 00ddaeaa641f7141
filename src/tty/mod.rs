//! Terminals: consoles, line discipline, pseudo-terminals.
//!
//! A `Terminal` stands between programs (through `TerminalFile`) and what is behind it: a serial line, the screen
//! and keyboard, both (/dev/console), or the controller of a pseudo-terminal. Typed bytes go through `input`, written
//! ones through `output`; who may touch a terminal is `job_control`.

/// Terminals as files.
mod device;

/// The file system of /dev/pts.
mod devpts;

/// Typed bytes: editing, echo, signals.
mod input;

/// Keys become bytes.
mod keyboard;

/// A terminal's requests.
mod ioctl;

/// Sessions, foreground and background.
mod job_control;

/// Written bytes: OPOST.
mod output;

/// Pseudo-terminals.
mod pty;

/// Flags, control characters, speeds.
mod settings;

/// The consoles and their tasks.
mod start;

/// A terminal as programs see it.
mod terminal;

/// What programs read and write.
mod transfer;

pub(crate) use ioctl::hang_up_own;
pub(crate) use start::{active_consoles, finish_output, set_restart_at_keys, start};
