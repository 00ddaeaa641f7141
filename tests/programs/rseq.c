/* rseq(2): registration, the CPU's number, and sections that begin again after a switch or a signal. */
#include "check.h"
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIGNATURE 0x53053053
#define UNREGISTER 1

struct area {
    uint32_t cpu_start, cpu;
    uint64_t section;
    uint32_t flags, node, id, padding;
} __attribute__((aligned(32)));

struct section {
    uint32_t version, flags;
    uint64_t start, length, abort;
};

static __thread volatile struct area mine __attribute__((aligned(32)));

static long rseq(volatile void *address, unsigned length, int flags, unsigned signature)
{
    return syscall(SYS_rseq, address, length, flags, signature);
}

/* A section that never ends by itself; returns by its abort handler. */
static void section_for_ever(volatile struct area *area, volatile uint64_t *rounds)
{
    __asm__ volatile(".pushsection .data\n"
                     ".balign 32\n"
                     "3: .long 0, 0\n"
                     ".quad 1f, 2f - 1f, 4f\n"
                     ".popsection\n"
                     "lea 3b(%%rip), %%rax\n"
                     "mov %%rax, 8(%0)\n"
                     "1: incq (%1)\n"
                     "jmp 1b\n"
                     "2: .byte 0x0f, 0xb9, 0x3d\n"
                     ".long 0x53053053\n"
                     "4:\n"
                     :
                     : "r"(area), "r"(rounds)
                     : "rax", "memory");
}

