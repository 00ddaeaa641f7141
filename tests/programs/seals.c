/* File sealing (fcntl(2)): what each seal forbids and what it leaves. */
#include "files.h"
#include <sys/mman.h>

#define PAGE 4096

static int sealed(unsigned seals)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, 2 * PAGE) || fcntl(fd, F_ADD_SEALS, seals))
		exit(1);
	return fd;
}

static void *map(int fd, int protection, int flags)
{
	void *address = mmap(NULL, PAGE, protection, flags, fd, 0);
	return address == MAP_FAILED ? NULL : address;
}

static void test_who(void)
{
	int fd = memfd_create("plain", 0);
	check("without leave, no seals", fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
	check_error("nor can they be added", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
	close(fd);
	fd = memfd_create("sealable", MFD_ALLOW_SEALING);
	check("none at first", fcntl(fd, F_GET_SEALS) == 0);
	check("one", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0 && fcntl(fd, F_GET_SEALS) == F_SEAL_GROW);
	check("two", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && fcntl(fd, F_GET_SEALS) == (F_SEAL_GROW | F_SEAL_SHRINK));
	check_error("unknown ones", fcntl(fd, F_ADD_SEALS, 0x1000), EINVAL);
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	int reader = open(name, O_RDONLY);
	check_error("by a reader", fcntl(reader, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	check("a reader sees them", fcntl(reader, F_GET_SEALS) == (F_SEAL_GROW | F_SEAL_SHRINK));
	close(reader);
	check("the last", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) == 0);
	check_error("none after it", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	close(fd);
	int ends[2];
	check("a pipe", pipe(ends) == 0);
	check_error("has none", fcntl(ends[1], F_GET_SEALS), EINVAL);
	check_error("and takes none", fcntl(ends[1], F_ADD_SEALS, F_SEAL_WRITE), EINVAL);
}

static void test_size(void)
{
	int fd = sealed(F_SEAL_SHRINK);
	check_error("shrink", ftruncate(fd, PAGE), EPERM);
	check("the same size", ftruncate(fd, 2 * PAGE) == 0);
	check("grow", ftruncate(fd, 3 * PAGE) == 0);
	close(fd);
	fd = sealed(F_SEAL_GROW);
	check_error("grow when sealed", ftruncate(fd, 3 * PAGE), EPERM);
	check_error("grow by fallocate", fallocate(fd, 0, PAGE, 2 * PAGE), EPERM);
	check_error("grow by a write", pwrite(fd, "x", 1, 2 * PAGE), EPERM);
	check("a write inside", pwrite(fd, "x", 1, 2 * PAGE - 1) == 1);
	static char pages[2 * PAGE];
	check("a write across ends there", pwrite(fd, pages, sizeof pages, PAGE) == PAGE);
	check("shrink", ftruncate(fd, PAGE) == 0);
	close(fd);
}

static void test_write(void)
{
	int fd = memfd_create("sealable", MFD_ALLOW_SEALING);
	check("content", write(fd, "content", 7) == 7);
	char *shared = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	check_error("while a mapping writes", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	check("no seal then", fcntl(fd, F_GET_SEALS) == 0);
	check("a mapping that might write", mprotect(shared, PAGE, PROT_READ) == 0);
	check_error("counts too", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	munmap(shared, PAGE);
	char *private = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	check("a private one does not", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	private[0] = 'C';
	check_error("write", pwrite(fd, "x", 1, 0), EPERM);
	check_error("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), EPERM);
	check_error("map to write", map(fd, PROT_READ | PROT_WRITE, MAP_SHARED) ? 0 : -1, EPERM);
	char text[8] = "";
	check("read", pread(fd, text, 7, 0) == 7 && strcmp(text, "content") == 0);
	check("map for oneself", map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE) != NULL);
	check("size is another matter", ftruncate(fd, PAGE) == 0);
	close(fd);
}

static void test_future_write(void)
{
	int fd = memfd_create("sealable", MFD_ALLOW_SEALING);
	check("content", write(fd, "content", 7) == 7);
	char *shared = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	check("while a mapping writes", fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
	shared[0] = 'C';
	char text[8] = "";
	check("it goes on", pread(fd, text, 7, 0) == 7 && strcmp(text, "Content") == 0);
	check_error("no write", pwrite(fd, "x", 1, 0), EPERM);
	check_error("no new mapping", map(fd, PROT_READ | PROT_WRITE, MAP_SHARED) ? 0 : -1, EPERM);
	char *reader = map(fd, PROT_READ, MAP_SHARED);
	check("one that reads", reader && reader[0] == 'C');
	check_error("and never writes", mprotect(reader, PAGE, PROT_READ | PROT_WRITE), EACCES);
	close(fd);
}

int main(void)
{
	test_who();
	test_size();
	test_write();
	test_future_write();
	return finish();
}
