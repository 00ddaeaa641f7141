//! POSIX message queues: mq_open and relatives.

use super::argument::{Fd, UserStr};
use super::context::Ctx;
use super::file::reserve;
use super::path::read_name;
use super::time_value::TimeSpec;
use super::timer::SignalEvent;
use crate::errno::{Errno, Result};
use crate::file::timerfd::TimerClock;
use crate::file::{OpenFile, StatusFlags};
use crate::ipc::mqueue::{self, Capacity, Creation, QueueFile, Subscriber, Wait};
use crate::process::signal::{SignalInfo, code};
use crate::process::{Process, Resource, Signal};
use crate::vm::{UserPtr, UserString};
use alloc::sync::{Arc, Weak};
use linux_raw_sys::general as raw;
use linux_raw_sys::general::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The greatest priority is one less (MQ_PRIO_MAX).
const PRIORITIES: u32 = 32768;

/// `struct mq_attr`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct QueueAttributes {
    flags: i64,
    max_messages: i64,
    max_bytes: i64,
    messages: i64,
    _reserved: [i64; 4],
}

/// mq_open(2): `name` is without its slash.
pub(crate) fn mq_open(
    ctx: &Ctx<'_>, name: UserStr<'_>, flags: u32, mode: u32, attributes: UserPtr<'_, QueueAttributes>,
) -> Result<usize> {
    let attributes = attributes.read_if_given()?;
    let buffer = &mut UserString::new();
    let name = read_name(name, buffer)?;
    let identity = ctx.identity();
    let creation = (flags & raw::O_CREAT != 0).then(|| Creation {
        permissions: mode & 0o7777 & !ctx.thread().places().1,
        is_exclusive: flags & raw::O_EXCL != 0,
        // What is negative is too large.
        capacity: attributes.map(|attributes| Capacity {
            messages: attributes.max_messages as usize,
            bytes: attributes.max_bytes as usize,
        }),
        user_limit: usize::try_from(ctx.process().limit(Resource::MessageQueue)).unwrap_or(usize::MAX),
    });
    let status = StatusFlags::from_bits_truncate(flags & (3 | raw::O_NONBLOCK));
    Errno::ENOENT.when(name.is_empty())?;
    let fd = reserve(ctx)?;
    let file = mqueue::open(name, status, creation, &identity)?;
    // A queue's descriptor is always closed by exec (mq_open(3)).
    Ok(fd.fill(file, true) as usize)
}

/// mq_unlink(2).
pub(crate) fn mq_unlink(ctx: &Ctx<'_>, name: UserStr<'_>) -> Result {
    mqueue::unlink(read_name(name, &mut UserString::new())?, &ctx.identity())
}

/// mq_timedsend(2).
pub(crate) fn mq_timedsend(
    ctx: &Ctx<'_>, fd: Fd, text: UserPtr<'_, u8>, length: usize, priority: u32, limit: UserPtr<'_, TimeSpec>,
) -> Result {
    Errno::EINVAL.when(priority >= PRIORITIES)?;
    let deadline_ns = read_time(limit)?;
    let (open, queue) = find(ctx, fd)?;
    Errno::EBADF.when(!open.is_writable())?;
    Errno::EMSGSIZE.when(length > queue.capacity().0.bytes)?;
    let text = text.slice(length)?.read_all()?;
    let wait = Wait { is_non_blocking: open.flags().is_non_blocking(), deadline_ns };
    queue.send(text, priority, wait, (ctx.process().id(), ctx.identity().uid))
}

/// mq_timedreceive(2).
pub(crate) fn mq_timedreceive(
    ctx: &Ctx<'_>, fd: Fd, text: UserPtr<'_, u8>, length: usize, priority: UserPtr<'_, u32>,
    limit: UserPtr<'_, TimeSpec>,
) -> Result<usize> {
    let deadline_ns = read_time(limit)?;
    let (open, queue) = find(ctx, fd)?;
    Errno::EBADF.when(!open.is_readable())?;
    Errno::EMSGSIZE.when(length < queue.capacity().0.bytes)?;
    let wait = Wait { is_non_blocking: open.flags().is_non_blocking(), deadline_ns };
    let (message, message_priority) = queue.receive(wait)?;
    priority.write_if_wanted(&message_priority)?;
    text.slice(message.len())?.write_all(&message)?;
    Ok(message.len())
}

