/* Signals that cross with the fork, end or exec of those who get them (signal(7), fork(2), execve(2)). */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *self;

static void spin(int turns)
{
    for (volatile int turn = 0; turn < turns; turn++)
        ;
}

static void *forever(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return NULL;
}

/* Waits up to 20 s for the end of `pid`; returns its status, -1 if it goes on (it is killed then). */
static int end_of(pid_t pid)
{
    int status;
    for (time_t end = time(NULL) + 20; time(NULL) < end;) {
        struct timespec pause = {0, 200000};
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        nanosleep(&pause, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

/* A blocked SIGCHLD comes as sigtimedwait ends. */
static void test_sigtimedwait(void)
{
    sigset_t set;
    struct timespec now = {0, 0};
    int lost = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int round = 0; round < 800; round++) {
        siginfo_t info;
        int got = 0;
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        do {
            got |= sigtimedwait(&set, NULL, &now) == SIGCHLD;
            info.si_pid = 0;
            waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
        } while (info.si_pid == 0);
        got |= sigtimedwait(&set, NULL, &now) == SIGCHLD;
        waitpid(pid, NULL, 0);
        lost += !got;
    }
    check("no SIGCHLD is lost by who polls for it", lost == 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* The thread that a signal was meant for ends; another has to take it. */
static void test_end_of_thread(void)
{
    int lost = 0;
    for (int round = 0; round < 250 && !lost; round++) {
        int line[2];
        char byte = 0;
        pipe(line);
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            pthread_create(&thread, NULL, forever, NULL);
            write(line[1], &byte, 1);
            spin(round * 37 % 2000);
            syscall(SYS_exit, 0);
        }
        read(line[0], &byte, 1);
        spin(round * 53 % 2000);
        kill(pid, SIGTERM);
        lost += end_of(pid) != SIGTERM;
        close(line[0]);
        close(line[1]);
    }
    check("a signal outlives the thread that was to take it", lost == 0);
}

/* A group is killed while one of it forks: the child does not get away. */
static void test_fork(void)
{
    enum { SIZE = 8 << 20 };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int survivors = 0;
    for (int round = 0; round < 50; round++) {
        int line[2];
        char byte = 0;
        pipe(line);
        pid_t pid = fork();
        if (pid == 0) {
            setpgid(0, 0);
            memset(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, SIZE);
            write(line[1], &byte, 1);
            fork();
            forever(NULL);
        }
        read(line[0], &byte, 1);
        spin(round * 7919 % 100000);
        kill(-pid, SIGKILL);
        time_t end = time(NULL) + 10;
        while (waitpid(-pid, NULL, WNOHANG) != -1 && time(NULL) < end)
            spin(1000);
        if (kill(-pid, SIGKILL) == 0) {
            survivors++;
            while (waitpid(-pid, NULL, 0) != -1)
                ;
        }
        close(line[0]);
        close(line[1]);
    }
    check("nobody survives the end of the group", survivors == 0);
}

static void *execute(void *argument)
{
    (void)argument;
    execl(self, self, "id", NULL);
    return NULL;
}

static void *run(void *argument)
{
    (void)argument;
    for (;;)
        ;
    return NULL;
}

/* Exec by a thread that is not the first: afterwards it has the first's id, for signals too. */
static void test_exec(void)
{
    int bad = 0;
    for (int round = 0; round < 80 && !bad; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            for (int i = 0; i < 4; i++)
                pthread_create(&thread, NULL, i == 2 ? execute : round % 2 ? run : forever, NULL);
            forever(NULL);
        }
        bad += end_of(pid) != 0;
    }
    check("who executes has the process' id for tgkill", bad == 0);
}

int main(int count, char **arguments)
{
    if (count > 1)
        return syscall(SYS_tgkill, getpid(), getpid(), 0) != 0;
    self = arguments[0];
    test_sigtimedwait();
    test_end_of_thread();
    test_fork();
    test_exec();
    return finish();
}
