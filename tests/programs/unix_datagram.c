/* AF_UNIX datagrams and sequenced packets. */
#define _GNU_SOURCE
#include "sockets.h"

static volatile int pipe_signals;

static void on_pipe(int number)
{
    (void)number;
    pipe_signals++;
}

static int datagram_at(const char *name)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    return bind_to(fd, name) ? -1 : fd;
}

static void packets(int kind)
{
    int pair[2];
    char text[16] = "";
    check("pair", socketpair(AF_UNIX, kind, 0, pair) == 0);
    check("send", send(pair[0], "first", 5, 0) == 5 && write(pair[0], "second", 6) == 6 && send(pair[0], "", 0, 0) == 0);
    check("peek", recv(pair[1], text, 3, MSG_PEEK) == 3 && memcmp(text, "fir", 3) == 0);
    check("real length", recv(pair[1], text, 3, MSG_PEEK | MSG_TRUNC) == 5);
    int waiting = 0;
    ioctl(pair[1], FIONREAD, &waiting);
    check("bytes to read", waiting == (kind == SOCK_DGRAM ? 5 : 11));
    struct iovec area = {text, 3};
    struct msghdr message = {.msg_iov = &area, .msg_iovlen = 1};
    check("cut", recvmsg(pair[1], &message, 0) == 3 && message.msg_flags == MSG_TRUNC);
    area.iov_len = 16;
    check("the rest is lost", recvmsg(pair[1], &message, 0) == 6 && message.msg_flags == 0 &&
          memcmp(text, "second", 6) == 0);
    check("empty packet", recv(pair[1], text, 16, 0) == 0 && events(pair[1]) == POLLOUT);
    check_error("nothing left", recv(pair[1], text, 16, MSG_DONTWAIT), EAGAIN);

    check("shutdown", shutdown(pair[0], SHUT_WR) == 0);
    check_error("EPIPE", write(pair[0], "x", 1), EPIPE);
    check("without SIGPIPE", pipe_signals == 0);
    if (kind == SOCK_SEQPACKET) {
        check("other side", events(pair[1]) == (POLLIN | POLLOUT | POLLRDHUP));
        check("end", read(pair[1], text, 1) == 0 && recv(pair[1], text, 1, MSG_DONTWAIT) == 0);
    } else {
        check("other side", events(pair[1]) == POLLOUT);
    }
    close(pair[0]);
    check("after close", (events(pair[1]) & POLLHUP) == (kind == SOCK_SEQPACKET ? POLLHUP : 0));
    check_error("nobody there", send(pair[1], "x", 1, 0), kind == SOCK_SEQPACKET ? EPIPE : ECONNREFUSED);
    close(pair[1]);
}

static void names(void)
{
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    char text[16];
    int one = datagram_at("@one"), two = datagram_at("two"), nameless = socket(AF_UNIX, SOCK_DGRAM, 0);
    check_error("whereto", send(nameless, "x", 1, 0), ENOTCONN);
    check_error("nobody", send_to(nameless, "x", 1, "@none"), ECONNREFUSED);
    check("send to a name", send_to(one, "abc", 3, "two") == 3);
    check("from whom", recvfrom(two, text, 16, 0, (struct sockaddr *)&address, &length) == 3 && length == 2 + 4 &&
          memcmp(address.sun_path, "\0one", 4) == 0);
    send_to(nameless, "x", 1, "two");
    length = sizeof address;
    check("from nobody", recvfrom(two, text, 16, 0, (struct sockaddr *)&address, &length) == 1 && length == 0);
    length = 4;
    send_to(one, "x", 1, "two");
    memset(&address, 7, sizeof address);
    check("short room for the name", recvfrom(two, text, 16, 0, (struct sockaddr *)&address, &length) == 1 &&
          length == 6 && address.sun_path[2] == 7);

    check("connect", connect_to(two, "@one") == 0);
    check_error("others are refused", send_to(nameless, "x", 1, "two"), EPERM);
    check_error("to connect too", connect_to(nameless, "two"), EPERM);
    check("the peer may", send_to(one, "y", 1, "two") == 1);
    check("and back", send(two, "z", 1, 0) == 1 && recv(one, text, 16, 0) == 1);
    int three = datagram_at("@three");
    check("connect elsewhere", connect_to(two, "@three") == 0);
    check_error("what the old peer sent is lost", recv(two, text, 16, MSG_DONTWAIT), EAGAIN);
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    check("disconnect", connect(two, &nobody, sizeof nobody) == 0);
    length = sizeof address;
    check_error("no peer", getpeername(two, (struct sockaddr *)&address, &length), ENOTCONN);
    check("others may again", send_to(nameless, "x", 1, "two") == 1);

    check("connect to each other", connect_to(two, "@three") == 0 && connect_to(three, "two") == 0);
    send(three, "lost", 4, 0);
    check("leave", connect(two, &nobody, sizeof nobody) == 0);
    check_error("the other one learns it", recv(three, text, 16, MSG_DONTWAIT), ECONNRESET);

    close(two);
    check_error("closed peer", send(three, "x", 1, 0), ECONNREFUSED);
    check_error("is forgotten", send(three, "x", 1, 0), ENOTCONN);
    check_error("closed, by name", send_to(one, "x", 1, "two"), ECONNREFUSED);
    int stream = socket(AF_UNIX, SOCK_STREAM, 0);
    two = -1;
    unlink("two");
    two = datagram_at("two");
    check_error("another kind of socket", connect_to(stream, "two"), EPROTOTYPE);
    check_error("datagrams do not listen", listen(two, 1), EOPNOTSUPP);
    check_error("nor accept", accept(two, NULL, NULL), EOPNOTSUPP);
    check("self", send_to(two, "me", 2, "two") == 2 && recv(two, text, 16, 0) == 2);
    close(one), close(two), close(three), close(nameless), close(stream);
    unlink("two");
}

