//! Linux's error numbers, and the one place where lower rooms' errors become them.

use crate::machine::memory::{BadAddress, OutOfMemory};
use crate::machine::task::{Interrupted, WaitError};
use alloc::collections::TryReserveError;
use core::num::NonZeroU64;
use linux_raw_sys::errno as raw;

/// An error as Linux numbers it (errno(3)). As wide as a register, so that a `Result` of a word is two registers and one of
/// nothing is one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(NonZeroU64);

/// What a fallible operation returns above `machine`.
pub(crate) type Result<T = ()> = core::result::Result<T, Errno>;

macro_rules! errors {
    ($($name:ident)*) => {
        impl Errno {
            $(pub(crate) const $name: Errno = Errno::of(raw::$name as u64);)*
        }
        const NAMES: &[(Errno, &str)] = &[$((Errno::$name, stringify!($name))),*];
    };
}

errors! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK
    ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ENODATA ETIME EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS ENOTSOCK
    EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT
    EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN
    ETOOMANYREFS ELIBBAD ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE ECANCELED EOWNERDEAD ENOTRECOVERABLE
}

impl Errno {
    /// "Restart the call or answer EINTR": what an interrupted sleep of a restartable call returns. The signal code
    /// turns it into a restart or EINTR; user space never sees it (Linux's ERESTARTSYS).
    pub(crate) const RESTART: Errno = Errno::of(512);
    /// Like `RESTART`, but restarts after any handler (Linux's ERESTARTNOINTR: fork).
    pub(crate) const RESTART_ALWAYS: Errno = Errno::of(513);
    /// Like `RESTART`, but restarts only when no handler ran (Linux's ERESTARTNOHAND: poll, select, pause, sigsuspend).
    pub(crate) const RESTART_NO_HANDLER: Errno = Errno::of(514);
    /// Like `RESTART_NO_HANDLER`, but restarts as `restart_syscall` (nanosleep, futex wait with a time limit, poll).
    pub(crate) const RESTART_BLOCK: Errno = Errno::of(516);

    /// Returns which of the four kinds of interruption `rax` holds, as a tracer sees it.
    #[inline(always)]
    pub(crate) fn from_interruption(rax: u64) -> Option<Errno> {
        NonZeroU64::new(rax.wrapping_neg()).filter(|number| matches!(number.get(), 512..=516)).map(Errno)
    }

    /// Returns whether `rax` may hold an error: it is one of the highest 4,095 numbers.
    #[inline(always)]
    pub(crate) fn is_in_rax(rax: u64) -> bool {
        rax > -4096_i64 as u64
    }

    /// Returns what `rax` holds where a call failed so.
    pub(crate) fn in_rax(self) -> u64 {
        self.0.get().wrapping_neg()
    }

    /// Returns the error of a number that `number` gave; `None` for 0.
    pub(crate) fn from_number(number: u16) -> Option<Errno> {
        NonZeroU64::new(u64::from(number)).map(Errno)
    }

    const fn of(number: u64) -> Errno {
        Errno(NonZeroU64::new(number).expect("no error has the number 0"))
    }

    /// Fails with this error when `is_wrong`: a check reads as in a man page's list of errors.
    #[inline(always)]
    pub(crate) fn when(self, is_wrong: bool) -> Result {
        if is_wrong { Err(self) } else { Ok(()) }
    }

    /// Returns the number, as user space sees it negated in `rax`.
    pub(crate) fn number(self) -> u16 {
        self.0.get() as u16
    }
}

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == *self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl From<OutOfMemory> for Errno {
    fn from(_: OutOfMemory) -> Errno {
        Errno::ENOMEM
    }
}

impl From<TryReserveError> for Errno {
    fn from(_: TryReserveError) -> Errno {
        Errno::ENOMEM
    }
}

impl From<BadAddress> for Errno {
    fn from(_: BadAddress) -> Errno {
        Errno::EFAULT
    }
}

impl From<Interrupted> for Errno {
    fn from(_: Interrupted) -> Errno {
        Errno::RESTART
    }
}

impl From<WaitError> for Errno {
    fn from(error: WaitError) -> Errno {
        match error {
            WaitError::Interrupted => Errno::RESTART_NO_HANDLER,
            WaitError::TimedOut => Errno::ETIMEDOUT,
        }
    }
}
