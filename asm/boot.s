# The first instructions of the kernel, and the header by which a Multiboot2 loader knows it.
#
# Who jumps here: the loader, to `boot_entry`, in 32-bit protected mode with paging and interrupts
# off and flat segments (Multiboot2 specification 2.0, section 3.3):
#   eax  0x36d76289       ebx  physical address of the information block       esp  undefined
#
# What happens: the CPU is checked, or its lack told in words on VGA text and COM1; early page tables
# are filled; the CPU goes to long mode; `_start(magic, information)` runs at its final virtual address
# on a stack of its own. The loader may have put the image at any multiple of 2 MiB, so the 32-bit
# part uses no absolute address: %ebp holds where `boot_origin` is, all else is relative to it.

.set MULTIBOOT2_HEADER_MAGIC,   0xe85250d6
.set MULTIBOOT2_LOADER_MAGIC,   0x36d76289
.set MULTIBOOT1_HEADER_MAGIC,   0x1badb002
.set MULTIBOOT1_HEADER_FLAGS,   0x00010000      # the header's addresses are valid
.set ARCHITECTURE_I386,         0
.set TAG_OPTIONAL,              1

.set KERNEL_BASE,               0xffffffff80000000
.set LARGE_PAGE,                0x200000
.set KERNEL_LARGE_PAGES,        32              # the image and its data take less than 64 MiB

.set PAGE_TABLE_LINK,           0x003           # present, writable
.set PAGE_LARGE,                0x083           # present, writable, large

.set CR0_PE_MP_ET_NE_WP_PG,     0x80010033
.set CR4_PAE,                   0x20
.set MSR_EFER,                  0xc0000080
.set EFER_LME_NXE,              0x900
.set EFLAGS_ID,                 0x200000

.set COM1,                      0x3f8
.set VGA_TEXT,                  0xb8000
.set VGA_WHITE_ON_RED,          0x4f

.set BOOT_STACK_SIZE,           0x10000

.section .boot.header, "a"
.balign 8
boot_header:
    .long MULTIBOOT2_HEADER_MAGIC
    .long ARCHITECTURE_I386
    .long boot_header_end - boot_header
    .long -(MULTIBOOT2_HEADER_MAGIC + ARCHITECTURE_I386 + (boot_header_end - boot_header))

    .balign 8                                   # information request
    .short 1, TAG_OPTIONAL
    .long boot_request_end - .  + 4
    .long 1, 2, 3, 6, 8, 14, 15                 # words, loader, modules, memory map, framebuffer, ACPI
boot_request_end:

    .balign 8                                   # framebuffer: any size, 32 bits per pixel
    .short 5, TAG_OPTIONAL
    .long 20
    .long 0, 0, 32

    .balign 8                                   # modules start on page boundaries
    .short 6, TAG_OPTIONAL
    .long 8

    .balign 8                                   # relocatable: lowest multiple of 2 MiB that is free
    .short 10, TAG_OPTIONAL
    .long 24
    .long LARGE_PAGE                            # lowest address
    .long 0xf0000000                            # highest
    .long LARGE_PAGE                            # alignment
    .long 1                                     # as low as possible

    .balign 8
    .short 0, 0
    .long 8
boot_header_end:

# Lets a Multiboot1 loader start the kernel too, only to be told in words that it cannot.
.balign 4
.global boot_multiboot1_header
boot_multiboot1_header:
    .long MULTIBOOT1_HEADER_MAGIC
    .long MULTIBOOT1_HEADER_FLAGS
    .long -(MULTIBOOT1_HEADER_MAGIC + MULTIBOOT1_HEADER_FLAGS)
    .long boot_multiboot1_header_physical
    .long boot_load_start_physical
    .long boot_load_end_physical
    .long boot_bss_end_physical
    .long boot_entry_physical

.section .boot.text, "ax"
.code32
.global boot_entry
.type boot_entry, @function
boot_entry:
    cli
    cld
    movl %eax, %esi                             # magic
    # Four bytes of low memory serve as the stack of the call that tells where we are; they are put back.
    movl 0x7bfc, %edi
    movl $0x7c00, %esp
    call boot_origin
