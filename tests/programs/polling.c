/* poll, select, epoll, eventfd, timerfd: who is ready, who is woken, and which errors. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *write_later(void *argument)
{
    struct timespec pause = {0, 50000000};
    nanosleep(&pause, NULL);
    write(*(int *)argument, "x", 1);
    return NULL;
}

static void polls(void)
{
    int fds[2];
    char byte;
    pipe(fds);
    struct pollfd entries[4] = {{fds[0], POLLIN, 9}, {-1, POLLIN, 9}, {99, POLLIN, 9}, {fds[1], POLLOUT, 9}};
    check("three have something to say", poll(entries, 4, 1000) == 2);
    check("each its own", entries[0].revents == 0 && entries[1].revents == 0 && entries[2].revents == POLLNVAL &&
                              entries[3].revents == POLLOUT);
    long start = now_ms();
    check("a timeout", poll(entries, 1, 60) == 0);
    check("takes its time", now_ms() - start >= 60 && now_ms() - start < 2000);
    start = now_ms();
    check("no descriptors: a sleep", poll(NULL, 0, 30) == 0 && now_ms() - start >= 30);
    check_error("a bad array", poll((void *)8, 1, 0), EFAULT);
    pthread_t thread;
    pthread_create(&thread, NULL, write_later, &fds[1]);
    check("woken by a write", poll(entries, 1, 50000) == 1 && entries[0].revents == POLLIN);
    pthread_join(thread, NULL);
    read(fds[0], &byte, 1);

    struct pollfd many[40];
    for (int i = 0; i < 40; i++)
        many[i] = (struct pollfd){i % 3 == 0 ? fds[1] : fds[0], i % 3 == 0 ? POLLOUT : POLLIN, 9};
    check("many descriptors", poll(many, 40, 1000) == 14);
    check("each in its place", many[39].revents == POLLOUT && many[38].revents == 0 && many[0].revents == POLLOUT);

    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    check_error("a handler ends poll in spite of SA_RESTART", poll(entries, 1, 50000), EINTR);

    sigset_t mask, empty;
    sigemptyset(&empty);
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    raise(SIGALRM);
    struct timespec limit = {5, 0};
    alarms = 0;
    check_error("ppoll lets a blocked signal in", ppoll(entries, 1, &limit, &empty), EINTR);
    check("its handler ran", alarms == 1);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    check("the mask is back", sigismember(&mask, SIGALRM));
    sigemptyset(&mask);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    int file = open("/proc/self/exe", O_RDONLY);
    struct pollfd regular = {file, POLLIN | POLLOUT | POLLPRI, 0};
    check("a regular file is always ready", poll(&regular, 1, 0) == 1 && regular.revents == (POLLIN | POLLOUT));
    close(file);
    close(fds[0]);
    close(fds[1]);
}

/* The C library's select may keep the time left to itself. */
static int raw_select(int count, fd_set *read_set, fd_set *write_set, struct timeval *limit)
{
    return syscall(SYS_select, count, read_set, write_set, NULL, limit);
}

static void selects(void)
{
    int fds[2];
    pipe(fds);
    fd_set read_set, write_set;
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    FD_SET(fds[0], &read_set);
    FD_SET(fds[1], &write_set);
    struct timeval limit = {1, 0};
    check("select: the writer", select(fds[1] + 1, &read_set, &write_set, NULL, &limit) == 1);
    check("only it", !FD_ISSET(fds[0], &read_set) && FD_ISSET(fds[1], &write_set));
    FD_SET(fds[0], &read_set);
    limit = (struct timeval){0, 40000};
    long start = now_ms();
    check("a timeout", raw_select(fds[0] + 1, &read_set, NULL, &limit) == 0 && now_ms() - start >= 40);
    check("clears the sets", !FD_ISSET(fds[0], &read_set));
    check("and the time left", limit.tv_sec == 0 && limit.tv_usec == 0);
    write(fds[1], "x", 1);
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    FD_SET(fds[0], &read_set);
    FD_SET(fds[1], &write_set);
    limit = (struct timeval){10, 0};
    check("two sets count twice", raw_select(fds[1] + 1, &read_set, &write_set, &limit) == 2);
    check("the time left is told", limit.tv_sec == 9 && limit.tv_usec > 0);
    close(fds[1]);
    check_error("a closed descriptor", select(fds[1] + 1, &read_set, &write_set, NULL, &limit), EBADF);
    check_error("a negative count", select(-1, NULL, NULL, NULL, NULL), EINVAL);
    limit = (struct timeval){-1, 0};
    check_error("a negative time", syscall(SYS_select, 0, NULL, NULL, NULL, &limit), EINVAL);
    struct timespec pause = {0, 20000000};
    check("pselect as a sleep", pselect(0, NULL, NULL, NULL, &pause, NULL) == 0);
    close(fds[0]);
}

