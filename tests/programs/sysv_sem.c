/* semget(2), semop(2), semctl(2): several at once, waiting in order, SEM_UNDO, counts of waiters, limits. */
#define _GNU_SOURCE
#include "check.h"
#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

union semun {
    int value;
    struct semid_ds *status;
    unsigned short *values;
    struct seminfo *information;
};

static int set;
static struct semid_ds status;

static int value(int number)
{
    return semctl(set, number, GETVAL);
}

static int operate(int number, int change, int flags)
{
    struct sembuf operation = {number, change, flags};
    return semop(set, &operation, 1);
}

static int ended(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void identifiers(void)
{
    check_error("no such key", semget(0x1234, 1, 0600), ENOENT);
    check_error("no semaphores", semget(0x1234, 0, IPC_CREAT | 0600), EINVAL);
    check_error("too many", semget(0x1234, 32001, IPC_CREAT | 0600), EINVAL);
    check_error("a negative number", semget(IPC_PRIVATE, -1, 0600), EINVAL);
    set = semget(0x1234, 3, IPC_CREAT | 0600);
    check("made", set >= 0 && semget(0x1234, 0, 0) == set && semget(0x1234, 3, IPC_CREAT) == set);
    check_error("larger than it is", semget(0x1234, 4, 0600), EINVAL);
    check_error("exclusive", semget(0x1234, 3, IPC_CREAT | IPC_EXCL), EEXIST);
    union semun argument = {.status = &status};
    check("IPC_STAT", semctl(set, 0, IPC_STAT, argument) == 0 && status.sem_nsems == 3 && status.sem_otime == 0 &&
                          status.sem_ctime > time(NULL) - 60);
    status.sem_perm.mode = 0640;
    check("IPC_SET", semctl(set, 0, IPC_SET, argument) == 0 && semctl(set, 0, IPC_STAT, argument) == 0 &&
                         status.sem_perm.mode == 0640);
    check_error("bad command", semctl(set, 0, 99), EINVAL);
    check_error("bad identifier", semctl(-1, 0, GETVAL), EINVAL);
}

static void values(void)
{
    unsigned short all[3] = {1, 2, 3}, got[3];
    check("SETALL", semctl(set, 0, SETALL, (union semun){.values = all}) == 0);
    check("GETALL", semctl(set, 0, GETALL, (union semun){.values = got}) == 0 && !memcmp(all, got, sizeof all));
    check("SETVAL", semctl(set, 1, SETVAL, (union semun){.value = 7}) == 0 && value(1) == 7);
    check("GETPID", semctl(set, 1, GETPID) == getpid());
    check_error("too great a value", semctl(set, 1, SETVAL, (union semun){.value = 32768}), ERANGE);
    check_error("below zero", semctl(set, 1, SETVAL, (union semun){.value = -1}), ERANGE);
    check_error("no such number", semctl(set, 3, GETVAL), EINVAL);
    check_error("none to set", semctl(set, 3, SETVAL, (union semun){.value = 1}), EINVAL);
    all[2] = 40000;
    check_error("too great in an array", semctl(set, 0, SETALL, (union semun){.values = all}), ERANGE);
    all[0] = all[1] = all[2] = 0;
    semctl(set, 0, SETALL, (union semun){.values = all});
    check("up", operate(0, 5, 0) == 0 && value(0) == 5);
    check("down", operate(0, -3, 0) == 0 && value(0) == 2);
    check_error("not so far", operate(0, -3, IPC_NOWAIT), EAGAIN);
    check_error("not zero", operate(0, 0, IPC_NOWAIT), EAGAIN);
    check("zero", operate(1, 0, 0) == 0);
    check_error("too great", operate(0, 32767, 0), ERANGE);
    struct sembuf both[3] = {{0, -2, 0}, {1, 4, 0}, {2, -1, IPC_NOWAIT}};
    check_error("all or nothing", semop(set, both, 3), EAGAIN);
    check("nothing", value(0) == 2 && value(1) == 0 && value(2) == 0);
    both[2].sem_op = 1;
    check("all", semop(set, both, 3) == 0 && value(0) == 0 && value(1) == 4 && value(2) == 1);
    struct sembuf same[2] = {{0, 2, 0}, {0, -2, 0}};
    check("one after the other", semop(set, same, 2) == 0 && value(0) == 0);
    check_error("no operations", semop(set, both, 0), EINVAL);
    check_error("too many operations", semop(set, both, 501), E2BIG);
    both[0].sem_num = 3;
    check_error("no such semaphore", semop(set, both, 1), EFBIG);
    check_error("bad identifier", semop(-1, same, 1), EINVAL);
    check_error("bad address", semop(set, (void *)8, 1), EFAULT);
    struct timespec limit = {0, 20000000}, bad = {0, -1};
    struct sembuf down = {0, -1, 0};
    check_error("a time limit", semtimedop(set, &down, 1, &limit), EAGAIN);
    check_error("a bad one", semtimedop(set, &down, 1, &bad), EINVAL);
    semctl(set, 0, IPC_STAT, (union semun){.status = &status});
    check("operation time", status.sem_otime > time(NULL) - 60);
}

static void on_signal(int signal)
{
    (void)signal;
}

static void await_count(int number, int command, int wanted)
{
    for (int tries = 0; semctl(set, number, command) != wanted && tries < 1000; tries++)
        usleep(5000);
    check("waiters counted", semctl(set, number, command) == wanted);
}

static void waiting(void)
{
    unsigned short zero[3] = {0, 0, 0};
    semctl(set, 0, SETALL, (union semun){.values = zero});
    pid_t first = fork();
    if (first == 0)
        _exit(operate(0, -2, 0) != 0);
    await_count(0, GETNCNT, 1);
    pid_t second = fork();
    if (second == 0)
        _exit(operate(0, -1, 0) != 0);
    await_count(0, GETNCNT, 2);
    operate(0, 1, 0);
    check("who can go goes", ended(second) == 0 && value(0) == 0 && semctl(set, 0, GETNCNT) == 1);
    operate(0, 2, 0);
    check("the other later", ended(first) == 0 && value(0) == 0 && semctl(set, 0, GETPID) == first);

    operate(0, 1, 0);
    first = fork();
    if (first == 0) {
        struct sembuf both[2] = {{0, 0, 0}, {1, 1, 0}};
        _exit(semop(set, both, 2) != 0);
    }
    await_count(0, GETZCNT, 1);
    second = fork();
    if (second == 0)
        _exit(operate(1, -1, 0) != 0);
    await_count(1, GETNCNT, 1);
    operate(0, -1, 0);
    check("one lets the next go", ended(first) == 0 && ended(second) == 0 && value(1) == 0);

    first = fork();
    if (first == 0) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigaction(SIGUSR1, &action, NULL);
        _exit(operate(0, -1, 0) == -1 && errno == EINTR ? 0 : 1);
    }
    await_count(0, GETNCNT, 1);
    kill(first, SIGUSR1);
    check("a signal ends it", ended(first) == 0 && semctl(set, 0, GETNCNT) == 0);

    first = fork();
    if (first == 0)
        _exit(operate(0, -1, 0) == 0 ? 0 : 1);
    await_count(0, GETNCNT, 1);
    semctl(set, 0, SETVAL, (union semun){.value = 1});
    check("SETVAL lets it go", ended(first) == 0);
}

