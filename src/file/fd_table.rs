//! The table of a process' file descriptors.
//!
//! A bitmap of used descriptors, one bit each, finds the lowest free one; a file that leaves the table is dropped only
//! after the table's lock is free, because dropping it may sleep or close sockets.

use super::{OpenFile, locks};
use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The file descriptors of one process (or of several, clone(2) CLONE_FILES).
pub(crate) struct FdTable {
    /// Who owns the POSIX record locks taken through this table; never used twice.
    owner: u64,
    /// Saves looking for record locks at each close.
    pub(super) has_locks: AtomicBool,
    entries: SpinLock<Entries>,
}

#[derive(Default)]
struct Entries {
    files: Vec<Option<Arc<OpenFile>>>,
    /// Bit n of word n / 64: descriptor n is used, or reserved.
    used: Vec<u64>,
    /// The same for the close-on-exec mark.
    close_on_exec: Vec<u64>,
    /// All words before this one are full.
    first_free_word: usize,
}

/// A descriptor that nobody else gets but that names nothing yet: for calls that must not do their work in vain. Free
/// again when dropped.
pub(crate) struct Reservation<'a> {
    table: &'a FdTable,
    index: usize,
}

impl Reservation<'_> {
    /// Returns the descriptor.
    pub(crate) fn fd(&self) -> i32 {
        self.index as i32
    }

    /// Makes the descriptor name `file`.
    pub(crate) fn fill(self, file: Arc<OpenFile>, close_on_exec: bool) -> i32 {
        let fd = self.fd();
        self.table.entries.lock().put(self.index, file, close_on_exec);
        core::mem::forget(self);
        fd
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.table.entries.lock().release(self.index);
    }
}

impl FdTable {
    /// Makes an empty table.
    pub(crate) fn new() -> Arc<FdTable> {
        FdTable::with(Entries::default())
    }

    /// Makes a copy that shares the open files (fork). ENOMEM.
    pub(crate) fn duplicate(&self) -> Result<Arc<FdTable>> {
        let mut copy = Entries::default();
        // Room is made with the lock free; the table may grow meanwhile.
        loop {
            copy.grow_to(self.capacity().max(1) - 1)?;
            if self.entries.lock().copy_to(&mut copy) {
                break;
            }
        }
        copy.drop_reservations();
        Ok(FdTable::with(copy))
    }

