//! futex.

use super::context::Ctx;
use super::time_value::{TimeSpec, deadline_after};
use crate::errno::{Errno, Result};
use crate::file::timerfd::TimerClock;
use crate::process::futex::{self, ANY, Expected, Key};
use crate::vm::UserPtr;

const PRIVATE: u32 = 128;
const CLOCK_REALTIME: u32 = 256;

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;

/// futex(2). The operations on priority-inheriting futexes are answered by ENOSYS.
pub(crate) fn futex(
    ctx: &Ctx<'_>,
    word: UserPtr<'_, u32>,
    operation: u32,
    value: u32,
    limit: UserPtr<'_, TimeSpec>,
    second: UserPtr<'_, u32>,
    value3: u32,
) -> Result<usize> {
    let command = operation & !(PRIVATE | CLOCK_REALTIME);
    let is_private = operation & PRIVATE != 0;
    let is_wall = operation & CLOCK_REALTIME != 0;
    if is_wall && command != WAIT_BITSET {
        return Err(Errno::ENOSYS);
    }
    // Where it is no time limit, the fourth argument is a count.
    let second_limit = limit.address() as u32 as i32;
    let key = || Key::new(ctx.space(), word.address(), is_private);
    let second_key = || Key::new(ctx.space(), second.address(), is_private);
    match command {
        WAIT | WAIT_BITSET => {
            let deadline_ns = match limit.non_null() {
                None => None,
                Some(limit) if command == WAIT => Some(deadline_after(limit.read()?.to_ns()?)),
                Some(limit) => {
                    let clock = if is_wall { TimerClock::Wall } else { TimerClock::Monotonic };
                    Some(clock.to_monotonic_ns(limit.read()?.to_ns()?))
                }
            };
            let bits = if command == WAIT { ANY } else { value3 };
            wait(ctx, word.address(), is_private, value, bits, deadline_ns)
        }
        WAKE => Ok(futex::wake(key()?, at_least_one(value), ANY)),
        WAKE_BITSET if value3 == 0 => Err(Errno::EINVAL),
        WAKE_BITSET => Ok(futex::wake(key()?, at_least_one(value), value3)),
        REQUEUE | CMP_REQUEUE => {
            let wakes = usize::try_from(value as i32).map_err(|_| Errno::EINVAL)?;
            let moves = usize::try_from(second_limit).map_err(|_| Errno::EINVAL)?;
            let expected = (command == CMP_REQUEUE).then_some(Expected { address: word.address(), value: value3 });
            let (woken, moved) = futex::requeue(ctx.space(), key()?, second_key()?, wakes, moves, expected)?;
            Ok(woken + moved)
        }
        WAKE_OP => wake_op(ctx, (key()?, at_least_one(value)), (second_key()?, second_limit), second, value3),
        _ => Err(Errno::ENOSYS),
    }
}

/// FUTEX_WAKE with 0 or a negative count wakes one, as Linux does.
fn at_least_one(count: u32) -> usize {
    usize::try_from(count as i32).unwrap_or(1).max(1)
}

fn wait(
    ctx: &Ctx<'_>,
    address: u64,
    is_private: bool,
    value: u32,
    bits: u32,
    deadline_ns: Option<u64>,
) -> Result<usize> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let key = Key::new(ctx.space(), address, is_private)?;
    match (futex::wait(ctx.space(), key, address, value, bits, deadline_ns), deadline_ns) {
        (Err(Errno::RESTART_NO_HANDLER), None) => Err(Errno::RESTART),
        (Err(Errno::RESTART_NO_HANDLER), Some(deadline_ns)) => {
            Err(ctx.restart_later(move |ctx| wait(ctx, address, is_private, value, bits, Some(deadline_ns))))
        }
        (result, _) => result.map(|()| 0),
    }
}

/// FUTEX_WAKE_OP: the operation, its argument, the comparison and its argument are packed into `code` (futex(2)).
fn wake_op(
    ctx: &Ctx<'_>,
    first: (Key, usize),
    (second, second_limit): (Key, i32),
    word: UserPtr<'_, u32>,
    code: u32,
) -> Result<usize> {
    let sign_extended = |value: u32| ((value << 20) as i32 >> 20) as u32;
    let (operation, comparison) = (code >> 28 & 7, code >> 24 & 15);
    let (mut operand, bound) = (sign_extended(code >> 12 & 0xfff), sign_extended(code & 0xfff));
    if code >> 31 != 0 {
        operand = 1 << (operand & 31);
    }
    if operation > 4 || comparison > 5 {
        return Err(Errno::ENOSYS);
    }
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