static void undo(void)
{
    unsigned short some[3] = {5, 0, 1};
    semctl(set, 0, SETALL, (union semun){.values = some});
    pid_t child = fork();
    if (child == 0) {
        operate(0, -3, SEM_UNDO), operate(0, 1, 0), operate(1, 2, SEM_UNDO);
        _exit(value(0) != 3 || value(1) != 2);
    }
    check("at the end", ended(child) == 0 && value(0) == 6 && value(1) == 0);
    check("by whom", semctl(set, 0, GETPID) == child);
    child = fork();
    if (child == 0) {
        operate(0, -3, SEM_UNDO);
        semctl(set, 0, SETVAL, (union semun){.value = 9});
        _exit(0);
    }
    check("SETVAL forgets", ended(child) == 0 && value(0) == 9);
    pid_t waiter = fork();
    if (waiter == 0)
        _exit(operate(2, -2, 0) != 0);
    await_count(2, GETNCNT, 1);
    child = fork();
    if (child == 0) {
        operate(2, -1, SEM_UNDO);
        operate(2, 1, 0);
        raise(SIGKILL);
    }
    int how;
    waitpid(child, &how, 0);
    check("a killed one's too, and it wakes", WIFSIGNALED(how) && ended(waiter) == 0 && value(2) == 0);
    child = fork();
    if (child == 0) {
        operate(0, -2, SEM_UNDO);
        pid_t inner = fork();
        if (inner == 0)
            _exit(0);
        waitpid(inner, NULL, 0);
        _exit(value(0) != 7);
    }
    check("a child has none of its own", ended(child) == 0 && value(0) == 9);
}

/* clone(2), CLONE_SYSVSEM: the list of what is to be undone is one. */
static void shared_undo(void)
{
    pid_t parent = fork();
    if (parent == 0) {
        operate(0, -1, SEM_UNDO);
        pid_t child = syscall(SYS_clone, SIGCHLD | CLONE_SYSVSEM, 0, 0, 0, 0);
        if (child == 0)
            _exit(operate(0, -2, SEM_UNDO) || operate(0, 1, SEM_UNDO));
        if (ended(child) != 0 || value(0) != 7)
            _exit(1);
        child = syscall(SYS_clone, SIGCHLD | CLONE_SYSVSEM, 0, 0, 0, 0);
        if (child == 0)
            _exit(unshare(CLONE_SYSVSEM) || value(0) != 7 || operate(0, -1, SEM_UNDO));
        if (ended(child) != 0 || value(0) != 7)
            _exit(2);
        _exit(unshare(CLONE_SYSVSEM) || value(0) != 9 ? 3 : 0);
    }
    check("shared by clone, until the last leaves", ended(parent) == 0 && value(0) == 9);
}

