//! inotify(7): watches on inodes, and the queue of what happened to them.
//!
//! A watch keeps its inode, not a name: names are told by the directory cache entry through which something happened.
//! `BY_INODE` finds the watches of an inode; an instance's `State` has them by number. Both change together, with
//! `BY_INODE` locked first; events are queued with only the instance locked.

use super::{Dentry, Inode, Path};
use crate::errno::{Errno, Result};
use crate::file::notice::{self, Notice, Place};
use crate::file::{Charge, DeviceNumber, Events, File, Metadata, Observer, Readiness, StatusFlags, UserCount};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use crate::util::tunable::Tunable;
use crate::vm::{self, AddressSpace, Destination, UserPtr};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general::inotify_event;
use linux_raw_sys::ioctl::FIONREAD;

/// /proc/sys/fs/inotify: the longest queue, and how many instances and watches a user may have.
pub(crate) static MAX_QUEUED_EVENTS: Tunable = Tunable::new(16384, 0, i32::MAX as usize);
pub(crate) static MAX_USER_INSTANCES: Tunable = Tunable::new(128, 0, i32::MAX as usize);
pub(crate) static MAX_USER_WATCHES: Tunable = Tunable::new(65536, 0, i32::MAX as usize);

static INSTANCES: UserCount = UserCount::new();
static WATCHES: UserCount = UserCount::new();

/// All watches, by the address of the inode.
static BY_INODE: SpinLock<BTreeMap<usize, Vec<Arc<Watch>>>> = SpinLock::new(Rank::Watches, BTreeMap::new());

/// An inotify instance.
pub(crate) struct Inotify {
    this: Weak<Inotify>,
    uid: u32,
    state: SpinLock<State>,
    readiness: Readiness,
    _charge: Charge,
}

struct State {
    watches: BTreeMap<i32, Arc<Watch>>,
    /// The number given last: numbers are not used again before all others were (inotify(7), BUGS).
    last: i32,
    events: VecDeque<Event>,
}

/// One instance's watch on one inode.
struct Watch {
    number: i32,
    inotify: Weak<Inotify>,
    inode: Arc<dyn Inode>,
    mask: AtomicU32,
    _charge: Charge,
}

#[derive(PartialEq, Eq)]
struct Event {
    watch: i32,
    notice: Notice,
    cookie: u32,
    name: Box<[u8]>,
}

impl Event {
    /// Returns the size as read(2) gives it: the name is padded so that the next event is aligned.
    fn length(&self) -> usize {
        let header = size_of::<inotify_event>();
        if self.name.is_empty() { header } else { header + (self.name.len() + 1).next_multiple_of(header) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let name_length = self.length() - size_of::<inotify_event>();
        let header = [self.watch as u32, self.notice.bits(), self.cookie, name_length as u32];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend_from_slice(&self.name);
        bytes.resize(self.length(), 0);
        bytes
    }
}

impl Inotify {
    /// Makes an instance of a user's that watches nothing. EMFILE when the user has too many.
    pub(crate) fn new(uid: u32) -> Result<Arc<Inotify>> {
        let charge = INSTANCES.charge(uid, 1, MAX_USER_INSTANCES.get()).ok_or(Errno::EMFILE)?;
        let state = State { watches: BTreeMap::new(), last: 0, events: VecDeque::new() };
        Ok(Arc::new_cyclic(|this| Inotify {
            this: this.clone(),
            uid,
            state: SpinLock::new(Rank::Stream, state),
            readiness: Readiness::new(),
            _charge: charge,
        }))
    }

    /// Watches `path`'s inode, or changes the watch that it has; returns the number. EEXIST with MASK_CREATE, ENOSPC.
    pub(crate) fn watch(&self, path: &Path, mask: Notice) -> Result<i32> {
        let inode = path.inode();
        let events = mask & !(Notice::MASK_ADD | Notice::MASK_CREATE | Notice::ONLY_DIRECTORY | Notice::DO_NOT_FOLLOW);
        let fresh = WATCHES.charge(self.uid, 1, MAX_USER_WATCHES.get());
        let mut by_inode = BY_INODE.lock();
        let watches = by_inode.entry(address_of(&inode)).or_default();
        if let Some(watch) = watches.iter().find(|watch| watch.is_of(self)) {
            Errno::EEXIST.when(mask.contains(Notice::MASK_CREATE))?;
            let kept = if mask.contains(Notice::MASK_ADD) { watch.mask.load(Ordering::Relaxed) } else { 0 };
            watch.mask.store(kept | events.bits(), Ordering::Relaxed);
            return Ok(watch.number);
        }

        let Some(charge) = fresh else {
            by_inode.retain(|_, watches| !watches.is_empty());
            return Err(Errno::ENOSPC);
        };
        let mut state = self.state.lock();
        let number = state.free_number();
        let mask = AtomicU32::new(events.bits());
        let watch = Arc::new(Watch { number, inotify: self.this.clone(), inode, mask, _charge: charge });
        watches.push(watch.clone());
        state.watches.insert(number, watch);
        drop(state);
        notice::set_watch_count(by_inode.len());
        Ok(number)
    }

