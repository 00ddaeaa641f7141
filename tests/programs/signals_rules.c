/* Signals, the fine print: limits of queues, what a handler starts with, bad frames, alternate stacks, codes of faults,
 * forged senders, who is told of children, wait statuses. */
#include "check.h"
#include "asleep.h"
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t count;
static siginfo_t seen;
static sigjmp_buf back;

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
    count = 0;
}

static void note(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    seen = *info;
    count++;
}

static void jump(int number, siginfo_t *info, void *context)
{
    note(number, info, context);
    siglongjmp(back, 1);
}

static int queue_value(pid_t pid, int number, int value)
{
    return sigqueue(pid, number, (union sigval){.sival_int = value});
}

/* Sends itself a signal that says it is a timer's. */
static int forge_timer(int number)
{
    siginfo_t info = {.si_signo = number, .si_code = SI_TIMER};
    return syscall(SYS_rt_sigqueueinfo, getpid(), number, &info);
}

static void test_queue_limit(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {5, 5};
        setrlimit(RLIMIT_SIGPENDING, &limit);
        sigset_t set;
        sigfillset(&set);
        sigprocmask(SIG_BLOCK, &set, NULL);
        struct timespec none = {0, 0};
        int forged = 0;
        while (forged < 100 && forge_timer(SIGRTMIN) == 0)
            forged++;
        if (forged > 5)
            _exit(7);
        while (forged-- > 0)
            if (sigtimedwait(&set, NULL, &none) != SIGRTMIN)
                _exit(8);
        if (forge_timer(SIGUSR1) || forge_timer(SIGUSR1) || sigtimedwait(&set, NULL, &none) != SIGUSR1 ||
            sigtimedwait(&set, NULL, &none) != -1)
            _exit(9);
        int sent = 0;
        while (sent < 100 && queue_value(getpid(), SIGRTMIN, sent) == 0)
            sent++;
        if (errno != EAGAIN || sent > 5)
            _exit(1);
        /* kill(2) still gets through, without information. */
        if (kill(getpid(), SIGRTMIN + 1) || kill(getpid(), SIGRTMIN + 1))
            _exit(2);
        if (syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN + 2) != -1 || errno != EAGAIN)
            _exit(3);
        siginfo_t info;
        for (int i = 0; i < sent; i++)
            if (sigwaitinfo(&set, &info) != SIGRTMIN || info.si_value.sival_int != i || info.si_code != SI_QUEUE)
                _exit(4);
        if (sigwaitinfo(&set, &info) != SIGRTMIN + 1 || info.si_code != SI_USER || info.si_pid != 0)
            _exit(5);
        if (sigtimedwait(&set, &info, &none) != -1 || errno != EAGAIN)
            _exit(6);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    check("RLIMIT_SIGPENDING bounds the queue", status == 0);
}

