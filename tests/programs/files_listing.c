/* getdents: complete and stable whatever changes meanwhile. */
#include "files.h"

struct record {
    uint64_t inode;
    int64_t next;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int seen[2000], dots;

/* Reads all entries with a buffer of `size`; counts names fNNN in `seen`. */
static int list(int fd, unsigned size, int remove)
{
    char buffer[4096];
    int count = 0;
    memset(seen, 0, sizeof seen);
    dots = 0;
    for (;;) {
        long length = syscall(SYS_getdents64, fd, buffer, size);
        if (length <= 0)
            return length < 0 ? -1 : count;
        for (long at = 0; at < length;) {
            struct record *record = (void *)(buffer + at);
            int number;
            if (record->name[0] == '.')
                dots++;
            else if (sscanf(record->name, "f%d", &number) == 1) {
                seen[number]++;
                if (remove)
                    unlinkat(fd, record->name, 0);
            }
            count++;
            at += record->length;
        }
    }
}

static int all_once(int from, int to)
{
    for (int i = from; i < to; i++)
        if (seen[i] != 1)
            return 0;
    return 1;
}

/* What a program does that closes all its descriptors: the list loses those that it has named. */
static int list_and_close(void)
{
    int first = open("/dev/null", O_RDONLY);
    for (int i = 1; i < 40; i++)
        dup(first);
    int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY), closed = 0;
    char buffer[64];
    long length;
    while ((length = syscall(SYS_getdents64, folder, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < length;) {
            struct record *record = (void *)(buffer + at);
            int fd = atoi(record->name);
            closed += fd >= first && fd < first + 40 && close(fd) == 0;
            at += record->length;
        }
    close(folder);
    return closed;
}

/* Programs that skip two entries without looking (sysctl -a) rely on this. */
static int begins_with_dots(const char *path)
{
    char buffer[4096];
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    long length = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    close(fd);
    struct record *first = (void *)buffer, *second = (void *)(buffer + first->length);
    return length > 0 && !strcmp(first->name, ".") && !strcmp(second->name, "..");
}

int main(void)
{
    char name[32];
    enter_tmpfs();
    mkdir("many", 0755);
    int fd = open("many", O_RDONLY | O_DIRECTORY);
    check("an empty one has two entries", list(fd, 4096, 0) == 2 && dots == 2);
    check("the end stays the end", list(fd, 4096, 0) == 0);
    for (int i = 0; i < 500; i++) {
        sprintf(name, "many/f%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
    lseek(fd, 0, SEEK_SET);
    check("all of 500", list(fd, 4096, 0) == 502 && all_once(0, 500));
    lseek(fd, 0, SEEK_SET);
    check("with a small buffer", list(fd, 40, 0) == 502 && all_once(0, 500));
    char tiny[8];
    lseek(fd, 0, SEEK_SET);
    check_error("too small a buffer", syscall(SYS_getdents64, fd, tiny, 8), EINVAL);
    check_error("a bad address", syscall(SYS_getdents64, fd, (void *)1, 4096), EFAULT);

    char buffer[512];
    lseek(fd, 0, SEEK_SET);
    long length = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    struct record *record = (void *)buffer;
    check("dot comes first", length > 0 && !strcmp(record->name, ".") && record->type == DT_DIR);
    struct stat status;
    fstat(fd, &status);
    check("with its inode", record->inode == status.st_ino);
    int64_t next = record->next;
    for (long at = 0; at < length; at += record->length)
        record = (void *)(buffer + at), next = record->next;
    char last[32];
    strcpy(last, record->name);
    check("lseek to a cookie", lseek(fd, next, SEEK_SET) == next);
    length = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    record = (void *)buffer;
    check("goes on after it", length > 0 && strcmp(record->name, last) != 0);

    lseek(fd, 0, SEEK_SET);
    for (int i = 500; i < 600; i++) {
        sprintf(name, "many/f%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
    check("new ones too", list(fd, 200, 0) == 602 && all_once(0, 600));
    lseek(fd, 0, SEEK_SET);
    list(fd, 100, 1);
    check("removing while listing sees each once", all_once(0, 600));
    lseek(fd, 0, SEEK_SET);
    check("and leaves none", list(fd, 4096, 0) == 2);
    close(fd);
    check("so it goes", rmdir("many") == 0);

    mkdir("kinds", 0755);
    make("kinds/file", ""), mkdir("kinds/directory", 0755), symlink("x", "kinds/link");
    mknod("kinds/fifo", S_IFIFO | 0600, 0), mknod("kinds/socket", S_IFSOCK | 0600, 0);
    DIR *directory = opendir("kinds");
    int right = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        right += (!strcmp(entry->d_name, "file") && entry->d_type == DT_REG)
            + (!strcmp(entry->d_name, "directory") && entry->d_type == DT_DIR)
            + (!strcmp(entry->d_name, "link") && entry->d_type == DT_LNK)
            + (!strcmp(entry->d_name, "fifo") && entry->d_type == DT_FIFO)
            + (!strcmp(entry->d_name, "socket") && entry->d_type == DT_SOCK);
    closedir(directory);
    check("types", right == 5);
    fd = open("kinds/file", O_RDONLY);
    check_error("a file is not listed", syscall(SYS_getdents64, fd, buffer, sizeof buffer), ENOTDIR);
    close(fd);
    check("descriptors closed while they are listed", list_and_close() == 40);
    const char *paths[] = { "/dev", "/proc", "/proc/self", "/proc/self/fd", "/proc/self/task", "/proc/sys/kernel", "/sys" };
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++)
        check(paths[i], begins_with_dots(paths[i]));
    leave_tmpfs();
    return finish();
}
