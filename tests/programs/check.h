/* What every test program here uses: `check` prints one line per fact, `finish` the verdict.
 * Each program must pass on Linux first; then it runs unchanged on Stele. */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define check(name, condition)                                                                     \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if (condition) {                                                                           \
            printf("ok %s\n", name);                                                               \
        } else {                                                                                   \
            failures++;                                                                            \
            printf("FAILED %s (line %d: %s; errno %d)\n", name, __LINE__, #condition, errno);      \
        }                                                                                          \
        fflush(stdout);                                                                            \
    } while (0)

/* `call` fails with `error`. */
#define check_error(name, call, error) check(name, (call) == -1 && errno == (error))

static inline int finish(void)
{
    printf(failures ? "%d failed\n" : "all ok\n", failures);
    return failures ? 1 : 0;
}

#endif
