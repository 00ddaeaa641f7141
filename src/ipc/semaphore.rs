//! System V semaphores (semget(2)): sets of counters, and operations on several of them at once.
//!
//! An operation that cannot be done waits in its set's list. Whoever changes the set does the waiting operations that
//! became possible, in their order, and wakes exactly those threads: they find their result and need not look at the
//! set again. What SEM_UNDO notes is kept in the set, by process.

use super::registry::seconds;
use super::{Object, Registry, Right};
use crate::errno::{Errno, Result};
use crate::fs::Identity;
use crate::machine::sync::SpinLock;
use crate::machine::task::{WaitError, WaitQueue};
use crate::rank::Rank;
use crate::util::tunable::Tunable;
use crate::vm;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// /proc/sys/kernel/sem: semaphores of a set, of all, operations of a call, sets.
pub(crate) static LIMITS: [Tunable; 4] = [
    Tunable::new(32000, 0, i32::MAX as usize),
    Tunable::new(1_024_000_000, 0, i32::MAX as usize),
    Tunable::new(500, 0, i32::MAX as usize),
    Tunable::new(32000, 0, 32768),
];
pub(crate) static MAX_OF_SET: &Tunable = &LIMITS[0];
pub(crate) static MAX_OF_ALL: &Tunable = &LIMITS[1];
pub(crate) static MAX_OPERATIONS: &Tunable = &LIMITS[2];
pub(crate) static MAX_SETS: &Tunable = &LIMITS[3];

/// The greatest value of a semaphore (SEMVMX).
pub(crate) const MAX_VALUE: i32 = 32767;

const NO_WAIT: i16 = 0o4000;
const UNDO: i16 = 0o10000;

/// All of them.
pub(crate) static SETS: Registry<Set> = Registry::new();

/// Semaphores of all sets.
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// How many notes of SEM_UNDO there are: most processes leave none, and their end need not look at all sets.
static UNDO_NOTES: AtomicUsize = AtomicUsize::new(0);

/// `struct sembuf` (semop(2)).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Operation {
    pub(crate) number: u16,
    change: i16,
    flags: i16,
}

/// A set of semaphores.
pub(crate) struct Set {
    count: usize,
    state: SpinLock<State>,
}

struct State {
    semaphores: Vec<Semaphore>,
    /// What a process' end adds to each semaphore.
    undo: BTreeMap<i32, Vec<i16>>,
    waiting: Vec<Arc<Waiting>>,
    /// When an operation was done last, in seconds.
    operated: i64,
}

/// One semaphore, and who operated on it last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Semaphore {
    pub(crate) value: u16,
    pub(crate) process: i32,
}

/// An operation that waits.
struct Waiting {
    operations: Vec<Operation>,
    process: i32,
    /// Which semaphore it waits for, and whether for zero; changes when the set does.
    blocked_on: SpinLock<(u16, bool)>,
    result: SpinLock<Option<Result>>,
    queue: WaitQueue,
}

/// Returns how many semaphores all sets have.
pub(crate) fn total() -> usize {
    TOTAL.load(Ordering::Relaxed)
}

/// semget(2).
pub(crate) fn get(key: i32, count: i32, flags: i32, identity: &Identity) -> Result<i32> {
    let count = usize::try_from(count).ok().filter(|count| *count <= MAX_OF_SET.get()).ok_or(Errno::EINVAL)?;
    let check = |set: &Set| if count > set.count { Err(Errno::EINVAL) } else { Ok(()) };
    SETS.get(key, flags, identity, MAX_SETS.get(), check, || Set::new(count))
}

