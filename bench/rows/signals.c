/* Signals. */
#include "rows.h"
#include <signal.h>

static void ignore(int signal)
{
    (void)signal;
}

static uint64_t install(unsigned count)
{
    struct sigaction action = {.sa_handler = ignore};
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    return REPEAT(count, sigaction(SIGUSR1, &action, NULL));
}

static uint64_t deliver(unsigned count)
{
    must(signal(SIGUSR1, ignore) != SIG_ERR);
    pid_t self = getpid();
    return REPEAT(count, kill(self, SIGUSR1));
}

const struct row signals[] = {
    {"signal-install", install, 10000},
    {"signal-deliver", deliver, 5000},
    {0},
};
