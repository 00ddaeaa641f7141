# The way to user mode and back.
#
# `user_enter` looks to Rust like a function that takes long: it loads the user registers and goes to
# user mode; the next system call, exception or interrupt there stores them back and returns from it.
# So a thread's life is a loop in Rust, and every kernel stack is empty of entry frames.
#
# While user mode runs, the kernel's GS base is swapped away and gs:REGISTERS_END, gs:KERNEL_STACK tell
# the entries where to store and where to go on. Each user register is stored once, in the order of
# `asm::Registers`, which the SYSCALL entry fills from its end like a stack.
#
# Behind them is a byte that says whether anything but `rax` was changed since SYSCALL stored them. If not, SYSRET
# brings them back without a further look.
#
# The extended state, FS and GS base stay in the CPU (`machine::cpu::user_context` moves them).

# Per-CPU data (asserted in machine/asm.rs).
.set USER_STACK,        8
.set KERNEL_STACK,      16
.set REGISTERS_END,     24

# asm::UserRegisters.
.set R8, 0
.set R9, 8
.set R10, 16
.set R11, 24
.set R12, 32
.set R13, 40
.set R14, 48
.set R15, 56
.set RDI, 64
.set RSI, 72
.set RBP, 80
.set RBX, 88
.set RDX, 96
.set RAX, 104
.set RCX, 112
.set RSP, 120
.set RIP, 128
.set RFLAGS, 136
.set REGISTERS_SIZE, 144
.set IS_CHANGED, 144

.set USER_CODE,         0x33
.set USER_DATA,         0x2b

.set VECTOR_SYSCALL,    256                     # asm::VECTOR_SYSCALL
.set VECTOR_PROTECTION, 13

# RFLAGS that user mode may have: CF PF AF ZF SF TF DF OF RF AC ID.
.set FLAGS_ALLOWED,     0x250dd5
# Those that SYSRET restores without side effects (no TF, no RF), and IF and the fixed bit.
.set FLAGS_NOT_SYSRET,  ~0x240ed7
.set FLAGS_SET,         0x202

.section .text, "ax"

# user_enter(registers: rdi, *mut UserRegisters) -> rax: vector, rdx: error code
#   Interrupts are off; when it returns, they are on after a system call and off after anything else.
#   Preserves only rbx and rbp (`asm::enter_user` tells the compiler).
.balign 16
.global user_enter
.type user_enter, @function
user_enter:
    pushq %rbp
    pushq %rbx
    movq %rsp, %gs:KERNEL_STACK
    leaq REGISTERS_SIZE(%rdi), %rax
    movq %rax, %gs:REGISTERS_END

    # SYSRET takes rip from rcx and rflags from r11. As SYSCALL left them, rip is canonical: user space ends a page
    # before the lower half does.
    cmpb $0, IS_CHANGED(%rdi)
    jne user_enter_changed
    movq RCX(%rdi), %rcx
    movq R11(%rdi), %r11
    testq $FLAGS_NOT_SYSRET, %r11
    jnz user_enter_by_iret

user_enter_by_sysret:
    movq R15(%rdi), %r15
    movq R14(%rdi), %r14
    movq R13(%rdi), %r13
    movq R12(%rdi), %r12
    movq RBP(%rdi), %rbp
    movq RBX(%rdi), %rbx
    movq R10(%rdi), %r10
    movq R9(%rdi), %r9
    movq R8(%rdi), %r8
    movq RAX(%rdi), %rax
    movq RDX(%rdi), %rdx
    movq RSI(%rdi), %rsi
    movq RSP(%rdi), %rsp
    movq RDI(%rdi), %rdi
    swapgs
    sysretq

user_enter_changed:
    # Both ways out fault in the kernel if rip is not canonical; user space is the lower half.
    movq RIP(%rdi), %rcx
    movq RFLAGS(%rdi), %r11
    movq %rcx, %rax
    shrq $47, %rax
    jnz user_enter_refused

    # SYSRET fits only where user mode expects rip in rcx and rflags in r11.
    movb $0, IS_CHANGED(%rdi)
    cmpq %rcx, RCX(%rdi)
    jne user_enter_by_iret
    cmpq %r11, R11(%rdi)
    jne user_enter_by_iret
    orq $FLAGS_SET, %r11
    testq $FLAGS_NOT_SYSRET, %r11
    jz user_enter_by_sysret

