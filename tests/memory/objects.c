/* On each CPU in turn, a process makes many kernel objects of all sizes, and another one on the next CPU, which got them
 * too, lets the last go of them. Then the kernel's heap must be about as small as before. */
#define _GNU_SOURCE
#include "meminfo.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define OBJECTS 200

static void move_to(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static void *sleeper(void *data)
{
	pause();
	return data;
}

static void make_objects(void)
{
	int both[2];
	for (int index = 0; index < OBJECTS; index++) {
		pthread_t thread;
		if (index % 4 == 0)
			pthread_create(&thread, NULL, sleeper, NULL);
		pipe(both);
		socketpair(AF_UNIX, index % 2 ? SOCK_STREAM : SOCK_DGRAM, 0, both);
		write(both[0], "byte", 4);
		int epoll = epoll_create1(0);
		struct epoll_event event = {.events = EPOLLIN};
		epoll_ctl(epoll, EPOLL_CTL_ADD, both[1], &event);
		eventfd(0, 0);
		timerfd_create(CLOCK_MONOTONIC, 0);
		memfd_create("object", 0);
		open("/etc/passwd", O_RDONLY);
	}
}

static int round_on(int cpu, int next)
{
	pid_t maker = fork();
	if (maker == 0) {
		move_to(cpu);
		make_objects();
		pid_t heir = fork();
		if (heir == 0) {
			move_to(next);
			while (getppid() != 1)
				usleep(1000);
			/* Its parent has ended. */
			_exit(0);
		}
		_exit(heir == -1);
	}
	int status;
	return waitpid(maker, &status, 0) != maker || status != 0;
}

int main(void)
{
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), bad = 0;
	signal(SIGCHLD, SIG_DFL);
	long before = meminfo_kib("Slab:");
	for (int round = 0; round < 3; round++)
		for (int cpu = 0; cpu < cpus; cpu++)
			bad |= round_on(cpu, (cpu + 1) % cpus);
	long after = meminfo_kib("Slab:");
	/* The last heirs may be at work still. */
	for (int wait = 0; wait < 100 && after - before > 1024; wait++) {
		usleep(20000);
		after = meminfo_kib("Slab:");
	}
	printf("heap before %ld KiB, after %ld KiB, failed %d\n", before, after, bad);
	return bad || after - before > 1024;
}
