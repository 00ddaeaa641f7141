/* Two or more processes that wake one another: what sleeping, waking and switching cost. A ping-pong counts both ways. */
#include "rows.h"
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

/* Where each side reads and writes: [0] is the parent's. */
struct line {
    int from[2], to[2];
    unsigned length;
};

static void echo(void *argument)
{
    struct line *line = argument;
    char bytes[8];
    while (read(line->from[1], bytes, line->length) == line->length)
        must(write(line->to[1], bytes, line->length) == line->length);
}

static uint64_t ping_pong(struct line *line, unsigned count)
{
    uint64_t value = 1;
    pid_t child = start(echo, line);
    uint64_t taken = REPEAT(count, {
        must(write(line->to[0], &value, line->length) == line->length);
        must(read(line->from[0], &value, line->length) == line->length);
    });
    stop(child);
    for (int side = 0; side < 2; side++)
        close(line->from[side]), close(line->to[side]);
    return taken;
}

static uint64_t pipes(unsigned count)
{
    int there[2], back[2];
    must(pipe(there) == 0 && pipe(back) == 0);
    return ping_pong(&(struct line){{back[0], there[0]}, {there[1], back[1]}, 1}, count);
}

static uint64_t sockets(unsigned count)
{
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    return ping_pong(&(struct line){{ends[0], ends[1]}, {ends[0], ends[1]}, 1}, count);
}

static uint64_t events(unsigned count)
{
    int there = eventfd(0, 0), back = eventfd(0, 0);
    return ping_pong(&(struct line){{back, there}, {there, back}, 8}, count);
}

static void wait_for(atomic_int *word, int value)
{
    while (atomic_load(word) != value)
        syscall(SYS_futex, word, FUTEX_WAIT, !value, NULL, NULL, 0);
}

static void pass(atomic_int *word, int value)
{
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void answer(void *word)
{
    for (;;) {
        wait_for(word, 1);
        pass(word, 0);
    }
}

static uint64_t futexes(unsigned count)
{
    atomic_int *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(word != MAP_FAILED);
    pid_t child = start(answer, word);
    uint64_t taken = REPEAT(count, {
        pass(word, 1);
        wait_for(word, 0);
    });
    stop(child);
    return taken;
}

/* A token goes round a ring of processes, and each that gets it looks at all of its memory first. */
struct member {
    int from, to;
    size_t size;
};

static void look(volatile long *memory, size_t size)
{
    for (size_t at = 0; at < size / sizeof *memory; at += 8)
        memory[at]++;
}

static void hand_on(void *argument)
{
    struct member *member = argument;
    long *memory = calloc(1, member->size + 1);
    char token;
    while (read(member->from, &token, 1) == 1) {
        look(memory, member->size);
        must(write(member->to, &token, 1) == 1);
    }
}

static uint64_t ring(unsigned count, unsigned processes, size_t size)
{
    int ends[17][2];
    pid_t children[16];
    char token = 1;
    long *memory = calloc(1, size + 1);
    for (unsigned i = 0; i < processes; i++)
        must(pipe(ends[i]) == 0);
    for (unsigned i = 1; i < processes; i++)
        children[i] = start(hand_on, &(struct member){ends[i - 1][0], ends[i][1], size});
    uint64_t taken = REPEAT((count + processes - 1) / processes, {
        look(memory, size);
        must(write(ends[0][1], &token, 1) == 1);
        must(read(ends[processes - 1][0], &token, 1) == 1);
    });
    for (unsigned i = 1; i < processes; i++)
        stop(children[i]);
    for (unsigned i = 0; i < processes; i++)
        close(ends[i][0]), close(ends[i][1]);
    free(memory);
    return taken;
}

static uint64_t switch_2_0(unsigned count)
{
    return ring(count, 2, 0);
}

static uint64_t switch_2_64(unsigned count)
{
    return ring(count, 2, 64 << 10);
}

static uint64_t switch_16_0(unsigned count)
{
    return ring(count, 16, 0);
}

static uint64_t switch_16_64(unsigned count)
{
    return ring(count, 16, 64 << 10);
}

static void spin(void *argument)
{
    (void)argument;
    for (;;)
        __asm__ volatile("");
}

/* Sleeps of 10 us that end although another process would go on. */
static uint64_t sleep_beside(unsigned count)
{
    pid_t child = start(spin, NULL);
    uint64_t taken = REPEAT(count, nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL));
    stop(child);
    return taken;
}

const struct row handover[] = {
    {"pipe-pingpong", pipes, 2000},
    {"unix-pingpong", sockets, 2000},
    {"futex-pingpong", futexes, 2000},
    {"eventfd-pingpong", events, 2000},
    {"switch-2-0k", switch_2_0, 4000},
    {"switch-2-64k", switch_2_64, 4000},
    {"switch-16-0k", switch_16_0, 4000},
    {"switch-16-64k", switch_16_64, 4000},
    {"sleep-10us", sleep_beside, 200},
    {0},
};
