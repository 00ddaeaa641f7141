/* ptrace(2): signals, group stops, attaching, events of new processes and threads, ends. */
#include "ptrace.h"
#include <linux/ptrace.h>
#include <pthread.h>
#include <sys/prctl.h>

static char *self;

static void forever(void)
{
    for (;;)
        pause();
}

static volatile sig_atomic_t handled;
static void handler(int signal)
{
    handled = signal;
}

static void sends_signals(void)
{
    signal(SIGUSR1, handler);
    signal(SIGUSR2, handler);
    signal(SIGWINCH, SIG_IGN);
    kill(getpid(), SIGUSR1);
    if (handled)
        _exit(1);
    kill(getpid(), SIGUSR1);
    if (handled != SIGUSR2)
        _exit(2);
    kill(getpid(), SIGWINCH);
    kill(getpid(), SIGTERM);
    _exit(3);
}

static void test_signals(void)
{
    pid_t pid = traced_child(sends_signals);
    siginfo_t info;
    trace(PTRACE_CONT, pid, 0, 0);
    check("a signal stops", stops(pid, SIGUSR1, 0));
    check("its information shows", trace(PTRACE_GETSIGINFO, pid, 0, (long)&info) == 0 && info.si_code == SI_USER &&
                                       info.si_pid == pid && info.si_signo == SIGUSR1);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the second, as the first was taken away", stops(pid, SIGUSR1, 0));
    trace(PTRACE_CONT, pid, 0, SIGUSR2);
    check("an ignored signal stops too", stops(pid, SIGWINCH, 0));
    trace(PTRACE_CONT, pid, 0, SIGWINCH);
    check("the last signal", stops(pid, SIGTERM, 0));
    info.si_signo = SIGTERM;
    info.si_code = -7;
    check("SETSIGINFO", trace(PTRACE_SETSIGINFO, pid, 0, (long)&info) == 0);
    trace(PTRACE_CONT, pid, 0, SIGTERM);
    check("it dies of what it is handed", wait_status(pid) == SIGTERM);
}

static void test_waitid(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        trace(PTRACE_TRACEME, 0, 0, 0);
        kill(getpid(), SIGSTOP);
        forever();
    }
    siginfo_t info;
    check("waitid sees the stop, and keeps it",
          waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT) == 0 && info.si_code == CLD_TRAPPED &&
              info.si_status == SIGSTOP && info.si_pid == pid);
    check("WEXITED sees it too", waitid(P_PID, pid, &info, WEXITED) == 0 && info.si_code == CLD_TRAPPED);
    check("once only", waitid(P_PID, pid, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid == 0);
    trace(PTRACE_CONT, pid, 0, SIGSTOP);
    check("the handed SIGSTOP stops the group", stops(pid, SIGSTOP, 0));
    check_error("a group stop has no information", trace(PTRACE_GETSIGINFO, pid, 0, (long)&info), EINVAL);
    trace(PTRACE_CONT, pid, 0, 0);
    kill(pid, SIGUSR1);
    check("it ran on in spite of the group stop", stops(pid, SIGUSR1, 0));
    check("detach", trace(PTRACE_DETACH, pid, 0, 0) == 0);
    check("job control's stop is back",
          waitid(P_PID, pid, &info, WSTOPPED) == 0 && info.si_code == CLD_STOPPED);
    while (state_of(pid) != 'T')
        sched_yield();
    kill(pid, SIGKILL);
    check("SIGKILL ends it", wait_status(pid) == SIGKILL);
}

static int ready_pipe[2];

static void sleeper(void)
{
    char byte = 1;
    struct timespec time = {1000, 0};
    write(ready_pipe[1], &byte, 1);
    nanosleep(&time, NULL);
    _exit(5);
}

static void reader(void)
{
    char byte = 1;
    write(ready_pipe[1], &byte, 1);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int got;
    int error = sigwait(&set, &got);
    _exit(error ? 100 + error : got);
}

/* Starts `run`, which writes a byte when it is about to sleep; waits until it does sleep. */
static pid_t sleeping_child(void (*run)(void))
{
    char byte;
    pid_t pid = plain_child(run);
    read(ready_pipe[0], &byte, 1);
    while (state_of(pid) != 'S')
        sched_yield();
    return pid;
}

