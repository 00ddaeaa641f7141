/* RLIMIT_NOFILE: a call that finds no free descriptor has done nothing. */
#include "sockets.h"
#include <mqueue.h>
#include <sys/resource.h>

/* How many descriptors this process may have. */
#define LIMIT 20

static void use_all(void)
{
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
}

static void free_all(void)
{
    for (int fd = 3; fd < LIMIT; fd++)
        close(fd);
}

static void connections(void)
{
    int listening = listener(SOCK_STREAM, "@limit", 1), client = socket(AF_UNIX, SOCK_STREAM, 0);
    check("connect", listening >= 0 && connect_to(client, "@limit") == 0);
    use_all();
    check_error("no descriptor for a connection", accept(listening, NULL, NULL), EMFILE);
    check("the connection still waits", events(listening) == POLLIN);
    check_error("no descriptor for a file that is no socket", accept(LIMIT - 1, NULL, NULL), EMFILE);
    close(LIMIT - 1);
    int server = accept(listening, NULL, NULL);
    check("accepted once there is a descriptor", server == LIMIT - 1 && write(server, "x", 1) == 1);
    check("by the one who connected", recv(client, &(char){0}, 1, MSG_DONTWAIT) == 1);
    free_all();
}

static void files(void)
{
    struct stat status;
    int fd = open("kept", O_CREAT | O_WRONLY, 0600);
    check("a file with content", write(fd, "text", 4) == 4 && close(fd) == 0);
    use_all();
    check_error("no descriptor for a new file", open("made", O_CREAT | O_WRONLY, 0600), EMFILE);
    check_error("it is not made", stat("made", &status), ENOENT);
    check_error("no descriptor to truncate by", open("kept", O_WRONLY | O_TRUNC), EMFILE);
    check("the content is kept", stat("kept", &status) == 0 && status.st_size == 4);
    check_error("no descriptor for a file that is not there", open("missing", O_RDONLY), EMFILE);
    check_error("no descriptor for a queue", mq_open("/limit", O_CREAT | O_RDWR, 0600, NULL), EMFILE);
    check_error("it is not made either", mq_unlink("/limit"), ENOENT);
    check_error("flags are looked at before", open("/tmp", O_TMPFILE | O_RDONLY), EINVAL);
    check_error("and before the name", syscall(SYS_open, NULL, O_TMPFILE | O_RDONLY), EINVAL);
    check_error("the name too", open("", O_RDONLY), ENOENT);
    check_error("a socket's family is looked at before", socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
    check_error("then there is none for it", socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
    free_all();
    check("an open that fails leaves its descriptor free", open("missing", O_RDONLY) == -1 && errno == ENOENT);
    check("so the next gets it", open("kept", O_RDONLY) == 3 && close(3) == 0);
}

static void pairs(void)
{
    int pair[2] = {-7, -7};
    use_all();
    close(LIMIT - 1);
    check_error("one descriptor is not enough for a pipe", pipe(pair), EMFILE);
    check_error("nor for a pair of sockets", socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EMFILE);
    check("nothing is told", pair[0] == -7 && pair[1] == -7);
    check_error("nor is the family asked", socketpair(AF_PACKET, SOCK_RAW, 0, pair), EMFILE);
    check("it is still free", dup(0) == LIMIT - 1);
    free_all();
    check_error("a pipe that cannot be told", syscall(SYS_pipe2, (void *)8, 0), EFAULT);
    check_error("a pair that cannot be told", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (void *)8), EFAULT);
    check("their descriptors are free", dup(0) == 3 && close(3) == 0);
}

int main(void)
{
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){LIMIT, LIMIT});
    free_all();
    connections();
    files();
    pairs();
    return finish();
}