    fn with(entries: Entries) -> Arc<FdTable> {
        static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);
        Arc::new(FdTable {
            owner: NEXT_OWNER.fetch_add(1, Ordering::Relaxed),
            has_locks: AtomicBool::new(false),
            entries: SpinLock::new(Rank::FdTable, entries),
        })
    }

    /// Returns whose POSIX record locks are taken through this table.
    pub(super) fn owner(&self) -> u64 {
        self.owner
    }

    /// Returns the open file of `fd`. EBADF.
    pub(crate) fn get(&self, fd: i32) -> Result<Arc<OpenFile>> {
        self.entries.lock().get(fd).cloned()
    }

    /// Reserves the lowest free descriptor. EMFILE at `limit`; ENOMEM.
    pub(crate) fn reserve(&self, limit: u64) -> Result<Reservation<'_>> {
        let index = self.entries.lock().reserve(0, limit)?;
        Ok(Reservation { table: self, index })
    }

    /// Calls `visit` on the open files of descriptors from `first` on, one for each bit of `wanted`, lowest first. `visit`
    /// does not sleep. EBADF.
    pub(crate) fn visit(&self, first: usize, wanted: u64, mut visit: impl FnMut(usize, &Arc<OpenFile>)) -> Result {
        let entries = self.entries.lock();
        let mut left = wanted;
        while left != 0 {
            let fd = first + left.trailing_zeros() as usize;
            left &= left - 1;
            visit(fd, entries.get(fd as i32)?);
        }
        Ok(())
    }

    /// Puts `file` at the lowest free descriptor from `from` on. EMFILE at `limit`; ENOMEM.
    pub(crate) fn insert(&self, file: Arc<OpenFile>, from: i32, limit: u64, close_on_exec: bool) -> Result<i32> {
        let mut entries = self.entries.lock();
        let index = entries.reserve(from.max(0) as usize, limit)?;
        entries.put(index, file, close_on_exec);
        Ok(index as i32)
    }

    /// Puts `file` at `fd`, closing what was there (dup2). EBADF at `limit`; EBUSY for one that is reserved; ENOMEM.
    pub(crate) fn replace(&self, fd: i32, file: Arc<OpenFile>, limit: u64, close_on_exec: bool) -> Result {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        Errno::EBADF.when(index as u64 >= limit)?;
        let old = {
            let mut entries = self.entries.lock();
            entries.grow_to(index)?;
            Errno::EBUSY.when(entries.is_used(index) && entries.files[index].is_none())?;
            entries.put(index, file, close_on_exec)
        };
        if let Some(old) = old {
            // "any errors that would have been reported by close() are lost" (dup2(2), NOTES)
            let _ = self.finish_close(&old);
        }
        Ok(())
    }

    /// Closes `fd`. EBADF.
    pub(crate) fn close(&self, fd: i32) -> Result {
        let file = self.entries.lock().remove(fd)?;
        self.finish_close(&file)
    }

    /// Closes the descriptors from `first` to `last`, both included.
    pub(crate) fn close_range(&self, first: u32, last: u32) {
        let mut next = first as usize;
        loop {
            let file = {
                let mut entries = self.entries.lock();
                let end = entries.files.len().min((last as usize).saturating_add(1));
                let Some(index) = (next..end).find(|&index| entries.files[index].is_some()) else { return };
                next = index + 1;
                entries.remove(index as i32)
            };
            if let Ok(file) = file {
                let _ = self.finish_close(&file);
            }
        }
    }

    /// Closes all descriptors marked close-on-exec.
    pub(crate) fn close_on_exec(&self) {
        let mut word = 0;
        loop {
            let file = {
                let mut entries = self.entries.lock();
                let Some(found) = (word..entries.close_on_exec.len()).find(|&word| entries.close_on_exec[word] != 0)
                else {
                    return;
                };
                word = found;
                let index = word * 64 + entries.close_on_exec[word].trailing_zeros() as usize;
                entries.remove(index as i32)
            };
            if let Ok(file) = file {
                let _ = self.finish_close(&file);
            }
        }
    }

    /// Closes all.
    pub(crate) fn close_all(&self) {
        self.close_range(0, u32::MAX);
    }

    /// What close(2) owes besides the descriptor: the process' record locks on the file go, whichever descriptor they
    /// were taken by (fcntl(2)), and errors of earlier writes come up.
    fn finish_close(&self, file: &OpenFile) -> Result {
        if self.has_locks.load(Ordering::Relaxed) {
            locks::release_process(self, file);
        }
        file.file().flush()
    }

    /// Returns the close-on-exec mark. EBADF.
    pub(crate) fn is_close_on_exec(&self, fd: i32) -> Result<bool> {
        let entries = self.entries.lock();
        entries.get(fd)?;
        Ok(entries.close_on_exec[fd as usize / 64] & 1 << (fd % 64) != 0)
    }

    /// Sets the close-on-exec mark. EBADF.
    pub(crate) fn set_close_on_exec(&self, fd: i32, mark: bool) -> Result {
        let mut entries = self.entries.lock();
        entries.get(fd)?;
        entries.mark(fd as usize, mark);
        Ok(())
    }

    /// Sets the close-on-exec mark of the open descriptors from `first` to `last`, both included.
    pub(crate) fn mark_range_close_on_exec(&self, first: u32, last: u32) {
        let mut entries = self.entries.lock();
        let end = entries.files.len().min((last as usize).saturating_add(1));
        for index in first as usize..end {
            if entries.files[index].is_some() {
                entries.mark(index, true);
            }
        }
    }

    /// Returns how many descriptors the table has room for now; none at or above is open.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.lock().used.len() * 64
    }

    /// Returns all open descriptors in order.
    pub(crate) fn descriptors(&self) -> Vec<(i32, Arc<OpenFile>)> {
        let entries = self.entries.lock();
        let open = entries.files.iter().enumerate();
        open.filter_map(|(fd, file)| file.as_ref().map(|file| (fd as i32, file.clone()))).collect()
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        self.close_all();
    }
}

