//! The index of the kernel: one line a call. Unknown numbers get ENOSYS and one log line.

use super::argument::Handler;
use super::context::Ctx;
use super::{extent, fcntl, file, transfer};
use crate::errno::{Errno, Result};

/// Serves system call `number`.
pub(crate) fn dispatch(ctx: &Ctx<'_>, number: u64, registers: &[u64; 6]) -> Result<usize> {
    match number {
        0 => file::read.serve(ctx, registers),
        1 => file::write.serve(ctx, registers),
        3 => file::close.serve(ctx, registers),
        8 => file::lseek.serve(ctx, registers),
        16 => fcntl::ioctl.serve(ctx, registers),
        17 => file::pread64.serve(ctx, registers),
        18 => file::pwrite64.serve(ctx, registers),
        19 => file::readv.serve(ctx, registers),
        20 => file::writev.serve(ctx, registers),
        22 => file::pipe.serve(ctx, registers),
        32 => file::dup.serve(ctx, registers),
        33 => file::dup2.serve(ctx, registers),
        40 => transfer::sendfile.serve(ctx, registers),
        72 => fcntl::fcntl.serve(ctx, registers),
        73 => fcntl::flock.serve(ctx, registers),
        74 => extent::fsync.serve(ctx, registers),
        75 => extent::fsync.serve(ctx, registers),
        77 => extent::ftruncate.serve(ctx, registers),
        187 => extent::readahead.serve(ctx, registers),
        221 => extent::fadvise64.serve(ctx, registers),
        275 => transfer::splice.serve(ctx, registers),
        276 => transfer::tee.serve(ctx, registers),
        277 => extent::sync_file_range.serve(ctx, registers),
        278 => transfer::vmsplice.serve(ctx, registers),
        285 => extent::fallocate.serve(ctx, registers),
        292 => file::dup3.serve(ctx, registers),
        293 => file::pipe2.serve(ctx, registers),
        295 => file::preadv.serve(ctx, registers),
        296 => file::pwritev.serve(ctx, registers),
        326 => transfer::copy_file_range.serve(ctx, registers),
        327 => file::preadv2.serve(ctx, registers),
        328 => file::pwritev2.serve(ctx, registers),
        436 => file::close_range.serve(ctx, registers),
        _ => Err(Errno::ENOSYS),
    }
}
