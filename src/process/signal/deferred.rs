//! Signals from interrupt context: a timer's closure may not take the locks of a process, so it leaves the signal
//! here, and a kernel thread sends it.

use super::SignalInfo;
use crate::machine::sync::IrqLock;
use crate::machine::task::{self, WaitQueue};
use crate::process::{Process, Thread};
use crate::rank::Rank;
use alloc::collections::VecDeque;
use alloc::sync::Weak;

/// To whom a signal goes; gone by then means nobody.
#[derive(Clone)]
pub(crate) enum Receiver {
    Process(Weak<Process>),
    Thread(Weak<Thread>),
}

static QUEUE: IrqLock<VecDeque<(Receiver, SignalInfo)>> = IrqLock::new(Rank::DeferredSignals, VecDeque::new());
static ARRIVED: WaitQueue = WaitQueue::new();

/// Sends a signal soon. Any context.
pub(crate) fn send_later(receiver: Receiver, info: SignalInfo) {
    QUEUE.lock().push_back((receiver, info));
    ARRIVED.wake_one();
}

/// Starts the kernel thread that sends. Once, before the first process.
pub(crate) fn start() {
    task::spawn("signals", || {
        loop {
            let (receiver, info) = ARRIVED.wait_until(|| QUEUE.lock().pop_front());
            match receiver {
                Receiver::Process(process) => {
                    if let Some(process) = process.upgrade() {
                        process.send_signal(info);
                    }
                }
                Receiver::Thread(thread) => {
                    if let Some(thread) = thread.upgrade() {
                        thread.send_signal(info);
                    }
                }
            }
        }
    });
}