boot_origin:
    popl %ebp
    movl %edi, 0x7bfc
    leal (boot_stack_end - boot_origin)(%ebp), %esp

    leal (boot_words_loader - boot_origin)(%ebp), %edi
    cmpl $MULTIBOOT2_LOADER_MAGIC, %esi
    jne boot_refuse

    # CPUID is there if the ID flag can be changed (SDM vol. 1, 3.4.3.3).
    leal (boot_words_cpuid - boot_origin)(%ebp), %edi
    pushfl
    popl %eax
    movl %eax, %ecx
    xorl $EFLAGS_ID, %eax
    pushl %eax
    popfl
    pushfl
    popl %eax
    xorl %ecx, %eax
    testl $EFLAGS_ID, %eax
    jz boot_refuse

    leal (boot_words_long_mode - boot_origin)(%ebp), %edi
    pushl %ebx
    movl $0x80000000, %eax
    cpuid
    xorl %edx, %edx
    cmpl $0x80000001, %eax
    jb 1f
    movl $0x80000001, %eax
    cpuid
1:  popl %ebx
    btl $29, %edx
    jnc boot_refuse
    leal (boot_words_no_execute - boot_origin)(%ebp), %edi
    btl $20, %edx
    jnc boot_refuse

    # How far the image is from where it was linked.
    leal (boot_words_alignment - boot_origin)(%ebp), %edi
    leal (boot_header - boot_origin)(%ebp), %ecx
    subl $boot_load_start_physical, %ecx
    testl $(LARGE_PAGE - 1), %ecx
    jnz boot_refuse
    movl %ecx, (boot_load_offset - boot_origin)(%ebp)

    # The lowest 4 GiB at 0 and at the direct map, 2 MiB pages.
    leal (boot_low_directories - boot_origin)(%ebp), %edi
    movl $PAGE_LARGE, %eax
    xorl %edx, %edx
1:  movl %eax, (%edi, %edx, 8)
    addl $LARGE_PAGE, %eax
    incl %edx
    cmpl $2048, %edx
    jne 1b

    leal PAGE_TABLE_LINK(%edi), %eax
    leal (boot_low_pointers - boot_origin)(%ebp), %edi
    movl %eax, 0(%edi)
    addl $0x1000, %eax
    movl %eax, 8(%edi)
    addl $0x1000, %eax
    movl %eax, 16(%edi)
    addl $0x1000, %eax
    movl %eax, 24(%edi)

    leal PAGE_TABLE_LINK(%edi), %eax
    leal (boot_page_table - boot_origin)(%ebp), %edi
    movl %eax, 0(%edi)                          # identity
    movl %eax, (256 * 8)(%edi)                  # direct map
    leal (boot_high_pointers + PAGE_TABLE_LINK - boot_origin)(%ebp), %eax
    movl %eax, (511 * 8)(%edi)

    # The image at KERNEL_BASE, wherever it is.
    leal (boot_high_pointers - boot_origin)(%ebp), %edi
    leal (boot_high_directory + PAGE_TABLE_LINK - boot_origin)(%ebp), %eax
    movl %eax, (510 * 8)(%edi)
    leal (boot_high_directory - boot_origin)(%ebp), %edi
    leal PAGE_LARGE(%ecx), %eax
    xorl %edx, %edx
1:  movl %eax, (%edi, %edx, 8)
    addl $LARGE_PAGE, %eax
    incl %edx
    cmpl $KERNEL_LARGE_PAGES, %edx
    jne 1b

    # Long mode (SDM vol. 3A, 10.8.5).
    movl $CR4_PAE, %eax
    movl %eax, %cr4
    leal (boot_page_table - boot_origin)(%ebp), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME_NXE, %eax
    wrmsr
    movl $CR0_PE_MP_ET_NE_WP_PG, %eax
    movl %eax, %cr0

    leal (boot_descriptors - boot_origin)(%ebp), %eax
    movl %eax, (boot_descriptors_pointer + 2 - boot_origin)(%ebp)
    lgdt (boot_descriptors_pointer - boot_origin)(%ebp)
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    leal (boot_long_mode - boot_origin)(%ebp), %eax
    pushl $0x08
    pushl %eax
    lret

