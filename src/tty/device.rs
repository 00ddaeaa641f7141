//! Terminals as files: what opening /dev/ttyS0, /dev/tty1, /dev/console and /dev/tty gives.

use super::terminal::{Access, Terminal};
use super::{devpts, ioctl, job_control};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, Events, File, FileKind, Metadata, Observer, StatusFlags};
use crate::fs::Capabilities;
use crate::process::Thread;
use crate::vm::{AddressSpace, Destination, Source};
use alloc::string::{String, ToString};
use alloc::sync::Arc;

/// What opening a terminal's device does besides opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// It becomes the controlling terminal of a session leader without one.
    Terminal,
    /// It never does so by being opened (O_NOCTTY).
    NoControl,
    /// Like `NoControl`; and neither job control nor hang-ups touch the open file: /dev/console.
    Console,
}

/// An open terminal.
pub(crate) struct TerminalFile {
    terminal: Arc<Terminal>,
    generation: u32,
    is_console: bool,
    is_readable: bool,
    name: String,
}

impl TerminalFile {
    /// Opens `terminal`. EBUSY while somebody else has it for itself (TIOCEXCL).
    pub(crate) fn open(
        terminal: Arc<Terminal>, name: &str, flags: StatusFlags, opening: Opening,
    ) -> Result<Arc<TerminalFile>> {
        let generation = {
            let mut state = terminal.state.lock();
            Errno::EBUSY.when(state.is_exclusive && state.opens > 0 && !is_administrator())?;
            state.opens += 1;
            state.was_opened = true;
            state.generation
        };

        let is_readable = !flags.contains(StatusFlags::WRITE_ONLY);
        let is_console = opening == Opening::Console;
        let file = Arc::new(TerminalFile { terminal, generation, is_console, is_readable, name: name.to_string() });
        if opening == Opening::Terminal && is_readable && !flags.contains(StatusFlags::NO_CONTROL) {
            job_control::acquire_at_open(&file.terminal);
        }
        Ok(file)
    }

    fn access(&self, flags: StatusFlags) -> Access {
        Access {
            generation: self.generation,
            is_console: self.is_console,
            is_non_blocking: flags.contains(StatusFlags::NON_BLOCKING),
        }
    }
}

impl File for TerminalFile {
    fn read(&self, to: &mut Destination<'_>, _position: &mut u64, flags: StatusFlags) -> Result<usize> {
        self.terminal.read(to, self.access(flags))
    }

    fn write(&self, from: &mut Source<'_>, _position: &mut u64, flags: StatusFlags) -> Result<usize> {
        self.terminal.write(from, self.access(flags))
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        self.terminal.poll(interest, observer, self.access(StatusFlags::empty()))
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn ioctl(&self, space: &AddressSpace, request: u32, argument: u64) -> Result<usize> {
        let access = self.access(StatusFlags::empty());
        ioctl::serve(&self.terminal, access, self.is_readable, space, request, argument)
    }

    fn metadata(&self) -> Result<Metadata> {
        let number = self.terminal.number();
        Ok(devpts::metadata_of(number).unwrap_or_else(|| metadata(number)))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Drop for TerminalFile {
    fn drop(&mut self) {
        let is_last = {
            let mut state = self.terminal.state.lock();
            state.opens -= 1;
            if state.opens == 0 {
                state.is_exclusive = false;
            }
            state.opens == 0
        };
        if is_last {
            self.terminal.wake_everybody();
        }
    }
}

/// Returns what fstat(2) shows for a terminal that was opened without a name.
pub(super) fn metadata(number: DeviceNumber) -> Metadata {
    let nowhere = DeviceNumber::default();
    let metadata = Metadata::new(nowhere, number.encoded(), FileKind::CharacterDevice, 0o620, 0);
    Metadata { represents: number, block_size: 1024, ..metadata }
}

fn is_administrator() -> bool {
    Thread::try_current().is_none_or(|thread| thread.identity().can(Capabilities::SYS_ADMIN))
}
