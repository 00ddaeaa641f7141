//! What is known about one sent signal: `siginfo_t`, kept in the layout that user space sees (sigaction(2)), without the
//! part that no signal uses.

use super::Signal;
use crate::file::Events;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A sent signal: the start of Linux's `siginfo_t`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct SignalInfo {
    number: i32,
    errno: i32,
    code: i32,
    /// `FROM_TIMER` while the kernel keeps it; padding for user space.
    origin: i32,
    /// The union; its fields depend on the code.
    payload: [u64; 4],
}

/// The origin of what a POSIX timer sent.
const FROM_TIMER: i32 = 1;

/// `siginfo_t`: 128 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct WholeInfo {
    used: SignalInfo,
    unused: [u64; 10],
}

/// Why a child's parent is told (the `si_code` of SIGCHLD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum ChildChange {
    Exited = 1,
    Killed = 2,
    Trapped = 4,
    Stopped = 5,
    Continued = 6,
}

/// Who sent a signal, its `si_code` (sigaction(2)).
pub(crate) mod code {
    /// kill(2).
    pub(crate) const USER: i32 = 0;
    /// The kernel.
    pub(crate) const KERNEL: i32 = 0x80;
    /// A POSIX timer.
    pub(crate) const TIMER: i32 = -2;
    /// A POSIX message queue.
    pub(crate) const MESSAGE_QUEUE: i32 = -3;
    /// tkill(2), tgkill(2).
    pub(crate) const THREAD: i32 = -6;
}

impl SignalInfo {
    fn new(signal: Signal, code: i32, payload: &[u64]) -> SignalInfo {
        let mut info = SignalInfo { number: signal.number(), errno: 0, code, origin: 0, payload: [0; 4] };
        info.payload[..payload.len()].copy_from_slice(payload);
        info
    }

    /// A signal that the kernel itself sends (a terminal's ^C, SIGPIPE): no sender.
    pub(crate) fn kernel(signal: Signal) -> SignalInfo {
        SignalInfo::new(signal, code::KERNEL, &[])
    }

    /// A signal that a process sent: `code` says by which call.
    pub(crate) fn sent(signal: Signal, code: i32, sender: i32, uid: u32) -> SignalInfo {
        SignalInfo::new(signal, code, &[pair(sender as u32, uid)])
    }

    /// A file's readiness, by the descriptor that asked for it (`si_fd`): POLL_IN and relatives with their poll(2) bits.
    pub(crate) fn readiness(signal: Signal, descriptor: i32, events: Events) -> SignalInfo {
        let (code, band) = if events.intersects(Events::READABLE) {
            (1, Events::READABLE)
        } else if events.intersects(Events::WRITABLE) {
            (2, Events::WRITABLE | Events::WRITE_BAND)
        } else if events.contains(Events::PRIORITY) {
            (5, Events::PRIORITY | Events::READ_BAND)
        } else if events.contains(Events::ERROR) {
            (4, Events::ERROR)
        } else {
            (6, Events::HANG_UP | Events::ERROR)
        };
        SignalInfo::new(signal, code, &[u64::from(band.bits()), u64::from(descriptor as u32)])
    }

    /// Adds a value of the program's (`si_value`).
    pub(crate) fn with_value(mut self, value: u64) -> SignalInfo {
        self.payload[1] = value;
        self
    }

    /// A fault of the program at `address`; the code says which (FPE_INTDIV and the like).
    pub(crate) fn fault(signal: Signal, code: u32, address: u64) -> SignalInfo {
        SignalInfo::new(signal, code as i32, &[address])
    }

    /// A POSIX timer's expiration: its id, how many further ones were missed, and the program's value for it.
    pub(crate) fn timer(signal: Signal, id: i32, overrun: i32, value: u64) -> SignalInfo {
        let info = SignalInfo::new(signal, code::TIMER, &[pair(id as u32, overrun as u32), value]);
        SignalInfo { origin: FROM_TIMER, ..info }
    }

    /// Returns the id of the POSIX timer that it comes from, if it does: a program may only say so.
    pub(crate) fn timer_id(&self) -> Option<i32> {
        (self.origin == FROM_TIMER).then_some(self.payload[0] as i32)
    }

    /// Takes away what only the kernel may see.
    pub(crate) fn show(&mut self) {
        self.origin = 0;
    }

    /// News of a child: `status` is its exit code or signal number, times are in clock ticks (1/100 s).
    pub(crate) fn child(
        signal: Signal, change: ChildChange, child: i32, uid: u32, status: i32, user_ticks: u64, system_ticks: u64,
    ) -> SignalInfo {
        let payload = [pair(child as u32, uid), pair(status as u32, 0), user_ticks, system_ticks];
        SignalInfo::new(signal, change as i32, &payload)
    }

    /// Returns what a program gave to rt_sigqueueinfo(2) as `signal`.
    pub(crate) fn directed_as(mut self, signal: Signal) -> SignalInfo {
        self.number = signal.number();
        self.origin = 0;
        self
    }

    /// Returns this, which a tracer gives in place of `old`: a number that is no signal's stays as it was.
    pub(crate) fn checked(self, old: &SignalInfo) -> SignalInfo {
        let is_signal = Signal::from_number(self.number).is_some();
        SignalInfo { number: if is_signal { self.number } else { old.number }, origin: 0, ..self }
    }

    /// Returns the signal.
    pub(crate) fn signal(&self) -> Signal {
        Signal::from_number(self.number).expect("constructors take a Signal")
    }

    /// Returns `si_code`.
    pub(crate) fn code(&self) -> i32 {
        self.code
    }

    /// Returns `si_errno`.
    pub(crate) fn errno(&self) -> i32 {
        self.errno
    }

    /// Returns the union's words.
    pub(crate) fn payload(&self) -> &[u64; 4] {
        &self.payload
    }

    /// Returns all that user space sees.
    pub(crate) fn whole(self) -> WholeInfo {
        WholeInfo { used: self, unused: [0; 10] }
    }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}
