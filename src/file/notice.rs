//! What watchers hear of files (inotify(7)). Open files tell how they are used; the room that found a file by its name
//! knows who watches it. While nobody watches anything, all this costs one look at a flag.

use bitflags::bitflags;
use core::any::Any;
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

bitflags! {
    /// Events and flags, as inotify(7) numbers them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Notice: u32 {
        const ACCESS = raw::IN_ACCESS;
        const MODIFY = raw::IN_MODIFY;
        const ATTRIBUTES = raw::IN_ATTRIB;
        const CLOSE_WRITE = raw::IN_CLOSE_WRITE;
        const CLOSE = raw::IN_CLOSE_NOWRITE;
        const OPEN = raw::IN_OPEN;
        const MOVED_FROM = raw::IN_MOVED_FROM;
        const MOVED_TO = raw::IN_MOVED_TO;
        const CREATE = raw::IN_CREATE;
        const DELETE = raw::IN_DELETE;
        const DELETE_SELF = raw::IN_DELETE_SELF;
        const MOVE_SELF = raw::IN_MOVE_SELF;
        const UNMOUNT = raw::IN_UNMOUNT;
        const OVERFLOW = raw::IN_Q_OVERFLOW;
        const IGNORED = raw::IN_IGNORED;
        const ONLY_DIRECTORY = raw::IN_ONLYDIR;
        const DO_NOT_FOLLOW = raw::IN_DONT_FOLLOW;
        const EXCLUDE_UNLINKED = raw::IN_EXCL_UNLINK;
        const MASK_CREATE = raw::IN_MASK_CREATE;
        const MASK_ADD = raw::IN_MASK_ADD;
        const DIRECTORY = raw::IN_ISDIR;
        const ONE_SHOT = raw::IN_ONESHOT;
    }
}

/// Where a file was found, as the room that opened it keeps it.
pub(crate) trait Place: Any + Send + Sync {
    /// Tells who watches the place.
    fn tell(&self, notice: Notice);
}

static WATCHES: AtomicUsize = AtomicUsize::new(0);

/// Returns whether anybody watches any file.
pub(crate) fn is_anybody_watching() -> bool {
    WATCHES.load(Ordering::Relaxed) != 0
}

/// Sets how many watches there are.
pub(crate) fn set_watch_count(count: usize) {
    WATCHES.store(count, Ordering::Relaxed);
}
