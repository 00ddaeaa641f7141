//! The index of the kernel: one line a call. Unknown numbers get ENOSYS and one log line.

use super::argument::Handler;
use super::context::Ctx;
use super::file;
use crate::errno::{Errno, Result};

/// Serves system call `number`.
pub(crate) fn dispatch(ctx: &Ctx<'_>, number: u64, registers: &[u64; 6]) -> Result<usize> {
    match number {
        0 => file::read.serve(ctx, registers),
        _ => Err(Errno::ENOSYS),
    }
}
