/* What the tests of sockets share. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Fills `address` with a path, or with an abstract name if it begins with '@'; returns its length. */
static inline socklen_t name_of(struct sockaddr_un *address, const char *name)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, name);
    if (name[0] != '@')
        return offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
    address->sun_path[0] = 0;
    return offsetof(struct sockaddr_un, sun_path) + strlen(name);
}

static inline int bind_to(int fd, const char *name)
{
    struct sockaddr_un address;
    socklen_t length = name_of(&address, name);
    return bind(fd, (struct sockaddr *)&address, length);
}

static inline int connect_to(int fd, const char *name)
{
    struct sockaddr_un address;
    socklen_t length = name_of(&address, name);
    return connect(fd, (struct sockaddr *)&address, length);
}

static inline ssize_t send_to(int fd, const void *bytes, size_t size, const char *name)
{
    struct sockaddr_un address;
    socklen_t length = name_of(&address, name);
    return sendto(fd, bytes, size, MSG_DONTWAIT, (struct sockaddr *)&address, length);
}

/* A socket that listens at `name`. */
static inline int listener(int kind, const char *name, int backlog)
{
    int fd = socket(AF_UNIX, kind, 0);
    if (fd < 0 || bind_to(fd, name) || listen(fd, backlog))
        return -1;
    return fd;
}

/* What poll(2) says of `fd` at once, of all that may be asked for. */
static inline int events(int fd)
{
    struct pollfd entry = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
    poll(&entry, 1, 0);
    return entry.revents;
}

static inline int has_room(int fd)
{
    return (events(fd) & POLLOUT) != 0;
}

/* Sends `count` descriptors with the bytes of `text`. */
static inline ssize_t send_files(int fd, const char *text, const int *files, int count, int flags)
{
    union {
        char bytes[CMSG_SPACE(300 * sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct iovec area = {(void *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &area, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), files, count * sizeof(int));
    /* musl's sendmsg takes only 1 KiB of control messages. */
    return syscall(SYS_sendmsg, fd, &message, flags);
}

/* Receives up to `room` descriptors into `files`; their number goes to `*count`, the message's flags to `*answer`. */
static inline ssize_t receive_files(int fd, char *text, size_t size, int *files, int room, int *count, int *answer,
                                    int flags)
{
    union {
        char bytes[CMSG_SPACE(300 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec area = {text, size};
    struct msghdr message = {.msg_iov = &area, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = room ? CMSG_LEN(room * sizeof(int)) : 0};
    ssize_t result = recvmsg(fd, &message, flags);
    *count = 0;
    *answer = message.msg_flags;
    if (result < 0)
        return result;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            *count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(files, CMSG_DATA(header), *count * sizeof(int));
        }
    }
    return result;
}

#endif
