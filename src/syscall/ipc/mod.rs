//! System V interprocess communication: msgget, semget, shmget and relatives; structures as x86-64 has them.

mod message;
mod semaphore;
mod shared_memory;

pub(crate) use message::{msgctl, msgget, msgrcv, msgsnd};
pub(crate) use semaphore::{semctl, semget, semop, semtimedop};
pub(crate) use shared_memory::{shmat, shmctl, shmdt, shmget};

use crate::ipc::Object;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const IPC_RMID: i32 = 0;
const IPC_SET: i32 = 1;
const IPC_STAT: i32 = 2;
const IPC_INFO: i32 = 3;

/// `struct ipc64_perm`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Permissions {
    key: i32,
    uid: u32,
    gid: u32,
    creator_uid: u32,
    creator_gid: u32,
    mode: u32,
    sequence: u16,
    _padding: [u16; 3],
    _unused: [u64; 2],
}

impl Permissions {
    /// Describes an object; `state` are mode bits beyond the permissions.
    fn of<T>(object: &Object<T>, state: u32) -> Permissions {
        let owner = object.owner();
        Permissions {
            key: object.key(),
            uid: owner.uid,
            gid: owner.gid,
            creator_uid: owner.creator_uid,
            creator_gid: owner.creator_gid,
            mode: owner.mode | state,
            sequence: object.sequence(),
            ..Permissions::default()
        }
    }
}
