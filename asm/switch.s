# The switch from one kernel stack to another.
#
# Who comes here: `machine::task`, with interrupts off and the run queue locked.
#
# A stack that is not running holds, from its saved stack pointer upwards:
#   r15 r14 r13 r12 rbx rbp  return address
# A new task's stack is made to look so (`asm::FirstFrame`), with `switch_start` as the return address.

.section .text, "ax"

# switch_stack(save: rdi, *mut u64; next: rsi, u64)
#   Saves the running stack's pointer at `save`, goes on where the stack `next` stopped.
.balign 16
.global switch_stack
.type switch_stack, @function
switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size switch_stack, . - switch_stack

# Where a task starts: its first switch "returns" here, on the empty stack.
.balign 16
.global switch_start
.type switch_start, @function
switch_start:
    xorl %ebp, %ebp                             # backtraces end here
    call task_begin
    ud2
.size switch_start, . - switch_start

.section .note.GNU-stack, "", @progbits
