//! Open files: read, write, close, dup, fcntl, ioctl, …

use super::argument::Fd;
use super::context::Ctx;
use crate::errno::Result;
use crate::vm::UserPtr;

/// The most bytes that one read or write moves (read(2), notes).
const MAX_RW_LENGTH: usize = 0x7fff_f000;

/// read(2).
pub(crate) fn read(ctx: &Ctx<'_>, fd: Fd, buffer: UserPtr<'_, u8>, length: usize) -> Result<usize> {
    let file = ctx.file(fd)?;
    file.read(&mut buffer.destination(length.min(MAX_RW_LENGTH))?)
}
