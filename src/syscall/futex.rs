//! futex.

use super::context::Ctx;
use super::time_value::{TimeSpec, deadline_after};
use crate::errno::{Errno, Result};
use crate::file::timerfd::TimerClock;
use crate::process::futex::priority::{self, Patience, Place};
use crate::process::futex::{self, ANY, Expected, Key, Wanted};
use crate::vm::UserPtr;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    FUTEX_32, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI, FUTEX_LOCK_PI2,
    FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_WAIT, FUTEX_WAIT_BITSET,
    FUTEX_WAIT_REQUEUE_PI, FUTEX_WAITV_MAX, FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP,
};
use zerocopy::{FromBytes, IntoBytes};

/// futex(2).
pub(crate) fn futex(
    ctx: &Ctx<'_>, word: UserPtr<'_, u32>, operation: u32, value: u32, limit: UserPtr<'_, TimeSpec>,
    second: UserPtr<'_, u32>, value3: u32,
) -> Result<usize> {
    let command = operation & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    let is_private = operation & FUTEX_PRIVATE_FLAG != 0;
    let is_wall = operation & FUTEX_CLOCK_REALTIME != 0;
    Errno::ENOSYS.when(is_wall && !matches!(command, FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2))?;
    let deadline_ns = match (command, limit.non_null()) {
        (FUTEX_WAIT, Some(limit)) => Some(deadline_after(limit.read()?.to_ns()?)),
        (FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI, Some(limit)) => {
            let clock = if is_wall || command == FUTEX_LOCK_PI { TimerClock::Wall } else { TimerClock::Monotonic };
            Some(clock.to_monotonic_ns(limit.read()?.to_ns()?))
        }
        _ => None,
    };
    // Where it is no time limit, the fourth argument is a count.
    let second_limit = limit.address() as u32 as i32;
    let key = || Key::new(ctx.space(), word.address(), is_private);
    let place = |word: UserPtr<'_, u32>| -> Result<Place<'_>> {
        let key = Key::new(ctx.space(), word.address(), is_private)?;
        Ok(Place { space: ctx.space(), key, address: word.address() })
    };
    let second_key = || Key::new(ctx.space(), second.address(), is_private);
    match command {
        FUTEX_WAIT => wait(ctx, word.address(), is_private, value, ANY, deadline_ns).map(|()| 0),
        FUTEX_WAIT_BITSET => wait(ctx, word.address(), is_private, value, value3, deadline_ns).map(|()| 0),
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 => {
            priority::lock(ctx.thread(), place(word)?, deadline_ns, Patience::Wait).map(|()| 0)
        }
        FUTEX_TRYLOCK_PI => priority::lock(ctx.thread(), place(word)?, None, Patience::Try).map(|()| 0),
        FUTEX_UNLOCK_PI => priority::unlock(ctx.thread(), place(word)?).map(|()| 0),
        FUTEX_WAIT_REQUEUE_PI => {
            let (key, target) = (key()?, place(second)?);
            Errno::EINVAL.when(value3 == 0 || key == target.key)?;
            let wanted = Wanted { key, address: word.address(), expected: value, bits: value3 };
            futex::wait_requeue(ctx.thread(), wanted, target, deadline_ns).map(|()| 0)
        }
        FUTEX_CMP_REQUEUE_PI => {
            let moves = usize::try_from(second_limit).map_err(|_| Errno::EINVAL)?;
            let (key, target) = (key()?, place(second)?);
            Errno::EINVAL.when(value != 1 || key == target.key)?;
            let expected = Expected { address: word.address(), value: value3 };
            futex::requeue_to_owner(key, target, moves, expected)
        }
        FUTEX_WAKE => Ok(futex::wake(key()?, at_least_one(value), ANY)),
        FUTEX_WAKE_BITSET if value3 == 0 => Err(Errno::EINVAL),
        FUTEX_WAKE_BITSET => Ok(futex::wake(key()?, at_least_one(value), value3)),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let wakes = usize::try_from(value as i32).map_err(|_| Errno::EINVAL)?;
            let moves = usize::try_from(second_limit).map_err(|_| Errno::EINVAL)?;
            let expected =
                (command == FUTEX_CMP_REQUEUE).then_some(Expected { address: word.address(), value: value3 });
            let (woken, moved) = futex::requeue(ctx.space(), key()?, second_key()?, wakes, moves, expected)?;
            Ok(woken + moved)
        }
        FUTEX_WAKE_OP => wake_op(ctx, (key()?, at_least_one(value)), (second_key()?, second_limit), second, value3),
        _ => Err(Errno::ENOSYS),
    }
}