static int waited(int epoll, struct epoll_event *event, int timeout)
{
    memset(event, 0, sizeof *event);
    return epoll_wait(epoll, event, 1, timeout);
}

static void epolls(void)
{
    int fds[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    char byte;
    check("epoll_create1", epoll >= 0 && fcntl(epoll, F_GETFD) == FD_CLOEXEC);
    check_error("bad flags", epoll_create1(1), EINVAL);
    check_error("bad size", syscall(SYS_epoll_create, 0), EINVAL);
    pipe(fds);
    struct epoll_event event = {EPOLLIN, {.u64 = 0x1122334455667788}}, out;
    check("add", epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event) == 0);
    check_error("twice", epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event), EEXIST);
    check_error("not there", epoll_ctl(epoll, EPOLL_CTL_MOD, fds[1], &event), ENOENT);
    check_error("not there to delete", epoll_ctl(epoll, EPOLL_CTL_DEL, fds[1], NULL), ENOENT);
    check_error("itself", epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event), EINVAL);
    check_error("not an epoll", epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[1], &event), EINVAL);
    check_error("a bad descriptor", epoll_ctl(epoll, EPOLL_CTL_ADD, 99, &event), EBADF);
    check_error("no events wanted at all", epoll_wait(epoll, &out, 0, 0), EINVAL);
    int file = open("/proc/self/exe", O_RDONLY);
    check_error("a regular file", epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event), EPERM);
    close(file);
    check("nothing yet", waited(epoll, &out, 0) == 0);
    long start = now_ms();
    check("a timeout", waited(epoll, &out, 50) == 0 && now_ms() - start >= 50);
    write(fds[1], "ab", 2);
    check("readable", waited(epoll, &out, 1000) == 1 && out.events == EPOLLIN && out.data.u64 == event.data.u64);
    check("again: by level", waited(epoll, &out, 0) == 1);
    struct pollfd entry = {epoll, POLLIN, 0};
    check("epoll itself is readable", poll(&entry, 1, 0) == 1);
    event.events = EPOLLIN | EPOLLET;
    check("by edge", epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event) == 0);
    check("once", waited(epoll, &out, 0) == 1);
    check("not again", waited(epoll, &out, 0) == 0);
    read(fds[0], &byte, 1);
    check("not after a read", waited(epoll, &out, 0) == 0);
    write(fds[1], "c", 1);
    check("but after a write", waited(epoll, &out, 0) == 1);
    event.events = EPOLLIN | EPOLLONESHOT;
    epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event);
    check("one shot", waited(epoll, &out, 0) == 1 && waited(epoll, &out, 0) == 0);
    write(fds[1], "d", 1);
    check("fires no more", waited(epoll, &out, 0) == 0);
    epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event);
    check("until armed again", waited(epoll, &out, 0) == 1);
    event.events = EPOLLIN;
    epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event);
    int copy = dup(fds[0]);
    check("a duplicate is another entry", epoll_ctl(epoll, EPOLL_CTL_ADD, copy, &event) == 0);
    struct epoll_event two[2];
    check("both report", epoll_wait(epoll, two, 2, 0) == 2);
    epoll_ctl(epoll, EPOLL_CTL_DEL, copy, NULL);
    close(copy);
    close(fds[1]);
    check("hang-up is always told", waited(epoll, &out, 0) == 1 && (out.events & EPOLLHUP));
    close(fds[0]);
    check("closing takes it out", waited(epoll, &out, 0) == 0);

    pipe(fds);
    event.events = EPOLLIN;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event);
    pthread_t thread;
    pthread_create(&thread, NULL, write_later, &fds[1]);
    check("woken by a write", waited(epoll, &out, 50000) == 1);
    pthread_join(thread, NULL);

    int outer = epoll_create1(0);
    check("nested", epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &event) == 0);
    check("seen through", waited(outer, &out, 0) == 1);
    check_error("no circles", epoll_ctl(epoll, EPOLL_CTL_ADD, outer, &event), ELOOP);
    read(fds[0], &byte, 1);
    check("not ready through", waited(outer, &out, 0) == 0);
    pthread_create(&thread, NULL, write_later, &fds[1]);
    check("woken through", waited(outer, &out, 50000) == 1);
    pthread_join(thread, NULL);
    read(fds[0], &byte, 1);
    alarm(1);
    check_error("a handler ends epoll_wait", waited(epoll, &out, 50000), EINTR);
    close(outer);
    close(epoll);
    close(fds[0]);
    close(fds[1]);
}

