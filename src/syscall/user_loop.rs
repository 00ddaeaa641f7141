//! The life of a thread: user mode runs until it traps, the kernel serves, signals are delivered, and again.

use super::context::Ctx;
use super::table;
use crate::errno::Errno;
use crate::machine::user::{Trap, UserMode};
use crate::machine::{memory, task};
use crate::process::signal::{self, Delivery, InterruptedCall};
use crate::process::{Thread, exit, fault, memory_shortage, rseq, trace};
use alloc::sync::Arc;
use linux_raw_sys::general::{__NR_fcntl, __NR_rt_sigreturn, F_GETOWN};

/// Runs `thread` until it ends: the entry function of every thread.
pub(crate) fn run_thread(thread: Arc<Thread>, user: UserMode) {
    let mut ctx = Ctx::new(&thread, user);
    task::set_page_table(Some(ctx.space().page_table().clone()));
    loop {
        // Returns at once if something is due already.
        let trap = ctx.user.get_mut().run();
        let interrupted = if trap != Trap::Syscall {
            serve_trap(&ctx, trap);
            None
        } else if thread.is_traced() {
            serve_traced(&mut ctx)
        } else {
            let number = ctx.user.get_mut().registers.rax;
            serve(&mut ctx, number)
        };
        let is_due = thread.needs_attention() || interrupted.is_some();
        if is_due && signal::deliver(&thread, ctx.space(), &mut ctx.user.borrow_mut(), interrupted) == Delivery::End {
            break;
        }
    }

    if thread.is_traced() {
        trace::stop_for_exit(&thread, ctx.user.get_mut());
    }
    let space = ctx.into_space();
    exit::leave(&thread, space);
}

/// Serves what was no system call.
#[inline(never)]
fn serve_trap(ctx: &Ctx<'_>, trap: Trap) {
    let user = &mut ctx.user.borrow_mut();
    match trap {
        Trap::Fault(fault) => fault::handle(ctx.thread(), ctx.space(), &user.registers, fault),
        Trap::Switched => rseq::follow_switch(ctx.thread(), ctx.space(), user),
        Trap::Interrupt | Trap::Syscall => {}
    }
}

/// Serves one system call of a traced thread between the two stops that its tracer may want.
#[cold]
fn serve_traced(ctx: &mut Ctx<'_>) -> Option<InterruptedCall> {
    let number = trace::enter_call(ctx.thread(), ctx.user.get_mut());
    if let Some(number) = number {
        // If it was interrupted, the registers say so.
        serve(ctx, number);
    }
    trace::leave_call(ctx.thread(), ctx.user.get_mut())
}

/// Serves system call `number`; returns it if a signal interrupted it.
#[inline(always)]
fn serve(ctx: &mut Ctx<'_>, number: u64) -> Option<InterruptedCall> {
    if memory::is_scarce() {
        // What a call allocates for itself comes from the reserve: before that ends, somebody has to go.
        memory_shortage::relieve(ctx.thread());
    }
    // Linux takes 32 bits of the number.
    let number = u64::from(number as u32);
    let result = table::dispatch(ctx, number);
    ctx.follow_replacement();
    ctx.user.get_mut().registers.set_result(result);
    if Errno::is_in_rax(result) { interrupted_call(ctx, number, result) } else { None }
}

/// Looks whether system call `number` failed because it was interrupted, or for want of memory.
#[cold]
fn interrupted_call(ctx: &mut Ctx<'_>, number: u64, mut result: u64) -> Option<InterruptedCall> {
    if ctx.space().take_shortage() && result == Errno::EFAULT.in_rax() {
        // Not the pointer was bad: there was no memory to bring its page in.
        memory_shortage::relieve(ctx.thread());
        result = Errno::RESTART_ALWAYS.in_rax();
        ctx.user.get_mut().registers.set_result(result);
    }
    let result = Errno::from_interruption(result)?;
    // What a handler came back to may look like an interruption, but is the program's own; so may a group's id.
    let is_answer =
        number == u64::from(__NR_rt_sigreturn) || number == u64::from(__NR_fcntl) && ctx.argument(1) as u32 == F_GETOWN;
    (!is_answer).then_some(InterruptedCall { number, result })
}
