//! The life of a thread: user mode runs until it traps, the kernel serves, signals are delivered, and again.
//!
//! The loop holds the thread's address space and descriptor table, so that a call does not count references; only
//! the thread itself replaces them (execve, unshare), and says so in the context.

use super::context::Ctx;
use super::table;
use crate::errno::Errno;
use crate::file::FdTable;
use crate::machine::user::{Trap, UserMode};
use crate::machine::{memory, task};
use crate::process::signal::{self, Delivery, InterruptedCall};
use crate::process::{Thread, exit, fault, memory_shortage, rseq, trace};
use crate::vm::AddressSpace;
use alloc::sync::Arc;

/// What the loop holds of its thread.
struct Held {
    space: Arc<AddressSpace>,
    files: Arc<FdTable>,
}

impl Held {
    fn of(thread: &Thread) -> Held {
        let space = thread.process().space().expect("a process has memory until its last thread ends");
        Held { space, files: thread.files() }
    }
}

/// Runs `thread` until it ends: the entry function of every thread.
pub(crate) fn run_thread(thread: Arc<Thread>, mut user: UserMode) {
    let mut held = Held::of(&thread);
    task::set_page_table(Some(held.space.page_table().clone()));
    loop {
        let mut interrupted = None;
        // Returns at once if something is due already.
        match user.run() {
            Trap::Syscall if thread.is_traced() => interrupted = serve_traced(&thread, &mut held, &mut user),
            Trap::Syscall => {
                let number = user.registers.rax;
                interrupted = serve(&thread, &mut held, &mut user, number);
            }
            Trap::Fault(fault) => fault::handle(&thread, &held.space, &user.registers, fault),
            Trap::Interrupt => {}
            Trap::Switched => rseq::follow_switch(&thread, &held.space, &mut user),
        }
        let is_due = thread.needs_attention() || interrupted.is_some();
        if is_due && signal::deliver(&thread, &held.space, &mut user, interrupted) == Delivery::End {
            break;
        }
    }

    if thread.is_traced() {
        trace::stop_for_exit(&thread, &mut user);
    }
    let Held { space, files } = held;
    drop(files);
    exit::leave(&thread, space);
}

/// Serves one system call of a traced thread between the two stops that its tracer may want.
fn serve_traced(thread: &Arc<Thread>, held: &mut Held, user: &mut UserMode) -> Option<InterruptedCall> {
    if let Some(number) = trace::enter_call(thread, user)
        && let Some(call) = serve(thread, held, user, number)
    {
        user.registers.rax = (-i64::from(call.result.number())) as u64;
    }
    trace::leave_call(thread, user)
}

/// Serves system call `number`; returns it if a signal interrupted it.
fn serve(thread: &Arc<Thread>, held: &mut Held, user: &mut UserMode, number: u64) -> Option<InterruptedCall> {
    if memory::is_scarce() {
        // What a call allocates for itself comes from the reserve: before that ends, somebody has to go.
        memory_shortage::relieve(thread);
    }
    let registers = &user.registers;
    // Linux takes 32 bits of the number.
    let number = number & 0xffff_ffff;
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];

    let ctx = Ctx::new(thread, &held.space, &held.files, user);
    let result = table::dispatch(&ctx, number, &arguments);
    let is_replaced = ctx.is_replaced();
    if is_replaced {
        *held = Held::of(thread);
    }

    if held.space.take_shortage() {
        memory_shortage::relieve(thread);
        if result == Err(Errno::EFAULT) {
            // Not the pointer was bad: there was no memory to bring its page in.
            return Some(InterruptedCall { number, result: Errno::RESTART_ALWAYS });
        }
    }
    match result {
        Ok(value) => user.registers.rax = value as u64,
        Err(result) if is_interruption(result) => {
            return Some(InterruptedCall { number, result });
        }
        Err(error) => user.registers.rax = (-i64::from(error.number())) as u64,
    }
    None
}

fn is_interruption(error: Errno) -> bool {
    matches!(error, Errno::RESTART | Errno::RESTART_ALWAYS | Errno::RESTART_NO_HANDLER | Errno::RESTART_BLOCK)
}
