//! Pipes and FIFOs (pipe(7)): a queue of pages between the open ends.
//!
//! Bytes are copied from the writer straight into pages and from pages straight to the reader, under a sleeping lock
//! because user memory may fault. What poll(2) needs is mirrored in atomics, so it takes no lock. Readers sleep on one
//! `Readiness`, writers on the other, so that neither wakes its own kind. Capacity counts pages as Linux does: a small
//! write is appended to the last page if it fits there whole, else it starts a new one.
use linux_raw_sys::ioctl::FIONREAD;

/// The queue of pages.
mod content;

/// splice(2) and tee(2).
mod splice;

use self::content::Content;
use super::{Events, File, Metadata, Observer, Readiness, StatusFlags, UserCount, anonymous};
use crate::errno::{Errno, Result};
use crate::machine::memory::PAGE_SIZE;
use crate::machine::task::{Mutex, WaitQueue};
use crate::rank::Rank;
use crate::vm::{AddressSpace, Destination, Source, UserPtr};
use alloc::{format, string::String, sync::Arc};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Pages of a new pipe: 64 KiB (pipe(7), "Pipe capacity").
const DEFAULT_PAGES: usize = 16;

/// Pages of a new pipe whose owner has pipes enough ("pipe-user-pages-soft", pipe(7)).
const LEAST_PAGES: usize = 2;

/// How many pages the pipes of one user may have together; more only with CAP_SYS_RESOURCE or CAP_SYS_ADMIN.
pub(crate) const USER_PAGES_SOFT: usize = 16384;

/// The capacity of each user's pipes, in pages.
static USER_PAGES: UserCount = UserCount::new();

/// Who makes a pipe, and how many pages that user's pipes may have.
#[derive(Clone, Copy)]
pub(crate) struct PipeOwner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whose limit counts: the real user.
    pub(crate) charged_uid: u32,
    pub(crate) limit_pages: usize,
}

/// A pipe: what its ends share. A FIFO's inode keeps one.
pub(crate) struct Pipe {
    content: Mutex<Content>,
    /// Mirrors of `content` for poll.
    used_pages: AtomicUsize,
    capacity_pages: AtomicUsize,
    /// Open ends now.
    readers: AtomicUsize,
    writers: AtomicUsize,
    /// Opens ever, by which a FIFO's opener sees that a partner came, even if it left again.
    reader_opens: AtomicUsize,
    writer_opens: AtomicUsize,
    readable: Readiness,
    writable: Readiness,
    openers: WaitQueue,
}

/// An open end of a pipe; both ends at once for a FIFO opened O_RDWR.
pub(crate) struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// The writers' count as of a non-blocking open: no hang-up is reported before another writer came.
    writers_seen: Option<usize>,
    /// What fstat(2) shows; of a FIFO, who opened it shows the inode's instead.
    metadata: Metadata,
    is_named: bool,
}

/// Makes a pipe; returns its read end and its write end (pipe(2)).
pub(crate) fn new_pipe(owner: PipeOwner) -> (Arc<PipeEnd>, Arc<PipeEnd>) {
    let pipe = Pipe::new(owner);
    let metadata = anonymous::pipe_metadata(owner.uid, owner.gid);
    pipe.add_end(true, true);
    let end = |reads| {
        let pipe = pipe.clone();
        Arc::new(PipeEnd { pipe, reads, writes: !reads, writers_seen: None, metadata, is_named: false })
    };
    (end(true), end(false))
}

/// Returns whether `flags` open for reading, and whether for writing.
fn sides(flags: StatusFlags) -> (bool, bool) {
    match flags.bits() & 3 {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    }
}

/// Opens a FIFO as `flags` say: sleeps until the other side is open too (fifo(7)). ENXIO, RESTART.
pub(crate) fn open_fifo(pipe: &Arc<Pipe>, flags: StatusFlags) -> Result<Arc<PipeEnd>> {
    let (reads, writes) = sides(flags);
    let non_blocking = flags.is_non_blocking();
    // "opening for write only returns ENXIO if nobody has opened for reading" (fifo(7))
    Errno::ENXIO.when(writes && !reads && non_blocking && pipe.readers.load(Ordering::SeqCst) == 0)?;

    let reader_opens = pipe.reader_opens.load(Ordering::SeqCst);
    let writer_opens = pipe.writer_opens.load(Ordering::SeqCst);
    // Before this end wakes the other side, which may come, do its work and be gone at once.
    let lacks_writer = reads && !writes && pipe.writers.load(Ordering::SeqCst) == 0;
    let lacks_reader = writes && !reads && pipe.readers.load(Ordering::SeqCst) == 0;
    pipe.add_end(reads, writes);
    // Made before the sleep: dropping it takes the end away again.
    let end = Arc::new(PipeEnd {
        pipe: pipe.clone(),
        reads,
        writes,
        writers_seen: (lacks_writer && non_blocking).then_some(writer_opens),
        metadata: anonymous::pipe_metadata(0, 0),
        is_named: true,
    });
    if !non_blocking && lacks_writer {
        pipe.openers.wait_interruptible(|| pipe.came(&pipe.writer_opens, writer_opens))?;
    }
    if !non_blocking && lacks_reader {
        pipe.openers.wait_interruptible(|| pipe.came(&pipe.reader_opens, reader_opens))?;
    }
    Ok(end)
}

