# Copying and clearing memory, of which a side may be user memory, where any access may fail.
#
# Who comes here: `machine::user` and `machine::memory`, with user addresses below USER_END or memory of the kernel, on
# a kernel stack. An access that faults, or of which the CPU does not like what it finds (XRSTOR), does not end in the
# handler of the exception: that looks its rip up in `user_copy_table` (start, end, where to go on) and resumes there with all registers as they were.
#
# All count down what is left in rcx and advance rsi and rdi with it, so that after a fault in a wide step
# the rest is tried byte by byte, and the count returned is exact.

.section .bss, "aw", @nobits
# Not zero where the CPU has SMAP: only there do STAC and CLAC exist.
.global user_copy_smap
.type user_copy_smap, @object
user_copy_smap:
    .byte 0
.size user_copy_smap, 1

# How much memory is moved at once (`asm::Means`).
.global user_copy_means
.type user_copy_means, @object
user_copy_means:
    .byte 0
.size user_copy_means, 1

.set BY_STRINGS, 1
.set BY_VECTORS, 2

.macro OPEN_USER
    cmpb $0, user_copy_smap
    je 1f
    stac
1:
.endm

.macro CLOSE_USER
    cmpb $0, user_copy_smap
    je 1f
    clac
1:
.endm

# From `\start` to here, a fault goes on at `\fixup`.
.macro FAULTS_TO start, fixup
    .pushsection .rodata.user_copy_table, "a"
    .quad \start, 2f, \fixup
    .popsection
2:
.endm

.section .rodata.user_copy_table, "a"
.balign 8
.global user_copy_table
user_copy_table:

.section .text, "ax"

.set WIDE, 64                                   # from here on, string instructions pay

# Vector loops move so much in a turn, and less is left to string instructions. YMM0 holds the user's value but for the
# loop: interrupts come back to it, and what fails goes on behind it. rdi and rsi are at the end of the blocks, rcx counts
# up to them.
.set COPY_BLOCK, 256
.set ZERO_BLOCK, 512

.macro BEGIN_BLOCKS size
    movq %rcx, %rdx
    andl $\size - 1, %edx
    subq %rdx, %rcx
    addq %rcx, %rdi
    negq %rcx
    subq $32, %rsp
    vmovdqu %ymm0, (%rsp)
.endm

# rcx is what is left then, in all.
.macro END_BLOCKS
    vmovdqu (%rsp), %ymm0
    addq $32, %rsp
    addq %rcx, %rdi
    subq %rcx, %rdx
    movq %rdx, %rcx
.endm

# user_copy(destination: rdi, source: rsi, length: rdx) -> rax: bytes not copied
.balign 16
.global user_copy
.type user_copy, @function
user_copy:
    movq %rdx, %rcx
    OPEN_USER
    cmpq $WIDE, %rcx
    jae user_copy_wide

    # rsi and rdi are at the end of the words, rcx counts up to them, and edx bytes are left then.
    movl %ecx, %edx
    andl $7, %edx
    subl %edx, %ecx
    jz user_copy_rest
    addq %rcx, %rsi
    addq %rcx, %rdi
    negq %rcx
user_copy_words:
    movq (%rsi, %rcx), %rax
    movq %rax, (%rdi, %rcx)
    addq $8, %rcx
    jnz user_copy_words
    FAULTS_TO user_copy_words, user_copy_words_failed
user_copy_rest:
    movl %edx, %ecx
    testl %edx, %edx
    jz user_copy_done
user_copy_tail:
    testb $4, %cl
    jz 3f
    movl (%rsi), %eax
    movl %eax, (%rdi)
    addq $4, %rsi
    addq $4, %rdi
    subq $4, %rcx
3:  testb $2, %cl
    jz 3f
    movw (%rsi), %ax
    movw %ax, (%rdi)
    addq $2, %rsi
    addq $2, %rdi
    subq $2, %rcx
3:  testb $1, %cl
    jz user_copy_done
    movb (%rsi), %al
    movb %al, (%rdi)
    decq %rcx
    FAULTS_TO user_copy_tail, user_copy_bytes
user_copy_done:
    CLOSE_USER
    movq %rcx, %rax
    ret

user_copy_wide:
    cmpb $BY_STRINGS, user_copy_means
    jb user_copy_by_words
    ja user_copy_by_vectors
user_copy_string:
    rep movsb
    FAULTS_TO user_copy_string, user_copy_done
    jmp user_copy_done

user_copy_by_words:
    movl %ecx, %edx
    andl $7, %edx
    shrq $3, %rcx
user_copy_string_words:
    rep movsq
    FAULTS_TO user_copy_string_words, user_copy_join
    jmp user_copy_rest

user_copy_words_failed:
    addq %rcx, %rsi
    addq %rcx, %rdi
    subq %rcx, %rdx
    movq %rdx, %rcx
    jmp user_copy_bytes

user_copy_join:
    leaq (%rdx, %rcx, 8), %rcx
user_copy_bytes:
    jrcxz user_copy_done
user_copy_byte:
    movb (%rsi), %al
    movb %al, (%rdi)
    FAULTS_TO user_copy_byte, user_copy_done
    incq %rsi
    incq %rdi
    decq %rcx
    jmp user_copy_bytes

user_copy_by_vectors:
    cmpq $COPY_BLOCK, %rcx
    jb user_copy_by_words
    BEGIN_BLOCKS COPY_BLOCK
    subq %rcx, %rsi
user_copy_block:
    .irp offset, 0, 32, 64, 96, 128, 160, 192, 224
    vmovdqu \offset(%rsi, %rcx), %ymm0
    vmovdqu %ymm0, \offset(%rdi, %rcx)
    .endr
    addq $COPY_BLOCK, %rcx
    jnz user_copy_block
    FAULTS_TO user_copy_block, user_copy_blocks_end
