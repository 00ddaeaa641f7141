/* Descriptors, fcntl, advisory locks. */
#include "check.h"
#include "asleep.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef F_OFD_SETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif

static int lock(int fd, int command, int type, long start, long length)
{
    struct flock flock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &flock);
}

static int in_child(int (*function)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(function());
    int status;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int fd, other;

static void descriptors(void)
{
    char byte;
    fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    check("the lowest", fd == 3);
    check("dup", dup(fd) == 4);
    check("dup2 onto a number", dup2(fd, 10) == 10);
    check("dup2 onto itself", dup2(fd, fd) == fd);
    check_error("dup2 of nothing onto itself", dup2(99, 99), EBADF);
    check_error("dup2 too high", dup2(fd, 1 << 20), EBADF);
    check_error("dup2 negative", dup2(fd, -1), EBADF);
    check("dup3", syscall(SYS_dup3, fd, 11, O_CLOEXEC) == 11 && fcntl(11, F_GETFD) == FD_CLOEXEC);
    check_error("dup3 onto itself", syscall(SYS_dup3, fd, fd, 0), EINVAL);
    check_error("dup3 with bad flags", syscall(SYS_dup3, fd, 12, 1), EINVAL);
    check("F_DUPFD", fcntl(fd, F_DUPFD, 20) == 20);
    check("F_DUPFD_CLOEXEC", fcntl(fd, F_DUPFD_CLOEXEC, 20) == 21 && fcntl(21, F_GETFD) == FD_CLOEXEC);
    check_error("F_DUPFD too high", fcntl(fd, F_DUPFD, 1 << 20), EINVAL);
    check("F_SETFD", fcntl(4, F_SETFD, FD_CLOEXEC) == 0 && fcntl(4, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFD) == 0);
    check("FIONCLEX", ioctl(4, FIONCLEX) == 0 && fcntl(4, F_GETFD) == 0);
    check("FIOCLEX", ioctl(4, FIOCLEX) == 0 && fcntl(4, F_GETFD) == FD_CLOEXEC);
    check("the position is shared", write(fd, "abcdef", 6) == 6 && lseek(4, 0, SEEK_CUR) == 6);
    check("so are the flags", fcntl(4, F_SETFL, O_APPEND) == 0 && (fcntl(fd, F_GETFL) & O_APPEND));
    lseek(fd, 0, SEEK_SET);
    check("O_APPEND", write(fd, "g", 1) == 1 && lseek(fd, 0, SEEK_CUR) == 7);
    check("F_SETFL changes no access mode", fcntl(fd, F_SETFL, O_RDONLY) == 0 &&
                                                (fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND)) == O_RDWR);
    int on = 1;
    check("FIONBIO", ioctl(fd, FIONBIO, &on) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK));
    check_error("unknown command", fcntl(fd, 9999, 0), EINVAL);
    check_error("unknown ioctl", ioctl(fd, 0x1234, 0), ENOTTY);
    check_error("closed", fcntl(5, F_GETFD), EBADF);
    check("close", close(4) == 0);
    check_error("twice", close(4), EBADF);
    check("the hole is filled", dup(fd) == 4);
    check("close_range", syscall(SYS_close_range, 4, 30, 0) == 0 && fcntl(20, F_GETFD) == -1);
    check_error("close_range backwards", syscall(SYS_close_range, 5, 4, 0), EINVAL);

    struct rlimit limit, small = {6, 6};
    getrlimit(RLIMIT_NOFILE, &limit);
    small.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &small);
    check("up to the limit", dup(fd) == 4 && dup(fd) == 5);
    check_error("not beyond", dup(fd), EMFILE);
    check_error("nor by a pipe", pipe((int[2]){0, 0}), EMFILE);
    check_error("nor by number", dup2(fd, 6), EBADF);
    setrlimit(RLIMIT_NOFILE, &limit);
    close(4);
    close(5);

    check("seek from the end", lseek(fd, -2, SEEK_END) == 5);
    check("read there", read(fd, &byte, 1) == 1 && byte == 'f');
    check_error("before the start", lseek(fd, -1, SEEK_SET), EINVAL);
    check_error("by no rule", lseek(fd, 0, 9), EINVAL);
    check("beyond the end", lseek(fd, 100, SEEK_SET) == 100 && read(fd, &byte, 1) == 0);
    check("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE) == 7);
    check_error("SEEK_DATA beyond", lseek(fd, 7, SEEK_DATA), ENXIO);
    check("pread leaves the position", pread(fd, &byte, 1, 2) == 1 && byte == 'c' && lseek(fd, 0, SEEK_CUR) == 7);
    int path = open("file", O_PATH);
    check_error("O_PATH cannot read", read(path, &byte, 1), EBADF);
    check_error("O_PATH cannot seek", lseek(path, 0, SEEK_CUR), EBADF);
    check("O_PATH can be duplicated", dup(path) >= 0);
    syscall(SYS_close_range, path, 100, 0);

    signal(SIGXFSZ, SIG_IGN);
    struct rlimit size = {10, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &limit);
    size.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &size);
    check("cut at the file limit", pwrite(fd, "0123456789", 10, 5) == 5);
    check_error("not beyond it", pwrite(fd, "x", 1, 10), EFBIG);
    check_error("nor by size", ftruncate(fd, 11), EFBIG);
    setrlimit(RLIMIT_FSIZE, &limit);
    check("ftruncate", ftruncate(fd, 3) == 0 && lseek(fd, 0, SEEK_END) == 3);
    check_error("to a negative size", ftruncate(fd, -1), EINVAL);
}

