//! Signals (signal(7)): numbers, what is known of each one sent, queues, dispositions, sending, delivery.
//!
//! Flow: `send` puts a `SignalInfo` into a thread's or a process' queue and marks a thread that may take it (its
//! `attention`); that thread, on its way back to user mode, calls `deliver`, which takes it out and acts.
//! Locks: a process' own lock (queues of the process, stop and exit state), then a thread's, then the dispositions'.

/// What a thread does about its signals on its way back to user mode.
mod deliver;

/// What a process does about each signal.
mod disposition;

/// What a handler finds on its stack, and the way back.
mod frame;

/// What is known about one sent signal.
mod information;

/// Signal numbers and sets.
mod number;

/// Signals sent and not yet delivered.
mod pending;

/// Sending, and who is woken.
mod send;

pub(crate) use deliver::{Delivery, InterruptedCall, deliver};
pub(crate) use disposition::{Action, ActionFlags, DEFAULT, Dispositions, IGNORE};
pub(crate) use frame::{UserStack, describe, is_on, pop};
pub(crate) use information::{ChildChange, SignalInfo, code};
pub(crate) use number::{DefaultAction, Signal, SignalSet};
pub(crate) use pending::Pending;
pub(crate) use send::{
    force, may_queue, may_send, queued_for, send_to_all, send_to_group, send_to_thread, signal_group, take, wait_for,
};
pub(super) use send::{hand_over, recalculate, send_to_process_in, send_to_thread_in};
