/* Files and credentials in messages of AF_UNIX sockets. */
#define _GNU_SOURCE
#include "sockets.h"
#include <dirent.h>
#include <grp.h>
#include <sys/resource.h>

static int open_count(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void files(int kind)
{
    int pair[2], ends[2], got[300], count, answer;
    char text[64];
    int before = open_count();
    socketpair(AF_UNIX, kind, 0, pair);
    pipe(ends);
    check("send a file", send_files(pair[0], "file", &ends[1], 1, 0) == 4);
    check("receive it", receive_files(pair[1], text, 64, got, 1, &count, &answer, 0) == 4 && count == 1 && answer == 0);
    check("it is the same", got[0] != ends[1] && write(got[0], "x", 1) == 1 && read(ends[0], text, 1) == 1);
    check("stays open at exec", fcntl(got[0], F_GETFD) == 0);
    close(got[0]);

    int two[2] = {ends[0], ends[1]};
    send_files(pair[0], "two", two, 2, 0);
    check("close on exec", receive_files(pair[1], text, 64, got, 2, &count, &answer, MSG_CMSG_CLOEXEC) == 3 &&
          count == 2 && fcntl(got[0], F_GETFD) == FD_CLOEXEC && fcntl(got[1], F_GETFD) == FD_CLOEXEC);
    close(got[0]), close(got[1]);
    send_files(pair[0], "two", two, 2, 0);
    check("room for one", receive_files(pair[1], text, 64, got, 1, &count, &answer, 0) == 3 && count == 1 &&
          (answer & MSG_CTRUNC));
    close(got[0]);
    send_files(pair[0], "two", two, 2, 0);
    check("room for none", receive_files(pair[1], text, 64, got, 0, &count, &answer, 0) == 3 && count == 0 &&
          (answer & MSG_CTRUNC));
    send_files(pair[0], "two", two, 2, 0);
    check("read drops them", read(pair[1], text, 64) == 3);
    send_files(pair[0], "peek", two, 1, 0);
    check("peek brings copies", receive_files(pair[1], text, 64, got, 1, &count, &answer, MSG_PEEK) == 4 && count == 1);
    close(got[0]);
    check("and leaves them", receive_files(pair[1], text, 64, got, 1, &count, &answer, 0) == 4 && count == 1);
    close(got[0]);

    check_error("bad descriptor", send_files(pair[0], "x", (int[]){-1}, 1, 0), EBADF);
    check_error("closed descriptor", send_files(pair[0], "x", (int[]){999}, 1, 0), EBADF);
    int many[254];
    for (int i = 0; i < 254; i++)
        many[i] = ends[0];
    check_error("too many", send_files(pair[0], "x", many, 254, 0), EINVAL);
    check("just not too many", send_files(pair[0], "x", many, 253, 0) == 1);
    check("all come", receive_files(pair[1], text, 64, got, 253, &count, &answer, 0) == 1 && count == 253);
    for (int i = 0; i < count; i++)
        close(got[i]);

    /* A file on the way is open: the pipe's end comes when the message goes. */
    close(ends[1]);
    pipe(ends);
    send_files(pair[0], "x", &ends[1], 1, 0);
    close(ends[1]);
    check("writer on the way", (events(ends[0]) & POLLHUP) == 0);
    close(pair[0]), close(pair[1]);
    check("gone with its socket", (events(ends[0]) & POLLHUP) != 0);
    for (int fd = 3; fd < 20; fd++)
        close(fd);
    (void)before;
}

static void streams(void)
{
    int pair[2], got[4], count, answer;
    char text[64];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    write(pair[0], "aa", 2);
    send_files(pair[0], "bb", &pair[0], 1, 0);
    send_files(pair[0], "cc", &pair[0], 1, 0);
    write(pair[0], "dd", 2);
    check("a message ends with its files", receive_files(pair[1], text, 64, got, 2, &count, &answer, 0) == 4 &&
          count == 1 && memcmp(text, "aabb", 4) == 0);
    close(got[0]);
    check("they come with the first byte", receive_files(pair[1], text, 1, got, 2, &count, &answer, 0) == 1 &&
          count == 1);
    close(got[0]);
    check("and once", receive_files(pair[1], text, 64, got, 2, &count, &answer, 0) == 3 && count == 0);
    struct msghdr none = {.msg_iovlen = 0};
    check("no bytes, no message", sendmsg(pair[0], &none, 0) == 0);
    check_error("nothing came", recv(pair[1], text, 1, MSG_DONTWAIT), EAGAIN);
    close(pair[0]), close(pair[1]);
}

/* Sockets that are on the way in each other and that nobody else has: the pipe's end shows when they are gone. */
static void circles(void)
{
    int ends[2], one[2], two[2];
    pipe(ends);
    socketpair(AF_UNIX, SOCK_STREAM, 0, one);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, two);
    send_files(one[0], "pipe", &ends[1], 1, 0);
    send_files(one[0], "two", &two[1], 1, 0);
    send_files(two[0], "one", &one[1], 1, 0);
    close(ends[1]);
    close(one[0]), close(two[0]);
    check("held", (events(ends[0]) & POLLHUP) == 0);
    close(one[1]), close(two[1]);
    /* Linux looks for garbage when a socket closes. */
    socketpair(AF_UNIX, SOCK_STREAM, 0, one);
    close(one[0]), close(one[1]);
    check("a circle is collected", poll(&(struct pollfd){ends[0], 0, 0}, 1, 5000) == 1);
    close(ends[0]);

    /* A circle that somebody still has a way into stays. */
    int keep[2], got[2], count, answer;
    char text[8];
    pipe(ends);
    socketpair(AF_UNIX, SOCK_STREAM, 0, one);
    socketpair(AF_UNIX, SOCK_STREAM, 0, keep);
    send_files(one[0], "p", &ends[1], 1, 0);
    send_files(one[0], "s", &one[1], 1, 0);
    send_files(keep[0], "k", &one[1], 1, 0);
    close(ends[1]), close(one[0]), close(one[1]);
    check("reachable is no garbage", (events(ends[0]) & POLLHUP) == 0);
    check("it comes out", receive_files(keep[1], text, 8, got, 1, &count, &answer, 0) == 1 && count == 1);
    check("with what it holds", receive_files(got[0], text, 8, got + 1, 1, &count, &answer, 0) == 1 && count == 1 &&
          write(got[1], "x", 1) == 1);
    close(got[0]), close(got[1]), close(keep[0]), close(keep[1]), close(ends[0]);

    /* A long chain, each in the message of the next, ends all at once. */
    pipe(ends);
    int held = ends[1];
    for (int i = 0; i < 2000; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, one) || send_files(one[0], "x", &held, 1, 0) != 1) {
            check("chain", 0);
            break;
        }
        close(held), close(one[0]);
        held = one[1];
    }
    close(held);
    check("a chain ends", poll(&(struct pollfd){ends[0], 0, 0}, 1, 20000) == 1);
    close(ends[0]);
}

