# Where a further CPU starts, in the state that a start-up interrupt leaves.
#
# `machine::cpus` copies what lies between `ap_boot_start` and `ap_boot_end` to a page below 1 MiB, fills in the
# parameters at its end, and has the boot CPU send INIT and SIPI (SDM vol. 3A, 9.4). The CPU comes here in real mode
# with cs = page / 16, ip = 0, and no stack.
#
# What happens: real mode → long mode in one step, on the early page tables of asm/boot.s, which map the page where it
# is; then to the kernel's final address and page tables, on the stack from the parameters, to
# `ap_start(index)`. The copy is position-independent: %ebx holds where it is.

.set CR0_PE_MP_ET_NE_WP_PG,     0x80010033
.set CR4_PAE,                   0x20
.set MSR_EFER,                  0xc0000080
.set EFER_LME_NXE,              0x900

.section .rodata.ap_boot, "a"
.balign 16
.global ap_boot_start
ap_boot_start:
.code16
    cli
    cld
    xorl %ebx, %ebx
    movw %cs, %bx
    movw %bx, %ds
    shll $4, %ebx

    # CPUs that start at the same time store the same.
    leal (ap_boot_descriptors - ap_boot_start)(%ebx), %eax
    movl %eax, ap_boot_descriptors_pointer + 2 - ap_boot_start
    leal (ap_boot_long_mode - ap_boot_start)(%ebx), %eax
    movl %eax, ap_boot_far_pointer - ap_boot_start
    lgdtl ap_boot_descriptors_pointer - ap_boot_start

    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl ap_boot_early_table - ap_boot_start, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME_NXE, %eax
    wrmsr
    movl $CR0_PE_MP_ET_NE_WP_PG, %eax
    movl %eax, %cr0
    ljmpl *(ap_boot_far_pointer - ap_boot_start)

.code64
ap_boot_long_mode:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    # One CPU takes the stack; one that comes late finds none and stays out.
    xchgq %rax, ap_boot_stack(%rip)
    testq %rax, %rax
    jz ap_boot_halt
    movq ap_boot_final_table(%rip), %rdx
    movabsq $ap_boot_high, %rcx
    jmp *%rcx
ap_boot_halt:
    cli
    hlt
    jmp ap_boot_halt

.balign 8
ap_boot_descriptors:
    .quad 0
    .quad 0x00af9b000000ffff                    # code, 64 bits, ring 0
    .quad 0x00cf93000000ffff                    # data, ring 0
ap_boot_descriptors_end:
ap_boot_descriptors_pointer:
    .short ap_boot_descriptors_end - ap_boot_descriptors - 1
    .long 0
ap_boot_far_pointer:
    .long 0
    .short 0x08

# asm::ApParameters.
.balign 8
ap_boot_early_table:    .quad 0
ap_boot_final_table:    .quad 0
ap_boot_stack:          .quad 0
.global ap_boot_end
ap_boot_end:

.section .text, "ax"
.type ap_boot_high, @function
ap_boot_high:
    movq %rdx, %cr3                             # ends the identity map
    movq %rax, %rsp
    popq %rdi                                   # index
    xorl %ebp, %ebp                             # backtraces end here
    call ap_start
    ud2
.size ap_boot_high, . - ap_boot_high

.section .note.GNU-stack, "", @progbits
