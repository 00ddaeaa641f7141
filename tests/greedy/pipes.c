/* Takes all memory by pipes, as root. Runs in a small guest, not on the build host. */
#include "../programs/check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[1 << 20];

/* Fills pipes until there is no memory or the kernel kills the process for it; counts the bytes in `total`. */
static void fill(size_t *total)
{
    for (int fds[2]; pipe2(fds, O_NONBLOCK) == 0;) {
        fcntl(fds[1], F_SETPIPE_SZ, sizeof buffer);
        for (ssize_t count; (count = write(fds[1], buffer, 4096)) > 0;)
            *total += count;
    }
    _exit(0);
}

static void set_score(const char *score)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    check("oom_score_adj", write(fd, score, strlen(score)) == (ssize_t)strlen(score));
    close(fd);
}

int main(void)
{
    size_t *totals = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(buffer, 1, sizeof buffer);
    for (int round = 0; round < 2; round++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            set_score("1000");
            fill(&totals[round]);
        }
        set_score("-1000");
        check("the greedy one ends", waitpid(child, &status, 0) == child);
        child = fork();
        if (child == 0)
            _exit(7);
        check("others go on", waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    }
    check("memory was filled", totals[0] > 4 << 20);
    check("and is free again", totals[1] + (1 << 20) > totals[0]);
    return finish();
}
