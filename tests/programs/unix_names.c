/* Names of AF_UNIX sockets: paths, abstract names, and what /proc/net/unix shows. */
#define _GNU_SOURCE
#include "sockets.h"

static socklen_t own_name(int fd, struct sockaddr_un *address)
{
    socklen_t length = sizeof *address;
    memset(address, 'x', sizeof *address);
    return getsockname(fd, (struct sockaddr *)address, &length) ? 0 : length;
}

static void paths(void)
{
    struct sockaddr_un address;
    struct stat status;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    check("no name", own_name(fd, &address) == 2 && address.sun_family == AF_UNIX);
    umask(027);
    check("bind", bind_to(fd, "path") == 0);
    check("a socket file by the umask", stat("path", &status) == 0 && S_ISSOCK(status.st_mode) &&
          (status.st_mode & 07777) == 0750);
    umask(022);
    check("name with its NUL", own_name(fd, &address) == 2 + 5 && strcmp(address.sun_path, "path") == 0);
    check_error("in use", bind_to(other, "path"), EADDRINUSE);
    check_error("any file is in the way", bind_to(other, "/proc"), EADDRINUSE);
    check_error("named already", bind_to(fd, "path2"), EINVAL);
    check_error("nothing made", stat("path2", &status), ENOENT);
    check_error("no such folder", bind_to(other, "none/path"), ENOENT);
    check_error("open", open("path", O_RDWR), ENXIO);

    listen(fd, 5);
    check("connect", connect_to(other, "path") == 0);
    rename("path", "moved");
    close(other);
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    check_error("the old path is gone", connect_to(other, "path"), ENOENT);
    symlink("moved", "link");
    check("moved, by a link", connect_to(other, "link") == 0);
    check("still its first name", own_name(fd, &address) == 2 + 5 && strcmp(address.sun_path, "path") == 0);
    close(other);
    link("moved", "second");
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    check("by a second name", connect_to(other, "second") == 0);
    close(other);
    unlink("moved"), unlink("link"), unlink("second");
    int again = socket(AF_UNIX, SOCK_STREAM, 0);
    check("a free path again", bind_to(again, "path") == 0);
    close(again);
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    check_error("stale", connect_to(other, "path"), ECONNREFUSED);
    check_error("stale is in use", bind_to(other, "path"), EADDRINUSE);
    unlink("path");
    close(fd);

    fd = open("regular", O_CREAT | O_RDWR, 0666);
    check_error("no socket at all", connect_to(other, "regular"), ECONNREFUSED);
    check("mknod makes one too", mknod("made", S_IFSOCK | 0666, 0) == 0);
    check_error("with nobody there", connect_to(other, "made"), ECONNREFUSED);
    close(fd), unlink("regular"), unlink("made");

    memset(&address, 'n', sizeof address);
    address.sun_family = AF_UNIX;
    check("a path of 108 bytes without NUL", bind(other, (struct sockaddr *)&address, sizeof address) == 0);
    char path[109] = {0};
    memset(path, 'n', 108);
    struct sockaddr_storage large;
    socklen_t length = sizeof large;
    check("has one in its name", getsockname(other, (struct sockaddr *)&large, &length) == 0 && length == 111);
    check("and is there", unlink(path) == 0);
    close(other);

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    address.sun_family = AF_INET;
    check_error("another family", bind(fd, (struct sockaddr *)&address, 20), EINVAL);
    check_error("connect to another family", connect(fd, (struct sockaddr *)&address, 20), EINVAL);
    check_error("too short", connect(fd, (struct sockaddr *)&address, 1), EINVAL);
    check_error("too long", bind(fd, (struct sockaddr *)&address, 129), EINVAL);
    check_error("bad address", bind(fd, (struct sockaddr *)8, 20), EFAULT);
    check_error("no socket", bind(1000, (struct sockaddr *)&address, 20), EBADF);
    check_error("a file", bind_to(open("/", O_RDONLY), "x"), ENOTSOCK);
    close(fd);
}

