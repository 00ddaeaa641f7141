//! Waiting for children: wait4(2) and waitid(2).

use super::signal::{ChildChange, Signal};
use super::thread_group::{StopNews, Usage};
use super::{Process, Thread, exit, table, trace};
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
            // With the event, which does not fit wait4(2)'s byte.
            ChildChange::Trapped => self.status >> 8,
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

/// News of a child or tracee.
enum News {
    Child(Child),
    Tracee(Child, Arc<Thread>),
}

/// Looks once for news; takes it unless KEEP. `None` if there are children but no news.
fn look(process: &Arc<Process>, which: Which, options: WaitOptions) -> Result<Option<Child>> {
    let keeps = options.contains(WaitOptions::KEEP);
    let (child, reaped, _after) = table::with(|table| -> Result<_> {
        let Some(news) = find(table, process, which, options)? else { return Ok((None, None, None)) };
        Ok(match news {
            News::Child(child) => {
                let is_end = !matches!(child.change, ChildChange::Stopped | ChildChange::Continued);
                (Some(child), if is_end && !keeps { table.remove_process(child.id) } else { None }, None)
            }
            News::Tracee(child, thread) if child.change != ChildChange::Trapped && !keeps => {
                table.remove_tracee(process.id(), &thread);
                // The parent's own child is its own to bury, of whose end nobody else hears.
                let is_child = thread.is_first() && thread.process().parent_id() == process.id();
                let reaped = if is_child { table.remove_process(child.id) } else { None };
                (Some(child), reaped, Some(exit::after_tracing(table, thread)))
            }
            News::Tracee(child, _) => (Some(child), None, None),
        })
    })?;
    if let Some(reaped) = &reaped {
        let (own, children) = (reaped.process.usage(), reaped.process.children_usage());
        let mut state = process.state.lock();
        state.children_usage.add(&own);
        state.children_usage.add(&children);
    }
    Ok(child)
}

/// Finds news among tracees and children. ECHILD if there are none such.
fn find(table: &table::Table, process: &Process, which: Which, options: WaitOptions) -> Result<Option<News>> {
    let own = table.nodes.get(&process.id()).ok_or(Errno::ECHILD)?;
    let mut is_any = false;
    for thread in own.tracees.iter().filter(|thread| which.includes(thread.id(), thread.process())) {
        is_any = true;
        if let Some(child) = tracee_news(table, thread, options) {
            return Ok(Some(News::Tracee(child, thread.clone())));
        }
    }
    for node in own.children.iter().filter_map(|id| table.nodes.get(id)) {
        if !which.includes(node.process.id(), &node.process) || !is_eligible(&node.process, options) {
            continue;
        }
        is_any = true;
        // A tracer hears of the end first; one that is the parent has heard of the stop as a stop of tracing.
        let withheld = match node.tracer {
            None => WaitOptions::empty(),
            Some(tracer) if tracer == process.id() => WaitOptions::EXITED | WaitOptions::STOPPED,
            Some(_) => WaitOptions::EXITED,
        };
        if let Some(child) = find_news(node, options - withheld) {
            return Ok(Some(News::Child(child)));
        }
    }
    if is_any { Ok(None) } else { Err(Errno::ECHILD) }
}

impl Which {
    fn includes(self, id: i32, process: &Process) -> bool {
        match self {
            Which::Any => true,
            Which::Process(wanted) => id == wanted,
            Which::Group(group) => process.group_id() == group,
        }
    }
}

fn is_eligible(child: &Process, options: WaitOptions) -> bool {
    let is_cloned = child.exit_signal.load(Ordering::Relaxed) != Signal::CHLD.number();
    options.contains(WaitOptions::ALL) || is_cloned == options.contains(WaitOptions::CLONED)
}

fn tracee_news(table: &table::Table, thread: &Arc<Thread>, options: WaitOptions) -> Option<Child> {
    if let Some(status) = trace::take_news(thread, options.contains(WaitOptions::KEEP)) {
        return Some(describe(thread.process(), thread.id(), ChildChange::Trapped, status));
    }
    // The first thread stands for the process, which ends with its last.
    let ended = if thread.is_first() {
        table.nodes.get(&thread.id())?.ended
    } else {
        thread.has_left().then(|| thread.exit_code.load(Ordering::Relaxed))
    };
    let status = ended.filter(|_| options.contains(WaitOptions::EXITED))?;
    Some(describe(thread.process(), thread.id(), end_of(status), status))
}

/// Finds news of a child; takes those of a stop unless KEEP.
fn find_news(node: &table::Node, options: WaitOptions) -> Option<Child> {
    let (change, status) = match node.ended {
        Some(status) if options.contains(WaitOptions::EXITED) => (end_of(status), status),
        Some(_) => return None,
        None => {
            let mut state = node.process.state.lock();
            let news = match state.stop_news? {
                StopNews::Stopped(signal) if options.contains(WaitOptions::STOPPED) => {
                    (ChildChange::Stopped, signal << 8 | 0x7f)
                }
                StopNews::Continued if options.contains(WaitOptions::CONTINUED) => (ChildChange::Continued, 0xffff),
                _ => return None,
            };
            if !options.contains(WaitOptions::KEEP) {
                state.stop_news = None;
            }
            news
        }
    };
    Some(describe(&node.process, node.process.id(), change, status))
}

fn end_of(status: i32) -> ChildChange {
    if status & 0x7f == 0 { ChildChange::Exited } else { ChildChange::Killed }
}

fn describe(process: &Process, id: i32, change: ChildChange, status: i32) -> Child {
    let uid = process.main_identity().map_or(0, |identity| identity.uid);
    let mut usage = process.usage();
    usage.add(&process.children_usage());
    Child { id, uid, change, status, usage }
}
