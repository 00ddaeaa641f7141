/* Clocks, sleeping, and timers that send signals. */
#include "check.h"
#include "asleep.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t signals, last_code, last_value;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    signals++;
    last_code = info->si_code;
    last_value = info->si_value.sival_int;
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void burn_ms(int ms)
{
    int64_t end = now_ns(CLOCK_PROCESS_CPUTIME_ID) + ms * 1000000LL;
    while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < end)
        ;
}

static void clocks(void)
{
    static const clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
                                    CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
                                    CLOCK_TAI};
    struct timespec value;
    int bad = 0;
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        bad += clock_gettime(all[i], &value) != 0 || value.tv_nsec < 0 || value.tv_nsec > 999999999;
    check("all clocks", bad == 0);
    check("resolution", clock_getres(CLOCK_MONOTONIC, &value) == 0 && value.tv_sec == 0 && value.tv_nsec == 1);
    check_error("no such clock", clock_gettime(77, &value), EINVAL);
    check_error("a clock that cannot be set", syscall(SYS_clock_settime, CLOCK_MONOTONIC, &value), EINVAL);
    int64_t before = now_ns(CLOCK_MONOTONIC), backwards = 0;
    for (int i = 0; i < 10000; i++) {
        int64_t after = now_ns(CLOCK_MONOTONIC);
        backwards += after < before;
        before = after;
    }
    check("never backwards", backwards == 0);
    struct timeval day;
    gettimeofday(&day, NULL);
    check("the clocks agree", labs(day.tv_sec - (long)time(NULL)) <= 1 && day.tv_sec > 1600000000);
    before = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    burn_ms(30);
    check("CPU time goes on", now_ns(CLOCK_PROCESS_CPUTIME_ID) - before >= 30000000);
    before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    usleep(500000);
    check("but not asleep", now_ns(CLOCK_THREAD_CPUTIME_ID) - before < 300000000);
    clockid_t own;
    check("a process' clock", clock_getcpuclockid(getpid(), &own) == 0 && clock_gettime(own, &value) == 0);
    check("nobody's clock", clock_getcpuclockid(999999, &own) != 0);
    struct rusage usage;
    check("getrusage", getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec +
                                                                      usage.ru_stime.tv_usec >= 20000);
    struct tms tms;
    check("times", times(&tms) != -1 && tms.tms_utime + tms.tms_stime >= 1);
}

static void sleeping(void)
{
    struct timespec pause = {0, 30000000}, left = {9, 9}, bad = {0, 1000000000}, negative = {-1, 0};
    int64_t start = now_ns(CLOCK_MONOTONIC);
    check("nanosleep", nanosleep(&pause, &left) == 0 && now_ns(CLOCK_MONOTONIC) - start >= 30000000);
    check("nothing left is not told", left.tv_sec == 9);
    check_error("no such nanosecond", nanosleep(&bad, NULL), EINVAL);
    check_error("a negative time", nanosleep(&negative, NULL), EINVAL);
    check_error("a bad address", nanosleep((void *)8, NULL), EFAULT);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    pause.tv_sec = 50;
    check_error("a signal ends it", nanosleep(&pause, &left), EINTR);
    check("the rest is told", left.tv_sec <= 49 && left.tv_sec >= 20);
    start = now_ns(CLOCK_MONOTONIC);
    struct timespec until = {(start + 40000000) / 1000000000, (start + 40000000) % 1000000000};
    check("until a time", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0 &&
                              now_ns(CLOCK_MONOTONIC) - start >= 40000000);
    check("a time long past", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){0, 1}, NULL) == 0);
    pause = (struct timespec){0, 10000000};
    check("by the wall clock", clock_nanosleep(CLOCK_REALTIME, 0, &pause, NULL) == 0);
    check("own CPU time makes no sense", clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &pause, NULL) == EINVAL);

    pid_t pid = fork();
    if (pid == 0) {
        struct timespec second = {1, 0};
        int64_t begin = now_ns(CLOCK_MONOTONIC);
        int result = nanosleep(&second, NULL);
        int64_t took = now_ns(CLOCK_MONOTONIC) - begin;
        _exit(result != 0 || took < 1000000000);
    }
    wait_until_asleep(pid);
    kill(pid, SIGSTOP);
    usleep(100000);
    kill(pid, SIGCONT);
    int status;
    waitpid(pid, &status, 0);
    check("a stop does not end a sleep", status == 0);
}