    /// Ends a watch (inotify_rm_watch(2)). EINVAL.
    pub(crate) fn remove(&self, number: i32) -> Result {
        let watch = self.state.lock().watches.get(&number).cloned().ok_or(Errno::EINVAL)?;
        self.end(&watch);
        Ok(())
    }

    /// Ends a watch, if nobody did before, and tells so.
    fn end(&self, watch: &Arc<Watch>) {
        let removed = {
            let mut by_inode = BY_INODE.lock();
            forget(&mut by_inode, watch);
            self.state.lock().watches.remove(&watch.number)
        };
        if removed.is_some() {
            self.queue(Event { watch: watch.number, notice: Notice::IGNORED, cookie: 0, name: Box::default() });
        }
    }

    /// Adds an event unless the last one is the same (inotify(7), "Limitations"); drops it where the queue, or memory, is
    /// full, and says so once.
    fn queue(&self, event: Event) {
        let mut event = event;
        let mut state = self.state.lock();
        let events = &mut state.events;
        let has_room = events.len() < MAX_QUEUED_EVENTS.get() && vm::check_budget().is_ok();
        if !has_room {
            event = Event { watch: -1, notice: Notice::OVERFLOW, cookie: 0, name: Box::default() };
        }
        let is_repeated = events.back().is_some_and(|last| {
            last.watch == event.watch
                && last.notice == event.notice
                && last.name == event.name
                && last.notice != Notice::IGNORED
        });
        if is_repeated || events.try_reserve(1).is_err() {
            return;
        }
        events.push_back(event);
        drop(state);
        self.readiness.announce(Events::READABLE);
    }

    /// Takes the first event if it fits into `room` bytes. EAGAIN, EINVAL.
    fn take(&self, room: usize) -> Result<Event> {
        let mut state = self.state.lock();
        let first = state.events.front().ok_or(Errno::EAGAIN)?;
        Errno::EINVAL.when(first.length() > room)?;
        state.events.pop_front().ok_or(Errno::EAGAIN)
    }
}

impl State {
    fn free_number(&mut self) -> i32 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.watches.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

impl Watch {
    fn is_of(&self, inotify: &Inotify) -> bool {
        core::ptr::eq(self.inotify.as_ptr(), inotify)
    }

