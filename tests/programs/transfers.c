/* sendfile, copy_file_range, splice, tee; vectors with positions; fallocate and the rest on sizes. */
#include "check.h"
#include <sched.h>
#include <pthread.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char data[200000], buffer[400000];

static int fresh(const char *name, int flags)
{
    return open(name, O_RDWR | O_CREAT | O_TRUNC | flags, 0644);
}

static void sending(void)
{
    int from = fresh("from", 0), to = fresh("to", 0), fds[2];
    write(from, data, sizeof data);
    off_t offset = 10;
    check("sendfile from an offset", sendfile(to, from, &offset, 100) == 100 && offset == 110);
    check("leaves the position", lseek(from, 0, SEEK_CUR) == sizeof data);
    check("copied", pread(to, buffer, 200, 0) == 100 && !memcmp(buffer, data + 10, 100));
    lseek(from, 0, SEEK_SET);
    check("sendfile to the end", sendfile(to, from, NULL, 1 << 30) == sizeof data);
    check("moves both positions", lseek(from, 0, SEEK_CUR) == sizeof data && lseek(to, 0, SEEK_CUR) == sizeof data + 100);
    check("at the end", sendfile(to, from, NULL, 10) == 0);
    pipe(fds);
    offset = 5;
    check("into a pipe", sendfile(fds[1], from, &offset, 50) == 50 && read(fds[0], buffer, 100) == 50 &&
                             !memcmp(buffer, data + 5, 50));
    check_error("from a pipe", sendfile(to, fds[0], NULL, 1), EINVAL);
    check_error("from a pipe with an offset", sendfile(to, fds[0], &offset, 1), ESPIPE);
    int appending = open("to", O_WRONLY | O_APPEND);
    offset = 0;
    check_error("to an appending file", sendfile(appending, from, &offset, 1), EINVAL);
    check_error("to a file not open for writing", sendfile(fds[0], from, &offset, 1), EBADF);
    offset = -1;
    check_error("a negative offset", sendfile(to, from, &offset, 1), EINVAL);
    close(appending);

    off_t in = 100, out = 50;
    ftruncate(to, 0);
    check("copy_file_range", syscall(SYS_copy_file_range, from, &in, to, &out, 1000, 0) == 1000);
    check("both offsets moved", in == 1100 && out == 1050);
    check("copied too", pread(to, buffer, 2000, 0) == 1050 && !memcmp(buffer + 50, data + 100, 1000));
    check_error("bad flags", syscall(SYS_copy_file_range, from, &in, to, &out, 1, 1), EINVAL);
    in = 0, out = 50;
    check_error("overlapping", syscall(SYS_copy_file_range, from, &in, from, &out, 100, 0), EINVAL);
    check_error("a pipe", syscall(SYS_copy_file_range, from, &in, fds[1], NULL, 100, 0), EINVAL);
    close(fds[0]);
    close(fds[1]);
    close(from);
    close(to);
}

