/* epoll_wait(2): one call gives as many events as are ready; a bad buffer loses none. */
#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT 300

int main(void)
{
    static struct epoll_event got[COUNT + 1];
    static char seen[COUNT];
    int epoll = epoll_create1(0), added = 0;
    for (int index = 0; index < COUNT; index++) {
        struct epoll_event event = { .events = EPOLLIN | (index % 2 ? EPOLLET : 0), .data.u32 = index };
        added += epoll_ctl(epoll, EPOLL_CTL_ADD, eventfd(1, 0), &event) == 0;
    }
    check("all are watched", added == COUNT);

    /* The buffer's second page is not there: what fits before it is given, and the rest stays ready. */
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    struct epoll_event *missing = (struct epoll_event *)(pages + 4096), *edge = missing - 4;
    check_error("nothing can be written", epoll_wait(epoll, missing, COUNT, 0), EFAULT);
    int count = epoll_wait(epoll, edge, COUNT, 0);
    check("four can be written", count == 4);
    for (int index = 0; index < count; index++)
        seen[edge[index].data.u32] = 1;

    /* All others, and once more those of the four that are level-triggered. */
    count = epoll_wait(epoll, got, COUNT + 1, 0);
    check("one call gives all", count == COUNT - 2);
    for (int index = 0; index < count; index++)
        seen[got[index].data.u32] = 1;
    check("none was lost", memchr(seen, 0, COUNT) == NULL);
    check("an edge comes once", epoll_wait(epoll, got, COUNT + 1, 0) == COUNT / 2);
    return finish();
}