    /// Queues an event if it is one that the watch wants.
    fn tell(self: &Arc<Self>, notice: Notice, name: &[u8], cookie: u32) {
        let mask = Notice::from_bits_retain(self.mask.load(Ordering::Relaxed));
        if !(mask | Notice::UNMOUNT).intersects(notice - Notice::DIRECTORY) {
            return;
        }
        let Some(inotify) = self.inotify.upgrade() else { return };
        inotify.queue(Event { watch: self.number, notice, cookie, name: name.into() });
        if mask.contains(Notice::ONE_SHOT) {
            inotify.end(self);
        }
    }
}

fn address_of(inode: &Arc<dyn Inode>) -> usize {
    Arc::as_ptr(inode).cast::<()>().addr()
}

fn forget(by_inode: &mut BTreeMap<usize, Vec<Arc<Watch>>>, watch: &Arc<Watch>) {
    let address = address_of(&watch.inode);
    if let Some(watches) = by_inode.get_mut(&address) {
        watches.retain(|other| !Arc::ptr_eq(other, watch));
        if watches.is_empty() {
            by_inode.remove(&address);
        }
    }
    notice::set_watch_count(by_inode.len());
}

/// Returns the watches of an inode.
fn watches_of(inode: &Arc<dyn Inode>) -> Vec<Arc<Watch>> {
    if !notice::is_anybody_watching() {
        return Vec::new();
    }
    BY_INODE.lock().get(&address_of(inode)).cloned().unwrap_or_default()
}

/// Tells who watches the inode itself.
pub(super) fn tell_of(inode: &Arc<dyn Inode>, notice: Notice) {
    for watch in watches_of(inode) {
        watch.tell(notice, &[], 0);
    }
}

/// Tells who watches the directory of something that happened to its entry `name`.
pub(super) fn tell_in(directory: &Dentry, name: &[u8], notice: Notice, cookie: u32) {
    for watch in watches_of(directory.inode()) {
        watch.tell(notice, name, cookie);
    }
}

/// Adds to a notice whether it is about a directory.
pub(super) fn with_kind(entry: &Dentry, notice: Notice) -> Notice {
    if entry.is_directory() { notice | Notice::DIRECTORY } else { notice }
}

/// Tells of a rename; the two events of one have the same cookie.
pub(super) fn tell_rename(old: &Dentry, old_name: &[u8], new: &Dentry, new_name: &[u8], entry: &Dentry) {
    static COOKIE: AtomicU32 = AtomicU32::new(1);
    if notice::is_anybody_watching() {
        let cookie = COOKIE.fetch_add(1, Ordering::Relaxed);
        tell_in(old, old_name, with_kind(entry, Notice::MOVED_FROM), cookie);
        tell_in(new, new_name, with_kind(entry, Notice::MOVED_TO), cookie);
        tell_of(entry.inode(), Notice::MOVE_SELF);
    }
}

/// Tells that an inode is gone for good, and ends its watches.
pub(super) fn tell_gone(inode: &Arc<dyn Inode>, notice: Notice) {
    for watch in watches_of(inode) {
        watch.tell(notice, &[], 0);
        if let Some(inotify) = watch.inotify.upgrade() {
            inotify.end(&watch);
        }
    }
}

/// Tells that a file system is not mounted any more, and ends the watches on its files.
pub(super) fn tell_unmounted(device: DeviceNumber) {
    if !notice::is_anybody_watching() {
        return;
    }
    let inodes =
        BY_INODE.walk(|watches| watches.first().map(|watch| watch.inode.clone())).filter_map(|(_, inode)| inode);
    for inode in inodes.filter(|inode| inode.metadata().device == device) {
        tell_gone(&inode, Notice::UNMOUNT);
    }
}

impl Place for Path {
    /// Tells who watches the directory above, and who watches the file.
    fn tell(&self, notice: Notice) {
        if !notice::is_anybody_watching() {
            return;
        }
        let entry = self.entry();
        if let (Some(parent), name) = entry.parent_and_name() {
            for watch in watches_of(parent.inode()) {
                let mask = Notice::from_bits_retain(watch.mask.load(Ordering::Relaxed));
                if !(mask.contains(Notice::EXCLUDE_UNLINKED) && entry.is_removed()) {
                    watch.tell(with_kind(entry, notice), &name, 0);
                }
            }
        }
        tell_of(entry.inode(), with_kind(entry, notice));
    }
}

impl File for Inotify {
    fn read(&self, to: &mut Destination<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        let first = self.readiness.block_on(flags.is_non_blocking(), || self.take(to.remaining()))?;
        let mut count = to.put(&first.to_bytes())?;
        while let Ok(event) = self.take(to.remaining()) {
            count += to.put(&event.to_bytes())?;
        }
        Ok(count)
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        if let Some(observer) = observer {
            self.readiness.observe(observer, interest);
        }
        if self.state.lock().events.is_empty() { Events::empty() } else { interest & Events::READABLE }
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn ioctl(&self, space: &AddressSpace, request: u32, argument: u64) -> Result<usize> {
        Errno::ENOTTY.when(request != FIONREAD)?;
        let length: usize = self.state.lock().events.iter().map(Event::length).sum();
        UserPtr::<i32>::new(space, argument).write(&(length as i32)).map(|()| 0)
    }

    fn name(&self) -> String {
        String::from("anon_inode:inotify")
    }

    fn details(&self) -> String {
        let watches: Vec<_> = self.state.lock().watches.values().cloned().collect();
        let line = |watch: &Arc<Watch>| {
            let Metadata { inode, device, .. } = watch.inode.metadata();
            let mask = watch.mask.load(Ordering::Relaxed) & raw_events();
            let device = device.major << 20 | device.minor;
            format!("inotify wd:{:x} ino:{inode:x} sdev:{device:x} mask:{mask:x} ignored_mask:0 \n", watch.number)
        };
        watches.iter().map(line).collect()
    }
}

/// The bits of a mask that are events, as /proc/PID/fdinfo shows them.
fn raw_events() -> u32 {
    linux_raw_sys::general::IN_ALL_EVENTS
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watches = core::mem::take(&mut self.state.lock().watches);
        let mut by_inode = BY_INODE.lock();
        watches.values().for_each(|watch| forget(&mut by_inode, watch));
        // The watches, and maybe the last users of their inodes, go after the lock.
        drop(by_inode);
    }
}
