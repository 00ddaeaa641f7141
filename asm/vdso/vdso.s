# The vDSO (vdso(7)): clock calls that user programs make without entering the kernel.
#
# Runs in user mode, in every program, wherever the kernel mapped it; C calling convention. The page below the
# image is the clock page, which the kernel writes (process/vdso.rs has the same layout):
#
#     0  u32  sequence: odd while the kernel writes; a reader tries again if it was odd or has changed
#     4  u32  shift
#     8  u64  base
#    16  u64  multiplier (32 bits): monotonic ns = (TSC - base) * multiplier >> shift
#    24  u64  wall offset: wall-clock ns = monotonic ns + offset

.set CLOCK_SEQUENCE, 0
.set CLOCK_SHIFT, 4
.set CLOCK_BASE, 8
.set CLOCK_MULTIPLIER, 16
.set CLOCK_WALL_OFFSET, 24

.set CPU_INDEX, 0x4b                            # asm::selector::CPU_INDEX

.set NR_GETTIMEOFDAY, 96
.set NR_CLOCK_GETTIME, 228
.set NR_CLOCK_GETRES, 229

# CLOCK_REALTIME, MONOTONIC, MONOTONIC_RAW, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME.
.set SERVED_CLOCKS, 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7
.set WALL_CLOCKS, 1 << 0 | 1 << 5
.set LAST_SERVED_CLOCK, 7
.set CLOCK_REALTIME, 0

.set NS_PER_SECOND, 1000000000

.hidden __ehdr_start
.set CLOCK_PAGE_DISTANCE, 4096

.text

# Reads the clock edi; returns ns in rax. Changes rcx, rdx, r8, r9.
.balign 16
.type read_clock, @function
read_clock:
    lea __ehdr_start - CLOCK_PAGE_DISTANCE(%rip), %r8
1:  mov CLOCK_SEQUENCE(%r8), %r9d
    test $1, %r9d
    jnz 3f
    lfence
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    # A counter that is behind (another CPU's) shows the start.
    xor %edx, %edx
    sub CLOCK_BASE(%r8), %rax
    cmovc %rdx, %rax
    mulq CLOCK_MULTIPLIER(%r8)
    mov CLOCK_SHIFT(%r8), %ecx
    shrd %cl, %rdx, %rax
    mov $WALL_CLOCKS, %ecx
    bt %edi, %ecx
    jnc 2f
    add CLOCK_WALL_OFFSET(%r8), %rax
2:  cmp %r9d, CLOCK_SEQUENCE(%r8)
    jne 1b
    ret
3:  pause
    jmp 1b
.size read_clock, . - read_clock

# int clock_gettime(clockid_t clock, struct timespec *time)
.balign 16
.globl __vdso_clock_gettime
.type __vdso_clock_gettime, @function
__vdso_clock_gettime:
    cmp $LAST_SERVED_CLOCK, %edi
    ja 1f
    mov $SERVED_CLOCKS, %eax
    bt %edi, %eax
    jnc 1f
    call read_clock
    xor %edx, %edx
    mov $NS_PER_SECOND, %ecx
    div %rcx
    mov %rax, (%rsi)
    mov %rdx, 8(%rsi)
    xor %eax, %eax
    ret
1:  mov $NR_CLOCK_GETTIME, %eax
    syscall
    ret
.size __vdso_clock_gettime, . - __vdso_clock_gettime

# int gettimeofday(struct timeval *time, struct timezone *zone)
.balign 16
.globl __vdso_gettimeofday
.type __vdso_gettimeofday, @function
__vdso_gettimeofday:
    test %rsi, %rsi
    jnz 2f
    test %rdi, %rdi
    jz 1f
    mov %rdi, %r10
    mov $CLOCK_REALTIME, %edi
    call read_clock
    xor %edx, %edx
    mov $NS_PER_SECOND, %ecx
    div %rcx
    mov %rax, (%r10)
    mov %edx, %eax
    xor %edx, %edx
    mov $1000, %ecx
    div %ecx
    mov %rax, 8(%r10)
1:  xor %eax, %eax
    ret
    # Who asks for the time zone is old and rare.
2:  mov $NR_GETTIMEOFDAY, %eax
    syscall
    ret
.size __vdso_gettimeofday, . - __vdso_gettimeofday

# time_t time(time_t *time)
.balign 16
.globl __vdso_time
.type __vdso_time, @function
__vdso_time:
    mov %rdi, %r10
    mov $CLOCK_REALTIME, %edi
    call read_clock
    xor %edx, %edx
    mov $NS_PER_SECOND, %ecx
    div %rcx
    test %r10, %r10
    jz 1f
    mov %rax, (%r10)
1:  ret
.size __vdso_time, . - __vdso_time

# int clock_getres(clockid_t clock, struct timespec *resolution)
.balign 16
.globl __vdso_clock_getres
.type __vdso_clock_getres, @function
__vdso_clock_getres:
    mov $NR_CLOCK_GETRES, %eax
    syscall
    ret
.size __vdso_clock_getres, . - __vdso_clock_getres

# int getcpu(unsigned *cpu, unsigned *node, void *unused): all CPUs are of one node.
.balign 16
.globl __vdso_getcpu
.type __vdso_getcpu, @function
__vdso_getcpu:
    mov $CPU_INDEX, %eax
    lsl %eax, %eax
    test %rdi, %rdi
    jz 1f
    mov %eax, (%rdi)
1:  test %rsi, %rsi
    jz 1f
    movl $0, (%rsi)
1:  xor %eax, %eax
    ret
.size __vdso_getcpu, . - __vdso_getcpu

# The names without prefix, as Linux has them too.
.weak clock_gettime, gettimeofday, time, clock_getres, getcpu
.set clock_gettime, __vdso_clock_gettime
.set gettimeofday, __vdso_gettimeofday
.set time, __vdso_time
.set clock_getres, __vdso_clock_getres
.set getcpu, __vdso_getcpu

.section .note.GNU-stack, "", @progbits