user_copy_blocks_end:
    addq %rcx, %rsi
    END_BLOCKS
    jmp user_copy_by_words
.size user_copy, . - user_copy

# user_copy_text(destination: rdi, source: rsi, room: rdx) -> rax: bytes copied, rdx: 1 if a NUL follows them
#   Eight bytes at a time: (word - 0x01…) & ~word & 0x80… is not zero if a byte of the word is, and its lowest bit is in
#   the first such byte.
.balign 16
.global user_copy_text
.type user_copy_text, @function
user_copy_text:
    xorl %eax, %eax
    movabsq $0x0101010101010101, %r8
    movabsq $0x8080808080808080, %r9
    OPEN_USER
    jmp 3f
user_copy_text_word:
    movq (%rsi, %rax), %rcx
    FAULTS_TO user_copy_text_word, user_copy_text_bytes
    movq %rcx, (%rdi, %rax)
    movq %rcx, %r10
    subq %r8, %r10
    notq %rcx
    andq %rcx, %r10
    andq %r9, %r10
    jnz user_copy_text_end_in_word
    addq $8, %rax
3:  leaq 8(%rax), %rcx
    cmpq %rdx, %rcx
    jbe user_copy_text_word
user_copy_text_bytes:
    cmpq %rdx, %rax
    jae user_copy_text_no_end
user_copy_text_byte:
    movb (%rsi, %rax), %cl
    FAULTS_TO user_copy_text_byte, user_copy_text_no_end
    movb %cl, (%rdi, %rax)
    testb %cl, %cl
    jz user_copy_text_end
    incq %rax
    jmp user_copy_text_bytes

user_copy_text_end_in_word:
    bsfq %r10, %r10
    shrq $3, %r10
    addq %r10, %rax
user_copy_text_end:
    CLOSE_USER
    movl $1, %edx
    ret
user_copy_text_no_end:
    CLOSE_USER
    xorl %edx, %edx
    ret
.size user_copy_text, . - user_copy_text

# user_zero(destination: rdi, length: rsi) -> rax: bytes not written
.balign 16
.global user_zero
.type user_zero, @function
user_zero:
    movq %rsi, %rcx
    xorl %eax, %eax
    OPEN_USER
    cmpb $BY_VECTORS, user_copy_means
    jne user_zero_by_words
    cmpq $ZERO_BLOCK, %rcx
    jb user_zero_by_words
    BEGIN_BLOCKS ZERO_BLOCK
    vxorps %xmm0, %xmm0, %xmm0                  # all of YMM0
user_zero_block:
    .irp offset, 0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480
    vmovdqu %ymm0, \offset(%rdi, %rcx)
    .endr
    addq $ZERO_BLOCK, %rcx
    jnz user_zero_block
    FAULTS_TO user_zero_block, user_zero_blocks_end
user_zero_blocks_end:
    END_BLOCKS

user_zero_by_words:
    movl %ecx, %edx
    andl $7, %edx
    shrq $3, %rcx
user_zero_words:
    rep stosq
    FAULTS_TO user_zero_words, user_zero_join
    movq %rdx, %rcx
    jmp user_zero_bytes
user_zero_join:
    leaq (%rdx, %rcx, 8), %rcx
user_zero_bytes:
    rep stosb
    FAULTS_TO user_zero_bytes, user_zero_done
user_zero_done:
    CLOSE_USER
    movq %rcx, %rax
    ret
.size user_zero, . - user_zero

# user_load_u32(address: rdi) -> rax: the value, or all ones if the access failed
.balign 16
.global user_load_u32
.type user_load_u32, @function
user_load_u32:
    OPEN_USER
user_load_word:
    movl (%rdi), %eax
    FAULTS_TO user_load_word, user_load_failed
    CLOSE_USER
    ret
user_load_failed:
    CLOSE_USER
    movq $-1, %rax
    ret
.size user_load_u32, . - user_load_u32

# user_exchange_u32(address: rdi, old: esi, new: edx) -> rax: what it held, or all ones if the access failed
.balign 16
.global user_exchange_u32
.type user_exchange_u32, @function
user_exchange_u32:
    movl %esi, %eax
    OPEN_USER
user_exchange_word:
    lock cmpxchgl %edx, (%rdi)
    FAULTS_TO user_exchange_word, user_load_failed
    CLOSE_USER
    movl %eax, %eax                             # clears the upper half
    ret
.size user_exchange_u32, . - user_exchange_u32

# user_store_state(to: rdi) -> rax: not zero if the access failed
#   XSAVE's area, whose header must be clear; only where the CPU has XSAVE.
.balign 16
.global user_store_state
.type user_store_state, @function
user_store_state:
    movl $-1, %eax
    movl %eax, %edx
    OPEN_USER
user_store_area:
    xsave64 (%rdi)
    FAULTS_TO user_store_area, user_load_failed
    CLOSE_USER
    xorl %eax, %eax
    ret
.size user_store_state, . - user_store_state

# user_load_state(from: rdi) -> rax: not zero if the access failed or the CPU does not accept the state
#   Then a part may be loaded.
.balign 16
.global user_load_state
.type user_load_state, @function
user_load_state:
    movl $-1, %eax
    movl %eax, %edx
    OPEN_USER
user_load_area:
    xrstor64 (%rdi)
    FAULTS_TO user_load_area, user_load_failed
    CLOSE_USER
    xorl %eax, %eax
    ret
.size user_load_state, . - user_load_state

.section .rodata.user_copy_table, "a"
.global user_copy_table_end
user_copy_table_end:

.section .note.GNU-stack, "", @progbits
