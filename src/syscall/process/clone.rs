//! fork(2), vfork(2), clone(2), exit(2) and what threads tell the kernel about themselves.

use super::pidfd;
use crate::errno::{Errno, Result};
use crate::file::StatusFlags;
use crate::process::rseq::{self, Area};
use crate::process::{self, CloneFlags, CloneRequest, Signal, table, trace};
use crate::syscall::argument::Fd;
use crate::syscall::context::Ctx;
use crate::syscall::file::reserve;
use crate::syscall::user_loop::run_thread;
use crate::vm::UserPtr;
use alloc::sync::Arc;
use linux_raw_sys::ptrace::{PTRACE_EVENT_CLONE, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE};
use zerocopy::FromZeros;

/// The signal part of clone(2)'s flags.
const EXIT_SIGNAL: u64 = 0xff;
/// `sizeof(struct robust_list_head)`.
const ROBUST_LIST_HEAD_SIZE: u64 = 24;

/// fork(2).
pub(crate) fn fork(ctx: &Ctx<'_>) -> Result<usize> {
    make(ctx, &request(CloneFlags::empty()), 0, 0)
}

/// vfork(2).
pub(crate) fn vfork(ctx: &Ctx<'_>) -> Result<usize> {
    make(ctx, &request(CloneFlags::VFORK | CloneFlags::MEMORY), 0, 0)
}

fn request(flags: CloneFlags) -> CloneRequest {
    CloneRequest { flags, exit_signal: Signal::CHLD.number(), stack: 0, tls: 0, child_tid: 0, id: None }
}

/// clone(2), in x86-64's order of arguments.
pub(crate) fn clone(ctx: &Ctx<'_>, flags: u64, stack: u64, parent_tid: u64, child_tid: u64, tls: u64) -> Result<usize> {
    // The old call knows 32 bits of flags.
    let exit_signal = (flags & EXIT_SIGNAL) as i32;
    let flags = CloneFlags::from_bits_truncate(flags & 0xffff_ffff & !EXIT_SIGNAL);
    Errno::EINVAL.when(flags.contains(CloneFlags::PIDFD) && flags.contains(CloneFlags::PARENT_SET_TID))?;
    // The old call has one pointer for both.
    make(ctx, &CloneRequest { flags, exit_signal, stack, tls, child_tid, id: None }, parent_tid, parent_tid)
}

/// `struct clone_args` of clone3(2).
#[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes)]
#[repr(C)]
pub(crate) struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// clone3(2).
pub(crate) fn clone3(ctx: &Ctx<'_>, arguments: UserPtr<'_, u8>, size: usize) -> Result<usize> {
    const FIRST_SIZE: usize = 64;
    Errno::E2BIG.when(size > 4096)?;
    Errno::EINVAL.when(size < FIRST_SIZE)?;
    let bytes = arguments.slice(size)?.read_all()?;
    let known = size.min(size_of::<CloneArguments>());
    Errno::E2BIG.when(bytes[known..].iter().any(|byte| *byte != 0))?;
    let mut arguments = CloneArguments::new_zeroed();
    zerocopy::IntoBytes::as_mut_bytes(&mut arguments)[..known].copy_from_slice(&bytes[..known]);

    let flags = CloneFlags::from_bits(arguments.flags).ok_or(Errno::EINVAL)?;
    let is_wrong = flags.contains(CloneFlags::DETACHED)
        || arguments.exit_signal > 64
        || flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) && arguments.exit_signal != 0
        || (arguments.stack == 0) != (arguments.stack_size == 0)
        // One id for each level of namespaces, of which there is one.
        || arguments.set_tid_size > 1
        || (arguments.set_tid == 0) != (arguments.set_tid_size == 0)
        || flags.contains(CloneFlags::INTO_CGROUP);
    Errno::EINVAL.when(is_wrong)?;
    let request = CloneRequest {
        flags,
        exit_signal: arguments.exit_signal as i32,
        stack: arguments.stack.wrapping_add(arguments.stack_size),
        tls: arguments.tls,
        child_tid: arguments.child_tid,
        id: UserPtr::<i32>::new(ctx.space(), arguments.set_tid).read_if_given()?,
    };
    make(ctx, &request, arguments.parent_tid, arguments.pidfd)
}

fn make(ctx: &Ctx<'_>, request: &CloneRequest, parent_tid: u64, pidfd_address: u64) -> Result<usize> {
    let reserved = if request.flags.contains(CloneFlags::PIDFD) { Some(reserve(ctx)?) } else { None };
    let newborn = {
        let user = ctx.user.borrow();
        process::create(ctx.thread(), &user, request, run_thread)?
    };
    let id = newborn.thread().id();
    // As on Linux, bad pointers are the caller's own loss from here on.
    if request.flags.contains(CloneFlags::PARENT_SET_TID) {
        let _ = UserPtr::<i32>::new(ctx.space(), parent_tid).write(&id);
    }
    if let Some(reserved) = reserved {
        let child = newborn.thread().process().clone();
        let fd = reserved.fill(pidfd::open(child, StatusFlags::empty()), true);
        let _ = UserPtr::<i32>::new(ctx.space(), pidfd_address).write(&fd);
    }
    let event = event_of(request);
    let is_wanted = event.is_some_and(|event| trace::wants_event(ctx.thread(), event));
    if is_wanted || request.flags.contains(CloneFlags::TRACE) {
        trace::attach_child(ctx.thread(), newborn.thread());
    }
    let child = newborn.start();
    if let Some(event) = event.filter(|_| is_wanted) {
        trace::stop_for_event(ctx.thread(), &mut ctx.user.borrow_mut(), event, id);
    }
    if request.flags.contains(CloneFlags::VFORK) {
        process::wait_for_vfork(ctx.thread(), &child);
        if !request.flags.contains(CloneFlags::UNTRACED) {
            trace::stop_for_event(ctx.thread(), &mut ctx.user.borrow_mut(), PTRACE_EVENT_VFORK_DONE, id);
        }
    }
    Ok(id as usize)
}

