/* pipe(7) and fifo(7): order, atomicity, ends, capacity, what poll sees. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

static volatile sig_atomic_t broken;

static void on_broken(int signal)
{
    (void)signal;
    broken++;
}

static int events(int fd, int wanted)
{
    struct pollfd entry = {fd, wanted, 0};
    return poll(&entry, 1, 0) < 0 ? -1 : entry.revents;
}

static void basics(void)
{
    int fds[2], left = -1;
    check("pipe", pipe(fds) == 0);
    check("the lowest descriptors", fds[0] == 3 && fds[1] == 4);
    check("flags of the read end", fcntl(fds[0], F_GETFL) == O_RDONLY);
    check("flags of the write end", fcntl(fds[1], F_GETFL) == O_WRONLY);
    check("not close-on-exec", fcntl(fds[0], F_GETFD) == 0);
    check("nothing to read yet", events(fds[0], POLLIN) == 0);
    check("room to write", events(fds[1], POLLOUT) == POLLOUT);
    check("write", write(fds[1], "hello", 5) == 5);
    check("write more", write(fds[1], " world", 6) == 6);
    check("FIONREAD", ioctl(fds[0], FIONREAD, &left) == 0 && left == 11);
    check("poll sees it", events(fds[0], POLLIN | POLLRDNORM) == (POLLIN | POLLRDNORM));
    check("short read", read(fds[0], buffer, 3) == 3 && !memcmp(buffer, "hel", 3));
    check("the rest, joined", read(fds[0], buffer, 100) == 8 && !memcmp(buffer, "lo world", 8));
    check_error("read from the write end", read(fds[1], buffer, 1), EBADF);
    check_error("write to the read end", write(fds[0], buffer, 1), EBADF);
    check_error("lseek", lseek(fds[0], 0, SEEK_CUR), ESPIPE);
    check_error("pread", pread(fds[0], buffer, 1, 0), ESPIPE);
    check_error("pread with a negative offset", pread(fds[0], buffer, 1, -1), EINVAL);
    check_error("ftruncate", ftruncate(fds[1], 0), EINVAL);
    check_error("fsync", fsync(fds[0]), EINVAL);
    check("null write", write(fds[1], "", 0) == 0);
    check_error("bad address", write(fds[1], (void *)8, 5), EFAULT);
    check_error("unknown ioctl", ioctl(fds[0], 0x5401, buffer), ENOTTY);
    struct stat stat;
    check("fstat", fstat(fds[0], &stat) == 0 && S_ISFIFO(stat.st_mode) && (stat.st_mode & 0777) == 0600);
    struct iovec vector[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    check("writev", writev(fds[1], vector, 3) == 5);
    struct iovec parts[2] = {{buffer, 1}, {buffer + 100, 10}};
    check("readv", readv(fds[0], parts, 2) == 5 && buffer[0] == 'a' && !memcmp(buffer + 100, "bcde", 4));
    check_error("too many areas", readv(fds[0], parts, 1025), EINVAL);
    close(fds[0]);
    close(fds[1]);
}

static void ends(void)
{
    int fds[2];
    pipe(fds);
    write(fds[1], "x", 1);
    close(fds[1]);
    check("hang-up and data", events(fds[0], POLLIN) == (POLLIN | POLLHUP));
    check("data after the writer left", read(fds[0], buffer, 10) == 1);
    check("then the end", read(fds[0], buffer, 10) == 0);
    check("hang-up alone", events(fds[0], POLLIN) == POLLHUP);
    close(fds[0]);

    pipe(fds);
    close(fds[0]);
    signal(SIGPIPE, on_broken);
    check_error("write without a reader", write(fds[1], "x", 1), EPIPE);
    check("raises SIGPIPE", broken == 1);
    check("error for the writer", events(fds[1], POLLOUT) == (POLLOUT | POLLERR));
    close(fds[1]);
    signal(SIGPIPE, SIG_DFL);

    int go[2];
    pipe(fds);
    pipe(go);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        read(go[0], buffer, 1);
        write(fds[1], "x", 1);
        _exit(0);
    }
    close(fds[0]);
    close(fds[1]);
    write(go[1], "x", 1);
    int status;
    waitpid(pid, &status, 0);
    check("dies of SIGPIPE", WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    close(go[0]);
    close(go[1]);
}

static void capacity(void)
{
    int fds[2];
    check_error("bad flags", pipe2(fds, O_APPEND), EINVAL);
    check_error("bad address", syscall(SYS_pipe2, 8, 0), EFAULT);
    check("pipe2", pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
    check("close-on-exec", fcntl(fds[1], F_GETFD) == FD_CLOEXEC);
    check("non-blocking", fcntl(fds[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
    check_error("empty", read(fds[0], buffer, 1), EAGAIN);
    check("capacity", fcntl(fds[0], F_GETPIPE_SZ) == 65536);
    check("partial write fills it", write(fds[1], buffer, 100000) == 65536);
    check_error("full", write(fds[1], buffer, 1), EAGAIN);
    check("full for poll", events(fds[1], POLLOUT) == 0);
    check_error("cannot shrink below its content", fcntl(fds[1], F_SETPIPE_SZ, 4096), EBUSY);
    check("grow", fcntl(fds[1], F_SETPIPE_SZ, 100000) == 131072);
    check("room again", write(fds[1], buffer, 100000) == 65536);
    check("take all", read(fds[0], buffer, sizeof buffer) == 131072);
    check("shrink", fcntl(fds[1], F_SETPIPE_SZ, 1) == 4096);
    check("one page", write(fds[1], buffer, 5000) == 4096);
    read(fds[0], buffer, 1);
    check_error("atomic or not at all", write(fds[1], buffer, 2), EAGAIN);
    close(fds[0]);
    close(fds[1]);

    pipe2(fds, O_NONBLOCK);
    int small = 0, odd = 0;
    while (write(fds[1], "x", 1) == 1)
        small++;
    check("bytes share pages", small == 65536);
    close(fds[0]);
    close(fds[1]);
    pipe2(fds, O_NONBLOCK);
    while (write(fds[1], buffer, 1000) == 1000)
        odd++;
    check("whole writes only", odd == 64);
    close(fds[0]);
    close(fds[1]);

    pipe2(fds, O_DIRECT);
    write(fds[1], "one", 3);
    write(fds[1], "two", 3);
    check("a packet at a time", read(fds[0], buffer, 100) == 3 && !memcmp(buffer, "one", 3));
    check("the rest of a packet is gone", read(fds[0], buffer, 1) == 1 && events(fds[0], POLLIN) == 0);
    close(fds[0]);
    close(fds[1]);
}

/* A user's pipes get small, and cannot grow, when they have all the pages that a user may have (pipe(7)). */
static void user_limit(void)
{
    if (fork() == 0) {
        struct rlimit files = {3000, 3000};
        setrlimit(RLIMIT_NOFILE, &files);
        if (geteuid() != 0 || setresuid(4321, 4321, 4321) != 0)
            _exit(0);
        int fds[2], count = 0;
        while (count < 1100 && pipe(fds) == 0 && fcntl(fds[0], F_GETPIPE_SZ) == 65536)
            count++;
        if (count != 1024 || fcntl(fds[0], F_GETPIPE_SZ) != 8192)
            _exit((printf("%d pipes, then %d\n", count, fcntl(fds[0], F_GETPIPE_SZ)), fflush(stdout), 1));
        if (fcntl(fds[0], F_SETPIPE_SZ, 65536) != -1 || errno != EPERM || fcntl(fds[0], F_SETPIPE_SZ, 4096) != 4096)
            _exit(2);
        close(3), close(4), close(fds[0]), close(fds[1]);
        _exit(pipe(fds) == 0 && fcntl(fds[0], F_GETPIPE_SZ) == 65536 ? 0 : 3);
    }
    int status;
    wait(&status);
    check("pipes of one user", status == 0 || (printf("status %x\n", status), 0));
}

