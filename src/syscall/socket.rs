//! Sockets: making, naming, connecting, options. What an address or an option means is the family's business.

use super::argument::Fd;
use super::context::Ctx;
use super::file::{CLOSE_ON_EXEC, operable, reserve, reserve_pair};
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, Reservation, StatusFlags};
use crate::net::{self, Shutdown, Socket, SocketFile};
use crate::vm::UserPtr;
use alloc::{sync::Arc, vec::Vec};

/// SOCK_CLOEXEC and SOCK_NONBLOCK, which are numbered as O_CLOEXEC and O_NONBLOCK.
const FLAGS: u32 = CLOSE_ON_EXEC | StatusFlags::NON_BLOCKING.bits();

/// One more than the greatest family (AF_MAX), than the greatest type (SOCK_MAX).
const FAMILIES: u32 = 46;
const KINDS: u32 = 11;

/// The size of a `struct sockaddr_storage`: no address is longer.
pub(super) const ADDRESS_LIMIT: usize = 128;

/// socket(2).
pub(crate) fn socket(ctx: &Ctx<'_>, family: u32, kind: u32, protocol: u32) -> Result<usize> {
    check_kind(family, kind)?;
    let socket = net::create(family, kind & !FLAGS, protocol)?;
    Ok(fill(reserve(ctx)?, socket, kind))
}

/// socketpair(2).
pub(crate) fn socketpair(
    ctx: &Ctx<'_>, family: u32, kind: u32, protocol: u32, descriptors: UserPtr<'_, [i32; 2]>,
) -> Result {
    check_kind(family, kind)?;
    let (one_fd, other_fd) = reserve_pair(ctx, descriptors)?;
    let (one, other) = net::create_pair(family, kind & !FLAGS, protocol)?;
    fill(one_fd, one, kind);
    fill(other_fd, other, kind);
    Ok(())
}

/// Linux checks flags, family and type before it asks the family.
fn check_kind(family: u32, kind: u32) -> Result {
    Errno::EINVAL.when(kind & !(FLAGS | 0xf) != 0)?;
    Errno::EAFNOSUPPORT.when(family >= FAMILIES)?;
    if kind & 0xf >= KINDS { Err(Errno::EINVAL) } else { Ok(()) }
}

fn fill(fd: Reservation<'_>, socket: Arc<dyn Socket>, flags: u32) -> usize {
    let status = StatusFlags::from_bits_truncate(flags & StatusFlags::NON_BLOCKING.bits());
    fd.fill(SocketFile::open(socket, status), flags & CLOSE_ON_EXEC != 0) as usize
}

/// Returns the open file of a socket. EBADF, ENOTSOCK.
pub(super) fn socket_file(ctx: &Ctx<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    let file = operable(ctx, fd)?;
    net::socket_of(&file)?;
    Ok(file)
}

/// bind(2).
pub(crate) fn bind(ctx: &Ctx<'_>, fd: Fd, address: UserPtr<'_, u8>, length: i32) -> Result {
    let file = socket_file(ctx, fd)?;
    net::socket_of(&file)?.socket().bind(&read_address(address, length)?)
}

/// listen(2).
pub(crate) fn listen(ctx: &Ctx<'_>, fd: Fd, backlog: u32) -> Result {
    let file = socket_file(ctx, fd)?;
    net::socket_of(&file)?.socket().listen(backlog)
}

/// accept(2).
pub(crate) fn accept(ctx: &Ctx<'_>, fd: Fd, address: UserPtr<'_, u8>, length: UserPtr<'_, i32>) -> Result<usize> {
    accept4(ctx, fd, address, length, 0)
}

/// accept4(2). A connection whose address cannot be told is gone.
pub(crate) fn accept4(
    ctx: &Ctx<'_>, fd: Fd, address: UserPtr<'_, u8>, length: UserPtr<'_, i32>, flags: u32,
) -> Result<usize> {
    let file = operable(ctx, fd)?;
    Errno::EINVAL.when(flags & !FLAGS != 0)?;
    let fd = reserve(ctx)?;
    let listener = net::socket_of(&file)?;
    let socket = listener.socket().accept(listener.receive_wait(file.flags(), 0))?;
    if !address.is_null() {
        let peer = socket.peer_address().map_err(|_| Errno::ECONNABORTED)?;
        write_address(address, length, &peer)?;
    }
    Ok(fill(fd, socket, flags))
}

