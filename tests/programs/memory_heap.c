/* brk(2), mremap(2), the stack, limits. */
#include "memory.h"
#include <sys/auxv.h>

static char *kernel_break(void *end)
{
	return (char *)syscall(SYS_brk, end);
}

static int depth_sum(int depth)
{
	volatile char frame[1000];
	frame[0] = (char)depth;
	return depth == 0 ? 0 : depth_sum(depth - 1) + (frame[0] == (char)depth);
}

static int exit_of(pid_t child)
{
	int status = -1;
	waitpid(child, &status, 0);
	return status;
}

static void test_break(void)
{
	char *start = kernel_break(NULL);
	check("the heap's end", start != NULL && kernel_break((void *)1) == start);
	check("grows", kernel_break(start + 100000) == start + 100000);
	start[0] = start[99999] = 1;
	check("by bytes", kernel_break(start + 100001) == start + 100001);
	char *page = (char *)(((uintptr_t)start + PAGE - 1) & -PAGE);
	page[PAGE] = 9;
	check("shrinks", kernel_break(page) == page && touch(page + PAGE, 0) == SIGSEGV);
	check("is zero when it grows again", kernel_break(start + 100000) == start + 100000 && page[PAGE] == 0);
	char *end = (char *)(((uintptr_t)start + 100000 + PAGE - 1) & -PAGE);
	check("blocked by a mapping", map(end + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) &&
					  kernel_break(end + 16 * PAGE) == start + 100000);
	check("but not before it", kernel_break(end + 2 * PAGE) == end + 2 * PAGE);
	munmap(end + 4 * PAGE, PAGE);
	struct rlimit small = {1 << 20, 1 << 20};
	pid_t child = fork();
	if (child == 0) {
		setrlimit(RLIMIT_DATA, &small);
		char *now = kernel_break(NULL);
		_exit(kernel_break(now + (2 << 20)) != now);
	}
	check("RLIMIT_DATA", exit_of(child) == 0);
	small.rlim_cur = small.rlim_max = 64 << 20;
	child = fork();
	if (child == 0) {
		setrlimit(RLIMIT_AS, &small);
		_exit(!fails_with(map_private(65 << 20), ENOMEM));
	}
	check("RLIMIT_AS", exit_of(child) == 0);
}

