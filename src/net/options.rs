//! The options of level SOL_SOCKET (socket(7)): what every socket keeps, whatever its family makes of it.

use crate::errno::{Errno, Result};
use crate::fs::Capabilities;
use crate::machine::time;
use crate::process::Thread;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use linux_raw_sys::net::{
    SO_BROADCAST, SO_DEBUG, SO_DONTROUTE, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_NO_CHECK, SO_OOBINLINE, SO_PASSCRED,
    SO_PRIORITY, SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVLOWAT, SO_RCVTIMEO_NEW, SO_RCVTIMEO_OLD, SO_REUSEADDR, SO_REUSEPORT,
    SO_SNDBUF, SO_SNDBUFFORCE, SO_SNDLOWAT, SO_SNDTIMEO_NEW, SO_SNDTIMEO_OLD,
};
use zerocopy::{FromBytes, IntoBytes};

/// Options that are only on or off.
const SWITCHES: u64 = 1 << SO_DEBUG
    | 1 << SO_REUSEADDR
    | 1 << SO_DONTROUTE
    | 1 << SO_BROADCAST
    | 1 << SO_KEEPALIVE
    | 1 << SO_OOBINLINE
    | 1 << SO_NO_CHECK
    | 1 << SO_REUSEPORT
    | 1 << SO_PASSCRED;

/// /proc/sys/net/core/{w,r}mem_default, and the same as the most that an unprivileged program may ask for.
const BUFFER_DEFAULT: usize = 212_992;

/// The least that SO_SNDBUF and SO_RCVBUF become (Linux: SOCK_MIN_SNDBUF, SOCK_MIN_RCVBUF).
const SEND_BUFFER_MINIMUM: usize = 4608;
const RECEIVE_BUFFER_MINIMUM: usize = 2304;

/// Above this SO_PRIORITY needs CAP_NET_ADMIN (socket(7)).
const FREE_PRIORITY: i32 = 6;

/// The options of one socket.
pub(crate) struct Options {
    /// Bit n: option n of `SWITCHES`, and SO_LINGER.
    switches: AtomicU64,
    send_buffer: AtomicUsize,
    receive_buffer: AtomicUsize,
    /// How long calls sleep at most; 0 = for ever.
    send_limit_ns: AtomicU64,
    receive_limit_ns: AtomicU64,
    receive_low_mark: AtomicI32,
    priority: AtomicI32,
    linger_seconds: AtomicI32,
    /// The errno that the next call reports; 0 = none.
    error: AtomicU32,
}

impl Options {
    /// Makes the options of a new socket.
    pub(super) fn new() -> Options {
        Options {
            switches: AtomicU64::new(0),
            send_buffer: AtomicUsize::new(BUFFER_DEFAULT),
            receive_buffer: AtomicUsize::new(BUFFER_DEFAULT),
            send_limit_ns: AtomicU64::new(0),
            receive_limit_ns: AtomicU64::new(0),
            receive_low_mark: AtomicI32::new(1),
            priority: AtomicI32::new(0),
            linger_seconds: AtomicI32::new(0),
            error: AtomicU32::new(0),
        }
    }

    /// Returns whether one of the on-or-off options is on.
    pub(super) fn is_on(&self, name: u32) -> bool {
        self.switches.load(Ordering::Relaxed) & 1 << name != 0
    }

    /// Returns SO_SNDBUF: bytes that may be on the way.
    pub(super) fn send_buffer(&self) -> usize {
        self.send_buffer.load(Ordering::Relaxed)
    }

    /// Returns SO_RCVLOWAT.
    pub(super) fn receive_low_mark(&self) -> usize {
        self.receive_low_mark.load(Ordering::Relaxed) as usize
    }

    /// Returns until when a call that receives may sleep.
    pub(super) fn receive_deadline(&self) -> Option<u64> {
        deadline(&self.receive_limit_ns)
    }

    /// Returns until when a call that sends may sleep.
    pub(super) fn send_deadline(&self) -> Option<u64> {
        deadline(&self.send_limit_ns)
    }

    /// Has the next call report an error.
    pub(super) fn set_error(&self, error: Errno) {
        self.error.store(u32::from(error.number()), Ordering::SeqCst);
    }

    /// Returns whether an error is to be reported.
    pub(super) fn has_error(&self) -> bool {
        self.error.load(Ordering::SeqCst) != 0
    }

    /// Reports the error, once.
    pub(super) fn take_error(&self) -> Result {
        if !self.has_error() {
            return Ok(());
        }
        Errno::from_number(self.error.swap(0, Ordering::SeqCst) as u16).map_or(Ok(()), Err)
    }

