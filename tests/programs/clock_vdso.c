/* Clock calls without entering the kernel: the vDSO is there, agrees with the system calls, and follows the clock
   when it is set. */
#include "memory.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>

static int64_t ns(const struct timespec *time)
{
	return time->tv_sec * 1000000000LL + time->tv_nsec;
}

/* Returns whether the library's clock lies between two readings by system call. */
static int agrees(clockid_t clock, int64_t slack)
{
	struct timespec before, between, after;
	syscall(SYS_clock_gettime, clock, &before);
	if (clock_gettime(clock, &between) != 0 || between.tv_nsec < 0 || between.tv_nsec > 999999999)
		return 0;
	syscall(SYS_clock_gettime, clock, &after);
	return ns(&before) <= ns(&between) + slack && ns(&between) <= ns(&after) + slack;
}

int main(void)
{
	Elf64_Ehdr *header = (Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
	check("the image", header && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_type == ET_DYN);
	check("cannot be written", (catch_faults(), touch((char *)header, 1)) == SIGSEGV);
	check("monotonic", agrees(CLOCK_MONOTONIC, 0));
	check("real", agrees(CLOCK_REALTIME, 0));
	check("raw", agrees(CLOCK_MONOTONIC_RAW, 0));
	check("since boot", agrees(CLOCK_BOOTTIME, 0));
	check("coarse", agrees(CLOCK_MONOTONIC_COARSE, 20000000) && agrees(CLOCK_REALTIME_COARSE, 20000000));
	check("CPU time", agrees(CLOCK_PROCESS_CPUTIME_ID, 0) && agrees(CLOCK_THREAD_CPUTIME_ID, 0));
	struct timespec value;
	check("unknown clock", fails_with(clock_gettime(99, &value), EINVAL));
	check("negative clock", fails_with(clock_gettime(-1, &value), EINVAL));

	struct timeval day;
	gettimeofday(&day, NULL);
	clock_gettime(CLOCK_REALTIME, &value);
	int64_t distance = ns(&value) - (day.tv_sec * 1000000000LL + day.tv_usec * 1000);
	check("gettimeofday", distance >= 0 && distance < 1000000000 && day.tv_usec < 1000000);
	time_t stored, returned = time(&stored);
	check("time", returned == stored && returned - value.tv_sec <= 1 && returned - value.tv_sec >= -1);

	int rises = 1;
	int64_t last = 0;
	for (int round = 0; round < 100000; round++) {
		clock_gettime(CLOCK_MONOTONIC, &value);
		rises = rises && ns(&value) >= last;
		last = ns(&value);
	}
	check("never falls", rises);
	struct timespec start, sleep = {0, 50000000}, end;
	clock_gettime(CLOCK_MONOTONIC, &start);
	nanosleep(&sleep, NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	check("50 ms", ns(&end) - ns(&start) >= 50000000 && ns(&end) - ns(&start) < 5000000000);
	return finish();
}
