/* Signals: handlers, masks, restart, queues, alternate stacks, faults, masks of sigsuspend and sigtimedwait, signalfd. */
#include "check.h"
#include "asleep.h"
#include <fenv.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t count, last, nested, on_stack, order[16];
static siginfo_t seen;
static sigjmp_buf back;

static void note(int number)
{
    if (count < 16)
        order[count] = number;
    count++;
    last = number;
}

static void note_info(int number, siginfo_t *info, void *context)
{
    (void)context;
    seen = *info;
    note(number);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
    count = 0;
}

static sigset_t set_of(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static void basics(void)
{
    handle(SIGUSR1, note_info, 0);
    raise(SIGUSR1);
    check("a handler runs", count == 1 && last == SIGUSR1);
    check("SI_TKILL from raise", seen.si_code == SI_TKILL && seen.si_pid == getpid());
    kill(getpid(), SIGUSR1);
    check("SI_USER from kill", count == 2 && seen.si_code == SI_USER && seen.si_pid == getpid() && seen.si_uid == getuid());
    struct sigaction old;
    sigaction(SIGUSR1, NULL, &old);
    check("sigaction tells", old.sa_sigaction == note_info && old.sa_flags & SA_SIGINFO);
    check_error("SIGKILL cannot be handled", sigaction(SIGKILL, &old, NULL), EINVAL);
    check_error("no signal 65", kill(getpid(), 65), EINVAL);
    check("signal 0 tests", kill(getpid(), 0) == 0);
    check_error("nobody there", kill(99999, 0), ESRCH);

    sigset_t mask = set_of(SIGUSR1), pending, before;
    sigprocmask(SIG_BLOCK, &mask, &before);
    count = 0;
    raise(SIGUSR1);
    raise(SIGUSR1);
    check("blocked", count == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_SETMASK, &before, NULL);
    check("standard signals do not queue", count == 1);

    handle(SIGUSR1, note_info, SA_RESETHAND);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &old);
    check("SA_RESETHAND", count == 1 && old.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    check("ignored", count == 1);
}

static void in_nested(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    nested++;
    if (nested == 1) {
        raise(number);
        order[0] = nested;
    }
}

static void nesting(void)
{
    nested = 0;
    handle(SIGUSR1, in_nested, 0);
    raise(SIGUSR1);
    check("blocked in its own handler", order[0] == 1 && nested == 2);
    nested = 0;
    handle(SIGUSR1, in_nested, SA_NODEFER);
    raise(SIGUSR1);
    check("SA_NODEFER", order[0] == 2 && nested == 2);
}

static void queues(void)
{
    sigset_t mask, before;
    sigemptyset(&mask);
    for (int number = SIGRTMIN; number <= SIGRTMIN + 2; number++) {
        handle(number, note_info, 0);
        sigaddset(&mask, number);
    }
    sigprocmask(SIG_BLOCK, &mask, &before);
    union sigval value;
    for (int i = 0; i < 3; i++) {
        value.sival_int = i;
        sigqueue(getpid(), SIGRTMIN + 2 - i, value);
        sigqueue(getpid(), SIGRTMIN + 2 - i, value);
    }
    count = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    check("real-time signals queue", count == 6);
    check("value and code", seen.si_code == SI_QUEUE && (seen.si_value.sival_int == 0 || seen.si_value.sival_int == 2));

    sigprocmask(SIG_BLOCK, &mask, &before);
    value.sival_int = 77;
    sigqueue(getpid(), SIGRTMIN, value);
    siginfo_t info;
    check("sigwaitinfo", sigwaitinfo(&mask, &info) == SIGRTMIN && info.si_value.sival_int == 77);
    struct timespec little = { 0, 20000000 };
    check_error("sigtimedwait ends", sigtimedwait(&mask, &info, &little), EAGAIN);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void alarm_in(int milliseconds)
{
    struct itimerval timer = { .it_value = { 0, milliseconds * 1000 } };
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void kill_sleeping_parent(int number)
{
    pid_t parent = getpid();
    if (fork() == 0) {
        wait_until_asleep(parent);
        kill(parent, number);
        wait_until_asleep(parent); /* Its SIGCHLD comes by itself. */
        _exit(0);
    }
}

static void restart(void)
{
    int ends[2], status;
    char byte;
    if (pipe(ends))
        return;
    handle(SIGUSR2, note_info, 0);
    kill_sleeping_parent(SIGUSR2);
    check_error("read without SA_RESTART", read(ends[0], &byte, 1), EINTR);
    wait(&status);

    handle(SIGUSR2, note_info, SA_RESTART);
    pid_t self = getpid();
    if (fork() == 0) {
        wait_until_asleep(self);
        kill(self, SIGUSR2);
        wait_until_asleep(self);
        write(ends[1], "x", 1);
        _exit(0);
    }
    check("read with SA_RESTART", read(ends[0], &byte, 1) == 1 && byte == 'x' && count == 1);
    wait(&status);

    count = 0;
    pid_t child = fork();
    if (child == 0) {
        wait_until_asleep(self);
        kill(self, SIGUSR2);
        wait_until_asleep(self);
        _exit(4);
    }
    check("wait with SA_RESTART", waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 4 && count == 1);

    kill_sleeping_parent(SIGUSR2);
    struct pollfd nothing = { .fd = ends[0], .events = POLLIN };
    check_error("poll never restarts", poll(&nothing, 1, 100000), EINTR);
    wait(&status);
    kill_sleeping_parent(SIGUSR2);
    struct timespec long_time = { 100, 0 }, left = { 0, 0 };
    check_error("nanosleep tells what is left", nanosleep(&long_time, &left), EINTR);
    check("what is left", left.tv_sec <= 100 && left.tv_sec > 50);
    wait(&status);

    /* An ignored signal and a stop with continue do not end a sleep. */
    struct timespec start, end, part = { 0, 150000000 };
    signal(SIGUSR2, SIG_IGN);
    if (fork() == 0) {
        wait_until_asleep(self);
        kill(self, SIGUSR2);
        _exit(0);
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    int slept = nanosleep(&part, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    check("an ignored signal does not end a sleep", slept == 0);
    wait(&status);

    child = fork();
    if (child == 0) {
        clock_gettime(CLOCK_MONOTONIC, &start);
        slept = nanosleep(&part, NULL);
        clock_gettime(CLOCK_MONOTONIC, &end);
        long ms = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
        _exit(slept == 0 && ms >= 149 ? 0 : 1);
    }
    wait_until_asleep(child);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGCONT);
    check("stop and continue restart a sleep", waitpid(child, &status, 0) == child && status == 0);
    close(ends[0]);
    close(ends[1]);
}

static void suspended(void)
{
    sigset_t mask = set_of(SIGUSR1), before, empty, now;
    sigemptyset(&empty);
    handle(SIGUSR1, note_info, 0);
    sigprocmask(SIG_BLOCK, &mask, &before);
    raise(SIGUSR1);
    check("pending, not delivered", count == 0);
    check_error("sigsuspend", sigsuspend(&empty), EINTR);
    sigprocmask(SIG_BLOCK, NULL, &now);
    check("delivered; mask back", count == 1 && sigismember(&now, SIGUSR1));
    raise(SIGUSR1);
    struct timespec time = { 1, 0 };
    check_error("ppoll with a mask", ppoll(NULL, 0, &time, &empty), EINTR);
    sigprocmask(SIG_BLOCK, NULL, &now);
    check("delivered by ppoll; mask back", count == 2 && sigismember(&now, SIGUSR1));
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static char alternate[65536];

static void note_stack(int number, siginfo_t *info, void *context)
{
    char here;
    stack_t now;
    (void)info;
    (void)context;
    sigaltstack(NULL, &now);
    on_stack = &here >= alternate && &here < alternate + sizeof alternate ? 1 + (now.ss_flags == SS_ONSTACK) : 0;
    note(number);
}

static void overflow(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    seen = *info;
    siglongjmp(back, 1);
}

static int recurse(volatile char *above)
{
    volatile char room[4096];
    room[0] = above ? above[0] : 0;
    return recurse(room) + room[0];
}

static void stacks(void)
{
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate }, old;
    check("set the alternate stack", sigaltstack(&stack, NULL) == 0);
    check("read it back", sigaltstack(NULL, &old) == 0 && old.ss_sp == alternate && old.ss_flags == 0);
    handle(SIGUSR1, note_stack, SA_ONSTACK);
    raise(SIGUSR1);
    check("SA_ONSTACK", on_stack == 2);
    handle(SIGUSR1, note_stack, 0);
    raise(SIGUSR1);
    check("without SA_ONSTACK", on_stack == 0);
    stack_t small = { .ss_sp = alternate, .ss_size = 100 };
    check_error("too small", sigaltstack(&small, NULL), ENOMEM);

    handle(SIGSEGV, overflow, SA_ONSTACK);
    int hit = sigsetjmp(back, 1);
    if (hit == 0)
        recurse(NULL);
    check("stack overflow is caught", hit == 1 && seen.si_signo == SIGSEGV);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    sigaltstack(NULL, &old);
    check("SS_DISABLE", old.ss_flags == SS_DISABLE);
    signal(SIGSEGV, SIG_DFL);
}

static volatile void *fault_address;
static volatile long trap_number, fault_error;

static void in_fault(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    (void)number;
    seen = *info;
    fault_address = info->si_addr;
    trap_number = context->uc_mcontext.gregs[REG_TRAPNO];
    fault_error = context->uc_mcontext.gregs[REG_ERR];
    siglongjmp(back, 1);
}

#define faults(number, code_wanted, statement)                                                     \
    (handle(number, in_fault, 0), sigsetjmp(back, 1) == 0 ? ({ statement; 0; }) : seen.si_signo == number && seen.si_code == code_wanted)

static void fault_codes(void)
{
    char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    check("SEGV_ACCERR", faults(SIGSEGV, SEGV_ACCERR, *(volatile char *)page = 1) && fault_address == page);
    check("trap and error", trap_number == 14 && (fault_error & 6) == 6);
    check("SEGV_MAPERR", faults(SIGSEGV, SEGV_MAPERR, *(volatile char *)(page + 4096)) && fault_address == page + 4096);
    check("NULL", faults(SIGSEGV, SEGV_MAPERR, *(volatile char *)(uintptr_t)8 = 1) && fault_address == (void *)8);
    check("not canonical", faults(SIGSEGV, SI_KERNEL, *(volatile char *)(uintptr_t)0x8000000000000000 = 1));
    check("execute data", faults(SIGSEGV, SEGV_ACCERR, ((void (*)(void))page)()) && fault_address == page);
    volatile int zero = 0, one = 1;
    check("FPE_INTDIV", faults(SIGFPE, FPE_INTDIV, one = one / zero));
    check("ILL_ILLOPN", faults(SIGILL, ILL_ILLOPN, __asm__ volatile("ud2")));
    check("int3", faults(SIGTRAP, SI_KERNEL, __asm__ volatile("int3")));
    check("privileged instruction", faults(SIGSEGV, SI_KERNEL, __asm__ volatile("hlt")));

    FILE *file = tmpfile();
    char *mapped = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fileno(file), 0);
    check("BUS_ADRERR", faults(SIGBUS, BUS_ADRERR, *(volatile char *)mapped) && fault_address == mapped);
    fclose(file);

    sigset_t mask = set_of(SIGSEGV);
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_BLOCK, &mask, NULL);
        *(volatile int *)8 = 1;
        _exit(0);
    }
    check("a blocked fault kills", waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_IGN);
        *(volatile int *)8 = 1;
        _exit(0);
    }
    check("an ignored fault kills", waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    munmap(page, 4096);
}

static volatile double half;

static void clobber(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    __asm__ volatile("xorps %%xmm0,%%xmm0; xorps %%xmm7,%%xmm7; xorps %%xmm15,%%xmm15" ::: "xmm0", "xmm7", "xmm15");
    half = 0.25;
}

static void registers(void)
{
    handle(SIGUSR1, clobber, 0);
    pid_t pid = getpid();
    uint64_t low = 0x1122334455667788, out = 0, r12 = 0;
    long result;
    __asm__ volatile("movq %3, %%xmm7\n\tmovq %3, %%r12\n\tsyscall\n\tmovq %%xmm7, %1\n\tmovq %%r12, %2"
                     : "=a"(result), "=&r"(out), "=&r"(r12)
                     : "r"(low), "a"(SYS_kill), "D"((long)pid), "S"((long)SIGUSR1)
                     : "rcx", "r11", "r12", "xmm7", "memory");
    check("vector registers survive a handler", result == 0 && out == low && half == 0.25);
    check("general registers survive a handler", r12 == low);
}

static void edit(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    (void)number;
    (void)info;
    context->uc_mcontext.gregs[REG_RAX] = 77;
    sigaddset(&context->uc_sigmask, SIGUSR2);
}

static void edited_return(void)
{
    handle(SIGUSR1, edit, 0);
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1) : "rcx", "r11", "memory");
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    check("sigreturn takes registers from the frame", result == 77);
    check("sigreturn takes the mask from the frame", sigismember(&now, SIGUSR2));
    sigdelset(&now, SIGUSR2);
    sigprocmask(SIG_SETMASK, &now, NULL);
}