/* Receives one byte and its credentials. */
static int credentials(int fd, struct ucred *got)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    char byte;
    struct iovec area = {&byte, 1};
    struct msghdr message = {.msg_iov = &area, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    if (recvmsg(fd, &message, 0) != 1)
        return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_CREDENTIALS)
        return 0;
    memcpy(got, CMSG_DATA(header), sizeof *got);
    return 1;
}

static int claim(int fd, struct ucred claimed)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct iovec area = {"x", 1};
    struct msghdr message = {.msg_iov = &area, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof claimed), .cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_CREDENTIALS};
    memcpy(CMSG_DATA(header), &claimed, sizeof claimed);
    return sendmsg(fd, &message, 0);
}

static void who(int kind)
{
    int pair[2], status;
    struct ucred got = {0};
    socklen_t length = sizeof got;
    socketpair(AF_UNIX, kind, 0, pair);
    check("SO_PEERCRED", getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &got, &length) == 0 && length == 12 &&
          got.pid == getpid() && got.uid == geteuid() && got.gid == getegid());
    write(pair[0], "x", 1);
    check("not asked for", credentials(pair[1], &got) == 0);
    write(pair[0], "x", 1);
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    check("asked for too late", credentials(pair[1], &got) == 1 && got.pid == 0 && got.uid == 65534);
    pid_t child = fork();
    if (child == 0)
        _exit(write(pair[0], "x", 1) == 1 ? 0 : 1);
    waitpid(child, &status, 0);
    check("the sender's, not the owner's", credentials(pair[1], &got) == 1 && got.pid == child && got.uid == getuid());
    check("own ones may be claimed", claim(pair[0], (struct ucred){getpid(), getuid(), getgid()}) == 1 &&
          credentials(pair[1], &got) == 1 && got.pid == getpid());
    check("root claims others'", claim(pair[0], (struct ucred){getpid(), 1234, 4321}) == 1 &&
          credentials(pair[1], &got) == 1 && got.uid == 1234 && got.gid == 4321);
    check_error("but no process that is not there", claim(pair[0], (struct ucred){4000000, 0, 0}), ESRCH);
    if ((child = fork()) == 0) {
        setresgid(5, 5, 5), setresuid(6, 6, 6);
        int wrong = claim(pair[0], (struct ucred){getpid(), 0, 5}) != -1 || errno != EPERM;
        wrong |= claim(pair[0], (struct ucred){getpid(), 6, 0}) != -1 || errno != EPERM;
        wrong |= claim(pair[0], (struct ucred){getppid(), 6, 5}) != -1 || errno != EPERM;
        wrong |= claim(pair[0], (struct ucred){getpid(), 6, 5}) != 1;
        _exit(wrong);
    }
    waitpid(child, &status, 0);
    check("others claim only their own", status == 0 && credentials(pair[1], &got) == 1 && got.uid == 6);
    if (kind == SOCK_STREAM) {
        char text[8];
        write(pair[0], "a", 1), write(pair[0], "b", 1);
        check("one writer's bytes join", recv(pair[1], text, 8, 0) == 2);
        write(pair[0], "a", 1);
        if ((child = fork()) == 0)
            _exit(write(pair[0], "b", 1) == 1 ? 0 : 1);
        waitpid(child, &status, 0);
        check("two writers' do not", recv(pair[1], text, 8, 0) == 1 && recv(pair[1], text, 8, 0) == 1);
    }
    close(pair[0]), close(pair[1]);
}

