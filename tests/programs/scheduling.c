/* Who gets the CPU: nice values, real-time priorities, affinity; and what is told about the time used. */
#include "check.h"
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

/* musl refuses what it thinks POSIX wants otherwise, so the calls are made directly. */
static int set_scheduler(pid_t pid, int policy, int priority)
{
    struct sched_param parameter = {.sched_priority = priority};
    return syscall(SYS_sched_setscheduler, pid, policy, &parameter);
}

static int scheduler(pid_t pid)
{
    return syscall(SYS_sched_getscheduler, pid);
}

static void stay_on_one_cpu(void)
{
    unsigned long mask[16] = {1};
    check("a CPU to stay on", syscall(SYS_sched_setaffinity, 0, sizeof mask, mask) == 0);
    memset(mask, 0, sizeof mask);
    check("it is told", syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) > 0 && mask[0] == 1);
    check_error("no CPU at all", syscall(SYS_sched_setaffinity, 0, sizeof mask, (unsigned long[16]){0}), EINVAL);
    check_error("too small a mask", syscall(SYS_sched_getaffinity, 0, 1, mask), EINVAL);
    check_error("a negative id is nobody's", syscall(SYS_sched_getaffinity, -1, sizeof mask, mask), ESRCH);
    check_error("nor is it set", syscall(SYS_sched_setaffinity, -1, sizeof mask, mask), ESRCH);
    check_error("nobody's affinity", syscall(SYS_sched_getaffinity, 999999, sizeof mask, mask), ESRCH);
}

static void values(void)
{
    check("the policy at first", scheduler(0) == SCHED_OTHER);
    check_error("an unknown policy", set_scheduler(0, 99, 0), EINVAL);
    check_error("a priority where there is none", set_scheduler(0, SCHED_OTHER, 1), EINVAL);
    check_error("none where there must be one", set_scheduler(0, SCHED_FIFO, 0), EINVAL);
    check_error("nobody", set_scheduler(999999, SCHED_OTHER, 0), ESRCH);
    check("least and greatest", syscall(SYS_sched_get_priority_min, SCHED_RR) == 1 && syscall(SYS_sched_get_priority_max, SCHED_RR) == 99);
    check("none for others", syscall(SYS_sched_get_priority_max, SCHED_OTHER) == 0);

    check("real time", set_scheduler(0, SCHED_RR, 7) == 0 && scheduler(0) == SCHED_RR);
    struct sched_param parameter = {0};
    check("its priority", syscall(SYS_sched_getparam, 0, &parameter) == 0 && parameter.sched_priority == 7);
    struct timespec turn = {0};
    check("a round's length", syscall(SYS_sched_rr_get_interval, 0, &turn) == 0 && turn.tv_sec + turn.tv_nsec > 0);
    check("and back", set_scheduler(0, SCHED_OTHER, 0) == 0 && scheduler(0) == SCHED_OTHER);

    check("nice", setpriority(PRIO_PROCESS, 0, 5) == 0 && getpriority(PRIO_PROCESS, 0) == 5);
    pid_t child = fork();
    if (child == 0)
        _exit(getpriority(PRIO_PROCESS, 0) != 5);
    int status;
    check("a child inherits it", waitpid(child, &status, 0) == child && status == 0);
    int kept = set_scheduler(0, SCHED_IDLE, 0) == 0 && getpriority(PRIO_PROCESS, 0) == 5 && set_scheduler(0, SCHED_OTHER, 0) == 0;
    check("the idle policy keeps it", kept && getpriority(PRIO_PROCESS, 0) == 5);
    kept = set_scheduler(0, SCHED_FIFO, 1) == 0 && getpriority(PRIO_PROCESS, 0) == 5 && setpriority(PRIO_PROCESS, 0, 6) == 0;
    check("so does a real-time one", kept && set_scheduler(0, SCHED_OTHER, 0) == 0 && getpriority(PRIO_PROCESS, 0) == 6);
    check("nice has a limit", setpriority(PRIO_PROCESS, 0, 100) == 0 && getpriority(PRIO_PROCESS, 0) == 19);
    check("root may go back", setpriority(PRIO_PROCESS, 0, 0) == 0 && getpriority(PRIO_PROCESS, 0) == 0);
}