/// connect(2).
pub(crate) fn connect(ctx: &Ctx<'_>, fd: Fd, address: UserPtr<'_, u8>, length: i32) -> Result {
    let file = operable(ctx, fd)?;
    let address = read_address(address, length)?;
    let socket = net::socket_of(&file)?;
    Errno::EINVAL.when(address.len() < 2)?;
    socket.socket().connect(&address, socket.send_wait(file.flags(), 0))
}

/// shutdown(2).
pub(crate) fn shutdown(ctx: &Ctx<'_>, fd: Fd, how: i32) -> Result {
    let file = socket_file(ctx, fd)?;
    let how = match how {
        0 => Shutdown::Receive,
        1 => Shutdown::Send,
        2 => Shutdown::Both,
        _ => return Err(Errno::EINVAL),
    };
    net::socket_of(&file)?.socket().shutdown(how)
}

/// getsockname(2).
pub(crate) fn getsockname(ctx: &Ctx<'_>, fd: Fd, address: UserPtr<'_, u8>, length: UserPtr<'_, i32>) -> Result {
    let file = socket_file(ctx, fd)?;
    write_address(address, length, &net::socket_of(&file)?.socket().local_address()?)
}

/// getpeername(2).
pub(crate) fn getpeername(ctx: &Ctx<'_>, fd: Fd, address: UserPtr<'_, u8>, length: UserPtr<'_, i32>) -> Result {
    let file = socket_file(ctx, fd)?;
    write_address(address, length, &net::socket_of(&file)?.socket().peer_address()?)
}

/// setsockopt(2).
pub(crate) fn setsockopt(ctx: &Ctx<'_>, fd: Fd, level: u32, name: u32, value: UserPtr<'_, u8>, length: i32) -> Result {
    /// More than any option has.
    const VALUE_LIMIT: usize = 4096;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = socket_file(ctx, fd)?;
    let value = value.slice(length.min(VALUE_LIMIT))?.read_all()?;
    net::socket_of(&file)?.set_option(level, name, &value)
}

/// getsockopt(2): a value that does not fit is cut, but not a list of groups (ERANGE, and its length).
pub(crate) fn getsockopt(
    ctx: &Ctx<'_>, fd: Fd, level: u32, name: u32, value: UserPtr<'_, u8>, length: UserPtr<'_, i32>,
) -> Result {
    use linux_raw_sys::net::{SO_PEERGROUPS, SOL_SOCKET};
    let file = socket_file(ctx, fd)?;
    let room = usize::try_from(length.read()?).map_err(|_| Errno::EINVAL)?;
    let bytes = net::socket_of(&file)?.option(level, name)?;
    if (level, name) == (SOL_SOCKET, SO_PEERGROUPS) && bytes.len() > room {
        length.write(&(bytes.len() as i32))?;
        return Err(Errno::ERANGE);
    }
    let count = bytes.len().min(room);
    value.slice(count)?.write_all(&bytes[..count])?;
    length.write(&(count as i32))
}

/// Reads an address argument. EINVAL for an impossible length, EFAULT.
pub(super) fn read_address(address: UserPtr<'_, u8>, length: i32) -> Result<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| *length <= ADDRESS_LIMIT).ok_or(Errno::EINVAL)?;
    address.slice(length)?.read_all()
}

/// Writes an address, as much as there is room for, and its whole length. EINVAL, EFAULT.
pub(super) fn write_address(address: UserPtr<'_, u8>, length: UserPtr<'_, i32>, bytes: &[u8]) -> Result {
    let room = usize::try_from(length.read()?).map_err(|_| Errno::EINVAL)?;
    let count = bytes.len().min(room);
    address.slice(count)?.write_all(&bytes[..count])?;
    length.write(&(bytes.len() as i32))
}
