//! Who may look into another process and change it (ptrace(2), "Ptrace access mode checking"): the one rule behind
//! ptrace, process_vm_readv, pidfd_getfd and the private files of /proc/PID.

use super::Thread;
use crate::fs::Capabilities;
use alloc::sync::Arc;

/// Which of the caller's credentials count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessMode {
    /// The file system ids and effective capabilities (PTRACE_MODE_FSCREDS): paths below /proc.
    File,
    /// The real ids and permitted capabilities (PTRACE_MODE_REALCREDS): system calls.
    Real,
}

/// Returns whether `caller` may reach into `target`. Who then uses the target's memory fetches it before this check:
/// an exec in between replaces it, and the check was about the identity before or after.
pub(crate) fn may_access(caller: &Thread, target: &Thread, mode: AccessMode) -> bool {
    if Arc::ptr_eq(caller.process(), target.process()) {
        return true;
    }
    let (own, other) = (caller.identity(), target.identity());
    if own.can(Capabilities::SYS_PTRACE) {
        return true;
    }
    let (uid, gid, capabilities) = match mode {
        AccessMode::File => (own.fsuid, own.fsgid, own.effective),
        AccessMode::Real => (own.uid, own.gid, own.permitted),
    };
    [other.uid, other.euid, other.suid] == [uid; 3]
        && [other.gid, other.egid, other.sgid] == [gid; 3]
        && target.process().dumpable() == 1
        && capabilities.contains(other.permitted)
}
