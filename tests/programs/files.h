/* Helpers of the files_*.c programs: each works in a fresh tmpfs of its own. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef O_TMPFILE
#define O_TMPFILE 020200000
#endif
#ifndef O_PATH
#define O_PATH 010000000
#endif

/* Mounts a tmpfs at ./files and goes there. */
static inline void enter_tmpfs(void)
{
    umask(022);
    mkdir("files", 0755);
    if (mount("files", "files", "tmpfs", 0, "mode=755") || chdir("files")) {
        perror("tmpfs");
        exit(1);
    }
}

/* Leaves it and unmounts it; the unmount is a check that nothing is in use any more. */
static inline void leave_tmpfs(void)
{
    check("back", chdir("..") == 0);
    check("nothing is left in use", umount("files") == 0);
    rmdir("files");
}

/* Copies a program; returns the copy, open for writing. */
static inline int copy(const char *from, const char *to)
{
    static char bytes[65536];
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY, 0755);
    ssize_t count;
    while ((count = read(in, bytes, sizeof bytes)) > 0)
        if (write(out, bytes, count) != count)
            return -1;
    close(in);
    return out;
}

static inline int make(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0)
        return -1;
    int bad = write(fd, text, strlen(text)) != (ssize_t)strlen(text);
    close(fd);
    return bad ? -1 : 0;
}

static inline int holds(const char *name, const char *text)
{
    char bytes[256];
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t count = read(fd, bytes, sizeof bytes);
    close(fd);
    return count == (ssize_t)strlen(text) && !memcmp(bytes, text, count);
}

static inline int exists(const char *name)
{
    struct stat status;
    return lstat(name, &status) == 0;
}

static inline struct stat status_of(const char *name)
{
    struct stat status;
    memset(&status, 0, sizeof status);
    lstat(name, &status);
    return status;
}

/* Runs `body` in a child as user `uid` and group `gid`; its failures count here. */
static inline void as_user(uid_t uid, gid_t gid, void (*body)(void))
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        failures = 0;
        if (syscall(SYS_setgroups, 0, NULL) || setgid(gid) || setuid(uid))
            _exit(99);
        body();
        _exit(failures);
    }
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 99) {
        printf("FAILED child as user %d: status %x\n", (int)uid, status);
        failures++;
    } else {
        failures += WEXITSTATUS(status);
    }
}
