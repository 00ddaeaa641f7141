# The image of the code that all user programs share, as data of the kernel (machine::asm reads it): a shared
# object that the Makefile links from asm/vdso/.

.section .rodata
.balign 8
.globl shared_code_start, shared_code_end
.type shared_code_start, @object
shared_code_start:
    .incbin "vdso.so"
shared_code_end:
.size shared_code_start, . - shared_code_start

.section .note.GNU-stack, "", @progbits
