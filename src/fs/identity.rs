//! Who asks: the ids that permissions are checked against.

use alloc::vec::Vec;
use bitflags::bitflags;

bitflags! {
    /// Capabilities (capabilities(7)), bit n = capability n.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Capabilities: u64 {
        const CHOWN = 1 << 0;
        const DAC_OVERRIDE = 1 << 1;
        const DAC_READ_SEARCH = 1 << 2;
        const FOWNER = 1 << 3;
        const FSETID = 1 << 4;
        const KILL = 1 << 5;
        const SETGID = 1 << 6;
        const SETUID = 1 << 7;
        const SETPCAP = 1 << 8;
        const LINUX_IMMUTABLE = 1 << 9;
        const NET_BIND_SERVICE = 1 << 10;
        const NET_ADMIN = 1 << 12;
        const NET_RAW = 1 << 13;
        const IPC_LOCK = 1 << 14;
        const IPC_OWNER = 1 << 15;
        const SYS_CHROOT = 1 << 18;
        const SYS_PTRACE = 1 << 19;
        const SYS_ADMIN = 1 << 21;
        const SYS_BOOT = 1 << 22;
        const SYS_NICE = 1 << 23;
        const SYS_RESOURCE = 1 << 24;
        const SYS_TIME = 1 << 25;
        const SYS_TTY_CONFIG = 1 << 26;
        const MKNOD = 1 << 27;
        const SETFCAP = 1 << 31;
        const SYSLOG = 1 << 34;
        const CHECKPOINT_RESTORE = 1 << 40;
        /// All 41 that Linux 6.1 knows.
        const ALL = (1 << 41) - 1;
    }
}

/// The ids and capabilities that file permissions are checked against: a thread's credentials, as one unchanging value.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) euid: u32,
    pub(crate) suid: u32,
    pub(crate) fsuid: u32,
    pub(crate) gid: u32,
    pub(crate) egid: u32,
    pub(crate) sgid: u32,
    pub(crate) fsgid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) permitted: Capabilities,
    pub(crate) effective: Capabilities,
    pub(crate) inheritable: Capabilities,
    pub(crate) bounding: Capabilities,
    pub(crate) ambient: Capabilities,
}

impl Identity {
    /// Returns root's identity with all capabilities, as the first process has it.
    pub(crate) fn root() -> Identity {
        Identity {
            uid: 0,
            euid: 0,
            suid: 0,
            fsuid: 0,
            gid: 0,
            egid: 0,
            sgid: 0,
            fsgid: 0,
            groups: Vec::new(),
            permitted: Capabilities::ALL,
            effective: Capabilities::ALL,
            inheritable: Capabilities::empty(),
            bounding: Capabilities::ALL,
            ambient: Capabilities::empty(),
        }
    }

    /// Returns whether the capability is effective.
    pub(crate) fn can(&self, capability: Capabilities) -> bool {
        self.effective.contains(capability)
    }

    /// Returns whether the other may do nothing that this one may not: who has less does not steer who has more.
    pub(crate) fn covers(&self, other: &Identity) -> bool {
        self.permitted.contains(other.permitted)
    }

    /// Returns whether `gid` is the file system group or a supplementary group.
    pub(crate) fn is_in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }
}
