/* Mappings of files: what stores, write(2) and truncate(2) do to each other. */
#include "memory.h"

int main(void)
{
	catch_faults();
	int rw = PROT_READ | PROT_WRITE;
	int fd = temporary_file(3 * PAGE + 100);
	char *shared = mmap(NULL, 6 * PAGE, rw, MAP_SHARED, fd, 0);
	char *private = mmap(NULL, 6 * PAGE, rw, MAP_PRIVATE, fd, 0);
	char byte;

	check("both show the file", shared[0] == 'a' && private[PAGE] == 'b' && shared[3 * PAGE + 99] == 'd');
	check("zero behind the end", shared[3 * PAGE + 100] == 0 && private[4 * PAGE - 1] == 0);
	check("a page behind the end", touch(shared + 4 * PAGE, 0) == SIGBUS && fault_code == BUS_ADRERR &&
					   fault_address == shared + 4 * PAGE);
	check("in a private mapping", touch(private + 5 * PAGE, 1) == SIGBUS);

	shared[0] = 'A';
	check("a store is seen by read", pread(fd, &byte, 1, 0) == 1 && byte == 'A');
	check("and by the private mapping", private[0] == 'A');
	check("a write is seen by mappings", pwrite(fd, "BB", 2, PAGE) == 2 && shared[PAGE] == 'B' && private[PAGE] == 'B');
	private[PAGE] = 'P';
	check("a private store is not seen", pread(fd, &byte, 1, PAGE) == 1 && byte == 'B' && shared[PAGE] == 'B');
	check("a write after it is not seen either", pwrite(fd, "CC", 2, PAGE) == 2 && private[PAGE] == 'P' && private[PAGE + 1] == 'B');

	check("shorter", ftruncate(fd, PAGE + 10) == 0 && shared[PAGE] == 'C');
	check("the tail is cleared", shared[PAGE + 10] == 0);
	check("pages are gone", touch(shared + 2 * PAGE, 0) == SIGBUS && touch(private + 3 * PAGE, 0) == SIGBUS);
	check("longer again", ftruncate(fd, 5 * PAGE) == 0 && shared[2 * PAGE] == 0 && shared[4 * PAGE] == 0);
	check("and zero", pread(fd, &byte, 1, PAGE + 10) == 1 && byte == 0);
	check("a hole filled through the mapping", (shared[3 * PAGE] = 'h', pread(fd, &byte, 1, 3 * PAGE) == 1) && byte == 'h');

	char *part = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 3 * PAGE);
	check("an offset", part[0] == 'h');
	check("odd offset", fails_with(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 7), EINVAL));
	check("closed, still mapped", close(fd) == 0 && part[0] == 'h' && touch(shared, 1) == 0);

	int from = temporary_file(4 * PAGE);
	char *source = mmap(NULL, 4 * PAGE, rw, MAP_SHARED, from, 0);
	check("a file written from its own mapping", pwrite(from, source + PAGE, 2 * PAGE, 0) == 2 * PAGE && source[0] == 'b' && source[PAGE] == 'c');
	check("and read into it", pread(from, source + 3 * PAGE, PAGE, 0) == PAGE && source[3 * PAGE] == 'b');
	int fresh = temporary_file(0);
	ftruncate(fresh, 2 * PAGE);
	char *hole = mmap(NULL, 2 * PAGE, rw, MAP_SHARED, fresh, 0);
	check("a hole written from itself", pwrite(fresh, hole + PAGE, PAGE, 0) == PAGE && hole[0] == 0);

	check("msync", msync(source, 4 * PAGE, MS_SYNC) == 0 && msync(source, PAGE, MS_ASYNC) == 0);
	check("msync of both kinds", fails_with(msync(source, PAGE, MS_SYNC | MS_ASYNC), EINVAL));
	check("msync at an odd address", fails_with(msync(source + 1, PAGE, MS_SYNC), EINVAL));
	check("msync of a hole", munmap(source + PAGE, PAGE) == 0 && fails_with(msync(source, 4 * PAGE, MS_SYNC), ENOMEM));

	char name[] = "memory-directory";
	mkdir(name, 0700);
	int directory = open(name, O_RDONLY);
	check("a directory", fails_with(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, directory, 0), ENODEV));
	rmdir(name);
	int zero = open("/dev/zero", O_RDWR);
	char *zeros = mmap(NULL, 2 * PAGE, rw, MAP_PRIVATE, zero, 0);
	check("/dev/zero", zeros != MAP_FAILED && zeros[PAGE] == 0 && touch(zeros + PAGE, 1) == 0 && zeros[PAGE] == 1);
	char *both = mmap(NULL, PAGE, rw, MAP_SHARED, zero, 0);
	pid_t child = fork();
	if (child == 0) {
		both[0] = 'q';
		_exit(0);
	}
	check("/dev/zero, shared", waitpid(child, NULL, 0) == child && both[0] == 'q');
	int memory = memfd_create("name", MFD_CLOEXEC);
	check("memfd", memory >= 0 && fcntl(memory, F_GETFD) == FD_CLOEXEC && ftruncate(memory, 2 * PAGE) == 0);
	char *view = mmap(NULL, 2 * PAGE, rw, MAP_SHARED, memory, 0);
	view[PAGE] = 'm';
	check("its mapping", pread(memory, &byte, 1, PAGE) == 1 && byte == 'm');
	char link[64], target[64] = "";
	snprintf(link, sizeof link, "/proc/self/fd/%d", memory);
	check("its name", readlink(link, target, sizeof target) == 21 && memcmp(target, "/memfd:name (deleted)", 21) == 0);
	struct stat status;
	check("its mode", fstat(memory, &status) == 0 && status.st_mode == (S_IFREG | 0777) && status.st_nlink == 0 &&
			      status.st_size == 2 * PAGE);
	check("unknown flags", fails_with(memfd_create("name", 0x100), EINVAL));
	check("no name", fails_with(memfd_create(NULL, 0), EFAULT));
	char long_name[251];
	memset(long_name, 'n', 250);
	long_name[250] = 0;
	check("a long name", fails_with(memfd_create(long_name, 0), EINVAL) && memfd_create(long_name + 1, 0) >= 0);
	enum { LONG = 3000 };
	int file = memfd_create("long", 0);
	ftruncate(file, LONG * PAGE);
	shared = mmap(NULL, LONG * PAGE, rw, MAP_SHARED, file, 0);
	private = mmap(NULL, LONG * PAGE, rw, MAP_PRIVATE, file, 0);
	int is_kept = 1, is_hole = 1, is_private_kept = 1;
	for (size_t page = 0; page < LONG; page++) {
		shared[page * PAGE] = 's';
		is_kept &= private[page * PAGE] == 's';
		if (page % 7 == 0)
			private[page * PAGE] = 'p';
	}
	check("a hole", fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100 * PAGE, (LONG - 200) * PAGE) == 0);
	for (size_t page = 0; page < LONG; page++) {
		char left = page >= 100 && page < LONG - 100 ? 0 : 's';
		is_hole &= shared[page * PAGE] == left;
		is_private_kept &= private[page * PAGE] == (page % 7 == 0 ? 'p' : left);
	}
	check("is one in all mappings", is_kept && is_hole);
	check("but where one has a copy", is_private_kept);
	return finish();
}
