//! System V message queues (msgget(2)).

use super::registry::seconds;
use super::{Registry, Right};
use crate::errno::{Errno, Result};
use crate::fs::{Capabilities, Identity};
use crate::machine::sync::SpinLock;
use crate::machine::task::WaitQueue;
use crate::rank::Rank;
use crate::util::tunable::Tunable;
use crate::vm;
use alloc::{collections::VecDeque, vec::Vec};

/// /proc/sys/kernel/msgmax, msgmnb, msgmni: bytes of a message, bytes of a queue, how many queues.
pub(crate) static MAX_BYTES: Tunable = Tunable::new(8192, 0, i32::MAX as usize);
pub(crate) static QUEUE_BYTES: Tunable = Tunable::new(16384, 0, i32::MAX as usize);
pub(crate) static MAX_QUEUES: Tunable = Tunable::new(32000, 0, 32768);

const NO_WAIT: i32 = 0o4000;
const NO_ERROR: i32 = 0o10000;
const EXCEPT: i32 = 0o20000;
const COPY: i32 = 0o40000;

/// All of them.
pub(crate) static QUEUES: Registry<Queue> = Registry::new();

/// A message: its type, greater than zero, and its text.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) kind: i64,
    pub(crate) text: Vec<u8>,
}

/// A message queue.
pub(crate) struct Queue {
    state: SpinLock<State>,
    receivers: WaitQueue,
    senders: WaitQueue,
}

struct State {
    messages: VecDeque<Message>,
    status: Status,
}

/// What IPC_STAT shows besides the owner. Times in seconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Status {
    pub(crate) sent: i64,
    pub(crate) received: i64,
    pub(crate) bytes: usize,
    pub(crate) count: usize,
    /// How many bytes may wait.
    pub(crate) limit: usize,
    pub(crate) last_sender: i32,
    pub(crate) last_receiver: i32,
}

/// msgget(2).
pub(crate) fn get(key: i32, flags: i32, identity: &Identity) -> Result<i32> {
    QUEUES.get(key, flags, identity, MAX_QUEUES.get(), |_| Ok(()), || Ok(Queue::new()))
}

/// msgsnd(2) for process `process`. EACCES, EAGAIN, EIDRM.
pub(crate) fn send(id: i32, message: Message, flags: i32, identity: &Identity, process: i32) -> Result {
    vm::check_budget()?;
    let object = QUEUES.find(id)?;
    object.check(identity, Right::WRITE)?;
    let queue = &object.value;
    let mut message = Some(message);
    let attempt = || {
        if object.is_removed() {
            return Some(Err(Errno::EIDRM));
        }
        let mut state = queue.state.lock();
        let length = message.as_ref().map_or(0, |message| message.text.len());
        let Status { bytes, count, limit, .. } = state.status;
        // The second limit is for messages without text (msgsnd(2)).
        if bytes + length > limit || count + 1 > limit {
            return (flags & NO_WAIT != 0).then_some(Err(Errno::EAGAIN));
        }
        if state.messages.try_reserve(1).is_err() {
            return Some(Err(Errno::ENOMEM));
        }
        state.messages.extend(message.take());
        state.status.bytes += length;
        state.status.count += 1;
        state.status.sent = seconds();
        state.status.last_sender = process;
        Some(Ok(()))
    };
    queue.senders.wait_deadline(None, attempt)??;
    queue.receivers.wake_all();
    Ok(())
}

/// msgrcv(2) for process `process`: a message of at most `size` bytes, longer ones cut if `flags` say so. EACCES, ENOMSG,
/// E2BIG, EIDRM.
pub(crate) fn receive(
    id: i32, kind: i64, size: usize, flags: i32, identity: &Identity, process: i32,
) -> Result<Message> {
    Errno::EINVAL.when(flags & COPY != 0 && (flags & EXCEPT != 0 || flags & NO_WAIT == 0))?;
    let object = QUEUES.find(id)?;
    object.check(identity, Right::READ)?;
    let queue = &object.value;
    let attempt = || {
        if object.is_removed() {
            return Some(Err(Errno::EIDRM));
        }
        let mut state = queue.state.lock();
        let Some(index) = state.choose(kind, flags) else {
            return (flags & NO_WAIT != 0).then_some(Err(Errno::ENOMSG));
        };
        if state.messages[index].text.len() > size && flags & NO_ERROR == 0 {
            return Some(Err(Errno::E2BIG));
        }
        if flags & COPY != 0 {
            return Some(Ok(state.messages[index].clone()));
        }
        let message = state.messages.remove(index)?;
        state.status.bytes -= message.text.len();
        state.status.count -= 1;
        state.status.received = seconds();
        state.status.last_receiver = process;
        Some(Ok(message))
    };
    let mut message = queue.receivers.wait_deadline(None, attempt)??;
    queue.senders.wake_all();
    message.text.truncate(size);
    Ok(message)
}

/// IPC_RMID. EPERM.
pub(crate) fn remove(id: i32, identity: &Identity) -> Result {
    let object = QUEUES.find(id)?;
    object.check_control(identity)?;
    object.set_removed()?;
    QUEUES.forget(id);
    object.value.receivers.wake_all();
    object.value.senders.wake_all();
    Ok(())
}

/// IPC_SET: owner, permissions and the limit of bytes; above /proc/sys/kernel/msgmnb only with CAP_SYS_RESOURCE. EPERM.
pub(crate) fn set(id: i32, identity: &Identity, uid: u32, gid: u32, mode: u32, limit: usize) -> Result {
    let object = QUEUES.find(id)?;
    object.check_control(identity)?;
    Errno::EPERM.when(limit > QUEUE_BYTES.get() && !identity.can(Capabilities::SYS_RESOURCE))?;
    object.set_owner(identity, uid, gid, mode)?;
    object.value.state.lock().status.limit = limit;
    // Senders may have room now.
    object.value.senders.wake_all();
    Ok(())
}

impl Queue {
    fn new() -> Queue {
        let status = Status { limit: QUEUE_BYTES.get(), ..Status::default() };
        Queue {
            state: SpinLock::new(Rank::IpcObject, State { messages: VecDeque::new(), status }),
            receivers: WaitQueue::new(),
            senders: WaitQueue::new(),
        }
    }

    /// Returns what IPC_STAT shows.
    pub(crate) fn status(&self) -> Status {
        self.state.lock().status
    }
}

impl State {
    /// Returns which message a receiver of `kind` gets (msgrcv(2)).
    fn choose(&self, kind: i64, flags: i32) -> Option<usize> {
        let mut candidates = self.messages.iter().map(|message| message.kind);
        if flags & COPY != 0 {
            return usize::try_from(kind).ok().filter(|index| *index < self.messages.len());
        }
        match kind {
            0 => candidates.next().map(|_| 0),
            1.. if flags & EXCEPT != 0 => candidates.position(|found| found != kind),
            1.. => candidates.position(|found| found == kind),
            _ => {
                let limit = kind.saturating_neg();
                candidates
                    .enumerate()
                    .filter(|(_, found)| *found <= limit)
                    .min_by_key(|(_, found)| *found)
                    .map(|(index, _)| index)
            }
        }
    }
}
