//! Ancillary data (cmsg(3)): control messages as sendmsg(2) brings them and recvmsg(2) takes them.

use crate::errno::{Errno, Result};
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct cmsghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    /// Of the header and the data.
    length: usize,
    level: u32,
    kind: u32,
}

const HEADER: usize = size_of::<Header>();

/// One control message.
pub(super) struct ControlMessage<'a> {
    pub(super) level: u32,
    pub(super) kind: u32,
    pub(super) data: &'a [u8],
}

/// Calls `visit` on each control message. EINVAL for one that does not lie in `bytes`.
pub(super) fn visit(mut bytes: &[u8], mut visit: impl FnMut(ControlMessage<'_>) -> Result) -> Result {
    while let Ok((header, _)) = Header::read_from_prefix(bytes) {
        let data = bytes.get(HEADER..header.length).ok_or(Errno::EINVAL)?;
        visit(ControlMessage { level: header.level, kind: header.kind, data })?;
        let next = header.length.next_multiple_of(align_of::<Header>()).min(bytes.len());
        bytes = &bytes[next..];
    }
    Ok(())
}

/// The caller's room for control messages, filled from the front.
pub(crate) struct ControlBuffer {
    bytes: Vec<u8>,
    limit: usize,
    is_truncated: bool,
}

impl ControlBuffer {
    /// Makes an empty buffer for `limit` bytes. Does not allocate.
    pub(crate) fn new(limit: usize) -> ControlBuffer {
        ControlBuffer { bytes: Vec::new(), limit, is_truncated: false }
    }

    /// Returns what was put.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether something did not fit (MSG_CTRUNC).
    pub(crate) fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// Notes that something did not fit.
    pub(super) fn note_truncation(&mut self) {
        self.is_truncated = true;
    }

    /// Returns how many bytes of data one more message may have.
    pub(super) fn room(&self) -> usize {
        (self.limit - self.bytes.len()).saturating_sub(HEADER)
    }

    /// Puts a control message, cut if it does not fit whole.
    pub(super) fn put(&mut self, level: u32, kind: u32, data: &[u8]) {
        let left = self.limit - self.bytes.len();
        if left < HEADER {
            return self.note_truncation();
        }
        let length = (HEADER + data.len()).min(left);
        if length < HEADER + data.len() {
            self.note_truncation();
        }
        let end = self.bytes.len() + length.next_multiple_of(align_of::<Header>()).min(left);
        self.bytes.extend_from_slice(Header { length, level, kind }.as_bytes());
        self.bytes.extend_from_slice(&data[..length - HEADER]);
        self.bytes.resize(end, 0);
    }
}