/// FUTEX_WAKE with 0 or a negative count wakes one, as Linux does.
fn at_least_one(count: u32) -> usize {
    usize::try_from(count as i32).unwrap_or(1).max(1)
}

fn wait(ctx: &Ctx<'_>, address: u64, is_private: bool, value: u32, bits: u32, deadline_ns: Option<u64>) -> Result {
    Errno::EINVAL.when(bits == 0)?;
    let wanted = Wanted { key: Key::new(ctx.space(), address, is_private)?, address, expected: value, bits };
    match (futex::wait(ctx.thread(), ctx.space(), wanted, deadline_ns), deadline_ns) {
        (Err(Errno::RESTART_NO_HANDLER), None) => Err(Errno::RESTART),
        (Err(Errno::RESTART_NO_HANDLER), Some(deadline_ns)) => {
            Err(ctx.restart_later(move |ctx| wait(ctx, address, is_private, value, bits, Some(deadline_ns))))
        }
        (result, _) => result,
    }
}

/// `struct futex_waitv`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
pub(crate) struct WaitEntry {
    expected: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// futex_waitv(2).
pub(crate) fn futex_waitv(
    ctx: &Ctx<'_>, entries: UserPtr<'_, WaitEntry>, count: u32, flags: u32, limit: UserPtr<'_, TimeSpec>, clock: i32,
) -> Result<usize> {
    Errno::EINVAL.when(flags != 0 || entries.is_null() || !(1..=FUTEX_WAITV_MAX).contains(&count))?;
    let deadline_ns = match limit.non_null() {
        None => None,
        Some(limit) => {
            let clock = match clock {
                0 => TimerClock::Wall,
                1 => TimerClock::Monotonic,
                _ => return Err(Errno::EINVAL),
            };
            Some(clock.to_monotonic_ns(limit.read()?.to_ns()?))
        }
    };
    let read = |entry: WaitEntry| {
        let WaitEntry { expected, address, flags, reserved } = entry;
        Errno::EINVAL.when(flags & !(FUTEX_PRIVATE_FLAG | FUTEX_32) != 0 || flags & FUTEX_32 == 0 || reserved != 0)?;
        let expected = u32::try_from(expected).map_err(|_| Errno::EINVAL)?;
        let key = Key::new(ctx.space(), address, flags & FUTEX_PRIVATE_FLAG != 0)?;
        Ok(Wanted { key, address, expected, bits: ANY })
    };
    let wanted: Vec<Wanted> =
        entries.slice(count as usize)?.read_all()?.into_iter().map(read).collect::<Result<_>>()?;
    futex::wait_any(ctx.space(), &wanted, deadline_ns).map_err(|error| match error {
        // The limit is a point in time, so the call can begin again.
        Errno::RESTART_NO_HANDLER => Errno::RESTART,
        error => error,
    })
}

/// FUTEX_WAKE_OP: the operation, its argument, the comparison and its argument are packed into `code` (futex(2)).
fn wake_op(
    ctx: &Ctx<'_>, first: (Key, usize), (second, second_limit): (Key, i32), word: UserPtr<'_, u32>, code: u32,
) -> Result<usize> {
    let sign_extended = |value: u32| ((value << 20) as i32 >> 20) as u32;
    let (operation, comparison) = (code >> 28 & 7, code >> 24 & 15);
    let (mut operand, bound) = (sign_extended(code >> 12 & 0xfff), sign_extended(code & 0xfff));
    if code >> 31 != 0 {
        operand = 1 << (operand & 31);
    }
    Errno::ENOSYS.when(operation > 4 || comparison > 5)?;
    let change = |old: u32| match operation {
        0 => operand,
        1 => old.wrapping_add(operand),
        2 => old | operand,
        3 => old & !operand,
        _ => old ^ operand,
    };
    let and_if = |old: u32| {
        let (old, bound) = (old as i32, bound as i32);
        match comparison {
            0 => old == bound,
            1 => old != bound,
            2 => old < bound,
            3 => old <= bound,
            4 => old > bound,
            _ => old >= bound,
        }
    };
    let second = (second, at_least_one(second_limit as u32));
    futex::wake_and_change(ctx.space(), first, second, word.address(), change, and_if)
}
