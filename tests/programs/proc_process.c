/* /proc/PID as real programs read it: every field of stat, zombies, owners, descriptors' details, settings. As root. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[65536];

/* Reads a file whole; an empty string if it cannot be read. */
static const char *contents(const char *format, int id)
{
    char path[128];
    snprintf(path, sizeof path, format, id);
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[length < 0 ? 0 : length] = 0;
    return text;
}

/* Finds the line `name:\t…` of /proc/PID/status; the value without the tab. */
static const char *status_of(int id, const char *name)
{
    static char line[256];
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\n%s:\t", name);
    const char *at = strstr(contents("/proc/%d/status", id), wanted);
    if (!at)
        return "absent";
    snprintf(line, sizeof line, "%s", at + strlen(wanted));
    line[strcspn(line, "\n")] = 0;
    return line;
}

/* Field `number` of /proc/PID/stat (3 and later), as proc(5) counts them. */
static long long field(const char *format, int id, int number)
{
    const char *at = strrchr(contents(format, id), ')');
    for (int i = 2; at && i < number; i++)
        at = strchr(at + 1, ' ');
    return at ? strtoll(at, NULL, 10) : -99;
}

static int in_table;
static char *stack_word;

static void fields(void)
{
    int self = getpid(), count = 1;
    contents("/proc/%d/stat", self);
    for (char *at = strrchr(text, ')'); (at = strchr(at + 1, ' ')); count++) {
    }
    check("52 fields", count == 51);
    check("parent, group, session", field("/proc/%d/stat", self, 4) == getppid() &&
          field("/proc/%d/stat", self, 5) == getpgrp() && field("/proc/%d/stat", self, 6) == getsid(0));
    check("one thread", field("/proc/%d/stat", self, 20) == 1);
    check("exit signal", field("/proc/%d/stat", self, 38) == SIGCHLD);
    long heap = syscall(SYS_brk, 0);
    check("heap", syscall(SYS_brk, heap + 4096) == heap + 4096 && field("/proc/%d/stat", self, 47) <= heap);
    check("data", field("/proc/%d/stat", self, 45) <= (intptr_t)&in_table && (intptr_t)&in_table < field("/proc/%d/stat", self, 46) + (1 << 20));
    check("code", field("/proc/%d/stat", self, 26) <= (intptr_t)fields && (intptr_t)fields < field("/proc/%d/stat", self, 27));
    check("arguments", field("/proc/%d/stat", self, 48) == (intptr_t)stack_word);
    check("VmExe is less than VmSize", atol(status_of(self, "VmExe")) > 0 && atol(status_of(self, "VmLib")) >= 0);
    char own[32];
    snprintf(own, sizeof own, "%d", self);
    check("ids by namespace", strcmp(strrchr(status_of(self, "NSpid"), '\t') ? strrchr(status_of(self, "NSpid"), '\t') + 1 : status_of(self, "NSpid"), own) == 0);
    check("memory node", strcmp(status_of(self, "Mems_allowed_list"), "0") == 0);
}

static void *thread(void *ids)
{
    int *facts = ids;
    facts[0] = syscall(SYS_gettid);
    facts[1] = field("/proc/self/task/%d/stat", facts[0], 38);
    facts[2] = atoi(contents("/proc/%d/stat", facts[0]));
    facts[3] = atoi(status_of(facts[0], "Tgid"));
    return NULL;
}

static void threads(void)
{
    int facts[4];
    pthread_t other;
    pthread_create(&other, NULL, thread, facts);
    pthread_join(other, NULL);
    check("a thread has no exit signal", facts[1] == -1);
    check("a directory by its own id tells of it", facts[2] == facts[0] && facts[3] == getpid());
}

static void zombies(void)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NAME, "was (here) once");
        if (setgid(1234) || setuid(1000))
            _exit(1);
        _exit(0);
    }
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    char path[64], wanted[64];
    struct stat is;
    snprintf(path, sizeof path, "/proc/%d", child);
    check("a zombie is its user's", stat(path, &is) == 0 && is.st_uid == 1000 && is.st_gid == 1234);
    snprintf(wanted, sizeof wanted, "%d (was (here) once) Z ", child);
    check("a zombie keeps its name", strncmp(contents("/proc/%d/stat", child), wanted, strlen(wanted)) == 0);
    check("a zombie keeps its ids", strcmp(status_of(child, "Uid"), "1000\t1000\t1000\t1000") == 0);
    check("a zombie has no memory", strcmp(status_of(child, "VmSize"), "absent") == 0);
    check("a zombie has no arguments", contents("/proc/%d/cmdline", child)[0] == 0);
    check("a zombie is one thread", field("/proc/%d/stat", child, 20) == 1);
    waitpid(child, NULL, 0);
    check("then it is gone", stat(path, &is) == -1 && errno == ENOENT);
}

