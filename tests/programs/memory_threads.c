/* Many threads of one address space map, unmap, protect, fault and fork at once; each sees what it must. */
#include "memory.h"
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 6
#define ROUNDS 150
#define PAGES 16

static atomic_int bad;
static atomic_int stop;
static char *shared_area;

#define expect(condition) \
	do { \
		if (!(condition) && bad++ == 0) \
			printf("line %d: %s\n", __LINE__, #condition); \
	} while (0)

/* Own areas: fresh ones are zero, stores stay, protection and unmapping hold, children see the state at the fork. */
static void *own_areas(void *data)
{
	char mark = (char)(1 + (long)data);
	for (int round = 0; round < ROUNDS; round++) {
		char *area = map_private(PAGES * PAGE);
		if (area == MAP_FAILED) {
			expect(0);
			break;
		}
		for (int page = 0; page < PAGES; page++) {
			expect(area[page * PAGE] == 0 && area[page * PAGE + PAGE - 1] == 0);
			area[page * PAGE] = area[page * PAGE + PAGE - 1] = mark;
		}
		expect(mprotect(area, 4 * PAGE, PROT_READ) == 0);
		expect(munmap(area + 8 * PAGE, 2 * PAGE) == 0);
		for (int page = 0; page < 8; page++)
			expect(area[page * PAGE] == mark && area[page * PAGE + PAGE - 1] == mark);
		expect(mprotect(area, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
		if (round % 10 == 0) {
			pid_t child = fork();
			if (child == 0) {
				int good = area[PAGE] == mark;
				area[PAGE] = 100;
				_exit(!(good && area[PAGE] == 100 && area[2 * PAGE] == mark));
			}
			area[2 * PAGE] = 101;
			int status = -1;
			expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
			expect(area[PAGE] == mark && area[2 * PAGE] == 101);
		}
		/* What is given back may be another thread's at once, so each piece goes only once. */
		munmap(area + 4 * PAGE, 4 * PAGE);
		munmap(area + 10 * PAGE, 6 * PAGE);
		char *moved = mremap(area, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
		expect(moved != MAP_FAILED && moved[0] == mark && moved[5 * PAGE] == 0);
		if (moved != MAP_FAILED)
			munmap(moved, 6 * PAGE);
	}
	return NULL;
}

/* All threads count in the same pages, which come by faults of several at once and are shared with children now and
 * then: no count is lost. */
static void *same_pages(void *data)
{
	(void)data;
	for (int round = 0; round < ROUNDS * 20; round++)
		atomic_fetch_add((atomic_int *)(shared_area + round % (4 * PAGES) * PAGE), 1);
	return NULL;
}

static void *forks(void *data)
{
	(void)data;
	while (!stop) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	return NULL;
}

/* One thread takes pages away that others write: each write lands or finds a fresh page; nobody sees another's. */
static void *discards(void *data)
{
	(void)data;
	for (int round = 0; round < ROUNDS * 4; round++)
		madvise(shared_area + (4 * PAGES + round % PAGES) * PAGE, PAGE, MADV_DONTNEED);
	return NULL;
}

static void *writes(void *data)
{
	char mark = (char)(1 + (long)data);
	for (int round = 0; round < ROUNDS * 4; round++) {
		volatile char *byte = shared_area + (4 * PAGES + round % PAGES) * PAGE + 64 * (long)data;
		*byte = mark;
		char seen = *byte;
		expect(seen == mark || seen == 0);
	}
	return NULL;
}

static void run_all(void *(*function)(void *), void *(*other)(void *))
{
	pthread_t threads[THREADS + 1];
	stop = 0;
	for (long index = 0; index < THREADS; index++)
		pthread_create(&threads[index], NULL, function, (void *)index);
	if (other)
		pthread_create(&threads[THREADS], NULL, other, NULL);
	for (int index = 0; index < THREADS; index++)
		pthread_join(threads[index], NULL);
	stop = 1;
	if (other)
		pthread_join(threads[THREADS], NULL);
}

int main(void)
{
	run_all(own_areas, NULL);
	check("areas of one's own", bad == 0);

	shared_area = map_private(5 * PAGES * PAGE);
	run_all(same_pages, forks);
	long sum = 0;
	for (int page = 0; page < 4 * PAGES; page++)
		sum += *(int *)(shared_area + page * PAGE);
	check("no store is lost to a fork", sum == (long)THREADS * ROUNDS * 20);

	run_all(writes, discards);
	check("pages taken away are fresh", bad == 0);
	return finish();
}
