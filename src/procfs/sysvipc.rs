//! /proc/sysvipc: all System V objects, in Linux's columns.

use crate::ipc::message::{self, Status};
use crate::ipc::{Object, Owner, semaphore, shared_memory};
use crate::machine::memory::PAGE_SIZE;
use alloc::{format, string::String};
use core::sync::atomic::Ordering;

/// /proc/sysvipc/shm.
pub(super) fn segments() -> String {
    let mut text = String::from(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      \
         dtime      ctime                   rss                  swap\n",
    );
    for object in shared_memory::SEGMENTS.all() {
        let (name, owner, changed) = columns(&object, shared_memory::state_bits(&object));
        let (content, count) = (object.value.content(), object.value.attachments());
        let (size, creator, user) = (content.size, content.creator, content.last_user.load(Ordering::Relaxed));
        let [attached, detached] = [&content.attached, &content.detached].map(|time| time.load(Ordering::Relaxed));
        let (resident, swapped) = (content.resident_pages() * PAGE_SIZE, 0);
        text += &format!("{name} {size:21} {creator:5} {user:5}  {count:5} {owner} {attached:10} {detached:10} ");
        text += &format!("{changed:10} {resident:21} {swapped:21}\n");
    }
    text
}

/// /proc/sysvipc/sem.
pub(super) fn sets() -> String {
    let mut text =
        String::from("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    for object in semaphore::SETS.all() {
        let (name, owner, changed) = columns(&object, 0);
        let (count, operated) = (object.value.count(), object.value.operated());
        text += &format!("{name} {count:10} {owner} {operated:10} {changed:10}\n");
    }
    text
}

/// /proc/sysvipc/msg.
pub(super) fn queues() -> String {
    let mut text = String::from(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      \
         ctime\n",
    );
    for object in message::QUEUES.all() {
        let (name, owner, changed) = columns(&object, 0);
        let Status { bytes, count, last_sender, last_receiver, sent, received, .. } = object.value.status();
        text += &format!("{name}  {bytes:10} {count:10} {last_sender:5} {last_receiver:5} {owner} ");
        text += &format!("{sent:10} {received:10} {changed:10}\n");
    }
    text
}

/// Returns what all tables show: which object and its permissions (with `state`), whose it is, and when it was changed.
fn columns<T>(object: &Object<T>, state: u32) -> (String, String, i64) {
    let Owner { uid, gid, creator_uid, creator_gid, mode, changed } = object.owner();
    let name = format!("{:10} {:10}  {:4o}", object.key(), object.id(), mode | state);
    (name, format!("{uid:5} {gid:5} {creator_uid:5} {creator_gid:5}"), changed)
}