/* Many wait for one semaphore: each is let go once, in the order in which they came. */
static void crowd(void)
{
    enum { MANY = 60 };
    pid_t children[MANY];
    semctl(set, 0, SETVAL, (union semun){.value = 0});
    semctl(set, 1, SETVAL, (union semun){.value = 0});
    for (int i = 0; i < MANY; i++) {
        if ((children[i] = fork()) == 0) {
            struct sembuf both[2] = {{0, -1, 0}, {1, 1, 0}};
            _exit(semop(set, both, 2) != 0);
        }
        await_count(0, GETNCNT, i + 1);
    }
    pid_t last = fork();
    if (last == 0)
        _exit(operate(1, -MANY, 0) != 0);
    await_count(1, GETNCNT, 1);
    semctl(set, 0, SETVAL, (union semun){.value = MANY / 2});
    int failed = 0;
    for (int i = 0; i < MANY / 2; i++)
        failed += ended(children[i]) != 0;
    check("half of a crowd", failed == 0 && semctl(set, 0, GETNCNT) == MANY / 2 && value(1) == MANY / 2);
    semctl(set, 0, SETVAL, (union semun){.value = MANY / 2});
    for (int i = MANY / 2; i < MANY; i++)
        failed += ended(children[i]) != 0;
    check("the rest, and who waits for them", failed == 0 && ended(last) == 0 && value(0) == 0 && value(1) == 0);
}

static void listing(void)
{
    struct seminfo information;
    int last, found = 0;
    check("IPC_INFO", semctl(0, 0, IPC_INFO, (union semun){.information = &information}) >= 0 &&
                          information.semvmx == 32767 && information.semmsl == 32000 && information.semopm == 500);
    last = semctl(0, 0, SEM_INFO, (union semun){.information = &information});
    check("SEM_INFO", last >= 0 && information.semusz == 1 && information.semaem == 3);
    for (int index = 0; index <= last; index++)
        found += semctl(index, 0, SEM_STAT, (union semun){.status = &status}) == set && status.sem_nsems == 3;
    check("SEM_STAT", found == 1);
    FILE *list = fopen("/proc/sysvipc/sem", "r");
    char line[300];
    int key, id, mode, count;
    check("a heading", fgets(line, sizeof line, list) && !strncmp(line, "       key      semid perms      nsems", 38));
    check("a row", fgets(line, sizeof line, list) && sscanf(line, "%d %d %o %d", &key, &id, &mode, &count) == 4 &&
                       key == 0x1234 && id == set && mode == 0640 && count == 3);
    fclose(list);
}

static void removal(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(operate(1, -1, 0) == -1 && errno == EIDRM ? 0 : 1);
    await_count(1, GETNCNT, 1);
    if (geteuid() == 0) {
        pid_t other = fork();
        if (other == 0) {
            setresgid(55, 55, 55), setresuid(4321, 4321, 4321);
            check_error("others may not look", semctl(set, 0, GETVAL), EACCES);
            check_error("nor operate", operate(0, 1, 0), EACCES);
            check_error("nor remove", semctl(set, 0, IPC_RMID), EPERM);
            _exit(failures);
        }
        check("permissions", ended(other) == 0);
    }
    check("remove", semctl(set, 0, IPC_RMID) == 0);
    check("the waiter learns it", ended(child) == 0);
    check_error("gone", semctl(set, 0, GETVAL), EINVAL);
}

/* Of several operations one may need what another waiter leaves, which is neither more than before nor nothing. */
static void between(void)
{
    set = semget(IPC_PRIVATE, 1, 0600);
    pid_t both = fork();
    if (both == 0) {
        struct sembuf operations[] = {{0, -1, 0}, {0, 0, 0}};
        _exit(semop(set, operations, 2) != 0);
    }
    while (semctl(set, 0, GETNCNT) != 1)
        usleep(1000);
    pid_t two = fork();
    if (two == 0)
        _exit(operate(0, -2, 0) != 0);
    while (semctl(set, 0, GETNCNT) != 2)
        usleep(1000);
    check("three are given", operate(0, 3, 0) == 0);
    check("two are taken", ended(two) == 0);
    int status, tries = 0;
    while (waitpid(both, &status, WNOHANG) == 0 && tries++ < 2000)
        usleep(1000);
    check("and then the last", tries < 2000 && status == 0 && value(0) == 0);
    kill(both, SIGKILL);
    semctl(set, 0, IPC_RMID);
}

int main(void)
{
    between();
    identifiers();
    values();
    waiting();
    undo();
    shared_undo();
    crowd();
    listing();
    removal();
    return finish();
}
