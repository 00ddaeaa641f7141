/* Real-time threads that never sleep, one on every CPU, leave a part of each second to others (sched(7), "Limiting the
 * CPU usage of real-time and deadline processes"): without that the fair thread that ends them would never run. */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define MOST_CPUS 64

static atomic_int spinning;
static atomic_bool is_over;

static void *spin(void *refused)
{
    struct sched_param parameter = {.sched_priority = 10};
    atomic_fetch_add(&spinning, 1);
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameter) != 0)
        return refused;
    while (!atomic_load(&is_over)) {
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[MOST_CPUS];
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count > MOST_CPUS)
        count = MOST_CPUS;
    for (long index = 0; index < count; index++)
        check("a thread to spin", pthread_create(&threads[index], NULL, spin, &spinning) == 0);
    while (atomic_load(&spinning) < count)
        sched_yield();

    struct timespec pause = {.tv_nsec = 100000000};
    for (int turn = 0; turn < 5; turn++)
        check("a fair thread sleeps and wakes", nanosleep(&pause, NULL) == 0);
    atomic_store(&is_over, 1);
    for (long index = 0; index < count; index++) {
        void *refused;
        check("a spinning thread ends", pthread_join(threads[index], &refused) == 0 && refused == NULL);
    }
    return finish();
}
