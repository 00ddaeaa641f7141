//! Pointers into user memory: allegations that only a checked copy turns into values.

use super::user_copy::fits_user_space;
use super::{AddressSpace, Destination, Source};
use crate::errno::{Errno, Result};
use crate::machine::user;
use alloc::vec::Vec;
use core::marker::PhantomData;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// How long a string may be that needs no memory of the heap: most names are shorter.
const SHORT: usize = 64;

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
        self.add_bytes(index.wrapping_mul(size_of::<T>()) as u64)
    }

    /// Returns the pointer `offset` bytes further on (wrapping).
    pub(crate) fn add_bytes(self, offset: u64) -> UserPtr<'a, T> {
        UserPtr { address: self.address.wrapping_add(offset), ..self }
    }

    /// Returns the same address as a pointer to `U`.
    pub(crate) fn cast<U>(self) -> UserPtr<'a, U> {
        UserPtr::new(self.space, self.address)
    }

    /// Reads the value. EFAULT.
    #[inline]
    pub(crate) fn read(self) -> Result<T>
    where
        T: FromBytes + IntoBytes,
    {
        user::read_from_user(self.address).map_or_else(|| self.read_after_fault(), Ok)
    }

    #[cold]
    fn read_after_fault(self) -> Result<T>
    where
        T: FromBytes + IntoBytes,
    {
        let mut value = T::new_zeroed();
        let copied = self.space.copy_in(self.address, value.as_mut_bytes());
        if copied == size_of::<T>() { Ok(value) } else { Err(Errno::EFAULT) }
    }

    /// Writes the value. EFAULT.
    #[inline]
    pub(crate) fn write(self, value: &T) -> Result
    where
        T: IntoBytes + Immutable,
    {
        let is_written = user::copy_to_user(self.address, value.as_bytes()) == size_of::<T>();
        if is_written { Ok(()) } else { self.write_after_fault(value.as_bytes()) }
    }

    #[cold]
    fn write_after_fault(self, bytes: &[u8]) -> Result {
        if self.space.copy_out(self.address, bytes) == bytes.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Reads the value of an argument that may be left out (NULL). EFAULT.
    pub(crate) fn read_if_given(self) -> Result<Option<T>>
    where
        T: FromBytes + IntoBytes,
    {
        self.non_null().map(UserPtr::read).transpose()
    }

    /// Writes the value, unless the caller does not want it (NULL). EFAULT.
    pub(crate) fn write_if_wanted(self, value: &T) -> Result
    where
        T: IntoBytes + Immutable,
    {
        if self.is_null() { Ok(()) } else { self.write(value) }
    }

    /// Returns the pointer as the first of `length` values. EFAULT if they cannot lie in user space.
    pub(crate) fn slice(self, length: usize) -> Result<UserSlice<'a, T>> {
        let bytes = length.checked_mul(size_of::<T>()).ok_or(Errno::EFAULT)?;
        if fits_user_space(self.address, bytes) { Ok(UserSlice { first: self, length }) } else { Err(Errno::EFAULT) }
    }
}

impl<'a> UserPtr<'a, u8> {
    /// Reads a string up to its NUL (not included): EFAULT; ENAMETOOLONG if there is none within `limit` bytes.
    pub(crate) fn read_string(self, limit: usize) -> Result<Vec<u8>> {
        let mut string = Vec::new();
        while string.len() < limit {
            let start = string.len();
            let room = start.max(SHORT).min(limit - start);
            string.resize(start + room, 0);
            if let Some(length) = self.space.copy_in_string(self.add(start).address, &mut string[start..])? {
                string.truncate(start + length);
                return Ok(string);
            }
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Reads a string like `read_string`, which is expected to be short, to `buffer`.
    #[inline(always)]
    pub(crate) fn read_short_string(self, limit: usize, buffer: &mut UserString) -> Result<&[u8]> {
        match self.space.copy_in_string(self.address, &mut buffer.short)? {
            Some(length) => Ok(&buffer.short[..length]),
            None => {
                buffer.long = self.read_string(limit)?;
                Ok(&buffer.long)
            }
        }
    }

    /// Returns the buffer of a read call. EFAULT if it cannot lie in user space.
    pub(crate) fn destination(self, length: usize) -> Result<Destination<'a>> {
        Errno::EFAULT.when(!fits_user_space(self.address, length))?;
        Ok(Destination::user_area(self.space, self.address, length))
    }

    /// Returns the buffer of a write call. EFAULT if it cannot lie in user space.
    pub(crate) fn source(self, length: usize) -> Result<Source<'a>> {
        Errno::EFAULT.when(!fits_user_space(self.address, length))?;
        Ok(Source::user_area(self.space, self.address, length))
    }
}

/// Room for a string that is read from user memory.
pub(crate) struct UserString {
    short: [u8; SHORT],
    /// The whole string, if it does not fit into `short`.
    long: Vec<u8>,
}

impl UserString {
    /// Makes room.
    pub(crate) fn new() -> UserString {
        UserString { short: [0; SHORT], long: Vec::new() }
    }
}

/// Alleged consecutive values in user memory.
pub(crate) struct UserSlice<'a, T> {
    first: UserPtr<'a, T>,
    length: usize,
}

impl<T> UserSlice<'_, T> {
    /// Reads all values. EFAULT, and ENOMEM where there is no room for so many.
    pub(crate) fn read_all(&self) -> Result<Vec<T>>
    where
        T: FromBytes + IntoBytes + Clone,
    {
        let mut values = Vec::new();
        values.try_reserve_exact(self.length)?;
        values.resize(self.length, T::new_zeroed());
        let bytes = values.as_mut_slice().as_mut_bytes();
        if self.first.space.copy_in(self.first.address, bytes) == bytes.len() { Ok(values) } else { Err(Errno::EFAULT) }
    }

    /// Writes `values`, as many as fit. EFAULT.
    pub(crate) fn write_all(&self, values: &[T]) -> Result
    where
        T: IntoBytes + Immutable,
    {
        let bytes = values[..values.len().min(self.length)].as_bytes();
        if self.first.space.copy_out(self.first.address, bytes) == bytes.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }
}
