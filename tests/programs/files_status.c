/* stat, statx, statfs, times. */
#include "files.h"
#include <sys/time.h>
#include <utime.h>

struct statx_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct statx_all {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, spare;
    uint64_t inode, size, blocks, attributes_mask;
    struct statx_time accessed, born, changed, modified;
    uint32_t major, minor, device_major, device_minor;
    uint64_t mount, more[13];
};

static int64_t nanoseconds(struct timespec time)
{
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return nanoseconds(time);
}

static void a_little_later(void)
{
    usleep(20000);
}

static void times(void)
{
    int64_t before = now() - 20000000;
    make("file", "text");
    struct stat status = status_of("file");
    check("a new file is new", nanoseconds(status.st_mtim) >= before && nanoseconds(status.st_mtim) <= now());
    check("all its times are near", llabs(nanoseconds(status.st_atim) - nanoseconds(status.st_ctim)) < 1000000000);
    a_little_later();
    struct stat old = status;
    make("file", "more");
    status = status_of("file");
    check("writing changes mtime and ctime", nanoseconds(status.st_mtim) > nanoseconds(old.st_mtim)
          && nanoseconds(status.st_ctim) > nanoseconds(old.st_ctim));
    a_little_later();
    old = status;
    chmod("file", 0600);
    status = status_of("file");
    check("chmod changes ctime alone", nanoseconds(status.st_mtim) == nanoseconds(old.st_mtim)
          && nanoseconds(status.st_ctim) > nanoseconds(old.st_ctim));
    a_little_later();
    old = status;
    link("file", "other");
    check("link changes ctime", nanoseconds(status_of("file").st_ctim) > nanoseconds(old.st_ctim));

    mkdir("directory", 0755);
    old = status_of("directory");
    a_little_later();
    make("directory/x", "");
    status = status_of("directory");
    check("an entry changes the directory", nanoseconds(status.st_mtim) > nanoseconds(old.st_mtim));

    struct timespec set[2] = {{1000000000, 123456789}, {-5, 999999999}};
    check("utimensat", utimensat(AT_FDCWD, "file", set, 0) == 0);
    status = status_of("file");
    check("to the nanosecond", nanoseconds(status.st_atim) == nanoseconds(set[0]));
    check("before 1970", status.st_mtim.tv_sec == -5 && status.st_mtim.tv_nsec == 999999999);
    struct timespec one[2] = {{0, UTIME_OMIT}, {77, 0}};
    check("UTIME_OMIT", utimensat(AT_FDCWD, "file", one, 0) == 0 && status_of("file").st_atim.tv_sec == 1000000000
          && status_of("file").st_mtim.tv_sec == 77);
    struct timespec present[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    check("UTIME_NOW", utimensat(AT_FDCWD, "file", present, 0) == 0
          && nanoseconds(status_of("file").st_atim) >= before && status_of("file").st_mtim.tv_sec == 77);
    struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
    check_error("bad nanoseconds", utimensat(AT_FDCWD, "file", bad, 0), EINVAL);
    check_error("nothing there", utimensat(AT_FDCWD, "none", set, 0), ENOENT);
    symlink("none", "link");
    check("a link's own", utimensat(AT_FDCWD, "link", set, AT_SYMLINK_NOFOLLOW) == 0
          && status_of("link").st_atim.tv_sec == 1000000000);
    int fd = open("file", O_RDONLY);
    check("futimens", futimens(fd, set) == 0 && status_of("file").st_atim.tv_sec == 1000000000);
    struct utimbuf seconds = {11, 22};
    check("utime", syscall(SYS_utime, "file", &seconds) == 0 && status_of("file").st_atim.tv_sec == 11
          && status_of("file").st_mtim.tv_sec == 22);
    struct timeval micros[2] = {{33, 5}, {44, 6}};
    check("utimes", syscall(SYS_utimes, "file", micros) == 0 && status_of("file").st_mtim.tv_sec == 44
          && status_of("file").st_mtim.tv_nsec == 6000);
    micros[0].tv_usec = 1000000;
    check_error("bad microseconds", syscall(SYS_utimes, "file", micros), EINVAL);

    /* relatime: a read renews an access time that is not newer than the modification time. */
    char byte;
    check("read", pread(fd, &byte, 1, 0) == 1 && nanoseconds(status_of("file").st_atim) >= before);
    close(fd);
}

static void fields(void)
{
    make("file", "12345");
    truncate("file", 100000);
    struct stat status = status_of("file");
    check("size", status.st_size == 100000 && status.st_blksize == 4096);
    check("blocks count what is there", status.st_blocks == 8);
    check("mode", status.st_mode == (S_IFREG | 0600));
    int fd = open("file", O_RDWR);
    struct stat same;
    check("fstat", fstat(fd, &same) == 0 && same.st_ino == status.st_ino && same.st_dev == status.st_dev);
    check_error("fstat of nothing", fstat(999, &same), EBADF);
    check_error("a bad address", syscall(SYS_stat, "file", 1), EFAULT);

    struct statx_all all;
    check("statx", syscall(332, AT_FDCWD, "file", 0, 0xfff, &all) == 0 && (all.mask & 0xfff) == 0xfff);
    check("the same", all.inode == status.st_ino && all.size == 100000 && all.mode == status.st_mode
          && all.blocks == 8 && all.links == 2 && all.device_minor == minor(status.st_dev));
    check("born", all.born.seconds > 1600000000);
    check("statx of a descriptor", syscall(332, fd, "", AT_EMPTY_PATH, 0x7ff, &all) == 0 && all.size == 100000);
    check_error("reserved mask", syscall(332, fd, "", AT_EMPTY_PATH, 0x80000000, &all), EINVAL);
    check_error("both ways to sync", syscall(332, fd, "", AT_EMPTY_PATH | 0x6000, 0x7ff, &all), EINVAL);
    check("a mount's root", syscall(332, AT_FDCWD, ".", 0, 0x7ff, &all) == 0 && all.attributes & 0x2000);
    close(fd);

    int ends[2];
    check("fstat of a pipe", pipe(ends) == 0 && fstat(ends[0], &same) == 0 && S_ISFIFO(same.st_mode));
    check("statx of a pipe", syscall(332, ends[0], "", AT_EMPTY_PATH, 0x7ff, &all) == 0 && (all.mode & S_IFMT) == S_IFIFO);

    struct statfs figures;
    check("statfs", statfs("file", &figures) == 0 && figures.f_type == 0x01021994 && figures.f_bsize == 4096
          && figures.f_namelen == 255);
    fd = open("file", O_RDONLY);
    check("fstatfs", fstatfs(fd, &figures) == 0 && figures.f_type == 0x01021994);
    close(fd);
    check_error("statfs of nothing", statfs("none", &figures), ENOENT);
}

static void contents(void)
{
    char bytes[16] = {0};
    int fd = open("data", O_CREAT | O_RDWR, 0644);
    check("write", write(fd, "0123456789", 10) == 10);
    check("ftruncate shorter", ftruncate(fd, 4) == 0 && pread(fd, bytes, 16, 0) == 4);
    check("and longer: zeros", ftruncate(fd, 8) == 0 && pread(fd, bytes, 16, 0) == 8 && !memcmp(bytes, "0123\0\0\0\0", 8));
    check("a hole", pwrite(fd, "x", 1, 100000) == 1 && lseek(fd, 0, SEEK_END) == 100001);
    check("SEEK_DATA", lseek(fd, 8192, SEEK_DATA) == 98304);
    check("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE) == 4096);
    check_error("SEEK_DATA past the end", lseek(fd, 200000, SEEK_DATA), ENXIO);
    check_error("a negative size", ftruncate(fd, -1), EINVAL);
    check_error("truncate a directory", truncate("directory", 0), EISDIR);
    int append = open("data", O_WRONLY | O_APPEND);
    ftruncate(fd, 3);
    check("append", write(append, "abc", 3) == 3 && pread(fd, bytes, 16, 0) == 6 && !memcmp(bytes, "012abc", 6));
    check("O_TRUNC", make("data", "") == 0 && lseek(fd, 0, SEEK_END) == 0);
    close(append);
    close(fd);
    fd = open("data", O_WRONLY);
    check_error("read of write-only", read(fd, bytes, 1), EBADF);
    close(fd);
    fd = open("data", O_RDONLY);
    check_error("write of read-only", write(fd, bytes, 1), EBADF);
    check_error("ftruncate of read-only", ftruncate(fd, 0), EINVAL);
    close(fd);
}

int main(void)
{
    enter_tmpfs();
    times();
    fields();
    contents();
    leave_tmpfs();
    return finish();
}
