/* AF_UNIX streams: connecting, the bytes' way, the end of a connection, and what poll(2) says all the while. */
#include "sockets.h"
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

static volatile int pipe_signals;

static void on_pipe(int number)
{
    (void)number;
    pipe_signals++;
}

static void pairs(void)
{
    int pair[2];
    char text[64];
    struct stat status;
    check("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    check("new pair can be written", events(pair[0]) == POLLOUT);
    check("write", write(pair[0], "hello ", 6) == 6 && write(pair[0], "world", 5) == 5);
    check("bytes to read", ioctl(pair[1], FIONREAD, &(int){0}) == 0);
    int waiting = 0, unread = 0;
    ioctl(pair[1], FIONREAD, &waiting);
    ioctl(pair[0], TIOCOUTQ, &unread);
    check("FIONREAD counts", waiting == 11);
    check("TIOCOUTQ counts at least the bytes", unread >= 11);
    check("readable", events(pair[1]) == (POLLIN | POLLOUT));
    check("peek", recv(pair[1], text, 8, MSG_PEEK) == 8 && memcmp(text, "hello wo", 8) == 0);
    check("writes are one stream", read(pair[1], text, sizeof text) == 11 && memcmp(text, "hello world", 11) == 0);
    ioctl(pair[0], TIOCOUTQ, &unread);
    check("nothing unread is left", unread == 0);
    check_error("nothing to read", recv(pair[1], text, 8, MSG_DONTWAIT), EAGAIN);
    check("read of nothing", read(pair[1], text, 0) == 0);

    struct iovec out[2] = {{"ab", 2}, {"cd", 2}}, in[2] = {{text, 3}, {text + 10, 3}};
    check("writev", writev(pair[1], out, 2) == 4);
    check("readv", readv(pair[0], in, 2) == 4 && memcmp(text, "abc", 3) == 0 && text[10] == 'd');

    check("fstat", fstat(pair[0], &status) == 0 && S_ISSOCK(status.st_mode) && (status.st_mode & 0777) == 0777);
    char link[64], path[64], expected[64];
    sprintf(path, "/proc/self/fd/%d", pair[0]);
    ssize_t length = readlink(path, link, sizeof link - 1);
    sprintf(expected, "socket:[%lu]", (unsigned long)status.st_ino);
    check("name in /proc", length > 0 && (link[length] = 0, strcmp(link, expected) == 0));
    check_error("no second open", open(path, O_RDWR), ENXIO);
    check_error("no seek", lseek(pair[0], 0, SEEK_SET), ESPIPE);
    check_error("no pread", pread(pair[0], text, 1, 0), ESPIPE);
    check_error("no out-of-band data to read", recv(pair[0], text, 1, MSG_OOB), EINVAL);

    check("FIONBIO", ioctl(pair[0], FIONBIO, &(int){1}) == 0);
    check("is O_NONBLOCK", fcntl(pair[0], F_GETFL) == (O_RDWR | O_NONBLOCK));
    check_error("read does not block", read(pair[0], text, 1), EAGAIN);
    check("close", close(pair[0]) == 0 && close(pair[1]) == 0);

    check("flags of a pair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0 &&
          fcntl(pair[1], F_GETFD) == FD_CLOEXEC && fcntl(pair[1], F_GETFL) == (O_RDWR | O_NONBLOCK));
    close(pair[0]);
    close(pair[1]);
}

/* Fills a socket; returns how many bytes it took. */
static long fill(int fd, size_t step)
{
    static char bytes[65536];
    long sum = 0;
    ssize_t count;
    while ((count = send(fd, bytes, step, MSG_DONTWAIT)) > 0)
        sum += count;
    return errno == EAGAIN ? sum : -1;
}

static void room(void)
{
    int pair[2], size = 0;
    socklen_t length = sizeof size;
    static char bytes[1 << 20];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    long taken = fill(pair[0], 65536);
    check("a full socket takes no more", taken > 65536 && taken < 1 << 20);
    check("no room", !has_room(pair[0]));
    check("the other way is free", has_room(pair[1]));
    check("half is not room", read(pair[1], bytes, taken / 2) == taken / 2 && !has_room(pair[0]));
    long left = taken - taken / 2;
    while (left > 0)
        left -= read(pair[1], bytes, left);
    check("room again", has_room(pair[0]) && left == 0);

    check("small buffer", setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int)) == 0);
    getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, &length);
    check("is doubled", size == 16384);
    long small = fill(pair[0], 4096);
    check("and holds", small > 0 && small < 40000);
    pid_t child = fork();
    if (child == 0)
        _exit(write(pair[0], bytes, 100) == 100 ? 0 : 1);
    usleep(20000); /* The child sleeps by now, or finds room at once. */
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){200000}, sizeof(int));
    int status;
    waitpid(child, &status, 0);
    check("a greater buffer lets a sleeper go on", status == 0);
    close(pair[0]);
    close(pair[1]);

    /* A writer that sleeps goes on when somebody reads, and every byte arrives in order. */
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    child = fork();
    if (child == 0) {
        close(pair[0]);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = i * 7 + (i >> 8);
        _exit(write(pair[1], bytes, sizeof bytes) == sizeof bytes ? 0 : 1);
    }
    close(pair[1]);
    size_t done = 0;
    ssize_t count;
    while (done < sizeof bytes && (count = recv(pair[0], bytes + done, 10000, MSG_WAITALL)) > 0)
        done += count;
    int wrong = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        wrong += bytes[i] != (char)(i * 7 + (i >> 8));
    waitpid(child, &status, 0);
    check("a megabyte passes", done == sizeof bytes && wrong == 0 && status == 0);
    check("then the end", read(pair[0], bytes, 1) == 0);
    close(pair[0]);
}

