//! The socket of this family: its own end and whom it is connected to.

use super::address;
use super::end::{Closing, End};
use super::{garbage, table};
use crate::errno::{Errno, Result};
use crate::file::{Events, Observer};
use crate::machine::sync::{Once, SpinLock};
use crate::net::options::Options;
use crate::net::socket::PeerIdentity;
use crate::net::{Incoming, Outgoing, Shutdown, Socket, SocketKind, Wait};
use crate::rank::Rank;
use crate::vm::{Destination, Source};
use alloc::{sync::Arc, vec::Vec};
use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use linux_raw_sys::net::AF_UNIX;

/// A socket. Dropping it closes it.
pub(crate) struct UnixSocket {
    end: Arc<End>,
    /// The other end of a stream or of sequenced packets: once made, a connection stays.
    connection: Once<Arc<End>>,
    /// Whom datagrams go to.
    peer: SpinLock<Option<Arc<End>>>,
}

impl UnixSocket {
    /// Makes a socket.
    pub(crate) fn new(kind: SocketKind) -> Arc<UnixSocket> {
        UnixSocket::with_end(End::new(kind))
    }

    /// Makes two connected ones.
    pub(crate) fn new_pair(kind: SocketKind) -> (Arc<UnixSocket>, Arc<UnixSocket>) {
        let (one, other) = (End::new(kind), End::new(kind));
        let caller = PeerIdentity::of_caller();
        one.state.lock().peer = Some(caller.clone());
        other.state.lock().peer = Some(caller);
        one.set_connected_to(Some(&other));
        (UnixSocket::connected(other.clone(), one.clone()), UnixSocket::connected(one, other))
    }

    /// Makes the socket of `end`.
    pub(super) fn with_end(end: Arc<End>) -> Arc<UnixSocket> {
        Arc::new(UnixSocket { end, connection: Once::new(), peer: SpinLock::new(Rank::Stream, None) })
    }

    /// Makes the socket of `end`, connected with `peer`.
    fn connected(end: Arc<End>, peer: Arc<End>) -> Arc<UnixSocket> {
        end.set_connected_to(Some(&peer));
        let socket = UnixSocket::with_end(end);
        if socket.end.kind == SocketKind::Datagram {
            *socket.peer.lock() = Some(peer);
        } else {
            socket.connection.call_once(|| peer);
        }
        socket
    }

    pub(super) fn end(&self) -> &Arc<End> {
        &self.end
    }

    /// Returns the other end, if this is a connection.
    pub(super) fn connection(&self) -> Option<&Arc<End>> {
        self.connection.get()
    }

    /// Connects it; returns whether it was not connected before.
    pub(super) fn set_connection(&self, peer: &Arc<End>) -> bool {
        let mut is_new = false;
        self.connection.call_once(|| {
            is_new = true;
            self.end.set_connected_to(Some(peer));
            peer.clone()
        });
        is_new
    }

    pub(super) fn peer_of_datagrams(&self) -> &SpinLock<Option<Arc<End>>> {
        &self.peer
    }

    /// Returns whom it sends to.
    pub(super) fn peer(&self) -> Option<Arc<End>> {
        self.connection().cloned().or_else(|| self.peer.lock().clone())
    }
}

impl Socket for UnixSocket {
    fn family(&self) -> u32 {
        AF_UNIX
    }

    fn kind(&self) -> SocketKind {
        self.end.kind
    }

    fn protocol(&self) -> u32 {
        0
    }

    fn inode(&self) -> u64 {
        self.end.inode
    }

    fn options(&self) -> &Options {
        &self.end.options
    }

    fn is_listening(&self) -> bool {
        self.end.state.lock().listening.is_some()
    }

    fn bind(&self, address: &[u8]) -> Result {
        address::bind(&self.end, address)
    }

    fn listen(&self, backlog: u32) -> Result {
        self.listen_for(backlog)
    }

    fn accept(&self, wait: Wait) -> Result<Arc<dyn Socket>> {
        let socket = self.accept_one(wait)?;
        Ok(socket)
    }

    fn connect(&self, address: &[u8], wait: Wait) -> Result {
        match self.end.kind {
            SocketKind::Datagram => self.connect_datagrams(address),
            SocketKind::Stream | SocketKind::SequencedPacket => self.connect_to(address, wait),
        }
    }