static void intervals(void)
{
    check("alarm: none before", alarm(100) == 0);
    check("alarm: the one before", alarm(0) == 100);
    struct itimerval set = {{0, 20000}, {0, 30000}}, old;
    signals = 0;
    check("setitimer", setitimer(ITIMER_REAL, &set, NULL) == 0);
    check("time left", getitimer(ITIMER_REAL, &old) == 0 && old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 30000 &&
                           old.it_interval.tv_usec == 20000);
    while (signals < 3)
        pause();
    check("again and again", signals >= 3);
    memset(&set, 0, sizeof set);
    check("disarm", setitimer(ITIMER_REAL, &set, &old) == 0 && old.it_interval.tv_usec == 20000);
    check_error("no such timer", setitimer(3, &set, NULL), EINVAL);
    set.it_value.tv_usec = 1000000;
    check_error("no such microsecond", setitimer(ITIMER_REAL, &set, NULL), EINVAL);

    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGVTALRM, &action, NULL);
    sigaction(SIGPROF, &action, NULL);
    signals = 0;
    set.it_value.tv_usec = 300000;
    setitimer(ITIMER_PROF, &set, NULL);
    usleep(500000);
    check("CPU time does not pass asleep", signals == 0);
    int64_t start = now_ns(CLOCK_MONOTONIC);
    while (signals == 0 && now_ns(CLOCK_MONOTONIC) - start < 50000000000)
        ;
    check("but at work", signals == 1);
    pid_t pid = fork();
    if (pid == 0)
        _exit(getitimer(ITIMER_PROF, &old) != 0 || old.it_value.tv_usec != 0);
    int status;
    waitpid(pid, &status, 0);
    check("a child inherits none", status == 0);
}

static void created(void)
{
    timer_t timer = 0;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 77};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN + 3, &action, NULL);
    check("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec set = {{0, 0}, {0, 20000000}}, old;
    signals = 0;
    check("settime", timer_settime(timer, 0, &set, &old) == 0 && old.it_value.tv_nsec == 0);
    while (signals == 0)
        usleep(1000);
    check("the signal tells whose it is", last_code == SI_TIMER && last_value == 77);
    check("no overrun", timer_getoverrun(timer) == 0);
    check("done", timer_gettime(timer, &old) == 0 && old.it_value.tv_sec == 0 && old.it_value.tv_nsec == 0);

    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    set = (struct itimerspec){{0, 5000000}, {0, 5000000}};
    signals = 0;
    timer_settime(timer, 0, &set, NULL);
    usleep(100000);
    memset(&set, 0, sizeof set);
    struct timespec now = {0, 0};
    siginfo_t info;
    check("pending once", sigtimedwait(&mask, &info, &now) == SIGRTMIN + 3);
    check("it stands for all that came while it was pending", info.si_overrun >= 10 && timer_getoverrun(timer) >= 10);
    struct itimerspec shortest = {{0, 1}, {0, 1}};
    check("the shortest interval", timer_settime(timer, 0, &shortest, NULL) == 0);
    usleep(20000);
    while (sigtimedwait(&mask, &info, &now) != SIGRTMIN + 3)
        ;
    check("counts without happening", info.si_overrun > 1000000);
    timer_settime(timer, 0, &set, NULL);
    while (sigtimedwait(&mask, &info, &now) > 0)
        ;
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    check("delete", timer_delete(timer) == 0);
    check_error("gone", timer_gettime(timer, &old), EINVAL);
    event.sigev_signo = 99;
    check_error("no such signal", timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
    event.sigev_signo = SIGUSR1;
    check_error("no such clock", timer_create(77, &event, &timer), EINVAL);
    check("without an event", syscall(SYS_timer_create, CLOCK_REALTIME, NULL, &timer) == 0);
    syscall(SYS_timer_delete, *(int *)&timer);
}

/* Two timers with one signal that is blocked: each sends its own. */
static void of_one_signal(int signal)
{
    timer_t timers[2];
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    struct itimerspec once = {{0, 0}, {0, 5000000}};
    struct timespec now = {0, 0};
    siginfo_t info[2];
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, signal);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    for (int i = 0; i < 2; i++) {
        event.sigev_value.sival_int = i;
        timer_create(CLOCK_MONOTONIC, &event, &timers[i]);
        timer_settime(timers[i], 0, &once, NULL);
    }
    usleep(50000);
    check("the signal of the one", sigtimedwait(&mask, &info[0], &now) == signal);
    check("and of the other", sigtimedwait(&mask, &info[1], &now) == signal);
    check("are two", info[0].si_value.sival_int + info[1].si_value.sival_int == 1);
    check_error("and no third", sigtimedwait(&mask, &info[0], &now), EAGAIN);
    timer_delete(timers[0]);
    timer_delete(timers[1]);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

/* Once a timer is disarmed its signal has come or does not come: here it would kill. */
static void disarmed(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, deadly = {.sa_handler = SIG_DFL};
    struct itimerspec never = {{0, 0}, {0, 0}};
    timer_t timer;
    pid_t pid = fork();
    if (pid == 0) {
        timer_create(CLOCK_MONOTONIC, &event, &timer);
        int64_t end = now_ns(CLOCK_MONOTONIC) + 500000000;
        for (int i = 0; now_ns(CLOCK_MONOTONIC) < end; i++) {
            struct itimerspec soon = {{0, 0}, {0, 50000}};
            sigaction(SIGUSR2, &ours, NULL);
            timer_settime(timer, 0, &soon, NULL);
            int64_t until = now_ns(CLOCK_MONOTONIC) + 40000 + i % 64 * 1000;
            while (now_ns(CLOCK_MONOTONIC) < until)
                ;
            timer_settime(timer, 0, &never, NULL);
            sigaction(SIGUSR2, &deadly, NULL);
        }
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    check("no signal after a timer was disarmed", status == 0);
}

int main(void)
{
    clocks();
    sleeping();
    intervals();
    created();
    of_one_signal(SIGRTMIN);
    of_one_signal(SIGUSR1);
    disarmed();
    return finish();
}
