//! What the end of a thread does to its futexes: the join word, and the list of robust ones (get_robust_list(2)).

use super::word::{OWNER, OWNER_DIED, WAITERS, bring_in_for_writing};
use super::{ANY, Key, wake};
use crate::errno::Result;
use crate::machine::user;
use crate::vm::{AddressSpace, UserPtr};

/// Clears the word that set_tid_address(2) named and wakes who joins the thread. The thread's memory must be loaded.
pub(in crate::process) fn clear_and_wake(space: &AddressSpace, address: u64) {
    if UserPtr::<u32>::new(space, address).write(&0).is_ok()
        && let Ok(key) = Key::new(space, address, false)
    {
        wake(key, 1, ANY);
    }
}

/// The most entries of a robust list that are looked at: it may be a circle (Linux: ROBUST_LIST_LIMIT).
const ROBUST_LIST_LIMIT: usize = 2048;

/// Marks the robust futexes that thread `id` still holds as their owner's death left them, and wakes a waiter of each
/// (get_robust_list(2)). The thread's memory must be loaded; what cannot be read ends the walk.
pub(in crate::process) fn release_all(space: &AddressSpace, head: u64, id: u32) {
    let word = |address: u64| UserPtr::<u64>::new(space, address).read();
    let walk = || -> Result {
        let mut entry = word(head)?;
        let (offset, pending) = (word(head + 8)?, word(head + 16)?);
        for _ in 0..ROBUST_LIST_LIMIT {
            if entry & !1 == head {
                break;
            }
            let next = word(entry & !1);
            if entry & !1 != pending & !1 {
                release(space, entry, offset, id, false)?;
            }
            entry = next?;
        }
        if pending & !1 != 0 {
            release(space, pending, offset, id, true)?;
        }
        Ok(())
    };
    // A broken list hurts only the program that broke it.
    let _ = walk();
}

/// Releases the futex of one list entry. Bit 0 of `entry` says that it inherits priorities: then its heir is woken by
/// `priority::let_go`.
fn release(space: &AddressSpace, entry: u64, offset: u64, id: u32, is_pending: bool) -> Result {
    let (address, is_inheriting) = ((entry & !1).wrapping_add(offset), entry & 1 != 0);
    let key = Key::new(space, address, false)?;
    loop {
        let Some(value) = user::load_u32(address) else {
            UserPtr::<u32>::new(space, address).read()?;
            continue;
        };
        // It died between unlocking and waking.
        if is_pending && !is_inheriting && value == 0 {
            wake_shared_and_private(space, key, address);
            return Ok(());
        }
        if value & OWNER != id {
            return Ok(());
        }
        match user::compare_exchange_u32(address, value, value & WAITERS | OWNER_DIED) {
            None => bring_in_for_writing(space, address)?,
            Some(found) if found == value => {
                if value & WAITERS != 0 && !is_inheriting {
                    wake_shared_and_private(space, key, address);
                }
                return Ok(());
            }
            Some(_) => {}
        }
    }
}

/// A process-private waiter of a word in shared memory has the other key.
fn wake_shared_and_private(space: &AddressSpace, key: Key, address: u64) {
    if wake(key, 1, ANY) == 0
        && let Ok(private) = Key::new(space, address, true)
        && private != key
    {
        wake(private, 1, ANY);
    }
}
