//! semget, semop, semtimedop, semctl.

use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Permissions};
use crate::errno::{Errno, Result};
use crate::ipc::semaphore::{
    self, MAX_OF_ALL, MAX_OF_SET, MAX_OPERATIONS, MAX_SETS, MAX_VALUE, Operation, SETS, Set, total,
};
use crate::ipc::{Object, Right};
use crate::syscall::context::Ctx;
use crate::syscall::time_value::{TimeSpec, read_deadline};
use crate::vm::UserPtr;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// `struct semid64_ds`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SetStatus {
    permissions: Permissions,
    operated: i64,
    _unused: u64,
    changed: i64,
    _unused_second: u64,
    count: u64,
    _unused_end: [u64; 2],
}

/// `struct seminfo`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Information {
    map: i32,
    max_sets: i32,
    max_semaphores: i32,
    undo_structures: i32,
    max_of_set: i32,
    max_operations: i32,
    undo_entries: i32,
    /// Of an undo structure; for SEM_INFO the number of sets.
    size: i32,
    max_value: i32,
    /// The greatest undo value; for SEM_INFO the number of semaphores.
    max_undo: i32,
}

/// semget(2).
pub(crate) fn semget(ctx: &Ctx<'_>, key: i32, count: i32, flags: i32) -> Result<usize> {
    semaphore::get(key, count, flags, &ctx.identity()).map(|id| id as usize)
}

/// semop(2).
pub(crate) fn semop(ctx: &Ctx<'_>, id: i32, operations: UserPtr<'_, Operation>, count: u32) -> Result {
    semtimedop(ctx, id, operations, count, UserPtr::new(ctx.space(), 0))
}

/// semtimedop(2).
pub(crate) fn semtimedop(
    ctx: &Ctx<'_>, id: i32, operations: UserPtr<'_, Operation>, count: u32, limit: UserPtr<'_, TimeSpec>,
) -> Result {
    let deadline_ns = read_deadline(limit)?;
    Errno::EINVAL.when(count == 0 || id < 0)?;
    Errno::E2BIG.when(count as usize > MAX_OPERATIONS.get())?;
    let operations = operations.slice(count as usize)?.read_all()?;
    let operator = ctx.thread().undo_list().operator(ctx.process().id());
    semaphore::operate(id, operations, &ctx.identity(), operator, deadline_ns)
}

/// semctl(2): `argument` is `union semun`.
pub(crate) fn semctl(ctx: &Ctx<'_>, id: i32, number: i32, command: i32, argument: u64) -> Result<usize> {
    Errno::EINVAL.when(id < 0)?;
    let identity = ctx.identity();
    let process = ctx.process().id();
    match command {
        IPC_INFO | SEM_INFO => {
            let mut information = limits();
            if command == SEM_INFO {
                (information.size, information.max_undo) = (SETS.all().count() as i32, total() as i32);
            }
            UserPtr::new(ctx.space(), argument).write(&information)?;
            Ok(SETS.last_index())
        }
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let object = if command == IPC_STAT { SETS.find(id)? } else { SETS.at(id)? };
            if command != SEM_STAT_ANY {
                object.check(&identity, Right::READ)?;
            }
            UserPtr::new(ctx.space(), argument).write(&status(&object))?;
            Ok(if command == IPC_STAT { 0 } else { object.id() as usize })
        }
        IPC_SET => {
            let Permissions { uid, gid, mode, .. } =
                UserPtr::<SetStatus>::new(ctx.space(), argument).read()?.permissions;
            SETS.find(id)?.set_owner(&identity, uid, gid, mode).map(|()| 0)
        }
        IPC_RMID => semaphore::remove(id, &identity).map(|()| 0),
        SETVAL => {
            let value = u16::try_from(argument as i32).ok().filter(|value| i32::from(*value) <= MAX_VALUE);
            let object = SETS.find(id)?;
            object.value.semaphore(number)?;
            object.check(&identity, Right::WRITE)?;
            object.set_values(number as usize, &[value.ok_or(Errno::ERANGE)?], process).map(|()| 0)
        }
        SETALL => {
            let object = SETS.find(id)?;
            object.check(&identity, Right::WRITE)?;
            let values = UserPtr::<u16>::new(ctx.space(), argument).slice(object.value.count())?.read_all()?;
            Errno::ERANGE.when(values.iter().any(|value| i32::from(*value) > MAX_VALUE))?;
            object.set_values(0, &values, process).map(|()| 0)
        }
        GETALL | GETVAL | GETPID | GETNCNT | GETZCNT => {
            let object = SETS.find(id)?;
            object.check(&identity, Right::READ)?;
            let set = &object.value;
            if command == GETALL {
                let values = set.values()?;
                UserPtr::new(ctx.space(), argument).slice(values.len())?.write_all(&values)?;
                return Ok(0);
            }
            let semaphore = set.semaphore(number)?;
            Ok(match command {
                GETVAL => semaphore.value.into(),
                GETPID => semaphore.process as usize,
                _ => set.waiting(number, command == GETZCNT),
            })
        }
        _ => Err(Errno::EINVAL),
    }
}

fn status(object: &Object<Set>) -> SetStatus {
    SetStatus {
        permissions: Permissions::of(object, 0),
        operated: object.value.operated(),
        changed: object.owner().changed,
        count: object.value.count() as u64,
        ..SetStatus::default()
    }
}

/// Returns the limits; those that Linux does not use either have its numbers.
fn limits() -> Information {
    let (max_semaphores, max_operations) = (MAX_OF_ALL.get() as i32, MAX_OPERATIONS.get() as i32);
    Information {
        map: max_semaphores,
        max_sets: MAX_SETS.get() as i32,
        max_semaphores,
        undo_structures: max_semaphores,
        max_of_set: MAX_OF_SET.get() as i32,
        max_operations,
        undo_entries: max_operations,
        size: 20,
        max_value: MAX_VALUE,
        max_undo: MAX_VALUE,
    }
}
