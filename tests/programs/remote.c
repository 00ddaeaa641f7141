/* process_vm_readv and process_vm_writev; ioprio; RLIMIT_CPU. */
#include "check.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char text[] = "the parent's text", far[20000];

static void copies(void)
{
    int ends[2], status;
    if (pipe(ends))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        strcpy(text, "the child's words");
        memset(far, 'c', sizeof far);
        write(ends[1], "r", 1);
        for (;;)
            pause();
    }
    char byte, buffer[64] = { 0 }, *big = malloc(sizeof far);
    read(ends[0], &byte, 1);
    struct iovec local = { buffer, sizeof text }, remote = { text, sizeof text };
    check("read", process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof text && !strcmp(buffer, "the child's words"));
    struct iovec halves[2] = { { buffer + 40, 3 }, { buffer + 50, 4 } };
    check("read into pieces", process_vm_readv(pid, halves, 2, &remote, 1, 0) == 7 && !memcmp(buffer + 40, "the", 3)
          && !memcmp(buffer + 50, " chi", 4));
    struct iovec large = { big, sizeof far }, there = { far, sizeof far };
    check("read much", process_vm_readv(pid, &large, 1, &there, 1, 0) == sizeof far && big[0] == 'c' && big[19999] == 'c');
    memset(big, 'w', sizeof far);
    check("write", process_vm_writev(pid, &large, 1, &there, 1, 0) == sizeof far);
    memset(big, 0, sizeof far);
    check("read back", process_vm_readv(pid, &large, 1, &there, 1, 0) == sizeof far && big[19999] == 'w' && far[0] == 0);
    struct iovec nowhere = { (void *)8, 8 };
    check_error("bad address there", process_vm_readv(pid, &local, 1, &nowhere, 1, 0), EFAULT);
    check_error("bad address here", process_vm_readv(pid, &nowhere, 1, &remote, 1, 0), EFAULT);
    check_error("flags", process_vm_readv(pid, &local, 1, &remote, 1, 1), EINVAL);
    check_error("nobody", process_vm_readv(29999, &local, 1, &remote, 1, 0), ESRCH);
    struct iovec both[2] = { { text, 4 }, { (void *)8, 4 } };
    check("what could be read", process_vm_readv(pid, &local, 1, both, 2, 0) == 4);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

static void io_priorities(void)
{
    check("ioprio_get", syscall(SYS_ioprio_get, 1, 0) >= 0);
    check("ioprio_set", syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3) == 0 && syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 3));
    check_error("bad class", syscall(SYS_ioprio_set, 1, 0, 5 << 13), EINVAL);
    check_error("bad scope", syscall(SYS_ioprio_get, 4, 0), EINVAL);
    check_error("nobody has it", syscall(SYS_ioprio_get, 1, 29999), ESRCH);
}

static volatile sig_atomic_t warned;

static void warn(int number)
{
    (void)number;
    warned++;
}

static void cpu_limit(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = { 1, 2 };
        signal(SIGXCPU, warn);
        setrlimit(RLIMIT_CPU, &limit);
        while (!warned)
            ;
        write(1, "ok SIGXCPU at the soft limit\n", 29);
        for (;;)
            ;
    }
    check("SIGKILL at the hard limit", waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void)
{
    copies();
    io_priorities();
    cpu_limit();
    return finish();
}
