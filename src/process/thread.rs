//! One thread of a process.
//!
//! A thread changes its own credentials, files and directories; others only read them. `attention` tells it, on its
//! way back to user mode, that a signal, a stop or its end is due.

use super::attributes::Attributes;
use super::directories::Directories;
use super::futex::Sleeper;
use super::limits::THREADS;
use super::rseq;
use super::signal::{Pending, SignalInfo, SignalSet};
use super::thread_group::Usage;
use super::trace::Trace;
use super::{Process, Resource, Restart};
use crate::errno::{Errno, Result};
use crate::file::{Charge, FdTable};
use crate::fs::{Identity, Places, View};
use crate::ipc::semaphore::UndoList;
use crate::machine::sync::{Once, SpinLock};
use crate::machine::task::{self, CpuTime, Task};
use crate::machine::time;
use crate::rank::Rank;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

/// A thread.
pub(crate) struct Thread {
    /// Changes only when a thread other than the first calls exec and takes over the process' id.
    pub(super) id: AtomicI32,
    process: Arc<Process>,
    start_time_ns: u64,
    task: Once<Weak<Task>>,
    /// Something is due before it returns to user mode.
    attention: AtomicBool,
    /// It is to end, or has begun to.
    pub(super) is_exiting: AtomicBool,
    pub(super) files: SpinLock<Option<Arc<FdTable>>>,
    pub(super) directories: SpinLock<Option<Arc<Directories>>>,
    identity: SpinLock<Arc<Identity>>,
    pub(super) signals: SpinLock<ThreadSignals>,
    pub(super) attributes: SpinLock<Attributes>,
    /// Cleared and its futex woken when the thread ends (set_tid_address(2)).
    pub(super) clear_child_tid: AtomicU64,
    /// Head and length of the robust futex list (set_robust_list(2)).
    robust_list: AtomicU64,
    robust_list_length: AtomicU64,
    /// rseq(2).
    pub(crate) rseq: SpinLock<Option<rseq::Area>>,
    pub(super) futex_sleeper: Once<Arc<Sleeper>>,
    /// It ends, and owns no futex any more: set under the lock of `futex::priority`.
    pub(super) has_left_futexes: AtomicBool,
    minor_faults: AtomicU64,
    major_faults: AtomicU64,
    /// The wait status of its own end, if the whole process does not end with another.
    pub(super) exit_code: AtomicI32,
    /// Set while job control keeps it stopped,
    pub(super) is_stopped: AtomicBool,
    /// unless a tracer lets it run all the same.
    pub(super) passes_stop: AtomicBool,
    /// No SIGCONT came since it took the signal that it acts upon: that may stop the process.
    pub(super) may_stop: AtomicBool,
    /// Somebody traces it.
    pub(super) is_traced: AtomicBool,
    /// A seized tracee is to stop and tell.
    pub(super) has_trap_due: AtomicBool,
    pub(super) trace: SpinLock<Option<Box<Trace>>>,
    /// It has ended; its status is in `exit_code`.
    pub(super) has_left: AtomicBool,
    /// Vector, error code and address of its last fault, for signal frames.
    last_fault: [AtomicU64; 3],
    /// What SEM_UNDO notes of it, from its first semaphore operation on (semop(2)).
    undo_list: SpinLock<Option<Arc<UndoList>>>,
    /// Counts it as one of its user's threads, until it has ended.
    charge: SpinLock<Option<Charge>>,
    /// The process that waits until this thread executes a program or ends (vfork(2)).
    pub(super) vfork_parent: SpinLock<Option<Arc<Process>>>,
}

/// A thread's part of signal handling.
pub(super) struct ThreadSignals {
    pub(super) blocked: SignalSet,
    /// The mask to put back after the handler that interrupts sigsuspend, ppoll, pselect.
    pub(super) saved_blocked: Option<SignalSet>,
    /// What rt_sigtimedwait waits for, although blocked.
    pub(super) waited: SignalSet,
    pub(super) pending: Pending,
    pub(super) alternate_stack: AlternateStack,
    /// How restart_syscall goes on.
    pub(super) restart: Option<Restart>,
}

