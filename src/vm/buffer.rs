//! Where file content and program memory are copied from and to: a `Destination` for reads, a `Source` for
//! writes. Each is kernel memory or a list of user areas; who fills or drains it does not know which.
//!
//! A copy that meets a bad user address ends early and says how far it came; only one that could not move a
//! single byte is an error (EFAULT). Callers stop at a short count.

use super::user_copy::Direction;
use super::{AddressSpace, budget};
use crate::errno::{Errno, Result};
use crate::machine::memory::{Frame, PAGE_SIZE};
use crate::machine::user;
use alloc::boxed::Box;
use alloc::vec::{IntoIter, Vec};

/// Where a read puts its bytes.
pub(crate) struct Destination<'a> {
    to: DestinationMemory<'a>,
    done: usize,
}

enum DestinationMemory<'a> {
    Kernel(&'a mut [u8]),
    User(UserAreas<'a>),
}

impl<'a> Destination<'a> {
    /// Reads go into `bytes`.
    pub(crate) fn kernel(bytes: &'a mut [u8]) -> Destination<'a> {
        Destination { to: DestinationMemory::Kernel(bytes), done: 0 }
    }

    /// Reads go to the user areas `(address, length)` in order.
    pub(crate) fn user(space: &'a AddressSpace, areas: Vec<(u64, usize)>) -> Destination<'a> {
        Destination { to: DestinationMemory::User(UserAreas::list(space, areas)), done: 0 }
    }

    /// Reads go to one user area. Does not allocate.
    pub(crate) fn user_area(space: &'a AddressSpace, address: u64, length: usize) -> Destination<'a> {
        Destination { to: DestinationMemory::User(UserAreas::single(space, address, length)), done: 0 }
    }

    /// Returns how many bytes fit still.
    pub(crate) fn remaining(&self) -> usize {
        match &self.to {
            DestinationMemory::Kernel(bytes) => bytes.len() - self.done,
            DestinationMemory::User(areas) => areas.remaining(),
        }
    }

    /// Returns how many bytes were put.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// Puts as many of `bytes` as fit; returns how many. EFAULT if none could be put because of a bad address.
    /// May sleep (page faults): hold no spin lock.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        self.fill(
            bytes.len(),
            |to| to.copy_from_slice(&bytes[..to.len()]),
            move |from, to, length| user::copy_to_user(to, &bytes[from..from + length]),
        )
    }

    /// Puts `length` bytes (at most what fits) of the page from `offset`; returns how many.
    pub(crate) fn put_frame(&mut self, frame: &Frame, offset: usize, length: usize) -> Result<usize> {
        let to_user = move |from, to, length| frame.copy_to_user(offset + from, to, length);
        self.fill(length, |to| frame.read(offset, to), to_user)
    }

    /// Puts `length` zero bytes (at most what fits); returns how many.
    pub(crate) fn put_zeros(&mut self, length: usize) -> Result<usize> {
        self.fill(length, |to| to.fill(0), |_, to, length| user::zero_user(to, length))
    }

    /// Fills up to `length` bytes by `to_kernel(bytes)` or by `to_user(done, address, length)` for each user piece.
    #[inline(always)]
    fn fill(
        &mut self, length: usize, to_kernel: impl FnOnce(&mut [u8]), to_user: impl FnMut(usize, u64, usize) -> usize,
    ) -> Result<usize> {
        let count = match &mut self.to {
            DestinationMemory::Kernel(bytes) => {
                let length = length.min(bytes.len() - self.done);
                to_kernel(&mut bytes[self.done..self.done + length]);
                length
            }
            DestinationMemory::User(areas) => {
                areas.transfer(length.min(areas.remaining()), Direction::ToUser, to_user)?
            }
        };
        self.done += count;
        Ok(count)
    }
}

/// Where a write takes its bytes.
pub(crate) struct Source<'a> {
    from: SourceMemory<'a>,
    done: usize,
}

enum SourceMemory<'a> {
    Kernel(&'a [u8]),
    User(UserAreas<'a>),
}

impl<'a> Source<'a> {
    /// Writes come from `bytes`.
    pub(crate) fn kernel(bytes: &'a [u8]) -> Source<'a> {
        Source { from: SourceMemory::Kernel(bytes), done: 0 }
    }

    /// Writes come from the user areas `(address, length)` in order.
    pub(crate) fn user(space: &'a AddressSpace, areas: Vec<(u64, usize)>) -> Source<'a> {
        Source { from: SourceMemory::User(UserAreas::list(space, areas)), done: 0 }
    }

    /// Writes come from one user area. Does not allocate.
    pub(crate) fn user_area(space: &'a AddressSpace, address: u64, length: usize) -> Source<'a> {
        Source { from: SourceMemory::User(UserAreas::single(space, address, length)), done: 0 }
    }

    /// Returns how many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        match &self.from {
            SourceMemory::Kernel(bytes) => bytes.len() - self.done,
            SourceMemory::User(areas) => areas.remaining(),
        }
    }

    /// Takes as many bytes as are left and fit into `bytes`; returns how many. EFAULT if none could be taken because
    /// of a bad address. May sleep (page faults): hold no spin lock.
    pub(crate) fn take(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let length = bytes.len().min(self.remaining());
        let count = match &mut self.from {
            SourceMemory::Kernel(from) => {
                bytes[..length].copy_from_slice(&from[self.done..self.done + length]);
                length
            }
            SourceMemory::User(areas) => areas.transfer(length, Direction::FromUser, move |done, from, length| {
                user::copy_from_user(from, &mut bytes[done..done + length])
            })?,
        };
        self.done += count;
        Ok(count)
    }

    /// Takes `length` bytes (at most what is left) into the page at `offset`; returns how many.
    pub(crate) fn take_to_frame(&mut self, frame: &Frame, offset: usize, length: usize) -> Result<usize> {
        let length = length.min(self.remaining());
        let count = match &mut self.from {
            SourceMemory::Kernel(from) => {
                frame.write(offset, &from[self.done..self.done + length]);
                length
            }
            SourceMemory::User(areas) => areas.transfer(length, Direction::FromUser, move |done, from, length| {
                frame.copy_from_user(offset + done, from, length)
            })?,
        };
        self.done += count;
        Ok(count)
    }
}

impl Source<'_> {
    /// Takes a whole page, or what is left, into a new page that need not be cleared first; returns it and how many
    /// bytes were taken. ENOMEM, also when only the kernel's reserve is left; EFAULT.
    pub(crate) fn take_new_frame(&mut self) -> Result<(Frame, usize)> {
        let length = PAGE_SIZE.min(self.remaining());
        let (frame, count) = match &mut self.from {
            SourceMemory::Kernel(from) => (budget::with_bytes(&from[self.done..self.done + length])?, length),
            SourceMemory::User(areas) => {
                let mut new = None;
                let count = areas.transfer(length, Direction::FromUser, |done, from, length| match &new {
                    Some(frame) => Frame::copy_from_user(frame, done, from, length),
                    // The first piece makes the page; without memory the copy ends here.
                    None => budget::with_user_bytes(from, length).map_or(0, |(frame, copied)| {
                        new = Some(frame);
                        copied
                    }),
                });
                (new.ok_or(Errno::ENOMEM)?, count?)
            }
        };
        self.done += count;
        Ok((frame, count))
    }
}

/// User areas that are used up from the front.
struct UserAreas<'a> {
    space: &'a AddressSpace,
    /// What is left of the area in use.
    address: u64,
    length: usize,
    /// The usual single area has none.
    further: Option<Box<FurtherAreas>>,
}

struct FurtherAreas {
    areas: IntoIter<(u64, usize)>,
    /// How many bytes they have together.
    length: usize,
}

impl<'a> UserAreas<'a> {
    fn single(space: &'a AddressSpace, address: u64, length: usize) -> UserAreas<'a> {
        UserAreas { space, address, length, further: None }
    }

    fn list(space: &'a AddressSpace, areas: Vec<(u64, usize)>) -> UserAreas<'a> {
        let mut areas = areas.into_iter();
        let (address, length) = areas.next().unwrap_or_default();
        let further = areas.as_slice().iter().map(|&(_, length)| length).sum();
        let further = (further != 0).then(|| Box::new(FurtherAreas { areas, length: further }));
        UserAreas { space, address, length, further }
    }

    /// Returns how many bytes are left in all areas.
    fn remaining(&self) -> usize {
        self.length + self.further.as_ref().map_or(0, |further| further.length)
    }

    /// Moves `length` bytes (no more than remain) by `copy(done, address, length)` for each piece; returns how many.
    #[inline(always)]
    fn transfer(
        &mut self, length: usize, direction: Direction, mut copy: impl FnMut(usize, u64, usize) -> usize,
    ) -> Result<usize> {
        // Nearly always all lies in one area, whose pages are there.
        let mut total = 0;
        if length <= self.length {
            total = copy(0, self.address, length);
            self.advance(total);
        }
        if total == length {
            return Ok(total);
        }
        // What is moved here need not be in memory before.
        let mut rest = copy;
        self.transfer_rest(total, length, direction, &mut rest)
    }

    fn advance(&mut self, moved: usize) {
        self.address += moved as u64;
        self.length -= moved;
    }

    #[cold]
    fn transfer_rest(
        &mut self, mut total: usize, length: usize, direction: Direction,
        copy: &mut dyn FnMut(usize, u64, usize) -> usize,
    ) -> Result<usize> {
        while total < length {
            if self.length == 0 {
                let Some(further) = &mut self.further else { break };
                let Some((address, length)) = further.areas.next() else { break };
                further.length -= length;
                (self.address, self.length) = (address, length);
                continue;
            }
            let piece = self.length.min(length - total);
            let (address, start) = (self.address, total);
            let moved = self
                .space
                .resume(address, piece, direction, |done| copy(start + done, address + done as u64, piece - done));

            self.advance(moved);
            total += moved;
            if moved < piece {
                break;
            }
        }
        if total == 0 && length > 0 { Err(Errno::EFAULT) } else { Ok(total) }
    }
}
