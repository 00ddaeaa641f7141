//! POSIX message queues (mq_overview(7)): the files of a flat file system, mountable as `mqueue`.
//!
//! The calls find a queue by its name in the one directory; a mount shows the same directory. Queues of a user together
//! have at most RLIMIT_MSGQUEUE bytes, counted when one is made for all that it may hold.

use crate::errno::{Errno, Result};
use crate::file::{
    Charge, DeviceNumber, DirectoryEntry, Events, File, FileKind, Metadata, Observer, OpenFile, Readiness, StatusFlags,
    UserCount,
};
use crate::fs::kinds;
use crate::fs::{
    Access, AttributeChange, Capabilities, FileSystem, FileSystemStatistics, Identity, Inode, NewNode, Path, Volume,
    check_permission, now,
};
use crate::machine::sync::{Lazy, SpinLock};
use crate::rank::Rank;
use crate::util::tunable::Tunable;
use crate::vm::{self, Destination};
use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};
use core::cmp::Reverse;

/// /proc/sys/fs/mqueue: what a queue has unless its maker says, the most that it may say, how many queues.
pub(crate) static DEFAULT_MESSAGES: Tunable = Tunable::new(10, 1, HARD_MAX_MESSAGES);
pub(crate) static DEFAULT_BYTES: Tunable = Tunable::new(8192, 128, HARD_MAX_BYTES);
pub(crate) static MAX_MESSAGES: Tunable = Tunable::new(10, 1, HARD_MAX_MESSAGES);
pub(crate) static MAX_BYTES: Tunable = Tunable::new(8192, 128, HARD_MAX_BYTES);
pub(crate) static MAX_QUEUES: Tunable = Tunable::new(256, 0, i32::MAX as usize);

/// The bounds even with CAP_SYS_RESOURCE.
const HARD_MAX_MESSAGES: usize = 65536;
const HARD_MAX_BYTES: usize = 16 << 20;

/// What each message counts besides its bytes (Linux's two structures).
const MESSAGE_OVERHEAD: usize = 96;

/// MQUEUE_MAGIC of statfs(2); the size that stat(2) shows.
const MAGIC: u64 = 0x1980_0202;
const FILE_SIZE: u64 = 80;

static DEVICE: Lazy<DeviceNumber> = Lazy::new(kinds::next_anonymous_device);
static VOLUME: Lazy<Arc<Volume>> = Lazy::new(|| Volume::new(Arc::new(Mqueue)));
static QUEUES: SpinLock<BTreeMap<Vec<u8>, Arc<Queue>>> = SpinLock::new(Rank::IpcTable, BTreeMap::new());
static BYTES: UserCount = UserCount::new();

/// How much a queue holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// How mq_open(3) makes a queue that is not there.
pub(crate) struct Creation {
    pub(crate) permissions: u32,
    pub(crate) is_exclusive: bool,
    pub(crate) capacity: Option<Capacity>,
    /// RLIMIT_MSGQUEUE.
    pub(crate) user_limit: usize,
}

/// Who is to hear of the first message of an empty queue (mq_notify(3)).
pub(crate) trait Subscriber: Send + Sync {
    /// Returns whether there is still somebody.
    fn is_alive(&self) -> bool;
    /// Returns the process, and how and by which signal it hears, as numbers for the queue's text.
    fn describe(&self) -> (i32, u32, i32);
    /// A message came from this process and user.
    fn notify(&self, sender: i32, uid: u32);
}

/// A queue.
struct Queue {
    inode: u64,
    capacity: Capacity,
    owner: SpinLock<Owner>,
    state: SpinLock<State>,
    readable: Readiness,
    writable: Readiness,
    _charge: Charge,
}

struct Owner {
    permissions: u32,
    uid: u32,
    gid: u32,
    changed: i64,
}

#[derive(Default)]
struct State {
    /// In the order of receiving: higher priority first, then older.
    messages: BTreeMap<(Reverse<u32>, u64), Vec<u8>>,
    sent: u64,
    /// Receivers that sleep: then a message is theirs, and nobody is notified.
    receivers: usize,
    subscriber: Option<Arc<dyn Subscriber>>,
}

