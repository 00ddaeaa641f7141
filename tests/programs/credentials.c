/* User and group ids, capabilities that follow them, limits, prctl. Runs as root. */
#include "check.h"
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <grp.h>
#include <unistd.h>

static void in_child(const char *name, int (*body)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        printf("ok %s\n", name);
    } else {
        failures++;
        printf("FAILED %s (line %d, status %x)\n", name, WEXITSTATUS(status) + 1, status);
    }
}

/* Ends the child with the (low part of the) line that failed. */
#define must(condition)                                                                            \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if (!(condition))                                                                          \
            _exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1);                                          \
    } while (0)

static int ids_are(uid_t real, uid_t effective, uid_t saved)
{
    uid_t r, e, s;
    return getresuid(&r, &e, &s) == 0 && r == real && e == effective && s == saved;
}

static unsigned effective_capabilities(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0 } };
    syscall(SYS_capget, &header, data);
    return data[0].effective;
}

static int drop_for_good(void)
{
    must(effective_capabilities() & 1 << CAP_KILL);
    must(syscall(SYS_setuid, 1000) == 0 && ids_are(1000, 1000, 1000));
    must(effective_capabilities() == 0);
    must(syscall(SYS_setuid, 0) == -1 && errno == EPERM);
    must(syscall(SYS_setresuid, -1, 0, -1) == -1 && errno == EPERM);
    must(syscall(SYS_setgroups, 0, NULL) == -1 && errno == EPERM);
    must(kill(1, 0) == -1 && errno == EPERM);
    return 0;
}

static int drop_and_return(void)
{
    must(syscall(SYS_setresuid, -1, 1000, -1) == 0 && ids_are(0, 1000, 0));
    must(effective_capabilities() == 0);
    must(syscall(SYS_setresuid, -1, 0, -1) == 0 && effective_capabilities() != 0);
    must(syscall(SYS_setreuid, 1000, 1001) == 0 && ids_are(1000, 1001, 1001));
    must(syscall(SYS_setreuid, 1001, 1000) == 0 && ids_are(1001, 1000, 1000));
    must(syscall(SYS_setuid, 1001) == 0 && ids_are(1001, 1001, 1000));
    must(syscall(SYS_setuid, 1002) == -1 && errno == EPERM);
    must(syscall(SYS_setuid, -1) == -1 && errno == EINVAL);
    return 0;
}

static int groups(void)
{
    gid_t list[4] = { 7, 3, 5 }, out[4] = { 0 };
    must(syscall(SYS_setgroups, 3, list) == 0);
    must(getgroups(0, NULL) == 3);
    must(getgroups(1, out) == -1 && errno == EINVAL);
    must(getgroups(4, out) == 3 && out[0] == 3 && out[1] == 5 && out[2] == 7);
    must(syscall(SYS_setresgid, 10, 11, 12) == 0 && getgid() == 10 && getegid() == 11);
    must(syscall(SYS_setregid, -1, 12) == 0 && getegid() == 12);
    must(syscall(SYS_setgid, 20) == 0 && getgid() == 20 && getegid() == 20);
    return 0;
}

static int file_ids(void)
{
    must(setfsuid(1000) == 0);
    must(setfsuid(-1) == 1000);
    must(!(effective_capabilities() & 1 << CAP_DAC_OVERRIDE) && effective_capabilities() & 1 << CAP_KILL);
    must(setfsuid(0) == 1000 && effective_capabilities() & 1 << CAP_DAC_OVERRIDE);
    must(setfsgid(5) == 0 && setfsgid(-1) == 5);
    return 0;
}

