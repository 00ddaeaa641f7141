/* Futexes with an owner (LOCK_PI and its kin): ownership, hand-over, inheritance of priority, the owner's death, requeueing
 * to them; and futex_waitv(2), which waits for several words. */
#include "check.h"
#include "asleep.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
#define OWNER_BITS 0x3fffffffu

static uint32_t word, other, condition;

static long futex(uint32_t *address, int operation, uint32_t value, const void *limit, uint32_t *second, uint32_t value3)
{
    return syscall(SYS_futex, address, operation, value, limit, second, value3);
}

static uint32_t tid(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

/* Not sched_yield: with a priority lent, that lets no ordinary thread run. */
static void nap(void)
{
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL);
}

/* Waits until the thread has told its id, and sleeps. */
static void wait_until_waiting(volatile uint32_t *id)
{
    while (*id == 0)
        nap();
    wait_until_asleep(*id);
}

static void ownership(void)
{
    struct timespec past = {1, 0}, bad = {0, -1};
    check("lock a free one", futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0);
    check("the word names its owner", word == tid());
    check_error("twice", futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
    check_error("try twice", futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
    check("unlock", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0 && word == 0);
    check_error("unlock a free one", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), EPERM);
    check("try a free one", futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0 && word == tid());
    word = 0x3ffffff0;
    check_error("an owner that there is not", futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), ESRCH);
    check_error("not my own", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), EPERM);
    word = 0;
    check("by the monotonic clock", futex(&word, FUTEX_LOCK_PI2 | FUTEX_PRIVATE_FLAG, 0, &past, NULL, 0) == 0);
    word = 0;
    check_error("no such time", futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, &bad, NULL, 0), EINVAL);
    check_error("no wall clock", futex(&word, FUTEX_LOCK_PI_PRIVATE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
    check_error("not mapped", futex((uint32_t *)8, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EFAULT);
    check_error("not aligned", futex((uint32_t *)2, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EINVAL);
    word = FUTEX_OWNER_DIED;
    check("the owner died", futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0);
    check("the word says so", word == (tid() | FUTEX_OWNER_DIED));
    word = 0;
}

struct locker {
    uint32_t *word;
    struct timespec *limit;
    int priority;
    volatile uint32_t id;
    long result;
    int error;
    uint32_t value;
    int turn;
};

static int turns;

static void *lock_and_note(void *argument)
{
    struct locker *self = argument;
    if (self->priority) {
        struct sched_param parameter = {self->priority};
        syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &parameter);
    }
    self->id = tid();
    self->result = futex(self->word, FUTEX_LOCK_PI_PRIVATE, 0, self->limit, NULL, 0);
    self->error = errno;
    self->value = *self->word;
    if (self->result == 0) {
        self->turn = ++turns;
        futex(self->word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    }
    return NULL;
}

static void hand_over(void)
{
    pthread_t threads[3];
    struct locker lockers[3] = {{.word = &word, .priority = 3}, {.word = &word, .priority = 9}, {.word = &word, .priority = 3}};
    futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, lock_and_note, &lockers[i]);
        wait_until_waiting(&lockers[i].id);
    }
    check("waiters are told of", word == (tid() | FUTEX_WAITERS));
    check("hand over", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    check("all owned it", lockers[0].result == 0 && lockers[1].result == 0 && lockers[2].result == 0);
    check("the most urgent first", lockers[1].turn == 1);
    check("then in order", lockers[0].turn == 2 && lockers[2].turn == 3);
    check("its word named the new owner", (lockers[1].value & OWNER_BITS) == lockers[1].id);
    check("free at the end", word == 0);

    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec++;
    struct locker late = {.word = &word, .limit = &soon};
    futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    pthread_create(&threads[0], NULL, lock_and_note, &late);
    pthread_join(threads[0], NULL);
    check("a limit", late.result == -1 && late.error == ETIMEDOUT);
    check("unlock after it", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0 && word == 0);
}

static void *lock_both(void *argument)
{
    struct locker *self = argument;
    futex(&other, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    return lock_and_note(self);
}

static void circle(void)
{
    pthread_t thread;
    struct locker locker = {.word = &word};
    futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    pthread_create(&thread, NULL, lock_both, &locker);
    wait_until_waiting(&locker.id);
    check_error("a circle of owners", futex(&other, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
    futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    pthread_join(thread, NULL);
    word = other = 0;
}

/* With one CPU: a low owner, a middle spinner that would keep it from running for ever, a high waiter. */
static volatile int spins, locked;

static void *low(void *argument)
{
    (void)argument;
    struct sched_param parameter = {1};
    syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &parameter);
    futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    locked = 1;
    while (!spins)
        nap();
    /* It comes here only by the priority that the high one lends it. */
    futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    return NULL;
}

static void *middle(void *argument)
{
    (void)argument;
    struct sched_param parameter = {5};
    syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &parameter);
    spins = 1;
    while (spins)
        ;
    return NULL;
}

static void inheritance(void)
{
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    struct sched_param parameter = {9};
    sched_setaffinity(0, sizeof first, &first);
    syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &parameter);
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, low, NULL);
    while (!locked)
        nap();
    pthread_create(&threads[1], NULL, middle, NULL);
    while (!spins)
        nap();
    check("the owner runs before one that is more urgent", futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0);
    check("which still runs", spins == 1);
    spins = 0;
    futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    parameter.sched_priority = 0;
    syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &parameter);
}

