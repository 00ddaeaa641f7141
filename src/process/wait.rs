//! Waiting for children: wait4(2) and waitid(2).

use super::signal::{ChildChange, Signal};
use super::thread_group::Usage;
use super::{Process, Thread, table};
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
use bitflags::bitflags;
use core::sync::atomic::Ordering;

bitflags! {
    /// W* options of wait4(2) and waitid(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct WaitOptions: u32 {
        const NO_HANG = 1;
        const STOPPED = 2;
        const EXITED = 4;
        const CONTINUED = 8;
        const KEEP = 0x0100_0000;
        const NO_THREAD = 0x2000_0000;
        const ALL = 0x4000_0000;
        const CLONED = 0x8000_0000;
    }
}

/// Which children to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Any,
    Process(i32),
    Group(i32),
}

/// What became of a child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    pub(crate) id: i32,
    pub(crate) uid: u32,
    pub(crate) change: ChildChange,
    /// The wait status of wait4(2).
    pub(crate) status: i32,
    pub(crate) usage: Usage,
}

impl Child {
    /// Returns `si_status` of waitid(2): the exit code or the signal.
    pub(crate) fn exit_code_or_signal(&self) -> i32 {
        match self.change {
            ChildChange::Exited | ChildChange::Stopped => self.status >> 8 & 0xff,
            ChildChange::Continued => Signal::CONT.number(),
            _ => self.status & 0x7f,
        }
    }
}

/// Waits for a child; `None` if there is no news and NO_HANG says not to sleep. ECHILD without such children;
/// `RESTART` when a signal is due.
pub(crate) fn wait(thread: &Arc<Thread>, which: Which, options: WaitOptions) -> Result<Option<Child>> {
    let process = thread.process();
    let attempt = || match look(process, which, options) {
        Ok(None) if options.contains(WaitOptions::NO_HANG) => Some(Ok(None)),
        Ok(None) => None,
        answer => Some(answer),
    };
    process.child_events.wait_interruptible(attempt)?
}

/// Looks once for news; takes it unless KEEP. `None` if there are children but no news.
fn look(process: &Arc<Process>, which: Which, options: WaitOptions) -> Result<Option<Child>> {
    let (answer, reaped) = table::with(|table| {
        let children = table.nodes.get(&process.id()).map(|node| node.children.as_slice()).unwrap_or_default();
        let mut is_any = false;
        let mut news = None;
        for id in children {
            let Some(node) = table.nodes.get(id) else { continue };
            if !is_eligible(&node.process, which, options) {
                continue;
            }
            is_any = true;
            news = find_news(node, options);
            if news.is_some() {
                break;
            }
        }
        let Some(child) = news else {
            return (if is_any { Ok(None) } else { Err(Errno::ECHILD) }, None);
        };
        let reaped = if options.contains(WaitOptions::KEEP) { None } else { take_news(table, &child) };
        (Ok(Some(child)), reaped)
    });
    if let Some(reaped) = &reaped {
        let (own, children) = (reaped.process.usage(), reaped.process.children_usage());
        let mut state = process.state.lock();
        state.children_usage.add(&own);
        state.children_usage.add(&children);
    }
    answer
}

fn is_eligible(child: &Process, which: Which, options: WaitOptions) -> bool {
    let is_wanted = match which {
        Which::Any => true,
        Which::Process(id) => child.id() == id,
        Which::Group(group) => child.group_id() == group,
    };
    let is_cloned = child.exit_signal.load(Ordering::Relaxed) != Signal::CHLD.number();
    is_wanted && (options.contains(WaitOptions::ALL) || is_cloned == options.contains(WaitOptions::CLONED))
}

fn find_news(node: &table::Node, options: WaitOptions) -> Option<Child> {
    let process = &node.process;
    let (change, status) = match (node.ended, node.stop_news) {
        (Some(status), _) if options.contains(WaitOptions::EXITED) => match status & 0x7f {
            0 => (ChildChange::Exited, status),
            _ if status & 0x80 != 0 => (ChildChange::Dumped, status),
            _ => (ChildChange::Killed, status),
        },
        (None, Some(signal)) if options.contains(WaitOptions::STOPPED) => (ChildChange::Stopped, signal << 8 | 0x7f),
        (None, _) if options.contains(WaitOptions::CONTINUED) && node.continue_news => (ChildChange::Continued, 0xffff),
        _ => return None,
    };
    let uid = match process.main_identity() {
        Some(identity) => identity.uid,
        None => process.exit_uid.load(Ordering::Relaxed),
    };
    let mut usage = process.usage();
    usage.add(&process.children_usage());
    Some(Child { id: process.id(), uid, change, status, usage })
}

fn take_news(table: &mut table::Table, child: &Child) -> Option<table::Node> {
    match child.change {
        ChildChange::Stopped => table.nodes.get_mut(&child.id)?.stop_news = None,
        ChildChange::Continued => table.nodes.get_mut(&child.id)?.continue_news = false,
        _ => return table.remove_process(child.id),
    }
    None
}
