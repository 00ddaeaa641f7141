//! System V semaphores (semget(2)): sets of counters, and operations on several of them at once.
//!
//! An operation that cannot be done waits in its set's list. Whoever changes the set does the waiting operations that
//! became possible, in their order, and wakes exactly those threads: they find their result and need not look at the
//! set again. What SEM_UNDO notes is kept in the set, by the list that threads share (`UndoList`).

use super::registry::seconds;
use super::{Object, Registry, Right};
use crate::errno::{Errno, Result};
use crate::fs::Identity;
use crate::machine::sync::SpinLock;
use crate::machine::task::{WaitError, WaitQueue};
use crate::rank::Rank;
use crate::util::tunable::Tunable;
use crate::vm;
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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

/// How many notes of SEM_UNDO there are: most programs leave none, and their end need not look at all sets.
static UNDO_NOTES: AtomicUsize = AtomicUsize::new(0);

/// What one thread or several (clone(2), CLONE_SYSVSEM) did with SEM_UNDO, to be taken back when the last of them ends.
pub(crate) struct UndoList {
    number: u64,
}

/// Who operates: a process, and the number of the list that notes what it does with SEM_UNDO.
#[derive(Clone, Copy)]
pub(crate) struct Operator {
    process: i32,
    undo: u64,
}

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
    /// What the end of an undo list adds to each semaphore, by the list's number.
    undo: BTreeMap<u64, Vec<i16>>,
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
    operator: Operator,
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

/// semtimedop(2): EAGAIN past the deadline.
pub(crate) fn operate(
    id: i32, operations: Vec<Operation>, identity: &Identity, operator: Operator, deadline_ns: Option<u64>,
) -> Result {
    let object = SETS.find(id)?;
    let set = &object.value;
    Errno::EFBIG.when(operations.iter().any(|operation| usize::from(operation.number) >= set.count))?;
    let alters = operations.iter().any(|operation| operation.change != 0);
    object.check(identity, if alters { Right::WRITE } else { Right::READ })?;

    let waiting = {
        let mut state = set.state.lock();
        Errno::EIDRM.when(object.is_removed())?;
        let blocked_on = match state.attempt(&operations, operator) {
            Ok(()) => {
                state.do_possible();
                return Ok(());
            }
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::Blocked(number, for_zero)) => (number, for_zero),
        };
        let waiting = Arc::new(Waiting {
            operations,
            operator,
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

impl UndoList {
    /// Makes one that notes nothing yet.
    pub(crate) fn new() -> Arc<UndoList> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(UndoList { number: NEXT.fetch_add(1, Ordering::Relaxed) })
    }

    /// Returns a thread of `process` that shares the list as one who operates.
    pub(crate) fn operator(&self, process: i32) -> Operator {
        Operator { process, undo: self.number }
    }

    /// A thread of `process` leaves it: the last takes all back.
    pub(crate) fn leave(self: Arc<UndoList>, process: i32) {
        if let Some(list) = Arc::into_inner(self)
            && UNDO_NOTES.load(Ordering::Relaxed) != 0
        {
            undo_all(list.number, process);
        }
    }
}

fn undo_all(list: u64, process: i32) {
    for object in SETS.all() {
        let mut state = object.value.state.lock();
        let Some(changes) = state.forget_undo(list) else { continue };
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
        Errno::EINVAL.when(count == 0)?;
        let semaphores = vm::defaults(count)?;
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
        let mut values = vm::defaults(self.count)?;
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
        Errno::EIDRM.when(self.is_removed())?;
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

/// Why an operation was not done.
enum Refusal {
    Error(Errno),
    /// It must wait for this semaphore; `true`: to be zero.
    Blocked(u16, bool),
}

impl State {
    /// Does all operations, or none.
    fn attempt(&mut self, operations: &[Operation], operator: Operator) -> core::result::Result<(), Refusal> {
        for (done, operation) in operations.iter().enumerate() {
            if let Err(refusal) = self.step(operation, operator.undo) {
                for operation in operations[..done].iter().rev() {
                    self.change(operation, -i32::from(operation.change), operator.undo);
                }
                return Err(refusal);
            }
        }
        for operation in operations {
            self.semaphores[usize::from(operation.number)].process = operator.process;
        }
        self.operated = seconds();
        Ok(())
    }

    fn step(&mut self, operation: &Operation, undo: u64) -> core::result::Result<(), Refusal> {
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
            let noted = self.undo_of(undo).map_err(Refusal::Error)?[usize::from(operation.number)];
            let undone = i32::from(noted) - i32::from(operation.change);
            if !(-MAX_VALUE - 1..=MAX_VALUE).contains(&undone) {
                return Err(Refusal::Error(Errno::ERANGE));
            }
        }
        self.change(operation, i32::from(operation.change), undo);
        Ok(())
    }

    /// Adds to a semaphore, and takes the same from what SEM_UNDO notes.
    fn change(&mut self, operation: &Operation, change: i32, undo: u64) {
        let number = usize::from(operation.number);
        let semaphore = &mut self.semaphores[number];
        semaphore.value = (i32::from(semaphore.value) + change) as u16;
        if operation.flags & UNDO != 0
            && let Some(changes) = self.undo.get_mut(&undo)
        {
            changes[number] = (i32::from(changes[number]) - change) as i16;
        }
    }

    /// Does the waiting operations that are possible now, in their order; each may make others possible. The earlier
    /// ones are asked again only where that may be so: of a crowd that waits for one semaphore, each is asked once.
    fn do_possible(&mut self) {
        let all = core::mem::take(&mut self.waiting);
        // Who waits with several operations may need a value between others.
        let has_several = all.iter().any(|waiting| waiting.operations.len() > 1);
        let mut index = 0;
        while let Some(waiting) = all.get(index) {
            index += 1;
            if waiting.result.lock().is_some() {
                continue;
            }
            let result = match self.attempt(&waiting.operations, waiting.operator) {
                Err(Refusal::Blocked(number, for_zero)) => {
                    *waiting.blocked_on.lock() = (number, for_zero);
                    continue;
                }
                Err(Refusal::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            };
            waiting.end(result);
            let may_let_go = |operation: &Operation| has_several && operation.change != 0 || self.may_let_go(operation);
            if result.is_ok() && waiting.operations.iter().any(may_let_go) {
                index = 0;
            }
        }
        self.waiting = all;
        self.waiting.retain(|waiting| waiting.result.lock().is_none());
    }

    /// Returns whether an operation that was just done may have made possible what waited before.
    fn may_let_go(&self, operation: &Operation) -> bool {
        let is_zero = self.semaphores[usize::from(operation.number)].value == 0;
        operation.change > 0 || operation.change < 0 && is_zero
    }

    /// Returns what the end of an undo list adds, made now if need be. ENOMEM.
    fn undo_of(&mut self, list: u64) -> Result<&Vec<i16>> {
        if !self.undo.contains_key(&list) {
            let changes = vm::defaults(self.semaphores.len())?;
            self.undo.insert(list, changes);
            UNDO_NOTES.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.undo.entry(list).or_default())
    }

    fn forget_undo(&mut self, list: u64) -> Option<Vec<i16>> {
        let changes = self.undo.remove(&list)?;
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
