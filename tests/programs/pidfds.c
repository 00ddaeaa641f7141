/* pidfd_open, pidfd_send_signal, pidfd_getfd, CLONE_PIDFD, waitid with P_PIDFD. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t waiting_child(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

int main(void)
{
    siginfo_t info;
    pid_t pid = waiting_child();
    int fd = syscall(SYS_pidfd_open, pid, 0);
    check("pidfd_open", fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    check_error("nobody", syscall(SYS_pidfd_open, 29999, 0), ESRCH);
    check_error("bad id", syscall(SYS_pidfd_open, 0, 0), EINVAL);
    check_error("bad flags", syscall(SYS_pidfd_open, pid, 1), EINVAL);
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    check("not ready while it lives", poll(&poller, 1, 0) == 0);
    check_error("read", read(fd, &info, 8), EINVAL);
    check("signal 0", syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0);
    check_error("not a pidfd", syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0), EBADF);
    char name[32];
    snprintf(name, sizeof name, "/proc/%d", pid);
    int folder = open(name, O_RDONLY | O_DIRECTORY), entry = openat(folder, "task", O_RDONLY | O_DIRECTORY);
    check("by its folder in /proc", syscall(SYS_pidfd_send_signal, folder, 0, NULL, 0) == 0);
    check_error("by no other folder", syscall(SYS_pidfd_send_signal, entry, 0, NULL, 0), EBADF);
    close(entry);
    close(folder);
    check("kill", syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == 0);
    check("ready when it has ended", poll(&poller, 1, 5000) == 1 && poller.revents == POLLIN);
    check("waitid with P_PIDFD", waitid(3, fd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_status == SIGTERM);
    check_error("the process is gone", syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
    close(fd);

    int out = -1, status;
    pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &out, 0, 0);
    if (pid == 0)
        _exit(fcntl(3, F_GETFD) == -1 ? 7 : 8);
    check("CLONE_PIDFD", out >= 0 && waitid(3, out, &info, WEXITED) == 0 && info.si_pid == pid);
    check("the child does not have it", info.si_status == 7);
    close(out);

    int ends[2];
    if (pipe(ends))
        return 1;
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], 50);
        write(ends[1], "r", 1);
        for (;;)
            pause();
    }
    char byte;
    read(ends[0], &byte, 1);
    fd = syscall(SYS_pidfd_open, pid, O_NONBLOCK);
    int copy = syscall(SYS_pidfd_getfd, fd, 50, 0);
    check("pidfd_getfd", copy >= 0 && write(copy, "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'x');
    check_error("pidfd_getfd: not open there", syscall(SYS_pidfd_getfd, fd, 60, 0), EBADF);
    check_error("O_NONBLOCK: waitid does not wait", waitid(3, fd, &info, WEXITED), EAGAIN);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return finish();
}
