//! Resource limits (getrlimit(2)): kept here, enforced by those who hand out the resource.

use crate::errno::{Errno, Result};
use crate::file::UserCount;
use crate::machine::memory::{PAGE_SIZE, STACK_SIZE, total_pages};
use core::sync::atomic::{AtomicU64, Ordering};

/// The limits of getrlimit(2), numbered as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Resource {
    CpuTime,
    FileSize,
    Data,
    Stack,
    Core,
    ResidentSet,
    Processes,
    OpenFiles,
    LockedMemory,
    AddressSpace,
    Locks,
    PendingSignals,
    MessageQueue,
    Nice,
    RealTimePriority,
    RealTimeTime,
}

/// No limit (RLIM_INFINITY).
pub(crate) const UNLIMITED: u64 = u64::MAX;

/// How many threads each user has.
pub(super) static THREADS: UserCount = UserCount::new();

/// How many real-time signals wait for each user's threads.
pub(super) static QUEUED_SIGNALS: UserCount = UserCount::new();

/// The most descriptors that RLIMIT_NOFILE may ever allow (Linux's default of /proc/sys/fs/nr_open).
const OPEN_FILES_MAX: u64 = 1 << 20;

/// Returns how many threads there may be in all (/proc/sys/kernel/threads-max): so many that their kernel stacks take
/// an eighth of memory, as on Linux.
pub(crate) fn threads_max() -> usize {
    total_pages() * PAGE_SIZE / (8 * STACK_SIZE)
}

/// A soft limit, which holds, and a hard limit, up to which the process may raise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Resource {
    /// The number of resources.
    pub(crate) const COUNT: usize = 16;

    /// All, in Linux's order.
    pub(crate) const ALL: [Resource; Resource::COUNT] = [
        Resource::CpuTime,
        Resource::FileSize,
        Resource::Data,
        Resource::Stack,
        Resource::Core,
        Resource::ResidentSet,
        Resource::Processes,
        Resource::OpenFiles,
        Resource::LockedMemory,
        Resource::AddressSpace,
        Resource::Locks,
        Resource::PendingSignals,
        Resource::MessageQueue,
        Resource::Nice,
        Resource::RealTimePriority,
        Resource::RealTimeTime,
    ];

    /// Returns the resource with Linux's number. EINVAL.
    pub(crate) fn from_number(number: u32) -> Result<Resource> {
        Resource::ALL.get(number as usize).copied().ok_or(Errno::EINVAL)
    }

    /// Returns the limits of the first process (Linux: `INIT_RLIMITS`).
    fn initial(self) -> Limit {
        let (soft, hard) = match self {
            Resource::Stack => (8 << 20, UNLIMITED),
            Resource::Core => (0, UNLIMITED),
            Resource::Processes | Resource::PendingSignals => (threads_max() as u64 / 2, threads_max() as u64 / 2),
            Resource::OpenFiles => (1024, 4096),
            Resource::LockedMemory => (8 << 20, 8 << 20),
            Resource::MessageQueue => (819_200, 819_200),
            Resource::Nice | Resource::RealTimePriority => (0, 0),
            _ => (UNLIMITED, UNLIMITED),
        };
        Limit { soft, hard }
    }
}

/// The limits of one process.
pub(crate) struct Limits {
    soft: [AtomicU64; Resource::COUNT],
    hard: [AtomicU64; Resource::COUNT],
}

impl Limits {
    /// Makes those of the first process.
    pub(crate) fn initial() -> Limits {
        let limit = |index: usize| Resource::ALL[index].initial();
        Limits {
            soft: core::array::from_fn(|index| AtomicU64::new(limit(index).soft)),
            hard: core::array::from_fn(|index| AtomicU64::new(limit(index).hard)),
        }
    }

    /// Makes a child's copy.
    pub(crate) fn duplicate(&self) -> Limits {
        let copy = |from: &[AtomicU64; Resource::COUNT]| {
            core::array::from_fn(|index| AtomicU64::new(from[index].load(Ordering::Relaxed)))
        };
        Limits { soft: copy(&self.soft), hard: copy(&self.hard) }
    }

    /// Returns both limits.
    pub(crate) fn get(&self, resource: Resource) -> Limit {
        let index = resource as usize;
        Limit { soft: self.soft[index].load(Ordering::Relaxed), hard: self.hard[index].load(Ordering::Relaxed) }
    }

    /// Returns the soft limit.
    pub(crate) fn soft(&self, resource: Resource) -> u64 {
        self.soft[resource as usize].load(Ordering::Relaxed)
    }

    /// Raises the soft limit, not above the hard one.
    pub(super) fn raise_soft(&self, resource: Resource, soft: u64) {
        let soft = soft.min(self.get(resource).hard);
        self.soft[resource as usize].store(soft, Ordering::Relaxed);
    }

    /// Changes both. EINVAL if soft is above hard; EPERM if the hard limit rises and the caller `may_raise` not, or
    /// beyond what the kernel can do.
    pub(crate) fn set(&self, resource: Resource, limit: Limit, may_raise: bool) -> Result {
        Errno::EINVAL.when(limit.soft > limit.hard)?;
        Errno::EPERM.when(resource == Resource::OpenFiles && limit.hard > OPEN_FILES_MAX)?;
        Errno::EPERM.when(limit.hard > self.get(resource).hard && !may_raise)?;
        self.soft[resource as usize].store(limit.soft, Ordering::Relaxed);
        self.hard[resource as usize].store(limit.hard, Ordering::Relaxed);
        Ok(())
    }
}
