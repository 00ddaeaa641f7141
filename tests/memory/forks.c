/* Forks and exits N times, parent and child storing to what they share; then as many pages must be free as before.
 * Several workers do so at once if there are several CPUs. Only for a machine on which nothing else runs. */
#define _GNU_SOURCE
#include "meminfo.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 8

static int worker(int rounds)
{
	char *area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(area, 1, PAGES * PAGE);
	for (int round = 0; round < rounds; round++) {
		char seen = area[0];
		pid_t child = fork();
		if (child == -1)
			return 1;
		if (child == 0) {
			if (area[0] != seen)
				_exit(1);
			area[round % PAGES * PAGE] = 77;
			_exit(area[round % PAGES * PAGE] != 77);
		}
		area[(round + 3) % PAGES * PAGE] = (char)round;
		int status = -1;
		if (waitpid(child, &status, 0) != child || status != 0)
			return 1;
	}
	return 0;
}

static int all_workers(int workers, int rounds)
{
	for (int index = 0; index < workers; index++)
		if (fork() == 0)
			_exit(worker(rounds));
	int bad = 0, status;
	while (wait(&status) > 0)
		bad |= status;
	return bad;
}

int main(int count, char **arguments)
{
	int rounds = count > 1 ? atoi(arguments[1]) : 10000;
	int workers = (int)sysconf(_SC_NPROCESSORS_ONLN);
	/* What the kernel keeps for later is there after the first rounds. */
	int bad = all_workers(workers, 500);
	long before = meminfo_kib("MemFree:");
	bad |= all_workers(workers, rounds / workers);
	long after = meminfo_kib("MemFree:");
	printf("free before %ld KiB, after %ld KiB, %d workers, %d rounds, failed %d\n", before, after, workers, rounds, bad);
	return bad || labs(before - after) > 1024;
}
