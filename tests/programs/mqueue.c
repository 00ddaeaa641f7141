/* mq_overview(7): order by priority, limits, waiting with a time limit, notification, the file system. */
#define _GNU_SOURCE
#include "check.h"
#include "asleep.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char text[9000];
static struct mq_attr attributes = {.mq_maxmsg = 3, .mq_msgsize = 16};

static int ended(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int received(mqd_t queue, const char *wanted, unsigned wanted_priority)
{
    unsigned priority;
    ssize_t length = mq_receive(queue, text, 16, &priority);
    return length == (ssize_t)strlen(wanted) && !memcmp(text, wanted, length) && priority == wanted_priority;
}

static void opening(void)
{
    struct mq_attr got;
    check_error("none", mq_open("/none", O_RDWR), ENOENT);
    check_error("an empty name", mq_open("/", O_RDWR | O_CREAT, 0600, NULL), ENOENT);
    check_error("a slash inside", mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
    mqd_t queue = mq_open("/queue", O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
    check("made", queue >= 0 && mq_getattr(queue, &got) == 0 && got.mq_maxmsg == 10 && got.mq_msgsize == 8192);
    check("close-on-exec", fcntl(queue, F_GETFD) == FD_CLOEXEC);
    check_error("exclusive", mq_open("/queue", O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
    mqd_t again = mq_open("/queue", O_RDONLY | O_CREAT | O_NONBLOCK, 0600, &attributes);
    check("the same", again >= 0 && mq_send(queue, "x", 1, 0) == 0 && mq_getattr(again, &got) == 0 && got.mq_curmsgs == 1 &&
                          got.mq_maxmsg == 10 && got.mq_flags == O_NONBLOCK);
    check_error("not for writing", mq_send(again, "x", 1, 0), EBADF);
    check("unlinked", mq_unlink("/queue") == 0);
    check_error("gone", mq_unlink("/queue"), ENOENT);
    check("still there for who has it", mq_receive(again, text, 8192, NULL) == 1);
    mq_close(again), mq_close(queue);
    struct mq_attr bad = {.mq_maxmsg = 0, .mq_msgsize = 16};
    check_error("no messages", mq_open("/queue", O_RDWR | O_CREAT, 0600, &bad), EINVAL);
    bad.mq_maxmsg = 1, bad.mq_msgsize = 0;
    check_error("no bytes", mq_open("/queue", O_RDWR | O_CREAT, 0600, &bad), EINVAL);
    bad.mq_maxmsg = 70000, bad.mq_msgsize = 1;
    check_error("too many", mq_open("/queue", O_RDWR | O_CREAT, 0600, &bad), EINVAL);
    bad.mq_maxmsg = -1;
    check_error("a negative number", mq_open("/queue", O_RDWR | O_CREAT, 0600, &bad), EINVAL);
    check_error("not a queue", mq_send(0, "x", 1, 0), EBADF);
}

static void messages(void)
{
    struct mq_attr got, change = {.mq_flags = O_NONBLOCK};
    mqd_t queue = mq_open("/queue", O_RDWR | O_CREAT, 0600, &attributes);
    struct pollfd poller = {queue, POLLIN | POLLOUT, 0};
    check("writable", poll(&poller, 1, 0) == 1 && poller.revents == POLLOUT);
    check("send", mq_send(queue, "low", 3, 1) == 0 && mq_send(queue, "high", 4, 9) == 0 && mq_send(queue, "low2", 4, 1) == 0);
    check("readable", poll(&poller, 1, 0) == 1 && poller.revents == POLLIN);
    check("set", mq_setattr(queue, &change, &got) == 0 && got.mq_flags == 0 && got.mq_curmsgs == 3 && got.mq_maxmsg == 3 &&
                     got.mq_msgsize == 16);
    check_error("full", mq_send(queue, "x", 1, 0), EAGAIN);
    check_error("too long", mq_send(queue, text, 17, 0), EMSGSIZE);
    check_error("too small a buffer", mq_receive(queue, text, 15, NULL), EMSGSIZE);
    check_error("too high a priority", mq_send(queue, "x", 1, 32768), EINVAL);
    check_error("a bad address", mq_send(queue, (char *)8, 1, 0), EFAULT);
    check("in order", received(queue, "high", 9) && received(queue, "low", 1) && received(queue, "low2", 1));
    check_error("empty", mq_receive(queue, text, 16, NULL), EAGAIN);
    check("of no length", mq_send(queue, "", 0, 32767) == 0 && received(queue, "", 32767));
    change.mq_flags = O_APPEND;
    check_error("other flags", mq_setattr(queue, &change, NULL), EINVAL);
    change.mq_flags = 0;
    mq_setattr(queue, &change, NULL);
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec += 30000000;
    if (limit.tv_nsec >= 1000000000)
        limit.tv_sec++, limit.tv_nsec -= 1000000000;
    check_error("a time limit", mq_timedreceive(queue, text, 16, NULL, &limit), ETIMEDOUT);
    limit.tv_nsec = 1000000000;
    check_error("a bad one", mq_timedreceive(queue, text, 16, NULL, &limit), EINVAL);
    pid_t child = fork();
    if (child == 0)
        _exit(!received(queue, "hello", 2));
    wait_until_asleep(child);
    mq_send(queue, "hello", 5, 2);
    check("a sleeping receiver", ended(child) == 0);
    for (int count = 0; count < 3; count++)
        mq_send(queue, "fill", 4, 5);
    child = fork();
    if (child == 0)
        _exit(mq_send(queue, "more", 4, 6) != 0);
    wait_until_asleep(child);
    check("a sleeping sender", received(queue, "fill", 5) && ended(child) == 0 && received(queue, "more", 6));
    mq_close(queue);
    mq_unlink("/queue");
}

static void notification(void)
{
    mqd_t queue = mq_open("/queue", O_RDWR | O_CREAT, 0600, &attributes);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
    sigset_t set;
    siginfo_t info;
    struct timespec none = {0, 0};
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    check("register", mq_notify(queue, &event) == 0);
    check_error("one only", mq_notify(queue, &event), EBUSY);
    mq_send(queue, "one", 3, 0);
    check("a signal", sigtimedwait(&set, &info, &none) == SIGUSR1 && info.si_code == SI_MESGQ && info.si_value.sival_int == 77 &&
                          info.si_pid == getpid() && info.si_uid == getuid());
    received(queue, "one", 0);
    mq_send(queue, "two", 3, 0);
    check_error("once only", sigtimedwait(&set, &info, &none), EAGAIN);
    mq_notify(queue, &event);
    mq_send(queue, "three", 5, 0);
    check_error("for an empty queue only", sigtimedwait(&set, &info, &none), EAGAIN);
    check("take back", mq_notify(queue, NULL) == 0);
    received(queue, "two", 0), received(queue, "three", 0);
    mq_send(queue, "four", 4, 0);
    check_error("nothing more", sigtimedwait(&set, &info, &none), EAGAIN);
    received(queue, "four", 0);
    event.sigev_notify = SIGEV_NONE;
    check("silently", mq_notify(queue, &event) == 0 && mq_send(queue, "x", 1, 0) == 0 && received(queue, "x", 0));
    event.sigev_notify = 99;
    check_error("a bad way", mq_notify(queue, &event), EINVAL);
    pid_t child = fork();
    if (child == 0) {
        event.sigev_notify = SIGEV_NONE;
        _exit(mq_notify(queue, &event) != 0);
    }
    check("a child that ended", ended(child) == 0);
    event.sigev_notify = SIGEV_NONE;
    check("has none", mq_notify(queue, &event) == 0);
    mq_close(queue);
    mq_unlink("/queue");
}

static int receive_until(struct timespec *deadline)
{
    mqd_t queue = mq_open("/queue", O_RDONLY);
    return mq_timedreceive(queue, text, 16, NULL, deadline) == 1;
}

/* A message that comes when a receiver's time is over is received or told of. */
static void late_message(void)
{
    mqd_t queue = mq_open("/queue", O_RDWR | O_CREAT, 0600, &attributes);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct timespec none = {0, 0}, now, deadline;
    siginfo_t info;
    sigset_t set;
    int lost = 0;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    time_t end = time(NULL) + 2;
    for (int round = 0; time(NULL) < end; round = (round + 1) % 150) {
        mq_notify(queue, &event);
        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_nsec += 3000000;
        deadline.tv_sec += deadline.tv_nsec / 1000000000, deadline.tv_nsec %= 1000000000;
        pid_t child = fork();
        if (child == 0)
            _exit(receive_until(&deadline));
        long late;
        do {
            clock_gettime(CLOCK_REALTIME, &now);
            late = (now.tv_sec - deadline.tv_sec) * 1000000000 + now.tv_nsec - deadline.tv_nsec;
        } while (late < round * 500);
        mq_send(queue, "x", 1, 0);
        int was_received = ended(child), was_told = sigtimedwait(&set, &info, &none) == SIGUSR1;
        lost += !was_received && !was_told;
        if (!was_received)
            mq_receive(queue, text, 16, NULL);
        mq_notify(queue, NULL);
    }
    check("a late message is received or told of", lost == 0);
    mq_close(queue);
    mq_unlink("/queue");
}

static void as_files(void)
{
    if (geteuid() != 0)
        return;
    mkdir("mount", 0755);
    check("mount", mount("none", "mount", "mqueue", 0, NULL) == 0);
    mqd_t queue = mq_open("/queue", O_RDWR | O_CREAT, 0640, &attributes);
    struct stat stat_;
    check("a file", stat("mount/queue", &stat_) == 0 && stat_.st_mode == (S_IFREG | 0640) && stat_.st_size == 80);
    check("the directory", stat("mount", &stat_) == 0 && stat_.st_mode == (S_IFDIR | 01777));
    mq_send(queue, "hello", 5, 0);
    int fd = open("mount/queue", O_RDONLY);
    memset(text, 0, sizeof text);
    check("its text", read(fd, text, sizeof text) > 0 && !strncmp(text, "QSIZE:5 ", 8) && strstr(text, "NOTIFY_PID:0"));
    close(fd);
    close(open("mount/other", O_RDWR | O_CREAT, 0600));
    mqd_t other = mq_open("/other", O_RDWR);
    check("made as a file", other >= 0);
    check_error("nothing else", mkdir("mount/directory", 0755), EPERM);
    check("removed as a file", unlink("mount/other") == 0);
    check_error("gone", mq_open("/other", O_RDWR), ENOENT);
    if (fork() == 0) {
        setresgid(55, 55, 55), setresuid(4321, 4321, 4321);
        check_error("others may not", mq_open("/queue", O_RDONLY), EACCES);
        check_error("nor unlink", mq_unlink("/queue"), EACCES);
        struct mq_attr large = {.mq_maxmsg = 11, .mq_msgsize = 16};
        check_error("nor more than is usual", mq_open("/large", O_RDWR | O_CREAT, 0600, &large), EINVAL);
        struct rlimit limit = {1000, 1000};
        setrlimit(RLIMIT_MSGQUEUE, &limit);
        check_error("nor beyond the limit", mq_open("/large", O_RDWR | O_CREAT, 0600, NULL), EMFILE);
        check("a small one", mq_open("/small", O_RDWR | O_CREAT, 0600, &attributes) >= 0);
        check("of their own", mq_unlink("/small") == 0);
        _exit(failures);
    }
    int status;
    wait(&status);
    check("permissions", status == 0);
    mq_unlink("/queue");
    umount("mount");
    rmdir("mount");
}

int main(void)
{
    opening();
    messages();
    notification();
    late_message();
    as_files();
    return finish();
}
