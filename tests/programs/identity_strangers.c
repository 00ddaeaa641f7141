/* An unprivileged user cannot read or change what is another's: memory, files of /proc, signals, limits, classes; a
 * set-user-ID program is safe from who starts it. */
#include "ptrace.h"
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define VICTIM 1000
#define STRANGER 1001

static volatile char secret[16] = "secret";
static char *self;

static void become(uid_t id)
{
    syscall(SYS_setgroups, 0, NULL);
    syscall(SYS_setresgid, id, id, id);
    syscall(SYS_setresuid, id, id, id);
    prctl(PR_SET_DUMPABLE, 1);
}

/* Starts a child as `id` that writes a byte to `ready` and sleeps. */
static pid_t start_victim(uid_t id, int dumpable)
{
    int ready[2];
    char byte;
    pipe(ready);
    pid_t pid = fork();
    if (pid == 0) {
        become(id);
        prctl(PR_SET_DUMPABLE, dumpable);
        write(ready[1], "", 1);
        for (;;)
            pause();
    }
    read(ready[0], &byte, 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static int opens(pid_t pid, const char *name, int flags)
{
    char path[64], byte;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, flags);
    if (fd < 0)
        return 0;
    int reads = flags != O_RDONLY || pread(fd, &byte, 1, strcmp(name, "mem") ? 0 : (off_t)&secret) == 1;
    close(fd);
    return reads;
}

static int follows(pid_t pid, const char *name)
{
    char path[64], target[256];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return readlink(path, target, sizeof target) >= 0;
}

/* Returns a bit for each thing that the caller may do to `pid`. */
static int powers_over(pid_t pid)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)secret, 1};
    struct rlimit limit;
    struct sched_param parameter = {0};
    int powers = 0;
    powers |= (process_vm_readv(pid, &here, 1, &there, 1, 0) == 1) << 0;
    powers |= (process_vm_writev(pid, &here, 1, &there, 1, 0) == 1) << 1;
    powers |= opens(pid, "mem", O_RDONLY) << 2;
    powers |= opens(pid, "mem", O_RDWR) << 3;
    powers |= opens(pid, "environ", O_RDONLY) << 4;
    powers |= opens(pid, "maps", O_RDONLY) << 5;
    powers |= opens(pid, "auxv", O_RDONLY) << 6;
    powers |= follows(pid, "exe") << 7;
    powers |= follows(pid, "cwd") << 8;
    powers |= follows(pid, "fd/0") << 9;
    powers |= (kill(pid, 0) == 0) << 10;
    powers |= (kill(pid, SIGCONT) == 0) << 11;
    powers |= (setpriority(PRIO_PROCESS, pid, 10) == 0) << 12;
    powers |= (syscall(SYS_prlimit64, pid, RLIMIT_CORE, NULL, &limit) == 0) << 13;
    powers |= (syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &parameter) == 0) << 14;
    powers |= (syscall(SYS_tgkill, pid, pid, 0) == 0) << 15;
    powers |= (trace(PTRACE_SEIZE, pid, 0, 0) == 0) << 16;
    int fd = syscall(SYS_pidfd_open, pid, 0);
    powers |= (syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0) << 17;
    powers |= (syscall(SYS_pidfd_getfd, fd, 0, 0) >= 0) << 18;
    return powers;
}

/* Returns what a process of `id` may do to `pid`. */
static int powers_of(uid_t id, pid_t pid)
{
    int answer[2], powers = -1;
    pipe(answer);
    pid_t judge = fork();
    if (judge == 0) {
        setsid();
        become(id);
        powers = powers_over(pid);
        write(answer[1], &powers, sizeof powers);
        _exit(0);
    }
    read(answer[0], &powers, sizeof powers);
    waitpid(judge, NULL, 0);
    close(answer[0]);
    close(answer[1]);
    return powers;
}

#define ALL 0x7ffff
/* A build host's root may lack CAP_SYS_RESOURCE. */
#define LIMITS (1 << 13)
/* What needs no look into the process: signals, nice value, limits, class. */
#define OUTSIDE (1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15 | 1 << 17)

static void test_strangers(void)
{
    pid_t pid = start_victim(VICTIM, 1);
    check("a stranger may do nothing", powers_of(STRANGER, pid) == 0);
    check("the same user may do all", powers_of(VICTIM, pid) == ALL);
    check("root may do all", (powers_of(0, pid) | LIMITS) == ALL);
    kill_and_reap(pid);

    pid = start_victim(VICTIM, 0);
    check("who is not dumpable is not looked into", powers_of(VICTIM, pid) == OUTSIDE);
    check("but by root", (powers_of(0, pid) | LIMITS) == ALL);
    kill_and_reap(pid);

    pid = start_victim(0, 1);
    check("root is safe from users", powers_of(VICTIM, pid) == 0);
    kill_and_reap(pid);
}

