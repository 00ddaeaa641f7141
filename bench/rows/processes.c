/* Processes and threads: beginning, ending, and starting programs. */
#include "rows.h"
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

static uint64_t fork_exit(unsigned count)
{
    return REPEAT(count, {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        must(waitpid(child, NULL, 0) == child);
    });
}

static void execute(char *const words[])
{
    execv(words[0], words);
    _exit(127);
}

/* A child, made by `fork` or `vfork`, that executes a program; waits for its end. */
#define START(how, ...)                                                                                                \
    ({                                                                                                                 \
        pid_t child = how();                                                                                           \
        if (child == 0)                                                                                                \
            execute((char *const[]){__VA_ARGS__, NULL});                                                               \
        int status = -1;                                                                                               \
        must(waitpid(child, &status, 0) == child && status == 0);                                                      \
    })

static uint64_t vfork_exec(unsigned count)
{
    return REPEAT(count, START(vfork, "/bench/static"));
}

static uint64_t exec_static(unsigned count)
{
    return REPEAT(count, START(fork, "/bench/static"));
}

static uint64_t exec_dynamic(unsigned count)
{
    return REPEAT(count, START(fork, "/bench/dynamic"));
}

static uint64_t shell(unsigned count)
{
    return REPEAT(count, START(fork, "/bin/sh", "-c", "for i in 1 2 3; do echo $i; done | cat > /dev/null"));
}

static void *nothing(void *argument)
{
    return argument;
}

static uint64_t thread(unsigned count)
{
    return REPEAT(count, {
        pthread_t thread;
        must(pthread_create(&thread, NULL, nothing, NULL) == 0);
        must(pthread_join(thread, NULL) == 0);
    });
}

const struct row processes[] = {
    {"thread", thread, 500},
    {"fork-exit", fork_exit, 200},
    {"vfork-exec", vfork_exec, 100},
    {"fork-exec-static", exec_static, 100},
    {"fork-exec-dynamic", exec_dynamic, 50},
    {"shell", shell, 20},
    {0},
};
