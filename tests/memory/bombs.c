/* Takes, by the way that is named, as much as it gets, and then waits to be killed or ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

static void heap(void)
{
	for (;;) {
		char *block = malloc(1 << 20);
		if (block)
			memset(block, 1, 1 << 20);
	}
}

/* Children of children, until no more can be made; then all wait. */
static void forks(void)
{
	for (int failed = 0; failed < 100;)
		if (fork() == -1) {
			failed++;
			usleep(10000);
		}
	pause();
}

/* As many areas as there may be, in as many processes as there may be: page tables and areas take the memory. */
static void areas(void)
{
	for (;;) {
		size_t pages = 60000;
		char *area = mmap(NULL, pages * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		for (size_t page = 1; area != MAP_FAILED && page < pages; page += 2)
			mprotect(area + page * PAGE, PAGE, PROT_READ | PROT_WRITE);
		if (fork() == -1)
			usleep(1000);
	}
}

/* One read page in each 2 MiB: the zero page costs nothing, its tables do. */
static void tables(void)
{
	for (;;) {
		size_t length = 1UL << 36;
		volatile char *area = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (area == MAP_FAILED)
			pause();
		for (size_t at = 0; at < length; at += 2 << 20)
			(void)area[at];
	}
}

/* Pages that are kept but may not be accessed count too. */
static void aside(void)
{
	for (;;) {
		char *area = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (area == MAP_FAILED)
			pause();
		memset(area, 1, 1 << 20);
		mprotect(area, 1 << 20, PROT_NONE);
	}
}

static void *sleeper(void *data)
{
	(void)data;
	pause();
	return NULL;
}

static void threads(void)
{
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	pthread_t thread;
	for (int failed = 0; failed < 10;)
		failed += pthread_create(&thread, &small, sleeper, NULL) != 0;
	_exit(0);
}

static void files(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (;;) {
		while (open("/proc/self/status", O_RDONLY) != -1)
			;
		if (fork() == -1)
			pause();
	}
}

static void directories(void)
{
	long depth = 0;
	while (mkdir("d", 0700) == 0 && chdir("d") == 0)
		depth++;
	printf("%ld deep: %s\n", depth, strerror(errno));
	while (depth-- > 0 && chdir("..") == 0 && rmdir("d") == 0)
		;
}

static void fill(void)
{
	static char block[1 << 16];
	long written = 0, count;
	int fd = open("fill", O_WRONLY | O_CREAT, 0600);
	while ((count = write(fd, block, sizeof block)) > 0)
		written += count;
	printf("%ld KiB: %s\n", written >> 10, strerror(errno));
	unlink("fill");
}

/* As heap, while a child with a fifth of that has ended but for the stop that tells its tracer, who keeps silent. */
static void held(void)
{
	pid_t child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		memset(malloc(8 << 20), 1, 8 << 20);
		_exit(0);
	}
	int status;
	waitpid(child, &status, 0);
	ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACEEXIT);
	ptrace(PTRACE_CONT, child, NULL, NULL);
	waitpid(child, &status, 0);
	if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
		heap();
}

int main(int count, char **arguments)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} ways[] = {{"heap", heap},       {"forks", forks},     {"areas", areas},
		    {"tables", tables},   {"aside", aside},     {"threads", threads}, {"files", files},
		    {"directories", directories}, {"fill", fill}, {"held", held}};
	if (count > 2)
		setuid(65534);
	for (size_t way = 0; way < sizeof ways / sizeof *ways; way++)
		if (count > 1 && strcmp(arguments[1], ways[way].name) == 0)
			ways[way].run();
	return 0;
}