static void connections(void)
{
    struct ucred got = {0};
    gid_t groups[8];
    socklen_t length = sizeof got;
    int status, server = listener(SOCK_STREAM, "@who", 5);
    check("a listener knows itself", getsockopt(server, SOL_SOCKET, SO_PEERCRED, &got, &length) == 0 &&
          got.pid == getpid());
    int nobody = socket(AF_UNIX, SOCK_STREAM, 0);
    check("nobody yet", getsockopt(nobody, SOL_SOCKET, SO_PEERCRED, &got, &length) == 0 && got.pid == 0 &&
          got.uid == (uid_t)-1);
    length = sizeof groups;
    check_error("no groups either", getsockopt(nobody, SOL_SOCKET, SO_PEERGROUPS, groups, &length), ENODATA);
    close(nobody);
    pid_t child = fork();
    if (child == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        setgroups(2, (gid_t[]){7, 8});
        setresgid(5, 5, 5), setresuid(6, 6, 6);
        connect_to(fd, "@who");
        write(fd, "x", 1);
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &got, &length);
        _exit(got.pid == getppid() ? 0 : 1);
    }
    int peer = accept(server, NULL, NULL);
    setsockopt(peer, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    length = sizeof got;
    check("who connected", getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &got, &length) == 0 && got.pid == child &&
          got.uid == 6 && got.gid == 5);
    length = 4;
    check_error("no room for groups", getsockopt(peer, SOL_SOCKET, SO_PEERGROUPS, groups, &length), ERANGE);
    check("but their size", length == 8);
    check("groups", getsockopt(peer, SOL_SOCKET, SO_PEERGROUPS, groups, &length) == 0 && groups[0] == 7 &&
          groups[1] == 8);
    waitpid(child, &status, 0);
    check("the client sees the server", status == 0);
    close(peer), close(server);
}

static void limits(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        int pair[2], count = 0;
        struct rlimit limit = {30, 30};
        socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
        setresuid(77, 77, 77);
        setrlimit(RLIMIT_NOFILE, &limit);
        while (count < 200 && send_files(pair[0], "x", &pair[0], 1, MSG_DONTWAIT) == 1)
            count++;
        _exit(count >= 30 && count < 40 && errno == ETOOMANYREFS ? 0 : 1);
    }
    waitpid(child, &status, 0);
    check("not more on the way than may be open", status == 0);
}

int main(void)
{
    files(SOCK_STREAM);
    files(SOCK_DGRAM);
    streams();
    circles();
    who(SOCK_STREAM);
    who(SOCK_DGRAM);
    connections();
    limits();
    return finish();
}
