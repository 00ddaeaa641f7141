//! All sockets of the family, for /proc/net/unix (proc(5)).

use super::end::{Closing, End};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::sync::{Arc, Weak};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt::Write;

static ENDS: SpinLock<BTreeMap<u64, Weak<End>>> = SpinLock::new(Rank::Registry, BTreeMap::new());

/// Adds a new one.
pub(super) fn add(end: &Arc<End>) {
    ENDS.lock().insert(end.inode, Arc::downgrade(end));
}

/// Takes away one that closes.
pub(super) fn remove(end: &End) {
    ENDS.lock().remove(&end.inode);
}

/// Returns the text of /proc/net/unix. The address in the kernel is nobody's business: 0, as Linux shows to most.
pub(crate) fn list() -> String {
    const LISTENS: u32 = 1 << 16;
    const UNCONNECTED: u32 = 1;
    const CONNECTING: u32 = 2;
    const CONNECTED: u32 = 3;
    let mut text = String::from("Num       RefCount Protocol Flags    Type St Inode Path\n");
    for end in ENDS.walk(Weak::upgrade).filter_map(|(_, end)| end) {
        let flags = if end.state.lock().listening.is_some() { LISTENS } else { 0 };
        let state = match end.connected_to() {
            0 => UNCONNECTED,
            _ if end.is_closing(Closing::UNACCEPTED) => CONNECTING,
            _ => CONNECTED,
        };
        let (references, kind) = (Arc::strong_count(&end), end.kind as u32);
        let _ = write!(text, "{:016x}: {references:08X} 00000000 {flags:08X} {kind:04X} {state:02X} ", 0);
        let _ = write!(text, "{:5}", if state == CONNECTING { 0 } else { end.inode });
        if let Some(name) = end.name() {
            let is_path = name.first() != Some(&0);
            let name = if is_path { &name[..name.len() - 1] } else { &name[..] };
            let shown: Vec<u8> = name.iter().map(|&byte| if byte == 0 { b'@' } else { byte }).collect();
            let _ = write!(text, " {}", String::from_utf8_lossy(&shown));
        }
        text.push('\n');
    }
    text
}
