//! The index of the kernel: one line a call. Unknown numbers get ENOSYS and one log line.

use super::argument::Handler;
use super::context::Ctx;
use super::{extent, fcntl, file, memory, process, signal, transfer};
use crate::errno::{Errno, Result};
use crate::machine::console::log;
use core::sync::atomic::{AtomicU64, Ordering};

/// Serves system call `number`.
pub(crate) fn dispatch(ctx: &Ctx<'_>, number: u64, registers: &[u64; 6]) -> Result<usize> {
    match number {
        0 => file::read.serve(ctx, registers),
        1 => file::write.serve(ctx, registers),
        3 => file::close.serve(ctx, registers),
        8 => file::lseek.serve(ctx, registers),
        9 => memory::mmap.serve(ctx, registers),
        10 => memory::mprotect.serve(ctx, registers),
        11 => memory::munmap.serve(ctx, registers),
        12 => memory::brk.serve(ctx, registers),
        13 => signal::rt_sigaction.serve(ctx, registers),
        14 => signal::rt_sigprocmask.serve(ctx, registers),
        15 => signal::rt_sigreturn.serve(ctx, registers),
        16 => fcntl::ioctl.serve(ctx, registers),
        17 => file::pread64.serve(ctx, registers),
        18 => file::pwrite64.serve(ctx, registers),
        19 => file::readv.serve(ctx, registers),
        20 => file::writev.serve(ctx, registers),
        22 => file::pipe.serve(ctx, registers),
        25 => memory::mremap.serve(ctx, registers),
        26 => memory::msync.serve(ctx, registers),
        27 => memory::mincore.serve(ctx, registers),
        28 => memory::madvise.serve(ctx, registers),
        32 => file::dup.serve(ctx, registers),
        33 => file::dup2.serve(ctx, registers),
        34 => signal::pause.serve(ctx, registers),
        39 => process::getpid.serve(ctx, registers),
        40 => transfer::sendfile.serve(ctx, registers),
        56 => process::clone.serve(ctx, registers),
        57 => process::fork.serve(ctx, registers),
        58 => process::vfork.serve(ctx, registers),
        59 => process::execve.serve(ctx, registers),
        60 => process::exit.serve(ctx, registers),
        61 => process::wait4.serve(ctx, registers),
        62 => signal::kill.serve(ctx, registers),
        72 => fcntl::fcntl.serve(ctx, registers),
        73 => fcntl::flock.serve(ctx, registers),
        74 => extent::fsync.serve(ctx, registers),
        75 => extent::fsync.serve(ctx, registers),
        77 => extent::ftruncate.serve(ctx, registers),
        97 => process::getrlimit.serve(ctx, registers),
        98 => process::getrusage.serve(ctx, registers),
        100 => process::times.serve(ctx, registers),
        102 => process::getuid.serve(ctx, registers),
        104 => process::getgid.serve(ctx, registers),
        105 => process::setuid.serve(ctx, registers),
        106 => process::setgid.serve(ctx, registers),
        107 => process::geteuid.serve(ctx, registers),
        108 => process::getegid.serve(ctx, registers),
        109 => process::setpgid.serve(ctx, registers),
        110 => process::getppid.serve(ctx, registers),
        111 => process::getpgrp.serve(ctx, registers),
        112 => process::setsid.serve(ctx, registers),
        113 => process::setreuid.serve(ctx, registers),
        114 => process::setregid.serve(ctx, registers),
        115 => process::getgroups.serve(ctx, registers),
        116 => process::setgroups.serve(ctx, registers),
        117 => process::setresuid.serve(ctx, registers),
        118 => process::getresuid.serve(ctx, registers),
        119 => process::setresgid.serve(ctx, registers),
        120 => process::getresgid.serve(ctx, registers),
        121 => process::getpgid.serve(ctx, registers),
        122 => process::setfsuid.serve(ctx, registers),
        123 => process::setfsgid.serve(ctx, registers),
        124 => process::getsid.serve(ctx, registers),
        125 => process::capget.serve(ctx, registers),
        126 => process::capset.serve(ctx, registers),
        127 => signal::rt_sigpending.serve(ctx, registers),
        128 => signal::rt_sigtimedwait.serve(ctx, registers),
        129 => signal::rt_sigqueueinfo.serve(ctx, registers),
        130 => signal::rt_sigsuspend.serve(ctx, registers),
        131 => signal::sigaltstack.serve(ctx, registers),
        135 => process::personality.serve(ctx, registers),
        140 => process::getpriority.serve(ctx, registers),
        141 => process::setpriority.serve(ctx, registers),
        149 => memory::mlock.serve(ctx, registers),
        150 => memory::munlock.serve(ctx, registers),
        151 => memory::mlockall.serve(ctx, registers),
        152 => memory::munlockall.serve(ctx, registers),
        157 => process::prctl.serve(ctx, registers),
        158 => process::arch_prctl.serve(ctx, registers),
        160 => process::setrlimit.serve(ctx, registers),
        186 => process::gettid.serve(ctx, registers),
        187 => extent::readahead.serve(ctx, registers),
        200 => signal::tkill.serve(ctx, registers),
        218 => process::set_tid_address.serve(ctx, registers),
        219 => signal::restart_syscall.serve(ctx, registers),
        221 => extent::fadvise64.serve(ctx, registers),
        231 => process::exit_group.serve(ctx, registers),
        234 => signal::tgkill.serve(ctx, registers),
        247 => process::waitid.serve(ctx, registers),
        272 => process::unshare.serve(ctx, registers),
        273 => process::set_robust_list.serve(ctx, registers),
        274 => process::get_robust_list.serve(ctx, registers),
        275 => transfer::splice.serve(ctx, registers),
        276 => transfer::tee.serve(ctx, registers),
        277 => extent::sync_file_range.serve(ctx, registers),
        278 => transfer::vmsplice.serve(ctx, registers),
        282 => signal::signalfd.serve(ctx, registers),
        285 => extent::fallocate.serve(ctx, registers),
        289 => signal::signalfd4.serve(ctx, registers),
        292 => file::dup3.serve(ctx, registers),
        293 => file::pipe2.serve(ctx, registers),
        295 => file::preadv.serve(ctx, registers),
        296 => file::pwritev.serve(ctx, registers),
        297 => signal::rt_tgsigqueueinfo.serve(ctx, registers),
        302 => process::prlimit64.serve(ctx, registers),
        308 => process::setns.serve(ctx, registers),
        322 => process::execveat.serve(ctx, registers),
        325 => memory::mlock2.serve(ctx, registers),
        326 => transfer::copy_file_range.serve(ctx, registers),
        327 => file::preadv2.serve(ctx, registers),
        328 => file::pwritev2.serve(ctx, registers),
        334 => process::rseq.serve(ctx, registers),
        435 => process::clone3.serve(ctx, registers),
        436 => file::close_range.serve(ctx, registers),
        _ => unknown(ctx, number),
    }
}

/// Answers ENOSYS, and says so in the log once for each number.
fn unknown(ctx: &Ctx<'_>, number: u64) -> Result<usize> {
    static SEEN: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
    let bit = 1 << (number % 64);
    if let Some(word) = SEEN.get(number as usize / 64)
        && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    {
        ctx.thread().with_name(|name| {
            let name = core::str::from_utf8(name).unwrap_or("?");
            log!(Debug, "{name}[{}] asks for system call {number}, which is not built in", ctx.thread().id());
        });
    }
    Err(Errno::ENOSYS)
}