static int keep(void)
{
    must(prctl(PR_SET_KEEPCAPS, 1) == 0 && prctl(PR_GET_KEEPCAPS) == 1);
    must(syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    must(syscall(SYS_capget, &header, data) == 0 && data[0].effective == 0 && data[0].permitted != 0);
    data[0].effective = 1 << CAP_SETUID;
    data[0].permitted = 1 << CAP_SETUID;
    data[1].permitted = data[1].effective = 0;
    must(syscall(SYS_capset, &header, data) == 0 && effective_capabilities() == 1 << CAP_SETUID);
    data[0].permitted |= 1 << CAP_KILL;
    must(syscall(SYS_capset, &header, data) == -1 && errno == EPERM);
    must(syscall(SYS_setresuid, 5, 5, 5) == 0);
    return 0;
}

static int limits(void)
{
    struct rlimit limit, out;
    must(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= limit.rlim_max);
    limit.rlim_cur = 20, limit.rlim_max = 40;
    must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    must(getrlimit(RLIMIT_NOFILE, &out) == 0 && out.rlim_cur == 20 && out.rlim_max == 40);
    must(dup2(0, 20) == -1 && errno == EBADF);
    must(dup2(0, 19) == 19);
    limit.rlim_cur = 50;
    must(setrlimit(RLIMIT_NOFILE, &limit) == -1 && errno == EINVAL);
    must(syscall(SYS_setuid, 1000) == 0);
    limit.rlim_cur = limit.rlim_max = 50;
    must(setrlimit(RLIMIT_NOFILE, &limit) == -1 && errno == EPERM);
    must(syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, NULL, &out) == -1 && errno == EPERM);
    must(syscall(SYS_prlimit64, 0, 16, NULL, &out) == -1 && errno == EINVAL);
    must(syscall(SYS_prlimit64, 29999, 0, NULL, &out) == -1 && errno == ESRCH);
    return 0;
}

static int processes_limit(void)
{
    must(syscall(SYS_setuid, 4321) == 0);
    struct rlimit limit = { 1, 1 };
    must(setrlimit(RLIMIT_NPROC, &limit) == 0);
    must(fork() == -1 && errno == EAGAIN);
    return 0;
}

static int names(void)
{
    char name[17] = { 0 };
    must(prctl(PR_SET_NAME, "a name that is too long") == 0);
    must(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "a name that is ") == 0);
    must(prctl(PR_SET_PDEATHSIG, 65) == -1 && errno == EINVAL);
    int number = 0;
    must(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0 && prctl(PR_GET_PDEATHSIG, &number) == 0 && number == SIGUSR1);
    must(prctl(PR_GET_DUMPABLE) == 1 && prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0);
    must(prctl(PR_SET_DUMPABLE, 2) == -1 && errno == EINVAL);
    must(prctl(PR_CAPBSET_READ, 0) == 1 && prctl(PR_CAPBSET_READ, 63) == -1 && errno == EINVAL);
    must(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    must(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    must(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == -1 && errno == EINVAL);
    must(prctl(9999) == -1 && errno == EINVAL);
    must(personality(0xffffffff) == 0 && personality(ADDR_NO_RANDOMIZE) == 0 && personality(0xffffffff) == ADDR_NO_RANDOMIZE);
    return 0;
}

static int priorities(void)
{
    must(getpriority(PRIO_PROCESS, 0) == 0);
    must(setpriority(PRIO_PROCESS, 0, 5) == 0 && getpriority(PRIO_PROCESS, 0) == 5);
    must(setpriority(PRIO_PROCESS, 0, 100) == 0 && getpriority(PRIO_PROCESS, 0) == 19);
    must(setpriority(PRIO_PROCESS, 0, -5) == 0 && getpriority(PRIO_PROCESS, 0) == -5);
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(getpriority(PRIO_PROCESS, 0) == -5 ? 0 : 1);
    must(waitpid(pid, &status, 0) == pid && status == 0);
    must(setpriority(PRIO_PROCESS, 0, 5) == 0 && syscall(SYS_setuid, 1000) == 0);
    must(setpriority(PRIO_PROCESS, 0, 4) == -1 && errno == EACCES);
    must(setpriority(PRIO_PROCESS, 0, 6) == 0);
    must(setpriority(PRIO_PROCESS, 1, 6) == -1 && errno == EPERM);
    must(setpriority(PRIO_PROCESS, 29999, 6) == -1 && errno == ESRCH);
    must(getpriority(7, 0) == -1 && errno == EINVAL);
    return 0;
}

static int namespaces(void)
{
    must(unshare(CLONE_FILES) == 0 && unshare(CLONE_FS) == 0 && unshare(0) == 0);
    must(unshare(0x1000000) == -1 && errno == EINVAL);
    return 0;
}

int main(void)
{
    in_child("dropping root is for good", drop_for_good);
    in_child("dropping root for a time", drop_and_return);
    in_child("groups", groups);
    in_child("file system ids", file_ids);
    in_child("keeping capabilities", keep);
    in_child("limits", limits);
    in_child("limit of processes", processes_limit);
    in_child("prctl and personality", names);
    in_child("priorities", priorities);
    in_child("unshare", namespaces);
    return finish();
}
