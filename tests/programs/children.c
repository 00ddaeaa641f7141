/* fork, vfork, clone, wait: who is told what about whom. */
#include "check.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t child_that_exits(int code)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(code);
    return pid;
}

static pid_t child_that_waits(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static void exit_codes(void)
{
    int status = 0;
    pid_t pid = child_that_exits(42);
    check("waitpid returns the child", waitpid(pid, &status, 0) == pid);
    check("exit code", WIFEXITED(status) && WEXITSTATUS(status) == 42);
    check_error("it can be waited for once", waitpid(pid, &status, 0), ECHILD);
    check_error("no children at all", wait(&status), ECHILD);

    pid = child_that_waits();
    check("WNOHANG: no news", waitpid(pid, &status, WNOHANG) == 0);
    kill(pid, SIGTERM);
    check("death by signal", waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    check_error("bad options", waitpid(-1, &status, 0x1000), EINVAL);
}

static void which(void)
{
    int status;
    pid_t first = child_that_exits(1), second = child_that_exits(2);
    check("a given child", waitpid(second, &status, 0) == second && WEXITSTATUS(status) == 2);
    check("any child", waitpid(-1, &status, 0) == first && WEXITSTATUS(status) == 1);
    first = child_that_waits();
    setpgid(first, first);
    check_error("no child in our group", waitpid(0, &status, WNOHANG), ECHILD);
    kill(-first, SIGKILL);
    check("a child by its group", waitpid(-first, &status, 0) == first && WTERMSIG(status) == SIGKILL);
    check_error("not a child", waitpid(1, &status, 0), ECHILD);
}

static void stops(void)
{
    int status;
    pid_t pid = child_that_waits();
    kill(pid, SIGSTOP);
    check("stop", waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    check("a stop is news once", waitpid(pid, &status, WUNTRACED | WNOHANG) == 0);
    kill(pid, SIGCONT);
    check("continue", waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    kill(pid, SIGSTOP);
    siginfo_t info = { 0 };
    check("waitid: stopped", waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT) == 0 && info.si_code == CLD_STOPPED
          && info.si_status == SIGSTOP && info.si_pid == pid && info.si_signo == SIGCHLD);
    check("WNOWAIT keeps the news", waitid(P_PID, pid, &info, WSTOPPED) == 0 && info.si_code == CLD_STOPPED);
    kill(pid, SIGTERM);
    check("a stopped process does not take SIGTERM", waitpid(pid, &status, WNOHANG) == 0);
    kill(pid, SIGKILL);
    check("but SIGKILL", waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
}

static void waitids(void)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    pid_t pid = child_that_exits(7);
    check("waitid: exited", waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0 && info.si_code == CLD_EXITED
          && info.si_status == 7 && info.si_pid == pid && info.si_uid == getuid());
    check("waitid: again", waitid(P_ALL, 0, &info, WEXITED) == 0 && info.si_pid == pid);
    check_error("waitid: gone", waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    check_error("waitid: nothing asked for", waitid(P_ALL, 0, &info, 0), EINVAL);
    pid = child_that_waits();
    info.si_pid = 99;
    check("waitid: WNOHANG", waitid(P_PID, pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0);
    kill(pid, SIGKILL);
    check("waitid: killed", waitid(P_PID, pid, &info, WEXITED) == 0 && info.si_code == CLD_KILLED
          && info.si_status == SIGKILL);
}

static void ignored_children(void)
{
    signal(SIGCHLD, SIG_IGN);
    child_that_exits(0);
    child_that_exits(0);
    int status;
    check_error("SIG_IGN for SIGCHLD: wait ends when all have gone", wait(&status), ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static int orphan_parent[2];

static void orphans(void)
{
    if (pipe(orphan_parent))
        return;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        pid_t old = getpid(), grandchild = fork();
        if (grandchild == 0) {
            pid_t parent;
            while ((parent = getppid()) == old)
                sched_yield();
            write(orphan_parent[1], &parent, sizeof parent);
            _exit(3);
        }
        _exit(0);
    }
    int status;
    check("the child", waitpid(pid, &status, 0) == pid);
    pid_t parent = 0;
    check("an orphan says who its parent is", read(orphan_parent[0], &parent, sizeof parent) == sizeof parent);
    check("the subreaper adopts orphans", parent == self);
    check("and waits for them", wait(&status) > 0 && WEXITSTATUS(status) == 3);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    close(orphan_parent[0]);
    close(orphan_parent[1]);
}

static volatile int shared;

static void vforks(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        shared = 5;
        _exit(6);
    }
    int status;
    check("vfork shares memory and waits", pid > 0 && shared == 5);
    check("vfork child's code", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 6);
}

static char stack[16384] __attribute__((aligned(16)));

static int in_clone(void *argument)
{
    shared = *(int *)argument;
    return 9;
}

static void clones(void)
{
    int value = 11, status;
    pid_t pid = clone(in_clone, stack + sizeof stack, CLONE_VM | SIGCHLD, &value);
    check("clone with shared memory", waitpid(pid, &status, 0) == pid && shared == 11 && WEXITSTATUS(status) == 9);
    pid = clone(in_clone, stack + sizeof stack, 0, &value);
    check_error("no exit signal: not for plain wait", waitpid(pid, &status, 0), ECHILD);
    check("but with __WALL", waitpid(pid, &status, __WALL) == pid && WEXITSTATUS(status) == 9);
    check_error("CLONE_THREAD needs CLONE_SIGHAND", syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    check_error("CLONE_SIGHAND needs CLONE_VM", syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    int child_tid = 0, parent_tid = 0;
    pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &parent_tid, &child_tid, 0);
    if (pid == 0)
        _exit(child_tid == getpid() ? 0 : 1);
    check("CLONE_PARENT_SETTID", parent_tid == pid && child_tid == 0);
    check("CLONE_CHILD_SETTID", waitpid(pid, &status, 0) == pid && status == 0);
}

static void memory(void)
{
    static int value = 1;
    int status;
    char *page = malloc(100000);
    memset(page, 1, 100000);
    pid_t pid = fork();
    if (pid == 0) {
        value = 2;
        memset(page, 2, 100000);
        _exit(page[99999] == 2 && value == 2 ? 0 : 1);
    }
    check("child's copy", waitpid(pid, &status, 0) == pid && status == 0);
    check("parent's copy", value == 1 && page[0] == 1 && page[99999] == 1);
    free(page);
}

static void usage(void)
{
    struct rusage before, after, own;
    getrusage(RUSAGE_CHILDREN, &before);
    pid_t pid = fork();
    if (pid == 0) {
        clock_t end = clock() + CLOCKS_PER_SEC / 20;
        while (clock() < end)
            ;
        _exit(0);
    }
    int status;
    check("wait4 with usage", wait4(pid, &status, 0, &own) == pid);
    getrusage(RUSAGE_CHILDREN, &after);
    long used = own.ru_utime.tv_sec * 1000000 + own.ru_utime.tv_usec + own.ru_stime.tv_sec * 1000000 + own.ru_stime.tv_usec;
    check("the child used time", used >= 40000);
    check("children's time grows", after.ru_utime.tv_sec * 1000000 + after.ru_utime.tv_usec + after.ru_stime.tv_sec * 1000000
          + after.ru_stime.tv_usec > before.ru_utime.tv_sec * 1000000 + before.ru_utime.tv_usec);
}

static void many(void)
{
    enum { COUNT = 200 };
    int good = 0, status;
    for (int i = 0; i < COUNT; i++)
        child_that_exits(i & 0x7f);
    for (int i = 0; i < COUNT; i++)
        good += wait(&status) > 0 && WIFEXITED(status);
    check("200 children", good == COUNT);
}

/* Who has seen a child's end has got its signal too. */
static void signal_and_news(void)
{
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int both = 0;
    for (int round = 0; round < 1000; round++) {
        struct timespec now = {0, 0};
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        while (waitpid(pid, NULL, WNOHANG) == 0)
            ;
        sigpending(&pending);
        both += sigismember(&pending, SIGCHLD);
        sigtimedwait(&set, NULL, &now);
    }
    check("SIGCHLD is there when the end is seen", both == 1000);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int main(void)
{
    signal_and_news();
    exit_codes();
    which();
    stops();
    waitids();
    ignored_children();
    orphans();
    vforks();
    clones();
    memory();
    usage();
    many();
    return finish();
}
