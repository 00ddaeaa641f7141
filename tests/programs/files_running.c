/* A program that runs is not written to, and what is written to does not run. */
#include "files.h"

int main(int argc, char **arguments)
{
    if (argc > 1) {
        /* The copy: waits until its input ends. */
        char byte;
        return read(0, &byte, 1) == 0 ? 7 : 1;
    }
    (void)arguments;
    enter_tmpfs();
    int out = copy("/proc/self/exe", "program");
    char *words[] = {"program", "wait", NULL}, *none[] = {NULL};
    check_error("open for writing", execve("program", words, none), ETXTBSY);
    close(out);

    int ends[2], started[2], status = 0;
    check("pipe", pipe(ends) == 0 && pipe2(started, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[0], 0);
        close(ends[0]), close(ends[1]);
        execve("program", words, none);
        _exit(99);
    }
    close(ends[0]), close(started[1]);
    int fd;
    char byte;
    check("it runs", read(started[0], &byte, 1) == 0); /* exec closed the other end */
    check_error("write while it runs", open("program", O_WRONLY), ETXTBSY);
    check_error("read and write", open("program", O_RDWR), ETXTBSY);
    check_error("O_TRUNC", open("program", O_WRONLY | O_TRUNC), ETXTBSY);
    check_error("truncate", truncate("program", 0), ETXTBSY);
    fd = open("program", O_RDONLY);
    check("reading is fine", fd >= 0);
    close(fd);
    check("so are attributes and names", chmod("program", 0700) == 0 && rename("program", "other") == 0);
    close(ends[1]);
    check("it ends", waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    check("then it can be written", (fd = open("other", O_RDWR | O_TRUNC)) >= 0);
    close(fd);
    leave_tmpfs();
    return finish();
}
