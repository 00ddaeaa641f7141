//! Linux's error numbers, and the one place where lower rooms' errors become them.

use crate::machine::memory::{BadAddress, OutOfMemory};
use crate::machine::task::{Interrupted, WaitError};
use alloc::collections::TryReserveError;
use linux_raw_sys::errno as raw;

/// An error as Linux numbers it (errno(3)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(u16);

/// What a fallible operation returns above `machine`.
pub(crate) type Result<T = ()> = core::result::Result<T, Errno>;

macro_rules! errors {
    ($($name:ident)*) => {
        #[expect(dead_code, reason = "the whole set is declared once; calls use what their man pages name")]
        impl Errno {
            $(pub(crate) const $name: Errno = Errno(raw::$name as u16);)*
        }
        const NAMES: &[(u16, &str)] = &[$((raw::$name as u16, stringify!($name))),*];
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
    pub(crate) const RESTART: Errno = Errno(512);
    /// Like `RESTART`, but restarts after any handler (Linux's ERESTARTNOINTR: fork).
    pub(crate) const RESTART_ALWAYS: Errno = Errno(513);
    /// Like `RESTART`, but restarts only when no handler ran (Linux's ERESTARTNOHAND: poll, select, pause, sigsuspend).
    pub(crate) const RESTART_NO_HANDLER: Errno = Errno(514);
    /// Like `RESTART_NO_HANDLER`, but restarts as `restart_syscall` (nanosleep, futex wait with a time limit, poll).
    pub(crate) const RESTART_BLOCK: Errno = Errno(516);

    /// Returns which of the four kinds of interruption `rax` holds, as a tracer sees it.
    #[inline(always)]
    pub(crate) fn from_interruption(rax: u64) -> Option<Errno> {
        let number = rax.wrapping_neg();
        matches!(number, 512..=516).then_some(Errno(number as u16))
    }

    /// Returns what `rax` holds where a call failed so.
    pub(crate) fn in_rax(self) -> u64 {
        u64::from(self.0).wrapping_neg()
    }

    /// Returns the error of a number that `number` gave.
    pub(crate) fn from_number(number: u16) -> Errno {
        Errno(number)
    }

    /// Fails with this error when `is_wrong`: a check reads as in a man page's list of errors.
    #[inline(always)]
    pub(crate) fn when(self, is_wrong: bool) -> Result {
        if is_wrong { Err(self) } else { Ok(()) }
    }

    /// Returns the number, as user space sees it negated in `rax`.
    pub(crate) fn number(self) -> u16 {
        self.0
    }
}

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
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
