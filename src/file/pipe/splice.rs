//! Moving pages between a pipe and something else without a user buffer: splice(2) and tee(2).

use super::PipeEnd;
use crate::errno::{Errno, Result};
use crate::file::Events;
use crate::machine::memory::{Frame, PAGE_SIZE};
use core::sync::atomic::Ordering;

impl PipeEnd {
    /// Duplicates up to `length` bytes of this pipe into `other` without taking them out (tee(2)); returns how many.
    /// EAGAIN when nothing is there, or `other` is full.
    pub(crate) fn tee(&self, other: &PipeEnd, length: usize, non_blocking: bool) -> Result<usize> {
        Errno::EPIPE.when(!self.pipe.has_readers() || !other.pipe.has_readers())?;
        let mut pages = self.pipe.readable.block_on(non_blocking, || {
            let mut content = self.pipe.content.lock();
            match content.pages.is_empty() {
                true if self.pipe.has_writers() => Err(Errno::EAGAIN),
                _ => Ok(content.share(length)),
            }
        })?;
        // What was announced to this sleeper is there for another still.
        self.pipe.readable.wake_another();
        if pages.is_empty() {
            return Ok(0);
        }
        let done = other.pipe.writable.block_on(non_blocking, || {
            Errno::EPIPE.when(!other.pipe.has_readers())?;
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
            Errno::EAGAIN.when(done == 0)?;
            other.pipe.readable.announce(Events::READABLE);
            Ok(done)
        });
        other.pipe.writable.wake_another();
        done
    }

    /// Passes up to `length` bytes to `sink`, page by page, and takes out what it accepted (splice(2)); returns how many.
    /// Sleeps only until there is something. `sink` may sleep.
    pub(crate) fn drain(
        &self, length: usize, non_blocking: bool, mut sink: impl FnMut(&Frame, usize, usize) -> Result<usize>,
    ) -> Result<usize> {
        let mut taken = self.pipe.readable.block_on(non_blocking, || {
            let mut content = self.pipe.content.lock();
            Errno::EAGAIN.when(content.pages.is_empty() && self.pipe.has_writers())?;
            let taken = content.take(length);
            self.pipe.used_pages.store(content.pages.len(), Ordering::SeqCst);
            Ok(taken)
        })?;
        self.pipe.readable.wake_another();

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
        let room = self.pipe.writable.block_on(non_blocking, || {
            Errno::EPIPE.when(!self.pipe.has_readers())?;
            let capacity = self.pipe.capacity_pages.load(Ordering::SeqCst);
            match capacity.saturating_sub(self.pipe.used_pages.load(Ordering::SeqCst)) {
                0 => Err(Errno::EAGAIN),
                pages => Ok(pages * PAGE_SIZE),
            }
        });
        // It may not be used.
        self.pipe.writable.wake_another();
        room
    }
}