/// An open queue.
pub(crate) struct QueueFile {
    queue: Arc<Queue>,
    name: String,
}

/// Offers the file system.
pub(super) fn start() {
    kinds::register("mqueue", |_, _| Ok(VOLUME.clone()));
}

/// mq_open(3) without a leading slash: EACCES, ENOENT, EEXIST, EINVAL, EMFILE, ENOSPC.
pub(crate) fn open(
    name: &[u8], flags: StatusFlags, creation: Option<Creation>, identity: &Identity,
) -> Result<Arc<OpenFile>> {
    Errno::EACCES.when(name.contains(&b'/') || name == b"." || name == b"..")?;
    let found = QUEUES.lock().get(name).cloned();
    let queue = match (found, creation) {
        (Some(_), Some(Creation { is_exclusive: true, .. })) => return Err(Errno::EEXIST),
        (Some(queue), _) => {
            let access = match flags.bits() & 3 {
                0 => Access::READ,
                1 => Access::WRITE,
                2 => Access::READ | Access::WRITE,
                _ => return Err(Errno::EINVAL),
            };
            check_permission(identity, &*queue, access)?;
            queue
        }
        (None, None) => return Err(Errno::ENOENT),
        (None, Some(creation)) => create(name, &creation, identity)?,
    };
    Ok(OpenFile::new(QueueFile::new(queue, name), flags))
}

/// mq_unlink(3): ENOENT, EPERM.
pub(crate) fn unlink(name: &[u8], identity: &Identity) -> Result {
    let mut queues = QUEUES.lock();
    let owner = queues.get(name).ok_or(Errno::ENOENT)?.owner.lock().uid;
    Errno::EPERM.when(![0, owner].contains(&identity.fsuid) && !identity.can(Capabilities::FOWNER))?;
    let removed = queues.remove(name);
    drop(queues);
    drop(removed);
    Ok(())
}

fn create(name: &[u8], creation: &Creation, identity: &Identity) -> Result<Arc<Queue>> {
    let is_free = identity.can(Capabilities::SYS_RESOURCE);
    let capacity = match creation.capacity {
        Some(capacity) => {
            let (most_messages, most_bytes) =
                if is_free { (HARD_MAX_MESSAGES, HARD_MAX_BYTES) } else { (MAX_MESSAGES.get(), MAX_BYTES.get()) };
            Errno::EINVAL.when(
                !(1..=most_messages).contains(&capacity.messages) || !(1..=most_bytes).contains(&capacity.bytes),
            )?;
            capacity
        }
        None => Capacity {
            messages: DEFAULT_MESSAGES.get().min(MAX_MESSAGES.get()),
            bytes: DEFAULT_BYTES.get().min(MAX_BYTES.get()),
        },
    };
    let bytes = capacity.messages * (capacity.bytes + MESSAGE_OVERHEAD);
    let charge = BYTES.charge(identity.uid, bytes, creation.user_limit).ok_or(Errno::EMFILE)?;
    let owner = Owner { permissions: creation.permissions, uid: identity.fsuid, gid: identity.fsgid, changed: now() };
    let fresh = Arc::new(Queue {
        inode: crate::file::anonymous::next_inode(),
        capacity,
        owner: SpinLock::new(Rank::IpcOwner, owner),
        state: SpinLock::new(Rank::IpcObject, State::default()),
        readable: Readiness::new(),
        writable: Readiness::new(),
        _charge: charge,
    });
    let mut queues = QUEUES.lock();
    Errno::EEXIST.when(queues.contains_key(name))?;
    Errno::ENOSPC.when(queues.len() >= MAX_QUEUES.get() && !is_free)?;
    queues.insert(name.to_vec(), fresh.clone());
    Ok(fresh)
}

impl QueueFile {
    fn new(queue: Arc<Queue>, name: &[u8]) -> Arc<QueueFile> {
        Arc::new(QueueFile { queue, name: format!("/{}", String::from_utf8_lossy(name)) })
    }

