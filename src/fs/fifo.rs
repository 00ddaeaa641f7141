//! FIFOs: the pipe behind a FIFO's inode, there as long as somebody has it open.

use super::{Capabilities, Identity, Inode};
use crate::errno::{Errno, Result};
use crate::file::pipe::{self, Pipe, PipeOwner};
use crate::file::{File, StatusFlags};
use alloc::sync::{Arc, Weak};

/// Opens the pipe of a FIFO's inode, made by its first user; waits for the other side as fifo(7) says.
pub(super) fn open(inode: &Arc<dyn Inode>, flags: StatusFlags, identity: &Identity) -> Result<Arc<dyn File>> {
    let attachment = inode.attachment().ok_or(Errno::ENXIO)?;
    let fresh = Pipe::new(identity.as_pipe_owner());
    let pipe = {
        let mut attached = attachment.lock();
        let present = attached.as_ref().and_then(Weak::upgrade).and_then(|pipe| pipe.downcast::<Pipe>().ok());
        present.unwrap_or_else(|| {
            let pipe: Arc<Pipe> = fresh.clone();
            let weak = Arc::downgrade(&pipe);
            *attached = Some(weak);
            pipe
        })
    };
    let end: Arc<dyn File> = pipe::open_fifo(&pipe, flags)?;
    Ok(end)
}

impl Identity {
    /// Returns whose a pipe is that the caller makes, and the limit of its pages (pipe(7), "/proc files").
    pub(crate) fn as_pipe_owner(&self) -> PipeOwner {
        let is_privileged = self.can(Capabilities::SYS_RESOURCE) || self.can(Capabilities::SYS_ADMIN);
        let limit_pages = if is_privileged { usize::MAX } else { pipe::USER_PAGES_SOFT };
        PipeOwner { uid: self.fsuid, gid: self.fsgid, charged_uid: self.uid, limit_pages }
    }
}
