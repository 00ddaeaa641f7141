/* Calls that do next to nothing: what entering and leaving the kernel costs. */
#include "rows.h"
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>

static uint64_t null_call(unsigned count)
{
    return REPEAT(count, getpid());
}

static uint64_t read_zero(unsigned count)
{
    char byte;
    int file = open("/dev/zero", O_RDONLY);
    must(read(file, &byte, 1) == 1);
    return REPEAT(count, read(file, &byte, 1));
}

static uint64_t write_null(unsigned count)
{
    int file = open("/dev/null", O_WRONLY);
    must(write(file, "", 1) == 1);
    return REPEAT(count, write(file, "", 1));
}

static uint64_t clock_shared(unsigned count)
{
    struct timespec time;
    must(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return REPEAT(count, clock_gettime(CLOCK_MONOTONIC, &time));
}

static uint64_t clock_call(unsigned count)
{
    struct timespec time;
    must(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time) == 0);
    return REPEAT(count, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time));
}

const struct row calls[] = {
    {"null-call", null_call, 20000},
    {"read-zero", read_zero, 20000},
    {"write-null", write_null, 20000},
    {"clock-vdso", clock_shared, 20000},
    {"clock-call", clock_call, 20000},
    {0},
};
