//! The sender of signals for readiness (fcntl(2), O_ASYNC).

use super::signal::{self, Signal, SignalInfo};
use super::{Process, table};
use crate::file::Events;
use crate::file::signal_io::{self, Recipient, SignalTarget};
use crate::machine::task;
use alloc::sync::Arc;

/// Starts the kernel thread that sends. Once, before the first process.
pub(crate) fn start() {
    task::spawn("sigio", || {
        loop {
            let (target, descriptor, events) = signal_io::next();
            send(&target, descriptor, events);
        }
    });
}

fn send(target: &SignalTarget, descriptor: i32, events: Events) {
    let info = match Signal::from_number(target.signal) {
        Some(signal) => SignalInfo::readiness(signal, descriptor, events),
        None => SignalInfo::kernel(Signal::IO),
    };
    let may_send = |process: &Process| {
        process.main_identity().is_none_or(|to| {
            target.euid == 0 || [target.uid, target.euid].iter().any(|id| *id == to.suid || *id == to.uid)
        })
    };
    match target.recipient {
        Recipient::Nobody => {}
        Recipient::Thread(id) => {
            if let Some(thread) = table::find_thread(id).filter(|thread| may_send(thread.process())) {
                signal::send_to_thread(&thread, info);
            }
        }
        Recipient::Process(id) => {
            if let Some(process) = table::find(id).filter(|process: &Arc<Process>| may_send(process)) {
                process.send_signal(info);
            }
        }
        Recipient::Group(id) => {
            // Nobody hears of a signal that nobody gets.
            let _ = signal::send_to_group(id, Some(info), may_send);
        }
    }
}
