/* msgget(2), msgsnd(2), msgrcv(2), msgctl(2): order by type, limits, waiting, removal. */
#define _GNU_SOURCE
#include "check.h"
#include "asleep.h"
#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

static int queue;
static struct msqid_ds status;
static struct {
    long type;
    char text[9000];
} message;

static int send(long type, const char *text, int flags)
{
    message.type = type;
    strcpy(message.text, text);
    return msgsnd(queue, &message, strlen(text), flags);
}

/* Receives; returns whether the message is this one. */
static int received(long wanted, int flags, long type, const char *text)
{
    memset(&message, 0, sizeof message);
    ssize_t length = msgrcv(queue, &message, 9000, wanted, flags);
    return length == (ssize_t)strlen(text) && message.type == type && !strcmp(message.text, text);
}

static int ended(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void orders(void)
{
    queue = msgget(0x99, IPC_CREAT | 0600);
    check("made", queue >= 0 && msgget(0x99, 0) == queue);
    check_error("exclusive", msgget(0x99, IPC_CREAT | IPC_EXCL), EEXIST);
    check_error("no such key", msgget(0x98, 0600), ENOENT);
    check("send", send(3, "three", 0) == 0 && send(1, "one", 0) == 0 && send(2, "two", 0) == 0 && send(1, "uno", 0) == 0);
    check("status", msgctl(queue, IPC_STAT, &status) == 0 && status.msg_qnum == 4 && status.__msg_cbytes == 14 &&
                        status.msg_qbytes == 16384 && status.msg_lspid == getpid() && status.msg_lrpid == 0 &&
                        status.msg_stime > time(NULL) - 60 && status.msg_rtime == 0);
    check("the first of a type", received(2, 0, 2, "two"));
    check("the lowest type", received(-2, 0, 1, "one"));
    check("but one type", received(3, MSG_EXCEPT, 1, "uno"));
    check("any", received(0, 0, 3, "three"));
    check_error("none", msgrcv(queue, &message, 10, 0, IPC_NOWAIT), ENOMSG);
    check("emptied", msgctl(queue, IPC_STAT, &status) == 0 && status.msg_qnum == 0 && status.__msg_cbytes == 0 &&
                         status.msg_lrpid == getpid() && status.msg_rtime > time(NULL) - 60);
    send(5, "long text", 0);
    check_error("too long", msgrcv(queue, &message, 4, 0, 0), E2BIG);
    check_error("not of this type", msgrcv(queue, &message, 4, 6, IPC_NOWAIT), ENOMSG);
    check("cut", msgrcv(queue, &message, 4, 0, MSG_NOERROR) == 4 && !memcmp(message.text, "long", 4));
    check("an empty one", send(1, "", 0) == 0 && received(0, 0, 1, ""));
    send(1, "a", 0), send(2, "b", 0);
    if (msgrcv(queue, &message, 10, 1, IPC_NOWAIT | MSG_COPY) == 1) {
        check("a copy of the second", message.text[0] == 'b' && message.type == 2);
        check_error("no third", msgrcv(queue, &message, 10, 2, IPC_NOWAIT | MSG_COPY), ENOMSG);
        check_error("a copy may not wait", msgrcv(queue, &message, 10, 0, MSG_COPY), EINVAL);
    }
    check("both are there", received(0, 0, 1, "a") && received(0, 0, 2, "b"));
}

static void limits(void)
{
    memset(message.text, 'x', sizeof message.text);
    message.type = 1;
    check_error("too long", msgsnd(queue, &message, 8193, 0), EINVAL);
    message.type = 0;
    check_error("a bad type", msgsnd(queue, &message, 1, 0), EINVAL);
    message.type = 1;
    check_error("a bad identifier", msgsnd(-1, &message, 1, 0), EINVAL);
    check_error("a bad address", msgsnd(queue, (void *)8, 1, 0), EFAULT);
    check("two of the longest", msgsnd(queue, &message, 8192, IPC_NOWAIT) == 0 &&
                                    msgsnd(queue, &message, 8192, IPC_NOWAIT) == 0);
    check_error("are all", msgsnd(queue, &message, 1, IPC_NOWAIT), EAGAIN);
    msgctl(queue, IPC_STAT, &status);
    status.msg_qbytes = 20000;
    /* That takes CAP_SYS_RESOURCE. */
    if (msgctl(queue, IPC_SET, &status) == 0)
        check("raise the limit", msgsnd(queue, &message, 1, IPC_NOWAIT) == 0);
    while (msgrcv(queue, &message, 9000, 0, IPC_NOWAIT) >= 0)
        ;
    message.type = 1;
    status.msg_qbytes = 10;
    check("lower it", msgctl(queue, IPC_SET, &status) == 0);
    int count = 0;
    message.type = 1;
    while (msgsnd(queue, &message, 0, IPC_NOWAIT) == 0)
        count++;
    check("empty ones count too", count == 10);
    while (msgrcv(queue, &message, 9000, 0, IPC_NOWAIT) >= 0)
        ;
}

static void on_signal(int signal)
{
    (void)signal;
}

static void waiting(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(!received(7, 0, 7, "hello"));
    wait_until_asleep(child);
    send(6, "other", 0);
    wait_until_asleep(child);
    msgrcv(queue, &message, 100, 6, 0);
    send(7, "hello", 0);
    check("a sleeping receiver", ended(child) == 0);
    send(1, "0123456789", 0);
    child = fork();
    if (child == 0)
        _exit(send(2, "x", 0) != 0);
    wait_until_asleep(child);
    check("a full queue", msgctl(queue, IPC_STAT, &status) == 0 && status.msg_qnum == 1);
    received(1, 0, 1, "0123456789");
    check("a sleeping sender", ended(child) == 0 && received(0, 0, 2, "x"));
    child = fork();
    if (child == 0) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigaction(SIGALRM, &action, NULL);
        ualarm(20000, 20000);
        _exit(msgrcv(queue, &message, 10, 0, 0) == -1 && errno == EINTR ? 0 : 1);
    }
    check("a signal ends it", ended(child) == 0);
    if (geteuid() == 0) {
        child = fork();
        if (child == 0) {
            setresgid(55, 55, 55), setresuid(4321, 4321, 4321);
            check_error("others may not send", send(1, "x", 0), EACCES);
            check_error("nor receive", msgrcv(queue, &message, 10, 0, 0), EACCES);
            check_error("nor look", msgctl(queue, IPC_STAT, &status), EACCES);
            check_error("nor remove", msgctl(queue, IPC_RMID, NULL), EPERM);
            _exit(failures);
        }
        check("permissions", ended(child) == 0);
    }
}