/// semtimedop(2) for process `process`: EAGAIN past the deadline.
pub(crate) fn operate(
    id: i32,
    operations: Vec<Operation>,
    identity: &Identity,
    process: i32,
    deadline_ns: Option<u64>,
) -> Result {
    let object = SETS.find(id)?;
    let set = &object.value;
    if operations.iter().any(|operation| usize::from(operation.number) >= set.count) {
        return Err(Errno::EFBIG);
    }
    let alters = operations.iter().any(|operation| operation.change != 0);
    object.check(identity, if alters { Right::WRITE } else { Right::READ })?;

    let waiting = {
        let mut state = set.state.lock();
        if object.is_removed() {
            return Err(Errno::EIDRM);
        }
        let blocked_on = match state.attempt(&operations, process) {
            Ok(()) => {
                state.do_possible();
                return Ok(());
            }
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::Blocked(number, for_zero)) => (number, for_zero),
        };
        let waiting = Arc::new(Waiting {
            operations,
            process,
            blocked_on: SpinLock::new(Rank::IpcOwner, blocked_on),
            result: SpinLock::new(Rank::IpcOwner, None),
            queue: WaitQueue::new(),
        });
        state.waiting.push(waiting.clone());
        waiting
    };
    let ended = waiting.queue.wait_deadline(deadline_ns, || *waiting.result.lock());
    let Err(error) = ended else { return ended.unwrap_or(Ok(())) };
    // Somebody may have done the operation meanwhile; then it is done.
    let mut state = set.state.lock();
    state.waiting.retain(|other| !Arc::ptr_eq(other, &waiting));
    let result = *waiting.result.lock();
    result.unwrap_or(Err(if error == WaitError::TimedOut { Errno::EAGAIN } else { Errno::EINTR }))
}

/// IPC_RMID. EPERM.
pub(crate) fn remove(id: i32, identity: &Identity) -> Result {
    let object = SETS.find(id)?;
    object.check_control(identity)?;
    object.set_removed()?;
    let waiting = core::mem::take(&mut object.value.state.lock().waiting);
    waiting.iter().for_each(|waiting| waiting.end(Err(Errno::EIDRM)));
    SETS.forget(id);
    Ok(())
}

/// The end of a process: what it did with SEM_UNDO is taken back.
pub(crate) fn undo_all(process: i32) {
    if UNDO_NOTES.load(Ordering::Relaxed) == 0 {
        return;
    }
    for object in SETS.all() {
        let mut state = object.value.state.lock();
        let Some(changes) = state.forget_undo(process) else { continue };
        for (semaphore, change) in state.semaphores.iter_mut().zip(changes).filter(|(_, change)| *change != 0) {
            let value = i32::from(semaphore.value) + i32::from(change);
            *semaphore = Semaphore { value: value.clamp(0, MAX_VALUE) as u16, process };
        }
        state.operated = seconds();
        state.do_possible();
    }
}

impl Set {
    fn new(count: usize) -> Result<Set> {
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        let semaphores = zeros(count)?;
        let add = |total: usize| Some(total + count).filter(|total| *total <= MAX_OF_ALL.get());
        TOTAL.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| Errno::ENOSPC)?;
        let state = State { semaphores, undo: BTreeMap::new(), waiting: Vec::new(), operated: 0 };
        Ok(Set { count, state: SpinLock::new(Rank::IpcObject, state) })
    }

    /// Returns how many semaphores it has.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns when an operation was done last, in seconds.
    pub(crate) fn operated(&self) -> i64 {
        self.state.lock().operated
    }

    /// Returns all values. ENOMEM.
    pub(crate) fn values(&self) -> Result<Vec<u16>> {
        let mut values = zeros(self.count)?;
        let state = self.state.lock();
        values.iter_mut().zip(&state.semaphores).for_each(|(value, semaphore)| *value = semaphore.value);
        Ok(values)
    }

    /// Returns a semaphore. EINVAL.
    pub(crate) fn semaphore(&self, number: i32) -> Result<Semaphore> {
        let number = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
        self.state.lock().semaphores.get(number).copied().ok_or(Errno::EINVAL)
    }

    /// Returns how many operations wait for a semaphore to be zero, or to become greater (GETZCNT, GETNCNT).
    pub(crate) fn waiting(&self, number: i32, for_zero: bool) -> usize {
        let state = self.state.lock();
        state.waiting.iter().filter(|waiting| *waiting.blocked_on.lock() == (number as u16, for_zero)).count()
    }
}

impl Object<Set> {
    /// SETVAL and SETALL: sets the values from `first` on; what SEM_UNDO noted of them is forgotten. EIDRM.
    pub(crate) fn set_values(&self, first: usize, values: &[u16], process: i32) -> Result {
        let mut state = self.value.state.lock();
        if self.is_removed() {
            return Err(Errno::EIDRM);
        }
        for (semaphore, value) in state.semaphores.iter_mut().skip(first).zip(values) {
            *semaphore = Semaphore { value: *value, process };
        }
        for changes in state.undo.values_mut() {
            changes.iter_mut().skip(first).take(values.len()).for_each(|change| *change = 0);
        }
        state.do_possible();
        drop(state);
        self.note_change();
        Ok(())
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        TOTAL.fetch_sub(self.count, Ordering::Relaxed);
        UNDO_NOTES.fetch_sub(self.state.lock().undo.len(), Ordering::Relaxed);
    }
}

