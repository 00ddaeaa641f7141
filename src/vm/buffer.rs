//! Where file content and program memory are copied from and to: a `Destination` for reads, a `Source` for
//! writes. Each is kernel memory or a list of user areas; who fills or drains it does not know which.

use super::AddressSpace;
use crate::errno::Result;
use crate::machine::memory::Frame;
use alloc::vec::Vec;

/// Where a read puts its bytes.
pub(crate) struct Destination<'a> {
    to: DestinationMemory<'a>,
    done: usize,
}

enum DestinationMemory<'a> {
    Kernel(&'a mut [u8]),
    User { _space: &'a AddressSpace, _areas: Vec<(u64, usize)> },
}

impl<'a> Destination<'a> {
    /// Reads go into `bytes`.
    pub(crate) fn kernel(bytes: &'a mut [u8]) -> Destination<'a> {
        Destination { to: DestinationMemory::Kernel(bytes), done: 0 }
    }

    /// Reads go to the user areas `(address, length)` in order.
    pub(crate) fn user(space: &'a AddressSpace, areas: Vec<(u64, usize)>) -> Destination<'a> {
        Destination { to: DestinationMemory::User { _space: space, _areas: areas }, done: 0 }
    }

    /// Returns how many bytes fit still.
    pub(crate) fn remaining(&self) -> usize {
        let _ = &self.to;
        todo!()
    }

    /// Returns how many bytes were put.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// Puts as many of `bytes` as fit; returns how many. EFAULT if none could be put because of a bad address.
    /// May sleep (page faults): hold no spin lock.
    pub(crate) fn put(&mut self, _bytes: &[u8]) -> Result<usize> {
        todo!()
    }

    /// Puts `length` bytes (at most what fits) of the page from `offset`; returns how many.
    pub(crate) fn put_frame(&mut self, _frame: &Frame, _offset: usize, _length: usize) -> Result<usize> {
        todo!()
    }

    /// Puts `length` zero bytes (at most what fits); returns how many.
    pub(crate) fn put_zeros(&mut self, _length: usize) -> Result<usize> {
        todo!()
    }
}

/// Where a write takes its bytes.
pub(crate) struct Source<'a> {
    from: SourceMemory<'a>,
    done: usize,
}

enum SourceMemory<'a> {
    Kernel(&'a [u8]),
    User { _space: &'a AddressSpace, _areas: Vec<(u64, usize)> },
}

impl<'a> Source<'a> {
    /// Writes come from `bytes`.
    pub(crate) fn kernel(bytes: &'a [u8]) -> Source<'a> {
        Source { from: SourceMemory::Kernel(bytes), done: 0 }
    }

    /// Writes come from the user areas `(address, length)` in order.
    pub(crate) fn user(space: &'a AddressSpace, areas: Vec<(u64, usize)>) -> Source<'a> {
        Source { from: SourceMemory::User { _space: space, _areas: areas }, done: 0 }
    }

    /// Returns how many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        let _ = &self.from;
        todo!()
    }

    /// Returns how many bytes were taken.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// Takes as many bytes as are left and fit into `bytes`; returns how many. EFAULT if none could be taken because
    /// of a bad address. May sleep (page faults): hold no spin lock.
    pub(crate) fn take(&mut self, _bytes: &mut [u8]) -> Result<usize> {
        todo!()
    }

    /// Takes `length` bytes (at most what is left) into the page at `offset`; returns how many.
    pub(crate) fn take_to_frame(&mut self, _frame: &Frame, _offset: usize, _length: usize) -> Result<usize> {
        todo!()
    }
}
