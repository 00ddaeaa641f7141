/* Mapping memory and touching it. Small pages everywhere but in the row that says otherwise. */
#include "rows.h"
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096
#define LARGE_PAGE (2ul << 20)

static char *map(size_t size, int file, int flags)
{
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, file, 0);
    must(memory != MAP_FAILED);
    madvise(memory, size, MADV_NOHUGEPAGE);
    return memory;
}

static uint64_t touch(volatile char *memory, unsigned pages)
{
    return REPEAT(pages, memory[i_ * (size_t)PAGE] = 1);
}

static uint64_t fault_anonymous(unsigned count)
{
    char *memory = map(count * (size_t)PAGE, -1, MAP_PRIVATE | MAP_ANONYMOUS);
    uint64_t taken = touch(memory, count);
    must(munmap(memory, count * (size_t)PAGE) == 0);
    return taken;
}

/* Pages of a file that are in memory already, only read. */
static uint64_t fault_file(unsigned count)
{
    volatile char *memory = map(count * (size_t)PAGE, file_of("/tmp/file", count * (size_t)PAGE), MAP_SHARED);
    return REPEAT(count, (void)memory[i_ * (size_t)PAGE]);
}

/* Pages that a child shares with its parent, written by the child. */
static uint64_t fault_copy(unsigned count)
{
    char *memory = map(count * (size_t)PAGE, -1, MAP_PRIVATE | MAP_ANONYMOUS);
    uint64_t *taken = (uint64_t *)map(PAGE, -1, MAP_SHARED | MAP_ANONYMOUS);
    memset(memory, 1, count * (size_t)PAGE);
    pid_t child = fork();
    if (child == 0) {
        *taken = 0;
        *taken = touch(memory, count);
        _exit(0);
    }
    await(child);
    munmap(memory, count * (size_t)PAGE);
    return *taken;
}

/* 2 MiB of memory that may be one large page, touched in each small one. */
static uint64_t fault_large(unsigned count)
{
    size_t size = (count + 1) * LARGE_PAGE;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED);
    madvise(memory, size, MADV_HUGEPAGE);
    char *first = (char *)(((uintptr_t)memory + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1));
    uint64_t taken = touch(first, count * (LARGE_PAGE / PAGE));
    munmap(memory, size);
    return taken;
}

static uint64_t map_small(unsigned count)
{
    return REPEAT(count, {
        char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *memory = 1;
        must(munmap(memory, PAGE) == 0);
    });
}

/* One page in each of the 32 stretches of 2 MiB is touched. */
static uint64_t map_large(unsigned count)
{
    return REPEAT(count, {
        char *memory = map(64ul << 20, -1, MAP_PRIVATE | MAP_ANONYMOUS);
        for (size_t at = 0; at < 64ul << 20; at += LARGE_PAGE)
            memory[at] = 1;
        must(munmap(memory, 64ul << 20) == 0);
    });
}

/* Sixteen pages lose their permission to be written, get it back, and one is written. */
static uint64_t protect(unsigned count)
{
    char *memory = map(16 * PAGE, -1, MAP_PRIVATE | MAP_ANONYMOUS);
    memset(memory, 1, 16 * PAGE);
    return REPEAT(count, {
        must(mprotect(memory, 16 * PAGE, PROT_READ) == 0);
        must(mprotect(memory, 16 * PAGE, PROT_READ | PROT_WRITE) == 0);
        *memory = 1;
    });
}

static uint64_t move_break(unsigned count)
{
    char *top = (char *)syscall(SYS_brk, 0);
    return REPEAT(count, {
        must((char *)syscall(SYS_brk, top + PAGE) == top + PAGE);
        *top = 1;
        must((char *)syscall(SYS_brk, top) == top);
    });
}

const struct row memory[] = {
    {"fault-anonymous", fault_anonymous, 4000},
    {"fault-file", fault_file, 4000},
    {"fault-copy", fault_copy, 4000},
    {"fault-2m", fault_large, 20},
    {"mmap-4k", map_small, 2000},
    {"mmap-64m", map_large, 200},
    {"mprotect", protect, 2000},
    {"brk", move_break, 2000},
    {0},
};