/* The bound is the user's, whichever process the signals wait for. */
static void test_limit_of_user(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {5, 5};
        sigset_t set;
        sigfillset(&set);
        /* The end of the other would be one more that waits. */
        sigdelset(&set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &set, NULL);
        /* Nobody else has this user's id. */
        if (setuid(54322) || setrlimit(RLIMIT_SIGPENDING, &limit))
            _exit(1);
        pid_t other = fork();
        if (other == 0)
            for (;;)
                pause();
        for (int i = 0; i < 5; i++)
            if (queue_value(i % 2 ? other : getpid(), SIGRTMIN, i))
                _exit(2);
        if (queue_value(getpid(), SIGRTMIN, 5) != -1 || errno != EAGAIN)
            _exit(3);
        kill(other, SIGKILL);
        waitpid(other, NULL, 0);
        if (queue_value(getpid(), SIGRTMIN, 6) || queue_value(getpid(), SIGRTMIN, 7))
            _exit(4);
        _exit(queue_value(getpid(), SIGRTMIN, 8) != -1 || errno != EAGAIN ? 5 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    check("RLIMIT_SIGPENDING counts by user", status == 0);
}

static void test_order(void)
{
    sigset_t set, old;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, &old);
    queue_value(getpid(), SIGRTMIN + 3, 1);
    queue_value(getpid(), SIGRTMIN + 1, 2);
    queue_value(getpid(), SIGRTMIN + 3, 3);
    kill(getpid(), SIGTERM);
    queue_value(getpid(), SIGTERM, 9);
    int order[4], ok = 1;
    siginfo_t info;
    for (int i = 0; i < 4; i++) {
        order[i] = sigwaitinfo(&set, &info);
        ok &= i == 0 ? info.si_code == SI_USER : info.si_value.sival_int == (i == 1 ? 2 : i == 2 ? 1 : 3);
    }
    check("lowest first, in order of sending",
          order[0] == SIGTERM && order[1] == SIGRTMIN + 1 && order[2] == SIGRTMIN + 3 && order[3] == SIGRTMIN + 3);
    check("each with its value, a standard one once", ok && sigtimedwait(&set, NULL, &(struct timespec){0, 0}) == -1);
    kill(getpid(), SIGTSTP);
    kill(getpid(), SIGCONT);
    sigset_t pending;
    sigpending(&pending);
    check("SIGCONT takes stops away", !sigismember(&pending, SIGTSTP) && sigismember(&pending, SIGCONT));
    kill(getpid(), SIGTSTP);
    sigpending(&pending);
    check("a stop takes SIGCONT away", sigismember(&pending, SIGTSTP) && !sigismember(&pending, SIGCONT));
    signal(SIGTSTP, SIG_IGN);
    signal(SIGTSTP, SIG_DFL);
    sigpending(&pending);
    check("to ignore is to forget", !sigismember(&pending, SIGTSTP));
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static volatile unsigned handler_mxcsr;
static volatile unsigned short handler_control;
static void note_control(int number, siginfo_t *info, void *context)
{
    unsigned mxcsr;
    unsigned short control;
    (void)number, (void)info, (void)context;
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    asm volatile("fnstcw %0" : "=m"(control));
    handler_mxcsr = mxcsr, handler_control = control;
    asm volatile("pcmpeqd %%xmm7, %%xmm7" ::: "xmm7");
}

static void test_state(void)
{
    unsigned mxcsr = 0x3f80, after;
    unsigned short control = 0x07f, control_after;
    double value = 1.25;
    handle(SIGUSR1, note_control, 0);
    pid_t pid = getpid();
    long result;
    asm volatile("ldmxcsr %3\n fldcw %4\n movsd %2, %%xmm7\n"
                 "mov %6, %%rdi\n mov $10, %%rsi\n mov $62, %%rax\n syscall\n mov %%rax, %5\n"
                 "movsd %%xmm7, %2\n stmxcsr %0\n fnstcw %1\n"
                 : "=m"(after), "=m"(control_after), "+m"(value)
                 : "m"(mxcsr), "m"(control), "m"(result), "r"((long)pid)
                 : "rdi", "rsi", "rax", "rcx", "r11", "xmm7", "memory");
    check("a handler starts with fresh controls", handler_mxcsr == 0x1f80 && handler_control == 0x37f);
    check("the program's come back", after == mxcsr && control_after == control && value == 1.25);
    mxcsr = 0x1f80, control = 0x37f;
    asm volatile("ldmxcsr %0\n fldcw %1" ::"m"(mxcsr), "m"(control));
}

static void spoil_mxcsr(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr = 0xffff0000;
}

static void spoil_header(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    memset((char *)((ucontext_t *)context)->uc_mcontext.fpregs + 512, 0xff, 64);
}

static void spoil_pointer(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = 0x8000000000000000;
}

static void spoil_state_pointer(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.fpregs = (void *)0xffff800000000000;
}

static void raise_privileges(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= 0x3000 | 1 << 9 | 1 << 19;
}

static void test_frames(void)
{
    static void (*const spoilers[])(int, siginfo_t *, void *) = {spoil_mxcsr, spoil_header, spoil_pointer, spoil_state_pointer};
    for (unsigned i = 0; i < 4; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            handle(SIGUSR1, spoilers[i], 0);
            kill(getpid(), SIGUSR1);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        check("a spoilt frame is a fault", WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        check("without a core", !WCOREDUMP(status));
    }
    handle(SIGUSR1, raise_privileges, 0);
    kill(getpid(), SIGUSR1);
    unsigned long flags;
    asm volatile("pushfq\n pop %0" : "=r"(flags));
    check("flags of the system are not the frame's", !(flags & (0x3000 | 1 << 19)));
}

static void test_alternate_stack(void)
{
    static char area[65536];
    stack_t stack = {.ss_sp = area, .ss_size = 100}, old;
    check_error("too small", sigaltstack(&stack, NULL), ENOMEM);
    stack.ss_size = sizeof area;
    stack.ss_flags = 77;
    check_error("no such flag", sigaltstack(&stack, NULL), EINVAL);
    stack.ss_flags = 0;
    check("set", sigaltstack(&stack, NULL) == 0 && sigaltstack(NULL, &old) == 0 && old.ss_sp == area && old.ss_flags == 0);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    check("disabled", sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
    check_error("bad pointer", syscall(SYS_sigaltstack, (void *)8, NULL), EFAULT);

    /* A frame that does not fit the alternate stack kills. */
    pid_t pid = fork();
    if (pid == 0) {
        long page = 4096;
        char *place = mmap(NULL, 16 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stack_t hole = {.ss_sp = place, .ss_size = 16 * page};
        sigaltstack(&hole, NULL);
        handle(SIGUSR1, note, SA_ONSTACK);
        kill(getpid(), SIGUSR1);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    check("a stack that is not there is a fault", WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

#define faults(number, code, address, statement)                                                    \
    (handle(number, jump, SA_NODEFER), sigsetjmp(back, 1) == 0 ? ({ statement; 0; }) : 1) &&        \
        seen.si_signo == (number) && seen.si_code == (code) && seen.si_addr == (void *)(address)

static void test_faults(void)
{
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = syscall(SYS_memfd_create, "file", 0);
    ftruncate(fd, 4096);
    volatile char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    volatile int zero = 0, result;
    (void)result;
    check("SEGV_MAPERR", faults(SIGSEGV, SEGV_MAPERR, 0x10, *(volatile char *)0x10 = 1));
    check("SEGV_ACCERR", faults(SIGSEGV, SEGV_ACCERR, page + 5, *(volatile char *)(page + 5) = 1));
    check("an address of the kernel", faults(SIGSEGV, SEGV_MAPERR, 0xffffffff80000000, *(volatile char *)0xffffffff80000000 = 1));
    check("one that is none", faults(SIGSEGV, SI_KERNEL, 0, *(volatile char *)0x8000000000000000 = 1));
    check("BUS_ADRERR", faults(SIGBUS, BUS_ADRERR, file + 4096, file[4096] = 1));
    check("FPE_INTDIV", (handle(SIGFPE, jump, SA_NODEFER), sigsetjmp(back, 1) == 0 ? (result = 7 / zero, 0) : 1) &&
                            seen.si_code == FPE_INTDIV);
    check("ILL_ILLOPN", (handle(SIGILL, jump, SA_NODEFER), sigsetjmp(back, 1) == 0 ? ({ asm volatile("ud2"); 0; }) : 1) &&
                            seen.si_code == ILL_ILLOPN);
    check("int3", (handle(SIGTRAP, note, 0), ({ asm volatile("int3"); 1; })) && count == 1 && seen.si_code == SI_KERNEL);
    handle(SIGTRAP, note, 0);
    asm volatile("pushfq\n orq $0x100, (%%rsp)\n popfq\n nop\n pushfq\n andq $~0x100, (%%rsp)\n popfq\n" ::: "cc", "memory");
    check("TRAP_TRACE", count >= 3 && seen.si_code == TRAP_TRACE);
    unsigned short unmasked = 0x37b;
    handle(SIGFPE, jump, SA_NODEFER);
    if (sigsetjmp(back, 1) == 0)
        asm volatile("fldcw %0\n fld1\n fldz\n fdivrp\n fwait" ::"m"(unmasked));
    asm volatile("fninit");
    check("FPE_FLTDIV", count == 1 && seen.si_code == FPE_FLTDIV);
    close(fd);
}

static void test_forgery(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    siginfo_t info = {.si_signo = SIGUSR2, .si_code = SI_USER};
    check_error("no forged kill", syscall(SYS_rt_sigqueueinfo, pid, SIGUSR2, &info), EPERM);
    info.si_code = SI_TKILL;
    check_error("no forged tkill", syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGUSR2, &info), EPERM);
    info.si_code = SI_QUEUE;
    check_error("no such signal", syscall(SYS_rt_sigqueueinfo, pid, 65, &info), EINVAL);
    check_error("no such process", syscall(SYS_rt_sigqueueinfo, 0x7ffffff0, SIGUSR2, &info), ESRCH);
    check_error("no such thread of it", syscall(SYS_rt_tgsigqueueinfo, getpid(), pid, SIGUSR2, &info), ESRCH);
    check_error("tgkill wants ids", syscall(SYS_tgkill, 0, pid, 0), EINVAL);
    check("SI_QUEUE", syscall(SYS_rt_sigqueueinfo, pid, SIGUSR2, &info) == 0);
    int status;
    waitpid(pid, &status, 0);
    check("it arrives", WTERMSIG(status) == SIGUSR2);
}

static void test_children(void)
{
    int status;
    handle(SIGCHLD, note, SA_NOCLDSTOP);
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    check("SA_NOCLDSTOP", WIFSTOPPED(status) && count == 0);
    siginfo_t info;
    kill(pid, SIGCONT);
    check("WCONTINUED", waitid(P_PID, pid, &info, WCONTINUED) == 0 && info.si_code == CLD_CONTINUED && info.si_status == SIGCONT);
    kill(pid, SIGKILL);
    check("WNOWAIT", waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0 && info.si_code == CLD_KILLED && info.si_status == SIGKILL);
    check("and again", waitid(P_PID, pid, &info, WEXITED) == 0 && info.si_pid == pid);
    check("the end is told", count == 1 && seen.si_code == CLD_KILLED && seen.si_pid == pid);
    handle(SIGCHLD, note, SA_NOCLDWAIT);
    pid = fork();
    if (pid == 0)
        _exit(3);
    check_error("SA_NOCLDWAIT leaves no zombie", waitpid(pid, &status, 0), ECHILD);
    check("but tells", count == 1);
    signal(SIGCHLD, SIG_DFL);
    pid = fork();
    if (pid == 0)
        abort();
    check("no core, no CLD_DUMPED",
          waitid(P_PID, pid, &info, WEXITED) == 0 && info.si_code == CLD_KILLED && info.si_status == SIGABRT);
}

static void test_restart(void)
{
    int pair[2];
    char byte;
    for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
        pipe(pair);
        handle(SIGUSR1, note, flags);
        pid_t parent = getpid(), pid = fork();
        if (pid == 0) {
            wait_until_asleep(parent);
            kill(parent, SIGUSR1);
            if (flags)
                write(pair[1], "x", 1);
            _exit(0);
        }
        ssize_t got = read(pair[0], &byte, 1);
        int error = errno;
        check(flags ? "SA_RESTART repeats a read" : "without it EINTR",
              flags ? got == 1 && count == 1 : got == -1 && error == EINTR);
        while (waitpid(pid, NULL, 0) != pid)
            ;
        close(pair[0]);
        close(pair[1]);
    }
}

int main(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    test_queue_limit();
    test_limit_of_user();
    test_order();
    test_state();
    test_frames();
    test_alternate_stack();
    test_faults();
    test_forgery();
    test_children();
    test_restart();
    return finish();
}
