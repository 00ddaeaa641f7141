//! One process: what its threads share.

use super::Thread;
use crate::file::FdTable;
use crate::fs::{Identity, Path};
use crate::vm::AddressSpace;
use alloc::sync::Arc;

/// A process (Linux's thread group).
pub(crate) struct Process {
    _identity: (),
}

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

impl Process {
    /// Returns the process id.
    pub(crate) fn id(&self) -> i32 {
        todo!()
    }

    /// Returns the memory now mapped (exec replaces it).
    pub(crate) fn space(&self) -> Arc<AddressSpace> {
        todo!()
    }

    /// Returns the soft limit.
    pub(crate) fn limit(&self, _resource: Resource) -> u64 {
        todo!()
    }
}

impl Thread {
    /// Returns the process.
    pub(crate) fn process(&self) -> &Arc<Process> {
        todo!()
    }

    /// Returns the file descriptors.
    pub(crate) fn files(&self) -> Arc<FdTable> {
        todo!()
    }

    /// Returns the credentials.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        todo!()
    }

    /// Returns the root and working directories and the umask.
    pub(crate) fn directories(&self) -> (Path, Path, u32) {
        todo!()
    }
}
