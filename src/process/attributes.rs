//! A thread's name and the other small things that prctl(2) and its like set.

use super::Thread;

/// The longest thread name in bytes (prctl(2) PR_SET_NAME).
pub(crate) const NAME_LENGTH: usize = 15;

/// What sched_setscheduler(2) sets beside the task's class.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scheduling {
    /// The number of the policy while the class is fair: there are several.
    pub(crate) fair_policy: u32,
    /// The nice value to have again after a real-time class.
    pub(crate) nice: i8,
    /// Children get the default class and policy.
    pub(crate) resets_on_fork: bool,
}

/// Small things that prctl(2) and others set.
#[derive(Clone, Copy)]
pub(crate) struct Attributes {
    pub(super) name: [u8; NAME_LENGTH],
    pub(super) name_length: u8,
    /// The signal that it gets when its parent ends; 0 for none.
    pub(crate) parent_death_signal: i32,
    /// PR_SET_NO_NEW_PRIVS: for good.
    pub(crate) no_new_privileges: bool,
    /// It became a user who has more threads than RLIMIT_NPROC allows: execve(2) looks once more.
    pub(super) has_too_many: bool,
    /// PR_SET_SECUREBITS.
    pub(crate) secure_bits: u32,
    /// PR_SET_TIMERSLACK.
    pub(crate) timer_slack_ns: u64,
    /// ioprio_set(2).
    pub(crate) io_priority: u32,
    pub(crate) scheduling: Scheduling,
}

impl Attributes {
    pub(super) fn named(name: &[u8]) -> Attributes {
        let mut attributes = Attributes {
            name: [0; NAME_LENGTH],
            name_length: 0,
            parent_death_signal: 0,
            no_new_privileges: false,
            has_too_many: false,
            secure_bits: 0,
            timer_slack_ns: 50_000,
            io_priority: 0,
            scheduling: Scheduling::default(),
        };
        attributes.set_name(name);
        attributes
    }

    fn set_name(&mut self, name: &[u8]) {
        let length = name.len().min(NAME_LENGTH);
        self.name[..length].copy_from_slice(&name[..length]);
        self.name_length = length as u8;
    }
}

impl Thread {
    /// Calls `with` on the name, at most `NAME_LENGTH` bytes.
    pub(crate) fn with_name<T>(&self, with: impl FnOnce(&[u8]) -> T) -> T {
        let attributes = self.attributes();
        with(&attributes.name[..usize::from(attributes.name_length)])
    }

    /// Returns the name.
    pub(crate) fn name(&self) -> alloc::vec::Vec<u8> {
        self.with_name(<[u8]>::to_vec)
    }

    /// Changes the name; it is cut at `NAME_LENGTH` bytes.
    pub(crate) fn set_name(&self, name: &[u8]) {
        self.attributes.lock().set_name(name);
    }

    /// Returns the small things that prctl(2) and others set.
    pub(crate) fn attributes(&self) -> Attributes {
        *self.attributes.lock()
    }

    /// Changes some of them.
    pub(crate) fn change_attributes(&self, change: impl FnOnce(&mut Attributes)) {
        change(&mut self.attributes.lock());
    }
}
