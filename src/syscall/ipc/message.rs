//! msgget, msgsnd, msgrcv, msgctl.

use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Permissions};
use crate::errno::{Errno, Result};
use crate::ipc::message::{self, MAX_BYTES, MAX_QUEUES, Message, QUEUE_BYTES, QUEUES, Queue};
use crate::ipc::{Object, Right};
use crate::syscall::context::Ctx;
use crate::vm::UserPtr;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

/// `struct msqid64_ds`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct QueueStatus {
    permissions: Permissions,
    sent: i64,
    received: i64,
    changed: i64,
    bytes: u64,
    count: u64,
    limit: u64,
    last_sender: i32,
    last_receiver: i32,
    _unused: [u64; 2],
}

/// `struct msginfo`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Information {
    pool: i32,
    map: i32,
    max_bytes: i32,
    queue_bytes: i32,
    max_queues: i32,
    segment_size: i32,
    headers: i32,
    segments: u16,
    _padding: u16,
}

/// msgget(2).
pub(crate) fn msgget(ctx: &Ctx<'_>, key: i32, flags: i32) -> Result<usize> {
    message::get(key, flags, &ctx.identity()).map(|id| id as usize)
}

/// msgsnd(2): `buffer` is a `struct msgbuf`, the type before the text.
pub(crate) fn msgsnd(ctx: &Ctx<'_>, id: i32, buffer: UserPtr<'_, i64>, size: usize, flags: i32) -> Result {
    let kind = buffer.read()?;
    Errno::EINVAL.when(size > MAX_BYTES.get() || id < 0 || kind < 1)?;
    let text = buffer.add(1).cast::<u8>().slice(size)?.read_all()?;
    message::send(id, Message { kind, text }, flags, &ctx.identity(), ctx.process().id())
}

/// msgrcv(2).
pub(crate) fn msgrcv(
    ctx: &Ctx<'_>, id: i32, buffer: UserPtr<'_, i64>, size: usize, kind: i64, flags: i32,
) -> Result<usize> {
    Errno::EINVAL.when(id < 0 || isize::try_from(size).is_err())?;
    let message = message::receive(id, kind, size, flags, &ctx.identity(), ctx.process().id())?;
    buffer.write(&message.kind)?;
    buffer.add(1).cast::<u8>().slice(message.text.len())?.write_all(&message.text)?;
    Ok(message.text.len())
}

/// msgctl(2).
pub(crate) fn msgctl(ctx: &Ctx<'_>, id: i32, command: i32, argument: UserPtr<'_, QueueStatus>) -> Result<usize> {
    Errno::EINVAL.when(id < 0 || command < 0)?;
    let identity = ctx.identity();
    match command {
        IPC_INFO | MSG_INFO => {
            argument.cast().write(&information(command == MSG_INFO))?;
            Ok(QUEUES.last_index())
        }
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let object = if command == IPC_STAT { QUEUES.find(id)? } else { QUEUES.at(id)? };
            if command != MSG_STAT_ANY {
                object.check(&identity, Right::READ)?;
            }
            argument.write(&status(&object))?;
            Ok(if command == IPC_STAT { 0 } else { object.id() as usize })
        }
        IPC_SET => {
            let QueueStatus { permissions: Permissions { uid, gid, mode, .. }, limit, .. } = argument.read()?;
            message::set(id, &identity, uid, gid, mode, limit as usize).map(|()| 0)
        }
        IPC_RMID => message::remove(id, &identity).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

fn status(object: &Object<Queue>) -> QueueStatus {
    let status = object.value.status();
    QueueStatus {
        permissions: Permissions::of(object, 0),
        sent: status.sent,
        received: status.received,
        changed: object.owner().changed,
        bytes: status.bytes as u64,
        count: status.count as u64,
        limit: status.limit as u64,
        last_sender: status.last_sender,
        last_receiver: status.last_receiver,
        ..QueueStatus::default()
    }
}

/// Returns the limits, or the amounts in use where `msgctl(MSG_INFO)` has those; the rest are Linux's constants.
fn information(is_in_use: bool) -> Information {
    let queue_bytes = QUEUE_BYTES.get() as i32;
    let mut information = Information {
        pool: MAX_QUEUES.get() as i32 * queue_bytes / 1024,
        map: queue_bytes,
        max_bytes: MAX_BYTES.get() as i32,
        queue_bytes,
        max_queues: MAX_QUEUES.get() as i32,
        segment_size: 16,
        headers: queue_bytes,
        segments: 0xffff,
        ..Information::default()
    };
    if is_in_use {
        (information.pool, information.map, information.headers) = (0, 0, 0);
        for status in QUEUES.all().map(|object| object.value.status()) {
            information.pool += 1;
            information.map += status.count as i32;
            information.headers += status.bytes as i32;
        }
    }
    information
}