static void test_mremap(void)
{
	char *room = map_private(64 * PAGE);
	munmap(room + 4 * PAGE, 60 * PAGE);
	for (int page = 0; page < 4; page++)
		room[page * PAGE] = (char)(page + 1);
	check("grows in place", mremap(room, 4 * PAGE, 8 * PAGE, 0) == room && room[0] == 1 && room[7 * PAGE] == 0);
	check("shrinks", mremap(room, 8 * PAGE, 4 * PAGE, 0) == room && touch(room + 4 * PAGE, 0) == SIGSEGV);
	map(room + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
	check("blocked", fails_with(mremap(room, 4 * PAGE, 8 * PAGE, 0), ENOMEM));
	char *moved = mremap(room, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	check("moves", moved != MAP_FAILED && moved != room && moved[0] == 1 && moved[3 * PAGE] == 4 && moved[7 * PAGE] == 0);
	check("and is gone there", touch(room, 0) == SIGSEGV);
	char *target = map_private(8 * PAGE);
	target[0] = 77;
	check("to a given place", mremap(moved, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target &&
				      target[0] == 1 && target[PAGE] == 2 && target[2 * PAGE] == 0);
	check("the rest stays", moved[3 * PAGE] == 4 && touch(moved, 0) == SIGSEGV);
	check("overlap", fails_with(mremap(target, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE), EINVAL));
	check("fixed without may-move", fails_with(mremap(target, PAGE, PAGE, MREMAP_FIXED, moved), EINVAL));
	check("odd address", fails_with(mremap(target + 1, PAGE, PAGE, 0), EINVAL));
	check("unknown flag", fails_with(mremap(target, PAGE, PAGE, 64), EINVAL));
	check("new length 0", fails_with(mremap(target, PAGE, 0, 0), EINVAL));
	check("not mapped", fails_with(mremap(room, PAGE, PAGE, 0), EFAULT));
	check("several areas", mprotect(target + PAGE, PAGE, PROT_READ) == 0 &&
				   fails_with(mremap(target, 4 * PAGE, 16 * PAGE, MREMAP_MAYMOVE), EFAULT));
	char *shared = map(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	shared[PAGE] = 8;
	char *twin = mremap(shared, 0, 2 * PAGE, MREMAP_MAYMOVE);
	check("a second view of shared memory", twin != MAP_FAILED && twin[PAGE] == 8 && (twin[0] = 3) == shared[0]);
	check("not of private memory", fails_with(mremap(target, 0, PAGE, MREMAP_MAYMOVE), EINVAL));

	char *big = malloc(1 << 20);
	memset(big, 5, 1 << 20);
	int good = 1;
	for (size_t size = 2 << 20; size <= 64 << 20; size *= 2) {
		big = realloc(big, size);
		good = good && big && big[0] == 5 && big[(1 << 20) - 1] == 5 && big[size - 1] == 0;
	}
	check("realloc", good);
	free(big);
}

/* Returns the value in KiB of a line of a file in /proc. */
static long proc_kib(const char *file, const char *name)
{
	char line[256];
	long value = -1;
	FILE *lines = fopen(file, "r");
	while (value == -1 && fgets(line, sizeof line, lines))
		if (strncmp(line, name, strlen(name)) == 0)
			value = atol(line + strlen(name));
	fclose(lines);
	return value;
}

static const size_t size = 32 << 20;
static char *area;

static void take(void)
{
	area = map_private(size);
}

static void give_back(void)
{
	munmap(area, size);
}

static void fill(void)
{
	memset(area, 1, size);
}

static void let_go(void)
{
	madvise(area, size, MADV_DONTNEED);
}

static void forbid_writing(void)
{
	mprotect(area, size, PROT_READ);
}

static void allow_writing(void)
{
	mprotect(area, size, PROT_READ | PROT_WRITE);
}

/* Whether `act` changes one of the whole system's figures by about `kib`. Others may change it at that moment: then `undo`
 * it, and try anew. */
static int changes(const char *name, long kib, void (*act)(void), void (*undo)(void))
{
	for (int tries = 0; tries < 50; tries++) {
		long before = proc_kib("/proc/meminfo", name);
		act();
		if (labs(proc_kib("/proc/meminfo", name) - before - kib) < 4 << 10)
			return 1;
		undo();
		usleep(20000);
	}
	act();
	return 0;
}

/* What /proc says of memory that is there. */
static void test_figures(void)
{
	long resident = proc_kib("/proc/self/status", "RssAnon:"), tables = proc_kib("/proc/self/status", "VmPTE:");
	check("promised before it is touched", changes("Committed_AS:", size >> 10, take, give_back) &&
						   proc_kib("/proc/self/status", "RssAnon:") < resident + 100);
	madvise(area, size, MADV_NOHUGEPAGE);
	check("AnonPages", changes("AnonPages:", size >> 10, fill, let_go));
	check("RssAnon", proc_kib("/proc/self/status", "RssAnon:") >= resident + (32 << 10));
	check("VmPTE", proc_kib("/proc/self/status", "VmPTE:") >= tables + 60);
	check("the kernel's", proc_kib("/proc/meminfo", "Slab:") > 0 && proc_kib("/proc/meminfo", "PageTables:") > 0 &&
				  proc_kib("/proc/meminfo", "KernelStack:") > 0);
	long whole = proc_kib("/proc/self/smaps_rollup", "Pss:"), dirty = proc_kib("/proc/self/smaps_rollup", "Private_Dirty:");
	int pipes[2], ready[2];
	char byte;
	check("pipes", pipe(pipes) == 0 && pipe(ready) == 0);
	pid_t child = fork();
	if (child == 0) {
		_exit(write(ready[1], "r", 1) != 1 || read(pipes[0], &byte, 1) != 1);
	}
	check("shared with a child, half is one's own",
	      read(ready[0], &byte, 1) == 1 && proc_kib("/proc/self/smaps_rollup", "Pss:") < whole - (14 << 10) &&
		  proc_kib("/proc/self/smaps_rollup", "Private_Dirty:") < dirty - (30 << 10) &&
		  proc_kib("/proc/self/smaps_rollup", "Anonymous:") >= 32 << 10);
	check("the child ends", write(pipes[1], "e", 1) == 1 && exit_of(child) == 0);
	check("read only memory stays promised", changes("Committed_AS:", 0, forbid_writing, allow_writing));
	check("all goes back", changes("Committed_AS:", -(long)(size >> 10), give_back, take) &&
				   proc_kib("/proc/self/status", "RssAnon:") < resident + 100);
}

static void test_stack(void)
{
	check("a deep stack", depth_sum(5000) == 5000);
	pid_t child = fork();
	if (child == 0) {
		struct rlimit small = {256 << 10, 256 << 10};
		static char signal_stack[1 << 16];
		stack_t other = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
		sigaltstack(&other, NULL);
		setrlimit(RLIMIT_STACK, &small);
		if (sigsetjmp(fault_return, 1) == 0)
			_exit(depth_sum(100000) >= 0 ? 2 : 3);
		_exit(fault_signal == SIGSEGV ? 0 : 1);
	}
	check("has its limit", exit_of(child) == 0);
	check("AT_RANDOM", getauxval(AT_RANDOM) != 0);
	check("AT_PAGESZ", getauxval(AT_PAGESZ) == PAGE);
	check("AT_CLKTCK", getauxval(AT_CLKTCK) == 100);
	check("AT_PLATFORM", strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
	check("AT_EXECFN", strstr((char *)getauxval(AT_EXECFN), "memory_heap") != NULL);
	check("AT_PHDR", getauxval(AT_PHDR) != 0 && getauxval(AT_PHENT) == 56 && getauxval(AT_PHNUM) > 2);
	check("AT_UID", getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid() && getauxval(AT_SECURE) == 0);
	check("AT_HWCAP", getauxval(AT_HWCAP) & (1 << 25));
}

int main(void)
{
	catch_faults();
	test_break();
	test_mremap();
	test_figures();
	test_stack();
	return finish();
}
