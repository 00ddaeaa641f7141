/* Takes all memory by connections that nobody accepts, whose clients are gone. Runs in a small guest, not on the build
 * host: there a call fails in the end, and nobody is killed for it. */
#include "../programs/sockets.h"
#include <sys/mman.h>

enum { LISTENERS = 500, BACKLOG = 4096, FAILED = 7 };

/* Connects until a call fails for want of memory; counts the connections. */
static int fill(size_t *total)
{
    for (int i = 0; i < LISTENERS; i++) {
        char name[20];
        snprintf(name, sizeof name, "@greedy-%d", i);
        int fd = listener(SOCK_STREAM, name, BACKLOG);
        if (fd < 0)
            return FAILED;
        for (int is_full = 0; !is_full; ++*total) {
            int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (client < 0 || (connect_to(client, name) < 0 && errno != EAGAIN))
                return FAILED;
            is_full = errno == EAGAIN;
            errno = 0;
            close(client);
        }
    }
    return 0;
}

int main(void)
{
    size_t *total = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t bystander = fork();
    if (bystander == 0) {
        size_t size = 4 << 20;
        memset(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, size);
        for (;;)
            pause();
    }
    pid_t child = fork();
    if (child == 0)
        _exit(fill(total));
    check("a call fails", waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == FAILED);
    check("memory was filled", *total > 4096);
    check("nobody was killed", waitpid(bystander, &status, WNOHANG) == 0);
    kill(bystander, SIGKILL);
    check("until now", waitpid(bystander, &status, 0) == bystander && WTERMSIG(status) == SIGKILL);
    return finish();
}
