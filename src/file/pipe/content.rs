//! The queue of a pipe: pages of bytes, copied in from a writer and out to a reader, or shared and moved whole.
//!
//! All methods are called under the pipe's sleeping lock, because the copies may fault.

use crate::errno::{Errno, Result};
use crate::file::Charge;
use crate::machine::memory::{Frame, PAGE_SIZE};
use crate::vm::{Destination, Source};
use alloc::collections::VecDeque;

/// Bytes in order, in at most `capacity` pages.
pub(super) struct Content {
    pub(super) pages: VecDeque<Page>,
    pub(super) capacity: usize,
    /// The capacity as its owner's share.
    pub(super) charge: Option<Charge>,
    /// A page read empty, kept for the next write.
    spare: Option<Frame>,
}

/// Some consecutive bytes in the queue.
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) start: usize,
    pub(super) length: usize,
    kind: PageKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// Later writes may be appended.
    Growing,
    /// The frame is shared (tee(2)): nothing may be appended.
    Shared,
    /// A write in packet mode (pipe2(2), O_DIRECT): a read takes it whole.
    Packet,
}

impl Content {
    /// Makes an empty queue.
    pub(super) fn new(capacity: usize, charge: Option<Charge>) -> Content {
        Content { pages: VecDeque::new(), capacity, charge, spare: None }
    }

    /// Returns how many bytes wait.
    pub(super) fn length(&self) -> usize {
        self.pages.iter().map(|page| page.length).sum()
    }

    /// Moves bytes out until `to` is full or the queue is empty.
    pub(super) fn read(&mut self, to: &mut Destination<'_>) -> Result<usize> {
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
    pub(super) fn write(&mut self, from: &mut Source<'_>, total: usize, packets: bool, done: &mut usize) -> Result {
        if *done == 0 && !packets {
            self.append(from, total, done)?;
        }
        while *done < total {
            Errno::EAGAIN.when(self.pages.len() >= self.capacity)?;
            let wanted = (total - *done).min(PAGE_SIZE);
            let (frame, length) = match self.spare.take() {
                Some(frame) => {
                    let length = from.take_to_frame(&frame, 0, wanted)?;
                    (frame, length)
                }
                None => from.take_new_frame()?,
            };
            if length > 0 {
                *done += length;
                let kind = if packets { PageKind::Packet } else { PageKind::Growing };
                self.pages.push_back(Page { frame, start: 0, length, kind });
            }
            Errno::EFAULT.when(length < wanted)?;
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

    /// Takes the first `length` bytes out.
    pub(super) fn take(&mut self, length: usize) -> VecDeque<Page> {
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
    pub(super) fn share(&mut self, length: usize) -> VecDeque<Page> {
        let mut left = length;
        let mut shared = VecDeque::new();
        for page in &mut self.pages {
            if page.kind == PageKind::Growing {
                page.kind = PageKind::Shared;
            }
            let length = page.length.min(left);
            left -= length;
            shared.push_back(Page { frame: page.frame.clone(), start: page.start, length, kind: page.kind });
            if left == 0 {
                break;
            }
        }
        shared
    }
}
