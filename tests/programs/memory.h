/* Helpers of the memory_*.c programs: each check prints `ok NAME` or says what failed, and makes the program fail. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL

static int failures;

#define check(name, condition) \
	do { \
		if (condition) { \
			printf("ok %s\n", name); \
		} else { \
			printf("FAILED %s: line %d: %s (errno %d)\n", name, __LINE__, #condition, errno); \
			failures++; \
		} \
		fflush(stdout); \
	} while (0)

#define fails_with(call, error) (errno = 0, (long)(call) == -1L && errno == (error))

static sigjmp_buf fault_return;
static volatile int fault_signal, fault_code;
static void *volatile fault_address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_signal = signal;
	fault_code = info->si_code;
	fault_address = info->si_addr;
	siglongjmp(fault_return, 1);
}

static inline void catch_faults(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* Returns the signal that reading (or writing) a byte raises, 0 for none. */
static inline int touch(volatile char *byte, int write)
{
	fault_signal = fault_code = 0;
	fault_address = NULL;
	if (sigsetjmp(fault_return, 1) == 0) {
		if (write)
			*byte = 1;
		else
			(void)*byte;
	}
	return fault_signal;
}

static inline char *map(void *at, size_t length, int protection, int flags)
{
	return mmap(at, length, protection, flags, -1, 0);
}

static inline char *map_private(size_t length)
{
	return map(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

/* Returns an unlinked file of `length` bytes, the n-th page filled with 'a' + n. */
static inline int temporary_file(size_t length)
{
	char name[] = "memory-test-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	for (size_t at = 0; at < length; at += PAGE) {
		char page[PAGE];
		memset(page, 'a' + (int)(at / PAGE % 26), PAGE);
		if (write(fd, page, length - at < PAGE ? length - at : PAGE) < 0)
			abort();
	}
	return fd;
}

static inline int finish(void)
{
	return failures != 0;
}
