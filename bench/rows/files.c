/* Paths, files and folders, all in memory; and waiting for one of many files. */
#include "rows.h"
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static uint64_t stat_path(unsigned count)
{
    struct stat status;
    close(file_of("/tmp/file", 0));
    must(stat("/tmp/file", &status) == 0);
    return REPEAT(count, stat("/tmp/file", &status));
}

static uint64_t stat_open(unsigned count)
{
    struct stat status;
    int file = file_of("/tmp/file", 0);
    must(fstat(file, &status) == 0);
    return REPEAT(count, fstat(file, &status));
}

static uint64_t open_close(unsigned count)
{
    close(file_of("/tmp/file", 0));
    return REPEAT(count, must(close(open("/tmp/file", O_RDONLY)) == 0));
}

static uint64_t deep_path(unsigned count)
{
    struct stat status;
    char path[] = "/tmp/a/b/c/d/e/f/g";
    for (char *end = path + 5; (end = strchr(end + 1, '/')); *end = '/') {
        *end = 0;
        mkdir(path, 0755);
    }
    close(file_of(path, 0));
    must(stat(path, &status) == 0);
    return REPEAT(count, stat(path, &status));
}

static uint64_t list_thousand(unsigned count)
{
    char path[64], buffer[1 << 15];
    mkdir("/tmp/thousand", 0755);
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "/tmp/thousand/file-%d", i);
        close(file_of(path, 0));
    }
    int folder = open("/tmp/thousand", O_RDONLY | O_DIRECTORY);
    must(folder >= 0);
    return REPEAT(count, {
        must(lseek(folder, 0, SEEK_SET) == 0);
        while (syscall(SYS_getdents64, folder, buffer, sizeof buffer) > 0)
            ;
    });
}

static uint64_t create_delete(unsigned count)
{
    return REPEAT(count, {
        close(open("/tmp/new", O_WRONLY | O_CREAT | O_EXCL, 0644));
        must(unlink("/tmp/new") == 0);
    });
}

static uint64_t rename_file(unsigned count)
{
    close(file_of("/tmp/one", 0));
    return REPEAT((count + 1) / 2, {
        must(rename("/tmp/one", "/tmp/other") == 0);
        must(rename("/tmp/other", "/tmp/one") == 0);
    });
}

/* One of a thousand event counters is ready each time. */
static uint64_t epoll_thousand(unsigned count)
{
    static int events[1000];
    must(setrlimit(RLIMIT_NOFILE, &(struct rlimit){2048, 4096}) == 0);
    int poll = epoll_create1(0);
    for (int i = 0; i < 1000; i++) {
        must((events[i] = eventfd(0, EFD_NONBLOCK)) >= 0);
        must(epoll_ctl(poll, EPOLL_CTL_ADD, events[i], &(struct epoll_event){EPOLLIN, {.fd = events[i]}}) == 0);
    }
    uint64_t taken = REPEAT(count, {
        struct epoll_event found;
        uint64_t value = 1;
        must(write(events[i_ % 1000], &value, 8) == 8);
        must(epoll_wait(poll, &found, 1, -1) == 1);
        must(read(found.data.fd, &value, 8) == 8);
    });
    for (int i = 0; i < 1000; i++)
        close(events[i]);
    close(poll);
    return taken;
}

static uint64_t select_hundred(unsigned count)
{
    fd_set all;
    int last = 0;
    FD_ZERO(&all);
    for (int i = 0; i < 100; i++) {
        last = eventfd(i == 99, 0);
        must(last >= 0);
        FD_SET(last, &all);
    }
    uint64_t taken = REPEAT(count, {
        fd_set ready = all;
        must(select(last + 1, &ready, NULL, NULL, NULL) == 1);
    });
    for (int file = last - 99; file <= last; file++)
        close(file);
    return taken;
}

const struct row files[] = {
    {"stat", stat_path, 10000},
    {"fstat", stat_open, 10000},
    {"open-close", open_close, 10000},
    {"path-8", deep_path, 10000},
    {"getdents-1000", list_thousand, 100},
    {"create-delete", create_delete, 5000},
    {"rename", rename_file, 5000},
    {"epoll-1000", epoll_thousand, 5000},
    {"select-100", select_hundred, 2000},
    {0},
};
