//! signalfd(2): blocked signals as bytes to read. Each reader gets its own signals, whoever made the file.

use super::signal::{self, SignalInfo, SignalSet};
use super::{Process, Thread};
use crate::errno::{Errno, Result};
use crate::file::{Events, File, Observer, StatusFlags};
use crate::vm::Destination;
use alloc::{format, string::String, sync::Arc};
use core::sync::atomic::{AtomicU64, Ordering};
use zerocopy::{Immutable, IntoBytes};

/// A signalfd.
pub(crate) struct SignalFd {
    wanted: AtomicU64,
}

/// `struct signalfd_siginfo`.
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[repr(C)]
struct SignalFdInfo {
    number: u32,
    errno: i32,
    code: i32,
    sender: u32,
    uid: u32,
    fd: i32,
    timer: u32,
    band: u32,
    overrun: u32,
    trap: u32,
    status: i32,
    value: i32,
    pointer: u64,
    user_ticks: u64,
    system_ticks: u64,
    address: u64,
    padding: [u64; 6],
}

const _: () = assert!(size_of::<SignalFdInfo>() == 128);

impl SignalFd {
    /// Makes one for these signals.
    pub(crate) fn new(wanted: SignalSet) -> Arc<SignalFd> {
        let file = SignalFd { wanted: AtomicU64::new(0) };
        file.set_wanted(wanted);
        Arc::new(file)
    }

    /// Changes which signals it is for; SIGKILL and SIGSTOP are left out.
    pub(crate) fn set_wanted(&self, wanted: SignalSet) {
        self.wanted.store(wanted.without(SignalSet::ABSOLUTE).bits(), Ordering::Relaxed);
    }

    fn wanted(&self) -> SignalSet {
        SignalSet::from_bits(self.wanted.load(Ordering::Relaxed))
    }
}

impl File for SignalFd {
    fn read(&self, to: &mut Destination<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        let thread = Thread::current();
        let room = to.remaining() / size_of::<SignalFdInfo>();
        Errno::EINVAL.when(room == 0)?;
        let take = || signal::take(&thread, self.wanted()).ok_or(Errno::EAGAIN);
        let mut next = Some(thread.process().signal_arrivals().block_on(flags.is_non_blocking(), take)?);
        let mut done = 0;
        while let Some(info) = next {
            done += to.put(SignalFdInfo::from(&info).as_bytes())?;
            let has_room = done / size_of::<SignalFdInfo>() < room;
            next = if has_room { signal::take(&thread, self.wanted()) } else { None };
        }
        Ok(done)
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        let Some(thread) = Thread::try_current() else { return Events::empty() };
        let process: &Process = thread.process();
        if let Some(observer) = observer {
            process.signal_arrivals().observe(observer, interest);
        }
        let pending = thread.pending_signals().union(process.pending_signals());
        if pending.intersection(self.wanted()).is_empty() { Events::empty() } else { interest & Events::READ }
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        String::from("anon_inode:[signalfd]")
    }

    fn details(&self) -> String {
        format!("sigmask:\t{:016x}\n", self.wanted().bits())
    }
}

impl From<&SignalInfo> for SignalFdInfo {
    /// Which words of the union mean what depends on the code and the signal (Linux: `siginfo_layout`).
    fn from(info: &SignalInfo) -> SignalFdInfo {
        let words = info.payload();
        let (low, high) = (words[0] as u32, (words[0] >> 32) as u32);
        let mut out = SignalFdInfo {
            number: info.signal().number() as u32,
            errno: info.errno(),
            code: info.code(),
            ..SignalFdInfo::default()
        };
        match info.code() {
            signal::code::TIMER => {
                (out.timer, out.overrun) = (low, high);
                (out.value, out.pointer) = (words[1] as i32, words[1]);
            }
            ..=signal::code::USER => {
                (out.sender, out.uid) = (low, high);
                (out.value, out.pointer) = (words[1] as i32, words[1]);
            }
            _ if info.signal() == signal::Signal::CHLD => {
                (out.sender, out.uid, out.status) = (low, high, words[1] as i32);
                (out.user_ticks, out.system_ticks) = (words[2], words[3]);
            }
            _ if SignalSet::SYNCHRONOUS.contains(info.signal()) => out.address = words[0],
            _ if info.signal() == signal::Signal::IO => (out.band, out.fd) = (low, words[1] as i32),
            _ => {}
        }
        out
    }
}
