/* Making sockets, their options, time limits and signals. */
#define _GNU_SOURCE
#include "asleep.h"
#include "sockets.h"
#include <netinet/in.h>

static int option(int fd, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &length) || length != sizeof value ? -1 : value;
}

static int set(int fd, int name, int value)
{
    return setsockopt(fd, SOL_SOCKET, name, &value, sizeof value);
}

static void making(void)
{
    int pair[2];
    check_error("family beyond all", socket(46, SOCK_STREAM, 0), EAFNOSUPPORT);
    check_error("negative family", socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    check_error("family that nobody has", socket(AF_UNSPEC, SOCK_STREAM, 0), EAFNOSUPPORT);
    check_error("kind that there is not", socket(AF_UNIX, 7, 0), ESOCKTNOSUPPORT);
    check_error("kind beyond all", socket(AF_UNIX, 11, 0), EINVAL);
    check_error("unknown flags", socket(AF_UNIX, SOCK_STREAM | 0x100, 0), EINVAL);
    check_error("protocol", socket(AF_UNIX, SOCK_STREAM, 17), EPROTONOSUPPORT);
    check("the family's own protocol", close(socket(AF_UNIX, SOCK_STREAM, PF_UNIX)) == 0);
    int raw = socket(AF_UNIX, SOCK_RAW, 0);
    check("raw is datagrams", option(raw, SO_TYPE) == SOCK_DGRAM);
    close(raw);
    check_error("nowhere to tell", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8L), EFAULT);
    check("no descriptor was left", socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pair[0] == 3 && pair[1] == 4);
    close(pair[0]), close(pair[1]);
    check_error("no descriptor", getsockopt(77, SOL_SOCKET, SO_TYPE, pair, &(socklen_t){4}), EBADF);
    check_error("no socket", getsockopt(0, SOL_SOCKET, SO_TYPE, pair, &(socklen_t){4}), ENOTSOCK);
    int place = open("/", O_PATH);
    check_error("a place", listen(place, 1), EBADF);
    close(place);
}

static void values(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), value = 0;
    check("type", option(fd, SO_TYPE) == SOCK_SEQPACKET);
    check("domain", option(fd, SO_DOMAIN) == AF_UNIX);
    check("protocol", option(fd, SO_PROTOCOL) == 0);
    check("error", option(fd, SO_ERROR) == 0);
    check("does not listen", option(fd, SO_ACCEPTCONN) == 0);
    bind_to(fd, "@options");
    check("listens", listen(fd, 1) == 0 && option(fd, SO_ACCEPTCONN) == 1);
    int on_or_off[] = {SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, SO_DONTROUTE, SO_OOBINLINE, SO_PASSCRED};
    int good = 1;
    for (int i = 0; i < 6; i++) {
        good &= option(fd, on_or_off[i]) == 0;
        good &= set(fd, on_or_off[i], 5) == 0 && option(fd, on_or_off[i]) == 1;
        good &= set(fd, on_or_off[i], 0) == 0 && option(fd, on_or_off[i]) == 0;
    }
    check("on or off", good);
    check("send buffer", option(fd, SO_SNDBUF) == 212992);
    check("receive buffer", option(fd, SO_RCVBUF) == 212992);
    check("doubled", set(fd, SO_SNDBUF, 10000) == 0 && option(fd, SO_SNDBUF) == 20000);
    check("at least", set(fd, SO_SNDBUF, 1) == 0 && option(fd, SO_SNDBUF) == 4608 && set(fd, SO_RCVBUF, 1) == 0 &&
          option(fd, SO_RCVBUF) == 2304);
    check("at most", set(fd, SO_SNDBUF, 10000000) == 0 && option(fd, SO_SNDBUF) < 20000000);
    check("privileged", set(fd, SO_SNDBUFFORCE, 1000000) == 0 && option(fd, SO_SNDBUF) == 2000000);
    check("low marks", option(fd, SO_RCVLOWAT) == 1 && option(fd, SO_SNDLOWAT) == 1);
    check("priority", set(fd, SO_PRIORITY, 6) == 0 && option(fd, SO_PRIORITY) == 6);
    struct linger linger = {1, 30};
    socklen_t length = sizeof linger;
    check("linger", setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    linger = (struct linger){0};
    check("lingers", getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_onoff == 1 &&
          linger.l_linger == 30);

    check_error("unknown", set(fd, 9999, 1), ENOPROTOOPT);
    check_error("unknown to read", option(fd, 9999), ENOPROTOOPT);
    check_error("only to read", set(fd, SO_TYPE, 1), ENOPROTOOPT);
    check_error("too short", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 3), EINVAL);
    check_error("linger is longer", setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, 4), EINVAL);
    check_error("bad pointer", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4), EFAULT);
    check_error("another level", setsockopt(fd, IPPROTO_TCP, 1, &value, 4), EOPNOTSUPP);
    check_error("another level to read", getsockopt(fd, IPPROTO_TCP, 1, &value, &(socklen_t){4}), EOPNOTSUPP);
    length = 2;
    value = -1;
    check("cut", getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && length == 2 && value == (int)0xffff0005);
    length = 40;
    check("length", getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && length == 4);
    check_error("negative length", getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &(socklen_t){-1}), EINVAL);
    close(fd);

    pid_t child = fork();
    int status;
    if (child == 0) {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        setresuid(55, 55, 55);
        int wrong = set(fd, SO_SNDBUFFORCE, 1) != -1 || errno != EPERM;
        wrong |= set(fd, SO_DEBUG, 1) != -1 || errno != EACCES;
        wrong |= set(fd, SO_PRIORITY, 7) != -1 || errno != EPERM;
        _exit(wrong);
    }
    waitpid(child, &status, 0);
    check("what only an administrator may", status == 0);
}