impl Pipe {
    /// Makes an empty pipe without ends: a small one where its owner has pipes enough.
    pub(crate) fn new(owner: PipeOwner) -> Arc<Pipe> {
        let uid = owner.charged_uid;
        let (pages, charge) = match USER_PAGES.charge(uid, DEFAULT_PAGES, owner.limit_pages) {
            Some(charge) => (DEFAULT_PAGES, Some(charge)),
            None => (LEAST_PAGES, USER_PAGES.charge(uid, LEAST_PAGES, usize::MAX)),
        };
        Arc::new(Pipe {
            content: Mutex::new(Rank::PipeContent, Content::new(pages, charge)),
            used_pages: AtomicUsize::new(0),
            capacity_pages: AtomicUsize::new(pages),
            readers: AtomicUsize::new(0),
            writers: AtomicUsize::new(0),
            reader_opens: AtomicUsize::new(0),
            writer_opens: AtomicUsize::new(0),
            readable: Readiness::new(),
            writable: Readiness::new(),
            openers: WaitQueue::new(),
        })
    }

    fn came(&self, opens: &AtomicUsize, before: usize) -> Option<()> {
        (opens.load(Ordering::SeqCst) != before).then_some(())
    }

    fn add_end(&self, reads: bool, writes: bool) {
        if reads {
            self.readers.fetch_add(1, Ordering::SeqCst);
            self.reader_opens.fetch_add(1, Ordering::SeqCst);
        }
        if writes {
            self.writers.fetch_add(1, Ordering::SeqCst);
            self.writer_opens.fetch_add(1, Ordering::SeqCst);
        }
        self.openers.wake_all();
    }

    fn has_readers(&self) -> bool {
        self.readers.load(Ordering::SeqCst) > 0
    }

    fn has_writers(&self) -> bool {
        self.writers.load(Ordering::SeqCst) > 0
    }

    fn is_full(&self) -> bool {
        self.used_pages.load(Ordering::SeqCst) >= self.capacity_pages.load(Ordering::SeqCst)
    }

    fn read(&self, to: &mut Destination<'_>, non_blocking: bool) -> Result<usize> {
        if to.remaining() == 0 {
            return Ok(0);
        }
        self.readable.block_on(non_blocking, || {
            // Most who have to sleep need not lock for that. The writers first: what the last one left is seen then.
            Errno::EAGAIN.when(self.has_writers() && self.used_pages.load(Ordering::SeqCst) == 0)?;
            let mut content = self.content.lock();
            if content.pages.is_empty() {
                return if self.has_writers() { Err(Errno::EAGAIN) } else { Ok(0) };
            }
            let was_full = self.is_full();
            let result = content.read(to);
            self.used_pages.store(content.pages.len(), Ordering::SeqCst);
            let is_empty = content.pages.is_empty();
            drop(content);
            if was_full && !self.is_full() {
                self.writable.announce_to_one(Events::WRITABLE);
            }
            if !is_empty {
                self.readable.wake_another();
            }
            result
        })
    }

    fn write(&self, from: &mut Source<'_>, flags: StatusFlags) -> Result<usize> {
        let total = from.remaining();
        if total == 0 {
            return Ok(0);
        }
        let packets = flags.contains(StatusFlags::DIRECT);
        let mut done = 0;
        let result = self.writable.block_on(flags.is_non_blocking(), || {
            let mut content = self.content.lock();
            Errno::EPIPE.when(!self.has_readers())?;
            let before = done;
            let result = content.write(from, total, packets, &mut done);
            self.used_pages.store(content.pages.len(), Ordering::SeqCst);
            drop(content);
            if done > before {
                self.readable.announce_to_one(Events::READABLE);
            }
            if !self.is_full() {
                self.writable.wake_another();
            }
            result
        });
        match result {
            Err(_) if done > 0 => Ok(done),
            Err(error) => Err(error),
            Ok(()) => Ok(done),
        }
    }