/* Runs `self WORD` as a copy with owner root and `mode`; returns its exit status. */
static int run_copy(const char *name, const char *word, mode_t mode, void (*prepare)(void))
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/%s.%d", name, getpid());
    int from = open(self, O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    char buffer[65536];
    for (ssize_t count; (count = read(from, buffer, sizeof buffer)) > 0;)
        write(to, buffer, count);
    close(from);
    fchmod(to, mode);
    close(to);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        become(STRANGER);
        if (prepare)
            prepare();
        execl(path, path, word, NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void no_new_privileges(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* What the copy says of itself, in bits. */
static int describe(void)
{
    return (geteuid() == 0) << 0 | (getuid() == STRANGER) << 1 | !!getauxval(AT_SECURE) << 2 |
           (prctl(PR_GET_DUMPABLE) == 1) << 3 | (getauxval(AT_EUID) == 0) << 4;
}

static void test_set_user_id(void)
{
    check("a set-user-ID program has its owner's ids, securely", run_copy("suid", "describe", 04755, NULL) == (1 | 2 | 4 | 16));
    check("not with no_new_privs", run_copy("nnp", "describe", 04755, no_new_privileges) == (2 | 8));
    check("an ordinary program has not", run_copy("plain", "describe", 0755, NULL) == (2 | 8));
    check("who may not read a program may not look into it", run_copy("unreadable", "describe", 0711, NULL) == 2);
    check("a set-user-ID program may not be looked into", run_copy("attack", "attacked", 04755, NULL) == 0);
}

/* A set-user-ID copy: a child of the user who started it tries to get at it. */
static int attacked(void)
{
    pid_t victim = getpid();
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        setsid();
        syscall(SYS_setresuid, STRANGER, STRANGER, STRANGER);
        prctl(PR_SET_DUMPABLE, 1);
        /* kill(2) looks at the real id too, which is the user's own. */
        int powers = powers_over(victim) & ~(1 << 10 | 1 << 11 | 1 << 15 | 1 << 17);
        _exit(powers ? 1 : 0);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

/* A tracer without privileges takes the privileges from a set-user-ID program. */
static void test_traced_set_user_id(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/traced.%d", getpid());
    char command[256];
    snprintf(command, sizeof command, "cp %s %s && chmod 4755 %s", self, path, path);
    system(command);
    pid_t tracer = fork();
    if (tracer == 0) {
        become(STRANGER);
        pid_t pid = fork();
        if (pid == 0) {
            trace(PTRACE_TRACEME, 0, 0, 0);
            execl(path, path, "describe", NULL);
            _exit(127);
        }
        int status = wait_status(pid);
        trace(PTRACE_CONT, pid, 0, 0);
        status = wait_status(pid);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
    }
    int status;
    waitpid(tracer, &status, 0);
    check("under a user's ptrace it is an ordinary program", WEXITSTATUS(status) == (2 | 4 | 8));
    unlink(path);
}

/* Who looks at a process again and again while it becomes a set-user-ID program never sees that one's secrets. */
static void test_race(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/race.%d", getpid());
    char command[256];
    snprintf(command, sizeof command, "cp %s %s && chmod 4755 %s", self, path, path);
    system(command);
    int seen = 0;
    for (int round = 0; round < 20; round++) {
        int done[2];
        pipe(done);
        pid_t pid = fork();
        if (pid == 0) {
            become(STRANGER);
            close(done[0]);
            execl(path, path, "hide", NULL);
            _exit(127);
        }
        close(done[1]);
        pid_t looker = fork();
        if (looker == 0) {
            close(done[0]);
            setsid();
            become(STRANGER);
            char byte;
            struct iovec here = {&byte, 1}, there = {(void *)(secret + 8), 1};
            int found = 0;
            for (int i = 0; i < 200 && !found; i++)
                found = process_vm_readv(pid, &here, 1, &there, 1, 0) == 1 && byte == 'X';
            _exit(found);
        }
        int status;
        waitpid(looker, &status, 0);
        seen += WEXITSTATUS(status);
        close(done[0]);
        kill_and_reap(pid);
    }
    check("the race is never won", seen == 0);
    unlink(path);
}

int main(int count, char **arguments)
{
    self = arguments[0];
    if (count > 1) {
        if (!strcmp(arguments[1], "describe"))
            return describe();
        if (!strcmp(arguments[1], "attacked"))
            return attacked();
        memset((void *)(secret + 8), 'X', 1);
        for (;;)
            pause();
    }
    test_strangers();
    test_set_user_id();
    test_traced_set_user_id();
    test_race();
    return finish();
}
