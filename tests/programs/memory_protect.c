/* mprotect(2), madvise(2), mlock(2): rights, what pages keep, errors. */
#include "memory.h"

static const char code[] = {(char)0xb8, 42, 0, 0, 0, (char)0xc3}; /* mov $42, %eax; ret */

int main(void)
{
	catch_faults();
	int rw = PROT_READ | PROT_WRITE;
	char *area = map_private(8 * PAGE);
	for (int page = 0; page < 8; page++)
		area[page * PAGE] = (char)(page + 1);

	check("read only", mprotect(area, 8 * PAGE, PROT_READ) == 0 && area[PAGE] == 2);
	check("cannot be written", touch(area, 1) == SIGSEGV && fault_code == SEGV_ACCERR && fault_address == area);
	check("written again", mprotect(area, 8 * PAGE, rw) == 0 && touch(area, 1) == 0);
	check("nothing", mprotect(area + 2 * PAGE, 2 * PAGE, PROT_NONE) == 0 && touch(area + 2 * PAGE, 0) == SIGSEGV &&
			     fault_code == SEGV_ACCERR);
	check("neighbours stay", touch(area + PAGE, 1) == 0 && touch(area + 4 * PAGE, 1) == 0);
	check("content comes back", mprotect(area + 2 * PAGE, 2 * PAGE, rw) == 0 && area[2 * PAGE] == 3 && area[3 * PAGE] == 4);
	check("and can be written", touch(area + 3 * PAGE, 1) == 0 && area[3 * PAGE] == 1);
	check("a write call from nothing",
	      mprotect(area, PAGE, PROT_NONE) == 0 && fails_with(write(temporary_file(0), area, 10), EFAULT));
	check("nothing survives fork", fork() ? (wait(NULL), 1) : (mprotect(area, PAGE, rw), _exit(area[0] != 1), 0));
	check("back again", mprotect(area, PAGE, rw) == 0 && area[0] == 1);

	check("odd address", fails_with(syscall(SYS_mprotect, area + 1, PAGE, rw), EINVAL));
	check("length 0", mprotect(area, 0, rw) == 0);
	check("unknown right", fails_with(mprotect(area, PAGE, 0x40), EINVAL));
	check("a hole", munmap(area + 6 * PAGE, PAGE) == 0 && fails_with(mprotect(area + 4 * PAGE, 4 * PAGE, PROT_READ), ENOMEM));
	check("what lies before it is changed", touch(area + 5 * PAGE, 1) == SIGSEGV);
	check("what lies behind is not", touch(area + 7 * PAGE, 1) == 0);
	check("nothing there", fails_with(mprotect(area + 6 * PAGE, PAGE, PROT_READ), ENOMEM));

	char *program = map_private(PAGE);
	memcpy(program, code, sizeof code);
	fault_signal = 0;
	if (sigsetjmp(fault_return, 1) == 0)
		((int (*)(void))program)();
	check("data cannot be run", fault_signal == SIGSEGV && fault_address == program);
	check("code can", mprotect(program, PAGE, PROT_READ | PROT_EXEC) == 0 && ((int (*)(void))program)() == 42);
	check("execute implies read", mprotect(program, PAGE, PROT_EXEC) == 0 && program[1] == 42);
	check("write implies read", mprotect(program, PAGE, PROT_WRITE) == 0 && program[1] == 42);

	int fd = temporary_file(2 * PAGE);
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int read_only = open(path, O_RDONLY);
	check("shared, file open for reading", fails_with(mmap(NULL, PAGE, rw, MAP_SHARED, read_only, 0), EACCES));
	char *shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
	check("cannot be raised", shared != MAP_FAILED && fails_with(mprotect(shared, PAGE, rw), EACCES));
	char *private = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, read_only, 0);
	check("private can", mprotect(private, PAGE, rw) == 0 && touch(private, 1) == 0 && shared[0] == 'a');

	char *kept = mmap(NULL, 2 * PAGE, rw, MAP_PRIVATE, fd, 0);
	kept[PAGE] = 'k';
	mprotect(kept, 2 * PAGE, PROT_NONE);
	check("a private page beside a file's page comes back", mprotect(kept, 2 * PAGE, rw) == 0 && kept[0] == 'a' && kept[PAGE] == 'k');

	char *advised = map_private(4 * PAGE);
	advised[0] = advised[PAGE] = 1;
	check("discard", madvise(advised, PAGE, MADV_DONTNEED) == 0 && advised[0] == 0 && advised[PAGE] == 1);
	check("discard a private file page", madvise(private, PAGE, MADV_DONTNEED) == 0 && private[0] == 'a');
	check("unknown advice", fails_with(madvise(advised, PAGE, 1234), EINVAL));
	check("advice at an odd address", fails_with(madvise(advised + 1, PAGE, MADV_DONTNEED), EINVAL));
	check("advice for a hole", munmap(advised + 2 * PAGE, PAGE) == 0 &&
				       fails_with(madvise(advised, 4 * PAGE, MADV_DONTNEED), ENOMEM) && advised[PAGE] == 0);
	check("advice for no bytes", madvise(advised, 0, MADV_DONTNEED) == 0);
	advised[0] = 5;
	madvise(advised, PAGE, MADV_DONTFORK);
	pid_t child = fork();
	if (child == 0)
		_exit(touch(advised, 0) == SIGSEGV ? 0 : 1);
	int status = -1;
	check("left out of a fork", waitpid(child, &status, 0) == child && status == 0 && advised[0] == 5);
	madvise(advised, PAGE, MADV_DOFORK);
	check("wiped by a fork", madvise(advised, PAGE, MADV_WIPEONFORK) == 0);
	child = fork();
	if (child == 0)
		_exit(advised[0] != 0);
	check("empty in the child", waitpid(child, &status, 0) == child && status == 0 && advised[0] == 5);
	check("a file cannot be wiped", fails_with(madvise(private, PAGE, MADV_WIPEONFORK), EINVAL));

	check("lock", mlock(advised, 10) == 0 && munlock(advised, 10) == 0);
	check("lock a hole", fails_with(mlock(advised + 2 * PAGE, PAGE), ENOMEM));
	check("locked pages are not discarded", mlock(advised, PAGE) == 0 &&
						    fails_with(madvise(advised, PAGE, MADV_DONTNEED), EINVAL) && advised[0] == 5);
	check("unlock all", munlockall() == 0 && madvise(advised, PAGE, MADV_DONTNEED) == 0);
	check("lock all, no flags", fails_with(mlockall(0), EINVAL));
	munlockall();
	check("locked pages are discarded when meant", mlock(advised, PAGE) == 0 && (advised[0] = 7) &&
							   madvise(advised, PAGE, 24 /* MADV_DONTNEED_LOCKED */) == 0 && advised[0] == 0);
	munlockall();

	check("no key", syscall(SYS_pkey_mprotect, advised, PAGE, PROT_READ, -1) == 0 && touch(advised, 1) == SIGSEGV);
	check("keys that are none", fails_with(syscall(SYS_pkey_mprotect, advised, PAGE, rw, 77), EINVAL) &&
					fails_with(syscall(SYS_pkey_alloc, 1, 0), EINVAL) && fails_with(syscall(SYS_pkey_free, 77), EINVAL));

	int memory = open("/proc/self/mem", O_RDWR);
	char *hidden = map_private(3 * PAGE);
	char bytes[8] = "";
	hidden[0] = 'h';
	mprotect(hidden, 3 * PAGE, PROT_NONE);
	check("a debugger reads what may not be accessed", pread(memory, bytes, 1, (off_t)hidden) == 1 && bytes[0] == 'h');
	check("and what was never touched", pread(memory, bytes, 2, (off_t)hidden + PAGE) == 2 && bytes[0] == 0);
	check("and writes it", pwrite(memory, "wx", 2, (off_t)hidden + PAGE - 1) == 2 && touch(hidden, 0) == SIGSEGV);
	check("which the program sees later", mprotect(hidden, 3 * PAGE, PROT_READ) == 0 && hidden[0] == 'h' &&
						  hidden[PAGE - 1] == 'w' && hidden[PAGE] == 'x' && hidden[2 * PAGE] == 0);
	int shown = temporary_file(PAGE);
	char *view = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE, shown, 0);
	check("a file's page too", pread(memory, bytes, 1, (off_t)view) == 1 && bytes[0] == 'a');
	check("without changing the file", pwrite(memory, "z", 1, (off_t)view) == 1 && pread(shown, bytes, 1, 0) == 1 &&
					       bytes[0] == 'a' && mprotect(view, PAGE, PROT_READ) == 0 && view[0] == 'z');
	char *common = mmap(NULL, PAGE, PROT_NONE, MAP_SHARED, shown, 0);
	check("a shared one is only read", pread(memory, bytes, 1, (off_t)common) == 1 && bytes[0] == 'a' &&
					       fails_with(pwrite(memory, "z", 1, (off_t)common), EIO));
	return finish();
}
