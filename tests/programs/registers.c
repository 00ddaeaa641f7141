/* What user mode has in the CPU's registers: kept over system calls, switches, fork and signals; and what the CPU
 * itself refuses becomes the right signal. */
#include "check.h"
#include <asm/prctl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* --- General registers and flags --- */

static void over_a_call(void)
{
    uint64_t in[12], out[12];
    for (int i = 0; i < 12; i++)
        in[i] = 0x1111111111111111u * (i + 1);
    long result = SYS_getpid;
    __asm__ volatile(
        "push %%rbp\n\t push %%rbx\n\t push %2\n\t"
        "mov 0(%1), %%rdi\n\t mov 8(%1), %%rsi\n\t mov 16(%1), %%rdx\n\t mov 24(%1), %%r8\n\t"
        "mov 32(%1), %%r9\n\t mov 40(%1), %%r10\n\t mov 48(%1), %%r12\n\t mov 56(%1), %%r13\n\t"
        "mov 64(%1), %%r14\n\t mov 72(%1), %%r15\n\t mov 80(%1), %%rbx\n\t mov 88(%1), %%rbp\n\t"
        "syscall\n\t"
        "mov (%%rsp), %%rcx\n\t"
        "mov %%rdi, 0(%%rcx)\n\t mov %%rsi, 8(%%rcx)\n\t mov %%rdx, 16(%%rcx)\n\t mov %%r8, 24(%%rcx)\n\t"
        "mov %%r9, 32(%%rcx)\n\t mov %%r10, 40(%%rcx)\n\t mov %%r12, 48(%%rcx)\n\t mov %%r13, 56(%%rcx)\n\t"
        "mov %%r14, 64(%%rcx)\n\t mov %%r15, 72(%%rcx)\n\t mov %%rbx, 80(%%rcx)\n\t mov %%rbp, 88(%%rcx)\n\t"
        "pop %%rcx\n\t pop %%rbx\n\t pop %%rbp\n\t"
        : "+a"(result)
        : "c"(in), "d"(out)
        : "rdi", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    check("a call returns in rax", result == getpid());
    check("all other registers are kept", memcmp(in, out, sizeof in) == 0);
}

static uint64_t flags_after_call(uint64_t flags)
{
    uint64_t after;
    long number = SYS_getpid;
    __asm__ volatile("pushq %2\n\t popfq\n\t syscall\n\t pushfq\n\t popq %1\n\t cld\n\t pushq $0x202\n\t popfq"
                     : "+a"(number), "=d"(after)
                     : "r"(flags)
                     : "rcx", "r11", "memory", "cc");
    return after;
}

static void flags(void)
{
    check("flags are kept", flags_after_call(0x202) == 0x202);
    check("arithmetic flags are kept", flags_after_call(0xad7) == 0xad7);
    check("the direction flag is kept", flags_after_call(0x602) == 0x602);
    check("the identification flag is kept", flags_after_call(0x200202) == 0x200202);
    check("the alignment flag is kept", flags_after_call(0x40202) == 0x40202);
}

static void unknown_numbers(void)
{
    check_error("number -1", syscall(-1), ENOSYS);
    check_error("a great number", syscall(100000), ENOSYS);
}

/* --- Extended state --- */

struct vectors {
    unsigned char bytes[16][16];
};

static void load_vectors(const struct vectors *v)
{
    __asm__ volatile("movups 0(%0), %%xmm0\n\t movups 16(%0), %%xmm1\n\t movups 112(%0), %%xmm7\n\t"
                     "movups 128(%0), %%xmm8\n\t movups 240(%0), %%xmm15" : : "r"(v));
}

static void store_vectors(struct vectors *v)
{
    memset(v, 0, sizeof *v);
    __asm__ volatile("movups %%xmm0, 0(%0)\n\t movups %%xmm1, 16(%0)\n\t movups %%xmm7, 112(%0)\n\t"
                     "movups %%xmm8, 128(%0)\n\t movups %%xmm15, 240(%0)" : : "r"(v) : "memory");
}

static struct vectors filled(int seed)
{
    struct vectors v = {0};
    int used[] = {0, 1, 7, 8, 15};
    for (int i = 0; i < 5; i++)
        memset(v.bytes[used[i]], seed + i, 16);
    return v;
}

static long raw(long number, long first)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(0), "d"(0) : "rcx", "r11", "memory");
    return result;
}

