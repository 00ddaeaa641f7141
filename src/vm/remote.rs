//! Access to an address space from outside, loaded or not: ptrace, /proc/PID/mem, the first stack of a program.

use super::address_space::{AddressSpace, Areas};
use super::area::Wanted;
use super::fault::{FaultOutcome, Rights, zero_page};
use super::{Destination, PAGE, PAGE_SIZE, Source, budget};
use crate::errno::{Errno, Result};
use crate::machine::memory::Frame;
use alloc::vec;

/// Bytes moved at once between two programs.
const CHUNK: usize = 16 * 4096;

impl AddressSpace {
    /// Copies out of this address space, loaded or not (ptrace, /proc/PID/cmdline, environ, mem); returns how far it
    /// came. Brings pages in as an access would; ignores a missing read permission only as ptrace does.
    pub(crate) fn read_remote(&self, address: u64, bytes: &mut [u8]) -> usize {
        self.read_remote_as(Rights::Debugger, address, bytes)
    }

    /// Copies into this address space, loaded or not; returns how far it came.
    pub(crate) fn write_remote(&self, address: u64, bytes: &[u8]) -> usize {
        self.write_remote_as(Rights::Debugger, address, bytes)
    }

    /// Copies what is at `address` to `to`, at most `length` bytes; returns how many. EFAULT if none could be read.
    pub(crate) fn give_remote(
        &self, rights: Rights, address: u64, length: usize, to: &mut Destination<'_>,
    ) -> Result<usize> {
        let mut bytes = vec![0; length.min(CHUNK)];
        let mut done = 0;
        while done < length && to.remaining() > 0 {
            let wanted = (length - done).min(CHUNK).min(to.remaining());
            let read = self.read_remote_as(rights, address.wrapping_add(done as u64), &mut bytes[..wanted]);
            if read == 0 {
                break;
            }
            let put = to.put(&bytes[..read]);
            done += if done > 0 { put.unwrap_or(0) } else { put? };
            if read < wanted {
                break;
            }
        }
        if done == 0 && length > 0 && to.remaining() > 0 { Err(Errno::EFAULT) } else { Ok(done) }
    }

    /// Copies from `from` to `address`, at most `length` bytes; returns how many. EFAULT if none could be written.
    pub(crate) fn take_remote(
        &self, rights: Rights, address: u64, length: usize, from: &mut Source<'_>,
    ) -> Result<usize> {
        let is_asked = length > 0 && from.remaining() > 0;
        let mut bytes = vec![0; length.min(CHUNK)];
        let mut done = 0;
        while done < length && from.remaining() > 0 {
            let wanted = (length - done).min(CHUNK).min(from.remaining());
            let taken = from.take(&mut bytes[..wanted]);
            let taken = if done > 0 { taken.unwrap_or(0) } else { taken? };
            let written = self.write_remote_as(rights, address.wrapping_add(done as u64), &bytes[..taken]);
            done += written;
            if written < wanted {
                break;
            }
        }
        if done == 0 && is_asked { Err(Errno::EFAULT) } else { Ok(done) }
    }

    fn read_remote_as(&self, rights: Rights, address: u64, bytes: &mut [u8]) -> usize {
        self.each_page(rights, address, bytes.len(), Wanted::Read, |frame, offset, done, length| {
            frame.read(offset, &mut bytes[done..done + length]);
        })
    }

    fn write_remote_as(&self, rights: Rights, address: u64, bytes: &[u8]) -> usize {
        self.each_page(rights, address, bytes.len(), Wanted::Write, |frame, offset, done, length| {
            frame.write(offset, &bytes[done..done + length]);
        })
    }

    /// Calls `visit(frame, offset in it, done, length)` for each page of the range; returns how far it came.
    fn each_page(
        &self, rights: Rights, address: u64, length: usize, wanted: Wanted,
        mut visit: impl FnMut(&Frame, usize, usize, usize),
    ) -> usize {
        let mut done = 0;
        while done < length {
            let Some(position) = address.checked_add(done as u64) else { break };
            let offset = (position % PAGE) as usize;
            let piece = (PAGE_SIZE - offset).min(length - done);
            let mut areas = self.lock();
            let page = position - offset as u64;
            let outcome = self.resolve(&mut areas, page, wanted, rights);
            let frame = match (outcome, rights) {
                (FaultOutcome::Resolved, _) => self.table.look_up(page).map(|(frame, _)| frame),
                (FaultOutcome::NotAllowed, Rights::Debugger) => hidden_page(&mut areas, page, wanted),
                _ => None,
            };
            let Some(frame) = frame else { break };
            // Still locked: a fork in between would make the page the child's too, and a write show in both.
            visit(&frame, offset, done, piece);
            drop(areas);
            done += piece;
        }
        done
    }
}

/// Returns the page at `address` of an area that the program itself may not access at all, or not so: such a page is not in the
/// page table, where it would be the program's too. Stores go to pages of its own only.
fn hidden_page(areas: &mut Areas, address: u64, wanted: Wanted) -> Option<Frame> {
    let Areas { map, set_aside, .. } = areas;
    let (range, area) = map.find_mut(address).filter(|(_, area)| area.protection.is_empty())?;
    let known = match (set_aside.get(&address), area.file_page(address - range.start)) {
        (Some(frame), _) => Some(frame.clone()),
        (None, Some((cache, index))) => Some(cache.page(index).ok()??),
        (None, None) => None,
    };
    let is_own = set_aside.contains_key(&address) && known.as_ref().is_some_and(|frame| frame.references() == 2);
    if wanted != Wanted::Write || is_own {
        return known.or_else(|| zero_page().ok());
    }
    if area.is_shared {
        return None;
    }
    let own = match known {
        Some(frame) => budget::copy_of(&frame),
        None => budget::zeroed_frame(),
    };
    let own = own.ok()?;
    area.has_private_pages = true;
    set_aside.insert(address, own.clone());
    Some(own)
}
