//! Pointers into user memory: allegations that only a checked copy turns into values.

use super::{AddressSpace, Destination, Source};
use crate::errno::Result;
use alloc::vec::Vec;
use core::marker::PhantomData;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// An alleged pointer to a `T` in a user address space, which must be the loaded one.
pub(crate) struct UserPtr<'a, T> {
    space: &'a AddressSpace,
    address: u64,
    kind: PhantomData<T>,
}

impl<T> Clone for UserPtr<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPtr<'_, T> {}

impl<'a, T> UserPtr<'a, T> {
    /// Wraps a register's value.
    pub(crate) fn new(space: &'a AddressSpace, address: u64) -> UserPtr<'a, T> {
        UserPtr { space, address, kind: PhantomData }
    }

    /// Returns the address.
    pub(crate) fn address(self) -> u64 {
        self.address
    }

    /// Returns whether it is NULL.
    pub(crate) fn is_null(self) -> bool {
        self.address == 0
    }

    /// Returns `None` for NULL, else itself.
    pub(crate) fn non_null(self) -> Option<UserPtr<'a, T>> {
        (!self.is_null()).then_some(self)
    }

    /// Returns the pointer to the `index`-th `T` after this one (wrapping).
    pub(crate) fn add(self, index: usize) -> UserPtr<'a, T> {
        UserPtr { address: self.address.wrapping_add((index * size_of::<T>()) as u64), ..self }
    }

    /// Returns the same address as a pointer to `U`.
    pub(crate) fn cast<U>(self) -> UserPtr<'a, U> {
        UserPtr::new(self.space, self.address)
    }

    /// Reads the value. EFAULT.
    pub(crate) fn read(self) -> Result<T>
    where
        T: FromBytes + IntoBytes,
    {
        todo!()
    }

    /// Writes the value. EFAULT.
    pub(crate) fn write(self, _value: &T) -> Result
    where
        T: IntoBytes + Immutable,
    {
        todo!()
    }

    /// Returns the pointer as the first of `length` values. EFAULT if they cannot lie in user space.
    pub(crate) fn slice(self, _length: usize) -> Result<UserSlice<'a, T>> {
        todo!()
    }
}

impl<'a> UserPtr<'a, u8> {
    /// Reads a string up to its NUL (not included): EFAULT; ENAMETOOLONG if there is none within `limit` bytes.
    pub(crate) fn read_string(self, _limit: usize) -> Result<Vec<u8>> {
        todo!()
    }

    /// Returns the buffer of a read call. EFAULT if it cannot lie in user space.
    pub(crate) fn destination(self, _length: usize) -> Result<Destination<'a>> {
        todo!()
    }

    /// Returns the buffer of a write call. EFAULT if it cannot lie in user space.
    pub(crate) fn source(self, _length: usize) -> Result<Source<'a>> {
        todo!()
    }
}

/// Alleged consecutive values in user memory.
pub(crate) struct UserSlice<'a, T> {
    _first: UserPtr<'a, T>,
    _length: usize,
}

impl<T> UserSlice<'_, T> {
    /// Reads all values. EFAULT.
    pub(crate) fn read_all(&self) -> Result<Vec<T>>
    where
        T: FromBytes + IntoBytes + Clone,
    {
        todo!()
    }

    /// Writes `values`, as many as fit. EFAULT.
    pub(crate) fn write_all(&self, _values: &[T]) -> Result
    where
        T: IntoBytes + Immutable,
    {
        todo!()
    }
}
