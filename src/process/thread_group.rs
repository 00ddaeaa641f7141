//! A process: what its threads share (Linux's thread group).
//!
//! Relations between processes (parent, children, group, session, exit) change only under the table's lock
//! (`table.rs`); the copies here are for cheap reading. Everything else that changes is behind the process' own
//! lock, `state`. What may sleep when dropped (memory, files, paths) is taken out under the lock and dropped after.

use super::limits::Limits;
use super::signal::{Dispositions, Pending};
use super::timers::Timers;
use super::{Resource, Session, Thread};
use crate::file::{Events, Readiness};
use crate::fs::{Identity, Path};
use crate::machine::sync::SpinLock;
use crate::machine::task::{CpuTime, WaitQueue};
use crate::machine::time;
use crate::rank::Rank;
use crate::vm::AddressSpace;
use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// A process.
pub(crate) struct Process {
    id: i32,
    start_time_ns: u64,
    pub(super) parent: AtomicI32,
    pub(super) group: AtomicI32,
    pub(super) session: SpinLock<Arc<Session>>,
    limits: Limits,
    /// The signal that the parent gets when this process ends; 0 for none.
    pub(super) exit_signal: AtomicI32,
    /// It adopts orphaned descendants (prctl(2) PR_SET_CHILD_SUBREAPER).
    is_subreaper: AtomicBool,
    /// It called exec: its parent may not change its group any more (setpgid(2), EACCES).
    pub(super) has_executed: AtomicBool,
    /// Counts the signals to its group, or to all, as a whole: a fork that one of them crosses is done anew. Changed under the table's lock.
    pub(super) group_signals: AtomicU32,
    /// Signals without a handler do not reach it: the first process.
    pub(super) is_unkillable: AtomicBool,
    /// Other users may look into it (prctl(2) PR_SET_DUMPABLE).
    dumpable: AtomicU32,
    /// personality(2).
    personality: AtomicU32,
    /// The registrations of membarrier(2).
    barriers: AtomicU32,
    /// /proc/PID/oom_score_adj.
    oom_score_adjustment: AtomicI32,
    /// The wait status of a process that has ended.
    pub(super) exit_status: AtomicI32,
    pub(super) state: SpinLock<State>,
    timers: Timers,
    /// Wakes threads in wait(2): a child changed.
    pub(super) child_events: WaitQueue,
    has_ended: AtomicBool,
    /// Tells observers of pidfds that the process has ended.
    end_events: Readiness,
    /// Tells readers of signalfds that a signal came.
    signal_arrivals: Readiness,
    /// Wakes stopped threads, vfork parents and exec: the process goes on, is being ended, or lost a thread.
    pub(super) resume: WaitQueue,
}

/// What the process' lock guards.
pub(super) struct State {
    /// Threads that have not ended, the oldest first.
    pub(super) threads: Vec<Arc<Thread>>,
    /// `None` once the last thread let go of it.
    pub(super) space: Option<Arc<AddressSpace>>,
    pub(super) dispositions: Arc<Dispositions>,
    /// Signals sent to the process as a whole.
    pub(super) pending: Pending,
    pub(super) stop: Stop,
    /// What wait(2) is to be told of the stop, or of its end, and has not been.
    pub(super) stop_news: Option<StopNews>,
    /// The wait status with which all threads are to end.
    pub(super) ending: Option<i32>,
    /// The thread that executes a new program and waits for the others to end.
    pub(super) executor: Option<i32>,
    pub(super) program: Option<Arc<ProgramInformation>>,
    /// Whose the first thread was and its name, once it has ended.
    pub(super) remains: Option<(Arc<Identity>, Vec<u8>)>,
    /// Of threads that have ended; the peak of memory that was replaced or given up.
    pub(super) usage: Usage,
    /// Of children that have been waited for.
    pub(super) children_usage: Usage,
}

/// Job control's stop of a whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    None,
    /// Threads are on their way to stop; `left` have not arrived.
    Requested {
        signal: i32,
        left: usize,
    },
    /// All are stopped by `signal`.
    Stopped {
        signal: i32,
    },
}

/// News for wait(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopNews {
    /// It is stopped, by this signal.
    Stopped(i32),
    /// It goes on.
    Continued,
}

/// Where the running program lies, for /proc.
#[derive(Default)]
pub(crate) struct ProgramInformation {
    /// The file that /proc/PID/exe shows (the ELF file; for `#!`, the interpreter).
    pub(crate) executable: Option<Path>,
    /// Addresses of argv's strings.
    pub(crate) arguments: Range<u64>,
    /// Addresses of envp's strings.
    pub(crate) environment: Range<u64>,
    /// The auxiliary vector.
    pub(crate) auxiliary: Vec<(u64, u64)>,
}

