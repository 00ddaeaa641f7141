//! Sockets, as on a Linux without any protocol family: none can be made, and no open file is one.

use super::argument::Fd;
use super::context::Ctx;
use super::file::operable;
use crate::errno::{Errno, Result};

/// socket(2) and socketpair(2): "EAFNOSUPPORT The implementation does not support the specified address family." Linux
/// checks family and type first.
pub(crate) fn socket(_: &Ctx<'_>, family: i32, kind: u32, _protocol: i32) -> Result<usize> {
    // One more than the greatest family (AF_MAX), than the greatest type (SOCK_MAX).
    const FAMILIES: i32 = 46;
    const KINDS: u32 = 11;
    const FLAGS: u32 = 0o2004000;
    if kind & !(FLAGS | 0xf) != 0 {
        return Err(Errno::EINVAL);
    }
    if !(0..FAMILIES).contains(&family) {
        return Err(Errno::EAFNOSUPPORT);
    }
    Err(if kind & 0xf >= KINDS { Errno::EINVAL } else { Errno::EAFNOSUPPORT })
}

/// Each call on a socket: EBADF, ENOTSOCK.
pub(crate) fn not_a_socket(ctx: &Ctx<'_>, fd: Fd) -> Result<usize> {
    operable(ctx, fd)?;
    Err(Errno::ENOTSOCK)
}