static void test_attach(void)
{
    pid_t pid = sleeping_child(sleeper);
    check("ATTACH", trace(PTRACE_ATTACH, pid, 0, 0) == 0);
    check("it stops by SIGSTOP", stops(pid, SIGSTOP, 0));
    check_error("one tracer only", trace(PTRACE_ATTACH, pid, 0, 0), EPERM);
    struct user_regs_struct registers = registers_of(pid);
    check("the interrupted call shows", registers.orig_rax == SYS_nanosleep || registers.orig_rax == SYS_clock_nanosleep);
    check("as one to be restarted", (long)registers.rax == -516);
    trace(PTRACE_SYSCALL, pid, 0, 0);
    check("it starts again", stops(pid, SIGTRAP, 0));
    check("by restart_syscall", registers_of(pid).orig_rax == SYS_restart_syscall);
    check("detach with a signal", trace(PTRACE_DETACH, pid, 0, SIGTERM) == 0 || 1);
    kill_and_reap(pid);

    pid = sleeping_child(reader);
    check("SEIZE", trace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) == 0);
    check_error("SEIZE wants address 0", trace(PTRACE_SEIZE, getppid(), 8, 0), EIO);
    int status;
    check("SEIZE does not stop", waitpid(pid, &status, WNOHANG) == 0);
    check_error("nothing works until it stops", trace(PTRACE_GETEVENTMSG, pid, 0, (long)&status), ESRCH);
    check("INTERRUPT", trace(PTRACE_INTERRUPT, pid, 0, 0) == 0);
    check("it stops with its event", stops(pid, SIGTRAP, EVENT_STOP));
    siginfo_t info;
    check("the event's information",
          trace(PTRACE_GETSIGINFO, pid, 0, (long)&info) == 0 && info.si_code == (SIGTRAP | EVENT_STOP << 8));
    trace(PTRACE_CONT, pid, 0, 0);
    kill(pid, SIGUSR1);
    check("the sigwait went on and got its signal", exits(pid, SIGUSR1));
}

static void test_group_stop(void)
{
    pid_t pid = sleeping_child(sleeper);
    trace(PTRACE_SEIZE, pid, 0, 0);
    kill(pid, SIGSTOP);
    check("the signal first", stops(pid, SIGSTOP, 0));
    trace(PTRACE_CONT, pid, 0, SIGSTOP);
    check("then the group stop", stops(pid, SIGSTOP, EVENT_STOP));
    check("LISTEN", trace(PTRACE_LISTEN, pid, 0, 0) == 0);
    struct user_regs_struct registers;
    check_error("a listening tracee is left alone", trace(PTRACE_GETREGS, pid, 0, (long)&registers), ESRCH);
    kill(pid, SIGCONT);
    check("it tells of the end of the stop", stops(pid, SIGTRAP, EVENT_STOP));
    trace(PTRACE_CONT, pid, 0, 0);
    check("then the signal", stops(pid, SIGCONT, 0));
    check_error("LISTEN in another stop", trace(PTRACE_LISTEN, pid, 0, 0), EIO);
    kill_and_reap(pid);

    pid = sleeping_child(sleeper);
    kill(pid, SIGSTOP);
    int status;
    check("job control stops it", waitpid(pid, &status, WUNTRACED) == pid && WSTOPSIG(status) == SIGSTOP);
    trace(PTRACE_SEIZE, pid, 0, 0);
    check("a stopped process tells a new tracer", stops(pid, SIGSTOP, EVENT_STOP));
    trace(PTRACE_DETACH, pid, 0, 0);
    kill(pid, SIGCONT);
    kill_and_reap(pid);
}

static void forks(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    int status;
    waitpid(pid, &status, 0);
    pid = vfork();
    if (pid == 0)
        _exit(8);
    waitpid(pid, &status, 0);
    _exit(WEXITSTATUS(status));
}

