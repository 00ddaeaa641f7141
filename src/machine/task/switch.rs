//! From one task to another: stack, address space, user context.
//!
//! The run queue stays locked over the change of stacks, so that no other CPU takes a task whose stack is still
//! in use; the task that runs then unlocks it (`finish`).

use super::queue::Queue;
use super::scheduler;
use super::task::{Activity, Task};
use crate::machine::asm::{self, FirstFrame};
use crate::machine::cpu::{self, UserContext};
use crate::machine::sync::IrqGuard;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use x86_64::instructions::interrupts;

/// Lays out the stack of a task that has not run yet.
pub(super) fn prepare_first(task: &Task) {
    // SAFETY: the task is new, so nobody else uses its cell.
    let own = unsafe { &mut *task.own.get() };
    let stack = own.stack.as_ref().expect("only idle tasks have no stack, and they run already");

    let frame = FirstFrame { registers: [0; 6], return_address: asm::switch_start as *const () as u64 };
    let place = stack.top().as_u64() - size_of::<FirstFrame>() as u64;
    // SAFETY: the place is the top of a stack that nobody uses yet.
    unsafe { (place as *mut FirstFrame).write(frame) };
    own.stack_pointer = place;
}

/// Switches from the running task to `next`, which is runnable; returns when the running task is switched to
/// again, interrupts as they were before `queue` was locked. `previous` must be sleeping, waiting in a queue, or ended.
pub(super) fn switch_to(mut queue: IrqGuard<'static, Queue>, next: Arc<Task>) {
    let cpu = cpu::this();
    let next_pointer = Arc::as_ptr(&next);
    let previous = queue.replace_current(next);
    // SAFETY: the queue holds a reference to the task that runs.
    let next = unsafe { &*next_pointer };
    cpu.current.store(next_pointer.cast_mut().cast(), Ordering::Relaxed);
    cpu.reset_attention(next.is_interrupted());
    UserContext::deactivate_current(cpu);

    // SAFETY: `next` does not run anywhere, and cannot while its queue is locked.
    let next_own = unsafe { &mut *next.own.get() };
    // SAFETY: the cell belongs to the running task, which lives on, see below.
    let previous_own = unsafe { &mut *previous.own.get() };
    match &next_own.page_table {
        Some(table) => {
            if let Some(old) = queue.load_page_table(Some(table)) {
                scheduler::leave_table(old);
            }
        }
        None => queue.keep_page_table(previous_own.page_table.as_ref()),
    }
    let next_stack = next_own.stack_pointer;
    let save = &raw mut previous_own.stack_pointer;
    // A task that goes on is kept by this reference on its own stack, one that has ended by the next task.
    let kept = if previous.activity() == Activity::Ended {
        scheduler::leave_task(previous);
        None
    } else {
        Some(previous)
    };
    let off = queue.hand_over();
    // SAFETY: `save` belongs to the task that runs; `next_stack` is the stack of a task that was left by this
    // function or prepared by `prepare_first`; interrupts are off, and the queue stays locked over the switch.
    unsafe { asm::switch_stack(save, next_stack) };

    let left_table = scheduler::finish_switch();
    drop(off);
    drop((left_table, kept));
}

/// Where a task's first switch leads, called by asm/switch.s with interrupts off.
#[unsafe(no_mangle)]
extern "C" fn task_begin() -> ! {
    let left_table = scheduler::finish_switch();
    interrupts::enable();
    drop(left_table);
    // SAFETY: the cell belongs to the running task.
    let entry = unsafe { (*scheduler::current().own.get()).entry.take() };
    entry.expect("a task begins once")();
    super::exit()
}
