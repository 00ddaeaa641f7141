/* How a test program waits until others sleep, however slow the machine is. */
#ifndef ASLEEP_H
#define ASLEEP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Waits until a process, or a thread by its id, sleeps, by what /proc says of it; or has stopped or ended. */
static inline void wait_until_asleep(pid_t id)
{
    char path[32], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", id);
    for (int is_asleep = 0; !is_asleep;) {
        FILE *file = fopen(path, "r");
        is_asleep = !file || !fgets(line, sizeof line, file) || !strchr("RD", strrchr(line, ')')[2]);
        if (file)
            fclose(file);
        usleep(1000); /* Not sched_yield, which lets no ordinary thread run beside a real-time one. */
    }
}

/* Waits until all threads of this process but the caller sleep. */
static inline void wait_until_others_sleep(void)
{
    DIR *threads = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(threads));)
        if (atoi(entry->d_name) && atoi(entry->d_name) != gettid())
            wait_until_asleep(atoi(entry->d_name));
    closedir(threads);
}

#endif