static void handler_that_spoils(int signal)
{
    (void)signal;
    struct vectors other = filled(0x77);
    uint32_t strange = 0x1f80 | 0x6000;
    load_vectors(&other);
    __asm__ volatile("ldmxcsr %0\n\t fninit\n\t fldz" : : "m"(strange));
}

static void vectors(void)
{
    struct vectors mine = filled(0x10), seen;

    load_vectors(&mine);
    raw(SYS_getpid, 0);
    store_vectors(&seen);
    check("vector registers are kept over a call", memcmp(&mine, &seen, sizeof seen) == 0);

    /* Another process with values of its own, taking turns with this one. */
    pid_t other = fork();
    if (other == 0) {
        struct vectors its = filled(0x50), found;
        for (int i = 0; i < 200; i++) {
            load_vectors(&its);
            raw(SYS_sched_yield, 0);
            store_vectors(&found);
            if (memcmp(&its, &found, sizeof found))
                _exit(1);
        }
        _exit(0);
    }
    int kept = 1, status;
    for (int i = 0; i < 200; i++) {
        load_vectors(&mine);
        raw(SYS_sched_yield, 0);
        store_vectors(&seen);
        kept &= memcmp(&mine, &seen, sizeof seen) == 0;
    }
    check("and over switches", kept);
    check("in the other process too", waitpid(other, &status, 0) == other && status == 0);

    load_vectors(&mine);
    long child = raw(SYS_fork, 0);
    store_vectors(&seen);
    if (child == 0)
        _exit(memcmp(&mine, &seen, sizeof seen) != 0);
    check("a child starts with its parent's", waitpid(child, &status, 0) == child && status == 0);
    check("and the parent keeps them", memcmp(&mine, &seen, sizeof seen) == 0);

    signal(SIGUSR1, handler_that_spoils);
    uint32_t control = 0x1f80 | 0x2000, control_after;
    double value = 2.5, value_after;
    pid_t self = getpid();
    __asm__ volatile("ldmxcsr %0\n\t fldl %1" : : "m"(control), "m"(value));
    load_vectors(&mine);
    long result;
    register long zero __asm__("rdx") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_kill), "D"(self), "S"(SIGUSR1), "r"(zero) : "rcx", "r11", "memory");
    store_vectors(&seen);
    __asm__ volatile("stmxcsr %0\n\t fstpl %1" : "=m"(control_after), "=m"(value_after));
    check("a handler's values are gone after it", memcmp(&mine, &seen, sizeof seen) == 0);
    check("MXCSR is back after it", control_after == control);
    check("the x87 stack is back after it", value_after == value);
    control = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(control));
}

/* Loads a vector register, as wide as it is; does a system call, or writes to a page; stores the register. */
static long between_vectors(const char *in, char *out, long number, long first, char *second, long third)
{
    long result = number;
    register const char *from __asm__("r8") = in;
    register char *to __asm__("r9") = out;
#define BETWEEN(move)                                                                                                  \
    __asm__ volatile(move " (%%r8), %%" MOVED "\n\t cmp $0, %%rax\n\t jl 1f\n\t syscall\n\t jmp 2f\n\t"                    \
                     "1: movb $1, (%%rsi)\n\t 2:" move " %%" MOVED ", (%%r9)"                                          \
                     : "+a"(result) : "D"(first), "S"(second), "d"(third), "r"(from), "r"(to)                          \
                     : "rcx", "r11", "memory", "cc", "xmm0")
#define MOVED "ymm0"
    if (__builtin_cpu_supports("avx"))
        BETWEEN("vmovdqu");
#undef MOVED
#define MOVED "xmm0"
    else
        BETWEEN("movups");
    return result;
}

