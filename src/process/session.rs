//! Sessions and their controlling terminals (credentials(7), setsid(2)).

use crate::file::DeviceNumber;
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::sync::Arc;
use core::any::Any;

/// A terminal as job control sees it. The tty room implements it and gets its own type back through `Any`.
pub(crate) trait ControllingTerminal: Any + Send + Sync {
    /// Returns the device number, for /proc/PID/stat.
    fn device(&self) -> DeviceNumber;

    /// Returns the foreground process group; 0 if there is none.
    fn foreground_group(&self) -> i32;

    /// The session's leader has ended or gave the terminal up: it controls no session any more. The caller sends
    /// the signals. Must not sleep.
    fn release(&self);
}

/// A session: process groups that may share a controlling terminal.
pub(crate) struct Session {
    id: i32,
    terminal: SpinLock<Option<Arc<dyn ControllingTerminal>>>,
}

impl Session {
    /// Makes the session of leader `id`, without a terminal.
    pub(crate) fn new(id: i32) -> Arc<Session> {
        Arc::new(Session { id, terminal: SpinLock::new(Rank::Thread, None) })
    }

    /// Returns the session id: its leader's process id.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Returns the controlling terminal.
    pub(crate) fn terminal(&self) -> Option<Arc<dyn ControllingTerminal>> {
        self.terminal.lock().clone()
    }

    /// Sets or takes away the controlling terminal (TIOCSCTTY, a session leader's first open, TIOCNOTTY, hang-up).
    pub(crate) fn set_terminal(&self, terminal: Option<Arc<dyn ControllingTerminal>>) {
        let old = core::mem::replace(&mut *self.terminal.lock(), terminal);
        drop(old);
    }
}