    pub(super) fn switch(&self, name: u32, on: bool) {
        if on {
            self.switches.fetch_or(1 << name, Ordering::Relaxed);
        } else {
            self.switches.fetch_and(!(1 << name), Ordering::Relaxed);
        }
    }

    /// setsockopt(2). EINVAL, ENOPROTOOPT, EPERM, EACCES, EDOM.
    pub(super) fn set(&self, name: u32, value: &[u8]) -> Result {
        let (number, _) = i32::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
        let may_administer = || Thread::current().identity().can(Capabilities::NET_ADMIN);
        match name {
            SO_DEBUG if number != 0 && !may_administer() => return Err(Errno::EACCES),
            _ if name < u64::BITS && SWITCHES & 1 << name != 0 => self.switch(name, number != 0),
            SO_SNDBUFFORCE | SO_RCVBUFFORCE if !may_administer() => return Err(Errno::EPERM),
            SO_SNDBUF | SO_SNDBUFFORCE => {
                let size = buffer_size(number, name == SO_SNDBUF, SEND_BUFFER_MINIMUM);
                self.send_buffer.store(size, Ordering::Relaxed);
            }
            SO_RCVBUF | SO_RCVBUFFORCE => {
                let size = buffer_size(number, name == SO_RCVBUF, RECEIVE_BUFFER_MINIMUM);
                self.receive_buffer.store(size, Ordering::Relaxed);
            }
            SO_PRIORITY => {
                Errno::EPERM.when(!(0..=FREE_PRIORITY).contains(&number) && !may_administer())?;
                self.priority.store(number, Ordering::Relaxed);
            }
            SO_RCVLOWAT => {
                let mark = if number < 0 { i32::MAX } else { number.max(1) };
                self.receive_low_mark.store(mark, Ordering::Relaxed);
            }
            SO_LINGER => {
                let ([on, seconds], _) = <[i32; 2]>::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
                self.switch(SO_LINGER, on != 0);
                self.linger_seconds.store(seconds, Ordering::Relaxed);
            }
            SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => self.receive_limit_ns.store(read_limit(value)?, Ordering::Relaxed),
            SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => self.send_limit_ns.store(read_limit(value)?, Ordering::Relaxed),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// getsockopt(2). ENOPROTOOPT.
    pub(super) fn get(&self, name: u32) -> Result<Vec<u8>> {
        let number = match name {
            _ if name < u64::BITS && SWITCHES & 1 << name != 0 => i32::from(self.is_on(name)),
            SO_SNDBUF => self.send_buffer() as i32,
            SO_RCVBUF => self.receive_buffer.load(Ordering::Relaxed) as i32,
            SO_PRIORITY => self.priority.load(Ordering::Relaxed),
            SO_RCVLOWAT => self.receive_low_mark.load(Ordering::Relaxed),
            SO_SNDLOWAT => 1,
            SO_ERROR => self.take_error().err().map_or(0, |error| i32::from(error.number())),
            SO_LINGER => {
                let seconds = self.linger_seconds.load(Ordering::Relaxed);
                return Ok([i32::from(self.is_on(SO_LINGER)), seconds].as_bytes().to_vec());
            }
            SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => return Ok(shown_limit(&self.receive_limit_ns)),
            SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => return Ok(shown_limit(&self.send_limit_ns)),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }
}

/// "The kernel doubles this value … when it is set" (socket(7), SO_SNDBUF).
fn buffer_size(asked: i32, is_limited: bool, minimum: usize) -> usize {
    // A negative number is a great unsigned one where there is a limit, and none at all where there is not.
    let asked = if is_limited { asked as u32 as usize } else { asked.max(0) as usize };
    let most = if is_limited { BUFFER_DEFAULT } else { i32::MAX as usize / 2 };
    (asked.min(most) * 2).max(minimum)
}

fn deadline(limit_ns: &AtomicU64) -> Option<u64> {
    match limit_ns.load(Ordering::Relaxed) {
        0 => None,
        limit => Some(time::monotonic_ns().saturating_add(limit)),
    }
}

/// Reads a `struct timeval`: EINVAL if it is too short, EDOM for microseconds that are none; a negative time is as
/// short as can be.
fn read_limit(value: &[u8]) -> Result<u64> {
    let ([seconds, microseconds], _) = <[i64; 2]>::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    Errno::EDOM.when(!(0..1_000_000).contains(&microseconds))?;
    let Ok(seconds) = u64::try_from(seconds) else { return Ok(1) };
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(microseconds as u64 * 1000))
}

fn shown_limit(limit_ns: &AtomicU64) -> Vec<u8> {
    let microseconds = limit_ns.load(Ordering::Relaxed) / 1000;
    [microseconds / 1_000_000, microseconds % 1_000_000].as_bytes().to_vec()
}
