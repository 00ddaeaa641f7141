# Where the CPU goes at an exception or interrupt: 256 stubs and their common paths.
#
# Who comes here: the CPU, through the gates of `machine::trap::idt`, all of them interrupt gates, so
# interrupts are off. From user mode the stack is the one that the TSS names, and GS base is the user's;
# from the kernel it is the interrupted stack. Vectors 1 (debug), 2 (NMI), 8 (double fault) and 18 (machine check)
# may come between any two instructions, so they have stacks of their own and trust nothing.
#
# The stack at the common paths, from rsp upwards (`asm::TrapFrame` without the registers):
#   +0 vector  +8 error code (0 where the CPU gives none)  +16 rip  +24 cs  +32 rflags  +40 rsp  +48 ss

.set VECTOR_DEBUG,          1
.set VECTOR_NMI,            2
.set VECTOR_DOUBLE_FAULT,   8
.set VECTOR_MACHINE_CHECK,  18

.set STUB_SIZE,             16                  # asm::STUB_SIZE
.set FRAME_VECTOR_CS,       24
.set FRAME_RIP,             136                 # offset_of!(asm::TrapFrame, rip)
.set FRAME_SIZE,            176

.set MSR_GS_BASE,           0xc0000101

.section .text, "ax"

.balign 16
.global trap_stubs
.type trap_stubs, @function
trap_stubs:
.set vector, 0
.rept 256
    .balign STUB_SIZE
    # The vectors for which the CPU pushes an error code (SDM vol. 3A, table 6-1).
    .if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17) && (vector != 21) && (vector != 29) && (vector != 30)
    pushq $0
    .endif
    pushq $vector
    .if vector == VECTOR_DEBUG
    jmp trap_debug_entry
    .elseif (vector == VECTOR_NMI) || (vector == VECTOR_DOUBLE_FAULT) || (vector == VECTOR_MACHINE_CHECK)
    jmp trap_critical_entry
    .else
    jmp trap_entry
    .endif
    .set vector, vector + 1
.endr
    .balign STUB_SIZE
.size trap_stubs, . - trap_stubs

.macro SAVE_REGISTERS
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq $2                                    # a gate leaves AC and DF as they were
    popfq
    movq %rsp, %rdi
    # A frame like any function's, so that backtraces pass through the interrupted function.
    pushq FRAME_RIP(%rdi)
    pushq %rbp
    movq %rsp, %rbp
.endm

.macro RESTORE_REGISTERS
    addq $16, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp                              # vector and error code
.endm

.balign 16
.type trap_entry, @function
trap_entry:
    testb $3, FRAME_VECTOR_CS(%rsp)
    jnz user_trap                               # asm/user_entry.s
    SAVE_REGISTERS
    call trap_from_kernel                       # (frame: rdi, &mut TrapFrame)
    RESTORE_REGISTERS
    iretq
.size trap_entry, . - trap_entry

# A debug exception comes from the kernel where that touches user memory that a debugger watches: also at the first
# instruction of the SYSCALL entry, with the user's stack and GS base, when a watched load of SS stood before SYSCALL
# (SDM vol. 3A, 6.8.3). So it has a stack of its own too.
.balign 16
.type trap_debug_entry, @function
trap_debug_entry:
    testb $3, FRAME_VECTOR_CS(%rsp)
    jnz user_trap                               # asm/user_entry.s
    jmp trap_critical_entry
.size trap_debug_entry, . - trap_debug_entry

# GS base may be the user's or the kernel's here, whatever cs says, and user mode may have given it a value
# that looks like the kernel's. The right one is at the top of this CPU's stack, above the frame.
.balign 16
.type trap_critical_entry, @function
trap_critical_entry:
    SAVE_REGISTERS
    movl $MSR_GS_BASE, %ecx
    rdmsr
    movl %eax, %r12d
    movl %edx, %r13d
    movl FRAME_SIZE(%rdi), %eax
    movl FRAME_SIZE + 4(%rdi), %edx
    wrmsr
    call trap_critical                          # (frame: rdi, &mut TrapFrame)
    movl $MSR_GS_BASE, %ecx
    movl %r12d, %eax
    movl %r13d, %edx
    wrmsr
    RESTORE_REGISTERS
    iretq
.size trap_critical_entry, . - trap_critical_entry

.section .note.GNU-stack, "", @progbits
