//! A thread's name and the other small things that prctl(2) and its like set.

use super::Thread;

/// The longest thread name in bytes (prctl(2) PR_SET_NAME).
pub(crate) const NAME_LENGTH: usize = 15;

/// What sched_setscheduler(2) sets beside the task's class.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scheduling {
    /// The number of the policy while the class is fair: there are several.
    pub(crate) fair_policy: i32,
    /// The nice value to have again after the idle policy.
    pub(crate) nice: i8,
    /// Children get the default class and policy.
    pub(crate) resets_on_fork: bool,
}

/// Small things that prctl(2) and others set.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    pub(super) name: [u8; NAME_LENGTH],
    pub(super) name_length: u8,
    /// The signal that it gets when its parent ends; 0 for none.
    pub(super) parent_death_signal: i32,
    pub(super) no_new_privileges: bool,
    pub(super) secure_bits: u32,
    pub(super) timer_slack_ns: u64,
    /// ioprio_set(2).
    pub(super) io_priority: u32,
    pub(super) scheduling: Scheduling,
}

impl Attributes {
    pub(super) fn named(name: &[u8]) -> Attributes {
        let mut attributes = Attributes {
            name: [0; NAME_LENGTH],
            name_length: 0,
            parent_death_signal: 0,
            no_new_privileges: false,
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
        let attributes = *self.attributes.lock();
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

    /// Returns the signal that the thread gets when its parent ends; 0 for none.
    pub(crate) fn parent_death_signal(&self) -> i32 {
        self.attributes.lock().parent_death_signal
    }

    /// Sets the signal that the thread gets when its parent ends.
    pub(crate) fn set_parent_death_signal(&self, signal: i32) {
        self.attributes.lock().parent_death_signal = signal;
    }

    /// Returns PR_GET_NO_NEW_PRIVS.
    pub(crate) fn no_new_privileges(&self) -> bool {
        self.attributes.lock().no_new_privileges
    }

    /// Sets PR_SET_NO_NEW_PRIVS, for good.
    pub(crate) fn set_no_new_privileges(&self) {
        self.attributes.lock().no_new_privileges = true;
    }

    /// Returns PR_GET_SECUREBITS.
    pub(crate) fn secure_bits(&self) -> u32 {
        self.attributes.lock().secure_bits
    }

    /// Sets PR_SET_SECUREBITS.
    pub(crate) fn set_secure_bits(&self, bits: u32) {
        self.attributes.lock().secure_bits = bits;
    }

    /// Returns PR_GET_TIMERSLACK in nanoseconds.
    pub(crate) fn timer_slack_ns(&self) -> u64 {
        self.attributes.lock().timer_slack_ns
    }

    /// Sets PR_SET_TIMERSLACK.
    pub(crate) fn set_timer_slack_ns(&self, slack_ns: u64) {
        self.attributes.lock().timer_slack_ns = slack_ns;
    }

    /// Returns what sched_setscheduler(2) set beside the task's class.
    pub(crate) fn scheduling(&self) -> Scheduling {
        self.attributes.lock().scheduling
    }

    /// Changes it.
    pub(crate) fn set_scheduling(&self, scheduling: Scheduling) {
        self.attributes.lock().scheduling = scheduling;
    }

    /// Returns ioprio_get(2).
    pub(crate) fn io_priority(&self) -> u32 {
        self.attributes.lock().io_priority
    }

    /// Sets ioprio_set(2).
    pub(crate) fn set_io_priority(&self, priority: u32) {
        self.attributes.lock().io_priority = priority;
    }
}
