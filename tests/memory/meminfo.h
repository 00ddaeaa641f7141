/* What /proc/meminfo says. */
#ifndef MEMINFO_H
#define MEMINFO_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The figure behind `name`, which ends in a colon. */
static inline long meminfo_kib(const char *name)
{
	static char text[4096];
	int fd = open("/proc/meminfo", O_RDONLY);
	text[read(fd, text, sizeof text - 1)] = 0;
	close(fd);
	return atol(strstr(text, name) + strlen(name));
}

#endif