    /// Returns how much it holds, and how many messages wait.
    pub(crate) fn capacity(&self) -> (Capacity, usize) {
        (self.queue.capacity, self.queue.state.lock().messages.len())
    }

    /// mq_timedsend(3) by process `sender` of user `uid`. EAGAIN, ETIMEDOUT, RESTART, ENOMEM.
    pub(crate) fn send(&self, text: Vec<u8>, priority: u32, wait: Wait, (sender, uid): (i32, u32)) -> Result {
        vm::check_budget()?;
        let queue = &self.queue;
        let mut text = Some(text);
        let subscriber = wait.sleep_on(&queue.writable, || {
            let mut state = queue.state.lock();
            Errno::EAGAIN.when(state.messages.len() >= queue.capacity.messages)?;
            let is_first = state.messages.is_empty() && state.receivers == 0;
            state.sent += 1;
            let place = (Reverse(priority), state.sent);
            state.messages.extend(text.take().map(|text| (place, text)));
            Ok(if is_first { state.subscriber.take() } else { None })
        })?;
        queue.readable.announce(Events::READABLE);
        if let Some(subscriber) = subscriber {
            subscriber.notify(sender, uid);
        }
        Ok(())
    }

    /// mq_timedreceive(3): returns a message and its priority. EAGAIN, ETIMEDOUT, RESTART.
    pub(crate) fn receive(&self, wait: Wait) -> Result<(Vec<u8>, u32)> {
        let queue = &self.queue;
        let mut is_waiting = false;
        let mut result = wait.sleep_on(&queue.readable, || {
            let mut state = queue.state.lock();
            match state.messages.pop_first() {
                Some(((Reverse(priority), _), text)) => Ok((text, priority)),
                None => {
                    state.receivers += usize::from(!is_waiting);
                    is_waiting = true;
                    Err(Errno::EAGAIN)
                }
            }
        });
        if is_waiting {
            let mut state = queue.state.lock();
            state.receivers -= 1;
            // It may have given up when a message came, of which nobody was notified because it waited.
            if result.is_err()
                && let Some(((Reverse(priority), _), text)) = state.messages.pop_first()
            {
                result = Ok((text, priority));
            }
        }
        let message = result?;
        queue.writable.announce(Events::WRITABLE);
        Ok(message)
    }

    /// mq_notify(3): EBUSY when somebody is registered.
    pub(crate) fn subscribe(&self, subscriber: Arc<dyn Subscriber>) -> Result {
        let mut state = self.queue.state.lock();
        Errno::EBUSY.when(state.subscriber.as_ref().is_some_and(|present| present.is_alive()))?;
        let before = state.subscriber.replace(subscriber);
        drop(state);
        drop(before);
        Ok(())
    }

    /// Takes back the registration of a process.
    pub(crate) fn unsubscribe(&self, process: i32) {
        let mut state = self.queue.state.lock();
        let is_own = state.subscriber.as_ref().is_some_and(|present| present.describe().0 == process);
        let before = if is_own { state.subscriber.take() } else { None };
        drop(state);
        drop(before);
    }
}

/// How long a call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) is_non_blocking: bool,
    /// The monotonic time at which it ends, if it does.
    pub(crate) deadline_ns: Option<u64>,
}

impl Wait {
    fn sleep_on<T>(self, readiness: &Readiness, attempt: impl FnMut() -> Result<T>) -> Result<T> {
        if self.is_non_blocking {
            return readiness.block_on(true, attempt);
        }
        match readiness.block_until(self.deadline_ns, attempt) {
            // The deadline is a time of a clock, so the call may begin anew.
            Err(Errno::RESTART_NO_HANDLER) => Err(Errno::RESTART),
            result => result,
        }
    }
}