static void stream(void)
{
    enum { TOTAL = 3000000 };
    int fds[2];
    pipe(fds);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        for (int i = 0; i < (int)sizeof buffer; i++)
            buffer[i] = i % 251;
        int sent = 0;
        while (sent < TOTAL) {
            int size = (sent * 7 + 13) % 9000 + 1;
            if (size > TOTAL - sent)
                size = TOTAL - sent;
            if (write(fds[1], buffer + sent % 251, size) != size)
                _exit(1);
            sent += size;
        }
        _exit(0);
    }
    close(fds[1]);
    int got = 0, wrong = 0;
    for (;;) {
        int count = read(fds[0], buffer, (got * 3 + 5) % 20000 + 1);
        if (count <= 0)
            break;
        for (int i = 0; i < count; i++)
            wrong += (unsigned char)buffer[i] != (got + i) % 251;
        got += count;
    }
    int status;
    waitpid(pid, &status, 0);
    check("all bytes came", got == TOTAL && status == 0);
    check("in order", wrong == 0);
    close(fds[0]);
}

static void *write_records(void *argument)
{
    int *parameters = argument;
    char record[512];
    memset(record, parameters[1], sizeof record);
    for (int i = 0; i < 500; i++)
        if (write(parameters[0], record, sizeof record) != sizeof record)
            return (void *)1;
    return NULL;
}

