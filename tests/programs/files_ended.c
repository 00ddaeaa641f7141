/* Who has ended uses nothing any more: what it ran, had open and was in can be unmounted at once. */
#include "files.h"
#include <pthread.h>
#include <sys/mman.h>

static void *other(void *unused)
{
    (void)unused;
    return NULL;
}

int main(int argc, char **arguments)
{
    if (argc > 1) {
        /* The copy: in the mount it is, has it open and mapped, and has threads, one of which may outlive the first. */
        pthread_t thread;
        int fd = open("program", O_RDONLY);
        int bad = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED;
        bad |= pthread_create(&thread, NULL, other, NULL) || pthread_create(&thread, NULL, other, NULL);
        _exit(bad ? 1 : 7);
    }
    (void)arguments;
    int busy = 0, wrong = 0, zombie_busy = 0;
    mkdir("files", 0755);
    for (int turn = 0; turn < 200; turn++) {
        wrong += mount("files", "files", "tmpfs", 0, "mode=755") != 0 || close(copy("/proc/self/exe", "files/program")) != 0;
        pid_t pid = fork();
        if (pid == 0) {
            char *words[] = {"program", "wait", NULL}, *none[] = {NULL};
            chdir("files");
            execve("program", words, none);
            _exit(99);
        }
        int status = 0;
        if (turn % 2) {
            wrong += waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7;
            busy += umount("files") != 0;
        } else {
            siginfo_t info;
            wrong += waitid(P_PID, pid, &info, WEXITED | WNOWAIT) != 0 || info.si_status != 7;
            zombie_busy += umount("files") != 0;
            wrong += waitpid(pid, &status, 0) != pid;
        }
    }
    check("all went as it should", wrong == 0);
    check("a process that was waited for uses nothing", busy == 0);
    check("nor does one that waits to be", zombie_busy == 0);
    rmdir("files");
    return finish();
}
