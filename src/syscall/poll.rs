//! poll, ppoll, select, pselect6: waiting for any of several files.

use super::context::Ctx;
use super::time_value::{TimeSpec, TimeVal, deadline_after, read_deadline, time_left};
use crate::errno::{Errno, Result};
use crate::file::{Events, Observer, OpenFile};
use crate::machine::task::{WaitError, Waiter};
use crate::process::{Resource, SignalSet};
use crate::vm::{self, UserPtr};
use alloc::{sync::Arc, vec::Vec};
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct pollfd` (poll(2)).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct PollFd {
    fd: i32,
    events: u16,
    returned: u16,
}

/// poll(2).
pub(crate) fn poll(ctx: &Ctx<'_>, descriptors: UserPtr<'_, PollFd>, count: u32, timeout_ms: i32) -> Result<usize> {
    let deadline_ns = u64::try_from(timeout_ms).ok().map(|timeout| deadline_after(timeout * 1_000_000));
    poll_until(ctx, descriptors.address(), count, deadline_ns)
}

/// poll(2) with a deadline; as an interrupted poll it goes on with the same one.
fn poll_until(ctx: &Ctx<'_>, descriptors: u64, count: u32, deadline_ns: Option<u64>) -> Result<usize> {
    match poll_descriptors(ctx, UserPtr::new(ctx.space(), descriptors), count, deadline_ns) {
        Err(Errno::RESTART_NO_HANDLER) => {
            Err(ctx.restart_later(move |ctx| poll_until(ctx, descriptors, count, deadline_ns)))
        }
        result => result,
    }
}

/// ppoll(2). The raw call stores the time left.
pub(crate) fn ppoll(
    ctx: &Ctx<'_>, descriptors: UserPtr<'_, PollFd>, count: u32, limit: UserPtr<'_, TimeSpec>, mask: UserPtr<'_, u64>,
    mask_size: usize,
) -> Result<usize> {
    let deadline_ns = read_deadline(limit)?;
    let mask = read_mask(mask, mask_size)?;
    let result = with_mask(ctx, mask, || poll_descriptors(ctx, descriptors, count, deadline_ns));
    store_time_left(limit.non_null().map(|limit| limit.cast()), deadline_ns, result, TimeSpec::from_ns)
}

fn poll_descriptors(
    ctx: &Ctx<'_>, descriptors: UserPtr<'_, PollFd>, count: u32, deadline_ns: Option<u64>,
) -> Result<usize> {
    Errno::EINVAL.when(u64::from(count) > ctx.process().limit(Resource::OpenFiles))?;
    let count = count as usize;
    descriptors.slice(count)?;
    // Most calls are for a few descriptors: those need no memory of the heap.
    let mut few = [const { Watch::NOTHING }; FEW];
    let mut many = Vec::new();
    let watches = match few.get_mut(..count) {
        Some(few) => few,
        None => {
            many.try_reserve_exact(count)?;
            many.resize_with(count, || Watch::NOTHING);
            &mut many[..]
        }
    };
    for (index, watch) in watches.iter_mut().enumerate() {
        let entry = descriptors.add(index).read()?;
        // "This field may be negative; … the revents field returns zero" (poll(2)).
        if entry.fd >= 0 {
            watch.file = ctx.files().get(entry.fd).ok();
            watch.interest = Events::from_bits_truncate(u32::from(entry.events));
            watch.found = if watch.file.is_none() { Events::INVALID } else { Events::empty() };
        }
    }

    let ready = wait_for_any(watches, deadline_ns)?;
    for (index, watch) in watches.iter().enumerate() {
        let returned = descriptors.add(index).cast::<u8>().add(offset_of!(PollFd, returned));
        returned.cast::<u16>().write(&(watch.found.bits() as u16))?;
    }
    Ok(ready)
}

/// How many descriptors poll(2) waits for without memory of the heap.
const FEW: usize = 8;

/// One file to wait for.
struct Watch {
    /// Its number, for select(2).
    fd: usize,
    file: Option<Arc<OpenFile>>,
    interest: Events,
    /// What ends the wait: for select(2) not a hang-up or error that none of the file's sets shows.
    counted: Events,
    found: Events,
}

impl Watch {
    /// Finds nothing, ever.
    const NOTHING: Watch =
        Watch { fd: 0, file: None, interest: Events::empty(), counted: Events::all(), found: Events::empty() };
}

/// Wakes the waiting thread.
struct Wake {
    waiter: Waiter,
    is_deaf: AtomicBool,
}

impl Observer for Wake {
    fn notify(&self, _: Events) -> bool {
        self.waiter.wake();
        true
    }

    fn refuse(&self) {
        self.is_deaf.store(true, Ordering::Relaxed);
    }
}

/// Sleeps until one of `watches` has found something, or the deadline; returns how many have. `RESTART_NO_HANDLER`,
/// ENOMEM.
fn wait_for_any(watches: &mut [Watch], deadline_ns: Option<u64>) -> Result<usize> {
    // Often something is ready, or the caller only looks: then nobody need be told.
    let ready = look(watches, None);
    if ready > 0 || deadline_ns.is_some_and(|deadline| time_left(deadline) == 0) {
        return Ok(ready);
    }
    let waiter = Waiter::new();
    let wake = Arc::new(Wake { waiter: waiter.clone(), is_deaf: AtomicBool::new(false) });
    let observer: Arc<dyn Observer> = wake.clone();
    let mut ready = look(watches, Some(&observer));
    Errno::ENOMEM.when(wake.is_deaf.load(Ordering::Relaxed))?;
    while ready == 0 {
        match waiter.wait(deadline_ns) {
            Ok(()) => ready = look(watches, None),
            Err(WaitError::TimedOut) => return Ok(look(watches, None)),
            Err(WaitError::Interrupted) => {
                ready = look(watches, None);
                Errno::RESTART_NO_HANDLER.when(ready == 0)?;
            }
        }
    }
    Ok(ready)
}

/// Asks each file what holds now; returns how many have found something.
fn look(watches: &mut [Watch], observer: Option<&Arc<dyn Observer>>) -> usize {
    let mut ready = 0;
    for watch in watches {
        if let Some(file) = &watch.file {
            watch.found = file.poll(watch.interest, observer) & watch.counted;
        }
        ready += usize::from(!watch.found.is_empty());
    }
    ready
}

/// What select(2) calls readable, writable and exceptional (Linux: POLLIN_SET and relatives).
const SELECT_SETS: [(Events, Events); 3] = [
    (Events::READABLE, Events::READABLE.union(Events::READ_BAND).union(Events::HANG_UP).union(Events::ERROR)),
    (Events::WRITABLE, Events::WRITABLE.union(Events::WRITE_BAND).union(Events::ERROR)),
    (Events::PRIORITY, Events::PRIORITY),
];

/// select(2). The raw call stores the time left.
pub(crate) fn select(
    ctx: &Ctx<'_>, count: i32, read: UserPtr<'_, u64>, write: UserPtr<'_, u64>, exception: UserPtr<'_, u64>,
    limit: UserPtr<'_, TimeVal>,
) -> Result<usize> {
    let deadline_ns = match limit.non_null() {
        None => None,
        Some(limit) => {
            // Whole seconds in the microseconds are allowed here, unlike elsewhere.
            let TimeVal { seconds, microseconds } = limit.read()?;
            let seconds = seconds.saturating_add(microseconds / 1_000_000);
            let limit = TimeVal { seconds, microseconds: microseconds % 1_000_000 };
            Some(deadline_after(limit.to_ns()?))
        }
    };
    let result = select_sets(ctx, count, [read, write, exception], deadline_ns);
    store_time_left(limit.non_null(), deadline_ns, result, TimeVal::from_ns)
}

/// The last argument of pselect6(2).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct MaskArgument {
    address: u64,
    size: u64,
}

/// pselect6(2). The raw call stores the time left.
pub(crate) fn pselect6(
    ctx: &Ctx<'_>, count: i32, read: UserPtr<'_, u64>, write: UserPtr<'_, u64>, exception: UserPtr<'_, u64>,
    limit: UserPtr<'_, TimeSpec>, mask: UserPtr<'_, MaskArgument>,
) -> Result<usize> {
    let mask = match mask.non_null() {
        None => None,
        Some(mask) => {
            let mask = mask.read()?;
            read_mask(UserPtr::new(ctx.space(), mask.address), mask.size as usize)?
        }
    };
    let deadline_ns = read_deadline(limit)?;
    let result = with_mask(ctx, mask, || select_sets(ctx, count, [read, write, exception], deadline_ns));
    store_time_left(limit.non_null(), deadline_ns, result, TimeSpec::from_ns)
}

fn select_sets(ctx: &Ctx<'_>, count: i32, sets: [UserPtr<'_, u64>; 3], deadline_ns: Option<u64>) -> Result<usize> {
    let table = ctx.files();
    // As on Linux, descriptors that the table has no room for are not looked at.
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?.min(table.capacity());
    let words = count.div_ceil(64);
    let mut sets_left = [const { Vec::new() }; 3];
    for (set, left) in sets.iter().zip(&mut sets_left) {
        *left = match set.non_null() {
            Some(set) if words > 0 => set.slice(words)?.read_all()?,
            _ => vm::defaults(words)?,
        };
        if let Some(last) = left.last_mut() {
            *last &= u64::MAX >> (words * 64 - count);
        }
    }

    let mut watches = Vec::new();
    for word in 0..words {
        let in_sets = sets_left.each_ref().map(|set| set[word]);
        let wanted = in_sets[0] | in_sets[1] | in_sets[2];
        watches.try_reserve(wanted.count_ones() as usize)?;
        table.visit(word * 64, wanted, |fd, file| {
            let mut watch = Watch { fd, file: Some(file.clone()), counted: Events::empty(), ..Watch::NOTHING };
            for (set, (interest, counted)) in in_sets.iter().zip(SELECT_SETS) {
                if set >> (fd % 64) & 1 != 0 {
                    watch.interest |= interest;
                    watch.counted |= counted;
                }
            }
            watches.push(watch);
        })?;
    }

    wait_for_any(&mut watches, deadline_ns)?;
    for (left, (_, counted)) in sets_left.iter_mut().zip(SELECT_SETS) {
        if left.iter().all(|word| *word == 0) {
            continue;
        }
        for watch in watches.iter().filter(|watch| !watch.found.intersects(counted)) {
            left[watch.fd / 64] &= !(1 << (watch.fd % 64));
        }
    }
    for (set, left) in sets.iter().zip(&sets_left) {
        if let Some(set) = set.non_null()
            && words > 0
        {
            set.slice(words)?.write_all(left)?;
        }
    }
    Ok(sets_left.iter().flatten().map(|word| word.count_ones() as usize).sum())
}

/// Reads the signal mask of ppoll and relatives: EINVAL for a size other than 8.
pub(super) fn read_mask(mask: UserPtr<'_, u64>, size: usize) -> Result<Option<SignalSet>> {
    let Some(mask) = mask.non_null() else { return Ok(None) };
    Errno::EINVAL.when(size != size_of::<u64>())?;
    Ok(Some(SignalSet::from_bits(mask.read()?)))
}

/// Calls `wait` with `mask` blocked; if a signal ends it, the mask before comes back only after the handler.
pub(super) fn with_mask(ctx: &Ctx<'_>, mask: Option<SignalSet>, wait: impl FnOnce() -> Result<usize>) -> Result<usize> {
    let Some(mask) = mask else { return wait() };
    ctx.thread().set_temporary_blocked(mask);
    let result = wait();
    if !matches!(result, Err(Errno::RESTART_NO_HANDLER | Errno::EINTR)) {
        ctx.thread().restore_blocked();
    }
    result
}

/// Stores the time left. Where it cannot be stored, a restart would wait too long: EINTR instead, as Linux.
fn store_time_left<T: IntoBytes + Immutable>(
    limit: Option<UserPtr<'_, T>>, deadline_ns: Option<u64>, result: Result<usize>, convert: impl Fn(u64) -> T,
) -> Result<usize> {
    if let (Some(limit), Some(deadline_ns)) = (limit, deadline_ns)
        && limit.write(&convert(time_left(deadline_ns))).is_err()
        && result == Err(Errno::RESTART_NO_HANDLER)
    {
        return Err(Errno::EINTR);
    }
    result
}
