/* A crowd of threads sleeps on one word after the other. The kernel's heap must not keep room for a crowd at each. Only
 * for a machine on which nothing else runs. */
#define _GNU_SOURCE
#include "meminfo.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>

#define THREADS 400
#define WORDS 100

static atomic_int words[WORDS];

static long futex(atomic_int *word, int operation, int value, long limit)
{
	return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, limit, word, 0);
}

static void *member(void *data)
{
	for (int index = 0; index < WORDS; index++)
		while (!words[index])
			futex(&words[index], FUTEX_WAIT, 0, 0);
	return data;
}

int main(void)
{
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
	pthread_t threads[THREADS];
	int bad = 0;
	for (int index = 0; index < THREADS; index++)
		bad |= pthread_create(&threads[index], &attributes, member, NULL);

	long before = 0;
	for (int index = 0; index < WORDS && !bad; index++) {
		/* To move all sleepers to where they are counts them. */
		while (futex(&words[index], FUTEX_CMP_REQUEUE, 0, INT_MAX) < THREADS)
			usleep(1000);
		if (index == 0)
			before = meminfo_kib("Slab:");
		words[index] = 1;
		futex(&words[index], FUTEX_WAKE, INT_MAX, 0);
	}
	for (int index = 0; index < THREADS && !bad; index++)
		pthread_join(threads[index], NULL);
	long after = meminfo_kib("Slab:");
	printf("heap before %ld KiB, after %ld KiB, failed %d\n", before, after, bad);
	return bad || after - before > 512;
}
