/* The same work by several processes at once, each with files and memory of its own but for the file that all read. Not
 * counted: QEMU runs each CPU in a thread, and the figure is nanoseconds of the clock. */
#include "rows.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define PAGE 4096

struct work {
    void (*once)(void);
    unsigned count, workers;
    int go[2];
};

static int ends[2], file;
static char block[PAGE];
static int *word;

static void through_pipe(void)
{
    must(write(ends[1], block, PAGE) == PAGE && read(ends[0], block, PAGE) == PAGE);
}

static void fault(void)
{
    char *memory = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED);
    for (int page = 0; page < 64; page++)
        memory[page * PAGE] = 1;
    must(munmap(memory, 64 * PAGE) == 0);
}

static void fork_once(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    must(waitpid(child, NULL, 0) == child);
}

static void futex(void)
{
    must(syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    must(syscall(SYS_futex, word, FUTEX_WAIT, 1, NULL, NULL, 0) == -1);
}

static void read_file(void)
{
    must(pread(file, block, PAGE, 0) == PAGE);
}

static void work(void *argument)
{
    struct work *work = argument;
    must(pipe(ends) == 0);
    word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    close(work->go[1]);
    must(read(work->go[0], block, 1) == 0);
    for (unsigned i = 0; i < work->count; i++)
        work->once();
}

static uint64_t nanoseconds(void)
{
    struct timespec time;
    must(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* Nanoseconds until all workers have done `count` operations each, the best of five times. */
static uint64_t together(void (*once)(void), unsigned count, unsigned workers)
{
    uint64_t best = UINT64_MAX;
    for (int attempt = 0; attempt < 5; attempt++) {
        struct work shared = {once, count, workers, {0}};
        pid_t children[4];
        must(pipe(shared.go) == 0);
        for (unsigned i = 0; i < workers; i++)
            children[i] = start(work, &shared);
        close(shared.go[0]);
        uint64_t begun = nanoseconds();
        close(shared.go[1]);
        for (unsigned i = 0; i < workers; i++)
            await(children[i]);
        uint64_t taken = nanoseconds() - begun;
        best = taken < best ? taken : best;
    }
    return best;
}

/* Prints how much faster than one 2 and 4 workers get the same amount of work done, in percent. */
void scale(void)
{
    static const struct {
        const char *name;
        void (*once)(void);
        unsigned count;
    } works[] = {
        {"pipe", through_pipe, 20000}, {"fault", fault, 1000},         {"fork", fork_once, 400},
        {"futex", futex, 40000},       {"file-read", read_file, 40000},
    };
    file = file_of("/tmp/shared", 1 << 16);
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        uint64_t alone = together(works[i].once, works[i].count, 1);
        printf("@row %s-1 %llu\n", works[i].name, (unsigned long long)alone / works[i].count);
        for (unsigned workers = 2; workers <= 4; workers += 2) {
            uint64_t taken = together(works[i].once, works[i].count, workers);
            printf("@row %s-%u %llu\n", works[i].name, workers, (unsigned long long)(alone * workers * 100 / taken));
        }
    }
}
