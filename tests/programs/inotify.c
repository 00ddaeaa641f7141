/* inotify(7): which events come, in which order, with which names; masks, limits of the queue, reads. */
#include "check.h"
#include "asleep.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int notifier;
static char text[4096];

/* Returns what happened since the last call, as "wd:mask:name ..." with the masks in hexadecimal. */
static const char *happened(void)
{
    static char buffer[65536] __attribute__((aligned(8)));
    ssize_t length = read(notifier, buffer, sizeof buffer);
    char *at = text;
    *at = 0;
    for (ssize_t offset = 0; offset < length;) {
        struct inotify_event *event = (void *)(buffer + offset);
        at += sprintf(at, "%s%d:%x%s%s", offset ? " " : "", event->wd, event->mask, event->len ? ":" : "",
                      event->len ? event->name : "");
        offset += sizeof *event + event->len;
    }
    return text;
}

#define expect(name, wanted)                                                                       \
    check(name, !strcmp(happened(), wanted) || (printf("got %s\nnot %s\n", text, wanted), 0))

static void touch(const char *name)
{
    close(open(name, O_CREAT | O_WRONLY, 0644));
}

static void directory_events(void)
{
    mkdir("dir", 0755);
    int wd = inotify_add_watch(notifier, "dir", IN_ALL_EVENTS);
    check("the first number", wd == 1);
    touch("dir/file");
    expect("make a file", "1:100:file 1:20:file 1:8:file");
    int fd = open("dir/file", O_RDWR);
    write(fd, "abc", 3);
    write(fd, "abc", 3);
    pread(fd, text, 3, 0);
    expect("equal events are one", "1:20:file 1:2:file 1:1:file");
    ftruncate(fd, 1);
    fchmod(fd, 0600);
    fsetxattr(fd, "user.x", "y", 1, 0);
    close(fd);
    happened();
    check("truncate, chmod, close", strstr(text, "1:2:file 1:4:file") == text && strstr(text, "1:8:file"));
    close(open("dir/file", O_RDONLY));
    expect("read only", "1:20:file 1:10:file");
    close(open("dir/file", O_WRONLY | O_TRUNC));
    happened();
    /* Which of the two comes first is another matter on each version of Linux. */
    check("cut while opening", strstr(text, "1:2:file") && strstr(text, "1:20:file") && strstr(text, " 1:8:file"));
    close(open("dir/file", O_PATH));
    expect("a place only", "");
    struct timespec times[2] = {{1, 0}, {2, 0}};
    utimensat(AT_FDCWD, "dir/file", times, 0);
    expect("times", "1:4:file");
    link("dir/file", "dir/second");
    expect("link", "1:100:second");
    symlink("nowhere", "dir/symlink");
    mkfifo("dir/fifo", 0644);
    expect("other kinds", "1:100:symlink 1:100:fifo");
    close(open("dir/fifo", O_RDWR));
    expect("a fifo is opened", "1:20:fifo 1:8:fifo");
    mkdir("dir/sub", 0755);
    expect("mkdir", "1:40000100:sub");
    rename("dir/second", "dir/third");
    expect("rename", "1:40:second 1:80:third");
    rename("dir/third", "other");
    expect("away", "1:40:third");
    rename("other", "dir/fifo");
    expect("back, over another", "1:80:fifo");
    unlink("dir/fifo");
    unlink("dir/symlink");
    expect("unlink", "1:200:fifo 1:200:symlink");
    rmdir("dir/sub");
    expect("rmdir", "1:40000200:sub");
    rename("dir", "moved");
    expect("the directory moves", "1:800");
    chmod("moved", 0700);
    expect("its mode changes", "1:40000004");
    check("still watched under the new name", inotify_add_watch(notifier, "moved", IN_ALL_EVENTS) == 1);
    unlink("moved/file");
    happened();
    rmdir("moved");
    expect("and goes", "1:400 1:8000");
    check_error("the watch is gone", inotify_rm_watch(notifier, 1), EINVAL);
}

static void file_events(void)
{
    touch("file");
    int wd = inotify_add_watch(notifier, "file", IN_ALL_EVENTS);
    check("numbers are not used again", wd == 2);
    link("file", "again");
    expect("a link more", "2:4");
    unlink("again");
    expect("a link less", "2:4");
    rename("file", "again");
    expect("moves", "2:800");
    int fd = open("again", O_RDONLY);
    expect("opened", "2:20");
    unlink("again");
    expect("the last name goes", "2:4");
    close(fd);
    expect("the last user goes", "2:10 2:400 2:8000");

    touch("one"), touch("two");
    wd = inotify_add_watch(notifier, "two", IN_ALL_EVENTS);
    rename("one", "two");
    expect("replaced", "3:4 3:400 3:8000");
    check("rm_watch", (wd = inotify_add_watch(notifier, "two", IN_ALL_EVENTS)) == 4 && inotify_rm_watch(notifier, wd) == 0);
    expect("is told", "4:8000");
    unlink("two");
}