static void listing(void)
{
    struct msginfo information;
    int last, found = 0;
    send(1, "abc", 0);
    check("IPC_INFO", msgctl(0, IPC_INFO, (void *)&information) >= 0 && information.msgmax == 8192 &&
                          information.msgmnb == 16384 && information.msgmni == 32000);
    last = msgctl(0, MSG_INFO, (void *)&information);
    check("MSG_INFO", last >= 0 && information.msgpool == 1 && information.msgmap == 1 && information.msgtql == 3);
    for (int index = 0; index <= last; index++)
        found += msgctl(index, MSG_STAT, &status) == queue && status.msg_qnum == 1;
    check("MSG_STAT", found == 1);
    FILE *list = fopen("/proc/sysvipc/msg", "r");
    char line[300];
    int key, id, mode, bytes, count;
    check("a heading", fgets(line, sizeof line, list) && !strncmp(line, "       key      msqid perms      cbytes", 39));
    check("a row", fgets(line, sizeof line, list) && sscanf(line, "%d %d %o %d %d", &key, &id, &mode, &bytes, &count) == 5 &&
                       key == 0x99 && id == queue && mode == 0600 && bytes == 3 && count == 1);
    fclose(list);
    received(0, 0, 1, "abc");
}

enum { ROUNDS = 3000 };
static int contested[ROUNDS], removals, lost;

/* Removes each queue at the same time as another thread; the one who did makes one anew, which must stay. */
static void *rival(void *barrier)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(barrier);
        if (msgctl(contested[round], IPC_RMID, NULL) == 0) {
            __atomic_fetch_add(&removals, 1, __ATOMIC_SEQ_CST);
            struct msqid_ds found;
            int fresh = msgget(IPC_PRIVATE, 0600);
            for (int look = 0; look < 5; look++)
                if (msgctl(fresh, IPC_STAT, &found) != 0)
                    __atomic_fetch_add(&lost, 1, __ATOMIC_SEQ_CST);
            if (round + 1 < ROUNDS)
                contested[round + 1] = fresh;
            else
                msgctl(fresh, IPC_RMID, NULL);
        }
        pthread_barrier_wait(barrier);
    }
    return NULL;
}

static void rivals(void)
{
    pthread_t thread;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    contested[0] = msgget(IPC_PRIVATE, 0600);
    pthread_create(&thread, NULL, rival, &barrier);
    rival(&barrier);
    pthread_join(thread, NULL);
    check("one alone removes", removals == ROUNDS);
    check("another's queue stays", lost == 0);
}

int main(void)
{
    orders();
    rivals();
    limits();
    waiting();
    listing();
    pid_t child = fork();
    if (child == 0)
        _exit(msgrcv(queue, &message, 10, 0, 0) == -1 && errno == EIDRM ? 0 : 1);
    wait_until_asleep(child);
    check("remove", msgctl(queue, IPC_RMID, NULL) == 0);
    check("a sleeper learns it", ended(child) == 0);
    check_error("gone", msgctl(queue, IPC_STAT, &status), EINVAL);
    return finish();
}
