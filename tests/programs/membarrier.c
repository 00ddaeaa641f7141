/* membarrier(2): which commands there are, registration, and the barrier between two threads. */
#include "check.h"
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static long membarrier(int command, unsigned flags)
{
    return syscall(SYS_membarrier, command, flags, 0);
}

#define ROUNDS 1000
static volatile int mine, yours, seen_mine, seen_yours, round_begun, round_done;

/* The fast side has only a compiler's barrier between its store and its load. */
static void *fast(void *argument)
{
    (void)argument;
    for (int i = 1; i <= ROUNDS; i++) {
        while (__atomic_load_n(&round_begun, __ATOMIC_ACQUIRE) != i)
            sched_yield();
        yours = 1;
        __asm__ volatile("" ::: "memory");
        seen_mine = mine;
        __atomic_store_n(&round_done, i, __ATOMIC_RELEASE);
    }
    return NULL;
}

static int count_reorderings(void)
{
    pthread_t thread;
    int wrong = 0;
    pthread_create(&thread, NULL, fast, NULL);
    for (int i = 1; i <= ROUNDS; i++) {
        mine = yours = 0;
        __atomic_store_n(&round_begun, i, __ATOMIC_RELEASE);
        mine = 1;
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
        seen_yours = yours;
        while (__atomic_load_n(&round_done, __ATOMIC_ACQUIRE) != i)
            sched_yield();
        wrong += !seen_mine && !seen_yours;
    }
    pthread_join(thread, NULL);
    return wrong;
}

int main(void)
{
    int wanted = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
                 MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE | MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ;
    check("query", (membarrier(MEMBARRIER_CMD_QUERY, 0) & wanted) == wanted);
    check_error("query with flags", membarrier(MEMBARRIER_CMD_QUERY, 1), EINVAL);
    check_error("unknown", membarrier(1 << 20, 0), EINVAL);
    check_error("two at once", membarrier(MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0), EINVAL);
    check("global", membarrier(MEMBARRIER_CMD_GLOBAL, 0) == 0);
    check("global, quickly", membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0) == 0);
    check("register for it", membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0) == 0);
    check_error("not registered", membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), EPERM);
    check_error("nor for cores", membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0), EPERM);
    check_error("nor for sections", membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0), EPERM);
    check("register", membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0);
    check("private", membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0);
    check_error("with flags", membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 1), EINVAL);
    check("register for cores", membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0) == 0);
    check("cores", membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0) == 0);
    check("register for sections", membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0) == 0);
    check("sections", membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0) == 0);
    check("sections on one CPU", membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 1) == 0);
    check("nothing is seen in the wrong order", count_reorderings() == 0);
    return finish();
}