static int cannot_lock(void) { return lock(fd, F_SETLK, F_WRLCK, 0, 0) == -1 && errno == EAGAIN; }
static int can_lock(void) { return lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0; }

static int sees_lock(void)
{
    struct flock flock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    if (fcntl(fd, F_GETLK, &flock) != 0)
        return 0;
    return flock.l_type == F_RDLCK && flock.l_start == 10 && flock.l_len == 10 && flock.l_pid == getppid();
}

static int can_share(void) { return lock(fd, F_SETLK, F_RDLCK, 0, 0) == 0; }
static int cannot_flock(void)
{
    int own = open("file", O_RDWR);
    return flock(own, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK;
}
static int can_flock_same(void) { return flock(fd, LOCK_EX | LOCK_NB) == 0; }

static void records(void)
{
    check("a shared lock", lock(fd, F_SETLK, F_RDLCK, 10, 10) == 0);
    check("another sees it", in_child(sees_lock));
    check("and cannot lock it for itself", in_child(cannot_lock));
    check("but share", in_child(can_share));
    struct flock own = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    check("own locks are no obstacle", fcntl(fd, F_GETLK, &own) == 0 && own.l_type == F_UNLCK);
    check("unlock the middle", lock(fd, F_SETLK, F_UNLCK, 12, 2) == 0);
    check("the rest holds", in_child(cannot_lock));
    other = open("file", O_RDONLY);
    check_error("an exclusive lock needs write access", lock(other, F_SETLK, F_WRLCK, 0, 1), EBADF);
    close(other);
    check("closing any descriptor of the file unlocks", in_child(can_lock));
    check_error("a bad kind", lock(fd, F_SETLK, 9, 0, 1), EINVAL);
    check_error("before the start", lock(fd, F_SETLK, F_RDLCK, -1, 1), EINVAL);
    check_error("a bad address", fcntl(fd, F_SETLK, (void *)8), EFAULT);

    lock(fd, F_SETLK, F_WRLCK, 0, 0);
    int fds[2];
    char byte;
    pipe(fds);
    pid_t pid = fork();
    if (pid == 0) {
        int result = lock(fd, F_SETLKW, F_WRLCK, 0, 1);
        write(fds[1], "!", 1);
        _exit(result != 0);
    }
    wait_until_asleep(pid);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    check_error("F_SETLKW waits", read(fds[0], &byte, 1), EAGAIN);
    lock(fd, F_SETLK, F_UNLCK, 0, 0);
    int status;
    waitpid(pid, &status, 0);
    check("until it is free", status == 0 && read(fds[0], &byte, 1) == 1);

    lock(fd, F_SETLK, F_WRLCK, 0, 1);
    pid = fork();
    if (pid == 0) {
        lock(fd, F_SETLK, F_WRLCK, 1, 1);
        write(fds[1], "!", 1);
        lock(fd, F_SETLKW, F_WRLCK, 0, 1);
        _exit(0);
    }
    fcntl(fds[0], F_SETFL, 0);
    read(fds[0], &byte, 1);
    wait_until_asleep(pid);
    check_error("two that wait for each other", lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    lock(fd, F_SETLK, F_UNLCK, 0, 0);
    waitpid(pid, NULL, 0);

    other = open("file", O_RDWR);
    check("a lock of the open file", lock(fd, F_OFD_SETLK, F_WRLCK, 0, 0) == 0);
    check_error("another open of the same process", lock(other, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    check("is told, without a process", fcntl(other, F_OFD_GETLK, &held) == 0 && held.l_pid == -1);
    check("classic locks see it too", lock(other, F_SETLK, F_WRLCK, 0, 1) == -1);
    lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0);
    close(other);
    close(fds[0]);
    close(fds[1]);
}

static int waited;

static void *wait_for_lock(void *argument)
{
    waited = lock(*(int *)argument, F_SETLKW, F_WRLCK, 0, 0) == 0 ? 0 : errno;
    return NULL;
}

/* One thread closes the descriptor with which another waits for a lock: the lock must not outlive that. */
static int closed_while_waiting(int closed)
{
    pthread_t thread;
    close(fd);
    int own = open("file", O_RDWR);
    pthread_create(&thread, NULL, wait_for_lock, &own);
    wait_until_others_sleep();
    close(own);
    write(closed, "!", 1);
    pthread_join(thread, NULL);
    return waited;
}

static void changes_while_waiting(void)
{
    int fds[2], status;
    char byte;
    pipe(fds);
    lock(fd, F_SETLK, F_WRLCK, 0, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(closed_while_waiting(fds[1]));
    read(fds[0], &byte, 1);
    lock(fd, F_SETLK, F_UNLCK, 0, 0);
    waitpid(pid, &status, 0);
    check("a closed descriptor gets no lock", WIFEXITED(status) && WEXITSTATUS(status) == EBADF);
    check("nor keeps it", can_lock());

    pid = fork();
    if (pid == 0) {
        alarm(20);
        _exit(lock(fd, F_SETLKW, F_RDLCK, 0, 0));
    }
    wait_until_asleep(pid);
    check("an exclusive lock becomes shared", lock(fd, F_SETLK, F_RDLCK, 0, 0) == 0);
    waitpid(pid, &status, 0);
    check("who waited to share it comes in", status == 0);
    lock(fd, F_SETLK, F_UNLCK, 0, 0);
    close(fds[0]);
    close(fds[1]);
}

static void whole_files(void)
{
    check("flock", flock(fd, LOCK_EX) == 0);
    check("others cannot", in_child(cannot_flock));
    check("a child has the same open file", in_child(can_flock_same));
    check("shared instead", flock(fd, LOCK_SH) == 0);
    other = open("file", O_RDONLY);
    check("two share", flock(other, LOCK_SH | LOCK_NB) == 0);
    check_error("but none has it alone", flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    check("unlock", flock(fd, LOCK_UN) == 0);
    check("now", flock(other, LOCK_EX | LOCK_NB) == 0);
    close(other);
    check("closing unlocks", flock(fd, LOCK_EX | LOCK_NB) == 0);
    check_error("a bad operation", flock(fd, 0), EINVAL);
    check_error("a bad descriptor", flock(99, LOCK_EX), EBADF);
}

int main(void)
{
    descriptors();
    records();
    changes_while_waiting();
    whole_files();
    unlink("file");
    return finish();
}