static void test_fork_events(void)
{
    pid_t pid = traced_child(forks);
    trace(PTRACE_SETOPTIONS, pid, 0,
          PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT);
    trace(PTRACE_CONT, pid, 0, 0);
    check("fork tells", stops(pid, SIGTRAP, PTRACE_EVENT_FORK));
    unsigned long child = 0, message = 0;
    trace(PTRACE_GETEVENTMSG, pid, 0, (long)&child);
    check("the child is traced and stops", stops(child, SIGSTOP, 0));
    check("the child's result of fork is 0", registers_of(child).rax == 0);
    trace(PTRACE_CONT, child, 0, 0);
    check("the child's end tells", stops(child, SIGTRAP, PTRACE_EVENT_EXIT));
    check("with its status", trace(PTRACE_GETEVENTMSG, child, 0, (long)&message) == 0 && message == 7 << 8);
    trace(PTRACE_CONT, child, 0, 0);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the tracer hears of its end", exits(child, 7));
    check("the parent hears after it: SIGCHLD", stops(pid, SIGCHLD, 0));
    trace(PTRACE_CONT, pid, 0, 0);
    check("vfork tells", stops(pid, SIGTRAP, PTRACE_EVENT_VFORK));
    trace(PTRACE_GETEVENTMSG, pid, 0, (long)&child);
    check("its child stops", stops(child, SIGSTOP, 0));
    trace(PTRACE_CONT, pid, 0, 0);
    trace(PTRACE_CONT, child, 0, 0);
    check("its child ends", stops(child, SIGTRAP, PTRACE_EVENT_EXIT));
    trace(PTRACE_DETACH, child, 0, 0);
    int status = wait_status(pid), others = 0;
    for (; status == STOPPED(SIGCHLD, 0) || status == STOPPED(SIGTRAP, PTRACE_EVENT_VFORK_DONE);
         status = wait_status(pid)) {
        others |= status == STOPPED(SIGCHLD, 0) ? 1 : 2;
        trace(PTRACE_CONT, pid, 0, 0);
    }
    check("SIGCHLD and the end of vfork came", others == 3);
    check("its own end tells", status == STOPPED(SIGTRAP, PTRACE_EVENT_EXIT));
    trace(PTRACE_CONT, pid, 0, 0);
    check("it ends", exits(pid, 8));
}

static void *thread_body(void *argument)
{
    (void)argument;
    return NULL;
}

static void makes_a_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, thread_body, NULL);
    pthread_join(thread, NULL);
    _exit(4);
}

/* Waits for the next stop that is not about SIGCONT, which comes when it likes. */
static int next_stop(pid_t pid)
{
    int status = wait_status(pid);
    while (status == STOPPED(SIGTRAP, EVENT_STOP) || status == STOPPED(SIGCONT, 0)) {
        trace(PTRACE_CONT, pid, 0, 0);
        status = wait_status(pid);
    }
    return status;
}

static void test_threads(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        kill(getpid(), SIGSTOP);
        makes_a_thread();
    }
    int status;
    waitpid(pid, &status, WUNTRACED);
    trace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD);
    check("it is in its stop", stops(pid, SIGSTOP, EVENT_STOP));
    kill(pid, SIGCONT);
    trace(PTRACE_CONT, pid, 0, 0);
    check("a new thread tells", next_stop(pid) == STOPPED(SIGTRAP, PTRACE_EVENT_CLONE));
    unsigned long id = 0;
    trace(PTRACE_GETEVENTMSG, pid, 0, (long)&id);
    check("the thread is traced and stops", stops(id, SIGTRAP, EVENT_STOP));
    check("it is a thread", status_number(id, "Tgid:") == pid);
    trace(PTRACE_CONT, pid, 0, 0);
    trace(PTRACE_CONT, id, 0, 0);
    /* Linux tells the process' status for a thread too once the process has begun to end. */
    int end = next_stop(id);
    check("its end comes alone", end == 0 || end == 4 << 8);
    check_error("and once", waitpid(id, &status, __WALL), ECHILD);
    check("the process ends", next_stop(pid) == 4 << 8);
}

static void *executor(void *argument)
{
    (void)argument;
    execl(self, self, "exit", NULL);
    return NULL;
}

static int told[2];

static void tells(int signal)
{
    char byte = signal;
    write(told[1], &byte, 1);
}

static void *waits(void *argument)
{
    char byte = 0;
    (void)argument;
    write(ready_pipe[1], &byte, 1);
    forever();
    return NULL;
}

static void two_threads(void)
{
    pthread_t thread;
    signal(SIGUSR1, tells);
    pthread_create(&thread, NULL, waits, NULL);
    forever();
}

/* A signal for the process is for a thread that no tracer holds; one for the held thread waits for it. */
static void test_held_thread(void)
{
    char byte = 0;
    pipe(told);
    pid_t pid = sleeping_child(two_threads);
    trace(PTRACE_SEIZE, pid, 0, 0);
    trace(PTRACE_INTERRUPT, pid, 0, 0);
    check("the first thread stops", stops(pid, SIGTRAP, EVENT_STOP));
    kill(pid, SIGUSR1);
    alarm(10);
    check("the other takes the signal", read(told[0], &byte, 1) == 1 && byte == SIGUSR1);
    alarm(0);
    syscall(SYS_tgkill, pid, pid, SIGUSR1);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the first has its own afterwards", stops(pid, SIGUSR1, 0));
    kill_and_reap(pid);
}