/// Resources used (getrusage(2)).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
    /// Page faults that needed no device.
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    pub(crate) peak_resident_pages: u64,
}

impl Usage {
    /// Adds a thread's CPU time.
    pub(crate) fn add_time(&mut self, time: CpuTime) {
        self.user_ns += time.user_ns;
        self.system_ns += time.system_ns;
        self.voluntary_switches += time.voluntary_switches;
        self.involuntary_switches += time.involuntary_switches;
    }

    /// Adds all of `other`; the peak is the greater of both.
    pub(crate) fn add(&mut self, other: &Usage) {
        self.user_ns += other.user_ns;
        self.system_ns += other.system_ns;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
        self.minor_faults += other.minor_faults;
        self.major_faults += other.major_faults;
        self.peak_resident_pages = self.peak_resident_pages.max(other.peak_resident_pages);
    }
}

/// What a new process starts with.
pub(super) struct Seed {
    pub(super) id: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: Arc<Session>,
    pub(super) limits: Limits,
    pub(super) exit_signal: i32,
    pub(super) space: Arc<AddressSpace>,
    pub(super) dispositions: Arc<Dispositions>,
    pub(super) program: Arc<ProgramInformation>,
    pub(super) dumpable: u32,
    pub(super) personality: u32,
    pub(super) oom_score_adjustment: i32,
}

impl Process {
    pub(super) fn new(seed: Seed) -> Arc<Process> {
        let state = State {
            threads: Vec::new(),
            space: Some(seed.space),
            dispositions: seed.dispositions,
            pending: Pending::new(),
            stop: Stop::None,
            stop_news: None,
            ending: None,
            executor: None,
            program: Some(seed.program),
            remains: None,
            usage: Usage::default(),
            children_usage: Usage::default(),
        };
        Arc::new(Process {
            id: seed.id,
            start_time_ns: time::monotonic_ns(),
            parent: AtomicI32::new(seed.parent),
            group: AtomicI32::new(seed.group),
            session: SpinLock::new(Rank::Thread, seed.session),
            limits: seed.limits,
            exit_signal: AtomicI32::new(seed.exit_signal),
            is_subreaper: AtomicBool::new(false),
            has_executed: AtomicBool::new(false),
            group_signals: AtomicU32::new(0),
            is_unkillable: AtomicBool::new(seed.id == super::table::INIT),
            dumpable: AtomicU32::new(seed.dumpable),
            personality: AtomicU32::new(seed.personality),
            barriers: AtomicU32::new(0),
            oom_score_adjustment: AtomicI32::new(seed.oom_score_adjustment),
            exit_status: AtomicI32::new(0),
            state: SpinLock::new(Rank::Process, state),
            timers: Timers::new(),
            child_events: WaitQueue::new(),
            has_ended: AtomicBool::new(false),
            end_events: Readiness::new(),
            signal_arrivals: Readiness::new(),
            resume: WaitQueue::new(),
        })
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Returns its timers that send signals.
    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Returns the parent's process id; 0 for the first process.
    pub(crate) fn parent_id(&self) -> i32 {
        self.parent.load(Ordering::Relaxed)
    }

    /// Returns the process group's id.
    pub(crate) fn group_id(&self) -> i32 {
        self.group.load(Ordering::Relaxed)
    }

    /// Returns the session.
    pub(crate) fn session(&self) -> Arc<Session> {
        self.session.lock().clone()
    }

    /// Returns the session's id.
    pub(crate) fn session_id(&self) -> i32 {
        self.session.lock().id()
    }

    /// Returns when it started, as monotonic time.
    pub(crate) fn start_time_ns(&self) -> u64 {
        self.start_time_ns
    }

    /// Returns the memory now mapped (exec replaces it); `None` for a process that has ended.
    pub(crate) fn space(&self) -> Option<Arc<AddressSpace>> {
        self.state.lock().space.clone()
    }

    /// Returns the soft limit.
    pub(crate) fn limit(&self, resource: Resource) -> u64 {
        self.limits.soft(resource)
    }

    /// Returns all limits, to read and change.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the threads that have not ended, the oldest first.
    pub(crate) fn threads(&self) -> Vec<Arc<Thread>> {
        self.state.lock().threads.clone()
    }

    /// Returns how many threads have not ended.
    pub(crate) fn thread_count(&self) -> usize {
        self.state.lock().threads.len()
    }

    /// Returns the thread that stands for the process (its first; the oldest left once that ended); `None` for one
    /// that has ended.
    pub(crate) fn main_thread(&self) -> Option<Arc<Thread>> {
        self.state.lock().threads.first().cloned()
    }

    /// Returns the credentials of the thread that stands for the process, the first's once all have ended.
    pub(crate) fn main_identity(&self) -> Option<Arc<Identity>> {
        let state = self.state.lock();
        let first = state.threads.first().map(|thread| thread.identity());
        first.or_else(|| state.remains.as_ref().map(|(identity, _)| identity.clone()))
    }

    /// Returns the name of the thread that stands for the process, the first's once all have ended.
    pub(crate) fn name(&self) -> Vec<u8> {
        let state = self.state.lock();
        let first = state.threads.first().map(|thread| thread.name());
        first.or_else(|| state.remains.as_ref().map(|(_, name)| name.clone())).unwrap_or_default()
    }

    /// Returns what tells readers of signalfds that a signal came.
    pub(super) fn signal_arrivals(&self) -> &Readiness {
        &self.signal_arrivals
    }

    /// Returns whether all its threads have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Returns what tells observers of pidfds that the process has ended.
    pub(super) fn end_events(&self) -> &Readiness {
        &self.end_events
    }

    /// Notes that all its threads have ended, and tells observers.
    pub(super) fn announce_end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.end_events.announce(Events::READ);
    }

