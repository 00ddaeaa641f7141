//! The address families that there are: a new one adds its line to each `match`.

use super::unix::UnixSocket;
use super::{Socket, SocketKind};
use crate::errno::{Errno, Result};
use crate::vm;
use alloc::sync::Arc;
use linux_raw_sys::net;

/// Makes a socket (socket(2)): `kind` as numbered there, without flags. EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT,
/// ENOMEM.
pub(crate) fn create(family: u32, kind: u32, protocol: u32) -> Result<Arc<dyn Socket>> {
    vm::check_budget()?;
    match family {
        net::AF_UNIX => Ok(UnixSocket::new(unix_kind(kind, protocol)?)),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Makes two sockets that are connected with each other (socketpair(2)). EOPNOTSUPP for families that have no such.
pub(crate) fn create_pair(family: u32, kind: u32, protocol: u32) -> Result<(Arc<dyn Socket>, Arc<dyn Socket>)> {
    vm::check_budget()?;
    match family {
        net::AF_UNIX => {
            let (one, other) = UnixSocket::new_pair(unix_kind(kind, protocol)?);
            Ok((one, other))
        }
        _ => create(family, kind, protocol).and(Err(Errno::EOPNOTSUPP)),
    }
}

fn unix_kind(kind: u32, protocol: u32) -> Result<SocketKind> {
    Errno::EPROTONOSUPPORT.when(protocol != 0 && protocol != net::AF_UNIX)?;
    match kind {
        net::SOCK_STREAM => Ok(SocketKind::Stream),
        // "Believe it or not BSD has AF_UNIX, SOCK_RAW" (Linux): a datagram socket.
        net::SOCK_DGRAM | net::SOCK_RAW => Ok(SocketKind::Datagram),
        net::SOCK_SEQPACKET => Ok(SocketKind::SequencedPacket),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}
