// Threads on several CPUs: where they run, that they run at the same time, and that time is the same for all. On one CPU
// the first holds, the second is left out.
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Many times the same: only failures are worth a line.
#define CHECK(condition) \
    do \
        if (!(condition)) \
            failures++, printf("FAILED line %d: %s\n", __LINE__, #condition); \
    while (0)

static cpu_set_t all;

static cpu_set_t only(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return set;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int64_t now_by_kernel(void) {
    struct timespec time;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static unsigned cpu_by_kernel(void) {
    unsigned cpu = -1;
    syscall(SYS_getcpu, &cpu, NULL, NULL);
    return cpu;
}

static void goes_where_it_may(void) {
    for (int round = 0; round < 50; round++)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &all)) {
                cpu_set_t set = only(cpu);
                CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
                CHECK(sched_getcpu() == cpu);
                CHECK(cpu_by_kernel() == (unsigned)cpu);
            }
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
}

static atomic_int place = -1, stop;

static void *tell_place(void *unused) {
    (void)unused;
    while (!stop)
        place = sched_getcpu();
    return NULL;
}

static void goes_where_it_is_sent(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, tell_place, NULL) == 0);
    for (int round = 0; round < 20; round++)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &all)) {
                cpu_set_t set = only(cpu);
                CHECK(pthread_setaffinity_np(thread, sizeof set, &set) == 0);
                while (place != cpu)
                    sched_yield();
            }
    stop = 1;
    CHECK(pthread_join(thread, NULL) == 0);
}

static _Atomic int64_t latest;
static atomic_int went_back;

static void *watch_clock(void *by_kernel) {
    for (int round = 0; round < 20000; round++) {
        int64_t seen = latest;
        int64_t time = by_kernel ? now_by_kernel() : now();
        if (time < seen)
            went_back++;
        while (seen < time && !atomic_compare_exchange_weak(&latest, &seen, time))
            ;
    }
    return NULL;
}

static void time_does_not_go_back(void) {
    pthread_t threads[8];
    for (long i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, watch_clock, (void *)(i & 1)) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(went_back == 0);
}

static void *work(void *unused) {
    (void)unused;
    for (volatile int i = 0; i < 10000000; i++)
        ;
    return NULL;
}

static int64_t time_of(int count) {
    pthread_t threads[2];
    int64_t start = now();
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return now() - start;
}

// A busy host takes time from any of them, so one good try out of many is enough: on one CPU there would be none.
static void two_take_no_longer_than_one(void) {
    if (CPU_COUNT(&all) < 2)
        return;
    int is_good = 0;
    for (int try = 0; try < 30 && !is_good; try++) {
        int64_t one = time_of(1), two = time_of(2);
        is_good = two < one * 3 / 2;
    }
    check("two busy threads run at the same time", is_good);
}

int main(void) {
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    goes_where_it_may();
    check("goes where it may", failures == 0);
    goes_where_it_is_sent();
    check("goes where it is sent", failures == 0);
    time_does_not_go_back();
    check("time does not go back", failures == 0);
    two_take_no_longer_than_one();
    return finish();
}
