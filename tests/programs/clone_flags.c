/* clone3(2): which flags go together, an id of one's choice; RLIMIT_NPROC counts threads; policies that fork resets. */
#include "check.h"
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static long clone3(struct arguments arguments)
{
    return syscall(SYS_clone3, &arguments, sizeof arguments);
}

static void flags(void)
{
    check_error("a thread shares signal handlers", clone3((struct arguments){.flags = CLONE_THREAD | CLONE_VM}), EINVAL);
    check_error("who shares handlers shares memory", clone3((struct arguments){.flags = CLONE_SIGHAND}), EINVAL);
    check_error("a thread's end has no signal",
                clone3((struct arguments){.flags = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, .exit_signal = SIGCHLD}), EINVAL);
    check_error("handlers shared and cleared",
                clone3((struct arguments){.flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND}), EINVAL);
    check_error("no such signal", clone3((struct arguments){.exit_signal = 65}), EINVAL);
    check_error("a stack without a size", clone3((struct arguments){.stack = 4096}), EINVAL);
    check_error("a size without a stack", clone3((struct arguments){.stack_size = 4096}), EINVAL);
    check_error("a flag of old", clone3((struct arguments){.flags = CLONE_DETACHED}), EINVAL);
    check_error("part of the signal", clone3((struct arguments){.flags = SIGCHLD}), EINVAL);
    check_error("an unknown flag", clone3((struct arguments){.flags = 1ULL << 60}), EINVAL);
    check_error("too short", syscall(SYS_clone3, &(struct arguments){0}, 63), EINVAL);
    uint64_t future[16] = {[12] = 1};
    check_error("what is not known is not zero", syscall(SYS_clone3, future, sizeof future), E2BIG);
}

static void chosen_id(void)
{
    pid_t wanted[2] = {31234, 0};
    uint64_t ids = (uintptr_t)wanted;
    check_error("an id without a count", clone3((struct arguments){.set_tid = ids}), EINVAL);
    check_error("a count without an id", clone3((struct arguments){.set_tid_size = 1}), EINVAL);
    check_error("absurdly many", clone3((struct arguments){.set_tid = ids, .set_tid_size = 40}), EINVAL);
    check_error("unreadable", clone3((struct arguments){.set_tid = 8, .set_tid_size = 1}), EFAULT);
    pid_t pid = clone3((struct arguments){.exit_signal = SIGCHLD, .set_tid = ids, .set_tid_size = 1});
    if (pid == 0)
        _exit(getpid() != 31234);
    int status = -1;
    check("the wanted id", pid == 31234 && waitpid(pid, &status, 0) == pid && status == 0);
    wanted[0] = getpid();
    check_error("taken", clone3((struct arguments){.set_tid = ids, .set_tid_size = 1}), EEXIST);
    wanted[0] = -1;
    check_error("negative", clone3((struct arguments){.set_tid = ids, .set_tid_size = 1}), EINVAL);
    if ((pid = fork()) == 0) {
        wanted[0] = 31235;
        _exit(setuid(54321) || clone3((struct arguments){.set_tid = ids, .set_tid_size = 1}) != -1 || errno != EPERM);
    }
    waitpid(pid, &status, 0);
    check("not for everyone", status == 0);
}

static void *sleep_long(void *argument)
{
    pause();
    return argument;
}

static void many(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        struct rlimit two = {2, 2};
        /* Nobody else has this user's id. */
        if (setuid(54321) || setrlimit(RLIMIT_NPROC, &two))
            _exit(1);
        if (pthread_create(&thread, NULL, sleep_long, NULL))
            _exit(2);
        if (pthread_create(&thread, NULL, sleep_long, NULL) != EAGAIN)
            _exit(3);
        _exit(fork() != -1 || errno != EAGAIN ? 4 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    check("a user's threads are counted", status == 0);
    pid = fork();
    if (pid == 0) {
        struct rlimit two = {2, 2};
        if (setuid(54323) || setrlimit(RLIMIT_NPROC, &two))
            _exit(1);
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        if (waitid(P_PID, child, NULL, WEXITED | WNOWAIT) || fork() != -1 || errno != EAGAIN)
            _exit(2);
        waitpid(child, NULL, 0);
        child = fork();
        if (child == 0)
            _exit(0);
        _exit(child < 0 ? 3 : 0);
    }
    waitpid(pid, &status, 0);
    check("and its zombies, until they are waited for", status == 0);
    pid = fork();
    if (pid == 0) {
        struct rlimit one = {1, 1};
        int news[2];
        char byte;
        pid_t other = pipe(news) == 0 ? fork() : -1;
        if (other == 0) {
            pthread_t thread;
            if (setuid(54325) || pthread_create(&thread, NULL, sleep_long, NULL) || write(news[1], "", 1) != 1)
                _exit(1);
            sleep_long(NULL);
        }
        if (read(news[0], &byte, 1) != 1 || setrlimit(RLIMIT_NPROC, &one) || setuid(54325))
            _exit(2);
        if (execl("/nowhere", "nowhere", NULL) != -1 || errno != EAGAIN)
            _exit(3);
        if (kill(other, SIGKILL) || waitpid(other, NULL, 0) != other)
            _exit(4);
        _exit(execl("/nowhere", "nowhere", NULL) != -1 || errno != ENOENT ? 5 : 0);
    }
    waitpid(pid, &status, 0);
    check("who became a user with too many may not exec, until there are fewer", status == 0);
}

static int set_scheduler(int policy, int priority)
{
    return syscall(SYS_sched_setscheduler, 0, policy, &priority);
}

static void policies(void)
{
    int reset = 0x40000000, status;
    check("nice", setpriority(PRIO_PROCESS, 0, 3) == 0);
    check("batch", set_scheduler(3, 0) == 0 && syscall(SYS_sched_getscheduler, 0) == 3);
    check("idle", set_scheduler(5, 0) == 0 && syscall(SYS_sched_getscheduler, 0) == 5);
    check("as before", set_scheduler(0, 0) == 0 && getpriority(PRIO_PROCESS, 0) == 3);
    check("with a flag", set_scheduler(1 | reset, 5) == 0 && syscall(SYS_sched_getscheduler, 0) == (1 | reset));
    pid_t pid = fork();
    if (pid == 0)
        _exit(syscall(SYS_sched_getscheduler, 0) != 0);
    waitpid(pid, &status, 0);
    check("a child has the default again", status == 0);
    check("back", set_scheduler(1, 5) == 0);
    if ((pid = fork()) == 0)
        _exit(syscall(SYS_sched_getscheduler, 0) != 1);
    waitpid(pid, &status, 0);
    check("without the flag it inherits", status == 0);
    if ((pid = fork()) == 0) {
        /* A lower priority of the same policy is everyone's right. */
        _exit(setuid(54321) || set_scheduler(1, 4) || set_scheduler(1, 5) != -1 || errno != EPERM ||
              set_scheduler(2, 1) != -1 || errno != EPERM);
    }
    waitpid(pid, &status, 0);
    check("others may only lower it", status == 0);
    check("normal", set_scheduler(0, 0) == 0);
}

int main(void)
{
    flags();
    chosen_id();
    many();
    policies();
    return finish();
}
