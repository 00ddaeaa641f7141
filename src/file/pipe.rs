//! Pipes and FIFOs (pipe(7)): a queue of pages between the open ends.
//!
//! Bytes are copied from the writer straight into pages and from pages straight to the reader, under a sleeping lock
//! because user memory may fault. What poll(2) needs is mirrored in atomics, so it takes no lock. Readers sleep on one
//! `Readiness`, writers on the other, so that neither wakes its own kind. Capacity counts pages as Linux does: a small
//! write is appended to the last page if it fits there whole, else it starts a new one.

use super::{Events, File, Metadata, Observer, Readiness, StatusFlags, anonymous};
use crate::errno::{Errno, Result};
use crate::machine::memory::{Frame, PAGE_SIZE};
use crate::machine::task::{Mutex, WaitQueue};
use crate::rank::Rank;
use crate::vm::{AddressSpace, Destination, Source, UserPtr};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Pages of a new pipe: 64 KiB (pipe(7), "Pipe capacity").
const DEFAULT_PAGES: usize = 16;

/// "Number of bytes in the input buffer" (ioctl_tty(2)); pipes answer it too.
const FIONREAD: u32 = 0x541b;

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

struct Content {
    pages: VecDeque<Page>,
    capacity: usize,
    /// A page read empty, kept for the next write.
    spare: Option<Frame>,
}