static void atomicity(void)
{
    int fds[2];
    pipe(fds);
    pthread_t threads[3];
    int parameters[3][2] = {{fds[1], 'a'}, {fds[1], 'b'}, {fds[1], 'c'}};
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, write_records, parameters[i]);
    int mixed = 0, records = 0;
    char record[512];
    while (records < 1500) {
        int have = 0;
        while (have < 512) {
            int count = read(fds[0], record + have, 512 - have);
            if (count <= 0)
                break;
            have += count;
        }
        for (int i = 1; i < 512; i++)
            mixed += record[i] != record[0];
        records++;
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    check("writes of several threads do not mix", mixed == 0);
    close(fds[0]);
    close(fds[1]);
}

static void interrupted(void)
{
    int fds[2];
    pipe(fds);
    struct sigaction action = {.sa_handler = on_broken};
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    check_error("a signal ends a blocked read", read(fds[0], buffer, 1), EINTR);
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        sleep(2);
        write(fds[1], "!", 1);
        _exit(0);
    }
    alarm(1);
    check("SA_RESTART goes on reading", read(fds[0], buffer, 1) == 1 && buffer[0] == '!');
    waitpid(pid, NULL, 0);
    close(fds[0]);
    close(fds[1]);
}

/* Each round a writer comes, writes and goes, maybe before the reader that it woke has looked. */
static void short_visits(void)
{
    enum { ROUNDS = 1500 };
    int go[2], right = 0;
    char byte = 'x';
    pipe(go);
    pid_t pid = fork();
    for (int i = 0; i < ROUNDS; i++) {
        int end = open("fifo", pid ? O_RDONLY : O_WRONLY);
        if (pid == 0) {
            write(end, &byte, 1);
            close(end);
            read(go[0], &byte, 1);
        } else {
            right += read(end, buffer, 2) == 1 && read(end, buffer, 2) == 0;
            close(end);
            write(go[1], &byte, 1);
        }
    }
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    close(go[0]);
    close(go[1]);
    check("each short visit is seen", right == ROUNDS);
}

static void fifos(void)
{
    unlink("fifo");
    check("mkfifo", mkfifo("fifo", 0644) == 0);
    short_visits();
    check_error("write-only without a reader", open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    check("read-only does not wait when non-blocking", reader >= 0);
    check("no hang-up before a writer came", events(reader, POLLIN) == 0);
    check("the end without writers", read(reader, buffer, 1) == 0);
    int writer = open("fifo", O_WRONLY | O_NONBLOCK);
    check("write-only with a reader", writer >= 0);
    check("through the fifo", write(writer, "abc", 3) == 3 && read(reader, buffer, 10) == 3);
    struct stat stat;
    check("fstat shows the name's inode", fstat(writer, &stat) == 0 && S_ISFIFO(stat.st_mode) && stat.st_nlink == 1 &&
                                              (stat.st_mode & 0777) == 0644);
    close(writer);
    check("hang-up after the writer left", events(reader, POLLIN) == POLLHUP);
    close(reader);

    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("fifo", O_WRONLY);
        _exit(write(fd, "hi", 2) != 2);
    }
    reader = open("fifo", O_RDONLY);
    check("both sides meet", reader >= 0 && read(reader, buffer, 10) == 2);
    int status;
    waitpid(pid, &status, 0);
    check("the writer too", status == 0);
    close(reader);
    int both = open("fifo", O_RDWR);
    check("read-write does not wait", both >= 0 && write(both, "x", 1) == 1 && read(both, buffer, 1) == 1);
    write(both, "left", 4);
    close(both);
    reader = open("fifo", O_RDONLY | O_NONBLOCK);
    check("what nobody read is gone", read(reader, buffer, 10) == 0);
    close(reader);
    unlink("fifo");
}

static volatile int stop;

static void *open_and_close(void *argument)
{
    while (!stop)
        close(open("fifo", O_RDWR));
    return argument;
}

/* What is written to a FIFO while another end closes, which was the last one, stays. */
static void last_close(void)
{
    pthread_t thread;
    char byte;
    int lost = 0;
    mkfifo("fifo", 0600);
    pthread_create(&thread, NULL, open_and_close, NULL);
    for (time_t end = time(NULL) + 2; time(NULL) < end;) {
        int fd = open("fifo", O_RDWR | O_NONBLOCK);
        lost += write(fd, "x", 1) != 1 || read(fd, &byte, 1) != 1;
        close(fd);
    }
    stop = 1;
    pthread_join(thread, NULL);
    check("a last close takes nothing that came after it", lost == 0);
    unlink("fifo");
}

int main(void)
{
    basics();
    ends();
    capacity();
    user_limit();
    stream();
    atomicity();
    interrupted();
    fifos();
    last_close();
    return finish();
}
