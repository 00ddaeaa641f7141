/* AF_UNIX from many sides at once: senders, receivers, passers of files and closers who do not wait for one another. */
#define _GNU_SOURCE
#include "sockets.h"
#include <pthread.h>

enum { ROUNDS = 300, WORKERS = 4 };

static int wrong;

static void note(int is_good)
{
    if (!is_good)
        __atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
}

/* Each byte comes back one greater. */
static void *echo(void *argument)
{
    int fd = *(int *)argument;
    unsigned char byte;
    while (read(fd, &byte, 1) == 1) {
        byte++;
        if (write(fd, &byte, 1) != 1)
            break;
    }
    return NULL;
}

static void *ping(void *unused)
{
    (void)unused;
    int pair[2];
    pthread_t thread;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    pthread_create(&thread, NULL, echo, &pair[1]);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned char byte = i, answer = 0;
        note(write(pair[0], &byte, 1) == 1 && read(pair[0], &answer, 1) == 1 && answer == (unsigned char)(i + 1));
    }
    shutdown(pair[0], SHUT_WR);
    pthread_join(thread, NULL);
    close(pair[0]), close(pair[1]);
    return NULL;
}

/* Clients come, say a word and go; who accepts them hears it. */
static void *client(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS / 4; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        note(connect_to(fd, "@crowd") == 0 && write(fd, "word", 4) == 4);
        close(fd);
    }
    return NULL;
}

static void *server(void *argument)
{
    int fd = *(int *)argument;
    for (int i = 0; i < ROUNDS / 4; i++) {
        char text[8];
        int peer = accept(fd, NULL, NULL);
        note(peer >= 0 && recv(peer, text, 4, MSG_WAITALL) == 4 && read(peer, text, 1) == 0);
        close(peer);
    }
    return NULL;
}

/* Sockets go into each other's messages and are closed in any state. */
static void *passer(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        int one[2], two[2], got[2], count, answer;
        char text[8];
        socketpair(AF_UNIX, i % 2 ? SOCK_STREAM : SOCK_DGRAM, 0, one);
        socketpair(AF_UNIX, SOCK_STREAM, 0, two);
        note(send_files(one[0], "a", &two[1], 1, 0) == 1);
        note(send_files(two[0], "b", &one[1], 1, 0) == 1);
        if (i % 3 == 0) {
            note(receive_files(one[1], text, 8, got, 1, &count, &answer, 0) == 1 && count == 1);
            note(receive_files(got[0], text, 8, got + 1, 1, &count, &answer, 0) == 1 && count == 1);
            close(got[0]), close(got[1]);
        }
        close(one[0]), close(two[0]), close(one[1]), close(two[1]);
    }
    return NULL;
}

/* Both ends close while the other one sends. */
static void *closer(void *argument)
{
    close(*(int *)argument);
    return NULL;
}

static void *sender(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS / 4; i++) {
        int pair[2];
        pthread_t thread;
        static char bytes[30000];
        socketpair(AF_UNIX, i % 2 ? SOCK_STREAM : SOCK_SEQPACKET, 0, pair);
        pthread_create(&thread, NULL, closer, &pair[1]);
        ssize_t sent;
        while ((sent = send(pair[0], bytes, sizeof bytes, MSG_NOSIGNAL)) > 0)
            ;
        note(sent == -1 && (errno == EPIPE || errno == ECONNRESET));
        pthread_join(thread, NULL);
        close(pair[0]);
    }
    return NULL;
}

int main(void)
{
    void *(*const roles[])(void *) = {ping, client, passer, sender, server};
    pthread_t threads[5][WORKERS];
    int fd = listener(SOCK_STREAM, "@crowd", 2);
    for (int role = 0; role < 5; role++)
        for (int i = 0; i < WORKERS; i++)
            pthread_create(&threads[role][i], NULL, roles[role], &fd);
    for (int role = 0; role < 5; role++)
        for (int i = 0; i < WORKERS; i++)
            pthread_join(threads[role][i], NULL);
    check("nobody was disturbed", wrong == 0);
    close(fd);
    return finish();
}
