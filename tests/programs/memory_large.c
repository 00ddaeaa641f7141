/* Large pages: what a program sees of its memory is the same whatever the size of its pages, whichever part of them is
   unmapped, protected, moved or shared with a child. Where the system gives none, the same checks are made of small ones. */
#include "memory.h"
#include <sys/prctl.h>

#ifndef PR_SET_THP_DISABLE
#define PR_SET_THP_DISABLE 41
#define PR_GET_THP_DISABLE 42
#endif

#define LARGE (2UL << 20)
#define RW (PROT_READ | PROT_WRITE)

static int is_offered;

/* Reads a number of the area that begins at ADDRESS from smaps; -1 if there is none. */
static long smaps(const void *address, const char *name)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char line[512];
	int is_there = 0;
	long value = -1;
	while (fgets(line, sizeof line, file)) {
		unsigned long start, end;
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_there = start <= (unsigned long)address && (unsigned long)address < end;
		else if (is_there && !strncmp(line, name, strlen(name)))
			value = strtol(line + strlen(name) + 1, NULL, 10);
	}
	fclose(file);
	return value;
}

static long large_kib(const void *address)
{
	return smaps(address, "AnonHugePages");
}

/* Maps COUNT aligned large pages, with small ones around them, for which large pages are wanted, and fills them. */
static char *filled(size_t count)
{
	char *area = mmap(NULL, (count + 1) * LARGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start = (char *)(((uintptr_t)area + LARGE - 1) & ~(LARGE - 1));
	if (start > area)
		munmap(area, start - area);
	munmap(start + count * LARGE, area + LARGE - start);
	madvise(start, count * LARGE, MADV_HUGEPAGE);
	for (size_t page = 0; page < count * 512; page++)
		*(size_t *)(start + page * PAGE) = page + 1;
	return start;
}

/* Returns whether each page from FIRST up to END still holds its number. */
static int holds(char *area, size_t first, size_t end)
{
	for (size_t page = first; page < end; page++)
		if (*(size_t *)(area + page * PAGE) != page + 1)
			return 0;
	return 1;
}

static long resident(void)
{
	long total = 0, pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	fscanf(file, "%ld %ld", &total, &pages);
	fclose(file);
	return pages;
}

static void parts(void)
{
	char *area = filled(3);
	check("whole", holds(area, 0, 3 * 512));
	check("they are large where these are offered", !is_offered || large_kib(area) > 0);
	long before = resident();
	check("a part unmapped", munmap(area + 10 * PAGE, 20 * PAGE) == 0 && touch(area + 10 * PAGE, 0) == SIGSEGV &&
				     touch(area + 29 * PAGE, 1) == SIGSEGV);
	check("the rest stays", holds(area, 0, 10) && holds(area, 30, 3 * 512));
	check("as many fewer are resident", before - resident() >= 20 - 8 && before - resident() <= 20 + 8);
	check("a part read only", mprotect(area + LARGE + PAGE, PAGE, PROT_READ) == 0 &&
				      touch(area + LARGE + PAGE, 1) == SIGSEGV && touch(area + LARGE, 1) == 0 &&
				      touch(area + LARGE + 2 * PAGE, 1) == 0);
	*(size_t *)(area + LARGE) = 513;
	*(size_t *)(area + LARGE + 2 * PAGE) = 515;
	check("keeps its content", holds(area, 512, 3 * 512));
	check("a part dropped", madvise(area + 2 * LARGE + 5 * PAGE, 3 * PAGE, MADV_DONTNEED) == 0 &&
				    area[2 * LARGE + 5 * PAGE] == 0 && area[2 * LARGE + 7 * PAGE] == 0 &&
				    holds(area, 1024, 1029) && holds(area, 1032, 1536));
	check("all unmapped", munmap(area, 3 * LARGE) == 0 && touch(area + LARGE, 0) == SIGSEGV);

	area = filled(2);
	check("none may be touched", mprotect(area + 7 * PAGE, LARGE, PROT_NONE) == 0 && touch(area + LARGE, 0) == SIGSEGV);
	check("and again", mprotect(area, 2 * LARGE, RW) == 0 && holds(area, 0, 1024));
	munmap(area, 2 * LARGE);

	area = filled(2);
	check("across two", munmap(area + LARGE - PAGE, 2 * PAGE) == 0 && holds(area, 0, 511) && holds(area, 513, 1024));
	munmap(area, 2 * LARGE);

	area = filled(1);
	check("all dropped", madvise(area, LARGE, MADV_DONTNEED) == 0 && area[0] == 0 && area[LARGE - 1] == 0);
	munmap(area, LARGE);
}

static void moves(void)
{
	char *area = filled(3);
	char *moved = mremap(area + 100 * PAGE, 2 * LARGE, 2 * LARGE + PAGE, MREMAP_MAYMOVE);
	check("a part moved", moved != MAP_FAILED && touch(area + 100 * PAGE, 0) == SIGSEGV);
	check("with its content", holds(moved - 100 * PAGE, 100, 1124) && moved[2 * LARGE] == 0);
	check("the rest stays where it was", holds(area, 0, 100) && holds(area, 1124, 1536));
	munmap(area, 3 * LARGE);
	munmap(moved, 2 * LARGE + PAGE);

	area = filled(2);
	moved = mremap(area, 2 * LARGE, LARGE + 3 * PAGE, 0);
	check("shrunk in place", moved == area && holds(area, 0, 515) && touch(area + LARGE + 3 * PAGE, 0) == SIGSEGV);
	munmap(area, 2 * LARGE);
}

static void children(void)
{
	char *area = filled(2);
	pid_t child = fork();
	if (child == 0) {
		int is_same = holds(area, 0, 1024);
		area[PAGE] = 'c';
		area[LARGE + 1] = 'c';
		munmap(area + 3 * PAGE, PAGE);
		_exit(is_same && holds(area, 4, 512) ? 0 : 1);
	}
	int status = -1;
	check("a child has the same", waitpid(child, &status, 0) == child && status == 0);
	check("and its own", holds(area, 0, 1024));
	area[5 * PAGE + 8] = 'p';
	check("stores when it has gone", holds(area, 0, 1024) && area[5 * PAGE + 8] == 'p');

	int fds[2];
	pipe(fds);
	child = fork();
	if (child == 0) {
		char go;
		close(fds[1]);
		read(fds[0], &go, 1);
		_exit(holds(area, 0, 1024) ? 0 : 1);
	}
	for (size_t page = 0; page < 1024; page += 3)
		area[page * PAGE + 16] = 'q';
	*(size_t *)(area + 6 * PAGE) = 0;
	close(fds[1]);
	check("nor does a child see what is stored after", waitpid(child, &status, 0) == child && status == 0);
	*(size_t *)(area + 6 * PAGE) = 7;
	close(fds[0]);

	madvise(area + 9 * PAGE, 2 * PAGE, MADV_DONTFORK);
	madvise(area + LARGE + PAGE, PAGE, MADV_WIPEONFORK);
	child = fork();
	if (child == 0) {
		catch_faults();
		int is_left_out = touch(area + 9 * PAGE, 0) == SIGSEGV && touch(area + 10 * PAGE, 0) == SIGSEGV;
		_exit(is_left_out && area[LARGE + PAGE] == 0 && holds(area, 0, 9) && holds(area, 11, 513) &&
			      holds(area, 514, 1024) ? 0 : 1);
	}
	check("parts left out or empty in a child", waitpid(child, &status, 0) == child && status == 0);
	check("but not here", holds(area, 0, 1024));
	munmap(area, 2 * LARGE);
}

static void advice(void)
{
	char *area = mmap(NULL, 4 * LARGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check("none wanted", madvise(area, 4 * LARGE, MADV_NOHUGEPAGE) == 0);
	memset(area, 1, 4 * LARGE);
	check("none given", large_kib(area) == 0 && smaps(area, "THPeligible") == 0);
	check("of no memory", fails_with(madvise((void *)(1UL << 46), PAGE, MADV_HUGEPAGE), ENOMEM));
	munmap(area, 4 * LARGE);

	check("refused by the process", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
	area = filled(1);
	check("so none is given", large_kib(area) == 0);
	int status = -1;
	pid_t child = fork();
	if (child == 0)
		_exit(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	check("nor to a child", waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 1);
	check("arguments that mean nothing", fails_with(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL) &&
						 fails_with(prctl(PR_SET_THP_DISABLE, 0, 1, 0, 0), EINVAL));
	check("allowed again", prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0 && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
	munmap(area, LARGE);

	area = mmap(NULL, LARGE / 2, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(area, LARGE / 2, MADV_HUGEPAGE);
	area[0] = 1;
	check("an area too small", large_kib(area) == 0 && smaps(area, "Rss") <= 4);
	munmap(area, LARGE / 2);
}

int main(void)
{
	char choice[64] = "";
	int file = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	if (file >= 0)
		read(file, choice, sizeof choice - 1);
	is_offered = strstr(choice, "[always]") || strstr(choice, "[madvise]");
	check("a choice is made", file < 0 || is_offered || strstr(choice, "[never]"));
	/* A system with large pages may be out of them, and a sandbox may not have what its files say. */
	char *area = filled(4);
	is_offered &= large_kib(area) > 0;
	printf("large pages are %s\n", is_offered ? "there" : "not there");
	munmap(area, 4 * LARGE);
	catch_faults();
	parts();
	moves();
	children();
	advice();
	return finish();
}
