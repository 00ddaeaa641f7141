/* epoll(7): who is woken. Several instances with EPOLLEXCLUSIVE, several threads in one instance; deep nesting. */
#define _GNU_SOURCE
#include "check.h"
#include "asleep.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREADS 4

static int instances[THREADS], event, stop;
static atomic_int woken;

/* Waits in an instance once, and says whether it was for the event. */
static void *waiter(void *argument)
{
    struct epoll_event got;
    int count = epoll_wait(*(int *)argument, &got, 1, -1);
    if (count == 1 && got.data.fd == event)
        woken++;
    return NULL;
}

static void settle(int wanted)
{
    for (int tries = 0; woken < wanted && tries < 1000; tries++)
        usleep(2000);
    /* Whoever wakes too much has had time to. */
    usleep(100000);
}

/* Starts the waiters, writes to the event, and returns how many woke; then ends all. */
static int how_many_wake(int *of_thread[THREADS], int wanted)
{
    pthread_t threads[THREADS];
    uint64_t one = 1;
    woken = 0;
    for (int index = 0; index < THREADS; index++)
        pthread_create(&threads[index], NULL, waiter, of_thread[index]);
    wait_until_others_sleep();
    write(event, &one, sizeof one);
    settle(wanted);
    int result = woken;
    write(stop, &one, sizeof one);
    for (int index = 0; index < THREADS; index++)
        pthread_join(threads[index], NULL);
    read(event, &one, sizeof one);
    read(stop, &one, sizeof one);
    return result;
}

static void watch(unsigned bits)
{
    for (int index = 0; index < THREADS; index++) {
        struct epoll_event entry = {.events = bits, .data.fd = event}, end = {.events = EPOLLIN, .data.fd = stop};
        instances[index] = epoll_create1(0);
        epoll_ctl(instances[index], EPOLL_CTL_ADD, event, &entry);
        epoll_ctl(instances[index], EPOLL_CTL_ADD, stop, &end);
    }
}

static void unwatch(void)
{
    for (int index = 0; index < THREADS; index++)
        close(instances[index]);
}

static void nesting(void)
{
    int chain[7];
    struct epoll_event entry = {.events = EPOLLIN};
    for (int index = 0; index < 7; index++)
        chain[index] = epoll_create1(0);
    check("an instance in another", epoll_ctl(chain[0], EPOLL_CTL_ADD, chain[1], &entry) == 0);
    check_error("not the other way too", epoll_ctl(chain[1], EPOLL_CTL_ADD, chain[0], &entry), ELOOP);
    check_error("not itself", epoll_ctl(chain[0], EPOLL_CTL_ADD, chain[0], &entry), EINVAL);
    epoll_ctl(chain[1], EPOLL_CTL_ADD, chain[2], &entry);
    epoll_ctl(chain[2], EPOLL_CTL_ADD, chain[3], &entry);
    epoll_ctl(chain[3], EPOLL_CTL_ADD, event, &entry);
    uint64_t one = 1;
    struct pollfd poller = {chain[0], POLLIN, 0};
    check("nothing inside", poll(&poller, 1, 0) == 0);
    write(event, &one, sizeof one);
    check("something deep inside", poll(&poller, 1, 0) == 1 && epoll_wait(chain[0], &entry, 1, 0) == 1);
    read(event, &one, sizeof one);
    check("nothing again", epoll_wait(chain[0], &entry, 1, 0) == 0);
    for (int index = 0; index < 7; index++)
        close(chain[index]);
}

static void many(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int count = limit.rlim_cur > 3000 ? 3000 : limit.rlim_cur - 50, epoll = epoll_create1(0), added = 0;
    static int fds[3000];
    struct epoll_event entry, got[8];
    for (int index = 0; index < count; index++) {
        fds[index] = eventfd(0, EFD_NONBLOCK);
        entry.events = EPOLLIN, entry.data.u32 = index;
        added += epoll_ctl(epoll, EPOLL_CTL_ADD, fds[index], &entry) == 0;
    }
    check("thousands", added == count);
    uint64_t one = 1;
    int right = 0;
    for (int index = 0; index < count; index += 7) {
        write(fds[index], &one, sizeof one);
        right += epoll_wait(epoll, got, 8, 0) == 1 && got[0].data.u32 == (unsigned)index;
        read(fds[index], &one, sizeof one);
    }
    check("each found", right == (count + 6) / 7);
    check("none left", epoll_wait(epoll, got, 8, 0) == 0);
    for (int index = 0; index < count; index++)
        close(fds[index]);
    close(epoll);
}

int main(void)
{
    event = eventfd(0, 0);
    stop = eventfd(0, 0);
    int *own[THREADS], *shared[THREADS];
    for (int index = 0; index < THREADS; index++)
        own[index] = &instances[index], shared[index] = &instances[0];

    watch(EPOLLIN);
    check("usually all instances wake", how_many_wake(own, THREADS) == THREADS);
    unwatch();
    watch(EPOLLIN | EPOLLEXCLUSIVE);
    check("of exclusive ones one", how_many_wake(own, 1) == 1);
    unwatch();
    watch(EPOLLIN | EPOLLET);
    check("of the threads of one instance one, edge-triggered", how_many_wake(shared, 1) == 1);
    unwatch();
    watch(EPOLLIN);
    check("and one after the other, level-triggered", how_many_wake(shared, THREADS) == THREADS);
    unwatch();
    nesting();
    many();
    struct epoll_event entry = {.events = EPOLLIN};
    int epoll = epoll_create1(0), file = open("/proc/self/exe", O_RDONLY);
    check_error("not a regular file", epoll_ctl(epoll, EPOLL_CTL_ADD, file, &entry), EPERM);
    return finish();
}