/* The kernel may use vector registers where it moves much memory. */
static void vectors_over_copies(void)
{
    enum { SIZE = 64 << 10, PAGE = 4096 };
    char in[32], out[32] = {0};
    int ends[2];
    size_t width = __builtin_cpu_supports("avx") ? 32 : 16;
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = 0x61 + i;
    char *full = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *fresh = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(full, 7, SIZE);
    munmap(fresh + SIZE / 2, SIZE / 2);
    check("a pipe", pipe(ends) == 0);

    check("much is written", between_vectors(in, out, SYS_write, ends[1], full + 1, SIZE / 2 + 100) == SIZE / 2 + 100);
    check("and a vector register kept", memcmp(in, out, width) == 0);
    memset(out, 0, sizeof out);
    check("it is read to new pages", between_vectors(in, out, SYS_read, ends[0], fresh + 3, SIZE / 2 - 50) == SIZE / 2 - 50);
    check("and the register kept", memcmp(in, out, width) == 0);
    check("and all came over", memcmp(fresh + 3, full, SIZE / 2 - 50) == 0);
    memset(out, 0, sizeof out);
    long count = between_vectors(in, out, SYS_write, ends[1], fresh + SIZE / 2 - PAGE - 5, 2 * PAGE);
    check("what ends half-way is written in part, or not at all", count == -EFAULT || (count > 0 && count <= PAGE + 5));
    check("and the register kept over that", memcmp(in, out, width) == 0);

    char *page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(out, 0, sizeof out);
    between_vectors(in, out, -1, 0, page, 0);
    check("and over a page that comes", memcmp(in, out, width) == 0 && page[0] == 1);
    if (fork() == 0) {
        memset(out, 0, sizeof out);
        between_vectors(in, out, -1, 0, page, 0);
        _exit(memcmp(in, out, width) != 0);
    }
    int status;
    wait(&status);
    check("and over one that is copied", status == 0);
    close(ends[0]);
    close(ends[1]);
}

/* --- Segment bases --- */

