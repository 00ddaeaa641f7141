//! FIFOs: the pipe behind a FIFO's inode, there as long as somebody has it open.

use super::Inode;
use crate::errno::{Errno, Result};
use crate::file::pipe::{self, Pipe};
use crate::file::{File, StatusFlags};
use alloc::sync::{Arc, Weak};

/// Opens the pipe of a FIFO's inode, made by its first user; waits for the other side as fifo(7) says.
pub(super) fn open(inode: &Arc<dyn Inode>, flags: StatusFlags) -> Result<Arc<dyn File>> {
    let attachment = inode.attachment().ok_or(Errno::ENXIO)?;
    let fresh = Pipe::new();
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