static void shares(void)
{
    pid_t children[3];
    for (int i = 0; i < 3; i++)
        if ((children[i] = fork()) == 0) {
            setpriority(PRIO_PROCESS, 0, i == 2 ? 10 : 0);
            for (;;)
                ;
        }
    usleep(1000000);
    /* By CPU time, to which belongs what a busy host takes away. */
    double used[3];
    for (int i = 0; i < 3; i++) {
        clockid_t clock;
        clock_getcpuclockid(children[i], &clock);
        used[i] = now(clock);
        kill(children[i], SIGKILL);
        waitpid(children[i], 0, 0);
    }
    double first = used[0], second = used[1], nice = used[2];
    check("equals share", first < 2 * second && second < 2 * first);
    check("who is nice gets less, but something", nice > 0 && nice < first / 2 && nice < second / 2);
}

static void real_time_goes_first(void)
{
    volatile int *order = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    set_scheduler(0, SCHED_FIFO, 50);
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            set_scheduler(0, SCHED_FIFO, 10 + 10 * i);
            double end = now(CLOCK_MONOTONIC) + 0.02;
            while (now(CLOCK_MONOTONIC) < end)
                ;
            order[1 + __atomic_fetch_add(order, 1, __ATOMIC_SEQ_CST)] = i;
            _exit(0);
        }
    /* They start with this process' priority and lower it themselves, then the greatest goes on. */
    for (int i = 0; i < 3; i++)
        wait(0);
    set_scheduler(0, SCHED_OTHER, 0);
    check("the greatest priority ends first", order[1] == 2 && order[2] == 1 && order[3] == 0);
}

static void yields(void)
{
    int ends[2];
    struct rusage before, after;
    if (pipe(ends))
        return;
    getrusage(RUSAGE_SELF, &before);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 20; i++)
            sched_yield();
        _exit(write(ends[1], "x", 1) != 1);
    }
    char byte;
    check("a sleeper wakes up", read(ends[0], &byte, 1) == 1);
    waitpid(child, 0, 0);
    getrusage(RUSAGE_SELF, &after);
    check("sleeps are counted", after.ru_nvcsw > before.ru_nvcsw);
}

static void times_used(void)
{
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID), thread = now(CLOCK_THREAD_CPUTIME_ID);
    while (now(CLOCK_PROCESS_CPUTIME_ID) < cpu + 0.2)
        ;
    check("the thread's clock goes with the process'", now(CLOCK_THREAD_CPUTIME_ID) >= thread + 0.15);

    struct rusage usage;
    double before = now(CLOCK_PROCESS_CPUTIME_ID);
    getrusage(RUSAGE_SELF, &usage);
    double used = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    check("user and system time add up to it", used > before - 0.1 && used < now(CLOCK_PROCESS_CPUTIME_ID) + 0.1);

    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    double wall = now(CLOCK_MONOTONIC);
    usleep(500000);
    check("sleep lasts", now(CLOCK_MONOTONIC) - wall >= 0.5);
    check("and costs nothing", now(CLOCK_PROCESS_CPUTIME_ID) - cpu < 0.25);

    struct tms start, end;
    times(&start);
    pid_t child = fork();
    if (child == 0) {
        double stop = now(CLOCK_PROCESS_CPUTIME_ID) + 0.2;
        while (now(CLOCK_PROCESS_CPUTIME_ID) < stop)
            ;
        _exit(0);
    }
    waitpid(child, 0, 0);
    times(&end);
    long ticks = end.tms_cutime + end.tms_cstime - start.tms_cutime - start.tms_cstime;
    check("a child's time comes to its parent", ticks >= 15);
}

int main(void)
{
    stay_on_one_cpu();
    values();
    shares();
    real_time_goes_first();
    yields();
    times_used();
    return finish();
}
