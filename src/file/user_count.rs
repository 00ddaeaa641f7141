//! How much of something each user has, where users may not take all of it: threads, queued signals, pages in
//! pipes, inotify instances and watches, bytes in message queues. What was charged comes back when the `Charge` is dropped.

use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::collections::BTreeMap;

/// Amounts by user id.
pub(crate) struct UserCount {
    amounts: SpinLock<BTreeMap<u32, usize>>,
}

/// A user's share, until dropped.
pub(crate) struct Charge {
    count: &'static UserCount,
    uid: u32,
    amount: usize,
}

impl UserCount {
    /// Makes one where nobody has anything.
    pub(crate) const fn new() -> UserCount {
        UserCount { amounts: SpinLock::new(Rank::UserCount, BTreeMap::new()) }
    }

    /// Gives `amount` to a user who then has no more than `limit`; `None` if that would be more.
    pub(crate) fn charge(&'static self, uid: u32, amount: usize, limit: usize) -> Option<Charge> {
        self.add(uid, amount, limit)?;
        Some(Charge { count: self, uid, amount })
    }

    /// Returns how much a user has.
    pub(crate) fn of(&self, uid: u32) -> usize {
        self.amounts.lock().get(&uid).copied().unwrap_or(0)
    }

    fn add(&self, uid: u32, amount: usize, limit: usize) -> Option<()> {
        let mut amounts = self.amounts.lock();
        let total = amounts.get(&uid).copied().unwrap_or(0).checked_add(amount).filter(|total| *total <= limit)?;
        amounts.insert(uid, total);
        Some(())
    }

    fn give_back(&self, uid: u32, amount: usize) {
        let mut amounts = self.amounts.lock();
        let left = amounts.get(&uid).copied().unwrap_or(0).saturating_sub(amount);
        if left == 0 {
            amounts.remove(&uid);
        } else {
            amounts.insert(uid, left);
        }
    }
}

impl Charge {
    /// Changes the amount; `None`, and nothing changed, if the user would have more than `limit` for that.
    pub(crate) fn change(&mut self, amount: usize, limit: usize) -> Option<()> {
        match amount.checked_sub(self.amount) {
            Some(more) if more > 0 => self.count.add(self.uid, more, limit)?,
            _ => self.count.give_back(self.uid, self.amount - amount),
        }
        self.amount = amount;
        Some(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.count.give_back(self.uid, self.amount);
    }
}
