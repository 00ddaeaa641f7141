//! Sockets that only keep each other: sent through one another and then closed, so that nobody can reach them but they
//! never end by themselves.
//!
//! Whenever a socket closes while others are on the way, `collect` looks for sockets all of whose references are messages
//! of such sockets. Nothing stops the world: a socket that was reachable while it was looked at has a reference more at
//! the end than it has messages, and then all are left alone until the next time.

use super::UnixSocket;
use super::end::End;
use crate::file::OpenFile;
use crate::machine::sync::SpinLock;
use crate::net::socket_of;
use crate::rank::Rank;
use alloc::sync::{Arc, Weak};
use alloc::{collections::BTreeMap, vec::Vec};
use core::any::Any;

/// The sockets on the way by the address of their open file, and how often they are.
static DEPARTED: SpinLock<BTreeMap<usize, (Weak<OpenFile>, usize)>> = SpinLock::new(Rank::Registry, BTreeMap::new());

struct Suspect {
    end: Arc<End>,
    /// References from messages; and how many of them are messages to suspects.
    references: usize,
    among_suspects: usize,
    is_reachable: bool,
}

fn key(file: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(file).addr()
}

fn end_of(file: &OpenFile) -> Option<Arc<End>> {
    let socket: &dyn Any = &**socket_of(file).ok()?.socket();
    socket.downcast_ref::<UnixSocket>().map(|socket| socket.end().clone())
}

/// Notes that a message holds a file.
pub(super) fn note_departure(file: &Arc<OpenFile>) {
    if end_of(file).is_some() {
        DEPARTED.lock().entry(key(file)).or_insert_with(|| (Arc::downgrade(file), 0)).1 += 1;
    }
}

/// Notes that a message does not hold a file any more.
pub(super) fn note_arrival(file: &Arc<OpenFile>) {
    let mut departed = DEPARTED.lock();
    if let Some((_, count)) = departed.get_mut(&key(file)) {
        *count -= 1;
        if *count == 0 {
            departed.remove(&key(file));
        }
    }
}

/// Empties sockets that only keep each other. Hold no locks.
pub(super) fn collect() {
    let mut suspects = BTreeMap::new();
    for (key, file, references) in departed() {
        if let Some(end) = end_if_unreachable(&file, references) {
            suspects.insert(key, Suspect { end, references, among_suspects: 0, is_reachable: false });
        }
    }
    if suspects.is_empty() {
        return;
    }

    for held in suspects.values().flat_map(|suspect| held_by(&suspect.end)).collect::<Vec<_>>() {
        if let Some(suspect) = suspects.get_mut(&held) {
            suspect.among_suspects += 1;
        }
    }
    let is_held_outside = |suspect: &Suspect| suspect.among_suspects < suspect.references;
    let mut reached: Vec<usize> =
        suspects.iter().filter(|(_, suspect)| is_held_outside(suspect)).map(|(key, _)| *key).collect();
    while let Some(suspect) = reached.pop().and_then(|key| suspects.get_mut(&key)) {
        if !core::mem::replace(&mut suspect.is_reachable, true) {
            reached.extend(held_by(&suspect.end));
        }
    }
    suspects.retain(|_, suspect| !suspect.is_reachable);

    let now = departed();
    let is_unchanged = |key: &usize, suspect: &Suspect| {
        let found = now.iter().find(|(other, ..)| other == key);
        found.is_some_and(|(_, file, references)| {
            *references == suspect.references && end_if_unreachable(file, *references).is_some()
        })
    };
    if suspects.iter().all(|(key, suspect)| is_unchanged(key, suspect)) {
        let mut rights = Vec::new();
        for suspect in suspects.values() {
            visit_inboxes(&suspect.end, &mut |end| {
                rights.extend(end.inbox().messages.iter_mut().filter_map(|message| message.rights.take()));
            });
        }
    }
}

fn departed() -> Vec<(usize, Weak<OpenFile>, usize)> {
    DEPARTED.walk(Clone::clone).map(|(key, (file, references))| (key, file, references)).collect()
}

/// Returns a socket's end if nothing refers to it but so many messages.
fn end_if_unreachable(file: &Weak<OpenFile>, references: usize) -> Option<Arc<End>> {
    let file = file.upgrade()?;
    // One more is in our own hands.
    if Arc::strong_count(&file) == references + 1 { end_of(&file) } else { None }
}

/// Returns the files in the messages to a socket.
fn held_by(end: &Arc<End>) -> Vec<usize> {
    let mut held = Vec::new();
    visit_inboxes(end, &mut |end| {
        let inbox = end.inbox();
        let rights = inbox.messages.iter().filter_map(|message| message.rights.as_ref());
        held.extend(rights.flat_map(|rights| rights.files()).map(key));
    });
    held
}

/// Calls `visit` on a socket's end and on those of the connections that wait at it.
fn visit_inboxes(end: &Arc<End>, visit: &mut dyn FnMut(&End)) {
    visit(end);
    let pending = |index| end.state.lock().listening.as_ref()?.pending.get(index).cloned();
    for socket in (0..).map_while(pending) {
        visit(socket.end());
    }
}
