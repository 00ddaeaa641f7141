/* What a mapping does to a file's times, what msync(2) says of locked pages; what kcmp(2) says two processes share. */
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_KIND, MEMORY, DESCRIPTORS, DIRECTORIES, HANDLERS };

static long kcmp(pid_t one, pid_t other, int kind, long a, long b)
{
    return syscall(SYS_kcmp, one, other, kind, a, b);
}

static void times(void)
{
    struct timespec long_ago[2] = {{1000, 0}, {2000, 0}};
    struct stat status;
    int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    check("a file", fd >= 0 && ftruncate(fd, 4096) == 0 && futimens(fd, long_ago) == 0);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check("to map it is to access it", fstat(fd, &status) == 0 && status.st_atime > 2000);
    check("not to change it", status.st_mtime == 2000);
    page[0] = 'x';
    check("sync", msync(page, 4096, MS_SYNC) == 0);
    check("a store changes it", fstat(fd, &status) == 0 && status.st_mtime > 2000);
    check("pages that are not locked", msync(page, 4096, MS_SYNC | MS_INVALIDATE) == 0);
    check("lock them", mlock(page, 4096) == 0);
    check_error("locked ones stay valid", msync(page, 4096, MS_SYNC | MS_INVALIDATE), EBUSY);
    close(fd);
    unlink("mapped");
}

static void sharing(void)
{
    int fd = dup(1), other = open("/dev/null", O_RDONLY);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    check("a duplicate is the same file", kcmp(self, self, FILE_KIND, 1, fd) == 0);
    long order = kcmp(self, self, FILE_KIND, 1, other);
    check("another is not", order == 1 || order == 2);
    check("the other way round", kcmp(self, self, FILE_KIND, other, 1) == 3 - order);
    check("a child has the same file", kcmp(self, pid, FILE_KIND, 1, 1) == 0);
    check("but its own memory", kcmp(self, pid, MEMORY, 0, 0) > 0);
    check("and descriptors", kcmp(self, pid, DESCRIPTORS, 0, 0) > 0);
    check("and directories", kcmp(self, pid, DIRECTORIES, 0, 0) > 0);
    check("and handlers", kcmp(self, pid, HANDLERS, 0, 0) > 0);
    check_error("no such file", kcmp(self, pid, FILE_KIND, 1, 999), EBADF);
    check_error("no such kind", kcmp(self, pid, 99, 0, 0), EINVAL);
    check_error("nobody", kcmp(self, 999999, MEMORY, 0, 0), ESRCH);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(void)
{
    times();
    sharing();
    return finish();
}