static void owners(void)
{
    int ready[2], go[2];
    if (pipe(ready) || pipe(go))
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        if (setgid(1234) || setuid(1000) || prctl(PR_SET_DUMPABLE, 0) || write(ready[1], "r", 1) != 1)
            _exit(1);
        _exit(read(go[0], &byte, 1) != 1);
    }
    char byte, path[64];
    struct stat is;
    if (read(ready[0], &byte, 1) != 1)
        exit(1);
    snprintf(path, sizeof path, "/proc/%d", child);
    check("the directory tells whose it is", stat(path, &is) == 0 && is.st_uid == 1000 && is.st_gid == 1234);
    snprintf(path, sizeof path, "/proc/%d/environ", child);
    check("what may not be looked into is root's", stat(path, &is) == 0 && is.st_uid == 0 && (is.st_mode & 07777) == 0400);
    char children[64];
    snprintf(children, sizeof children, "%d ", child);
    check("children", strstr(contents("/proc/self/task/%d/children", getpid()), children) != NULL);
    if (write(go[1], "g", 1) != 1)
        exit(1);
    waitpid(child, NULL, 0);
}

static long detail(int fd, const char *name)
{
    contents("/proc/self/fdinfo/%d", fd);
    const char *at = strstr(text, name);
    return at ? strtol(at + strlen(name), NULL, 0) : -99;
}

static void descriptors(void)
{
    struct stat is;
    int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    check("position", write(fd, "12345", 5) == 5 && lseek(fd, 3, SEEK_SET) == 3 && detail(fd, "pos:\t") == 3);
    check("flags", detail(fd, "flags:\t") == (O_RDWR | O_CLOEXEC | O_APPEND | 0100000));
    check("inode", fstat(fd, &is) == 0 && detail(fd, "ino:\t") == (long)is.st_ino);
    char mount[64];
    snprintf(mount, sizeof mount, "\n%ld ", detail(fd, "mnt_id:\t"));
    strcpy(text, "\n");
    int list = open("/proc/self/mountinfo", O_RDONLY);
    ssize_t length = read(list, text + 1, sizeof text - 2);
    text[length + 1] = 0;
    check("mount", strstr(text, mount) != NULL);
    close(list);
    close(fd);
    int event = eventfd(17, EFD_SEMAPHORE);
    check("an eventfd's count", detail(event, "eventfd-count:") == 11 && strstr(text, "eventfd-count:               11\n"));
    close(event);
}

/* What bash's <(command) needs: the command may have ended before anybody opens its pipe again. */
static void pipes(void)
{
    int ends[2];
    char name[64];
    if (pipe(ends) || write(ends[1], "x", 1) != 1)
        exit(1);
    close(ends[1]);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
    int again = open(name, O_RDONLY);
    check("a pipe without writers opens again", again >= 0 && read(again, text, 4) == 1);
    check("and is at its end", read(again, text, 4) == 0);
    close(again);
    close(ends[0]);
    if (pipe(ends))
        exit(1);
    close(ends[0]);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[1]);
    again = open(name, O_WRONLY | O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN);
    check("one without readers too", again >= 0);
    check_error("but takes nothing", write(again, "x", 1), EPIPE);
    close(again);
    close(ends[1]);
}

static void settings(void)
{
    int fd = open("/proc/self/timerslack_ns", O_RDWR);
    check("timer slack", write(fd, "12345\n", 6) == 6 && prctl(PR_GET_TIMERSLACK) == 12345);
    check("is read back", pread(fd, text, sizeof text, 0) == 6 && strncmp(text, "12345\n", 6) == 0);
    check_error("no number", write(fd, "x", 1), EINVAL);
    close(fd);
    fd = open("/proc/self/comm", O_RDWR);
    check("a name is cut", write(fd, "a name of twenty letters", 24) == 24 && pread(fd, text, sizeof text, 0) == 16 &&
          strncmp(text, "a name of twent\n", 16) == 0);
    check("pieces are consistent", pread(fd, text, 4, 2) == 4 && strncmp(text, "name", 4) == 0);
    check("end", pread(fd, text, 4, 16) == 0);
    close(fd);
}

int main(int argc, char **argv)
{
    (void)argc;
    stack_word = argv[0];
    fields();
    threads();
    zombies();
    owners();
    descriptors();
    pipes();
    settings();
    return finish();
}
