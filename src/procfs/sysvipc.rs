//! /proc/sysvipc: all System V objects, in Linux's columns.

use super::Device;
use super::node::{Content, Directory, FixedDirectory, Node, NodeIdentity, Read, text};
use crate::ipc::{message, semaphore, shared_memory};
use crate::machine::memory::PAGE_SIZE;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// Makes the directory.
pub(super) fn tree(device: Device) -> Arc<Node> {
    let file = |name: &'static str, read: Read| {
        let identity = NodeIdentity::of_root(device, &format!("sysvipc/{name}"), 0o444);
        (name, Node::new(identity, Content::Text { read, write: None }))
    };
    let entries = [file("msg", text(queues)), file("sem", text(sets)), file("shm", text(segments))].into();
    let content: Box<dyn Directory> = Box::new(FixedDirectory { entries });
    Node::new(NodeIdentity::of_root(device, "sysvipc", 0o555), Content::Directory(content))
}

/// /proc/sysvipc/shm.
fn segments() -> String {
    let mut text = String::from(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      \
         dtime      ctime                   rss                  swap\n",
    );
    for object in shared_memory::SEGMENTS.all() {
        let (owner, content) = (object.owner(), object.value.content());
        text += &format!(
            "{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10} {:21} {:21}\n",
            object.key(),
            object.id(),
            owner.mode | shared_memory::state_bits(&object),
            content.size,
            content.creator,
            content.last_user.load(Ordering::Relaxed),
            object.value.attachments(),
            owner.uid,
            owner.gid,
            owner.creator_uid,
            owner.creator_gid,
            content.attached.load(Ordering::Relaxed),
            content.detached.load(Ordering::Relaxed),
            owner.changed,
            content.resident_pages() * PAGE_SIZE,
            0,
        );
    }
    text
}

/// /proc/sysvipc/sem.
fn sets() -> String {
    let mut text =
        String::from("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    for object in semaphore::SETS.all() {
        let owner = object.owner();
        text += &format!(
            "{:10} {:10}  {:4o} {:10} {:5} {:5} {:5} {:5} {:10} {:10}\n",
            object.key(),
            object.id(),
            owner.mode,
            object.value.count(),
            owner.uid,
            owner.gid,
            owner.creator_uid,
            owner.creator_gid,
            object.value.operated(),
            owner.changed,
        );
    }
    text
}

/// /proc/sysvipc/msg.
fn queues() -> String {
    let mut text = String::from(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      \
         ctime\n",
    );
    for object in message::QUEUES.all() {
        let (owner, status) = (object.owner(), object.value.status());
        text += &format!(
            "{:10} {:10}  {:4o}  {:10} {:10} {:5} {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10}\n",
            object.key(),
            object.id(),
            owner.mode,
            status.bytes,
            status.count,
            status.last_sender,
            status.last_receiver,
            owner.uid,
            owner.gid,
            owner.creator_uid,
            owner.creator_gid,
            status.sent,
            status.received,
            owner.changed,
        );
    }
    text
}
