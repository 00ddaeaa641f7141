//! The names of the system that uname(2) shows; two of them can be set.

use crate::errno::{Errno, Result};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::{string::String, vec::Vec};

/// The longest name in bytes (__NEW_UTS_LEN).
pub(crate) const NAME_LIMIT: usize = 64;

/// What `uname -r` shows: programs read a Linux version from its start and compare it with what they need.
pub(crate) const RELEASE: &str = "6.1.0-stele";

/// What `uname -v` shows.
pub(crate) const VERSION: &str = concat!("#1 SMP Stele ", env!("CARGO_PKG_VERSION"));

/// The host's and the domain's name, as sethostname(2) and setdomainname(2) left them.
struct Names {
    host: Vec<u8>,
    domain: Vec<u8>,
}

static NAMES: SpinLock<Names> = SpinLock::new(Rank::SystemName, Names { host: Vec::new(), domain: Vec::new() });

/// Returns the host's name; `(none)` until one is set, as on Linux.
pub(crate) fn host_name() -> Vec<u8> {
    let name = NAMES.lock().host.clone();
    if name.is_empty() { b"(none)".to_vec() } else { name }
}

/// Returns the domain's name; `(none)` until one is set.
pub(crate) fn domain_name() -> Vec<u8> {
    let name = NAMES.lock().domain.clone();
    if name.is_empty() { b"(none)".to_vec() } else { name }
}

/// Sets the host's name; privileges were checked. EINVAL if it is too long (sethostname(2)).
pub(crate) fn set_host_name(name: &[u8]) -> Result {
    set(name, |names| &mut names.host)
}

/// Sets the domain's name; privileges were checked. EINVAL if it is too long (setdomainname(2)).
pub(crate) fn set_domain_name(name: &[u8]) -> Result {
    set(name, |names| &mut names.domain)
}

fn set(name: &[u8], field: fn(&mut Names) -> &mut Vec<u8>) -> Result {
    Errno::EINVAL.when(name.len() > NAME_LIMIT)?;
    let mut name = name.to_vec();
    core::mem::swap(field(&mut NAMES.lock()), &mut name);
    Ok(())
}

/// Returns a name as text, for files that show it.
pub(crate) fn as_text(name: Vec<u8>) -> String {
    String::from_utf8_lossy(&name).into_owned()
}