static void splicing(void)
{
    int from = fresh("from", 0), to = fresh("to", 0), one[2], two[2];
    write(from, data, sizeof data);
    pipe(one);
    pipe(two);
    off_t offset = 1000;
    check("file to pipe", splice(from, &offset, one[1], NULL, 5000, 0) == 5000 && offset == 6000);
    check("tee", tee(one[0], two[1], 3000, 0) == 3000);
    check("pipe to file", splice(one[0], NULL, to, NULL, 5000, 0) == 5000);
    check("all there", pread(to, buffer, 9000, 0) == 5000 && !memcmp(buffer, data + 1000, 5000));
    check("the copy too", read(two[0], buffer, 9000) == 3000 && !memcmp(buffer, data + 1000, 3000));
    write(one[1], "abcdef", 6);
    check("pipe to pipe", splice(one[0], NULL, two[1], NULL, 4, 0) == 4);
    check("moved", read(two[0], buffer, 10) == 4 && !memcmp(buffer, "abcd", 4));
    check("the rest stays", read(one[0], buffer, 10) == 2 && !memcmp(buffer, "ef", 2));
    check_error("without a pipe", splice(from, NULL, to, NULL, 10, 0), EINVAL);
    check_error("a pipe to itself", splice(one[0], NULL, one[1], NULL, 10, 0), EINVAL);
    check_error("an offset in a pipe", splice(one[0], &offset, to, NULL, 10, 0), ESPIPE);
    check_error("nothing there", splice(one[0], NULL, to, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
    check_error("tee of nothing", tee(one[0], two[1], 10, SPLICE_F_NONBLOCK), EAGAIN);
    check_error("tee without pipes", tee(from, two[1], 10, 0), EINVAL);
    check("no bytes", splice(from, NULL, to, NULL, 0, 0) == 0);
    struct iovec vector[2] = {{"xy", 2}, {"z", 1}};
    check("vmsplice", vmsplice(one[1], vector, 2, 0) == 3 && read(one[0], buffer, 10) == 3 && !memcmp(buffer, "xyz", 3));
    close(one[1]);
    check("the end", splice(one[0], NULL, to, NULL, 10, 0) == 0);
    close(one[0]);
    close(two[0]);
    signal(SIGPIPE, SIG_IGN);
    check_error("no reader", splice(from, NULL, two[1], NULL, 10, 0), EPIPE);
    close(two[1]);
    close(from);
    close(to);
}

static void vectors(void)
{
    int fd = fresh("from", 0);
    struct iovec vector[2] = {{"hello ", 6}, {"world", 5}};
    check("pwritev", pwritev(fd, vector, 2, 3) == 11 && lseek(fd, 0, SEEK_CUR) == 0);
    char a[4], b[20];
    struct iovec parts[2] = {{a, 4}, {b, 20}};
    check("preadv", preadv(fd, parts, 2, 3) == 11 && !memcmp(a, "hell", 4) && !memcmp(b, "o world", 7));
    check("preadv2 at the position", syscall(SYS_preadv2, fd, parts, 2, -1L, 0L, 0) == 14 &&
                                         lseek(fd, 0, SEEK_CUR) == 14);
    check_error("preadv2 with unknown flags", syscall(SYS_preadv2, fd, parts, 2, 0L, 0L, 1 << 20), EOPNOTSUPP);
    check_error("a negative length", (parts[0].iov_len = -1, readv(fd, parts, 2)), EINVAL);
    check_error("a negative count", readv(fd, parts, -1), EINVAL);
    check("no areas", readv(fd, parts, 0) == 0);
    check_error("a bad array", readv(fd, (void *)8, 1), EFAULT);
    vector[1].iov_base = (void *)8;
    check("up to the bad area", pwritev(fd, vector, 2, 0) == 6);
    close(fd);
}

static void extents(void)
{
    int fd = fresh("from", 0), fds[2];
    struct stat stat;
    check("fallocate", fallocate(fd, 0, 0, 10000) == 0 && fstat(fd, &stat) == 0 && stat.st_size == 10000);
    check("keep the size", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000) == 0 && fstat(fd, &stat) == 0 &&
                               stat.st_size == 10000);
    check_error("no length", fallocate(fd, 0, 0, 0), EINVAL);
    check_error("a negative start", fallocate(fd, 0, -1, 10), EINVAL);
    write(fd, data, 8192);
    check("punch a hole", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096) == 0 &&
                              pread(fd, buffer, 8192, 0) == 8192 && buffer[5000] == 0 && buffer[4000] == data[4000]);
    check("fsync", fsync(fd) == 0 && fdatasync(fd) == 0);
    check("fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) == 0);
    check("unknown advice", posix_fadvise(fd, 0, 0, 77) == EINVAL);
    check("sync_file_range", sync_file_range(fd, 0, 0, 0) == 0);
    check_error("with unknown flags", sync_file_range(fd, 0, 0, 99), EINVAL);
    check("readahead", readahead(fd, 0, 100) == 0);
    pipe(fds);
    check_error("fallocate of a pipe", fallocate(fds[1], 0, 0, 1), ESPIPE);
    check("fadvise of a pipe", posix_fadvise(fds[0], 0, 0, 0) == ESPIPE);
    int readonly = open("from", O_RDONLY);
    check_error("ftruncate of a file not open for writing", ftruncate(readonly, 0), EINVAL);
    check_error("fallocate too", fallocate(readonly, 0, 0, 1), EBADF);
    check_error("a directory", read(open(".", O_RDONLY), buffer, 1), EISDIR);
    close(fd);
}

static volatile int signals;

static void on_limit(int number)
{
    (void)number;
    signals++;
}

/* RLIMIT_FSIZE holds for every way into a file: bit n of the result tells that the n-th does not. */
static int beyond_limit(void)
{
    int from = open("from", O_RDONLY), to = fresh("to", 0), fds[2], wrong = 0;
    off_t start = 0, far = 1000;
    signal(SIGXFSZ, on_limit);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000});
    wrong |= sendfile(to, from, &start, 5000) != 1000;
    signals = 0;
    wrong |= (sendfile(to, from, &start, 5000) != -1 || errno != EFBIG || !signals) << 1;
    start = 0;
    ftruncate(to, 0);
    wrong |= (syscall(SYS_copy_file_range, from, &start, to, &(off_t){400}, 5000L, 0) != 600) << 2;
    signals = 0;
    wrong |= (syscall(SYS_copy_file_range, from, &start, to, &far, 5000L, 0) != -1 || errno != EFBIG || !signals) << 3;
    pipe(fds);
    write(fds[1], data, 3000);
    wrong |= (splice(fds[0], NULL, to, &(loff_t){900}, 3000, 0) != 100) << 4;
    signals = 0;
    wrong |= (splice(fds[0], NULL, to, &far, 3000, 0) != -1 || errno != EFBIG || !signals) << 5;
    wrong |= (lseek(to, 0, SEEK_END) != 1000) << 6;
    return wrong;
}

