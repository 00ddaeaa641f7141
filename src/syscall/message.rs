//! Sending and receiving on sockets: send and recv with their relatives.

use super::argument::Fd;
use super::context::Ctx;
use super::file::{IoVecs, MAX_AREAS, MAX_RW_LENGTH, with_broken_pipe_signal};
use super::socket::{ADDRESS_LIMIT, read_address, socket_file, write_address};
use super::time_value::{TimeSpec, deadline_after, time_left};
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::machine::time;
use crate::net::{self, ControlBuffer, Incoming, Outgoing};
use crate::vm::{Destination, Source, UserPtr};
use alloc::vec::Vec;
use linux_raw_sys::net::{MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_NOSIGNAL};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct msghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct MessageHeader {
    name: u64,
    name_length: i32,
    _padding: u32,
    areas: u64,
    area_count: u64,
    control: u64,
    control_length: u64,
    flags: u32,
    _padding_end: u32,
}

/// `struct mmsghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CountedHeader {
    header: MessageHeader,
    count: u32,
    _padding: u32,
}

/// The most bytes of control messages that one call sends (/proc/sys/net/core/optmem_max).
const CONTROL_LIMIT: u64 = 131_072;

/// The most messages of one sendmmsg or recvmmsg.
const MESSAGES_LIMIT: usize = 1024;

/// "Turns on MSG_DONTWAIT after the first message has been received" (recvmmsg(2)).
const MSG_WAITFORONE: u32 = 0x10000;

impl MessageHeader {
    /// Returns the buffers. EMSGSIZE for too many.
    fn areas(&self, ctx: &Ctx<'_>) -> Result<Vec<(u64, usize)>> {
        Errno::EMSGSIZE.when(self.area_count > MAX_AREAS as u64)?;
        IoVecs { first: UserPtr::new(ctx.space(), self.areas), count: self.area_count as i32 }.read()
    }

    /// Returns the room for an address. EINVAL.
    fn name_length(&self) -> Result<usize> {
        let length = usize::try_from(self.name_length).map_err(|_| Errno::EINVAL)?;
        Ok(if self.name == 0 { 0 } else { length.min(ADDRESS_LIMIT) })
    }
}

/// sendto(2).
pub(crate) fn sendto(
    ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, length: usize, flags: u32, address: UserPtr<'_, u8>,
    address_length: i32,
) -> Result<usize> {
    let mut source = buffer.source(length.min(MAX_RW_LENGTH))?;
    let file = socket_file(ctx, fd)?;
    let address = match address.non_null() {
        Some(address) => read_address(address, address_length)?,
        None => Vec::new(),
    };
    send(ctx, &file, &mut source, &address, &[], flags)
}

/// sendmsg(2).
pub(crate) fn sendmsg(ctx: &Ctx<'_>, fd: Fd, header: UserPtr<'_, MessageHeader>, flags: u32) -> Result<usize> {
    let file = socket_file(ctx, fd)?;
    send_message(ctx, &file, &header.read()?, flags)
}

/// sendmmsg(2): returns how many messages were sent; an error only if none was.
pub(crate) fn sendmmsg(
    ctx: &Ctx<'_>, fd: Fd, headers: UserPtr<'_, CountedHeader>, count: u32, flags: u32,
) -> Result<usize> {
    let file = socket_file(ctx, fd)?;
    let count = MESSAGES_LIMIT.min(count as usize);
    for_each_message(ctx, headers, count, |_, header| send_message(ctx, &file, header, flags))
}

fn send_message(ctx: &Ctx<'_>, file: &OpenFile, header: &MessageHeader, flags: u32) -> Result<usize> {
    let name_length = header.name_length()?;
    let address = UserPtr::<u8>::new(ctx.space(), header.name).slice(name_length)?.read_all()?;
    let areas = header.areas(ctx)?;
    Errno::ENOBUFS.when(header.control_length > CONTROL_LIMIT)?;
    let control = UserPtr::<u8>::new(ctx.space(), header.control).slice(header.control_length as usize)?.read_all()?;
    send(ctx, file, &mut Source::user(ctx.space(), areas), &address, &control, flags)
}

fn send(
    ctx: &Ctx<'_>, file: &OpenFile, source: &mut Source<'_>, address: &[u8], control: &[u8], flags: u32,
) -> Result<usize> {
    let socket = net::socket_of(file)?;
    let address = (!address.is_empty()).then_some(address);
    let wait = socket.send_wait(file.flags(), flags);
    let result = socket.socket().send(source, &Outgoing { flags, wait, address, control });
    if flags & MSG_NOSIGNAL != 0 { result } else { with_broken_pipe_signal(ctx, file, result) }
}