static void permissions(void)
{
    int status, server;
    mkdir("open", 0777);
    chmod("open", 0777);
    server = listener(SOCK_STREAM, "open/server", 5);
    int datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
    bind_to(datagrams, "open/datagrams");
    chmod("open/server", 0755);
    chmod("open/datagrams", 0755);
    chmod(".", 0755);
    pid_t child = fork();
    if (child == 0) {
        setresuid(66, 66, 66);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0), packets = socket(AF_UNIX, SOCK_DGRAM, 0), wrong = 0;
        wrong |= connect_to(fd, "open/server") != -1 || errno != EACCES;
        wrong |= (send_to(packets, "x", 1, "open/datagrams") != -1 || errno != EACCES) << 1;
        wrong |= (bind_to(fd, "mine") != -1 || errno != EACCES) << 2;
        wrong |= (bind_to(fd, "open/mine") != 0) << 3;
        _exit(wrong);
    }
    waitpid(child, &status, 0);
    check("write permission is asked for", status == 0);
    struct stat made;
    check("the file is the maker's", stat("open/mine", &made) == 0 && made.st_uid == 66);
    close(server), close(datagrams);
    unlink("open/server"), unlink("open/datagrams"), unlink("open/mine"), rmdir("open");
}

static void abstract(void)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
    int stream = socket(AF_UNIX, SOCK_STREAM, 0);
    check("bind", bind_to(fd, "@name") == 0);
    check("name", own_name(fd, &address) == 2 + 5 && memcmp(address.sun_path, "\0name", 5) == 0);
    check_error("in use", bind_to(other, "@name"), EADDRINUSE);
    check("each kind has its own", bind_to(stream, "@name") == 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, "\0name\0", 6);
    check("NULs count", bind(other, (struct sockaddr *)&address, 2 + 6) == 0);
    check("free when closed", close(fd) == 0 && (fd = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0 && bind_to(fd, "@name") == 0);
    close(fd), close(other), close(stream);

    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    sa_family_t family = AF_UNIX;
    check("autobind", bind(fd, (struct sockaddr *)&family, sizeof family) == 0);
    check("five digits", own_name(fd, &address) == 2 + 6 && address.sun_path[0] == 0 &&
          strspn(address.sun_path + 1, "0123456789abcdef") >= 5);
    check("once", bind(fd, (struct sockaddr *)&family, sizeof family) == 0);
    other = socket(AF_UNIX, SOCK_DGRAM, 0);
    setsockopt(other, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    socklen_t length = own_name(fd, &address);
    check("connect with SO_PASSCRED", connect(other, (struct sockaddr *)&address, length) == 0);
    check("binds too", own_name(other, &address) == 2 + 6);
    close(fd), close(other);
}

/* Finds a line of /proc/net/unix that ends in `name`; returns the words before it in `line`. */
static int listed(const char *name, char *line)
{
    FILE *file = fopen("/proc/net/unix", "r");
    int found = 0;
    while (!found && fgets(line, 300, file)) {
        line[strcspn(line, "\n")] = 0;
        char *last = strrchr(line, ' ');
        found = last && strcmp(last + 1, name) == 0;
    }
    fclose(file);
    return found;
}

static void list(void)
{
    char line[300];
    struct stat status;
    unsigned references, protocol, flags, kind, state;
    unsigned long inode;
    FILE *file = fopen("/proc/net/unix", "r");
    check("heading", fgets(line, sizeof line, file) &&
          strcmp(line, "Num       RefCount Protocol Flags    Type St Inode Path\n") == 0);
    fclose(file);
    int server = listener(SOCK_STREAM, "@listed\0", 5), client = socket(AF_UNIX, SOCK_STREAM, 0);
    fstat(server, &status);
    check("a listener", listed("@listed", line) && sscanf(line, "%*x: %x %x %x %x %x %lu", &references, &protocol, &flags,
          &kind, &state, &inode) == 6 && protocol == 0 && flags == 0x10000 && kind == 1 && state == 1 &&
          inode == status.st_ino);
    connect_to(client, "@listed");
    int peer = accept(server, NULL, NULL);
    close(server);
    fstat(peer, &status);
    check("a connection", listed("@listed", line) && sscanf(line, "%*x: %x %x %x %x %x %lu", &references, &protocol,
          &flags, &kind, &state, &inode) == 6 && flags == 0 && state == 3 && inode == status.st_ino);
    close(peer), close(client);
    int named = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    bind_to(named, "listed");
    check("a path", listed("listed", line) && sscanf(line, "%*x: %x %x %x %x", &references, &protocol, &flags, &kind) == 4
          && kind == 5);
    close(named), unlink("listed");
    check("gone", !listed("listed", line) && !listed("@listed", line));
}

int main(void)
{
    paths();
    permissions();
    abstract();
    list();
    return finish();
}
