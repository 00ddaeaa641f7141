/* Many bytes at once. */
#include "rows.h"

#define FILE_SIZE (4ul << 20)

static char block[1 << 16];

static void drain(void *argument)
{
    int *ends = argument;
    close(ends[1]);
    while (read(ends[0], block, sizeof block) > 0)
        ;
}

/* 64 KiB through a pipe, from the first byte until all are read. */
static uint64_t pipe_bandwidth(unsigned count)
{
    int ends[2];
    must(pipe(ends) == 0);
    pid_t child = start(drain, ends);
    close(ends[0]);
    uint64_t begun = begin();
    for (unsigned i = 0; i < count; i++)
        must(write(ends[1], block, sizeof block) == sizeof block);
    close(ends[1]);
    await(child);
    return end(begun);
}

static uint64_t transfer(ssize_t (*move)(int, void *, size_t, off_t), size_t length, unsigned count)
{
    int file = file_of("/tmp/file", FILE_SIZE);
    uint64_t taken = REPEAT(count, must(move(file, block, length, i_ * length % FILE_SIZE) == (ssize_t)length));
    close(file);
    return taken;
}

static ssize_t put(int file, void *bytes, size_t length, off_t at)
{
    return pwrite(file, bytes, length, at);
}

static uint64_t read_4(unsigned count)
{
    return transfer(pread, 4 << 10, count);
}

static uint64_t read_64(unsigned count)
{
    return transfer(pread, 64 << 10, count);
}

static uint64_t write_4(unsigned count)
{
    return transfer(put, 4 << 10, count);
}

static uint64_t write_64(unsigned count)
{
    return transfer(put, 64 << 10, count);
}

const struct row transfers[] = {
    {"pipe-64k", pipe_bandwidth, 500},
    {"tmpfs-read-4k", read_4, 4000},
    {"tmpfs-read-64k", read_64, 500},
    {"tmpfs-write-4k", write_4, 4000},
    {"tmpfs-write-64k", write_64, 500},
    {0},
};