static void bases(void)
{
    unsigned long base = 0, fs = 0;
    static unsigned long memory[4] = {11, 22, 33, 44};
    check("FS base is told", syscall(SYS_arch_prctl, ARCH_GET_FS, &fs) == 0 && fs != 0);
    check("GS base is 0 at first", syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0 && base == 0);
    check("GS base can be set", syscall(SYS_arch_prctl, ARCH_SET_GS, memory) == 0);
    unsigned long value;
    __asm__ volatile("movq %%gs:8, %0" : "=r"(value));
    check("and is used", value == 22);
    if (fork() == 0) {
        __asm__ volatile("movq %%gs:16, %0" : "=r"(value));
        syscall(SYS_arch_prctl, ARCH_SET_GS, memory + 1);
        _exit(value != 33);
    }
    int status;
    wait(&status);
    check("a child has it", status == 0);
    __asm__ volatile("movq %%gs:8, %0" : "=r"(value));
    check("and changes only its own", value == 22);
    check_error("no base outside user space", syscall(SYS_arch_prctl, ARCH_SET_GS, 0x800000000000), EPERM);
    check_error("nor for FS", syscall(SYS_arch_prctl, ARCH_SET_FS, -1L), EPERM);
    check_error("an unknown code", syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
    check_error("a bad pointer", syscall(SYS_arch_prctl, ARCH_GET_FS, 8), EFAULT);
    syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
}

/* --- Exceptions --- */

static sigjmp_buf back;
static siginfo_t caught;
static uint64_t caught_rip, caught_segments;

static void catcher(int number, siginfo_t *information, void *context)
{
    (void)number;
    caught = *information;
    ucontext_t *user = context;
    caught_rip = user->uc_mcontext.gregs[REG_RIP];
    caught_segments = user->uc_mcontext.gregs[REG_CSGSFS];
    siglongjmp(back, 1);
}

#define catches(...)                                                                              \
    do {                                                                                           \
        memset(&caught, 0, sizeof caught);                                                         \
        if (sigsetjmp(back, 1) == 0) {                                                             \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

static int was(int signal, int code, uint64_t address)
{
    int is_same = caught.si_signo == signal && caught.si_code == code && (uint64_t)caught.si_addr == address;
    if (!is_same)
        printf("signal %d code %d address %p\n", caught.si_signo, caught.si_code, caught.si_addr);
    return is_same;
}

extern char at_divide[], at_illegal[];

static void exceptions(void)
{
    struct sigaction action = {.sa_sigaction = catcher, .sa_flags = SA_SIGINFO | SA_NODEFER};
    int signals[] = {SIGFPE, SIGILL, SIGTRAP, SIGSEGV, SIGBUS};
    for (int i = 0; i < 5; i++)
        sigaction(signals[i], &action, 0);

    catches(__asm__ volatile("xor %%ecx, %%ecx\n\t xor %%edx, %%edx\n\t mov $1, %%eax\n .global at_divide\nat_divide: div %%ecx"
                             : : : "rax", "rcx", "rdx"));
    check("division by zero", was(SIGFPE, FPE_INTDIV, (uint64_t)at_divide) && caught_rip == (uint64_t)at_divide);
    check("user segments are Linux's", (caught_segments & 0xffff) == 0x33 && caught_segments >> 48 == 0x2b);

    catches(__asm__ volatile(".global at_illegal\nat_illegal: ud2"));
    check("illegal instruction", was(SIGILL, ILL_ILLOPN, (uint64_t)at_illegal));

    catches(__asm__ volatile("int3"));
    check("breakpoint", was(SIGTRAP, SI_KERNEL, 0));

    catches(__asm__ volatile("pushfq\n\t orq $0x100, (%%rsp)\n\t popfq\n\t nop\n\t nop" : : : "memory", "cc"));
    check("single step", caught.si_signo == SIGTRAP && caught.si_code == TRAP_TRACE);

    catches(*(volatile int *)8 = 1);
    check("nothing mapped", was(SIGSEGV, SEGV_MAPERR, 8));
    catches(*(volatile int *)0xffffffff80200000 = 1);
    check("the kernel's memory", was(SIGSEGV, SEGV_MAPERR, 0xffffffff80200000));
    catches(*(volatile int *)0x800000000000 = 1);
    check("no address at all", was(SIGSEGV, SI_KERNEL, 0));
    catches(__asm__ volatile("hlt"));
    check("a privileged instruction", was(SIGSEGV, SI_KERNEL, 0));
    catches(__asm__ volatile("inb $0x80, %%al" : : : "rax"));
    check("a port", was(SIGSEGV, SI_KERNEL, 0));
    catches(__asm__ volatile("int $0x20"));
    check("an interrupt that is not the user's", was(SIGSEGV, SI_KERNEL, 0));
    catches(((void (*)(void))0x4000)());
    check("a jump to nowhere", was(SIGSEGV, SEGV_MAPERR, 0x4000) && caught_rip == 0x4000);

    /* Nothing on SSE's exceptions: QEMU's tcg does not raise them. */
    catches(uint16_t control = 0x37f & ~4; double zero = 0;
            __asm__ volatile("fninit\n\t fldcw %0\n\t fld1\n\t fdivl %1\n\t fwait" : : "m"(control), "m"(zero)));
    check("x87 division by zero", caught.si_signo == SIGFPE && caught.si_code == FPE_FLTDIV);
    __asm__ volatile("fnclex\n\t fninit");
}

static void handler_that_returns_nowhere(int signal, siginfo_t *information, void *context)
{
    (void)signal;
    (void)information;
    ucontext_t *user = context;
    user->uc_mcontext.gregs[REG_RIP] = 0x800000000000;
}

static void handler_that_skips(int signal, siginfo_t *information, void *context)
{
    (void)signal;
    (void)information;
    ucontext_t *user = context;
    user->uc_mcontext.gregs[REG_RIP] += 2;
    user->uc_mcontext.gregs[REG_RBX] = 1234;
    /* Not for a program to decide: interrupts off, I/O allowed. */
    user->uc_mcontext.gregs[REG_EFL] = (user->uc_mcontext.gregs[REG_EFL] & ~0x200) | 0x3000;
}

static void changed_contexts(void)
{
    struct sigaction action = {.sa_sigaction = handler_that_skips, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, 0);
    uint64_t value = 1, flags;
    __asm__ volatile("mov $1, %%rbx\n\t ud2\n\t mov %%rbx, %0\n\t pushfq\n\t popq %1" : "=r"(value), "=r"(flags) : : "rbx", "cc");
    check("a handler changes registers", value == 1234);
    check("but not the privileged flags", (flags & 0x3200) == 0x200);
    /* The program's own value, although a kernel might know an interrupted call by it. */
    __asm__ volatile("mov $-513, %%rax\n\t ud2\n\t" : "=a"(value) : : "rbx", "cc");
    check("a handler returns whatever rax holds", value == -513ull);

    if (fork() == 0) {
        action.sa_sigaction = handler_that_returns_nowhere;
        sigaction(SIGUSR1, &action, 0);
        signal(SIGSEGV, SIG_DFL);
        kill(getpid(), SIGUSR1);
        _exit(0);
    }
    int status;
    wait(&status);
    check("a return to no address", WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* --- Turns --- */

static void turns(void)
{
    volatile long *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[2];
    for (int i = 0; i < 2; i++)
        if ((children[i] = fork()) == 0)
            for (;;)
                shared[i]++;
    while (shared[0] < 1000000 || shared[1] < 1000000)
        ;
    for (int i = 0; i < 2; i++) {
        int status;
        kill(children[i], SIGKILL);
        waitpid(children[i], &status, 0);
    }
    check("loops without calls take turns", 1);
}

int main(void)
{
    over_a_call();
    flags();
    unknown_numbers();
    vectors();
    vectors_over_copies();
    bases();
    exceptions();
    changed_contexts();
    turns();
    return finish();
}
