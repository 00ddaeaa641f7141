/* What every family of rows uses. A row measures a fixed number of operations by the time-stamp counter, which counts
 * instructions when QEMU runs with `-icount shift=0`. Setting up and taking down lie outside of the measured region. */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct row {
    const char *name;
    uint64_t (*measure)(unsigned count); /* returns the instructions of `count` operations */
    unsigned count;
};

/* Each family's rows end in one without a name. */
extern const struct row calls[], files[], memory[], processes[], signals[], handover[], transfers[];

/* Measures and prints the rows of the second table. */
void scale(void);

/* Ends the row, which then counts as failed, unless the condition holds. */
#define must(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: %s: %m\n", __FILE__, __LINE__, #condition);                                                 \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The two no-operations around a measured region tell bench/profile_plugin.c where to count. */
static inline uint64_t begin(void)
{
    __asm__ volatile("xchg %%r8w, %%r8w" ::: "memory");
    return __builtin_ia32_rdtsc();
}

static inline uint64_t end(uint64_t start)
{
    uint64_t taken = __builtin_ia32_rdtsc() - start;
    __asm__ volatile("xchg %%r9w, %%r9w" ::: "memory");
    return taken;
}

/* The instructions of `count` times the statement. */
#define REPEAT(count, statement)                                                                                       \
    ({                                                                                                                 \
        uint64_t start_ = begin();                                                                                     \
        for (unsigned i_ = 0; i_ < (count); i_++) {                                                                    \
            statement;                                                                                                 \
        }                                                                                                              \
        end(start_);                                                                                                   \
    })

/* Makes a file of `size` bytes in the tmpfs of /tmp; returns its descriptor. */
int file_of(const char *path, size_t size);

/* Starts a process that does `work` and ends. */
pid_t start(void (*work)(void *), void *argument);

/* Ends a process that `start` made, or waits for its end. */
void stop(pid_t child);
void await(pid_t child);

#endif
