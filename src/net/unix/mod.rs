//! AF_UNIX (unix(7)): stream, datagram and sequenced-packet sockets with names in the file tree, in a space of their own
//! ("abstract"), or without any.
//!
//! Each socket has an `End`, which others may know: it receives, and counts what it sent. Bytes are copied once from
//! the sender into the receiver's `Inbox` and once out of it. A connected end holds the other end, never its socket, so
//! that nothing keeps a socket from being closed but its descriptors.

/// Names.
mod address;

/// Listening, connecting, accepting.
mod connection;

/// What others know of a socket.
mod end;

/// Sockets that only keep each other.
mod garbage;

/// What a socket has received.
mod inbox;

/// Datagrams and sequenced packets.
mod packet;

/// Files and credentials in messages.
mod passing;

/// The socket of this family.
mod socket;

/// Streams of bytes.
mod stream;

/// All sockets, for /proc/net/unix.
mod table;

pub(crate) use socket::UnixSocket;
pub(crate) use table::list;
