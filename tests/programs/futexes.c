/* futex(2) and what C libraries make of it: threads, mutexes, condition variables, robust mutexes. */
#include "check.h"
#include "asleep.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int words[4];

static long futex(int *word, int operation, int value, const void *limit, int *second, int value3)
{
    return syscall(SYS_futex, word, operation, value, limit, second, value3);
}

static void pause_ms(int ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static void errors(void)
{
    struct timespec limit = {0, 20000000}, bad = {0, 1000000000}, past = {0, 1};
    check_error("the word differs", futex(words, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
    check_error("timeout", futex(words, FUTEX_WAIT_PRIVATE, 0, &limit, NULL, 0), ETIMEDOUT);
    check_error("no such time", futex(words, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
    check_error("not aligned", futex((int *)((char *)words + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    check_error("not mapped", futex((int *)8, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    check_error("no user memory", futex((int *)-4, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
    check_error("nor if private", futex((int *)-4, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), EFAULT);
    check_error("no bits", futex(words, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    check_error("no bits to wake", futex(words, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
    check_error("absolute, long past", futex(words, FUTEX_WAIT_BITSET, 0, &past, NULL, -1), ETIMEDOUT);
    check_error("by the wall clock", futex(words, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, -1),
                ETIMEDOUT);
    check_error("unknown operation", futex(words, 77, 0, NULL, NULL, 0), ENOSYS);
    check("nobody to wake", futex(words, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
}

static int woken;

static void *wait_on(void *word)
{
    if (futex(word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == 0)
        __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *wait_for_bit(void *bit)
{
    futex(words, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (int)(intptr_t)bit);
    __atomic_add_fetch(&woken, (int)(intptr_t)bit, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Whether `count` have woken by now, or do within ten seconds; more have had a moment to. */
static int woke(int count)
{
    for (int tries = 0; __atomic_load_n(&woken, __ATOMIC_SEQ_CST) < count && tries < 1000; tries++)
        pause_ms(10);
    pause_ms(50);
    return __atomic_load_n(&woken, __ATOMIC_SEQ_CST) == count;
}

static void waking(void)
{
    pthread_t threads[4];
    woken = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, wait_on, words);
    wait_until_others_sleep();
    check("wake one", futex(words, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
    check("one woke", woke(1));
    check("another word wakes none", futex(words + 1, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 0);
    check_error("requeue if unchanged", futex(words, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1, words + 1, 7), EAGAIN);
    check("requeue", futex(words, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)9, words + 1, 0) == 3);
    check("one woke, two moved", woke(2));
    check("none left here", futex(words, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 0);
    check("two there", futex(words + 1, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 2);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    check("all woke", woken == 4);

    woken = 0;
    pthread_create(&threads[0], NULL, wait_for_bit, (void *)1);
    pthread_create(&threads[1], NULL, wait_for_bit, (void *)2);
    wait_until_others_sleep();
    check("wake by bit", futex(words, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 2) == 1);
    pthread_join(threads[1], NULL);
    check("the right one", woken == 2);
    futex(words, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0);
    pthread_join(threads[0], NULL);

    pthread_create(&threads[0], NULL, wait_on, words);
    pthread_create(&threads[1], NULL, wait_on, words + 1);
    wait_until_others_sleep();
    words[1] = 0;
    int operation = FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0);
    check("wake op", futex(words, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, words + 1, operation) == 2);
    check("changes the word", words[1] == 5);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    words[1] = 0;
}

static volatile sig_atomic_t signals;

static void on_signal(int signal)
{
    (void)signal;
    signals++;
}

static void interrupted(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct timespec limit = {50, 0};
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    check_error("a signal ends the wait", futex(words, FUTEX_WAIT, 0, &limit, NULL, 0), EINTR);
}

static void between_processes(void)
{
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0) != 0);
    int count = 0;
    for (int i = 0; i < 500 && count == 0; i++) {
        pause_ms(10);
        count = futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
    int status;
    waitpid(pid, &status, 0);
    check("shared memory", count == 1 && status == 0);

    pid = fork();
    if (pid == 0) {
        struct timespec limit = {0, 200000000};
        _exit(futex(words, FUTEX_WAIT, 0, &limit, NULL, 0) != -1 || errno != ETIMEDOUT);
    }
    pause_ms(100);
    check("private memory of another", futex(words, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    waitpid(pid, &status, 0);
    check("was not woken", status == 0);
    munmap(shared, 4096);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long total;
static int turn;

static void *add(void *argument)
{
    (void)argument;
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&mutex);
        total++;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void *take_turns(void *argument)
{
    int mine = (int)(intptr_t)argument;
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 3 != mine)
            pthread_cond_wait(&condition, &mutex);
        turn++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void *die_holding(void *robust)
{
    pthread_mutex_lock(robust);
    return NULL;
}

static void libraries(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    check("a mutex", total == 80000);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, take_turns, (void *)(intptr_t)i);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    check("a condition", turn == 3000);

    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec += 30000000;
    if (limit.tv_nsec >= 1000000000) {
        limit.tv_nsec -= 1000000000;
        limit.tv_sec++;
    }
    pthread_mutex_lock(&mutex);
    check("a condition with a limit", pthread_cond_timedwait(&condition, &mutex, &limit) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);

    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    static pthread_mutex_t robust;
    pthread_mutex_init(&robust, &attributes);
    pthread_create(&threads[0], NULL, die_holding, &robust);
    pthread_join(threads[0], NULL);
    check("the owner of a robust mutex died", pthread_mutex_lock(&robust) == EOWNERDEAD);
    pthread_mutex_consistent(&robust);
    check("repaired", pthread_mutex_unlock(&robust) == 0 && pthread_mutex_lock(&robust) == 0);

    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_t *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutex_init(shared, &attributes);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(shared);
        pause_ms(100);
        kill(getpid(), SIGKILL);
    }
    pause_ms(50);
    check("so did a process", pthread_mutex_lock(shared) == EOWNERDEAD);
    waitpid(pid, NULL, 0);
}

static void bad_lists(void)
{
    const long heads[] = {8, -4096, -16, -8, -1};
    int wrong = 0;
    for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            syscall(SYS_set_robust_list, heads[i], 24);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        wrong += status != 0;
    }
    check("a robust list that is none harms nobody", wrong == 0);
}

int main(void)
{
    errors();
    bad_lists();
    waking();
    interrupted();
    between_processes();
    libraries();
    return finish();
}