static volatile uint64_t seen;

static void *take_events(void *argument)
{
    struct epoll_event out;
    while (epoll_wait(*(int *)argument, &out, 1, -1) == 1 && out.data.u64 != UINT64_MAX)
        seen = out.data.u64;
    return NULL;
}

/* A one-shot that is armed again while another thread takes its event fires once more. */
static void one_shots(void)
{
    int epoll = epoll_create1(0), fd = eventfd(1, 0), lost = 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
    pthread_t thread;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    pthread_create(&thread, NULL, take_events, &epoll);
    long end = now_ms() + 500;
    for (int round = 0; !lost && now_ms() < end; round++) {
        event.data.u64++;
        epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
        for (volatile int pause = round % 100 * 10; pause > 0; pause--)
            ;
        event.data.u64++;
        epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
        for (long until = now_ms() + 2000; seen != event.data.u64 && !lost; sched_yield())
            lost = now_ms() > until;
    }
    check("a one-shot armed again is not lost", !lost);
    event.data.u64 = UINT64_MAX;
    epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
    pthread_join(thread, NULL);
    close(epoll);
    close(fd);
}

static void eventfds(void)
{
    uint64_t value = 5;
    int fd = eventfd(3, EFD_NONBLOCK);
    check("eventfd", fd >= 0);
    check("add", write(fd, &value, 8) == 8);
    check_error("too short", read(fd, &value, 4), EINVAL);
    check("take all", read(fd, &value, 8) == 8 && value == 8);
    check_error("nothing", read(fd, &value, 8), EAGAIN);
    value = UINT64_MAX;
    check_error("too much", write(fd, &value, 8), EINVAL);
    value = UINT64_MAX - 1;
    check("the most", write(fd, &value, 8) == 8);
    struct pollfd entry = {fd, POLLIN | POLLOUT, 0};
    check("no room", poll(&entry, 1, 0) == 1 && entry.revents == POLLIN);
    value = 1;
    check_error("would pass the most", write(fd, &value, 8), EAGAIN);
    close(fd);
    fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    check("a semaphore gives one", read(fd, &value, 8) == 8 && value == 1);
    check("and another", read(fd, &value, 8) == 8 && value == 1);
    check_error("and no more", read(fd, &value, 8), EAGAIN);
    close(fd);
    check_error("bad flags", eventfd(0, 2), EINVAL);
}

static void timerfds(void)
{
    uint64_t count = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    check("timerfd", fd >= 0);
    check_error("a clock that has none", timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    check_error("disarmed", read(fd, &count, 8), EAGAIN);
    struct itimerspec set = {{0, 20000000}, {0, 30000000}}, old;
    long start = now_ms();
    check("arm", timerfd_settime(fd, 0, &set, NULL) == 0);
    check("time left", timerfd_gettime(fd, &old) == 0 && old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 30000000 &&
                           old.it_interval.tv_nsec == 20000000);
    struct pollfd entry = {fd, POLLIN, 0};
    check("expires", poll(&entry, 1, 50000) == 1);
    check("once so far", read(fd, &count, 8) == 8 && count >= 1);
    uint64_t all = count;
    struct timespec pause = {0, 70000000};
    nanosleep(&pause, NULL);
    check("several since", read(fd, &count, 8) == 8 && count >= 3);
    all += count;
    check("blocking again", fcntl(fd, F_SETFL, 0) == 0 && read(fd, &count, 8) == 8);
    check("each counted once", all + count <= (uint64_t)(now_ms() - start) / 20);
    memset(&set, 0, sizeof set);
    check("disarm", timerfd_settime(fd, 0, &set, &old) == 0 && old.it_interval.tv_nsec == 20000000);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    check_error("quiet", read(fd, &count, 8), EAGAIN);
    set.it_value.tv_nsec = 1000000000;
    check_error("no such nanosecond", timerfd_settime(fd, 0, &set, NULL), EINVAL);
    set.it_value = (struct timespec){1, 0};
    check("long past", timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL) == 0);
    entry.revents = 0;
    check("at once", poll(&entry, 1, 1000) == 1 && read(fd, &count, 8) == 8 && count == 1);
    close(fd);
}

int main(void)
{
    polls();
    selects();
    epolls();
    one_shots();
    eventfds();
    timerfds();
    return finish();
}
