//! System V interprocess communication (sysvipc(7)) and POSIX message queues. Between `fs`, whose identities and
//! file systems it uses, and `process`, whose ends it is told of.

/// The identifiers of System V objects, their owners and permissions.
mod registry;

/// POSIX message queues and their file system.
pub(crate) mod mqueue;

/// Message queues: msgget(2) and relatives.
pub(crate) mod message;

/// Semaphore sets: semget(2) and relatives.
pub(crate) mod semaphore;

/// Shared memory: shmget(2) and relatives.
pub(crate) mod shared_memory;

pub(crate) use registry::{Object, Owner, Registry, Right};

/// Offers the file system of message queues.
pub(crate) fn start() {
    mqueue::start();
}
