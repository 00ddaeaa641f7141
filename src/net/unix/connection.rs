//! Listening, connecting, accepting: streams and sequenced packets.

use super::address;
use super::end::{Closing, End, Listening};
use super::socket::UnixSocket;
use crate::errno::{Errno, Result};
use crate::file::Events;
use crate::net::socket::PeerIdentity;
use crate::net::{SocketKind, Wait};
use crate::vm;
use alloc::{collections::VecDeque, sync::Arc};
use linux_raw_sys::net::SO_PASSCRED;

/// The most connections that may wait (/proc/sys/net/core/somaxconn).
const BACKLOG_LIMIT: u32 = 4096;

impl UnixSocket {
    /// listen(2). EOPNOTSUPP for datagrams; EINVAL without a name, or when connected.
    pub(super) fn listen_for(&self, backlog: u32) -> Result {
        Errno::EOPNOTSUPP.when(self.end().kind == SocketKind::Datagram)?;
        let backlog = backlog.min(BACKLOG_LIMIT) as usize;
        Errno::EINVAL.when(self.end().name().is_none() || self.connection().is_some())?;
        let caller = PeerIdentity::of_caller();
        let replaced = {
            let mut state = self.end().state.lock();
            match &mut state.listening {
                Some(listening) => listening.backlog = backlog,
                none => *none = Some(Listening { backlog, pending: VecDeque::new() }),
            }
            state.peer.replace(caller)
        };
        drop(replaced);
        self.end().room.announce(Events::WRITABLE);
        Ok(())
    }

    /// accept(2). EOPNOTSUPP for datagrams; EINVAL unless it listens.
    pub(super) fn accept_one(&self, wait: Wait) -> Result<Arc<UnixSocket>> {
        Errno::EOPNOTSUPP.when(self.end().kind == SocketKind::Datagram)?;
        let socket = wait.block_on(&self.end().readable, || {
            let mut state = self.end().state.lock();
            let listening = state.listening.as_mut().ok_or(Errno::EINVAL)?;
            let is_shut = self.end().is_closing(Closing::RECEIVE);
            listening.pending.pop_front().ok_or(if is_shut { Errno::EINVAL } else { Errno::EAGAIN })
        })?;
        socket.end().set_accepted();
        if self.end().options.is_on(SO_PASSCRED) {
            socket.end().options.switch(SO_PASSCRED, true);
        }
        self.end().room.announce(Events::WRITABLE);
        Ok(socket)
    }

    /// connect(2) of a stream or of sequenced packets. ECONNREFUSED, EAGAIN, EISCONN, EINVAL, ENOMEM.
    pub(super) fn connect_to(&self, target: &[u8], wait: Wait) -> Result {
        self.autobind_for_credentials()?;
        let listener = address::find(target, self.end().kind)?;
        // Connections that nobody accepts are bounded by no limit on descriptors.
        vm::check_budget()?;
        let fresh = End::new(self.end().kind);
        fresh.set_unaccepted();
        fresh.state.lock().peer = Some(PeerIdentity::of_caller());
        if let Some(name) = listener.name() {
            fresh.name_it(name)?;
        }
        let mut server = Some(UnixSocket::with_end(fresh.clone()));

        wait.block_on(&listener.room, || {
            let is_listening = self.end().state.lock().listening.is_some();
            let mut state = listener.state.lock();
            let theirs = state.peer.clone();
            let is_refused = listener.is_closing(Closing::RECEIVE);
            let listening = state.listening.as_mut().filter(|_| !is_refused).ok_or(Errno::ECONNREFUSED)?;
            Errno::EAGAIN.when(listening.pending.len() > listening.backlog)?;
            Errno::EINVAL.when(is_listening)?;
            Errno::EISCONN.when(!self.set_connection(&fresh))?;
            if let Some(server) = server.take() {
                server.set_connection(self.end());
                listening.pending.push_back(server);
            }
            drop(state);
            self.end().state.lock().peer = theirs;
            Ok(())
        })?;

        listener.readable.announce(Events::READABLE);
        Ok(())
    }

    /// "Autobind … the SO_PASSCRED socket option was specified for a socket that was not explicitly bound" (unix(7)).
    pub(super) fn autobind_for_credentials(&self) -> Result {
        if self.end().options.is_on(SO_PASSCRED) { address::autobind(self.end()) } else { Ok(()) }
    }
}