/// recvfrom(2).
pub(crate) fn recvfrom(
    ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, length: usize, flags: u32, address: UserPtr<'_, u8>,
    address_length: UserPtr<'_, i32>,
) -> Result<usize> {
    let mut destination = buffer.destination(length.min(MAX_RW_LENGTH))?;
    let file = socket_file(ctx, fd)?;
    let (count, incoming) = receive(&file, &mut destination, flags, !address.is_null(), None)?;
    if !address.is_null() {
        write_address(address, address_length, &incoming.address)?;
    }
    Ok(count)
}

/// recvmsg(2).
pub(crate) fn recvmsg(ctx: &Ctx<'_>, fd: Fd, header: UserPtr<'_, MessageHeader>, flags: u32) -> Result<usize> {
    let file = socket_file(ctx, fd)?;
    receive_message(ctx, &file, header, &header.read()?, flags)
}

/// recvmmsg(2): like Linux it looks at the time only after each message.
pub(crate) fn recvmmsg(
    ctx: &Ctx<'_>, fd: Fd, headers: UserPtr<'_, CountedHeader>, count: u32, flags: u32, limit: UserPtr<'_, TimeSpec>,
) -> Result<usize> {
    let deadline_ns = match limit.non_null() {
        Some(limit) => Some(deadline_after(limit.read()?.to_ns()?)),
        None => None,
    };
    let file = socket_file(ctx, fd)?;
    let mut flags = flags;
    let waits_for_one = flags & MSG_WAITFORONE != 0;
    flags &= !MSG_WAITFORONE;
    let mut is_late = false;
    let received = for_each_message(ctx, headers, MESSAGES_LIMIT.min(count as usize), |pointer, header| {
        Errno::ETIMEDOUT.when(is_late)?;
        let length = receive_message(ctx, &file, pointer, header, flags)?;
        is_late = deadline_ns.is_some_and(|deadline| time::monotonic_ns() >= deadline);
        if waits_for_one {
            flags |= MSG_DONTWAIT;
        }
        Ok(length)
    })?;
    if let Some(deadline) = deadline_ns {
        limit.write(&TimeSpec::from_ns(time_left(deadline)))?;
    }
    Ok(received)
}

/// Calls `serve` for up to `count` headers and stores the length that it returns; returns how many there were. An error
/// counts only for the first.
fn for_each_message(
    ctx: &Ctx<'_>, headers: UserPtr<'_, CountedHeader>, count: usize,
    mut serve: impl FnMut(UserPtr<'_, MessageHeader>, &MessageHeader) -> Result<usize>,
) -> Result<usize> {
    for index in 0..count {
        let pointer = headers.add(index);
        let served = pointer.read().and_then(|counted| {
            let length = serve(pointer.cast(), &counted.header)?;
            let place = pointer.add_bytes(size_of::<MessageHeader>() as u64).address();
            UserPtr::<u32>::new(ctx.space(), place).write(&(length as u32))
        });
        match served {
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index),
            Ok(()) => {}
        }
    }
    Ok(count)
}

fn receive_message(
    ctx: &Ctx<'_>, file: &OpenFile, pointer: UserPtr<'_, MessageHeader>, header: &MessageHeader, flags: u32,
) -> Result<usize> {
    let name_length = header.name_length()?;
    let mut destination = Destination::user(ctx.space(), header.areas(ctx)?);
    let room = usize::try_from(header.control_length).map_err(|_| Errno::ENOBUFS)?;
    let control = Some(ControlBuffer::new(if header.control == 0 { 0 } else { room }));
    let (count, incoming) = receive(file, &mut destination, flags, header.name != 0, control)?;

    let mut header = *header;
    if header.name != 0 {
        let length = name_length.min(incoming.address.len());
        let name = UserPtr::<u8>::new(ctx.space(), header.name);
        name.slice(length)?.write_all(&incoming.address[..length])?;
        header.name_length = incoming.address.len() as i32;
    }
    header.flags = incoming.answer | flags & MSG_CMSG_CLOEXEC;
    header.control_length = 0;
    if let Some(control) = incoming.control {
        let bytes = control.bytes();
        UserPtr::<u8>::new(ctx.space(), header.control).slice(bytes.len())?.write_all(bytes)?;
        header.control_length = bytes.len() as u64;
        if control.is_truncated() {
            header.flags |= MSG_CTRUNC;
        }
    }
    pointer.write(&header)?;
    Ok(count)
}

fn receive(
    file: &OpenFile, destination: &mut Destination<'_>, flags: u32, wants_address: bool, control: Option<ControlBuffer>,
) -> Result<(usize, Incoming)> {
    let socket = net::socket_of(file)?;
    let wait = socket.receive_wait(file.flags(), flags);
    let mut incoming = Incoming { flags, wait, wants_address, address: Vec::new(), control, answer: 0 };
    let count = socket.socket().receive(destination, &mut incoming)?;
    Ok((count, incoming))
}