    /// Returns whether signals without a handler do not reach it: the first process.
    pub(super) fn is_unkillable(&self) -> bool {
        self.is_unkillable.load(Ordering::Relaxed)
    }

    /// Returns what is known of the running program; nothing once that has ended.
    pub(crate) fn program(&self) -> Arc<ProgramInformation> {
        self.state.lock().program.clone().unwrap_or_default()
    }

    /// Returns the signal dispositions.
    pub(crate) fn dispositions(&self) -> Arc<Dispositions> {
        self.state.lock().dispositions.clone()
    }

    /// Returns the signals that wait for any of its threads.
    pub(crate) fn pending_signals(&self) -> super::SignalSet {
        self.state.lock().pending.set()
    }

    /// Returns whether all its threads are stopped by job control.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state.lock().stop, Stop::Stopped { .. })
    }

    /// Returns what its threads used, those that ended too.
    pub(crate) fn usage(&self) -> Usage {
        let state = self.state.lock();
        let mut usage = state.usage;
        for thread in &state.threads {
            usage.add(&thread.usage());
        }
        usage
    }

    /// Keeps the peak of memory that the process is about to give up.
    pub(super) fn note_peak(&self, space: &AddressSpace) {
        let pages = space.peak_resident_pages();
        let usage = &mut self.state.lock().usage;
        usage.peak_resident_pages = usage.peak_resident_pages.max(pages);
    }

    /// Returns what its children used, those that were waited for.
    pub(crate) fn children_usage(&self) -> Usage {
        self.state.lock().children_usage
    }

    /// Returns whether it adopts orphaned descendants.
    pub(crate) fn is_subreaper(&self) -> bool {
        self.is_subreaper.load(Ordering::Relaxed)
    }

    /// Makes it adopt orphaned descendants, or not.
    pub(crate) fn set_subreaper(&self, is_subreaper: bool) {
        self.is_subreaper.store(is_subreaper, Ordering::Relaxed);
    }

    /// Returns PR_GET_DUMPABLE.
    pub(crate) fn dumpable(&self) -> u32 {
        self.dumpable.load(Ordering::Relaxed)
    }

    /// Sets PR_SET_DUMPABLE.
    pub(crate) fn set_dumpable(&self, dumpable: u32) {
        self.dumpable.store(dumpable, Ordering::Relaxed);
    }

    /// Returns personality(2).
    pub(crate) fn personality(&self) -> u32 {
        self.personality.load(Ordering::Relaxed)
    }

    /// Changes personality(2); returns the one before.
    pub(crate) fn set_personality(&self, personality: u32) -> u32 {
        self.personality.swap(personality, Ordering::Relaxed)
    }

    /// Returns the registrations of membarrier(2), to read and change.
    pub(crate) fn barriers(&self) -> &AtomicU32 {
        &self.barriers
    }

    /// Returns /proc/PID/oom_score_adj.
    pub(crate) fn oom_score_adjustment(&self) -> i32 {
        self.oom_score_adjustment.load(Ordering::Relaxed)
    }

    /// Sets /proc/PID/oom_score_adj.
    pub(crate) fn set_oom_score_adjustment(&self, adjustment: i32) {
        self.oom_score_adjustment.store(adjustment, Ordering::Relaxed);
    }
}