    fn shutdown(&self, how: Shutdown) -> Result {
        let (own, others) = match how {
            Shutdown::Receive => (Closing::RECEIVE, Closing::SEND),
            Shutdown::Send => (Closing::SEND, Closing::RECEIVE),
            Shutdown::Both => (Closing::BOTH, Closing::BOTH),
        };
        self.end.shut(own);
        if let Some(peer) = self.connection() {
            peer.shut(others);
        }
        Ok(())
    }

    fn local_address(&self) -> Result<Vec<u8>> {
        Ok(address::encode(self.end.name().as_ref()))
    }

    fn peer_address(&self) -> Result<Vec<u8>> {
        let peer = self.peer().ok_or(Errno::ENOTCONN)?;
        Ok(address::encode(peer.name().as_ref()))
    }

    fn send(&self, from: &mut Source<'_>, message: &Outgoing<'_>) -> Result<usize> {
        match self.end.kind {
            SocketKind::Stream => self.send_stream(from, message),
            SocketKind::Datagram | SocketKind::SequencedPacket => self.send_packet(from, message),
        }
    }

    fn receive(&self, to: &mut Destination<'_>, message: &mut Incoming) -> Result<usize> {
        match self.end.kind {
            SocketKind::Stream => self.receive_stream(to, message),
            SocketKind::Datagram | SocketKind::SequencedPacket => self.receive_packet(to, message),
        }
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        let end = &self.end;
        let is_datagram = end.kind == SocketKind::Datagram;
        let receiver = if is_datagram { self.peer() } else { None };
        if let Some(observer) = observer {
            end.readable.observe(observer, interest);
            end.writable.observe(observer, interest);
            if let Some(receiver) = &receiver {
                receiver.room.observe(observer, interest);
            }
        }

        let mut events = Events::empty();
        let (has_pending, is_listening) = match &end.state.lock().listening {
            Some(listening) => (!listening.pending.is_empty(), true),
            None => (false, false),
        };
        let is_receive_shut = end.is_closing(Closing::RECEIVE);
        let is_unconnected = !is_datagram && !is_listening && self.connection().is_none();
        events.set(Events::ERROR, end.options.has_error());
        events.set(Events::HANG_UP, end.is_closing(Closing::BOTH) || is_unconnected);
        events.set(Events::READ_HANG_UP, is_receive_shut);
        if is_receive_shut || has_pending || end.waiting() > 0 {
            events |= Events::READABLE;
        }
        let is_writable = !is_listening && end.is_writable();
        if is_writable && !receiver.is_some_and(|receiver| receiver.is_full_for(end)) {
            events |= Events::WRITABLE | Events::WRITE_BAND;
        }
        events
    }

    fn amount(&self, request: u32) -> Result<usize> {
        match request {
            FIONREAD if self.is_listening() => Err(Errno::EINVAL),
            FIONREAD => {
                let inbox = self.end.inbox();
                let lengths = inbox.messages.iter().map(|message| message.length);
                Ok(if self.end.kind == SocketKind::Datagram { lengths.take(1).sum() } else { lengths.sum() })
            }
            TIOCOUTQ => Ok(self.end.unread()),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn note_options(&self) {
        self.end.writable.announce(Events::WRITABLE);
        self.end.readable.announce(Events::READABLE);
    }

    fn peer_identity(&self) -> Option<PeerIdentity> {
        self.end.state.lock().peer.clone()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        table::remove(&self.end);
        address::release(&self.end);
        let listening = self.end.state.lock().listening.take();
        self.end.shut(Closing::BOTH | Closing::CLOSED);
        let lost = self.end.empty(self.connection());
        if let Some(peer) = self.connection() {
            // "ECONNRESET" for who sent what nobody read.
            if !lost.is_empty() || self.end.is_closing(Closing::UNACCEPTED) {
                peer.options.set_error(Errno::ECONNRESET);
            }
            peer.shut(Closing::BOTH);
        }
        drop(lost);
        // Connections that nobody accepted are reset.
        drop(listening);
        garbage::collect();
    }
}