/// Returns a list of `count` zeros. ENOMEM, also when only the kernel's reserve is left.
fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>> {
    vm::check_budget()?;
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    zeros.resize(count, T::default());
    Ok(zeros)
}

/// Why an operation was not done.
enum Refusal {
    Error(Errno),
    /// It must wait for this semaphore; `true`: to be zero.
    Blocked(u16, bool),
}

impl State {
    /// Does all operations, or none.
    fn attempt(&mut self, operations: &[Operation], process: i32) -> core::result::Result<(), Refusal> {
        for (done, operation) in operations.iter().enumerate() {
            if let Err(refusal) = self.step(operation, process) {
                for operation in operations[..done].iter().rev() {
                    self.change(operation, -i32::from(operation.change), process);
                }
                return Err(refusal);
            }
        }
        for operation in operations {
            self.semaphores[usize::from(operation.number)].process = process;
        }
        self.operated = seconds();
        Ok(())
    }

    fn step(&mut self, operation: &Operation, process: i32) -> core::result::Result<(), Refusal> {
        let value = i32::from(self.semaphores[usize::from(operation.number)].value) + i32::from(operation.change);
        let is_blocked = if operation.change == 0 { value != 0 } else { value < 0 };
        if is_blocked {
            return Err(if operation.flags & NO_WAIT != 0 {
                Refusal::Error(Errno::EAGAIN)
            } else {
                Refusal::Blocked(operation.number, operation.change == 0)
            });
        }
        if value > MAX_VALUE {
            return Err(Refusal::Error(Errno::ERANGE));
        }
        if operation.flags & UNDO != 0 && operation.change != 0 {
            let noted = self.undo_of(process).map_err(Refusal::Error)?[usize::from(operation.number)];
            let undone = i32::from(noted) - i32::from(operation.change);
            if !(-MAX_VALUE - 1..=MAX_VALUE).contains(&undone) {
                return Err(Refusal::Error(Errno::ERANGE));
            }
        }
        self.change(operation, i32::from(operation.change), process);
        Ok(())
    }

    /// Adds to a semaphore, and takes the same from what SEM_UNDO notes.
    fn change(&mut self, operation: &Operation, change: i32, process: i32) {
        let number = usize::from(operation.number);
        let semaphore = &mut self.semaphores[number];
        semaphore.value = (i32::from(semaphore.value) + change) as u16;
        if operation.flags & UNDO != 0
            && let Some(changes) = self.undo.get_mut(&process)
        {
            changes[number] = (i32::from(changes[number]) - change) as i16;
        }
    }

    /// Does the waiting operations that are possible now, in their order; each may make others possible.
    fn do_possible(&mut self) {
        let mut index = 0;
        while index < self.waiting.len() {
            let waiting = self.waiting[index].clone();
            let result = match self.attempt(&waiting.operations, waiting.process) {
                Err(Refusal::Blocked(number, for_zero)) => {
                    *waiting.blocked_on.lock() = (number, for_zero);
                    index += 1;
                    continue;
                }
                Err(Refusal::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            };
            self.waiting.remove(index);
            waiting.end(result);
            if result.is_ok() && waiting.operations.iter().any(|operation| operation.change != 0) {
                index = 0;
            }
        }
    }

    /// Returns what a process' end adds, made now if need be. ENOMEM.
    fn undo_of(&mut self, process: i32) -> Result<&Vec<i16>> {
        if !self.undo.contains_key(&process) {
            let changes = zeros(self.semaphores.len())?;
            self.undo.insert(process, changes);
            UNDO_NOTES.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.undo.entry(process).or_default())
    }

    fn forget_undo(&mut self, process: i32) -> Option<Vec<i16>> {
        let changes = self.undo.remove(&process)?;
        UNDO_NOTES.fetch_sub(1, Ordering::Relaxed);
        Some(changes)
    }
}

impl Waiting {
    fn end(&self, result: Result) {
        *self.result.lock() = Some(result);
        self.queue.wake_one();
    }
}
