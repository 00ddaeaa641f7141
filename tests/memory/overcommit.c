/* vm.overcommit_memory: 0 refuses what is obviously too much, 1 nothing, 2 what goes beyond the limit. It is the whole
 * machine's, so this is no test for the build host; it was tried on Linux in QEMU. */
#include "../programs/check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void set(const char *name, int value)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/sys/vm/overcommit_%s", name);
	int fd = open(path, O_WRONLY);
	check(name, dprintf(fd, "%d\n", value) > 0);
	close(fd);
}

static long row(const char *name)
{
	static char text[8192];
	int fd = open("/proc/meminfo", O_RDONLY);
	text[read(fd, text, sizeof text - 1)] = 0;
	close(fd);
	return atol(strchr(strstr(text, name), ':') + 1);
}

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

static void *map(long kib, int protection, int flags)
{
	return mmap(NULL, (size_t)kib << 10, protection, flags, -1, 0);
}

/* Whether `kib` of memory can be had. */
static int may_have(long kib, int flags)
{
	void *area = map(kib, PROT_READ | PROT_WRITE, flags);
	if (area == MAP_FAILED)
		return errno == ENOMEM ? 0 : -1;
	munmap(area, (size_t)kib << 10);
	return 1;
}

static int may_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	int status = -1;
	return pid == -1 ? (errno == ENOMEM ? 0 : -1) : waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
	long all = row("MemTotal");
	set("memory", 0);
	check("0: more than there is", may_have(all * 2, PRIVATE) == 0);
	check("0: but not if it is not to be reserved", may_have(all * 2, PRIVATE | MAP_NORESERVE) == 1);
	void *one = map(all / 10 * 8, PROT_READ | PROT_WRITE, PRIVATE), *other = map(all / 10 * 8, PROT_READ | PROT_WRITE, PRIVATE);
	check("0: the sum does not count", one != MAP_FAILED && other != MAP_FAILED);
	munmap(one, (size_t)(all / 10 * 8) << 10);
	munmap(other, (size_t)(all / 10 * 8) << 10);

	set("memory", 1);
	check("1: anything", may_have(all * 50, PRIVATE) == 1);

	set("ratio", 50);
	set("memory", 2);
	long limit = row("CommitLimit"), promised = row("Committed_AS");
	check("2: the limit is half of memory", limit > all * 45 / 100 && limit <= all / 2);
	check("2: more than the limit", may_have(limit + 1024, PRIVATE) == 0);
	check("2: also if it is not to be reserved", may_have(limit + 1024, PRIVATE | MAP_NORESERVE) == 0);
	check("2: also if it is shared", may_have(limit + 1024, MAP_SHARED | MAP_ANONYMOUS) == 0);
	check("2: what is only read does not count", map(limit + 1024, PROT_READ, PRIVATE) != MAP_FAILED);
	void *area = map(limit + 1024, PROT_READ, PRIVATE);
	check("2: until it becomes writable", mprotect(area, (size_t)(limit + 1024) << 10, PROT_READ | PROT_WRITE) == -1 && errno == ENOMEM);
	one = map(limit / 10 * 4, PROT_READ | PROT_WRITE, PRIVATE);
	check("2: a part of it", one != MAP_FAILED);
	check("2: is in the sum", row("Committed_AS") - promised >= limit / 10 * 4);
	check("2: which counts", may_have(limit / 10 * 7, PRIVATE) == 0);
	check("2: a child has the same once more", may_fork() == 1);
	other = map(limit / 10 * 2, PROT_READ | PROT_WRITE, PRIVATE);
	check("2: unless that is too much", other != MAP_FAILED && may_fork() == 0);
	munmap(one, (size_t)(limit / 10 * 4) << 10);
	munmap(other, (size_t)(limit / 10 * 2) << 10);
	check("2: what is given back is out of the sum", labs(row("Committed_AS") - promised) < 1024);
	set("ratio", 80);
	check("2: the limit follows the ratio", row("CommitLimit") > all * 70 / 100 && may_have(all * 6 / 10, PRIVATE) == 1);
	set("memory", 0);
	return finish();
}
