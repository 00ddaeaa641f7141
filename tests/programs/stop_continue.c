/* SIGSTOP and SIGCONT in quick succession (signal(7)): threads that run on other CPUs all the while go on running. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 3
#define ROUNDS 3000

/* What each thread of the child has counted to. */
static volatile unsigned long *counts;

static void *count(void *place)
{
    for (;;)
        ++*(volatile unsigned long *)place;
    return NULL;
}

static void child(void)
{
    pthread_t thread;
    for (int i = 1; i < THREADS; i++)
        pthread_create(&thread, NULL, count, (void *)&counts[i * 8]);
    count((void *)&counts[0]);
}

/* Waits until each thread has counted on; 0 if one does not within 20 s. */
static int all_run(void)
{
    for (int i = 0; i < THREADS; i++) {
        unsigned long before = counts[i * 8];
        time_t end = time(NULL) + 20;
        while (counts[i * 8] == before) {
            struct timespec pause = {0, 1000000};
            if (time(NULL) > end)
                return 0;
            nanosleep(&pause, NULL);
        }
    }
    return 1;
}

static void *sleep_on(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return NULL;
}

/* A process of many threads is continued and stopped again before they have all woken. */
static void test_second_stop(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        for (int i = 0; i < 15; i++)
            pthread_create(&thread, NULL, sleep_on, NULL);
        sleep_on(NULL);
    }
    alarm(60);
    int status, round, stops = 1;
    for (round = 0; round < 300 && stops; round++) {
        kill(pid, SIGSTOP);
        stops &= waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
        kill(pid, SIGCONT);
        kill(pid, SIGSTOP);
        stops &= waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
        kill(pid, SIGCONT);
    }
    check("a second stop is complete too", stops);
    alarm(0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Nobody hears of a stop that is over. */
static void test_late_news(void)
{
    pid_t pid = fork();
    if (pid == 0)
        sleep_on(NULL);
    int status, late = 0;
    for (int round = 0; round < 300; round++) {
        struct timespec pause = {0, 500000};
        kill(pid, SIGSTOP);
        for (volatile int wait = 0; wait < round * 37 % 4000; wait++)
            ;
        kill(pid, SIGCONT);
        nanosleep(&pause, NULL);
        late += waitpid(pid, &status, WUNTRACED | WNOHANG) != 0;
    }
    check("no news of a stop that is over", late == 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(void)
{
    test_second_stop();
    test_late_news();
    counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0)
        child();
    check("all threads run", all_run());
    int runs = 1, round;
    for (round = 0; round < ROUNDS && runs; round++) {
        kill(pid, SIGSTOP);
        for (volatile int wait = 0; wait < round % 100 * 20; wait++)
            ;
        kill(pid, SIGCONT);
        runs = round % 100 || all_run();
    }
    check("they go on after each stop", runs);
    int status;
    kill(pid, SIGKILL);
    check("SIGKILL ends it", waitpid(pid, &status, 0) == pid && status == SIGKILL);
    return finish();
}
