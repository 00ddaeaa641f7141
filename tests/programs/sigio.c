/* fcntl(2): signals for readiness (O_ASYNC, F_SETOWN, F_SETSIG), for whom and with what. */
#define _GNU_SOURCE
#include "check.h"
#include "asleep.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static sigset_t set;
static siginfo_t info;
static struct timespec second = {10, 0}, moment = {0, 50000000};

/* Takes the next signal; 0 if none comes for a moment. */
static int next(struct timespec *limit)
{
    memset(&info, 0, sizeof info);
    int signal = sigtimedwait(&set, &info, limit);
    return signal < 0 ? 0 : signal;
}

static int ended(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void owners(int fd)
{
    struct f_owner_ex owner = {F_OWNER_TID, gettid()}, got;
    check("nobody at first", fcntl(fd, F_GETOWN) == 0 && fcntl(fd, F_GETSIG) == 0);
    check("a process", fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_GETOWN) == getpid());
    check("as a structure", fcntl(fd, F_GETOWN_EX, &got) == 0 && got.type == F_OWNER_PID && got.pid == getpid());
    check("a thread", fcntl(fd, F_SETOWN_EX, &owner) == 0 && fcntl(fd, F_GETOWN_EX, &got) == 0 &&
                          got.type == F_OWNER_TID && got.pid == gettid() && fcntl(fd, F_GETOWN) == gettid());
    check("a group", fcntl(fd, F_SETOWN, -getpgrp()) == 0 && fcntl(fd, F_GETOWN_EX, &got) == 0 &&
                         got.type == F_OWNER_PGRP && got.pid == getpgrp());
    check_error("no such process", fcntl(fd, F_SETOWN, 0x3fffff), ESRCH);
    owner.type = 77;
    check_error("no such kind", fcntl(fd, F_SETOWN_EX, &owner), EINVAL);
    check_error("a bad address", fcntl(fd, F_SETOWN_EX, 8), EFAULT);
    check_error("no such signal", fcntl(fd, F_SETSIG, 65), EINVAL);
    check("another signal", fcntl(fd, F_SETSIG, SIGUSR1) == 0 && fcntl(fd, F_GETSIG) == SIGUSR1);
    check("nobody again", fcntl(fd, F_SETOWN, 0) == 0 && fcntl(fd, F_GETOWN) == 0 && fcntl(fd, F_SETSIG, 0) == 0);
}

int main(void)
{
    int fds[2], on = 1, off = 0;
    char c;
    setpgid(0, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGIO), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pipe(fds);
    owners(fds[0]);

    fcntl(fds[0], F_SETFL, O_ASYNC);
    write(fds[1], "x", 1);
    check("without an owner nothing comes", next(&moment) == 0);
    read(fds[0], &c, 1);
    fcntl(fds[0], F_SETOWN, getpid());
    write(fds[1], "x", 1);
    check("SIGIO", next(&second) == SIGIO && info.si_code == SI_KERNEL);
    read(fds[0], &c, 1);
    fcntl(fds[0], F_SETSIG, SIGUSR1);
    write(fds[1], "x", 1);
    check("another, with details", next(&second) == SIGUSR1 && info.si_code == POLL_IN && info.si_fd == fds[0] &&
                                       (info.si_band & POLLIN));
    read(fds[0], &c, 1);
    int copy = dup(fds[0]);
    check("one for all duplicates", (fcntl(copy, F_GETFL) & O_ASYNC) && fcntl(copy, F_GETOWN) == getpid());
    close(copy);
    fcntl(fds[0], F_SETFL, 0);
    write(fds[1], "x", 1);
    check("no more", next(&moment) == 0);
    read(fds[0], &c, 1);
    check("FIOASYNC", ioctl(fds[0], FIOASYNC, &on) == 0 && (fcntl(fds[0], F_GETFL) & O_ASYNC));
    write(fds[1], "x", 1);
    check("comes again", next(&second) == SIGUSR1);
    read(fds[0], &c, 1);

    pid_t child = fork();
    if (child == 0)
        _exit(next(&second) != SIGUSR1);
    fcntl(fds[0], F_SETOWN, child);
    wait_until_asleep(child);
    write(fds[1], "x", 1);
    check("another process", ended(child) == 0 && next(&moment) == 0);
    read(fds[0], &c, 1);
    fcntl(fds[0], F_SETOWN, getpid());
    close(fds[1]);
    check("the end of the writers", next(&second) == SIGUSR1);
    check("off", ioctl(fds[0], FIOASYNC, &off) == 0 && !(fcntl(fds[0], F_GETFL) & O_ASYNC));
    close(fds[0]);

    int controller = open("/dev/ptmx", O_RDWR | O_NOCTTY), number, unlock = 0;
    if (controller >= 0 && ioctl(controller, TIOCGPTN, &number) == 0) {
        char name[40];
        ioctl(controller, TIOCSPTLCK, &unlock);
        sprintf(name, "/dev/pts/%d", number);
        int terminal = open(name, O_RDWR | O_NOCTTY);
        fcntl(terminal, F_SETOWN, getpid());
        fcntl(terminal, F_SETFL, O_ASYNC);
        while (next(&moment))
            ;
        write(controller, "line\n", 5);
        check("a terminal", next(&second) == SIGIO);
    }
    return finish();
}