/// Returns the event that tells a tracer of the new thread.
fn event_of(request: &CloneRequest) -> Option<u32> {
    match request.flags {
        flags if flags.contains(CloneFlags::UNTRACED) => None,
        flags if flags.contains(CloneFlags::VFORK) => Some(PTRACE_EVENT_VFORK),
        _ if request.exit_signal != Signal::CHLD.number() => Some(PTRACE_EVENT_CLONE),
        _ => Some(PTRACE_EVENT_FORK),
    }
}

/// exit(2): this thread only.
pub(crate) fn exit(ctx: &Ctx<'_>, code: i32) -> Result {
    process::exit::end_thread(ctx.thread(), process::exit::exited(code));
    Ok(())
}

/// exit_group(2).
pub(crate) fn exit_group(ctx: &Ctx<'_>, code: i32) -> Result {
    process::exit::end_process(ctx.process(), process::exit::exited(code));
    Ok(())
}

/// set_tid_address(2).
pub(crate) fn set_tid_address(ctx: &Ctx<'_>, address: u64) -> Result<usize> {
    ctx.thread().set_clear_child_tid(address);
    Ok(ctx.thread().id() as usize)
}

/// set_robust_list(2).
pub(crate) fn set_robust_list(ctx: &Ctx<'_>, head: u64, length: u64) -> Result {
    Errno::EINVAL.when(length != ROBUST_LIST_HEAD_SIZE)?;
    ctx.thread().set_robust_list(head, length);
    Ok(())
}

/// get_robust_list(2).
pub(crate) fn get_robust_list(ctx: &Ctx<'_>, id: i32, head: UserPtr<'_, u64>, length: UserPtr<'_, u64>) -> Result {
    let thread = if id == 0 { ctx.thread().clone() } else { table::find_thread(id).ok_or(Errno::ESRCH)? };
    let is_own = Arc::ptr_eq(thread.process(), ctx.process());
    Errno::EPERM.when(!is_own && ctx.identity().euid != 0 && ctx.identity().euid != thread.identity().uid)?;
    length.write(&ROBUST_LIST_HEAD_SIZE)?;
    head.write(&thread.robust_list().0)
}

/// rseq(2).
pub(crate) fn rseq(ctx: &Ctx<'_>, address: u64, length: u32, flags: i32, signature: u32) -> Result {
    const UNREGISTER: i32 = 1;
    /// The first form of `struct rseq`, and its alignment.
    const FIRST_LENGTH: u32 = 32;
    let area = Area { address, length, signature };
    let present = *ctx.thread().rseq.lock();
    let mut user = ctx.user.borrow_mut();
    if let Some(present) = present {
        Errno::EINVAL.when(flags & !UNREGISTER != 0 || (address, length) != (present.address, present.length))?;
        Errno::EPERM.when(signature != present.signature)?;
        Errno::EBUSY.when(flags == 0)?;
        rseq::unregister(ctx.thread(), ctx.space(), &mut user, present)?;
    } else {
        Errno::EINVAL.when(flags != 0 || length < FIRST_LENGTH || !address.is_multiple_of(u64::from(FIRST_LENGTH)))?;
        rseq::register(ctx.thread(), ctx.space(), &mut user, area)?;
    }
    Ok(())
}

/// unshare(2): directories, descriptors and what SEM_UNDO notes; namespaces are not built in.
pub(crate) fn unshare(ctx: &Ctx<'_>, flags: u64) -> Result {
    let known = CloneFlags::DIRECTORIES
        | CloneFlags::FILES
        | CloneFlags::THREAD
        | CloneFlags::SIGNAL_HANDLERS
        | CloneFlags::MEMORY
        | CloneFlags::SEMAPHORE_UNDO
        | CloneFlags::NAMESPACES;
    let flags = CloneFlags::from_bits(flags).filter(|flags| known.contains(*flags)).ok_or(Errno::EINVAL)?;
    Errno::EINVAL.when(flags.intersects(CloneFlags::NAMESPACES))?;
    let is_threaded = ctx.process().thread_count() > 1;
    Errno::EINVAL
        .when(is_threaded && flags.intersects(CloneFlags::THREAD | CloneFlags::SIGNAL_HANDLERS | CloneFlags::MEMORY))?;
    if flags.contains(CloneFlags::DIRECTORIES) {
        ctx.thread().set_shared_directories(ctx.thread().shared_directories().duplicate());
    }
    if flags.contains(CloneFlags::FILES) {
        ctx.thread().set_files(ctx.files().duplicate()?);
        ctx.set_replaced();
    }
    if flags.contains(CloneFlags::SEMAPHORE_UNDO) {
        ctx.thread().leave_undo_list();
    }
    Ok(())
}

/// setns(2): there are no namespace files.
pub(crate) fn setns(ctx: &Ctx<'_>, fd: Fd, _kind: i32) -> Result<usize> {
    ctx.file(fd)?;
    Err(Errno::EINVAL)
}