impl Entries {
    fn get(&self, fd: i32) -> Result<&Arc<OpenFile>> {
        let slot = usize::try_from(fd).ok().and_then(|index| self.files.get(index));
        slot.and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    /// Returns the lowest unused descriptor not below `from`.
    fn lowest_free(&mut self, from: usize) -> usize {
        while self.used.get(self.first_free_word) == Some(&u64::MAX) {
            self.first_free_word += 1;
        }
        let mut word = self.first_free_word.max(from / 64);
        let mut below = if word == from / 64 { (1 << (from % 64)) - 1 } else { 0 };
        while let Some(&used) = self.used.get(word) {
            if used | below != u64::MAX {
                return word * 64 + (used | below).trailing_ones() as usize;
            }
            below = 0;
            word += 1;
        }
        from.max(word * 64)
    }

    /// Takes the lowest unused descriptor not below `from`. EMFILE, ENOMEM.
    fn reserve(&mut self, from: usize, limit: u64) -> Result<usize> {
        let index = self.lowest_free(from);
        Errno::EMFILE.when(index as u64 >= limit || index > i32::MAX as usize)?;
        self.grow_to(index)?;
        self.used[index / 64] |= 1 << (index % 64);
        Ok(index)
    }

    /// Makes room for descriptor `index`. ENOMEM.
    #[inline]
    fn grow_to(&mut self, index: usize) -> Result {
        if index < self.files.len() { Ok(()) } else { self.grow((index + 1).next_multiple_of(8)) }
    }

    #[cold]
    fn grow(&mut self, length: usize) -> Result {
        let words = length.div_ceil(64);
        self.files.try_reserve(length - self.files.len())?;
        self.used.try_reserve(words - self.used.len())?;
        self.close_on_exec.try_reserve(words - self.close_on_exec.len())?;
        self.files.resize(length, None);
        self.used.resize(words, 0);
        self.close_on_exec.resize(words, 0);
        Ok(())
    }

    /// Copies all to a table that is empty but has room; returns whether it has enough.
    fn copy_to(&self, copy: &mut Entries) -> bool {
        if copy.files.len() < self.files.len() {
            return false;
        }
        copy.files[..self.files.len()].clone_from_slice(&self.files);
        copy.used[..self.used.len()].copy_from_slice(&self.used);
        copy.close_on_exec[..self.used.len()].copy_from_slice(&self.close_on_exec);
        true
    }

    fn is_used(&self, index: usize) -> bool {
        self.used[index / 64] & 1 << (index % 64) != 0
    }

    /// Sets a slot that there is room for; returns what was there.
    fn put(&mut self, index: usize, file: Arc<OpenFile>, close_on_exec: bool) -> Option<Arc<OpenFile>> {
        self.used[index / 64] |= 1 << (index % 64);
        self.mark(index, close_on_exec);
        self.files[index].replace(file)
    }

    fn remove(&mut self, fd: i32) -> Result<Arc<OpenFile>> {
        let slot = usize::try_from(fd).ok().and_then(|index| self.files.get_mut(index));
        let file = slot.and_then(Option::take).ok_or(Errno::EBADF)?;
        self.release(fd as usize);
        Ok(file)
    }

    /// Makes the descriptor of an empty slot free.
    fn release(&mut self, index: usize) {
        self.used[index / 64] &= !(1 << (index % 64));
        self.mark(index, false);
        self.first_free_word = self.first_free_word.min(index / 64);
    }

    /// Makes reserved descriptors free: they are another table's.
    fn drop_reservations(&mut self) {
        for (word, files) in self.used.iter_mut().zip(self.files.chunks(64)) {
            *word = files.iter().rev().fold(0, |word, file| word << 1 | u64::from(file.is_some()));
        }
        self.first_free_word = 0;
    }

    fn mark(&mut self, index: usize, close_on_exec: bool) {
        let bit = 1 << (index % 64);
        if close_on_exec {
            self.close_on_exec[index / 64] |= bit;
        } else {
            self.close_on_exec[index / 64] &= !bit;
        }
    }
}
