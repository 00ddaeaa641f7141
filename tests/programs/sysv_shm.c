/* shmget(2), shmat(2), shmdt(2), shmctl(2): identifiers, attachments over fork, exec and exit, permissions, limits. */
#define _GNU_SOURCE
#include "check.h"
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shmid_ds status;

static long attachments(int id)
{
    return shmctl(id, IPC_STAT, &status) == 0 ? (long)status.shm_nattch : -1;
}

static int ended(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void identifiers(void)
{
    int one = shmget(IPC_PRIVATE, 5000, 0600), two = shmget(IPC_PRIVATE, 5000, 0600);
    check("private ones differ", one >= 0 && two >= 0 && one != two);
    shmctl(one, IPC_RMID, NULL);
    check_error("removed", shmctl(one, IPC_STAT, &status), EINVAL);
    int again = shmget(IPC_PRIVATE, 5000, 0600);
    check("its number is not used again", again != one);
    shmctl(again, IPC_RMID, NULL), shmctl(two, IPC_RMID, NULL);
    check_error("no such key", shmget(0x1234, 100, 0600), ENOENT);
    int id = shmget(0x1234, 100, IPC_CREAT | 0640);
    check("made by key", id >= 0 && shmget(0x1234, 0, 0) == id && shmget(0x1234, 100, IPC_CREAT | 0600) == id);
    check_error("exclusive", shmget(0x1234, 100, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    check_error("larger than it is", shmget(0x1234, 101, 0600), EINVAL);
    check_error("of no size", shmget(IPC_PRIVATE, 0, 0600), EINVAL);
    check_error("too large", shmget(IPC_PRIVATE, -1UL, 0600), EINVAL);
    check("IPC_STAT", shmctl(id, IPC_STAT, &status) == 0 && status.shm_segsz == 100 && status.shm_cpid == getpid() &&
                          status.shm_lpid == 0 && status.shm_atime == 0 && status.shm_perm.__key == 0x1234);
    check("its owner", status.shm_perm.uid == geteuid() && status.shm_perm.cuid == geteuid() &&
                           status.shm_perm.mode == 0640);
    check("its time", status.shm_ctime <= time(NULL) && status.shm_ctime > time(NULL) - 60);
    status.shm_perm.mode = 0604, status.shm_perm.gid = 77;
    check("IPC_SET", shmctl(id, IPC_SET, &status) == 0 && shmctl(id, IPC_STAT, &status) == 0 &&
                         status.shm_perm.mode == 0604 && status.shm_perm.gid == 77);
    check_error("bad command", shmctl(id, 99, &status), EINVAL);
    check_error("bad identifier", shmctl(-1, IPC_STAT, &status), EINVAL);
    check_error("bad address", shmctl(id, IPC_STAT, (void *)8), EFAULT);
    check("remove", shmctl(id, IPC_RMID, NULL) == 0);
    check_error("the key is free", shmget(0x1234, 100, 0600), ENOENT);
}

static void attaching(void)
{
    int id = shmget(IPC_PRIVATE, 3 * 4096, 0600);
    char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
    check("attach twice", a != (void *)-1 && b != (void *)-1 && a != b && attachments(id) == 2);
    check("zero at first", a[0] == 0 && a[3 * 4096 - 1] == 0);
    strcpy(a + 5000, "shared");
    check("one memory", !strcmp(b + 5000, "shared"));
    check("attach time, last user", status.shm_atime > 0 && status.shm_lpid == getpid());
    check_error("read only stays so", mprotect(b, 4096, PROT_READ | PROT_WRITE), EACCES);
    check("rounded down", shmat(id, (char *)(((long)a & ~4095) + 0x10000000 + 77), SHM_RND) != (void *)-1);
    check("three", attachments(id) == 3);
    check("odd address", shmat(id, (char *)1234567, 0) == (void *)-1 && errno == EINVAL);
    check("taken address", shmat(id, a, 0) == (void *)-1 && errno == EINVAL);
    check("remap nowhere", shmat(id, NULL, SHM_REMAP) == (void *)-1 && errno == EINVAL);
    check("remap", shmat(id, b, SHM_REMAP) == b && attachments(id) == 3);
    b[1] = 'x';
    check("as asked", a[1] == 'x');
    check("bad identifier", shmat(-1, NULL, 0) == (void *)-1 && errno == EINVAL);
    check("detach", shmdt(b) == 0 && attachments(id) == 2 && status.shm_dtime > 0);
    check_error("detach again", shmdt(b), EINVAL);
    check_error("odd detach", shmdt(a + 1), EINVAL);
    check("a hole", munmap(a + 4096, 4096) == 0 && attachments(id) == 3);
    check("detach the rest", shmdt(a) == 0 && attachments(id) == 1);

    a = shmat(id, NULL, 0);
    int fds[2], more[2];
    pipe(fds), pipe(more);
    pid_t child = fork();
    if (child == 0) {
        char c;
        strcpy(a, "from the child");
        write(fds[1], "x", 1);
        read(more[0], &c, 1);
        _exit(0);
    }
    char c;
    read(fds[0], &c, 1);
    check("fork attaches", attachments(id) == 4 && !strcmp(a, "from the child"));
    write(more[1], "x", 1);
    check("exit detaches", ended(child) == 0 && attachments(id) == 2);
    child = fork();
    if (child == 0) {
        dup2(more[0], 0);
        execl("/proc/self/exe", "sysv_shm", "wait", NULL);
        _exit(1);
    }
    for (int tries = 0; attachments(id) != 2 && tries < 1000; tries++)
        usleep(10000);
    check("exec detaches", attachments(id) == 2);
    write(more[1], "x", 1);
    check("and ends", ended(child) == 0);

    check("remove while attached", shmctl(id, IPC_RMID, NULL) == 0);
    check("still there", attachments(id) == 2 && status.shm_perm.mode == (0600 | 01000));
    check("still works", (a[0] = 'y', shmat(id, NULL, 0) != (void *)-1) && attachments(id) == 3);
    child = fork();
    if (child == 0)
        _exit(a[0] != 'y');
    check("in a child too", ended(child) == 0);
    check("last but two", shmdt(a) == 0 && attachments(id) == 2);
    check("fork and end", (child = fork()) == 0 ? (_exit(0), 1) : ended(child) == 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[300];
    int found = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long start;
        if (strstr(line, "/SYSV00000000 (deleted)") && sscanf(line, "%lx", &start) == 1)
            found += shmdt((void *)start) == 0;
    }
    fclose(maps);
    check("named in maps", found == 2);
    check_error("gone with the last", attachments(id), EINVAL);
}

static void permissions(void)
{
    if (geteuid() != 0)
        return;
    int id = shmget(0x77, 4096, IPC_CREAT | 0604);
    pid_t child = fork();
    if (child == 0) {
        setresgid(55, 55, 55), setresuid(4321, 4321, 4321);
        check("others may read", shmat(id, NULL, SHM_RDONLY) != (void *)-1);
        check("but not write", shmat(id, NULL, 0) == (void *)-1 && errno == EACCES);
        check_error("nor ask for it by key", shmget(0x77, 0, 0600), EACCES);
        check("ask for less", shmget(0x77, 0, 0400) == id);
        check_error("nor remove", shmctl(id, IPC_RMID, NULL), EPERM);
        check_error("nor lock", shmctl(id, SHM_LOCK, NULL), EPERM);
        check("stat", shmctl(id, IPC_STAT, &status) == 0);
        check_error("nor set", shmctl(id, IPC_SET, &status), EPERM);
        _exit(failures);
    }
    check("by permissions", ended(child) == 0);
    check("lock", shmctl(id, SHM_LOCK, NULL) == 0 && attachments(id) == 0 && status.shm_perm.mode == (0604 | 02000));
    check("unlock", shmctl(id, SHM_UNLOCK, NULL) == 0);
    shmctl(id, IPC_RMID, NULL);
}

static void listing(void)
{
    int id = shmget(0x4242, 12345, IPC_CREAT | 0600), found = 0, last;
    struct shminfo limits;
    struct shm_info totals;
    check("IPC_INFO", shmctl(0, IPC_INFO, (void *)&limits) >= 0 && limits.shmmin == 1 && limits.shmmni == 4096);
    check("SHM_INFO", (last = shmctl(0, SHM_INFO, (void *)&totals)) >= 0 && totals.used_ids == 1 && totals.shm_tot == 4);
    for (int index = 0; index <= last; index++)
        found += shmctl(index, SHM_STAT, &status) == id && status.shm_segsz == 12345;
    check("SHM_STAT", found == 1);
    char line[300], size[64] = "";
    FILE *list = fopen("/proc/sysvipc/shm", "r");
    long key, listed;
    unsigned mode;
    check("a heading", fgets(line, sizeof line, list) && !strncmp(line, "       key      shmid perms", 26));
    check("a row", fgets(line, sizeof line, list) &&
                       sscanf(line, "%ld %ld %o %63s", &key, &listed, &mode, size) == 4 && key == 0x4242 && listed == id &&
                       mode == 0600 && !strcmp(size, "12345"));
    check("no more", !fgets(line, sizeof line, list));
    fclose(list);
    shmctl(id, IPC_RMID, NULL);
}

int main(int count, char **arguments)
{
    if (count > 1) {
        char c;
        return read(0, &c, 1) != 1;
    }
    identifiers();
    attaching();
    permissions();
    listing();
    return finish();
}
