/* Many threads at once: creation, locks of each kind, conditions, barriers, cancellation, signals, exec and exit from a
 * thread while others sleep in all sorts of ways. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8

static int created;

static void *count_me(void *argument)
{
    __atomic_add_fetch(&created, 1, __ATOMIC_SEQ_CST);
    return argument;
}

static void creation(void)
{
    pthread_t threads[100];
    int wrong = 0;
    for (int round = 0; round < 10; round++) {
        for (long i = 0; i < 100; i++)
            wrong += pthread_create(&threads[i], NULL, count_me, (void *)i) != 0;
        for (long i = 0; i < 100; i++) {
            void *result;
            wrong += pthread_join(threads[i], &result) != 0 || result != (void *)i;
        }
    }
    check("1,000 threads begin and end", created == 1000 && wrong == 0);
}

struct counter {
    pthread_mutex_t mutex;
    long value, rounds;
};

static void *add(void *argument)
{
    struct counter *counter = argument;
    for (long i = 0; i < counter->rounds; i++) {
        if (pthread_mutex_lock(&counter->mutex))
            return argument;
        counter->value++;
        if (i % 64 == 0)
            sched_yield();
        pthread_mutex_unlock(&counter->mutex);
    }
    return NULL;
}

static long wrong_counts(struct counter *counter)
{
    pthread_t threads[THREADS];
    void *result;
    long wrong = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, add, counter);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        wrong += result != NULL;
    }
    return wrong + labs(counter->value - THREADS * counter->rounds);
}

static void locks(void)
{
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
    for (int kind = 0; kind < 12; kind++) {
        pthread_mutexattr_t attributes;
        struct counter counter = {.rounds = 1000};
        char name[64];
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, types[kind % 3]);
        if (kind / 3 & 1)
            pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        if (kind / 6)
            pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
        pthread_mutex_init(&counter.mutex, &attributes);
        snprintf(name, sizeof name, "a mutex of type %d%s%s", types[kind % 3], kind / 3 & 1 ? ", robust" : "",
                 kind / 6 ? ", inheriting" : "");
        check(name, wrong_counts(&counter) == 0);
        pthread_mutex_destroy(&counter.mutex);
    }
}

#define ITEMS 4000
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t filled, emptied;
    int items[16], count, taken;
    long sum;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, 0, 0, 0};

static void *produce(void *argument)
{
    for (int i = 0; i < ITEMS; i++) {
        pthread_mutex_lock(&queue.mutex);
        while (queue.count == 16)
            pthread_cond_wait(&queue.emptied, &queue.mutex);
        queue.items[queue.count++] = i;
        pthread_cond_signal(&queue.filled);
        pthread_mutex_unlock(&queue.mutex);
    }
    return argument;
}

static void *consume(void *argument)
{
    for (;;) {
        pthread_mutex_lock(&queue.mutex);
        while (queue.count == 0 && queue.taken < 4 * ITEMS)
            pthread_cond_wait(&queue.filled, &queue.mutex);
        if (queue.taken == 4 * ITEMS) {
            pthread_cond_broadcast(&queue.filled);
            pthread_mutex_unlock(&queue.mutex);
            return argument;
        }
        queue.sum += queue.items[--queue.count];
        queue.taken++;
        pthread_cond_signal(&queue.emptied);
        pthread_mutex_unlock(&queue.mutex);
    }
}

static void conditions(void)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, i % 2 ? produce : consume, NULL);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    check("what four put in, four take out", queue.taken == 4 * ITEMS && queue.sum == 4L * ITEMS * (ITEMS - 1) / 2);
}

static pthread_barrier_t barrier;
static int phase[THREADS], serial, out_of_step;

static void *keep_step(void *argument)
{
    int mine = (int)(intptr_t)argument;
    for (int i = 1; i <= 300; i++) {
        phase[mine] = i;
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            serial++;
        for (int other = 0; other < THREADS; other++)
            if (phase[other] < i)
                out_of_step = 1;
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void barriers(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, keep_step, (void *)(intptr_t)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    check("a barrier keeps all in step", !out_of_step && serial == 300);
}

struct shared {
    struct counter counter;
    sem_t ready, go;
};

static void between_processes(void)
{
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&shared->counter.mutex, &attributes);
    sem_init(&shared->ready, 1, 0);
    sem_init(&shared->go, 1, 0);
    shared->counter.rounds = 500;
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            sem_post(&shared->ready);
            sem_wait(&shared->go);
            pthread_t thread;
            pthread_create(&thread, NULL, add, &shared->counter);
            add(&shared->counter);
            pthread_join(thread, NULL);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++)
        sem_wait(&shared->ready);
    for (int i = 0; i < 4; i++)
        sem_post(&shared->go);
    for (int i = 0; i < 4; i++)
        wait(NULL);
    check("four processes of two threads share a mutex", shared->counter.value == 4 * 2 * 500);
    munmap(shared, sizeof *shared);
}

static int pipes[2];
static sem_t never;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t silent = PTHREAD_COND_INITIALIZER;

static void unlock_held(void *argument)
{
    (void)argument;
    pthread_mutex_unlock(&held);
}

static void *sleep_in(void *way)
{
    char byte;
    struct pollfd entry = {pipes[0], POLLIN, 0};
    switch ((int)(intptr_t)way % 6) {
    case 0:
        return (void *)(intptr_t)read(pipes[0], &byte, 1);
    case 1:
        return (void *)(intptr_t)poll(&entry, 1, -1);
    case 2:
        return (void *)(intptr_t)sem_wait(&never);
    case 3:
        return (void *)(intptr_t)pause();
    case 4:
        return (void *)(intptr_t)sleep(1000);
    default:
        pthread_mutex_lock(&held);
        pthread_cleanup_push(unlock_held, NULL);
        for (;;)
            pthread_cond_wait(&silent, &held);
        pthread_cleanup_pop(1);
    }
    return NULL;
}

static void cancellation(void)
{
    int left = 0;
    for (int round = 0; round < 20; round++) {
        pthread_t threads[12];
        void *result;
        for (int i = 0; i < 12; i++)
            pthread_create(&threads[i], NULL, sleep_in, (void *)(intptr_t)i);
        if (round % 2)
            usleep(1000);
        for (int i = 0; i < 12; i++)
            pthread_cancel(threads[i]);
        for (int i = 0; i < 12; i++) {
            pthread_join(threads[i], &result);
            left += result != PTHREAD_CANCELED;
        }
    }
    check("sleeping threads are cancelled", left == 0);
    check("their mutex is free", pthread_mutex_trylock(&held) == 0);
    pthread_mutex_unlock(&held);
}

static int handled, stop;
static struct counter under_signals;

static void on_signal(int signal)
{
    (void)signal;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void *work(void *argument)
{
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&under_signals.mutex);
        under_signals.value++;
        pthread_mutex_unlock(&under_signals.mutex);
        __atomic_add_fetch((long *)argument, 1, __ATOMIC_SEQ_CST);
        usleep(1);
    }
    return NULL;
}

static void signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t threads[THREADS];
    long rounds = 0;
    int sent = 0;
    sigset_t set;
    sigaction(SIGRTMIN, &action, NULL);
    pthread_mutex_init(&under_signals.mutex, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, &rounds);
    unsigned random = 1;
    for (int i = 0; i < 2000; i++) {
        random = random * 1103515245 + 12345;
        sent += pthread_kill(threads[random >> 16 & 7], SIGRTMIN) == 0;
        if (i % 20 == 0)
            sched_yield();
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    sigemptyset(&set);
    check("each signal was handled", sent == handled && sent == 2000);
    check("no round was lost", under_signals.value == rounds);
}

/* Known early: /proc/self shows nothing of a process whose first thread has ended. */
static char program[256];