static void *lock_and_die(void *argument)
{
    struct locker *self = argument;
    futex(self->word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    self->id = tid();
    while (!(*(volatile uint32_t *)self->word & FUTEX_WAITERS))
        nap();
    return NULL;
}

static void death(void)
{
    pthread_t thread;
    struct locker locker = {.word = &word};
    pthread_create(&thread, NULL, lock_and_die, &locker);
    while (locker.id == 0)
        nap();
    check("the owner dies with a waiter", futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0);
    check("the waiter owns it and knows", word == (tid() | FUTEX_OWNER_DIED | FUTEX_WAITERS));
    pthread_join(thread, NULL);
    check("unlock what it left", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0 && word == 0);

    pthread_mutexattr_t attributes;
    static pthread_mutex_t mutex;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check("a robust mutex that inherits", pthread_mutex_init(shared, &attributes) == 0);
    int ready[2];
    if (pipe(ready))
        exit(2);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(shared);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        pause();
    }
    char byte;
    check("locked by a process", read(ready[0], &byte, 1) == 1);
    kill(pid, SIGKILL);
    check("that is killed", pthread_mutex_lock(shared) == EOWNERDEAD);
    waitpid(pid, NULL, 0);
    check("repair", pthread_mutex_consistent(shared) == 0 && pthread_mutex_unlock(shared) == 0);
    check("as new", pthread_mutex_lock(shared) == 0);
    (void)mutex;
}

static void *wait_requeue(void *argument)
{
    struct locker *self = argument;
    self->id = tid();
    self->result = futex(&condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, self->limit, &word, FUTEX_BITSET_MATCH_ANY);
    /* syscall's fifth argument is the word; the bits are not looked at by this operation. */
    self->error = errno;
    self->value = word;
    if (self->result == 0)
        futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    return NULL;
}

static void requeue(void)
{
    pthread_t threads[3];
    struct locker lockers[3] = {{0}};
    check_error("to itself", futex(&word, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, NULL, &word, 1), EINVAL);
    check_error("wakes one", futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 2, (void *)9, &word, 0), EINVAL);
    check("nobody waits", futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)9, &word, 0) == 0);
    check_error("it changed", futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)9, &word, 7), EAGAIN);
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, wait_requeue, &lockers[i]);
        wait_until_waiting(&lockers[i].id);
    }
    futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    check("move all", futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)9, &word, 0) == 3);
    check("still mine", word == (tid() | FUTEX_WAITERS));
    futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++)
        check("owned it", lockers[i].result == 0 && (lockers[i].value & OWNER_BITS) == lockers[i].id);
    check("free again", word == 0);

    for (int i = 0; i < 3; i++) {
        lockers[i] = (struct locker){0};
        pthread_create(&threads[i], NULL, wait_requeue, &lockers[i]);
        wait_until_waiting(&lockers[i].id);
    }
    check("the first takes a free one", futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)1, &word, 0) == 2);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    check("the second after it", lockers[0].result == 0 && lockers[1].result == 0);
    check("the third", futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)0, &word, 0) == 1);
    pthread_join(threads[2], NULL);

    struct timespec past = {1, 0};
    struct locker late = {.limit = &past};
    pthread_create(&threads[0], NULL, wait_requeue, &late);
    pthread_join(threads[0], NULL);
    check("a limit while nobody requeues", late.result == -1 && late.error == ETIMEDOUT);
}

struct wait_entry {
    uint64_t value, address;
    uint32_t flags, reserved;
};

static uint32_t words[3];

static long wait_any(struct wait_entry *entries, unsigned count, unsigned flags, struct timespec *limit, int clock)
{
    return syscall(449, entries, count, flags, limit, clock);
}

static void fill(struct wait_entry *entries)
{
    for (int i = 0; i < 3; i++)
        entries[i] = (struct wait_entry){.address = (uintptr_t)&words[i], .flags = 2 | FUTEX_PRIVATE_FLAG};
}

static void *wait_for_three(void *argument)
{
    struct locker *self = argument;
    struct wait_entry entries[3];
    fill(entries);
    self->id = tid();
    self->result = wait_any(entries, 3, 0, NULL, 0);
    return NULL;
}

static void several(void)
{
    struct wait_entry entries[3];
    struct timespec past = {1, 0};
    fill(entries);
    if (wait_any(entries, 0, 0, NULL, 0) == -1 && errno == ENOSYS)
        return;
    check_error("no words", wait_any(entries, 0, 0, NULL, 0), EINVAL);
    check_error("too many words", wait_any(entries, 129, 0, NULL, 0), EINVAL);
    check_error("flags", wait_any(entries, 3, 1, NULL, 0), EINVAL);
    check_error("no entries", wait_any(NULL, 3, 0, NULL, 0), EINVAL);
    check_error("a clock that cannot be", wait_any(entries, 3, 0, &past, CLOCK_BOOTTIME), EINVAL);
    check_error("past", wait_any(entries, 3, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
    entries[2].flags = FUTEX_PRIVATE_FLAG;
    check_error("a size that cannot be", wait_any(entries, 3, 0, &past, CLOCK_MONOTONIC), EINVAL);
    fill(entries);
    entries[1].value = 1;
    check_error("one differs", wait_any(entries, 3, 0, NULL, 0), EAGAIN);

    pthread_t thread;
    struct locker waiter = {0};
    pthread_create(&thread, NULL, wait_for_three, &waiter);
    wait_until_waiting(&waiter.id);
    check("wake by the second", futex(&words[1], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
    pthread_join(thread, NULL);
    check("says which", waiter.result == 1);
    check("none is left", futex(&words[0], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);

    waiter.id = 0;
    pthread_create(&thread, NULL, wait_for_three, &waiter);
    wait_until_waiting(&waiter.id);
    check("move one of its words", futex(&words[2], FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)1, &other, 0) == 1);
    check("wake by that", futex(&other, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
    pthread_join(thread, NULL);
    check("says which was moved", waiter.result == 2);
}

int main(void)
{
    ownership();
    hand_over();
    circle();
    death();
    requeue();
    several();
    inheritance();
    return finish();
}