    /// Returns how many bytes wait.
    fn length(&self) -> usize {
        self.content.lock().length()
    }
}

impl PipeEnd {
    /// Returns the pipe, to tell whether two ends belong together.
    pub(crate) fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Opens the same pipe once more, as opening /proc/PID/fd/N does. One without a name had both sides from the
    /// start, so nobody waits for the other, even if that has gone; a FIFO's is opened as such. ENXIO, RESTART.
    pub(crate) fn reopen(&self, flags: StatusFlags) -> Result<Arc<PipeEnd>> {
        if self.is_named {
            return open_fifo(&self.pipe, flags);
        }
        let (reads, writes) = sides(flags);
        self.pipe.add_end(reads, writes);
        let pipe = self.pipe.clone();
        Ok(Arc::new(PipeEnd { pipe, reads, writes, writers_seen: None, metadata: self.metadata, is_named: false }))
    }

    /// Returns the capacity in bytes (fcntl(2), F_GETPIPE_SZ).
    pub(crate) fn capacity(&self) -> usize {
        self.pipe.capacity_pages.load(Ordering::SeqCst) * PAGE_SIZE
    }

    /// Sets the capacity, a multiple of the page size (fcntl(2), F_SETPIPE_SZ). EPERM if the owner's pipes would have
    /// more than `limit_pages`, EBUSY if more is in use.
    pub(crate) fn set_capacity(&self, bytes: usize, limit_pages: usize) -> Result {
        let pages = bytes / PAGE_SIZE;
        let mut content = self.pipe.content.lock();
        Errno::EBUSY.when(content.pages.len() > pages)?;
        if let Some(charge) = &mut content.charge {
            charge.change(pages, limit_pages).ok_or(Errno::EPERM)?;
        }
        content.capacity = pages;
        self.pipe.capacity_pages.store(pages, Ordering::SeqCst);
        drop(content);
        self.pipe.writable.announce(Events::WRITABLE);
        Ok(())
    }
}

impl File for PipeEnd {
    fn read(&self, to: &mut Destination<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        self.pipe.read(to, flags.is_non_blocking())
    }

    fn write(&self, from: &mut Source<'_>, _: &mut u64, flags: StatusFlags) -> Result<usize> {
        self.pipe.write(from, flags)
    }

    fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>) -> Events {
        if let Some(observer) = observer {
            if self.reads {
                self.pipe.readable.observe(observer, interest);
            }
            if self.writes {
                self.pipe.writable.observe(observer, interest);
            }
        }

        let mut events = Events::empty();
        if self.reads {
            if self.pipe.used_pages.load(Ordering::SeqCst) > 0 {
                events |= Events::READABLE;
            }
            let is_new_to_writers = self.writers_seen == Some(self.pipe.writer_opens.load(Ordering::SeqCst));
            if !self.pipe.has_writers() && !is_new_to_writers {
                events |= Events::HANG_UP;
            }
        }
        if self.writes {
            if !self.pipe.is_full() {
                events |= Events::WRITABLE;
            }
            if !self.pipe.has_readers() {
                events |= Events::ERROR;
            }
        }
        events & (interest | Events::ALWAYS)
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn ioctl(&self, space: &AddressSpace, request: u32, argument: u64) -> Result<usize> {
        match request {
            FIONREAD => UserPtr::<i32>::new(space, argument).write(&(self.pipe.length() as i32)).map(|()| 0),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.metadata)
    }

    fn name(&self) -> String {
        format!("pipe:[{}]", self.metadata.inode)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let pipe = &self.pipe;
        if self.reads && pipe.readers.fetch_sub(1, Ordering::SeqCst) == 1 {
            pipe.writable.announce(Events::WRITABLE | Events::ERROR);
        }
        if self.writes && pipe.writers.fetch_sub(1, Ordering::SeqCst) == 1 {
            pipe.readable.announce(Events::READABLE | Events::HANG_UP);
        }
        // A FIFO forgets what nobody read when its last end closes; a pipe is gone then anyway.
        if self.is_named {
            // Locked before the look: who opens it after that writes after this.
            let mut content = pipe.content.lock();
            if !pipe.has_readers() && !pipe.has_writers() {
                content.pages.clear();
                pipe.used_pages.store(0, Ordering::SeqCst);
            }
        }
    }
}
