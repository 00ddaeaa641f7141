//! process_vm_readv(2) and process_vm_writev(2): copies between two programs. kcmp(2): what two threads share.

use crate::errno::{Errno, Result};
use crate::process::{AccessMode, Thread, may_access, table};
use crate::syscall::context::Ctx;
use crate::syscall::file::IoVecs;
use crate::vm::{Destination, Rights, Source};
use alloc::sync::Arc;

/// Which way the bytes go, seen from the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// process_vm_readv(2).
pub(crate) fn process_vm_readv(
    ctx: &Ctx<'_>, id: i32, local: IoVecs<'_>, remote: IoVecs<'_>, flags: u64,
) -> Result<usize> {
    transfer(ctx, id, local, remote, flags, Direction::Read)
}

/// process_vm_writev(2).
pub(crate) fn process_vm_writev(
    ctx: &Ctx<'_>, id: i32, local: IoVecs<'_>, remote: IoVecs<'_>, flags: u64,
) -> Result<usize> {
    transfer(ctx, id, local, remote, flags, Direction::Write)
}

/// kcmp(2): 0 if both threads share the resource, else 1 or 2 as an order. Semaphores' undo lists are not compared.
pub(crate) fn kcmp(ctx: &Ctx<'_>, first: i32, second: i32, kind: u32, fd: u64, other_fd: u64) -> Result<usize> {
    let find = |id| table::find_thread(id).ok_or(Errno::ESRCH);
    let (one, other) = (find(first)?, find(second)?);
    Errno::EPERM.when(![&one, &other].iter().all(|thread| may_access(ctx.thread(), thread, AccessMode::Real)))?;
    let place = |thread: &Arc<Thread>, fd: u64| {
        Ok(match kind {
            0 => Arc::as_ptr(&thread.files().get(fd as i32)?).addr(),
            1 => thread.process().space().map_or(0, |space| Arc::as_ptr(&space).addr()),
            2 => Arc::as_ptr(&thread.files()).addr(),
            3 => Arc::as_ptr(&thread.shared_directories()).addr(),
            4 => Arc::as_ptr(&thread.process().dispositions()).addr(),
            _ => return Err(Errno::EINVAL),
        })
    };
    // An order all the same, but not that of addresses, which are nobody's business.
    let mix = |place: usize| place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (one, other) = (mix(place(&one, fd)?), mix(place(&other, other_fd)?));
    Ok(usize::from(one != other) + usize::from(one > other))
}

/// Moves what fits into both lists, until something cannot be accessed; EFAULT only if that was the first byte.
fn transfer(
    ctx: &Ctx<'_>, id: i32, local: IoVecs<'_>, remote: IoVecs<'_>, flags: u64, direction: Direction,
) -> Result<usize> {
    Errno::EINVAL.when(flags != 0)?;
    let (local, remote) = (local.read()?, remote.read()?);
    let thread = table::find_thread(id).ok_or(Errno::ESRCH)?;
    // In this order: a space that an exec replaces after the check is the old one, which the check was about.
    let space = thread.process().space().ok_or(Errno::ESRCH)?;
    Errno::EPERM.when(!may_access(ctx.thread(), &thread, AccessMode::Real))?;

    let mut to = Destination::user(ctx.space(), local.clone());
    let mut from = Source::user(ctx.space(), local);
    let mut done = 0;
    for (address, length) in remote {
        let moved = match direction {
            Direction::Read => space.give_remote(Rights::Program, address, length, &mut to),
            Direction::Write => space.take_remote(Rights::Program, address, length, &mut from),
        };
        match moved {
            Ok(moved) => done += moved,
            Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
        }
        if moved != Ok(length) {
            break;
        }
    }
    Ok(done)
}
