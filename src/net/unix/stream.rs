//! Streams of bytes.

use super::end::{Closing, End};
use super::passing::{Ancillary, Credentials};
use super::socket::UnixSocket;
use crate::errno::{Errno, Result};
use crate::file::Events;
use crate::net::{Incoming, Outgoing};
use crate::vm::{Destination, Source};
use alloc::sync::Arc;
use linux_raw_sys::net::{MSG_OOB, MSG_PEEK, MSG_WAITALL, SO_PASSCRED};

impl UnixSocket {
    /// Sends all of `from`, sleeping for room if need be: EPIPE; ENOTCONN; EISCONN or EOPNOTSUPP with an address.
    pub(super) fn send_stream(&self, from: &mut Source<'_>, message: &Outgoing<'_>) -> Result<usize> {
        Errno::EOPNOTSUPP.when(message.flags & MSG_OOB != 0)?;
        let Ancillary { credentials, mut rights } = Ancillary::read(message.control)?;
        if message.address.is_some() {
            return Err(if self.connection().is_some() { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let peer = self.connection().ok_or(Errno::ENOTCONN)?;
        Errno::EPIPE.when(self.end().is_closing(Closing::SEND))?;

        let credentials = self.credentials_for(peer, credentials);
        let total = from.remaining();
        if total == 0 {
            return Ok(0);
        }
        let result = message.wait.block_on(&self.end().writable, || {
            let mut inbox = peer.inbox();
            Errno::EPIPE.when(self.end().is_closing(Closing::SEND) || peer.is_closing(Closing::RECEIVE))?;
            let (allowance, before) = (self.end().allowance()?, from.remaining());
            let charge = inbox.append(from, allowance, credentials, &mut rights)?;
            let is_cut = before - from.remaining() < allowance;
            self.end().charge(charge);
            peer.unlock(inbox);
            peer.readable.announce(Events::READABLE);
            match from.remaining() {
                0 => Ok(()),
                // The user's or the kernel's memory ended there: no room that comes would help.
                _ if is_cut => Err(Errno::EFAULT),
                _ => Err(Errno::EAGAIN),
            }
        });
        match total - from.remaining() {
            0 => result.map(|()| 0),
            done => Ok(done),
        }
    }

    /// Returns what credentials go with a message: given ones, or the caller's if somebody wants them.
    pub(super) fn credentials_for(&self, peer: &End, given: Option<Credentials>) -> Option<Credentials> {
        let is_wanted = self.end().options.is_on(SO_PASSCRED)
            || peer.options.is_on(SO_PASSCRED)
            || peer.is_closing(Closing::UNACCEPTED);
        given.or_else(|| is_wanted.then(Credentials::of_caller))
    }

    /// Receives what is there, or MSG_WAITALL's and SO_RCVLOWAT's amount: 0 at the end; EINVAL unless connected.
    pub(super) fn receive_stream(&self, to: &mut Destination<'_>, message: &mut Incoming) -> Result<usize> {
        let peer = self.connection().ok_or(Errno::EINVAL)?;
        Errno::EINVAL.when(message.flags & MSG_OOB != 0)?;
        let wanted = match message.flags & MSG_WAITALL {
            0 => self.end().options.receive_low_mark().min(to.remaining()),
            _ => to.remaining(),
        };
        let start = to.done();
        let mut ancillary = None;
        let result = message.wait.block_on(&self.end().readable, || {
            loop {
                let is_complete = self.take_stream(peer, to, message.flags, &mut ancillary)?;
                if is_complete || to.done() - start >= wanted.max(1) || to.remaining() == 0 {
                    return Ok(());
                }
            }
        });

        let done = to.done() - start;
        if ancillary.is_some() && message.wants_address {
            message.address = peer.name().map_or_else(Default::default, |name| super::address::encode(Some(&name)));
        }
        if let Some(ancillary) = ancillary {
            ancillary.deliver(self.end().options.is_on(SO_PASSCRED), message.control.as_mut(), message.flags);
        }
        if done > 0 { Ok(done) } else { result.map(|()| 0) }
    }

    /// Takes what is there and may come in one call; returns whether no more may: other credentials follow, files came, or
    /// the stream has ended. EAGAIN if nothing is there.
    fn take_stream(
        &self, peer: &Arc<End>, to: &mut Destination<'_>, flags: u32, ancillary: &mut Option<Ancillary>,
    ) -> Result<bool> {
        let end = self.end();
        let mut inbox = end.inbox();
        if inbox.messages.is_empty() {
            // With the inbox locked: what was sent before the end is in it.
            end.options.take_error()?;
            return if end.is_closing(Closing::RECEIVE) { Ok(true) } else { Err(Errno::EAGAIN) };
        }
        if flags & MSG_PEEK != 0 {
            let mut skipped = 0;
            for waiting in &inbox.messages {
                let is_same = ancillary.as_ref().is_none_or(|first| self.may_join(first, waiting.credentials));
                if !is_same {
                    break;
                }
                let count = inbox.bytes.copy_out(to, skipped, waiting.length)?;
                *ancillary = Some(Ancillary::duplicate(waiting.credentials, waiting.rights.as_ref()));
                skipped += waiting.length;
                if count < waiting.length || waiting.rights.is_some() {
                    break;
                }
            }
            return Ok(true);
        }

        let mut freed = 0;
        let mut result = Ok(false);
        while let Some(first) = inbox.messages.front_mut() {
            if ancillary.as_ref().is_some_and(|got| !self.may_join(got, first.credentials)) {
                result = Ok(true);
                break;
            }
            let (length, credentials) = (first.length, first.credentials);
            let count = match inbox.bytes.copy_out(to, 0, length) {
                Ok(count) => count,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
            let rights = inbox.messages.front_mut().and_then(|first| first.rights.take());
            let has_rights = rights.is_some();
            *ancillary = Some(Ancillary { credentials, rights });
            freed += inbox.consume(count, false).0;
            if has_rights || count < length {
                result = Ok(has_rights || to.remaining() > 0);
                break;
            }
        }
        end.unlock(inbox);
        if freed > 0 {
            peer.release(freed);
        }
        result
    }

    /// "Never glue messages from different writers" (Linux), where the receiver wants to tell them apart.
    fn may_join(&self, first: &Ancillary, next: Option<Credentials>) -> bool {
        !self.end().options.is_on(SO_PASSCRED) || first.credentials == next
    }
}