# Says the words at %edi on VGA text and COM1, then stops.
boot_refuse:
    movw $(COM1 + 3), %dx                       # 115200 bits per second, 8 data bits, no parity, 1 stop bit
    movb $0x80, %al
    outb %al, %dx
    movw $COM1, %dx
    movb $1, %al
    outb %al, %dx
    incl %edx
    xorl %eax, %eax
    outb %al, %dx
    movw $(COM1 + 3), %dx
    movb $0x03, %al
    outb %al, %dx

    movl $VGA_TEXT, %ecx
1:  movzbl (%edi), %eax
    testb %al, %al
    jz boot_halt
    incl %edi
    cmpb $' ', %al
    jb 2f
    movb $VGA_WHITE_ON_RED, %ah
    movw %ax, (%ecx)
    addl $2, %ecx
2:  movl %eax, %esi
    movl $0x100000, %ebx                        # a port that is absent or stuck must not hold us
    movw $(COM1 + 5), %dx
3:  inb %dx, %al
    testb $0x20, %al
    jnz 4f
    decl %ebx
    jnz 3b
4:  movl %esi, %eax
    movw $COM1, %dx
    outb %al, %dx
    jmp 1b
boot_halt:
    cli
    hlt
    jmp boot_halt
.size boot_entry, . - boot_entry

# With the code, where a Multiboot1 loader, which takes the file for one piece, puts it right.
boot_words_loader:
    .asciz "Stele: not started by a Multiboot2 loader. Use GRUB's multiboot2 command.\r\n"
boot_words_cpuid:
    .asciz "Stele: this CPU has no CPUID instruction; a 64-bit x86 CPU is needed.\r\n"
boot_words_long_mode:
    .asciz "Stele: this CPU has no long mode; a 64-bit x86 CPU is needed.\r\n"
boot_words_no_execute:
    .asciz "Stele: this CPU has no NX (no-execute pages), or the firmware's setup disables it.\r\n"
boot_words_alignment:
    .asciz "Stele: the loader put the kernel at an address that is not a multiple of 2 MiB.\r\n"

.code64
boot_long_mode:
    movabsq $boot_high, %rax                    # from the identity map to where the image was linked
    jmp *%rax

boot_high:
    lgdt boot_descriptors_high_pointer(%rip)
    leaq boot_stack_end(%rip), %rsp
    xorl %ebp, %ebp                             # backtraces end here
    movl %esi, %edi                             # magic
    movl %ebx, %esi                             # information block
    call _start
    ud2

.section .boot.data, "aw"
.balign 8
boot_descriptors:
    .quad 0
    .quad 0x00af9b000000ffff                    # code, 64 bits, ring 0
    .quad 0x00cf93000000ffff                    # data, ring 0
boot_descriptors_end:
boot_descriptors_pointer:
    .short boot_descriptors_end - boot_descriptors - 1
    .quad 0
boot_descriptors_high_pointer:
    .short boot_descriptors_end - boot_descriptors - 1
    .quad boot_descriptors

# Physical address of the image less the one it was linked for; Rust reads it.
.balign 8
.global boot_load_offset
.type boot_load_offset, @object
boot_load_offset:
    .quad 0
.size boot_load_offset, 8

.section .boot.bss, "aw", @nobits
.balign 4096
.global boot_page_table
boot_page_table:        .skip 4096
boot_low_pointers:      .skip 4096
boot_low_directories:   .skip 4 * 4096
boot_high_pointers:     .skip 4096
boot_high_directory:    .skip 4096
.global boot_stack_guard
boot_stack_guard:       .skip 4096              # unmapped once the final page tables are there
.global boot_stack
boot_stack:             .skip BOOT_STACK_SIZE
.global boot_stack_end
boot_stack_end:

.section .note.GNU-stack, "", @progbits