static void cookies(void)
{
    struct {
        struct inotify_event event;
        char name[16];
    } events[4];
    int fd = inotify_init1(IN_NONBLOCK);
    mkdir("a", 0755), mkdir("b", 0755);
    touch("a/x");
    inotify_add_watch(fd, "a", IN_MOVE);
    inotify_add_watch(fd, "b", IN_MOVE);
    rename("a/x", "b/x");
    rename("b/x", "a/x");
    check("four events", read(fd, events, sizeof events) == sizeof events);
    check("pairs", events[0].event.cookie == events[1].event.cookie && events[2].event.cookie == events[3].event.cookie);
    check("of their own", events[0].event.cookie != 0 && events[0].event.cookie != events[2].event.cookie);
    check("names are padded", events[0].event.len == 16 && !strcmp(events[0].event.name, "x"));
    close(fd);
    unlink("a/x"), rmdir("a"), rmdir("b");
}

static void masks(void)
{
    touch("f");
    mkdir("d", 0755);
    symlink("d", "s");
    check_error("no events", inotify_add_watch(notifier, "f", 0), EINVAL);
    check_error("unknown bits", inotify_add_watch(notifier, "f", 0x00800000), EINVAL);
    check_error("add and create", inotify_add_watch(notifier, "f", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
    check_error("only directories", inotify_add_watch(notifier, "f", IN_OPEN | IN_ONLYDIR), ENOTDIR);
    check_error("no such file", inotify_add_watch(notifier, "none", IN_OPEN), ENOENT);
    check_error("bad name", inotify_add_watch(notifier, (char *)8, IN_OPEN), EFAULT);
    check_error("no descriptor", inotify_add_watch(-1, "f", IN_OPEN), EBADF);
    check_error("not an instance", inotify_add_watch(0, "f", IN_OPEN), EINVAL);
    check_error("nor to remove from", inotify_rm_watch(0, 1), EINVAL);
    check_error("bad flags", inotify_init1(1), EINVAL);
    int wd = inotify_add_watch(notifier, "f", IN_OPEN);
    check_error("exists", inotify_add_watch(notifier, "f", IN_OPEN | IN_MASK_CREATE), EEXIST);
    check("replaced", inotify_add_watch(notifier, "f", IN_CLOSE) == wd);
    close(open("f", O_RDONLY));
    happened();
    check("only the new one", strstr(text, ":20") == NULL && strstr(text, ":10"));
    check("added", inotify_add_watch(notifier, "f", IN_OPEN | IN_MASK_ADD) == wd);
    close(open("f", O_RDONLY));
    happened();
    check("both", strstr(text, ":20") && strstr(text, ":10"));
    inotify_rm_watch(notifier, wd);
    happened();

    int once = inotify_add_watch(notifier, "f", IN_OPEN | IN_ONESHOT);
    close(open("f", O_RDONLY));
    close(open("f", O_RDONLY));
    char wanted[100];
    sprintf(wanted, "%d:20 %d:8000", once, once);
    expect("one shot", wanted);
    int direct = inotify_add_watch(notifier, "s", IN_ATTRIB | IN_DONT_FOLLOW);
    int through = inotify_add_watch(notifier, "s", IN_ATTRIB);
    check("a link and where it leads", direct != through && inotify_add_watch(notifier, "d", IN_ATTRIB) == through);
    inotify_rm_watch(notifier, direct), inotify_rm_watch(notifier, through);
    happened();

    wd = inotify_add_watch(notifier, "d", IN_ALL_EVENTS | IN_EXCL_UNLINK);
    int fd = open("d/gone", O_RDWR | O_CREAT, 0644);
    unlink("d/gone");
    happened();
    write(fd, "x", 1);
    close(fd);
    expect("not of unlinked files", "");
    inotify_add_watch(notifier, "d", IN_ALL_EVENTS);
    fd = open("d/gone", O_RDWR | O_CREAT, 0644);
    unlink("d/gone");
    happened();
    write(fd, "x", 1);
    close(fd);
    sprintf(wanted, "%d:2:gone %d:8:gone", wd, wd);
    expect("unless wanted", wanted);
    inotify_rm_watch(notifier, wd);
    happened();
    if (geteuid() == 0) {
        chmod("f", 0200);
        if (fork() == 0) {
            setresuid(4321, 4321, 4321);
            _exit(inotify_add_watch(notifier, "f", IN_OPEN) == -1 && errno == EACCES ? 0 : 1);
        }
        int status;
        wait(&status);
        check("who may not read may not watch", status == 0);
    }
    unlink("f"), unlink("s"), rmdir("d");
}

static void reads(void)
{
    struct pollfd poller = {notifier, POLLIN, 0};
    int epoll = epoll_create1(0), length;
    struct epoll_event event = {.events = EPOLLIN};
    check("epoll", epoll_ctl(epoll, EPOLL_CTL_ADD, notifier, &event) == 0);
    check("nothing", poll(&poller, 1, 0) == 0 && epoll_wait(epoll, &event, 1, 0) == 0);
    check_error("to read", read(notifier, text, sizeof text), EAGAIN);
    mkdir("dir", 0755);
    inotify_add_watch(notifier, "dir", IN_CREATE);
    touch("dir/a"), touch("dir/a-long-file-name");
    check("something", poll(&poller, 1, 0) == 1 && poller.revents == POLLIN && epoll_wait(epoll, &event, 1, 0) == 1);
    check("FIONREAD", ioctl(notifier, FIONREAD, &length) == 0 && length == 32 + 48);
    check_error("too small", read(notifier, text, 31), EINVAL);
    check("as many as fit", read(notifier, text, 79) == 32);
    check("the next", read(notifier, text, 79) == 48);
    check("no more", ioctl(notifier, FIONREAD, &length) == 0 && length == 0);
    pid_t child = fork();
    if (child == 0) {
        fcntl(notifier, F_SETFL, 0);
        _exit(read(notifier, text, sizeof text) != 32);
    }
    wait_until_asleep(child);
    touch("dir/b");
    int status;
    waitpid(child, &status, 0);
    check("a sleeping reader wakes", status == 0);
    fcntl(notifier, F_SETFL, O_NONBLOCK);

    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    int limit_count = 0, count = 0, overflows = 0, got;
    fscanf(limit, "%d", &limit_count);
    fclose(limit);
    for (int index = 0; index <= limit_count + 5; index++) {
        sprintf(text, "dir/%c", 'c' + index % 2);
        touch(text);
        unlink(text);
    }
    static char buffer[65536];
    while ((got = read(notifier, buffer, sizeof buffer)) > 0)
        for (int offset = 0; offset < got; count++) {
            struct inotify_event *event = (void *)(buffer + offset);
            overflows += event->mask == IN_Q_OVERFLOW && event->wd == -1;
            offset += sizeof *event + event->len;
        }
    check("the queue is limited", limit_count > 0 && count == limit_count + 1 && overflows == 1);
    close(epoll);
    unlink("dir/a"), unlink("dir/b"), unlink("dir/a-long-file-name"), rmdir("dir");
}

static void unmounted(void)
{
    if (geteuid() != 0)
        return;
    mkdir("point", 0755);
    check("mount", mount("none", "point", "tmpfs", 0, NULL) == 0);
    touch("point/file");
    happened();
    int wd = inotify_add_watch(notifier, "point/file", IN_OPEN);
    umount("point");
    char wanted[100];
    sprintf(wanted, "%d:2000 %d:8000", wd, wd);
    expect("unmounted", wanted);
    rmdir("point");
}

static void instances(void)
{
    int count = 0;
    if (fork() == 0) {
        setresuid(4322, 4322, 4322);
        while (inotify_init() >= 0)
            count++;
        _exit(errno == EMFILE && count >= 16 && count < 1000 ? 0 : 1);
    }
    int status;
    wait(&status);
    check("instances of one user", status == 0);
}

enum { TURNS = 2000 };

static void *makes(void *argument)
{
    for (int turn = 0; turn < TURNS;) {
        int fd = open("turns/x", O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (fd >= 0) {
            turn++;
            close(fd);
        }
    }
    return argument;
}

/* Two threads make and remove one name: what is told of it comes in the order in which it happened. */
static void test_order(void)
{
    pthread_t maker;
    int watcher = inotify_init1(IN_NONBLOCK), wrong = 0;
    mkdir("turns", 0700);
    inotify_add_watch(watcher, "turns", IN_CREATE | IN_DELETE);
    pthread_create(&maker, NULL, makes, NULL);
    for (int turn = 0; turn < TURNS;)
        turn += unlink("turns/x") == 0;
    pthread_join(maker, NULL);
    static char events[2 * TURNS * 64];
    unsigned wanted = IN_CREATE, count = 0;
    for (ssize_t length; (length = read(watcher, events, sizeof events)) > 0;) {
        for (char *at = events; at < events + length; at += sizeof(struct inotify_event) + ((struct inotify_event *)at)->len) {
            wrong += ((struct inotify_event *)at)->mask != wanted;
            wanted = wanted == IN_CREATE ? IN_DELETE : IN_CREATE;
            count++;
        }
    }
    check("all is told", count == 2 * TURNS);
    check("in its order", wrong == 0);
    close(watcher);
}

int main(void)
{
    test_order();
    notifier = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    check("flags", fcntl(notifier, F_GETFL) == O_NONBLOCK && fcntl(notifier, F_GETFD) == FD_CLOEXEC);
    directory_events();
    file_events();
    cookies();
    masks();
    reads();
    unmounted();
    instances();
    return finish();
}