impl File for QueueFile {
    /// Returns the state as text, as Linux does.
    fn read(&self, to: &mut Destination<'_>, position: &mut u64, _: StatusFlags) -> Result<usize> {
        let text = {
            let state = self.queue.state.lock();
            let bytes: usize = state.messages.values().map(Vec::len).sum();
            let subscriber = state.subscriber.as_ref().filter(|subscriber| subscriber.is_alive());
            let (process, how, signal) = subscriber.map_or((0, 0, 0), |subscriber| subscriber.describe());
            format!("QSIZE:{bytes:<10} NOTIFY:{how:<5} SIGNO:{signal:<5} NOTIFY_PID:{process:<6}\n")
        };
        let start = text.len().min(*position as usize);
        let count = to.put(&text.as_bytes()[start..])?;
        *position += count as u64;
        Ok(count)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        if let Some(observer) = observer {
            self.queue.readable.observe(observer, interest);
            self.queue.writable.observe(observer, interest);
        }
        let count = self.queue.state.lock().messages.len();
        let mut events = Events::empty();
        events.set(Events::READABLE, count > 0);
        events.set(Events::WRITABLE, count < self.queue.capacity.messages);
        events & interest
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(Inode::metadata(&*self.queue))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Inode for Queue {
    fn metadata(&self) -> Metadata {
        let owner = self.owner.lock();
        describe(self.inode, FileKind::Regular, owner.permissions, (owner.uid, owner.gid), owner.changed)
    }

    fn set_attributes(&self, change: AttributeChange) -> Result {
        let time = now();
        let mut owner = self.owner.lock();
        owner.permissions = change.permissions.unwrap_or(owner.permissions);
        owner.uid = change.uid.unwrap_or(owner.uid);
        owner.gid = change.gid.unwrap_or(owner.gid);
        owner.changed = time;
        Ok(())
    }

    fn open(self: Arc<Self>, path: &Path, _: StatusFlags, _: &Identity) -> Result<Arc<dyn File>> {
        Ok(QueueFile::new(self, &path.entry().name()))
    }
}

struct Mqueue;

impl FileSystem for Mqueue {
    fn name(&self) -> &'static str {
        "mqueue"
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(Root)
    }

    fn statistics(&self) -> FileSystemStatistics {
        FileSystemStatistics { kind: MAGIC, block_size: 4096, name_limit: 255, ..FileSystemStatistics::default() }
    }

    fn caches_names(&self) -> bool {
        false
    }
}

/// The directory.
struct Root;

impl Inode for Root {
    fn metadata(&self) -> Metadata {
        describe(1, FileKind::Directory, 0o1777, (0, 0), now())
    }

    fn look_up(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let queue = QUEUES.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        Ok(queue)
    }

    fn create(&self, name: &[u8], node: NewNode, permissions: u32, uid: u32, gid: u32) -> Result<Arc<dyn Inode>> {
        Errno::EPERM.when(!matches!(node, NewNode::Regular))?;
        let identity = Identity { uid, fsuid: uid, fsgid: gid, effective: Capabilities::empty(), ..Identity::root() };
        // Who makes a queue as a file has the usual limit.
        let creation = Creation { permissions, is_exclusive: true, capacity: None, user_limit: 819_200 };
        let queue = create(name, &creation, &identity)?;
        Ok(queue)
    }

    fn unlink(&self, name: &[u8]) -> Result {
        unlink(name, &Identity::root())
    }

    fn read_directory(&self, position: u64, visit: &mut dyn FnMut(DirectoryEntry<'_>) -> bool) -> Result {
        let entries: Vec<_> = QUEUES.lock().iter().map(|(name, queue)| (name.clone(), queue.inode)).collect();
        for (index, (name, inode)) in entries.into_iter().enumerate().skip(position as usize) {
            if !visit(DirectoryEntry { inode, kind: FileKind::Regular, name: &name, next: index as u64 + 1 }) {
                break;
            }
        }
        Ok(())
    }
}

fn describe(inode: u64, kind: FileKind, permissions: u32, (uid, gid): (u32, u32), time: i64) -> Metadata {
    Metadata { uid, gid, size: FILE_SIZE, ..Metadata::new(*DEVICE, inode, kind, permissions, time) }
}