static void limits(void)
{
    int fd = fresh("from", 0), status;
    write(fd, data, 8192);
    close(fd);
    pid_t child = fork();
    if (child == 0)
        _exit(beyond_limit());
    waitpid(child, &status, 0);
    if (status)
        printf("wrong: %#x\n", status >> 8);
    check("not beyond RLIMIT_FSIZE", status == 0);
}

static int tee_from[2], tee_to[2];
static volatile int tid_of[2];

static void *duplicates(void *argument)
{
    tid_of[0] = syscall(SYS_gettid);
    return argument + (tee(tee_from[0], tee_to[1], 9, 0) != 1);
}

static void *takes(void *argument)
{
    char bytes[9];
    tid_of[1] = syscall(SYS_gettid);
    return argument + (read(tee_from[0], bytes, 9) != 1);
}

/* Waits until thread `which` sleeps. */
static void until_asleep(int which)
{
    char path[64], state = 0;
    while (!tid_of[which])
        sched_yield();
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid_of[which]);
    while (state != 'S') {
        FILE *file = fopen(path, "r");
        fscanf(file, "%*d (%*[^)]) %c", &state);
        fclose(file);
    }
}

/* What tee looked at is there for a reader who waited behind it. */
static void waiting_together(void)
{
    pthread_t first, second;
    void *one = &one, *two = &two;
    pipe(tee_from);
    pipe(tee_to);
    pthread_create(&first, NULL, duplicates, NULL);
    until_asleep(0);
    pthread_create(&second, NULL, takes, NULL);
    until_asleep(1);
    alarm(10);
    check("a byte for two", write(tee_from[1], "x", 1) == 1);
    pthread_join(second, &two);
    /* The reader may have been before tee. */
    check("another byte", write(tee_from[1], "y", 1) == 1);
    pthread_join(first, &one);
    alarm(0);
    check("tee and read both have it", one == NULL && two == NULL);
}

static void packets(void)
{
    int from[2], to[2];
    char bytes[9];
    check("pipes of packets", pipe2(from, O_DIRECT) == 0 && pipe2(to, O_DIRECT) == 0);
    check("two packets", write(from[1], "aa", 2) == 2 && write(from[1], "bb", 2) == 2);
    check("tee takes both", tee(from[0], to[1], 100, 0) == 4);
    check("they stay apart", read(from[0], bytes, 9) == 2 && read(from[0], bytes, 9) == 2);
    check("and do in the copy", read(to[0], bytes, 9) == 2 && read(to[0], bytes, 9) == 2);
}

int main(void)
{
    waiting_together();
    packets();
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (i * 31 + i / 256) % 253;
    sending();
    splicing();
    vectors();
    extents();
    limits();
    unlink("from");
    unlink("to");
    return finish();
}