/// sigaltstack(2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlternateStack {
    pub(crate) address: u64,
    pub(crate) size: u64,
    /// SS_AUTODISARM and SS_DISABLE as user space gave them.
    pub(crate) flags: u32,
}

/// What a new thread starts with.
pub(super) struct ThreadSeed {
    pub(super) id: i32,
    pub(super) process: Arc<Process>,
    pub(super) files: Arc<FdTable>,
    pub(super) directories: Arc<Directories>,
    pub(super) identity: Arc<Identity>,
    pub(super) charge: Charge,
    pub(super) undo_list: Option<Arc<UndoList>>,
    pub(super) blocked: SignalSet,
    pub(super) alternate_stack: AlternateStack,
    pub(super) attributes: Attributes,
    pub(super) clear_child_tid: u64,
    pub(super) rseq: Option<rseq::Area>,
}

impl Thread {
    pub(super) fn new(seed: ThreadSeed) -> Arc<Thread> {
        let signals = ThreadSignals {
            blocked: seed.blocked,
            saved_blocked: None,
            waited: SignalSet::EMPTY,
            pending: Pending::new(),
            alternate_stack: seed.alternate_stack,
            restart: None,
        };
        Arc::new(Thread {
            id: AtomicI32::new(seed.id),
            process: seed.process,
            start_time_ns: time::monotonic_ns(),
            task: Once::new(),
            attention: AtomicBool::new(false),
            is_exiting: AtomicBool::new(false),
            files: SpinLock::new(Rank::Thread, Some(seed.files)),
            directories: SpinLock::new(Rank::Thread, Some(seed.directories)),
            identity: SpinLock::new(Rank::Thread, seed.identity),
            signals: SpinLock::new(Rank::Thread, signals),
            attributes: SpinLock::new(Rank::Thread, seed.attributes),
            clear_child_tid: AtomicU64::new(seed.clear_child_tid),
            robust_list: AtomicU64::new(0),
            robust_list_length: AtomicU64::new(0),
            rseq: SpinLock::new(Rank::Thread, seed.rseq),
            futex_sleeper: Once::new(),
            has_left_futexes: AtomicBool::new(false),
            minor_faults: AtomicU64::new(0),
            major_faults: AtomicU64::new(0),
            exit_code: AtomicI32::new(0),
            is_stopped: AtomicBool::new(false),
            passes_stop: AtomicBool::new(false),
            may_stop: AtomicBool::new(false),
            is_traced: AtomicBool::new(false),
            has_trap_due: AtomicBool::new(false),
            trace: SpinLock::new(Rank::Trace, None),
            has_left: AtomicBool::new(false),
            last_fault: [const { AtomicU64::new(0) }; 3],
            undo_list: SpinLock::new(Rank::Thread, seed.undo_list),
            charge: SpinLock::new(Rank::Thread, Some(seed.charge)),
            vfork_parent: SpinLock::new(Rank::Thread, None),
        })
    }

    /// Returns the thread that runs on this CPU. Panics in kernel threads.
    pub(crate) fn current() -> Arc<Thread> {
        Thread::try_current().expect("only system calls ask for the current thread")
    }

    /// Returns the thread that runs on this CPU; `None` in kernel threads.
    pub(crate) fn try_current() -> Option<Arc<Thread>> {
        task::current_data::<Thread>()
    }

    /// Returns the thread id.
    pub(crate) fn id(&self) -> i32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Returns whether it is the thread that bears its process' id.
    pub(crate) fn is_first(&self) -> bool {
        self.id() == self.process.id()
    }

    /// Returns the process.
    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Returns when it started, as monotonic time.
    pub(crate) fn start_time_ns(&self) -> u64 {
        self.start_time_ns
    }

