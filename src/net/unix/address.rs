//! Names of sockets: paths, whose inode holds the socket, and abstract names, which a table here holds.

use super::end::{Closing, End};
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use crate::fs::{Access, NewNode};
use crate::machine::sync::SpinLock;
use crate::net::SocketKind;
use crate::process::Thread;
use crate::rank::Rank;
use alloc::sync::{Arc, Weak};
use alloc::{collections::BTreeMap, format, vec::Vec};
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::net::{AF_UNIX, sockaddr_un};

/// Where the name begins in a `struct sockaddr_un`.
pub(super) const NAME_OFFSET: usize = 2;

/// A socket's name, as the bytes after the family: a path with a NUL at its end, or a NUL and an abstract name.
pub(super) type Name = Arc<[u8]>;

/// Abstract names; each kind of socket has a space of its own.
static ABSTRACT: SpinLock<BTreeMap<(SocketKind, Name), Weak<End>>> = SpinLock::new(Rank::Registry, BTreeMap::new());

/// Checks a `struct sockaddr_un`; returns what follows the family, not empty. EINVAL.
fn name_in(address: &[u8]) -> Result<&[u8]> {
    Errno::EINVAL.when(
        address.len() <= NAME_OFFSET || address.len() > size_of::<sockaddr_un>() || family_of(address) != AF_UNIX,
    )?;
    Ok(&address[NAME_OFFSET..])
}

/// Returns the family in a `struct sockaddr` of at least two bytes.
pub(super) fn family_of(address: &[u8]) -> u32 {
    address.first_chunk().map_or(0, |family| u32::from(u16::from_ne_bytes(*family)))
}

/// Returns a name as a `struct sockaddr_un`; without a name it is only the family.
pub(super) fn encode(name: Option<&Name>) -> Vec<u8> {
    let family = (AF_UNIX as u16).to_ne_bytes();
    [&family[..], name.map_or(&[], |name| &name[..])].concat()
}

/// Returns a path up to its NUL, if it is one.
fn path_in(name: &[u8]) -> Option<&[u8]> {
    let path = name.split(|&byte| byte == 0).next().unwrap_or_default();
    (!path.is_empty()).then_some(path)
}

/// bind(2): EINVAL if the socket has a name, EADDRINUSE.
pub(super) fn bind(end: &Arc<End>, address: &[u8]) -> Result {
    if address.len() == NAME_OFFSET && family_of(address) == AF_UNIX {
        return autobind(end);
    }
    let name = name_in(address)?;
    match path_in(name) {
        Some(path) => bind_path(end, path),
        None => bind_abstract(end, name),
    }
}

fn bind_path(end: &Arc<End>, path: &[u8]) -> Result {
    require_nameless(end)?;
    let view = Thread::current().view();
    let place = view.create(path, NewNode::Socket, 0o777).map_err(|error| match error {
        Errno::EEXIST => Errno::EADDRINUSE,
        error => error,
    })?;
    let inode = place.inode();
    let end_of_inode: Arc<dyn Any + Send + Sync> = end.clone();
    // A file system whose sockets are nobody's meeting place.
    *inode.attachment().ok_or(Errno::EPERM)?.lock() = Some(Arc::downgrade(&end_of_inode));
    let result = end.name_it([path, &[0]].concat().into());
    if result.is_err() {
        view.unlink(path)?;
    }
    result
}

fn bind_abstract(end: &Arc<End>, name: &[u8]) -> Result {
    require_nameless(end)?;
    let name: Name = name.into();
    let key = (end.kind, name.clone());
    {
        let mut names = ABSTRACT.lock();
        Errno::EADDRINUSE.when(names.contains_key(&key))?;
        names.insert(key.clone(), Arc::downgrade(end));
    }
    end.name_it(name).inspect_err(|_| {
        ABSTRACT.lock().remove(&key);
    })
}

/// Gives a socket without a name an unused one of 5 hexadecimal digits (unix(7), "Autobind feature").
pub(super) fn autobind(end: &Arc<End>) -> Result {
    const NAMES: u32 = 1 << 20;
    static NEXT: AtomicU32 = AtomicU32::new(1);
    if end.name().is_some() {
        return Ok(());
    }
    for _ in 0..NAMES {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % NAMES;
        match bind_abstract(end, format!("\0{number:05x}").as_bytes()) {
            Err(Errno::EADDRINUSE) => {}
            Err(Errno::EINVAL) => return Ok(()),
            result => return result,
        }
    }
    // "ENOSPC" in Linux too when all are taken.
    Err(Errno::ENOSPC)
}

fn require_nameless(end: &End) -> Result {
    if end.name().is_some() { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Forgets the abstract name of a socket that closes.
pub(super) fn release(end: &End) {
    if let Some(name) = end.name().filter(|name| path_in(name).is_none()) {
        let key = (end.kind, name);
        let mut names = ABSTRACT.lock();
        // A listener's name is also that of what it accepted.
        if names.get(&key).is_some_and(|holder| core::ptr::eq(holder.as_ptr(), end)) {
            names.remove(&key);
        }
    }
}

/// Finds the socket at an address. ECONNREFUSED, EPROTOTYPE, and what a path may answer.
pub(super) fn find(address: &[u8], kind: SocketKind) -> Result<Arc<End>> {
    let name = name_in(address)?;
    let end = match path_in(name) {
        Some(path) => find_path(path)?,
        None => {
            let names = ABSTRACT.lock();
            names.get(&(kind, name.into())).and_then(Weak::upgrade).ok_or(Errno::ECONNREFUSED)?
        }
    };
    Errno::ECONNREFUSED.when(end.is_closing(Closing::CLOSED))?;
    if end.kind != kind { Err(Errno::EPROTOTYPE) } else { Ok(end) }
}

fn find_path(path: &[u8]) -> Result<Arc<End>> {
    let view = Thread::current().view();
    let place = view.look_up(path, true)?;
    place.check(&view.identity, Access::WRITE)?;
    let inode = place.inode();
    Errno::ECONNREFUSED.when(inode.kind() != FileKind::Socket)?;
    let attached = inode.attachment().and_then(|attachment| attachment.lock().as_ref().and_then(Weak::upgrade));
    attached.and_then(|end| end.downcast::<End>().ok()).ok_or(Errno::ECONNREFUSED)
}
