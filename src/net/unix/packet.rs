//! Datagrams, and sequenced packets, which are datagrams in a connection.

use super::address;
use super::end::{Closing, End};
use super::inbox::Message;
use super::passing::Ancillary;
use super::socket::UnixSocket;
use crate::errno::{Errno, Result};
use crate::file::Events;
use crate::net::{Incoming, Outgoing, SocketKind};
use crate::vm::{Destination, Source};
use alloc::sync::Arc;
use linux_raw_sys::net::{AF_UNSPEC, MSG_OOB, MSG_PEEK, MSG_TRUNC, SO_PASSCRED};

/// What a packet's size must be below SO_SNDBUF by.
const SIZE_MARGIN: usize = 32;

impl UnixSocket {
    /// Sends all of `from` as one packet. ENOTCONN, EMSGSIZE, ECONNREFUSED, EPERM, EPIPE, EAGAIN.
    pub(super) fn send_packet(&self, from: &mut Source<'_>, message: &Outgoing<'_>) -> Result<usize> {
        let end = self.end();
        let is_connection = end.kind == SocketKind::SequencedPacket;
        if is_connection {
            end.options.take_error()?;
            self.connection().ok_or(Errno::ENOTCONN)?;
        }
        let Ancillary { credentials, mut rights } = Ancillary::read(message.control)?;
        Errno::EOPNOTSUPP.when(message.flags & MSG_OOB != 0)?;
        let given = message.address.filter(|_| !is_connection);
        let connected = self.peer();
        Errno::ENOTCONN.when(given.is_none() && connected.is_none())?;
        self.autobind_for_credentials()?;
        let length = from.remaining();
        Errno::EMSGSIZE.when(length > end.options.send_buffer().saturating_sub(SIZE_MARGIN))?;
        message.wait.block_on(&end.writable, || {
            end.options.take_error()?;
            Errno::EPIPE.when(end.is_closing(Closing::SEND))?;
            end.allowance().map(|_| ())
        })?;

        let target = match given {
            Some(given) => address::find(given, end.kind)?,
            None => connected.ok_or(Errno::ENOTCONN)?,
        };
        let credentials = self.credentials_for(&target, credentials);
        message.wait.block_on(&target.room, || {
            Errno::EPERM.when(!target.accepts_from(end))?;
            let mut inbox = target.inbox();
            if target.is_closing(Closing::CLOSED) {
                drop(inbox);
                return Err(self.lose(&target));
            }
            Errno::EPIPE.when(target.is_closing(Closing::RECEIVE))?;
            Errno::EAGAIN.when(target.is_full_for(end))?;
            inbox.take_whole(from)?;
            let packet = Message { length, sender: Some(end.clone()), credentials, rights: rights.take() };
            end.charge(inbox.push(packet));
            target.unlock(inbox);
            Ok(())
        })?;
        target.readable.announce(Events::READABLE);
        Ok(length)
    }

    /// Notes that the receiver is gone; returns what its sender is told.
    fn lose(&self, target: &Arc<End>) -> Errno {
        if self.end().kind == SocketKind::SequencedPacket {
            return Errno::EPIPE;
        }
        if self.peer().is_some_and(|peer| Arc::ptr_eq(&peer, target)) {
            self.set_peer(None);
        }
        Errno::ECONNREFUSED
    }

    /// Receives one packet; what does not fit of it is lost (MSG_TRUNC).
    pub(super) fn receive_packet(&self, to: &mut Destination<'_>, message: &mut Incoming) -> Result<usize> {
        let end = self.end();
        let is_connection = end.kind == SocketKind::SequencedPacket;
        Errno::ENOTCONN.when(is_connection && self.connection().is_none())?;
        Errno::EOPNOTSUPP.when(message.flags & MSG_OOB != 0)?;
        let is_peek = message.flags & MSG_PEEK != 0;
        let wait = message.wait;
        let taken = wait.block_on(&end.readable, || {
            end.options.take_error()?;
            let mut inbox = end.inbox();
            let Some(first) = inbox.messages.front() else {
                // Linux looks at the end of a datagram socket only before it sleeps.
                let is_end = end.is_closing(Closing::RECEIVE) && (is_connection || !wait.non_blocking);
                return if is_end { Ok(None) } else { Err(Errno::EAGAIN) };
            };
            let length = first.length;
            let sender = first.sender.clone();
            let count = if length == 0 { 0 } else { inbox.bytes.copy_out(to, 0, length)? };
            if is_peek {
                let ancillary =
                    inbox.messages.front().map(|first| Ancillary::duplicate(first.credentials, first.rights.as_ref()));
                return Ok(Some((length, count, sender, ancillary.unwrap_or_default())));
            }
            let before = inbox.messages.len();
            let (charge, packet) = inbox.consume(length, true);
            end.unlock(inbox);
            end.note_room(before);
            if let Some(sender) = &sender {
                sender.release(charge);
            }
            let ancillary = packet.map(|packet| Ancillary { credentials: packet.credentials, rights: packet.rights });
            Ok(Some((length, count, sender, ancillary.unwrap_or_default())))
        })?;

        let Some((length, count, sender, ancillary)) = taken else { return Ok(0) };
        if count < length {
            message.answer |= MSG_TRUNC;
        }
        if message.wants_address
            && let Some(name) = sender.and_then(|sender| sender.name())
        {
            message.address = address::encode(Some(&name));
        }
        ancillary.deliver(end.options.is_on(SO_PASSCRED), message.control.as_mut(), message.flags);
        Ok(if message.flags & MSG_TRUNC != 0 { length } else { count })
    }

    /// connect(2) of a datagram socket: whom it sends to, and the only one that it hears. AF_UNSPEC ends that.
    pub(super) fn connect_datagrams(&self, target: &[u8]) -> Result {
        if address::family_of(target) == AF_UNSPEC {
            self.set_peer(None);
            return Ok(());
        }
        let found = address::find(target, SocketKind::Datagram);
        self.autobind_for_credentials()?;
        let found = found?;
        Errno::EPERM.when(!found.accepts_from(self.end()))?;
        self.set_peer(Some(found));
        Ok(())
    }

    /// Connects a datagram socket with another one. What the old one had sent is lost; it learns that if it was connected
    /// with this one.
    fn set_peer(&self, new: Option<Arc<End>>) {
        let old = {
            let mut peer = self.peer_of_datagrams().lock();
            self.end().set_connected_to(new.as_deref());
            core::mem::replace(&mut *peer, new.clone())
        };
        if let Some(old) = old.filter(|old| new.as_ref().is_none_or(|new| !Arc::ptr_eq(old, new))) {
            let lost = self.end().empty(None);
            if !lost.is_empty() && !old.is_closing(Closing::CLOSED) && old.connected_to() == self.end().inode {
                old.options.set_error(Errno::ECONNRESET);
                old.readable.announce(Events::ERROR);
                old.writable.announce(Events::ERROR);
            }
        }
        self.end().writable.announce(Events::WRITABLE);
    }
}
