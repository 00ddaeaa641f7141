/* The memory devices, and what /dev must hold. */
#include "files.h"
#include <poll.h>
#include <sys/mman.h>

int main(void)
{
    static char bytes[8192];
    struct stat status;
    int fd = open("/dev/null", O_RDWR);
    check("null reads nothing", read(fd, bytes, 10) == 0);
    check("null takes all", write(fd, bytes, sizeof bytes) == sizeof bytes);
    check("null is 1:3", fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
    check("null is at 0", lseek(fd, 100, SEEK_SET) == 0 && lseek(fd, -7, SEEK_CUR) == 0);
    struct pollfd poll_null = {fd, POLLIN | POLLOUT, 0};
    check("null is ready", poll(&poll_null, 1, 0) == 1 && poll_null.revents == (POLLIN | POLLOUT));
    close(fd);

    fd = open("/dev/zero", O_RDWR);
    memset(bytes, 1, sizeof bytes);
    int zeros = 1;
    check("zero reads", read(fd, bytes, sizeof bytes) == sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i++)
        zeros &= bytes[i] == 0;
    check("zeros", zeros);
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    check("zero maps", memory != MAP_FAILED && memory[5000] == 0 && (memory[5000] = 7) == 7);
    munmap(memory, 8192);
    memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check("shared too", memory != MAP_FAILED && memory[5000] == 0 && (memory[5000] = 7) == 7);
    close(fd);

    fd = open("/dev/full", O_RDWR);
    check_error("full is full", write(fd, "x", 1), ENOSPC);
    check("full reads zeros", read(fd, bytes, 4) == 4 && bytes[0] == 0);
    close(fd);

    for (int i = 0; i < 2; i++) {
        fd = open(i ? "/dev/random" : "/dev/urandom", O_RDWR);
        char first[32], second[32];
        check("random reads", read(fd, first, 32) == 32 && read(fd, second, 32) == 32);
        check("random differs", memcmp(first, second, 32) != 0);
        check("random takes", write(fd, first, 32) == 32);
        close(fd);
    }
    check("the device links", exists("/dev/fd") && exists("/dev/stdin") && exists("/dev/stdout") && exists("/dev/stderr"));
    int ends[2];
    char name[32];
    check("a pipe by its name", pipe(ends) == 0 && sprintf(name, "/dev/fd/%d", ends[1]) > 0
          && (fd = open(name, O_WRONLY)) >= 0 && write(fd, "p", 1) == 1 && read(ends[0], bytes, 1) == 1);
    return finish();
}
