//! Access to an address space from outside, loaded or not: ptrace, /proc/PID/mem, the first stack of a program.

use super::address_space::AddressSpace;
use super::area::Wanted;
use super::fault::{FaultOutcome, Rights};
use super::{PAGE, PAGE_SIZE};
use crate::machine::memory::Frame;

impl AddressSpace {
    /// Copies out of this address space, loaded or not (ptrace, /proc/PID/cmdline, environ, mem); returns how far it
    /// came. Brings pages in as an access would; ignores a missing read permission only as ptrace does.
    pub(crate) fn read_remote(&self, address: u64, bytes: &mut [u8]) -> usize {
        self.each_page(address, bytes.len(), Wanted::Read, |frame, offset, done, length| {
            frame.read(offset, &mut bytes[done..done + length]);
        })
    }

    /// Copies into this address space, loaded or not; returns how far it came.
    pub(crate) fn write_remote(&self, address: u64, bytes: &[u8]) -> usize {
        self.each_page(address, bytes.len(), Wanted::Write, |frame, offset, done, length| {
            frame.write(offset, &bytes[done..done + length]);
        })
    }

    /// Calls `visit(frame, offset in it, done, length)` for each page of the range; returns how far it came.
    fn each_page(
        &self,
        address: u64,
        length: usize,
        wanted: Wanted,
        mut visit: impl FnMut(&Frame, usize, usize, usize),
    ) -> usize {
        let mut done = 0;
        while done < length {
            let Some(position) = address.checked_add(done as u64) else { break };
            let offset = (position % PAGE) as usize;
            let piece = (PAGE_SIZE - offset).min(length - done);
            let mut areas = self.lock();
            if self.resolve(&mut areas, position - offset as u64, wanted, Rights::Debugger) != FaultOutcome::Resolved {
                break;
            }
            let Some((frame, _)) = self.table.look_up(position - offset as u64) else { break };
            // Still locked: a fork in between would make the page the child's too, and a write show in both.
            visit(&frame, offset, done, piece);
            drop(areas);
            done += piece;
        }
        done
    }
}