static void registration(void)
{
    check_error("too short", rseq(&mine, 16, 0, SIGNATURE), EINVAL);
    check_error("not aligned", rseq((char *)&mine + 8, 32, 0, SIGNATURE), EINVAL);
    check_error("unknown flag", rseq(&mine, 32, 2, SIGNATURE), EINVAL);
    check_error("not mapped", rseq((void *)32, 32, 0, SIGNATURE), EFAULT);
    check_error("none to take back", rseq(&mine, 32, UNREGISTER, SIGNATURE), EINVAL);
    mine.cpu = -1;
    check("register", rseq(&mine, 32, 0, SIGNATURE) == 0);
    check("it says the CPU", mine.cpu == mine.cpu_start && mine.cpu < (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    check_error("twice", rseq(&mine, 32, 0, SIGNATURE), EBUSY);
    check_error("another length", rseq(&mine, 64, 0, SIGNATURE), EINVAL);
    check_error("another place", rseq(&mine + 1, 32, 0, SIGNATURE), EINVAL);
    check_error("another signature", rseq(&mine, 32, 0, 1), EPERM);
    check_error("take back by another signature", rseq(&mine, 32, UNREGISTER, 1), EPERM);
    check("take back", rseq(&mine, 32, UNREGISTER, SIGNATURE) == 0);
    check("it says no CPU", mine.cpu == (uint32_t)-1 && mine.cpu_start == 0);
    check("register again", rseq(&mine, 32, 0, SIGNATURE) == 0);
}

static void follows_the_thread(void)
{
    cpu_set_t all, one;
    int wrong = 0;
    sched_getaffinity(0, sizeof all, &all);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        wrong += mine.cpu != (uint32_t)cpu || mine.cpu_start != (uint32_t)cpu;
    }
    sched_setaffinity(0, sizeof all, &all);
    check("it says each CPU that the thread comes to", wrong == 0);
}

static volatile sig_atomic_t signals;
static volatile uint64_t section_in_handler = 1;

static void on_signal(int signal)
{
    (void)signal;
    signals++;
    section_in_handler = mine.section;
}

static void left_for_a_signal(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct itimerval soon = {{0, 0}, {0, 20000}};
    volatile uint64_t rounds = 0;
    sigaction(SIGALRM, &action, NULL);
    /* A switch may end the section before the signal does. */
    setitimer(ITIMER_REAL, &soon, NULL);
    while (!signals)
        section_for_ever(&mine, &rounds);
    check("a signal ends the section", rounds > 0);
    check("before its handler", section_in_handler == 0);
}

static volatile int stop;

static void *spin(void *argument)
{
    (void)argument;
    while (!stop)
        ;
    return NULL;
}

static void left_for_a_switch(void)
{
    cpu_set_t all, one;
    volatile uint64_t rounds = 0;
    pthread_t thread;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    CPU_SET(mine.cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    pthread_create(&thread, NULL, spin, NULL);
    for (int i = 0; i < 3; i++)
        section_for_ever(&mine, &rounds);
    check("a switch ends the section", rounds > 0 && mine.section == 0);
    stop = 1;
    pthread_join(thread, NULL);
    sched_setaffinity(0, sizeof all, &all);
}

#define PAGES 8

/* What the sections of both threads change together; guarded by nothing but that they run on one CPU. */
static volatile uint64_t together;

/* Takes the count at `from`, touches new memory, which makes faults, then stores the count plus one at `to`; returns
   whether it came to its end. */
static int section_with_faults(volatile struct area *area, volatile char *memory, volatile uint64_t *from,
                               volatile uint64_t *to)
{
    int done = 0;
    __asm__ volatile(".pushsection .data\n"
                     ".balign 32\n"
                     "3: .long 0, 0\n"
                     ".quad 1f, 2f - 1f, 4f\n"
                     ".popsection\n"
                     "lea 3b(%%rip), %%rax\n"
                     "mov %%rax, 8(%1)\n"
                     "1: mov (%3), %%rdx\n"
                     "inc %%rdx\n"
                     "mov %5, %%rcx\n"
                     "5: movb $1, (%2)\n"
                     "add $4096, %2\n"
                     "dec %%rcx\n"
                     "jnz 5b\n"
                     "mov %%rdx, (%4)\n"
                     "2: movl $1, %0\n"
                     "jmp 6f\n"
                     ".byte 0x0f, 0xb9, 0x3d\n"
                     ".long 0x53053053\n"
                     "4:\n"
                     "6: movq $0, 8(%1)\n"
                     : "+r"(done), "+r"(area), "+r"(memory)
                     : "r"(from), "r"(to), "i"(PAGES)
                     : "rax", "rcx", "rdx", "memory");
    return done;
}

#define ROUNDS 6000

static void *count_with_faults(void *argument)
{
    int own = argument == NULL;
    if (own)
        rseq(&mine, 32, 0, SIGNATURE);
    char *memory = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int done = 0; done < ROUNDS;) {
        done += section_with_faults(&mine, memory, &together, &together);
        madvise(memory, PAGES * 4096, MADV_DONTNEED);
    }
    munmap(memory, PAGES * 4096);
    return NULL;
}

static void left_for_a_switch_in_a_fault(void)
{
    cpu_set_t all, one;
    pthread_t thread;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    CPU_SET(mine.cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    pthread_create(&thread, NULL, count_with_faults, NULL);
    count_with_faults(&all);
    pthread_join(thread, NULL);
    check("a switch in a fault ends the section too", together == 2 * ROUNDS);
    sched_setaffinity(0, sizeof all, &all);
}

static volatile uint64_t published, committed;

#define FRESH (32 << 20)

static void *commit_with_faults(void *argument)
{
    rseq(&mine, 32, 0, SIGNATURE);
    while (!stop) {
        /* Much at once: to take memory back would disturb the other CPU each time. */
        char *memory = mmap(NULL, FRESH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(memory, FRESH, MADV_NOHUGEPAGE);
        for (int done = 0; !stop && done < FRESH; done += PAGES * 4096)
            section_with_faults(&mine, memory + done, &published, &committed);
        munmap(memory, FRESH);
    }
    return argument;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* After membarrier(2) no section goes on that began before it. */
static void left_for_a_barrier(void)
{
    pthread_t thread;
    int64_t end = now_ns() + 700000000;
    int stale = 0;
    check("register for barriers", syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0);
    stop = 0;
    pthread_create(&thread, NULL, commit_with_faults, NULL);
    for (uint64_t round = 1; now_ns() < end; round++) {
        published = round;
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0);
        committed = 0;
        while (!committed)
            sched_yield();
        stale += committed != round + 1;
    }
    stop = 1;
    pthread_join(thread, NULL);
    check("a barrier ends the section, in a fault too", stale == 0);
}

/* Returns what kills a child that sends itself a signal with this section. */
static int killed_by(struct section section, uint64_t address)
{
    pid_t pid = fork();
    if (pid == 0) {
        static struct section copy;
        copy = section;
        mine.section = address ? address : (uint64_t)(uintptr_t)&copy;
        raise(SIGALRM);
        _exit(mine.section != 0);
    }
    int status;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static struct {
    uint32_t signature, abort;
} good = {SIGNATURE, 0}, bad = {0, 0};

static void bad_sections(void)
{
    uint64_t to_good = (uint64_t)(uintptr_t)&good.abort, to_bad = (uint64_t)(uintptr_t)&bad.abort;
    check("not in the section", killed_by((struct section){0, 0, 4096, 16, to_good}, 0) == 0);
    check("no signature", killed_by((struct section){0, 0, 4096, 16, to_bad}, 0) == SIGSEGV);
    check("unknown version", killed_by((struct section){1, 0, 4096, 16, to_good}, 0) == SIGSEGV);
    check("the handler is inside", killed_by((struct section){0, 0, to_good - 8, 16, to_good}, 0) == SIGSEGV);
    check("beyond memory", killed_by((struct section){0, 0, -8, 16, to_good}, 0) == SIGSEGV);
    check("no section there", killed_by((struct section){0}, 8) == SIGSEGV);
}

static void *in_a_thread(void *argument)
{
    (void)argument;
    long before = mine.cpu, result = rseq(&mine, 32, 0, SIGNATURE);
    return (void *)(intptr_t)(before == 0 && result == 0 && mine.cpu_start == mine.cpu);
}

static void inheritance(void)
{
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, in_a_thread, NULL);
    pthread_join(thread, &result);
    check("a thread registers its own", result != NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(rseq(&mine, 32, 0, SIGNATURE) != -1 || errno != EBUSY);
    int status;
    waitpid(pid, &status, 0);
    check("a child has its parent's", status == 0);
}

int main(void)
{
    registration();
    follows_the_thread();
    left_for_a_signal();
    left_for_a_switch();
    left_for_a_switch_in_a_fault();
    left_for_a_barrier();
    bad_sections();
    inheritance();
    return finish();
}
