//! eventfd(2): a counter that wakes.

use super::{Events, File, Observer, Readiness, StatusFlags};
use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use crate::vm::{Destination, Source};
use alloc::{format, string::String, sync::Arc};

/// The greatest value of the counter; a write that would pass it waits.
const MAX: u64 = u64::MAX - 1;

/// How a read takes from the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventFdMode {
    /// Takes all.
    Whole,
    /// Takes 1 (EFD_SEMAPHORE).
    Semaphore,
}

/// An eventfd.
pub(crate) struct EventFd {
    counter: SpinLock<u64>,
    mode: EventFdMode,
    readiness: Readiness,
}

impl EventFd {
    /// Makes one with this start value.
    pub(crate) fn new(value: u32, mode: EventFdMode) -> Arc<EventFd> {
        let counter = SpinLock::new(Rank::Stream, u64::from(value));
        Arc::new(EventFd { counter, mode, readiness: Readiness::new() })
    }

    fn take(&self) -> Result<u64> {
        let mut counter = self.counter.lock();
        let value = match self.mode {
            _ if *counter == 0 => return Err(Errno::EAGAIN),
            EventFdMode::Whole => *counter,
            EventFdMode::Semaphore => 1,
        };
        *counter -= value;
        Ok(value)
    }

    fn add(&self, value: u64) -> Result {
        let mut counter = self.counter.lock();
        Errno::EAGAIN.when(MAX - *counter < value)?;
        *counter += value;
        Ok(())
    }
}

impl File for EventFd {
    fn read(&self, to: &mut Destination<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        Errno::EINVAL.when(to.remaining() < size_of::<u64>())?;
        let value = self.readiness.block_on(flags.is_non_blocking(), || self.take())?;
        self.readiness.announce(Events::WRITABLE);
        to.put(&value.to_ne_bytes())
    }

    fn write(&self, from: &mut Source<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        let mut bytes = [0; size_of::<u64>()];
        Errno::EINVAL.when(from.remaining() < bytes.len())?;
        Errno::EFAULT.when(from.take(&mut bytes)? < bytes.len())?;
        let value = u64::from_ne_bytes(bytes);
        Errno::EINVAL.when(value == u64::MAX)?;
        self.readiness.block_on(flags.is_non_blocking(), || self.add(value))?;
        self.readiness.announce(Events::READABLE);
        Ok(bytes.len())
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        if let Some(observer) = observer {
            self.readiness.observe(observer, interest);
        }
        let counter = *self.counter.lock();
        let mut events = Events::empty();
        events.set(Events::READ, counter > 0);
        events.set(Events::WRITE, counter < MAX);
        events & interest
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        String::from("anon_inode:[eventfd]")
    }

    fn details(&self) -> String {
        format!("eventfd-count: {:16x}\n", *self.counter.lock())
    }
}
