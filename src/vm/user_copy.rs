//! Copies between kernel memory and the loaded user address space, the only ones there are: the raw copy of
//! `machine` stops at a byte that cannot be accessed, the address space brings the page in, the copy goes on.
//!
//! Used by `user_pointer` (single values) and `buffer` (read and write calls). May sleep: hold no spin lock.

use super::{AddressSpace, FaultOutcome};
use crate::errno::{Errno, Result};
use crate::machine::memory::USER_END;
use crate::machine::trap::PageFault;
use crate::machine::user;

/// How often a copy may fault on the same byte: each time another thread may have unmapped the page again.
const MAX_ATTEMPTS: u32 = 64;

impl AddressSpace {
    /// Copies from user memory at `from`; returns how many bytes came over before one that cannot be read.
    pub(crate) fn copy_in(&self, from: u64, bytes: &mut [u8]) -> usize {
        let length = bytes.len();
        self.resume(from, length, Direction::FromUser, move |done| {
            user::copy_from_user(from + done as u64, &mut bytes[done..])
        })
    }

    /// Copies a string from user memory at `from` as far as it fits; returns its length if it ended in `bytes`. EFAULT.
    #[inline]
    pub(crate) fn copy_in_string(&self, from: u64, bytes: &mut [u8]) -> Result<Option<usize>> {
        let (length, has_ended) = user::copy_string_from_user(from, bytes);
        match has_ended {
            true => Ok(Some(length)),
            false if length == bytes.len() => Ok(None),
            false => self.copy_in_missing_string(from, bytes),
        }
    }

    /// The same where not all of the string is in memory.
    #[cold]
    fn copy_in_missing_string(&self, from: u64, bytes: &mut [u8]) -> Result<Option<usize>> {
        let room = bytes.len();
        let mut end = None;
        let done = self.resume(from, room, Direction::FromUser, |done| {
            let (length, has_ended) = user::copy_string_from_user(from + done as u64, &mut bytes[done..]);
            if has_ended {
                end = Some(done + length);
                return room - done;
            }
            length
        });
        if done == room { Ok(end) } else { Err(Errno::EFAULT) }
    }

    /// Copies to user memory at `to`; returns how many bytes were written before one that cannot be.
    pub(crate) fn copy_out(&self, to: u64, bytes: &[u8]) -> usize {
        self.resume(to, bytes.len(), Direction::ToUser, move |done| {
            user::copy_to_user(to + done as u64, &bytes[done..])
        })
    }

    /// Runs `copy(done)`, which goes on after `done` bytes and returns how many more it moved, until all `length`
    /// bytes at the user address `address` are moved or a fault cannot be resolved; returns how many were.
    #[inline(always)]
    pub(super) fn resume(
        &self, address: u64, length: usize, direction: Direction, mut copy: impl FnMut(usize) -> usize,
    ) -> usize {
        if address >= USER_END {
            return 0;
        }

        let done = copy(0);
        if done == length {
            return done;
        }
        // What is moved here need not be in memory before.
        let mut rest = copy;
        self.resume_after_fault(address, length, direction, done, &mut rest)
    }

    /// Goes on with a copy that has come as far as `done`.
    #[cold]
    fn resume_after_fault(
        &self, address: u64, length: usize, direction: Direction, mut done: usize, copy: &mut dyn FnMut(usize) -> usize,
    ) -> usize {
        let mut attempts = 0;
        while done < length {
            let fault = PageFault {
                address: address + done as u64,
                is_write: direction == Direction::ToUser,
                is_execute: false,
                is_protection: false,
            };
            if attempts == MAX_ATTEMPTS {
                break;
            }
            match self.handle_fault(fault) {
                FaultOutcome::Resolved => {}
                FaultOutcome::OutOfMemory => {
                    self.note_shortage();
                    break;
                }
                _ => break,
            }
            let moved = copy(done);
            attempts = if moved == 0 { attempts + 1 } else { 0 };
            done += moved;
        }
        done
    }
}

/// Which way a user copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// User memory is read.
    FromUser,
    /// User memory is written.
    ToUser,
}

/// Returns whether `length` bytes at `address` lie below `USER_END`.
pub(super) fn fits_user_space(address: u64, length: usize) -> bool {
    address.checked_add(length as u64).is_some_and(|end| end <= USER_END)
}
