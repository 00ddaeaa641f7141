//! Pseudo-terminals (pty(7)): /dev/ptmx gives a controller, its terminal appears as /dev/pts/N. What is written to the
//! controller is typed on the terminal; what programs write to the terminal is read from the controller.

use super::device::{Opening, TerminalFile, metadata};
use super::settings::{Settings, WindowSize};
use super::terminal::{Access, Hardware, Terminal};
use super::transfer::{CHUNK, wait};
use super::{devpts, ioctl, job_control};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, Events, File, FileKind, Metadata, Observer, OpenFile, StatusFlags};
use crate::fs::devices::{self, Node};
use crate::fs::{Identity, open_file};
use crate::machine::sync::SpinLock;
use crate::process::{Resource, Signal, Thread};
use crate::rank::Rank;
use crate::vm::{AddressSpace, Destination, Source, UserPtr};
use alloc::{boxed::Box, collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl as request;

/// The device that makes a pair.
pub(super) const MULTIPLEXER: DeviceNumber = DeviceNumber { major: 5, minor: 2 };
const TERMINAL_MAJOR: u32 = 136;

/// The most pairs (/proc/sys/kernel/pty/max).
const MAX_PAIRS: u32 = 4096;

/// Whom a terminal's node belongs to, as chown and chmod change it.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) permissions: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// When it was made, and last used or changed.
    pub(super) time: i64,
}

/// A controller and its terminal.
pub(super) struct Pair {
    index: u32,
    terminal: Arc<Terminal>,
    /// The terminal cannot be opened yet (unlockpt(3)).
    is_locked: AtomicBool,
    pub(super) owner: SpinLock<Owner>,
}

static PAIRS: SpinLock<BTreeMap<u32, Arc<Pair>>> = SpinLock::new(Rank::Registry, BTreeMap::new());

/// Registers /dev/ptmx.
pub(super) fn start() {
    let open = |_: DeviceNumber, _: StatusFlags, identity: &Identity| -> Result<Arc<dyn File>> {
        Ok(Controller::create(identity)?)
    };
    let node = Node { name: "ptmx", permissions: 0o666, gid: 0 };
    devices::register(MULTIPLEXER, FileKind::CharacterDevice, Arc::new(Opener(open)), Some(node));
}

/// Returns the numbers of all terminals.
pub(super) fn indices() -> Vec<u32> {
    PAIRS.lock().keys().copied().collect()
}

/// Finds the pair of terminal `index`.
pub(super) fn find(index: u32) -> Option<Arc<Pair>> {
    PAIRS.lock().get(&index).cloned()
}

impl Pair {
    /// Makes the pair with the lowest free number. ENOSPC when there are too many.
    fn create(identity: &Identity) -> Result<Arc<Pair>> {
        let owner = devpts::new_owner(identity);
        let pair = {
            let mut pairs = PAIRS.lock();
            let index = (0..MAX_PAIRS).find(|index| !pairs.contains_key(index)).ok_or(Errno::ENOSPC)?;
            let number = DeviceNumber { major: TERMINAL_MAJOR, minor: index };
            let mut settings = Settings::new(raw::B38400);
            settings.control &= !raw::HUPCL;
            let terminal = Terminal::new(number, settings, WindowSize::default(), Box::new(ControllerHardware));
            let pair = Arc::new(Pair {
                index,
                terminal,
                is_locked: AtomicBool::new(true),
                owner: SpinLock::new(Rank::Attributes, owner),
            });
            pairs.insert(index, pair.clone());
            pair
        };
        let number = pair.number();
        devices::register(number, FileKind::CharacterDevice, Arc::new(open_terminal), None);
        Ok(pair)
    }

    /// Returns the terminal's device number.
    pub(super) fn number(&self) -> DeviceNumber {
        self.terminal.number()
    }

    fn open_terminal(&self, flags: StatusFlags) -> Result<Arc<TerminalFile>> {
        // "EIO … locked" (pts(4)); and a controller that is gone.
        Errno::EIO.when(self.is_locked.load(Ordering::Relaxed) || self.terminal.state.lock().is_abandoned)?;
        let name = format!("/dev/pts/{}", self.index);
        TerminalFile::open(self.terminal.clone(), &name, flags, Opening::Terminal)
    }
}

fn open_terminal(number: DeviceNumber, flags: StatusFlags) -> Result<Arc<dyn File>> {
    Ok(find(number.minor).ok_or(Errno::EIO)?.open_terminal(flags)?)
}