static void *execute(void *argument)
{
    usleep(1000);
    execl(program, "torture", argument, (char *)NULL);
    return NULL;
}

static void *leave(void *argument)
{
    usleep(1000);
    exit((int)(intptr_t)argument);
}

static void *fork_and_wait(void *argument)
{
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    return argument;
}

/* Sleeping threads of all sorts, and `act` in one more; returns the wait status. */
static int status_with(void *(*act)(void *), void *argument, int signal)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        for (intptr_t i = 0; i < 12; i++)
            pthread_create(&thread, NULL, sleep_in, (void *)i);
        if (act)
            pthread_create(&thread, NULL, act, argument);
        if (signal == 0)
            pthread_exit(NULL);
        for (;;)
            pause();
    }
    if (signal) {
        usleep(5000);
        kill(pid, signal);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static void *end_quietly(void *argument)
{
    usleep(1000);
    syscall(SYS_exit_group, 9);
    return argument;
}

static void ends(void)
{
    int wrong = 0;
    for (int round = 0; round < 5; round++) {
        wrong += status_with(execute, "check", 0) != 42 << 8;
        wrong += status_with(leave, (void *)43, 0) != 43 << 8;
        wrong += status_with(end_quietly, NULL, 0) != 9 << 8;
        wrong += status_with(NULL, NULL, SIGKILL) != SIGKILL;
        wrong += status_with(NULL, NULL, SIGTERM) != SIGTERM;
    }
    check("exec, exit and death among sleeping threads", wrong == 0);

    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, fork_and_wait, NULL);
        usleep(20000);
        exit(5);
    }
    int status;
    waitpid(pid, &status, 0);
    check("exit while a thread waits for its vfork child", status == 5 << 8);
}

int main(int argc, char **argv)
{
    /* After exec from a thread: alone, and with the process' id. */
    if (argc > 1)
        return strcmp(argv[1], "check") == 0 && getpid() == syscall(SYS_gettid) ? 42 : 1;
    if (pipe(pipes) || readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        return 2;
    creation();
    locks();
    conditions();
    barriers();
    between_processes();
    cancellation();
    signals();
    ends();
    return finish();
}