user_enter_by_iret:
    andq $FLAGS_ALLOWED, %r11
    orq $FLAGS_SET, %r11
    pushq $USER_DATA                            # ss
    pushq RSP(%rdi)                             # rsp
    pushq %r11                                  # rflags
    pushq $USER_CODE                            # cs
    pushq %rcx                                  # rip
    movq R15(%rdi), %r15
    movq R14(%rdi), %r14
    movq R13(%rdi), %r13
    movq R12(%rdi), %r12
    movq RBP(%rdi), %rbp
    movq RBX(%rdi), %rbx
    movq R11(%rdi), %r11
    movq R10(%rdi), %r10
    movq R9(%rdi), %r9
    movq R8(%rdi), %r8
    movq RAX(%rdi), %rax
    movq RCX(%rdi), %rcx
    movq RDX(%rdi), %rdx
    movq RSI(%rdi), %rsi
    movq RDI(%rdi), %rdi
    swapgs
    iretq

user_enter_refused:
    movl $VECTOR_PROTECTION, %eax
    xorl %edx, %edx
    jmp user_leave
.size user_enter, . - user_enter

# Where SYSCALL jumps (IA32_LSTAR), from user mode, with the user's GS base and stack:
#   rcx user rip, r11 user rflags; rflags masked by IA32_FMASK, so interrupts are off and AC and DF clear.
.balign 16
.global syscall_entry
.type syscall_entry, @function
syscall_entry:
    swapgs
    movq %rsp, %gs:USER_STACK
    movq %gs:REGISTERS_END, %rsp
    pushq %r11                                  # rflags
    pushq %rcx                                  # rip
    pushq %gs:USER_STACK
    pushq %rcx
    pushq %rax
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r15
    pushq %r14
    pushq %r13
    pushq %r12
    pushq %r11
    pushq %r10
    pushq %r9
    pushq %r8
    movq %gs:KERNEL_STACK, %rsp
    movl $VECTOR_SYSCALL, %eax
    popq %rbx
    popq %rbp
    sti
    ret
.size syscall_entry, . - syscall_entry

# Where the interrupt stubs jump when they came from user mode. Interrupts are off; all registers and the GS
# base are the user's. The stack is the one that the TSS names, and is left for good:
#   +0 vector  +8 error code  +16 rip  +24 cs  +32 rflags  +40 rsp  +48 ss
.balign 16
.global user_trap
.type user_trap, @function
user_trap:
    swapgs
    pushq %rdi
    movq %gs:REGISTERS_END, %rdi
    movq %r15, R15 - REGISTERS_SIZE(%rdi)
    movq %r14, R14 - REGISTERS_SIZE(%rdi)
    movq %r13, R13 - REGISTERS_SIZE(%rdi)
    movq %r12, R12 - REGISTERS_SIZE(%rdi)
    movq %rbp, RBP - REGISTERS_SIZE(%rdi)
    movq %rbx, RBX - REGISTERS_SIZE(%rdi)
    movq %r11, R11 - REGISTERS_SIZE(%rdi)
    movq %r10, R10 - REGISTERS_SIZE(%rdi)
    movq %r9, R9 - REGISTERS_SIZE(%rdi)
    movq %r8, R8 - REGISTERS_SIZE(%rdi)
    movq %rax, RAX - REGISTERS_SIZE(%rdi)
    movq %rcx, RCX - REGISTERS_SIZE(%rdi)
    movq %rdx, RDX - REGISTERS_SIZE(%rdi)
    movq %rsi, RSI - REGISTERS_SIZE(%rdi)
    popq RDI - REGISTERS_SIZE(%rdi)
    popq %rax                                   # vector
    popq %rdx                                   # error code
    popq RIP - REGISTERS_SIZE(%rdi)
    popq %rcx                                   # cs
    popq RFLAGS - REGISTERS_SIZE(%rdi)
    popq RSP - REGISTERS_SIZE(%rdi)
    movb $1, IS_CHANGED - REGISTERS_SIZE(%rdi)
    pushq $2                                    # a gate leaves AC and DF as the user had them
    popfq

# Returns from `user_enter` with rax and rdx.
user_leave:
    movq %gs:KERNEL_STACK, %rsp
    popq %rbx
    popq %rbp
    ret
.size user_trap, . - user_trap

.section .note.GNU-stack, "", @progbits