    /// Returns the file descriptors; an empty table for a thread that has ended.
    pub(crate) fn files(&self) -> Arc<FdTable> {
        let files = self.files.lock().clone();
        files.unwrap_or_else(FdTable::new)
    }

    /// Gives the thread its own descriptor table (unshare, exec). Only the thread itself.
    pub(crate) fn set_files(&self, files: Arc<FdTable>) {
        let old = self.files.lock().replace(files);
        drop(old);
    }

    /// Returns the credentials.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        self.identity.lock().clone()
    }

    /// Replaces the credentials. Only the thread itself.
    pub(crate) fn set_identity(&self, identity: Identity) {
        let identity = Arc::new(identity);
        if identity.uid != self.identity().uid {
            self.attributes.lock().has_too_many = self.is_beyond_limit(identity.uid);
            *self.charge.lock() = THREADS.charge(identity.uid, 1, usize::MAX);
        }
        let old = core::mem::replace(&mut *self.identity.lock(), identity);
        drop(old);
    }

    /// Returns whether the user has more threads than RLIMIT_NPROC allows; root may have any number.
    fn is_beyond_limit(&self, uid: u32) -> bool {
        uid != 0 && THREADS.of(uid) as u64 > self.process.limit(Resource::Processes)
    }

    /// "EAGAIN … the caller has changed its real UID …, and is still above its RLIMIT_NPROC limit" (execve(2)).
    pub(crate) fn check_new_user(&self) -> Result {
        let has_too_many = self.attributes().has_too_many && self.is_beyond_limit(self.identity().uid);
        self.attributes.lock().has_too_many = has_too_many;
        Errno::EAGAIN.when(has_too_many)
    }

    /// Takes what counts it as one of its user's threads.
    pub(super) fn take_charge(&self) -> Option<Charge> {
        self.charge.lock().take()
    }

    /// Returns the list in which SEM_UNDO notes what it does, made now if need be.
    pub(crate) fn undo_list(&self) -> Arc<UndoList> {
        self.undo_list.lock().get_or_insert_with(UndoList::new).clone()
    }

    /// Leaves that list: the last takes back what was done. Only the thread itself.
    pub(crate) fn leave_undo_list(&self) {
        let list = self.undo_list.lock().take();
        if let Some(list) = list {
            list.leave(self.process.id());
        }
    }

    /// Returns the root and working directories, and the umask.
    #[inline(always)]
    pub(crate) fn places(&self) -> (Arc<Places>, u32) {
        match &*self.directories.lock() {
            Some(directories) => directories.places(),
            None => Directories::first().places(),
        }
    }

    /// Returns where and as whom the thread names files.
    pub(crate) fn view(&self) -> View {
        let (places, umask) = self.places();
        View::new(places, None, self.identity(), umask)
    }

    /// Returns the directories as the object that CLONE_FS shares, to change them; those of the first process for a thread that
    /// has ended.
    pub(crate) fn shared_directories(&self) -> Arc<Directories> {
        let directories = self.directories.lock().clone();
        directories.unwrap_or_else(Directories::first)
    }

    /// Gives the thread directories of its own (unshare). Only the thread itself.
    pub(crate) fn set_shared_directories(&self, directories: Arc<Directories>) {
        let old = self.directories.lock().replace(directories);
        drop(old);
    }

    /// Returns the task, or `None` once that is gone.
    pub(crate) fn task(&self) -> Option<Arc<Task>> {
        self.task.get()?.upgrade()
    }

    pub(super) fn set_task(&self, task: &Arc<Task>) {
        self.task.call_once(|| Arc::downgrade(task));
    }

    /// Returns the CPU time used so far.
    pub(crate) fn cpu_time(&self) -> CpuTime {
        self.task().map(|task| task.cpu_time()).unwrap_or_default()
    }

    /// Returns the resources used so far.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage {
            minor_faults: self.minor_faults.load(Ordering::Relaxed),
            major_faults: self.major_faults.load(Ordering::Relaxed),
            ..Usage::default()
        };
        usage.add_time(self.cpu_time());
        usage
    }

    /// Counts a page fault.
    pub(crate) fn count_fault(&self) {
        self.minor_faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps what a signal frame says of the last fault: vector, error code, address.
    pub(super) fn set_last_fault(&self, vector: u64, error: u64, address: u64) {
        for (field, value) in self.last_fault.iter().zip([vector, error, address]) {
            field.store(value, Ordering::Relaxed);
        }
    }

    /// Returns vector, error code and address of the last fault.
    pub(super) fn last_fault(&self) -> (u64, u64, u64) {
        let [vector, error, address] = &self.last_fault;
        (vector.load(Ordering::Relaxed), error.load(Ordering::Relaxed), address.load(Ordering::Relaxed))
    }

    /// Returns whether something is due before the return to user mode. One load: the hot path.
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.load(Ordering::Acquire)
    }

    /// Marks that something is due (and ends interruptible sleeps), or that nothing is. Under the process' lock.
    pub(super) fn set_attention(&self, is_due: bool) {
        if !self.attention.swap(is_due, Ordering::AcqRel) && !is_due {
            return;
        }
        let Some(task) = self.task() else { return };
        if is_due {
            task.interrupt();
        } else {
            task.clear_interrupt();
        }
    }

    /// Returns whether it is to end.
    pub(crate) fn is_exiting(&self) -> bool {
        self.is_exiting.load(Ordering::Acquire)
    }

    /// Returns whether it has ended.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    /// Lets the parent go on that waits in vfork(2), if any.
    pub(super) fn complete_vfork(&self) {
        let parent = self.vfork_parent.lock().take();
        if let Some(parent) = parent {
            parent.resume.wake_all();
        }
    }

    /// Returns whether job control keeps it stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed) && !self.passes_stop.load(Ordering::Relaxed)
    }

    /// Returns the blocked signals.
    pub(crate) fn blocked(&self) -> SignalSet {
        self.signals.lock().blocked
    }

    /// Returns the signals sent to this thread alone that wait.
    pub(crate) fn pending_signals(&self) -> SignalSet {
        self.signals.lock().pending.set()
    }

    /// Returns the alternate signal stack.
    pub(crate) fn alternate_stack(&self) -> AlternateStack {
        self.signals.lock().alternate_stack
    }

    /// Changes the alternate signal stack.
    pub(crate) fn set_alternate_stack(&self, stack: AlternateStack) {
        self.signals.lock().alternate_stack = stack;
    }

    /// Keeps how restart_syscall goes on after a stop, for a call that answers `Errno::RESTART_BLOCK`.
    pub(crate) fn set_restart(&self, restart: Option<Restart>) {
        let old = core::mem::replace(&mut self.signals.lock().restart, restart);
        drop(old);
    }

    /// Takes how the interrupted call goes on.
    pub(crate) fn take_restart(&self) -> Option<Restart> {
        self.signals.lock().restart.take()
    }

    /// Sets the word that is cleared when the thread ends.
    pub(crate) fn set_clear_child_tid(&self, address: u64) {
        self.clear_child_tid.store(address, Ordering::Relaxed);
    }

    /// Returns the word that is cleared when the thread ends; 0 for none.
    pub(crate) fn clear_child_tid(&self) -> u64 {
        self.clear_child_tid.load(Ordering::Relaxed)
    }

    /// Sets the robust futex list.
    pub(crate) fn set_robust_list(&self, head: u64, length: u64) {
        self.robust_list.store(head, Ordering::Relaxed);
        self.robust_list_length.store(length, Ordering::Relaxed);
    }

    /// Returns head and length of the robust futex list.
    pub(crate) fn robust_list(&self) -> (u64, u64) {
        (self.robust_list.load(Ordering::Relaxed), self.robust_list_length.load(Ordering::Relaxed))
    }

    /// Sends a signal to this thread alone; permission was checked.
    pub(crate) fn send_signal(self: &Arc<Thread>, info: SignalInfo) {
        super::signal::send_to_thread(self, info);
    }
}