/// Some consecutive bytes in the queue.
struct Page {
    frame: Frame,
    start: usize,
    length: usize,
    kind: PageKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PageKind {
    /// Later writes may be appended.
    Growing,
    /// The frame is shared (tee(2)): nothing may be appended.
    Shared,
    /// A write in packet mode (pipe2(2), O_DIRECT): a read takes it whole.
    Packet,
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

/// Makes a pipe of `uid` and `gid`; returns its read end and its write end (pipe(2)).
pub(crate) fn new_pipe(uid: u32, gid: u32) -> (Arc<PipeEnd>, Arc<PipeEnd>) {
    let pipe = Pipe::new();
    let metadata = anonymous::pipe_metadata(uid, gid);
    pipe.add_end(true, true);
    let end = |reads| {
        let pipe = pipe.clone();
        Arc::new(PipeEnd { pipe, reads, writes: !reads, writers_seen: None, metadata, is_named: false })
    };
    (end(true), end(false))
}

/// Opens a FIFO as `flags` say: sleeps until the other side is open too (fifo(7)). ENXIO, RESTART.
pub(crate) fn open_fifo(pipe: &Arc<Pipe>, flags: StatusFlags) -> Result<Arc<PipeEnd>> {
    let (reads, writes) = match flags.bits() & 3 {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    };
    let non_blocking = flags.is_non_blocking();
    // "opening for write only returns ENXIO if nobody has opened for reading" (fifo(7))
    if writes && !reads && non_blocking && pipe.readers.load(Ordering::SeqCst) == 0 {
        return Err(Errno::ENXIO);
    }

    let reader_opens = pipe.reader_opens.load(Ordering::SeqCst);
    let writer_opens = pipe.writer_opens.load(Ordering::SeqCst);
    pipe.add_end(reads, writes);
    let lacks_writer = reads && !writes && pipe.writers.load(Ordering::SeqCst) == 0;
    let lacks_reader = writes && !reads && pipe.readers.load(Ordering::SeqCst) == 0;
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
    /// Makes an empty pipe without ends.
    pub(crate) fn new() -> Arc<Pipe> {
        let content = Content { pages: VecDeque::new(), capacity: DEFAULT_PAGES, spare: None };
        Arc::new(Pipe {
            content: Mutex::new(Rank::PipeContent, content),
            used_pages: AtomicUsize::new(0),
            capacity_pages: AtomicUsize::new(DEFAULT_PAGES),
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
            let mut content = self.content.lock();
            if content.pages.is_empty() {
                return if self.has_writers() { Err(Errno::EAGAIN) } else { Ok(0) };
            }
            let was_full = self.is_full();
            let result = content.read(to);
            self.used_pages.store(content.pages.len(), Ordering::SeqCst);
            drop(content);
            if was_full && !self.is_full() {
                self.writable.announce(Events::WRITABLE);
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
            if !self.has_readers() {
                return Err(Errno::EPIPE);
            }
            let before = done;
            let result = content.write(from, total, packets, &mut done);
            self.used_pages.store(content.pages.len(), Ordering::SeqCst);
            drop(content);
            if done > before {
                self.readable.announce(Events::READABLE);
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
        self.content.lock().pages.iter().map(|page| page.length).sum()
    }
}

impl Content {
    /// Moves bytes out until `to` is full or the queue is empty.
    fn read(&mut self, to: &mut Destination<'_>) -> Result<usize> {
        let mut done = 0;
        while to.remaining() > 0
            && let Some(page) = self.pages.front_mut()
        {
            let wanted = page.length.min(to.remaining());
            let count = match to.put_frame(&page.frame, page.start, wanted) {
                Err(_) if done > 0 => break,
                result => result?,
            };
            done += count;
            page.start += count;
            page.length -= count;
            let is_packet = page.kind == PageKind::Packet;
            if page.length == 0 || is_packet {
                self.pop();
            }
            if count < wanted || is_packet {
                break;
            }
        }
        Ok(done)
    }

    /// Takes the first page away, keeping its frame for the next write if nobody else has it.
    fn pop(&mut self) {
        if let Some(page) = self.pages.pop_front()
            && page.kind != PageKind::Shared
            && page.frame.references() == 1
        {
            self.spare = Some(page.frame);
        }
    }

    /// Takes the rest of the `total` bytes in, counting them in `done`; EAGAIN when there is no room for more now.
    fn write(&mut self, from: &mut Source<'_>, total: usize, packets: bool, done: &mut usize) -> Result {
        if *done == 0 && !packets {
            self.append(from, total, done)?;
        }
        while *done < total {
            if self.pages.len() >= self.capacity {
                return Err(Errno::EAGAIN);
            }
            let frame = match self.spare.take() {
                Some(frame) => frame,
                None => Frame::zeroed()?,
            };
            let wanted = (total - *done).min(PAGE_SIZE);
            let length = from.take_to_frame(&frame, 0, wanted)?;
            if length > 0 {
                *done += length;
                let kind = if packets { PageKind::Packet } else { PageKind::Growing };
                self.pages.push_back(Page { frame, start: 0, length, kind });
            }
            if length < wanted {
                return Err(Errno::EFAULT);
            }
        }
        Ok(())
    }

    /// Appends what does not fill a page to the last page if it fits there whole: so small writes share pages, and
    /// writes up to PIPE_BUF stay atomic.
    fn append(&mut self, from: &mut Source<'_>, total: usize, done: &mut usize) -> Result {
        let odd = total % PAGE_SIZE;
        let Some(page) = self.pages.back_mut() else { return Ok(()) };
        let end = page.start + page.length;
        if odd == 0 || page.kind != PageKind::Growing || end + odd > PAGE_SIZE {
            return Ok(());
        }
        let count = from.take_to_frame(&page.frame, end, odd)?;
        page.length += count;
        *done += count;
        if count < odd { Err(Errno::EFAULT) } else { Ok(()) }
    }
}

impl PipeEnd {
    /// Returns the pipe, to tell whether two ends belong together.
    pub(crate) fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Opens the same pipe once more, as opening /proc/PID/fd/N does: like a FIFO. ENXIO, RESTART.
    pub(crate) fn reopen(&self, flags: StatusFlags) -> Result<Arc<PipeEnd>> {
        let mut end = open_fifo(&self.pipe, flags)?;
        if let Some(end) = Arc::get_mut(&mut end) {
            end.metadata = self.metadata;
            end.is_named = self.is_named;
        }
        Ok(end)
    }

    /// Returns the capacity in bytes (fcntl(2), F_GETPIPE_SZ).
    pub(crate) fn capacity(&self) -> usize {
        self.pipe.capacity_pages.load(Ordering::SeqCst) * PAGE_SIZE
    }

    /// Sets the capacity, a multiple of the page size (fcntl(2), F_SETPIPE_SZ). EBUSY if more is in use.
    pub(crate) fn set_capacity(&self, bytes: usize) -> Result {
        let pages = bytes / PAGE_SIZE;
        let mut content = self.pipe.content.lock();
        if content.pages.len() > pages {
            return Err(Errno::EBUSY);
        }
        content.capacity = pages;
        self.pipe.capacity_pages.store(pages, Ordering::SeqCst);
        drop(content);
        self.pipe.writable.announce(Events::WRITABLE);
        Ok(())
    }

    /// Duplicates up to `length` bytes of this pipe into `other` without taking them out (tee(2)); returns how many.
    /// EAGAIN when nothing is there, or `other` is full.
    pub(crate) fn tee(&self, other: &PipeEnd, length: usize, non_blocking: bool) -> Result<usize> {
        if !self.pipe.has_readers() || !other.pipe.has_readers() {
            return Err(Errno::EPIPE);
        }
        let mut pages = self.pipe.readable.block_on(non_blocking, || {
            let mut content = self.pipe.content.lock();
            match content.pages.is_empty() {
                true if self.pipe.has_writers() => Err(Errno::EAGAIN),
                _ => Ok(content.share(length)),
            }
        })?;
        if pages.is_empty() {
            return Ok(0);
        }
        other.pipe.writable.block_on(non_blocking, || {
            if !other.pipe.has_readers() {
                return Err(Errno::EPIPE);
            }
            let mut content = other.pipe.content.lock();
            let mut done = 0;
            while content.pages.len() < content.capacity
                && let Some(page) = pages.pop_front()
            {
                done += page.length;
                content.pages.push_back(page);
            }
            other.pipe.used_pages.store(content.pages.len(), Ordering::SeqCst);
            drop(content);
            if done == 0 {
                return Err(Errno::EAGAIN);
            }
            other.pipe.readable.announce(Events::READABLE);
            Ok(done)
        })
    }
}

impl PipeEnd {
    /// Passes up to `length` bytes to `sink`, page by page, and takes out what it accepted (splice(2)); returns how many.
    /// Sleeps only until there is something. `sink` may sleep.
    pub(crate) fn drain(
        &self,
        length: usize,
        non_blocking: bool,
        mut sink: impl FnMut(&Frame, usize, usize) -> Result<usize>,
    ) -> Result<usize> {
        let mut taken = self.pipe.readable.block_on(non_blocking, || {
            let mut content = self.pipe.content.lock();
            if content.pages.is_empty() && self.pipe.has_writers() {
                return Err(Errno::EAGAIN);
            }
            let taken = content.take(length);
            self.pipe.used_pages.store(content.pages.len(), Ordering::SeqCst);
            Ok(taken)
        })?;

        let mut done = 0;
        let mut result = Ok(());
        while let Some(page) = taken.front_mut() {
            match sink(&page.frame, page.start, page.length) {
                Ok(count) if count == page.length => {
                    done += count;
                    taken.pop_front();
                }
                Ok(count) => {
                    done += count;
                    page.start += count;
                    page.length -= count;
                    break;
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if !taken.is_empty() {
            let mut content = self.pipe.content.lock();
            taken.append(&mut content.pages);
            content.pages = taken;
            self.pipe.used_pages.store(content.pages.len(), Ordering::SeqCst);
            drop(content);
            self.pipe.readable.announce(Events::READABLE);
        }
        if done > 0 {
            self.pipe.writable.announce(Events::WRITABLE);
            return Ok(done);
        }
        result.map(|()| 0)
    }

    /// Sleeps until a page is free; returns how many bytes the free pages take. EPIPE without readers.
    pub(crate) fn wait_for_room(&self, non_blocking: bool) -> Result<usize> {
        self.pipe.writable.block_on(non_blocking, || {
            if !self.pipe.has_readers() {
                return Err(Errno::EPIPE);
            }
            let capacity = self.pipe.capacity_pages.load(Ordering::SeqCst);
            match capacity.saturating_sub(self.pipe.used_pages.load(Ordering::SeqCst)) {
                0 => Err(Errno::EAGAIN),
                pages => Ok(pages * PAGE_SIZE),
            }
        })
    }
}

impl Content {
    /// Takes the first `length` bytes out.
    fn take(&mut self, length: usize) -> VecDeque<Page> {
        let taken = self.share(length);
        let mut left = length;
        while left > 0
            && let Some(page) = self.pages.front_mut()
        {
            let count = page.length.min(left);
            left -= count;
            page.start += count;
            page.length -= count;
            if page.length == 0 {
                self.pages.pop_front();
            }
        }
        taken
    }

    /// Returns the first `length` bytes as pages that share their frames with the queue.
    fn share(&mut self, length: usize) -> VecDeque<Page> {
        let mut left = length;
        let mut shared = VecDeque::new();
        for page in &mut self.pages {
            page.kind = PageKind::Shared;
            let length = page.length.min(left);
            left -= length;
            shared.push_back(Page { frame: page.frame.clone(), start: page.start, length, kind: PageKind::Shared });
            if left == 0 {
                break;
            }
        }
        shared
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
        if self.is_named && !pipe.has_readers() && !pipe.has_writers() {
            let mut content = pipe.content.lock();
            content.pages.clear();
            pipe.used_pages.store(0, Ordering::SeqCst);
        }
    }
}