static void room(void)
{
    static char bytes[300000];
    char text[16];
    int to = datagram_at("@to"), from = socket(AF_UNIX, SOCK_DGRAM, 0), count = 0;
    check_error("too long", send_to(from, bytes, sizeof bytes, "@to"), EMSGSIZE);
    check("long", send_to(from, bytes, 100000, "@to") == 100000);
    check("arrives whole", recv(to, bytes, sizeof bytes, 0) == 100000);

    connect_to(from, "@to");
    while (send(from, "x", 1, MSG_DONTWAIT) == 1)
        count++;
    check("a queue of a few", count == 11);
    check_error("is full", send(from, "x", 1, MSG_DONTWAIT), EAGAIN);
    check("no room", !has_room(from));
    pid_t child = fork();
    if (child == 0)
        _exit(send(from, "waited", 6, 0) == 6 ? 0 : 1);
    for (int i = 0; i < 11; i++)
        recv(to, text, 16, 0);
    check("the sender that waited goes on", recv(to, text, 16, 0) == 6);
    int status;
    waitpid(child, &status, 0);
    check("and tells", status == 0 && has_room(from));
    shutdown(to, SHUT_RD);
    check_error("shut", send(from, "x", 1, 0), EPIPE);
    close(to), close(from);

    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    count = 0;
    while (send(pair[0], bytes, 1000, MSG_DONTWAIT) == 1000)
        count++;
    check("a pair has room for more", count > 20 && count < 300);
    close(pair[0]), close(pair[1]);

    pair[0] = pair[1] = -1;
    count = 0;
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    while (count < 100000 && send(pair[0], bytes, 0, MSG_DONTWAIT) == 0)
        count++;
    check("empty packets are bounded", count < 100000);
    close(pair[0]), close(pair[1]);
}

static void many(void)
{
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    char one[8], two[8];
    struct iovec out[2] = {{"a", 1}, {"bc", 2}}, in[2] = {{one, 8}, {two, 8}};
    struct mmsghdr messages[3] = {{.msg_hdr = {.msg_iov = &out[0], .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = &out[1], .msg_iovlen = 1}}};
    check("sendmmsg", sendmmsg(pair[0], messages, 2, 0) == 2 && messages[0].msg_len == 1 && messages[1].msg_len == 2);
    memset(messages, 0, sizeof messages);
    messages[0].msg_hdr = (struct msghdr){.msg_iov = &in[0], .msg_iovlen = 1};
    messages[1].msg_hdr = (struct msghdr){.msg_iov = &in[1], .msg_iovlen = 1};
    messages[2].msg_hdr = (struct msghdr){.msg_iov = &in[1], .msg_iovlen = 1};
    check("recvmmsg", recvmmsg(pair[1], messages, 3, MSG_WAITFORONE, NULL) == 2 && messages[1].msg_len == 2 &&
          one[0] == 'a' && two[1] == 'c');
    check_error("nothing there", recvmmsg(pair[1], messages, 3, MSG_DONTWAIT, NULL), EAGAIN);
    check_error("bad time", recvmmsg(pair[1], messages, 3, 0, &(struct timespec){0, -1}), EINVAL);
    close(pair[0]), close(pair[1]);
}

static void connections(void)
{
    char text[8];
    int server = listener(SOCK_SEQPACKET, "@packets", 5), client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    check_error("not connected: send", send(client, "x", 1, 0), ENOTCONN);
    check_error("not connected: receive", recv(client, text, 1, 0), ENOTCONN);
    check("connect", connect_to(client, "@packets") == 0);
    int peer = accept(server, NULL, NULL);
    check("records", send(client, "ab", 2, MSG_EOR) == 2 && send(client, "c", 1, 0) == 1 &&
          recv(peer, text, 8, 0) == 2 && recv(peer, text, 8, 0) == 1);
    send(client, "lost", 4, 0);
    close(peer);
    check_error("unread packet", recv(client, text, 8, 0), ECONNRESET);
    check("then the end", recv(client, text, 8, 0) == 0);
    close(client), close(server);
}

int main(void)
{
    signal(SIGPIPE, on_pipe);
    packets(SOCK_DGRAM);
    packets(SOCK_SEQPACKET);
    names();
    room();
    many();
    connections();
    return finish();
}
