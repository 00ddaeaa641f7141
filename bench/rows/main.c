/* Measures rows by name, or all. As process 1 it prepares the machine, and switches it off at the end.
 *
 *   bench [ROW,ROW…]
 *   bench scale
 *
 * A line of /bench/list, `name command`, is a row too: the shell runs the command once, and all that it does counts. */
#include "rows.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct row *const families[] = {calls, files, memory, processes, signals, handover, transfers};

int file_of(const char *path, size_t size)
{
    static char block[1 << 16];
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    must(file >= 0);
    for (size_t done = 0; done < size; done += sizeof block)
        must(write(file, block, sizeof block) == sizeof block);
    return file;
}

pid_t start(void (*work)(void *), void *argument)
{
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        work(argument);
        _exit(0);
    }
    return child;
}

void stop(pid_t child)
{
    must(kill(child, SIGKILL) == 0);
    must(waitpid(child, NULL, 0) == child);
}

void await(pid_t child)
{
    int status;
    must(waitpid(child, &status, 0) == child && status == 0);
}

/* In a process of its own, so that a row finds no traces of another, and a crash costs one row. */
static void measure(const struct row *row)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        row->measure(row->count / 10 + 1);
        uint64_t taken = row->measure(row->count);
        printf("@row %s %llu\n", row->name, (unsigned long long)(taken / row->count));
        exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    if (status != 0)
        printf("@row %s failed %x\n", row->name, status);
}

/* A command from start to end. Its output, which only a failure shows, is not written while it counts. */
static void run(const char *name, const char *command)
{
    int status = -1;
    uint64_t begun = begin();
    pid_t child = fork();
    if (child == 0) {
        int output = open("/tmp/output", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        dup2(open("/dev/null", O_RDONLY), 0), dup2(output, 1), dup2(output, 2);
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    uint64_t taken = end(begun);
    if (status == 0) {
        printf("@row %s %llu\n", name, (unsigned long long)taken);
    } else {
        printf("@row %s failed %x\n", name, status);
        system("tail -n 20 /tmp/output");
    }
}

/* Whether a name is in a list with commas; all are where there is no list. One word, because Linux gives init only 32. */
static bool is_chosen(const char *name, const char *list)
{
    size_t length = strlen(name);
    for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == 0))
            return true;
    return !list;
}

/* What an init does before anything else. */
static void prepare(uint64_t first)
{
    printf("@row boot %llu\n", (unsigned long long)first);
    mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755), mkdir("/tmp", 01777);
    must(mount("proc", "/proc", "proc", 0, NULL) == 0);
    must(mount("sysfs", "/sys", "sysfs", 0, NULL) == 0);
    must(access("/dev/null", F_OK) == 0 || mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) == 0);
    must(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0);
    must(setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) == 0);
}

int main(int count, char **words)
{
    (void)count;
    uint64_t first = __builtin_ia32_rdtsc();
    bool is_init = getpid() == 1;
    setvbuf(stdout, NULL, _IONBF, 0);
    if (is_init)
        prepare(first);
    if (words[1] && strcmp(words[1], "scale") == 0)
        scale();
    for (size_t family = 0; family < sizeof families / sizeof *families; family++)
        for (const struct row *row = families[family]; row->name; row++)
            if (is_chosen(row->name, words[1]))
                measure(row);
    char line[1024];
    FILE *list = fopen("/bench/list", "r");
    while (list && fgets(line, sizeof line, list)) {
        char *command = strchr(line, ' ');
        must(command);
        *command++ = 0;
        if (is_chosen(line, words[1]))
            run(line, command);
    }
    printf("@end\n");
    if (is_init)
        reboot(RB_POWER_OFF);
    return 0;
}