static void ends(void)
{
    int pair[2], error = 0;
    socklen_t length = sizeof error;
    char text[8];
    signal(SIGPIPE, on_pipe);

    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    write(pair[1], "x", 1);
    close(pair[1]);
    check("peer closed, data left", events(pair[0]) == (POLLIN | POLLOUT | POLLHUP | POLLRDHUP));
    check("data, then the end", read(pair[0], text, 8) == 1 && read(pair[0], text, 8) == 0);
    check_error("EPIPE", write(pair[0], "x", 1), EPIPE);
    check("SIGPIPE", pipe_signals == 1);
    check_error("EPIPE without signal", send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    check("no SIGPIPE", pipe_signals == 1);
    close(pair[0]);

    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    write(pair[0], "lost", 4);
    close(pair[1]);
    check("unread data is an error", (events(pair[0]) & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
    check_error("ECONNRESET", read(pair[0], text, 8), ECONNRESET);
    check("once", read(pair[0], text, 8) == 0);
    close(pair[0]);

    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    write(pair[0], "lost", 4);
    close(pair[1]);
    check("SO_ERROR tells", getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == ECONNRESET);
    check("and clears", getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0);
    close(pair[0]);

    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    check("half close", shutdown(pair[0], SHUT_WR) == 0);
    check("shut side", events(pair[0]) == POLLOUT);
    check("other side", events(pair[1]) == (POLLIN | POLLOUT | POLLRDHUP));
    check("the end", read(pair[1], text, 8) == 0);
    check_error("shut side writes no more", write(pair[0], "x", 1), EPIPE);
    check("other way is open", write(pair[1], "back", 4) == 4 && read(pair[0], text, 8) == 4);
    check("shut the rest", shutdown(pair[0], SHUT_RD) == 0);
    check("all shut", events(pair[0]) == (POLLIN | POLLOUT | POLLHUP | POLLRDHUP) &&
          events(pair[1]) == (POLLIN | POLLOUT | POLLHUP | POLLRDHUP));
    check_error("other side too", write(pair[1], "x", 1), EPIPE);
    check_error("bad way to shut", shutdown(pair[0], 3), EINVAL);
    close(pair[0]);
    close(pair[1]);
    signal(SIGPIPE, SIG_DFL);

    /* The end wakes a sleeping reader. */
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    if (fork() == 0) {
        close(pair[0]);
        _exit(0);
    }
    close(pair[1]);
    check("reader sees the end", read(pair[0], text, 8) == 0);
    wait(NULL);
    close(pair[0]);
}

static void connections(void)
{
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    char text[8];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    check("new socket", events(fd) == (POLLOUT | POLLHUP));
    check_error("not connected: write", send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    check_error("not connected: read", read(fd, text, 1), EINVAL);
    check_error("no peer", getpeername(fd, (struct sockaddr *)&address, &length), ENOTCONN);
    check_error("nobody at this path", connect_to(fd, "nobody"), ENOENT);
    check_error("nobody at this name", connect_to(fd, "@nobody"), ECONNREFUSED);
    check_error("listen without a name", listen(fd, 1), EINVAL);
    check_error("accept without listen", accept(fd, NULL, NULL), EINVAL);
    check("shutdown of a new socket", shutdown(fd, SHUT_RDWR) == 0);
    close(fd);

    int server = listener(SOCK_STREAM, "server", 1);
    check("listens", server >= 0 && events(server) == 0);
    check_error("a listener connects nowhere", connect_to(server, "server"), EINVAL);
    int first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);
    int third = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    check("connect", connect_to(first, "server") == 0);
    check("connection waits", events(server) == POLLIN);
    check("before it is accepted", events(first) == POLLOUT && write(first, "early", 5) == 5);
    check("backlog is one more", connect_to(second, "server") == 0);
    check_error("then it is full", connect_to(third, "server"), EAGAIN);
    int peer = accept4(server, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    check("accept", peer >= 0 && length == 2 && address.sun_family == AF_UNIX);
    check("flags of accept4", fcntl(peer, F_GETFD) == FD_CLOEXEC && fcntl(peer, F_GETFL) == (O_RDWR | O_NONBLOCK));
    /* musl would try again without flags. */
    check_error("bad flags of accept4", syscall(SYS_accept4, server, NULL, NULL, 1), EINVAL);
    check_error("connected already", connect_to(first, "server"), EISCONN);
    check("early data", read(peer, text, 8) == 5);
    check("room in the backlog", connect_to(third, "server") == 0);
    length = sizeof address;
    check("peer's name", getpeername(first, (struct sockaddr *)&address, &length) == 0 && length == 2 + 7 &&
          strcmp(address.sun_path, "server") == 0);
    length = sizeof address;
    check("accepted has the name", getsockname(peer, (struct sockaddr *)&address, &length) == 0 &&
          strcmp(address.sun_path, "server") == 0);
    check_error("address and connection", send_to(first, "x", 1, "server"), EISCONN);
    check_error("address without connection", send_to(server, "x", 1, "server"), EOPNOTSUPP);
    check_error("a connection does not listen", listen(first, 1), EINVAL);

    close(server);
    check("unaccepted is reset", (events(second) & (POLLHUP | POLLERR)) == (POLLHUP | POLLERR));
    check_error("with an error", read(second, text, 1), ECONNRESET);
    int late = socket(AF_UNIX, SOCK_STREAM, 0);
    check_error("nobody listens any more", connect_to(late, "server"), ECONNREFUSED);
    check("the accepted one lives", write(peer, "x", 1) == 1 && read(first, text, 8) == 1);
    close(first), close(second), close(third), close(peer), close(late);
    unlink("server");

    /* accept sleeps until somebody comes, connect until there is room. */
    server = listener(SOCK_STREAM, "@queue", 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    connect_to(fd, "@queue");
    pid_t child = fork();
    if (child == 0) {
        int one = socket(AF_UNIX, SOCK_STREAM, 0);
        _exit(connect_to(one, "@queue") == 0 && write(one, "y", 1) == 1 ? 0 : 1);
    }
    int one = accept(server, NULL, NULL), two = accept(server, NULL, NULL), status;
    waitpid(child, &status, 0);
    check("both came", one >= 0 && two >= 0 && status == 0 && read(two, text, 1) == 1);
    close(fd), close(one), close(two);

    if ((child = fork()) == 0) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        _exit(connect_to(client, "@queue"));
    }
    one = accept(server, NULL, NULL);
    waitpid(child, NULL, 0);
    check("client came and went", one >= 0 && read(one, text, 1) == 0);
    close(one);
    check("shut listener", shutdown(server, SHUT_RD) == 0);
    check_error("accepts no more", accept(server, NULL, NULL), EINVAL);
    close(server);
}

static void kernel_copies(void)
{
    int pair[2], ends[2];
    char text[16];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    int file = open("data", O_RDWR | O_CREAT, 0600);
    write(file, "0123456789", 10);
    off_t start = 2;
    check("sendfile", sendfile(pair[0], file, &start, 5) == 5 && start == 7);
    check("arrives", read(pair[1], text, 16) == 5 && memcmp(text, "23456", 5) == 0);
    pipe(ends);
    write(ends[1], "piped", 5);
    check("splice to a socket", splice(ends[0], NULL, pair[0], NULL, 100, 0) == 5);
    check("splice from a socket", splice(pair[1], NULL, ends[1], NULL, 100, 0) == 5);
    check("came through", read(ends[0], text, 16) == 5 && memcmp(text, "piped", 5) == 0);
    close(file), unlink("data");
    close(pair[0]), close(pair[1]), close(ends[0]), close(ends[1]);
}

static void edges(void)
{
    int pair[2], watch = epoll_create1(0);
    char text[8];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    struct epoll_event event = {EPOLLIN | EPOLLRDHUP | EPOLLET, {.u32 = 7}}, got;
    epoll_ctl(watch, EPOLL_CTL_ADD, pair[0], &event);
    check("quiet", epoll_wait(watch, &got, 1, 0) == 0);
    write(pair[1], "a", 1);
    check("edge", epoll_wait(watch, &got, 1, 0) == 1 && got.events == EPOLLIN);
    check("only once", epoll_wait(watch, &got, 1, 0) == 0);
    write(pair[1], "b", 1);
    check("each write is an edge", epoll_wait(watch, &got, 1, 0) == 1);
    read(pair[0], text, 8);
    shutdown(pair[1], SHUT_WR);
    check("half close is an edge", epoll_wait(watch, &got, 1, 0) == 1 && got.events == (EPOLLIN | EPOLLRDHUP));
    close(pair[1]);
    check("close is an edge", epoll_wait(watch, &got, 1, 0) == 1 && (got.events & EPOLLHUP));
    close(pair[0]), close(watch);
}

/* A send whose buffer ends early comes back, though nobody reads. */
static void cut_short(void)
{
    int pair[2];
    size_t page = 4096;
    char *bytes = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(bytes + page, page);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    alarm(30);
    ssize_t sent = send(pair[0], bytes, 2 * page, 0);
    alarm(0);
    check("a bad end of the buffer", sent == (ssize_t)page || sent == -1);
    check("the rest of the stream", write(pair[0], "x", 1) == 1);
    close(pair[0]), close(pair[1]), munmap(bytes, page);
}

static void *send_and_close(void *argument)
{
    int fd = *(int *)argument;
    write(fd, "x", 1);
    close(fd);
    return NULL;
}

/* A byte that comes just before the end is read before the end. */
static void last_byte(void)
{
    int pair[2], lost = 0;
    char byte;
    pthread_t thread;
    for (time_t end = time(NULL) + 2; time(NULL) < end;) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
        pthread_create(&thread, NULL, send_and_close, &pair[1]);
        ssize_t count;
        while ((count = recv(pair[0], &byte, 1, MSG_DONTWAIT)) == -1)
            sched_yield();
        lost += count != 1;
        pthread_join(thread, NULL);
        close(pair[0]);
    }
    check("no end before the last byte", lost == 0);
}

int main(void)
{
    pairs();
    cut_short();
    room();
    ends();
    connections();
    kernel_copies();
    edges();
    last_byte();
    return finish();
}
