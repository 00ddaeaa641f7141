/* What the ptrace tests share: starting a traced child, and waiting for one exact stop. */
#ifndef PTRACE_TEST_H
#define PTRACE_TEST_H

#include "check.h"
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENT_STOP 128

static inline long trace(long request, pid_t pid, unsigned long address, unsigned long data)
{
    return syscall(SYS_ptrace, request, pid, address, data);
}

/* Waits for `pid`; returns the status, or -1. */
static inline int wait_status(pid_t pid)
{
    int status = -1;
    pid_t got;
    do
        got = waitpid(pid, &status, __WALL);
    while (got == -1 && errno == EINTR);
    return got == pid ? status : -1;
}

/* The status of a stop by `signal` with event `event` (0 for none). */
#define STOPPED(signal, event) ((signal) << 8 | 0x7f | (event) << 16)
#define stops(pid, signal, event) (wait_status(pid) == STOPPED(signal, event))
#define exits(pid, code) (wait_status(pid) == (code) << 8)

static inline struct user_regs_struct registers_of(pid_t pid)
{
    struct user_regs_struct registers = {0};
    trace(PTRACE_GETREGS, pid, 0, (unsigned long)&registers);
    return registers;
}

/* Starts a child that asks to be traced, stops itself and then runs `run`. Returns when it has stopped. */
static inline pid_t traced_child(void (*run)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        trace(PTRACE_TRACEME, 0, 0, 0);
        kill(getpid(), SIGSTOP);
        run();
        _exit(99);
    }
    check("the child stops itself", stops(pid, SIGSTOP, 0));
    return pid;
}

/* Starts a child that runs `run` untraced. */
static inline pid_t plain_child(void (*run)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        run();
        _exit(99);
    }
    return pid;
}

static inline void kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    int status;
    while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
        ;
}

/* One line of /proc/PID/status after `key`, as a number. */
static inline long status_number(pid_t pid, const char *key)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key)))
            value = atol(line + strlen(key));
    if (file)
        fclose(file);
    return value;
}

static inline char state_of(pid_t pid)
{
    char path[64], line[256], state = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "State: %c", &state);
    if (file)
        fclose(file);
    return state;
}

#endif
