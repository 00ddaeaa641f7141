//! pidfd_open(2): a descriptor that names a process for as long as it is open, whoever gets its id later. Readable
//! once the process has ended.

use super::Process;
use crate::file::{Events, File, Observer};
use alloc::{format, string::String, sync::Arc};

/// A pidfd.
pub(crate) struct PidFd {
    process: Arc<Process>,
}

impl PidFd {
    /// Makes one for `process`.
    pub(crate) fn new(process: Arc<Process>) -> Arc<PidFd> {
        Arc::new(PidFd { process })
    }

    /// Returns the process.
    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

impl File for PidFd {
    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        if let Some(observer) = observer {
            self.process.end_events().observe(observer, interest);
        }
        if self.process.has_ended() { interest & Events::READ } else { Events::empty() }
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        String::from("anon_inode:[pidfd]")
    }

    fn details(&self) -> String {
        let id = if self.process.has_ended() { -1 } else { self.process.id() };
        format!("Pid:\t{id}\nNSpid:\t{id}\n")
    }
}
