//! Changing a file's mode, owner and times.

use super::argument::{At, Fd};
use super::context::Ctx;
use super::path::{Subject, find_place, place_of};
use crate::errno::{Errno, Result};
use crate::fs::NewTime;
use crate::vm::UserPtr;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};

/// "UTIME_NOW" and "UTIME_OMIT" (utimensat(2)).
const TIME_NOW: i64 = (1 << 30) - 1;
const TIME_OMIT: i64 = (1 << 30) - 2;

const SECOND_NS: i64 = 1_000_000_000;

/// chmod(2), fchmod(2), fchmodat(2) (the system call without flags).
pub(crate) fn chmod<S: Subject>(ctx: &Ctx<'_>, subject: S, mode: u32) -> Result {
    let (view, path) = subject.place(ctx)?;
    view.change_mode(&path, mode)
}

/// chown(2), lchown(2), fchown(2).
pub(crate) fn chown<S: Subject>(ctx: &Ctx<'_>, subject: S, uid: u32, gid: u32) -> Result {
    let (view, path) = subject.place(ctx)?;
    view.change_owner(&path, id(uid), id(gid))
}

/// fchownat(2).
pub(crate) fn fchownat(ctx: &Ctx<'_>, at: At<'_>, uid: u32, gid: u32, flags: u32) -> Result {
    Errno::EINVAL.when(flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)?;
    let (view, path) = find_place(ctx, at, flags)?;
    view.change_owner(&path, id(uid), id(gid))
}

/// "If the owner or group is specified as -1, then that ID is not changed" (chown(2)).
fn id(value: u32) -> Option<u32> {
    (value != u32::MAX).then_some(value)
}

/// utime(2): two times in seconds.
pub(crate) fn utime(ctx: &Ctx<'_>, at: At<'_>, times: UserPtr<'_, [i64; 2]>) -> Result {
    let times = match times.non_null() {
        Some(times) => times.read()?.map(|seconds| NewTime::At(seconds.saturating_mul(SECOND_NS))),
        None => [NewTime::Now; 2],
    };
    change_times(ctx, at, times, 0)
}

/// utimes(2), futimesat(2): two times in seconds and microseconds; a NULL name means the open file itself.
pub(crate) fn utimes(ctx: &Ctx<'_>, at: At<'_>, times: UserPtr<'_, [i64; 4]>) -> Result {
    let times = match times.non_null() {
        Some(times) => {
            let [access, access_us, modification, modification_us] = times.read()?;
            Errno::EINVAL.when([access_us, modification_us].iter().any(|part| !(0..1_000_000).contains(part)))?;
            [time(access, access_us * 1000), time(modification, modification_us * 1000)]
        }
        None => [NewTime::Now; 2],
    };
    change_times(ctx, at, times, 0)
}

/// utimensat(2).
pub(crate) fn utimensat(ctx: &Ctx<'_>, at: At<'_>, times: UserPtr<'_, [i64; 4]>, flags: u32) -> Result {
    let times = match times.non_null() {
        Some(times) => {
            let [access, access_ns, modification, modification_ns] = times.read()?;
            // "Nothing to do, we must not even check the path" (Linux fs/utimes.c).
            if (access_ns, modification_ns) == (TIME_OMIT, TIME_OMIT) {
                return Ok(());
            }
            [new_time(access, access_ns)?, new_time(modification, modification_ns)?]
        }
        None => [NewTime::Now; 2],
    };
    Errno::EINVAL.when(flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)?;
    change_times(ctx, at, times, flags)
}

fn change_times(ctx: &Ctx<'_>, at: At<'_>, times: [NewTime; 2], flags: u32) -> Result {
    let (view, path) = if at.name.is_null() && at.directory != Fd::CURRENT {
        Errno::EINVAL.when(flags != 0)?;
        place_of(ctx, at.directory)?
    } else {
        find_place(ctx, at, flags)?
    };
    view.change_times(&path, times[0], times[1])
}

fn new_time(seconds: i64, nanoseconds: i64) -> Result<NewTime> {
    match nanoseconds {
        TIME_NOW => Ok(NewTime::Now),
        TIME_OMIT => Ok(NewTime::Keep),
        0..SECOND_NS => Ok(time(seconds, nanoseconds)),
        _ => Err(Errno::EINVAL),
    }
}

fn time(seconds: i64, nanoseconds: i64) -> NewTime {
    NewTime::At(seconds.saturating_mul(SECOND_NS).saturating_add(nanoseconds))
}
