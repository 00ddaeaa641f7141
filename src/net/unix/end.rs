//! What others know of a socket: its name, what it has received, how much of what it sent nobody has read yet, and
//! which directions are shut.
//!
//! The inbox is under a sleeping lock, because copies to and from user memory may fault; what poll(2) needs is mirrored
//! in atomics. Whoever shuts an end sets its flags first and then takes the inbox's lock; who sends looks at the flags
//! with that lock held: so nothing arrives at an end that is closed.

use super::address::Name;
use super::inbox::{Inbox, Message};
use super::socket::UnixSocket;
use super::table;
use crate::errno::{Errno, Result};
use crate::file::{Events, Readiness, anonymous};
use crate::machine::sync::SpinLock;
use crate::machine::task::{Mutex, MutexGuard};
use crate::net::SocketKind;
use crate::net::options::Options;
use crate::net::socket::PeerIdentity;
use crate::rank::Rank;
use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use bitflags::bitflags;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

bitflags! {
    /// What an end does not do any more.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Closing: u8 {
        const RECEIVE = 1;
        const SEND = 2;
        const BOTH = 3;
        /// Its socket is gone.
        const CLOSED = 4;
        /// Not yet: it is connected, but nobody has accepted it.
        const UNACCEPTED = 8;
    }
}

/// How many packets may wait for one who is not connected to their sender; one more is let in (Linux:
/// net.unix.max_dgram_qlen).
const WAITING_PACKETS: usize = 10;

pub(super) struct End {
    pub(super) kind: SocketKind,
    pub(super) inode: u64,
    pub(super) options: Options,
    pub(super) state: SpinLock<State>,
    inbox: Mutex<Inbox>,
    /// How many messages are in the inbox.
    waiting: AtomicUsize,
    /// What the messages count that it sent and nobody has taken yet.
    unread: AtomicUsize,
    closing: AtomicU8,
    /// The inode number of the end that it is connected to; 0 = none.
    connected_to: AtomicU64,
    /// Something came, or nothing will any more.
    pub(super) readable: Readiness,
    /// What it sent was taken.
    pub(super) writable: Readiness,
    /// Room in the inbox or among the waiting connections.
    pub(super) room: Readiness,
}

#[derive(Default)]
pub(super) struct State {
    name: Option<Name>,
    /// Who was at the other end when the connection was made; of a listening socket, who made it listen.
    pub(super) peer: Option<PeerIdentity>,
    pub(super) listening: Option<Listening>,
}

/// Connections that wait to be accepted.
pub(super) struct Listening {
    pub(super) backlog: usize,
    pub(super) pending: VecDeque<Arc<UnixSocket>>,
}

impl End {
    /// Makes an end that is connected to nobody.
    pub(super) fn new(kind: SocketKind) -> Arc<End> {
        let end = Arc::new(End {
            kind,
            inode: anonymous::next_inode(),
            options: Options::new(),
            state: SpinLock::new(Rank::Stream, State::default()),
            inbox: Mutex::new(Rank::SocketInbox, Inbox::new()),
            waiting: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            closing: AtomicU8::new(0),
            connected_to: AtomicU64::new(0),
            readable: Readiness::new(),
            writable: Readiness::new(),
            room: Readiness::new(),
        });
        table::add(&end);
        end
    }

    pub(super) fn name(&self) -> Option<Name> {
        self.state.lock().name.clone()
    }

    /// Gives it a name. EINVAL if it has one.
    pub(super) fn name_it(&self, name: Name) -> Result {
        let mut state = self.state.lock();
        Errno::EINVAL.when(state.name.is_some())?;
        state.name = Some(name);
        Ok(())
    }

    pub(super) fn is_closing(&self, what: Closing) -> bool {
        self.closing.load(Ordering::SeqCst) & what.bits() == what.bits()
    }

    /// Notes that it does not do `what` any more, and tells all who wait.
    pub(super) fn shut(&self, what: Closing) {
        self.closing.fetch_or(what.bits(), Ordering::SeqCst);
        self.readable.announce(Events::READABLE | Events::READ_HANG_UP | Events::HANG_UP | Events::ERROR);
        self.writable.announce(Events::WRITABLE | Events::HANG_UP | Events::ERROR);
        self.room.announce(Events::WRITABLE | Events::HANG_UP);
    }

    pub(super) fn set_accepted(&self) {
        self.closing.fetch_and(!Closing::UNACCEPTED.bits(), Ordering::SeqCst);
    }

    pub(super) fn set_unaccepted(&self) {
        self.closing.fetch_or(Closing::UNACCEPTED.bits(), Ordering::SeqCst);
    }

    pub(super) fn connected_to(&self) -> u64 {
        self.connected_to.load(Ordering::SeqCst)
    }

    pub(super) fn set_connected_to(&self, peer: Option<&End>) {
        self.connected_to.store(peer.map_or(0, |peer| peer.inode), Ordering::SeqCst);
    }

    /// Returns whether what `sender` sends may come here (Linux: unix_may_send).
    pub(super) fn accepts_from(&self, sender: &End) -> bool {
        matches!(self.connected_to(), 0) || self.connected_to() == sender.inode
    }

    /// Returns whether packets from `sender` have to wait although it may send more.
    pub(super) fn is_full_for(&self, sender: &End) -> bool {
        self.waiting() > WAITING_PACKETS && self.connected_to() != sender.inode && self.inode != sender.inode
    }

    /// Returns how many messages are in the inbox.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Locks the inbox.
    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock()
    }

    /// Unlocks the inbox after a change.
    pub(super) fn unlock(&self, inbox: MutexGuard<'_, Inbox>) {
        self.waiting.store(inbox.messages.len(), Ordering::SeqCst);
    }

    /// Notes that of `before` packets one was taken: who waited for room may go on.
    pub(super) fn note_room(&self, before: usize) {
        if before == WAITING_PACKETS + 1 {
            self.room.announce(Events::WRITABLE);
        }
    }

    /// Returns what the messages count that it sent and nobody has taken.
    pub(super) fn unread(&self) -> usize {
        self.unread.load(Ordering::SeqCst)
    }

    /// Returns how much more it may send now. EAGAIN.
    pub(super) fn allowance(&self) -> Result<usize> {
        match self.options.send_buffer().saturating_sub(self.unread()) {
            0 => Err(Errno::EAGAIN),
            allowance => Ok(allowance),
        }
    }

    pub(super) fn charge(&self, bytes: usize) {
        self.unread.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Notes that somebody took what it sent. Like Linux it wakes senders only when three quarters are free, so that they
    /// do not run for each byte.
    pub(super) fn release(&self, bytes: usize) {
        let before = self.unread.fetch_sub(bytes, Ordering::SeqCst);
        let enough = self.options.send_buffer() / 4;
        if before > enough && before - bytes <= enough {
            self.writable.announce(Events::WRITABLE);
        }
    }

    /// Returns whether poll(2) calls it writable.
    pub(super) fn is_writable(&self) -> bool {
        self.unread() <= self.options.send_buffer() / 4
    }

    /// Takes all messages out of the inbox; their senders may send again. The caller drops them without locks held.
    pub(super) fn empty(&self, peer: Option<&Arc<End>>) -> Vec<Message> {
        let messages: Vec<Message> = {
            let mut inbox = self.inbox();
            let messages = core::mem::take(&mut inbox.messages).into();
            *inbox = Inbox::new();
            self.unlock(inbox);
            messages
        };
        self.room.announce(Events::WRITABLE);
        for message in &messages {
            if let Some(sender) = message.sender.as_ref().or(peer) {
                sender.release(message.charge());
            }
        }
        messages
    }
}