static void limits(void)
{
    int pair[2];
    static char bytes[400000];
    struct timeval limit = {0, 20000}, got;
    socklen_t length = sizeof got;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    check("no limit", getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &got, &length) == 0 && got.tv_sec == 0 &&
          got.tv_usec == 0);
    check("set", setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
          setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
    check("get", getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &got, &length) == 0 && got.tv_sec == 0 &&
          got.tv_usec == 20000);
    check_error("read ends", read(pair[0], bytes, 1), EAGAIN);
    write(pair[1], "abc", 3);
    check("MSG_WAITALL ends with what there is", recv(pair[0], bytes, 10, MSG_WAITALL) == 3);
    ssize_t sent = write(pair[0], bytes, sizeof bytes);
    check("write ends with what it could", sent > 0 && sent < (ssize_t)sizeof bytes);
    check_error("then with nothing", write(pair[0], bytes, 1), EAGAIN);
    limit.tv_usec = 1000000;
    check_error("no microseconds", setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), EDOM);
    check_error("too short", setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, 8), EINVAL);
    check("low mark", set(pair[1], SO_RCVLOWAT, 5) == 0 && option(pair[1], SO_RCVLOWAT) == 5);
    close(pair[0]), close(pair[1]);
}

static volatile int signals;

static void on_alarm(int number)
{
    (void)number;
    signals++;
}

/* Interrupts a receive by signals until it ends; returns its result or the negative errno. */
static int interrupted(int flags, long limit_us)
{
    int pair[2];
    char byte;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    struct timeval limit = {limit_us / 1000000, limit_us % 1000000};
    sigaction(SIGUSR1, &action, NULL);
    signals = 0;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        for (int i = 0; i < 20; i++) {
            wait_until_asleep(parent);
            kill(parent, SIGUSR1);
        }
        /* The receiver may sleep again after each: a byte ends it in any case. */
        _exit(write(pair[1], "x", 1) == 1 ? 0 : 1);
    }
    int result = recv(pair[0], &byte, 1, 0);
    int error = errno;
    waitpid(child, NULL, 0);
    close(pair[0]), close(pair[1]);
    return result < 0 ? -error : result;
}

static void restarts(void)
{
    check("SA_RESTART restarts", interrupted(SA_RESTART, 0) == 1 && signals > 0);
    check("without it, EINTR", interrupted(0, 0) == -EINTR);
    check("with a time limit, EINTR", interrupted(SA_RESTART, 60000000) == -EINTR);
}

int main(void)
{
    making();
    values();
    limits();
    restarts();
    return finish();
}
