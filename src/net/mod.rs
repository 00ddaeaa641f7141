//! Sockets: what every family shares, and one folder for each family. No driver by name here.
//!
//! A family implements `Socket`; `families` lists it; nothing above this room knows which families there are. Here a
//! socket may ask who calls (`Thread::current`): credentials, descriptors and the names of files are the caller's.

/// Ancillary data: the control messages of sendmsg(2) and recvmsg(2).
mod control;

/// The address families that there are.
mod families;

/// The options that every socket has.
mod options;

/// What a family implements, and the open file around it.
mod socket;

/// AF_UNIX.
pub(crate) mod unix;

pub(crate) use control::ControlBuffer;
pub(crate) use families::{create, create_pair};
pub(crate) use socket::{Incoming, Outgoing, Shutdown, Socket, SocketFile, SocketKind, Wait, socket_of};
