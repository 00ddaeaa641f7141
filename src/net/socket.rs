//! What a family implements (`Socket`), and the open file around it (`SocketFile`).

use super::ControlBuffer;
use super::options::Options;
use crate::errno::{Errno, Result};
use crate::file::{
    DeviceNumber, Events, File, FileKind, Metadata, Observer, OpenFile, Readiness, StatusFlags, anonymous,
};
use crate::fs::Identity;
use crate::process::Thread;
use crate::vm::{AddressSpace, Destination, Source, UserPtr};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::any::Any;
use linux_raw_sys::net::{
    MSG_DONTWAIT, SO_ACCEPTCONN, SO_DOMAIN, SO_PEERCRED, SO_PEERGROUPS, SO_PROTOCOL, SO_TYPE, SOL_SOCKET,
};
use zerocopy::IntoBytes;

/// The device number of sockets: Linux's sockfs, an unnamed device.
const SOCKET_DEVICE: DeviceNumber = DeviceNumber { major: 0, minor: 8 };

/// What a socket promises of what is sent through it (socket(2)), numbered as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SocketKind {
    Stream = 1,
    Datagram = 2,
    SequencedPacket = 5,
}

/// Which half of a connection to end (shutdown(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    Receive,
    Send,
    Both,
}

/// How long a call on a socket may sleep: for ever, until a time (SO_RCVTIMEO, SO_SNDTIMEO), or not at all.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(super) non_blocking: bool,
    pub(super) deadline_ns: Option<u64>,
}

/// What goes out with the bytes of a message.
pub(crate) struct Outgoing<'a> {
    /// MSG_* of send(2).
    pub(crate) flags: u32,
    pub(crate) wait: Wait,
    /// To whom, as the caller's `struct sockaddr`.
    pub(crate) address: Option<&'a [u8]>,
    /// Control messages.
    pub(crate) control: &'a [u8],
}

/// What comes in with the bytes of a message.
pub(crate) struct Incoming {
    /// MSG_* of recv(2).
    pub(crate) flags: u32,
    pub(crate) wait: Wait,
    /// The caller wants to know from whom.
    pub(crate) wants_address: bool,
    /// From whom, as a `struct sockaddr`; empty if that has no address.
    pub(crate) address: Vec<u8>,
    /// Control messages; without one they are lost.
    pub(crate) control: Option<ControlBuffer>,
    /// MSG_* of the answer.
    pub(crate) answer: u32,
}

/// A socket of some family. Addresses are in the user's form (`struct sockaddr`), cut to their length.
pub(crate) trait Socket: Any + Send + Sync {
    fn family(&self) -> u32;
    fn kind(&self) -> SocketKind;
    fn protocol(&self) -> u32;
    /// Returns a number that no other file without a file system has.
    fn inode(&self) -> u64;
    fn options(&self) -> &Options;
    fn is_listening(&self) -> bool;

    fn bind(&self, address: &[u8]) -> Result;
    fn listen(&self, backlog: u32) -> Result;
    fn accept(&self, wait: Wait) -> Result<Arc<dyn Socket>>;
    fn connect(&self, address: &[u8], wait: Wait) -> Result;
    fn shutdown(&self, how: Shutdown) -> Result;
    fn local_address(&self) -> Result<Vec<u8>>;
    /// ENOTCONN.
    fn peer_address(&self) -> Result<Vec<u8>>;

    /// Sends what `from` holds. EPIPE raises no signal here.
    fn send(&self, from: &mut Source<'_>, message: &Outgoing<'_>) -> Result<usize>;
    fn receive(&self, to: &mut Destination<'_>, message: &mut Incoming) -> Result<usize>;

    /// As `File::poll`.
    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events;
    /// Returns a number that an ioctl(2) asks for. ENOTTY.
    fn amount(&self, request: u32) -> Result<usize>;

    /// Returns who was at the other end when the connection was made (SO_PEERCRED).
    fn peer_identity(&self) -> Option<PeerIdentity> {
        None
    }
    /// The options have changed: who sleeps may look again.
    fn note_options(&self) {}
    /// Sets an option of the family's own levels. EOPNOTSUPP, ENOPROTOOPT.
    fn set_option(&self, _level: u32, _name: u32, _value: &[u8]) -> Result {
        Err(Errno::EOPNOTSUPP)
    }
    /// Returns an option of the family's own levels. EOPNOTSUPP, ENOPROTOOPT.
    fn option(&self, _level: u32, _name: u32) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }
}

/// A process at some moment.
#[derive(Clone)]
pub(crate) struct PeerIdentity {
    pub(super) process_id: i32,
    pub(super) identity: Arc<Identity>,
}

impl PeerIdentity {
    /// Returns the caller.
    pub(super) fn of_caller() -> PeerIdentity {
        let thread = Thread::current();
        PeerIdentity { process_id: thread.process().id(), identity: thread.identity() }
    }
}

/// A socket as an open file has it.
pub(crate) struct SocketFile {
    socket: Arc<dyn Socket>,
    metadata: Metadata,
}

