/* Threads: create, join, mutexes, conditions, thread-local storage, signals to one thread, exit and exec of many. */
#include "check.h"
#include "asleep.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int counter, turn;
static __thread int local = 5;

static void *add(void *argument)
{
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
    }
    local++;
    return (void *)((intptr_t)argument + local);
}

static void joins(void)
{
    enum { COUNT = 8 };
    pthread_t threads[COUNT];
    int good = 1;
    for (intptr_t i = 0; i < COUNT; i++)
        good &= pthread_create(&threads[i], NULL, add, (void *)i) == 0;
    check("create", good);
    for (intptr_t i = 0; i < COUNT; i++) {
        void *result;
        good &= pthread_join(threads[i], &result) == 0 && (intptr_t)result == i + 6;
    }
    check("join; results; thread-local storage", good && local == 5);
    check("a mutex excludes", counter == COUNT * 20000);
}

static void *alternate(void *argument)
{
    int own = (intptr_t)argument;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        while (turn != own)
            pthread_cond_wait(&changed, &lock);
        turn = !own;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void conditions(void)
{
    pthread_t one, two;
    pthread_create(&one, NULL, alternate, (void *)0);
    pthread_create(&two, NULL, alternate, (void *)1);
    pthread_join(one, NULL);
    pthread_join(two, NULL);
    check("conditions take turns", turn == 0);
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += 30000000;
    if (end.tv_nsec >= 1000000000)
        end.tv_sec++, end.tv_nsec -= 1000000000;
    pthread_mutex_lock(&lock);
    check("a condition with a time limit", pthread_cond_timedwait(&changed, &lock, &end) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);
}

static void *tell_ids(void *argument)
{
    int *ids = argument;
    ids[0] = getpid();
    ids[1] = syscall(SYS_gettid);
    return NULL;
}

static void ids(void)
{
    int ids[2];
    pthread_t thread;
    pthread_create(&thread, NULL, tell_ids, ids);
    pthread_join(thread, NULL);
    check("one pid, different tids", ids[0] == getpid() && ids[1] != getpid() && ids[1] > 0);
    check("the first thread's tid is the pid", syscall(SYS_gettid) == getpid());
    check_error("an ended thread gets no signal", syscall(SYS_tgkill, getpid(), ids[1], 0), ESRCH);
}

static volatile pthread_t handled_by;
static volatile int handled;
static sem_t ready, done;

static void note(int number)
{
    (void)number;
    handled_by = pthread_self();
    handled++;
}

static pid_t sleeper;

static void *sleep_until_signal(void *argument)
{
    (void)argument;
    sleeper = gettid();
    sem_post(&ready);
    struct timespec long_time = { 1000, 0 };
    return (void *)(intptr_t)nanosleep(&long_time, NULL);
}

static void signals(void)
{
    struct sigaction action = { .sa_handler = note };
    sigaction(SIGUSR1, &action, NULL);
    sem_init(&ready, 0, 0);
    sem_init(&done, 0, 0);
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, sleep_until_signal, NULL);
    sem_wait(&ready);
    wait_until_asleep(sleeper);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, &result);
    check("a signal for one thread", handled == 1 && pthread_equal(handled_by, thread) && (intptr_t)result == -1);

    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_create(&thread, NULL, sleep_until_signal, NULL);
    sem_wait(&ready);
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    wait_until_asleep(sleeper);
    kill(getpid(), SIGUSR1);
    pthread_join(thread, &result);
    check("a signal for the process goes where it is not blocked", handled == 2 && pthread_equal(handled_by, thread));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void *wait_for_ever(void *argument)
{
    (void)argument;
    sem_post(&ready);
    for (;;)
        pause();
    return NULL;
}

static void *spin(void *argument)
{
    (void)argument;
    sem_post(&ready);
    for (;;)
        ;
    return NULL;
}

static void *end_all(void *argument)
{
    (void)argument;
    _exit(21);
}

static void *execute(void *argument)
{
    (void)argument;
    execl("/proc/self/exe", "threads", "second", NULL);
    return NULL;
}

static void ends(void)
{
    int status;
    pthread_t thread;
    pid_t pid = fork();
    if (pid == 0) {
        sem_init(&ready, 0, 0);
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        pthread_create(&thread, NULL, spin, NULL);
        sem_wait(&ready);
        sem_wait(&ready);
        pthread_create(&thread, NULL, end_all, NULL);
        for (;;)
            pause();
    }
    check("exit_group ends threads in every state", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 21);

    pid = fork();
    if (pid == 0) {
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        pthread_create(&thread, NULL, spin, NULL);
        for (;;)
            pause();
    }
    usleep(20000);
    kill(pid, SIGKILL);
    check("SIGKILL ends all threads", waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);

    pid = fork();
    if (pid == 0) {
        sem_init(&ready, 0, 0);
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        sem_wait(&ready);
        pthread_create(&thread, NULL, execute, NULL);
        for (;;)
            pause();
    }
    check("exec from another thread takes over the pid", waitpid(pid, &status, 0) == pid && WIFEXITED(status)
          && WEXITSTATUS(status) == 33);

    pid = fork();
    if (pid == 0) {
        pthread_create(&thread, NULL, sleep_until_signal, NULL);
        syscall(SYS_exit, 3);
    }
    check("the first thread ends first: the process lives on", waitpid(pid, &status, WNOHANG) == 0);
    kill(pid, SIGTERM);
    check("and dies of a signal", waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

    pid = fork();
    if (pid == 0) {
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        usleep(10000);
        raise(SIGSTOP);
        _exit(8);
    }
    check("a stop stops all threads", waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    kill(pid, SIGCONT);
    check("and they go on", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 8);
}

static pthread_mutex_t robust;

static void *die_with_lock(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&robust);
    return NULL;
}

static void robust_mutexes(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    pthread_t thread;
    pthread_create(&thread, NULL, die_with_lock, NULL);
    pthread_join(thread, NULL);
    check("a robust mutex survives its owner", pthread_mutex_lock(&robust) == EOWNERDEAD);
    check("and is made consistent", pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
}

static void *tiny(void *argument)
{
    return argument;
}

static void many(void)
{
    int good = 1;
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        good &= pthread_create(&thread, NULL, tiny, NULL) == 0 && pthread_join(thread, NULL) == 0;
    }
    check("300 threads one after the other", good);
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "second") == 0)
        return syscall(SYS_gettid) == getpid() ? 33 : 34;
    joins();
    conditions();
    ids();
    signals();
    ends();
    robust_mutexes();
    many();
    return finish();
}
