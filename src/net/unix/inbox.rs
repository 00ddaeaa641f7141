//! What a socket has received: the bytes of all messages in a queue of pages, and where each message ends.
//!
//! All is under the end's sleeping lock. Small messages share pages, and the last page stays when it was read empty, so
//! that a message more does not allocate. A stream's messages grow together where nothing tells them apart.

use super::end::End;
use super::passing::{Credentials, Rights};
use crate::errno::{Errno, Result};
use crate::machine::memory::{Frame, PAGE_SIZE};
use crate::vm::{Destination, Source};
use alloc::{collections::VecDeque, sync::Arc};

/// What a message counts besides its bytes, so that empty ones are not without bound.
const OVERHEAD: usize = 256;

pub(super) struct Inbox {
    pub(super) bytes: Bytes,
    pub(super) messages: VecDeque<Message>,
}

pub(super) struct Message {
    /// Bytes that are left of it.
    pub(super) length: usize,
    /// Whose budget it counts on; `None` in a connection: the other end's.
    pub(super) sender: Option<Arc<End>>,
    pub(super) credentials: Option<Credentials>,
    pub(super) rights: Option<Rights>,
}

impl Message {
    /// Returns what it counts on its sender's budget.
    pub(super) fn charge(&self) -> usize {
        self.length + OVERHEAD
    }
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        Inbox { bytes: Bytes { pages: VecDeque::new(), start: 0, length: 0 }, messages: VecDeque::new() }
    }

    /// Takes up to about `limit` bytes of a stream in; returns what they count. `rights` go with the first byte.
    pub(super) fn append(
        &mut self, from: &mut Source<'_>, limit: usize, credentials: Option<Credentials>, rights: &mut Option<Rights>,
    ) -> Result<usize> {
        let length = self.bytes.append(from, limit)?;
        if let Some(last) = self.messages.back_mut()
            && last.credentials == credentials
            && last.rights.is_none()
            && rights.is_none()
        {
            last.length += length;
            return Ok(length);
        }
        Ok(self.push(Message { length, sender: None, credentials, rights: rights.take() }))
    }

    /// Takes all of `from` in, for a message that `push` adds next. EFAULT, and nothing came in.
    pub(super) fn take_whole(&mut self, from: &mut Source<'_>) -> Result {
        let length = from.remaining();
        let taken = if length == 0 { 0 } else { self.bytes.append(from, length)? };
        if taken < length {
            self.bytes.length -= taken;
            return Err(Errno::EFAULT);
        }
        Ok(())
    }

    /// Adds a message whose bytes have been taken in; returns what it counts.
    pub(super) fn push(&mut self, message: Message) -> usize {
        let charge = message.charge();
        self.messages.push_back(message);
        charge
    }

    /// Takes `length` bytes of the first message away, and the message if `is_whole` or nothing is left of it; returns what
    /// that frees, and the message if it is gone.
    pub(super) fn consume(&mut self, length: usize, is_whole: bool) -> (usize, Option<Message>) {
        let Some(first) = self.messages.front_mut() else { return (0, None) };
        if length == first.length || is_whole {
            let freed = first.charge();
            self.bytes.consume(first.length);
            return (freed, self.messages.pop_front());
        }
        first.length -= length;
        self.bytes.consume(length);
        (length, None)
    }
}

/// A queue of bytes in pages.
pub(super) struct Bytes {
    pages: VecDeque<Frame>,
    /// Where the first byte is in the first page.
    start: usize,
    length: usize,
}

impl Bytes {
    /// Takes bytes in until `from` is used up or `limit` reached, which a new page may pass; returns how many. An error
    /// only if there were none.
    fn append(&mut self, from: &mut Source<'_>, limit: usize) -> Result<usize> {
        let mut done = 0;
        while done < limit && from.remaining() > 0 {
            let end = self.start + self.length;
            let (wanted, taken) = match self.pages.get(end / PAGE_SIZE) {
                Some(page) => {
                    let wanted = from.remaining().min(PAGE_SIZE - end % PAGE_SIZE).min(limit - done);
                    (wanted, from.take_to_frame(page, end % PAGE_SIZE, wanted))
                }
                None => {
                    let wanted = from.remaining().min(PAGE_SIZE);
                    let taken = from.take_new_frame().map(|(frame, taken)| {
                        self.pages.push_back(frame);
                        taken
                    });
                    (wanted, taken)
                }
            };
            let taken = match taken {
                Err(_) if done > 0 => break,
                taken => taken?,
            };
            done += taken;
            self.length += taken;
            if taken < wanted {
                break;
            }
        }
        Ok(done)
    }

    /// Copies `length` bytes out that lie behind `skipped` others, as far as they fit; returns how many. They stay.
    pub(super) fn copy_out(&self, to: &mut Destination<'_>, skipped: usize, length: usize) -> Result<usize> {
        let length = length.min(to.remaining());
        let mut done = 0;
        while done < length {
            let place = self.start + skipped + done;
            let Some(page) = self.pages.get(place / PAGE_SIZE) else { break };
            let wanted = (length - done).min(PAGE_SIZE - place % PAGE_SIZE);
            let put = match to.put_frame(page, place % PAGE_SIZE, wanted) {
                Err(_) if done > 0 => break,
                put => put?,
            };
            done += put;
            if put < wanted {
                break;
            }
        }
        Ok(done)
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
        self.length -= length;
        if self.length == 0 {
            self.start = 0;
            self.pages.truncate(1);
        }
        while self.start >= PAGE_SIZE {
            self.pages.pop_front();
            self.start -= PAGE_SIZE;
        }
    }
}