/// Returns the socket of an open file. "ENOTSOCK The file descriptor sockfd does not refer to a socket."
pub(crate) fn socket_of(file: &OpenFile) -> Result<&SocketFile> {
    let file: &dyn Any = &**file.file();
    file.downcast_ref::<SocketFile>().ok_or(Errno::ENOTSOCK)
}

impl SocketFile {
    /// Opens a socket, as the caller's.
    pub(crate) fn open(socket: Arc<dyn Socket>, flags: StatusFlags) -> Arc<OpenFile> {
        let identity = Thread::current().identity();
        let metadata = Metadata {
            device: SOCKET_DEVICE,
            inode: socket.inode(),
            kind: FileKind::Socket,
            permissions: 0o777,
            ..anonymous::pipe_metadata(identity.fsuid, identity.fsgid)
        };
        OpenFile::new(Arc::new(SocketFile { socket, metadata }), flags | StatusFlags::READ_WRITE)
    }

    /// Returns the socket.
    pub(crate) fn socket(&self) -> &Arc<dyn Socket> {
        &self.socket
    }

    /// Returns how long a call that receives may sleep; `message_flags` are MSG_*.
    pub(crate) fn receive_wait(&self, flags: StatusFlags, message_flags: u32) -> Wait {
        let non_blocking = flags.is_non_blocking() || message_flags & MSG_DONTWAIT != 0;
        Wait { non_blocking, deadline_ns: self.socket.options().receive_deadline() }
    }

    /// Returns how long a call that sends may sleep.
    pub(crate) fn send_wait(&self, flags: StatusFlags, message_flags: u32) -> Wait {
        let non_blocking = flags.is_non_blocking() || message_flags & MSG_DONTWAIT != 0;
        Wait { non_blocking, deadline_ns: self.socket.options().send_deadline() }
    }

    /// setsockopt(2).
    pub(crate) fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result {
        match level {
            SOL_SOCKET => {
                self.socket.options().set(name, value)?;
                self.socket.note_options();
                Ok(())
            }
            _ => self.socket.set_option(level, name, value),
        }
    }

    /// getsockopt(2).
    pub(crate) fn option(&self, level: u32, name: u32) -> Result<Vec<u8>> {
        if level != SOL_SOCKET {
            return self.socket.option(level, name);
        }
        let number = match name {
            SO_TYPE => self.socket.kind() as u32,
            SO_DOMAIN => self.socket.family(),
            SO_PROTOCOL => self.socket.protocol(),
            SO_ACCEPTCONN => u32::from(self.socket.is_listening()),
            SO_PEERCRED => {
                let peer = self.socket.peer_identity();
                let numbers = peer.map_or([0, u32::MAX, u32::MAX], |peer| {
                    [peer.process_id as u32, peer.identity.euid, peer.identity.egid]
                });
                return Ok(numbers.as_bytes().to_vec());
            }
            SO_PEERGROUPS => {
                let peer = self.socket.peer_identity().ok_or(Errno::ENODATA)?;
                return Ok(peer.identity.groups.as_bytes().to_vec());
            }
            _ => return self.socket.options().get(name),
        };
        Ok(number.to_ne_bytes().to_vec())
    }
}

impl Wait {
    /// Sleeps until `attempt` returns something else than EAGAIN: EAGAIN when the time is up. A signal restarts the call
    /// only if it could have slept for ever (signal(7), "Interruption of system calls").
    pub(super) fn block_on<T>(&self, readiness: &Readiness, attempt: impl FnMut() -> Result<T>) -> Result<T> {
        if self.non_blocking || self.deadline_ns.is_none() {
            return readiness.block_on(self.non_blocking, attempt);
        }
        readiness.block_until(self.deadline_ns, attempt).map_err(|error| match error {
            Errno::ETIMEDOUT => Errno::EAGAIN,
            Errno::RESTART_NO_HANDLER => Errno::EINTR,
            error => error,
        })
    }
}

impl File for SocketFile {
    fn read(&self, to: &mut Destination<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        if to.remaining() == 0 {
            return Ok(0);
        }
        let wait = self.receive_wait(flags, 0);
        self.socket.receive(
            to,
            &mut Incoming { flags: 0, wait, wants_address: false, address: Vec::new(), control: None, answer: 0 },
        )
    }

    fn write(&self, from: &mut Source<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        self.socket.send(from, &Outgoing { flags: 0, wait: self.send_wait(flags, 0), address: None, control: &[] })
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        self.socket.poll(interest, observer) & (interest | Events::ALWAYS)
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn ioctl(&self, space: &AddressSpace, request: u32, argument: u64) -> Result<usize> {
        let amount = self.socket.amount(request)?;
        UserPtr::<i32>::new(space, argument).write(&(amount as i32)).map(|()| 0)
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.metadata)
    }

    fn name(&self) -> String {
        format!("socket:[{}]", self.metadata.inode)
    }
}