/// A function as a `DeviceOpener` that looks at the identity.
struct Opener<F>(F);

impl<F> devices::DeviceOpener for Opener<F>
where
    F: Fn(DeviceNumber, StatusFlags, &Identity) -> Result<Arc<dyn File>> + Send + Sync,
{
    fn open(&self, number: DeviceNumber, flags: StatusFlags, identity: &Identity) -> Result<Arc<dyn File>> {
        (self.0)(number, flags, identity)
    }
}

/// Nothing but the controller is behind such a terminal, and whether it ever reads is its own affair.
struct ControllerHardware;

impl Hardware for ControllerHardware {
    fn can_drain(&self) -> bool {
        false
    }
}

/// The open controller of a pair.
struct Controller(Arc<Pair>);

impl Controller {
    fn create(identity: &Identity) -> Result<Arc<Controller>> {
        Ok(Arc::new(Controller(Pair::create(identity)?)))
    }

    fn terminal(&self) -> &Terminal {
        &self.0.terminal
    }

    /// Opens the terminal as a new descriptor of the caller (TIOCGPTPEER): where it has a name, by that, so that fchown(2)
    /// and the like reach its node.
    fn open_peer(&self, flags: u32) -> Result<usize> {
        let status = StatusFlags::from_bits_truncate(flags);
        let thread = Thread::current();
        let number = DeviceNumber { major: TERMINAL_MAJOR, minor: self.0.index };
        let path = thread.view().look_up(format!("/dev/pts/{}", self.0.index).as_bytes(), true);
        let file = match path.ok().filter(|path| path.inode().metadata().represents == number) {
            Some(path) => open_file(&path, status, &thread.identity())?,
            None => OpenFile::new(self.0.open_terminal(status)?, status),
        };
        let limit = thread.process().limit(Resource::OpenFiles);
        let closes_on_exec = flags & raw::O_CLOEXEC != 0;
        let descriptor = thread.files().insert(file, 0, limit, closes_on_exec)?;
        Ok(descriptor as usize)
    }