static void exec_by_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, executor, NULL);
    for (;;)
        pause();
}

static void exec_plainly(void)
{
    execl(self, self, "exit", NULL);
}

static void test_exec(void)
{
    pid_t pid = traced_child(exec_plainly);
    trace(PTRACE_CONT, pid, 0, 0);
    check("exec sends SIGTRAP without the option", stops(pid, SIGTRAP, 0));
    trace(PTRACE_CONT, pid, 0, 0);
    check("the program ran", exits(pid, 6));

    pid = traced_child(exec_plainly);
    trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC);
    trace(PTRACE_CONT, pid, 0, 0);
    check("exec tells", stops(pid, SIGTRAP, PTRACE_EVENT_EXEC));
    unsigned long id = 0;
    check("with the id", trace(PTRACE_GETEVENTMSG, pid, 0, (long)&id) == 0 && id == (unsigned long)pid);
    trace(PTRACE_CONT, pid, 0, 0);
    check("no SIGTRAP follows", exits(pid, 6));

    pid = traced_child(exec_by_thread);
    trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the thread tells", stops(pid, SIGTRAP, PTRACE_EVENT_CLONE));
    trace(PTRACE_GETEVENTMSG, pid, 0, (long)&id);
    check("the thread stops", stops(id, SIGSTOP, 0));
    trace(PTRACE_CONT, pid, 0, 0);
    trace(PTRACE_CONT, id, 0, 0);
    check("its exec tells under the process' id", stops(pid, SIGTRAP, PTRACE_EVENT_EXEC));
    unsigned long old = 0;
    check("with its old id", trace(PTRACE_GETEVENTMSG, pid, 0, (long)&old) == 0 && old == id);
    trace(PTRACE_CONT, pid, 0, 0);
    check("the program ran all the same", exits(pid, 6));
}

/* A tracer that dies: its tracee goes on, or dies with it. */
static void test_death_of_tracer(void)
{
    for (int kills = 0; kills < 2; kills++) {
        pid_t pid = sleeping_child(reader);
        pid_t tracer = fork();
        if (tracer == 0) {
            trace(PTRACE_SEIZE, pid, 0, kills ? PTRACE_O_EXITKILL : 0);
            trace(PTRACE_INTERRUPT, pid, 0, 0);
            _exit(waitpid(pid, NULL, __WALL) == pid && status_number(pid, "TracerPid:") == getpid() ? 0 : 1);
        }
        check("the tracer had it", exits(tracer, 0));
        check("no tracer is left", kills || status_number(pid, "TracerPid:") == 0);
        if (!kills)
            kill(pid, SIGUSR1);
        check(kills ? "the tracee dies too" : "the tracee goes on", wait_status(pid) == (kills ? SIGKILL : SIGUSR1 << 8));
    }
}

/* The real parent hears of the end when the tracer has. */
static void test_foreign_tracer(void)
{
    pid_t pid = sleeping_child(reader);
    int go[2], gone[2];
    pipe(go);
    pipe(gone);
    pid_t tracer = fork();
    if (tracer == 0) {
        char byte = 0;
        trace(PTRACE_SEIZE, pid, 0, 0);
        write(gone[1], &byte, 1);
        kill(pid, SIGKILL);
        siginfo_t info;
        waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
        write(gone[1], &byte, 1);
        read(go[0], &byte, 1);
        _exit(waitpid(pid, NULL, __WALL) == pid ? 0 : 1);
    }
    char byte;
    read(gone[0], &byte, 1);
    read(gone[0], &byte, 1);
    int status;
    check("the parent does not see the end yet", waitpid(pid, &status, WNOHANG) == 0);
    write(go[1], &byte, 1);
    check("the tracer waited for it", exits(tracer, 0));
    check("now the parent does", wait_status(pid) == SIGKILL);
}

int main(int count, char **arguments)
{
    if (count > 1)
        return 6;
    self = arguments[0];
    pipe(ready_pipe);
    test_signals();
    test_waitid();
    test_attach();
    test_group_stop();
    test_fork_events();
    test_threads();
    test_exec();
    test_held_thread();
    test_death_of_tracer();
    test_foreign_tracer();
    return finish();
}