/// mq_notify(2).
pub(crate) fn mq_notify(ctx: &Ctx<'_>, fd: Fd, event: UserPtr<'_, SignalEvent>) -> Result {
    let Some(event) = event.non_null() else {
        find(ctx, fd)?.1.unsubscribe(ctx.process().id());
        return Ok(());
    };
    let event = event.read()?;
    let signal = match event.notify {
        SIGEV_NONE => None,
        SIGEV_SIGNAL => Some(Signal::from_number(event.signal).ok_or(Errno::EINVAL)?),
        SIGEV_THREAD => {
            // The C library passes a netlink socket here, and there are none.
            ctx.file(Fd(event.signal))?;
            return Err(Errno::ENOTSOCK);
        }
        _ => return Err(Errno::EINVAL),
    };
    let subscriber = Notification { process: Arc::downgrade(ctx.process()), id: ctx.process().id(), signal, event };
    find(ctx, fd)?.1.subscribe(Arc::new(subscriber))
}

/// mq_getsetattr(2).
pub(crate) fn mq_getsetattr(
    ctx: &Ctx<'_>, fd: Fd, new: UserPtr<'_, QueueAttributes>, old: UserPtr<'_, QueueAttributes>,
) -> Result {
    let non_blocking = StatusFlags::NON_BLOCKING;
    let new = new.read_if_given()?;
    Errno::EINVAL.when(new.is_some_and(|new| new.flags & !i64::from(non_blocking.bits()) != 0))?;
    let (open, queue) = find(ctx, fd)?;
    let flags = open.flags();
    if let Some(new) = new {
        let mut changed = flags;
        changed.set(non_blocking, new.flags != 0);
        open.set_flags(changed);
    }
    if let Some(old) = old.non_null() {
        let (capacity, messages) = queue.capacity();
        old.write(&QueueAttributes {
            flags: i64::from((flags & non_blocking).bits()),
            max_messages: capacity.messages as i64,
            max_bytes: capacity.bytes as i64,
            messages: messages as i64,
            ..QueueAttributes::default()
        })?;
    }
    Ok(())
}

fn find(ctx: &Ctx<'_>, fd: Fd) -> Result<(Arc<OpenFile>, Arc<QueueFile>)> {
    let open = ctx.file(fd)?;
    let queue = open.downcast::<QueueFile>().ok_or(Errno::EBADF)?;
    Ok((open, queue))
}

/// Reads a time of the wall clock; returns it as monotonic time.
fn read_time(limit: UserPtr<'_, TimeSpec>) -> Result<Option<u64>> {
    let limit = limit.non_null().map(|limit| limit.read()?.to_ns()).transpose()?;
    Ok(limit.map(|time_ns| TimerClock::Wall.to_monotonic_ns(time_ns)))
}

/// A process that asked for a signal, or only to be registered.
struct Notification {
    process: Weak<Process>,
    id: i32,
    signal: Option<Signal>,
    event: SignalEvent,
}

impl Subscriber for Notification {
    fn is_alive(&self) -> bool {
        self.process.upgrade().is_some_and(|process| !process.has_ended())
    }

    fn describe(&self) -> (i32, u32, i32) {
        (self.id, self.event.notify, self.signal.map_or(0, |signal| signal.number()))
    }

    fn notify(&self, sender: i32, uid: u32) {
        if let (Some(process), Some(signal)) = (self.process.upgrade(), self.signal) {
            let info = SignalInfo::sent(signal, code::MESSAGE_QUEUE, sender, uid).with_value(self.event.value);
            process.send_signal(info);
        }
    }
}