    fn discard(&self, which: u32) -> Result<usize> {
        // What is input here is the terminal's output.
        match which {
            raw::TCIFLUSH => self.terminal().discard(false, true),
            raw::TCOFLUSH => self.terminal().discard(true, false),
            raw::TCIOFLUSH => self.terminal().discard(true, true),
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    fn signal(&self, number: u64) -> Result<usize> {
        let signal = i32::try_from(number).ok().and_then(Signal::from_number).ok_or(Errno::EINVAL)?;
        job_control::signal_foreground_with(self.terminal(), signal);
        Ok(0)
    }
}

impl File for Controller {
    fn read(&self, to: &mut Destination<'_>, _position: &mut u64, flags: StatusFlags) -> Result<usize> {
        let mut chunk = [0; CHUNK];
        if self.terminal().state.lock().packet.is_some() {
            let limit = CHUNK.min(to.remaining());
            let count = self.terminal().read_packet(&mut chunk[..limit], flags.is_non_blocking())?;
            return to.put(&chunk[..count]);
        }
        let mut done = 0;
        while to.remaining() > 0 {
            let limit = CHUNK.min(to.remaining());
            let has_waited = done > 0 || flags.is_non_blocking();
            match self.terminal().read_as_controller(&mut chunk[..limit], has_waited) {
                Ok(count) => done += to.put(&chunk[..count])?,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write(&self, from: &mut Source<'_>, _position: &mut u64, flags: StatusFlags) -> Result<usize> {
        let mut chunk = [0; CHUNK];
        let mut done = 0;
        loop {
            let count = from.take(&mut chunk)?;
            let mut rest = &chunk[..count];
            while !rest.is_empty() {
                match self.terminal().write_as_controller(rest, flags.is_non_blocking()) {
                    Ok(count) => {
                        done += count;
                        rest = &rest[count..];
                    }
                    Err(error) if done == 0 => return Err(error),
                    Err(_) => return Ok(done),
                }
            }
            if count == 0 {
                return Ok(done);
            }
        }
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        self.terminal().poll_as_controller(interest, observer)
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn ioctl(&self, space: &AddressSpace, code: u32, argument: u64) -> Result<usize> {
        let terminal = self.terminal();
        let put = |value: i32| UserPtr::<i32>::new(space, argument).write(&value).map(|()| 0);
        match code {
            request::TIOCGPTN => put(self.0.index as i32),
            request::TIOCSPTLCK => {
                let value: i32 = UserPtr::new(space, argument).read()?;
                self.0.is_locked.store(value != 0, Ordering::Relaxed);
                Ok(0)
            }
            request::TIOCGPTLCK => put(i32::from(self.0.is_locked.load(Ordering::Relaxed))),
            request::TIOCPKT => {
                let is_on = UserPtr::<i32>::new(space, argument).read()? != 0;
                let packet = &mut terminal.state.lock().packet;
                *packet = if is_on { packet.or(Some(0)) } else { None };
                Ok(0)
            }
            request::TIOCGPKT => put(i32::from(terminal.state.lock().packet.is_some())),
            request::TIOCGPTPEER => self.open_peer(argument as u32),
            request::TIOCSIG => self.signal(argument),
            request::TCFLSH => self.discard(argument as u32),
            request::TIOCINQ => {
                let count = terminal.state.lock().output.pending();
                put(count as i32)
            }
            request::TIOCOUTQ => put(0),
            request::TIOCGPGRP => put(job_control::foreground_of_any(terminal)),
            request::TIOCGSID => put(job_control::session_of_any(terminal)?),
            request::TIOCSCTTY | request::TIOCNOTTY => Err(Errno::ENOTTY),
            _ => {
                let generation = terminal.state.lock().generation;
                let access = Access { generation, is_console: true, is_non_blocking: false };
                ioctl::serve(terminal, access, true, space, code, argument)
            }
        }
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(metadata(MULTIPLEXER))
    }

    fn name(&self) -> String {
        String::from("/dev/ptmx")
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let terminal = self.terminal();
        terminal.state.lock().is_abandoned = true;
        job_control::disconnect(terminal);
        terminal.hang_up();
        let removed = PAIRS.lock().remove(&self.0.index);
        drop(removed);
    }
}

/// The controller's side of a terminal.
impl Terminal {
    /// Takes output for a pseudo-terminal's controller, sleeping until there is some. EIO when nobody has the terminal
    /// open any more.
    fn read_as_controller(&self, bytes: &mut [u8], is_non_blocking: bool) -> Result<usize> {
        let attempt = || {
            // Looked at first: what was written before the last close is there then.
            let is_closed = self.state.lock().is_closed();
            match self.try_take_output(bytes) {
                0 if is_closed => Some(Err(Errno::EIO)),
                0 => None,
                count => Some(Ok(count)),
            }
        };
        wait(&self.output_ready, is_non_blocking, attempt)
    }

    /// Like `read_as_controller` in packet mode: news of the terminal as one byte, or output after a zero byte.
    fn read_packet(&self, bytes: &mut [u8], is_non_blocking: bool) -> Result<usize> {
        let Some((first, rest)) = bytes.split_first_mut() else { return Ok(0) };
        let attempt = || {
            let is_closed = {
                let mut state = self.state.lock();
                *first = state.packet.as_mut().map_or(0, core::mem::take);
                state.is_closed()
            };
            if *first != 0 {
                return Some(Ok(1));
            }
            match self.try_take_output(rest) {
                // There is room for the zero byte alone: it says that there is output.
                0 if rest.is_empty() && self.state.lock().has_output() => Some(Ok(1)),
                0 if is_closed => Some(Err(Errno::EIO)),
                0 => None,
                count => Some(Ok(count + 1)),
            }
        };
        wait(&self.output_ready, is_non_blocking, attempt)
    }

    /// Types `bytes` for a pseudo-terminal's controller, sleeping until some of them went in.
    fn write_as_controller(&self, bytes: &[u8], is_non_blocking: bool) -> Result<usize> {
        let attempt = || match self.receive(bytes) {
            0 if self.state.lock().is_closed() => Some(Err(Errno::EIO)),
            0 => None,
            count => Some(Ok(count)),
        };
        wait(&self.input_room, is_non_blocking, attempt)
    }

    /// poll(2) of a pseudo-terminal's controller.
    fn poll_as_controller(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        if let Some(observer) = observer {
            self.controller_readiness.observe(observer, interest | Events::HANG_UP);
        }

        let state = self.state.lock();
        let mut events = Events::empty();
        if state.has_output() {
            events |= Events::READ | Events::READ_NORMAL;
        }
        if state.packet.is_some_and(|status| status != 0) {
            events |= Events::READABLE | Events::PRIORITY;
        }
        if state.input.has_room(&state.settings) {
            events |= Events::WRITE | Events::WRITE_NORMAL;
        }
        if state.is_closed() {
            return interest & events | Events::HANG_UP;
        }
        interest & events
    }
}
