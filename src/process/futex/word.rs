//! The word itself: how it is reached while a spin lock is held, and what its bits mean to futexes with an owner.

use crate::errno::{Errno, Result};
use crate::machine::trap::PageFault;
use crate::machine::user;
use crate::vm::{AddressSpace, FaultOutcome};

/// Somebody sleeps: who unlocks must enter the kernel.
pub(super) const WAITERS: u32 = 0x8000_0000;
/// The owner ended without unlocking.
pub(super) const OWNER_DIED: u32 = 0x4000_0000;
/// The owner's thread id.
pub(super) const OWNER: u32 = 0x3fff_ffff;

/// Changes a word atomically; returns what it held, or `None` if it cannot be accessed at once.
pub(super) fn change(address: u64, change: impl Fn(u32) -> u32) -> Option<u32> {
    let mut old = user::load_u32(address)?;
    loop {
        let found = user::compare_exchange_u32(address, old, change(old))?;
        if found == old {
            return Some(old);
        }
        old = found;
    }
}

/// Brings the word's page in, and makes it one's own, so that it can be changed. EFAULT.
pub(super) fn bring_in_for_writing(space: &AddressSpace, address: u64) -> Result {
    let fault = PageFault { address, is_write: true, is_execute: false, is_protection: false };
    if space.handle_fault(fault) == FaultOutcome::Resolved { Ok(()) } else { Err(Errno::EFAULT) }
}