static void descriptors(void)
{
    sigset_t mask = set_of(SIGUSR1), before;
    sigprocmask(SIG_BLOCK, &mask, &before);
    int fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    struct signalfd_siginfo info;
    check_error("signalfd: nothing yet", read(fd, &info, sizeof info), EAGAIN);
    kill(getpid(), SIGUSR1);
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    check("signalfd: ready", poll(&poller, 1, 0) == 1 && poller.revents == POLLIN);
    check("signalfd: read", read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1
          && info.ssi_pid == (uint32_t)getpid() && info.ssi_code == SI_USER);
    check_error("signalfd: taken", read(fd, &info, sizeof info), EAGAIN);
    kill_sleeping_parent(SIGUSR1);
    check("signalfd: poll wakes", poll(&poller, 1, 20000) == 1);
    check("signalfd: read again", read(fd, &info, sizeof info) == sizeof info);
    wait(NULL);
    check_error("signalfd: too small a buffer", read(fd, &info, 100), EINVAL);
    close(fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void alarms(void)
{
    handle(SIGALRM, note_info, 0);
    alarm_in(30);
    check_error("alarm ends pause", pause(), EINTR);
    check("SIGALRM from the kernel", last == SIGALRM && seen.si_code == SI_KERNEL);
}

static void children(void)
{
    handle(SIGCHLD, note_info, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(5);
    int status;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    check("SIGCHLD", count == 1 && seen.si_code == CLD_EXITED && seen.si_status == 5 && seen.si_pid == pid);
    handle(SIGCHLD, note_info, SA_NOCLDSTOP | SA_RESTART);
    pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    check("SA_NOCLDSTOP", count == 0 && WIFSTOPPED(status));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    check("SIGCHLD: killed", count == 1 && seen.si_code == CLD_KILLED && seen.si_status == SIGKILL);
    signal(SIGCHLD, SIG_DFL);
}

int main(void)
{
    basics();
    nesting();
    queues();
    restart();
    suspended();
    stacks();
    fault_codes();
    registers();
    edited_return();
    descriptors();
    alarms();
    children();
    return finish();
}
