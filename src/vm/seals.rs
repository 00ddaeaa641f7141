//! What may not be done to a file's content any more (fcntl(2), "File Sealing"): kept in its page cache, where writes,
//! changes of size and mappings all come by.

use super::page_cache::PageCache;
use crate::errno::{Errno, Result};
use bitflags::bitflags;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as linux;

bitflags! {
    /// A set of seals, Linux's bits.
    #[derive(Clone, Copy)]
    pub(crate) struct Seals: u32 {
        /// No further seals. A file that cannot be sealed has it from the start.
        const SEAL = linux::F_SEAL_SEAL;
        const SHRINK = linux::F_SEAL_SHRINK;
        const GROW = linux::F_SEAL_GROW;
        const WRITE = linux::F_SEAL_WRITE;
        /// Mappings that write already go on.
        const FUTURE_WRITE = linux::F_SEAL_FUTURE_WRITE;
    }
}

impl PageCache {
    /// Returns the seals.
    pub(crate) fn seals(&self) -> Seals {
        Seals::from_bits_retain(self.seal_bits.load(Ordering::Acquire))
    }

    /// Lets seals be added to a new file.
    pub(crate) fn allow_sealing(&self) {
        self.seal_bits.store(0, Ordering::Release);
    }

    /// Adds seals; the caller keeps writes and changes of size out. EPERM when sealed against it, EBUSY for WRITE while
    /// a shared mapping may write.
    pub(crate) fn add_seals(&self, seals: Seals) -> Result {
        Errno::EPERM.when(self.seals().contains(Seals::SEAL))?;
        // First the seal, then the look: a mapping that comes meanwhile finds the one or is found by the other.
        let before = self.seal_bits.fetch_or(seals.bits(), Ordering::AcqRel);
        if seals.contains(Seals::WRITE) && self.any_mapper(|space| space.may_write_cache(self)) {
            self.seal_bits.store(before, Ordering::Release);
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// Returns whether nobody may begin to write.
    pub(super) fn is_sealed_against_writes(&self) -> bool {
        self.seals().intersects(Seals::WRITE | Seals::FUTURE_WRITE)
    }
}
