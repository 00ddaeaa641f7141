/* Making, linking, renaming and removing names. */
#include "files.h"
#include <pthread.h>
#include <dirent.h>

static long rename2(const char *old, const char *new, unsigned flags)
{
    return syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, flags);
}

#define NOREPLACE 1
#define EXCHANGE 2

static void directories(void)
{
    check("mkdir", mkdir("a", 0755) == 0);
    check_error("mkdir again", mkdir("a", 0755), EEXIST);
    check("mkdir with a slash", mkdir("b/", 0755) == 0);
    check_error("mkdir below nothing", mkdir("none/x", 0755), ENOENT);
    check_error("mkdir dot", mkdir(".", 0755), EEXIST);
    check_error("mkdir root", mkdir("/", 0755), EEXIST);
    check("a directory has two links", status_of("a").st_nlink == 2);
    mkdir("a/sub", 0755);
    check("and one more for each below", status_of("a").st_nlink == 3);
    check_error("rmdir full", rmdir("a"), ENOTEMPTY);
    check_error("rmdir dot", rmdir("a/."), EINVAL);
    check_error("rmdir dots", rmdir("a/sub/.."), ENOTEMPTY);
    check_error("rmdir root", rmdir("/"), EBUSY);
    make("file", "1");
    check_error("rmdir a file", rmdir("file"), ENOTDIR);
    check_error("rmdir nothing", rmdir("none"), ENOENT);
    check_error("unlink a directory", unlink("a"), EISDIR);
    check_error("unlink dot", unlink("."), EISDIR);
    check_error("unlink with a slash", unlink("file/"), ENOTDIR);
    check_error("unlink a directory with a slash", unlink("a/"), EISDIR);
    check_error("unlink nothing", unlink("none"), ENOENT);
    check_error("unlinkat with bad flags", unlinkat(AT_FDCWD, "file", 4), EINVAL);
    check("unlinkat a directory", unlinkat(AT_FDCWD, "a/sub", AT_REMOVEDIR) == 0);
    check("rmdir", rmdir("a") == 0 && rmdir("b") == 0 && !exists("a"));
    check("unlink", unlink("file") == 0 && !exists("file"));
}

static void nodes(void)
{
    check("mkfifo", mknod("fifo", S_IFIFO | 0644, 0) == 0 && S_ISFIFO(status_of("fifo").st_mode));
    check("a regular file", mknod("regular", S_IFREG | 0600, 0) == 0 && S_ISREG(status_of("regular").st_mode));
    check("type 0 is regular", mknod("zero", 0600, 0) == 0 && S_ISREG(status_of("zero").st_mode));
    check("a socket", mknod("socket", S_IFSOCK | 0600, 0) == 0 && S_ISSOCK(status_of("socket").st_mode));
    check_error("a socket is not opened", open("socket", O_RDONLY), ENXIO);
    check_error("mknod a directory", mknod("d", S_IFDIR | 0755, 0), EPERM);
    check_error("mknod a link", mknod("l", S_IFLNK | 0755, 0), EINVAL);
    check_error("mknod what is there", mknod("fifo", S_IFIFO | 0644, 0), EEXIST);
    check_error("mknod with a slash", mknod("new/", S_IFREG | 0644, 0), ENOENT);
    if (mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0) {
        int fd = open("null", O_RDWR);
        check("a device node works anywhere", fd >= 0 && write(fd, "x", 1) == 1 && read(fd, &fd, 1) == 0);
        check("its number", status_of("null").st_rdev == makedev(1, 3));
        close(fd);
        mknod("nobody", S_IFCHR | 0666, makedev(4000, 70000));
        check("a great number", status_of("nobody").st_rdev == makedev(4000, 70000));
        check_error("no such device", open("nobody", O_RDONLY), ENXIO);
        unlink("null");
        unlink("nobody");
    }
    int reader = open("fifo", O_RDONLY | O_NONBLOCK), writer = open("fifo", O_WRONLY | O_NONBLOCK);
    char byte = 0;
    check("a fifo carries", write(writer, "f", 1) == 1 && read(reader, &byte, 1) == 1 && byte == 'f');
    struct stat status;
    check("fstat shows its inode", fstat(reader, &status) == 0 && status.st_ino == status_of("fifo").st_ino);
    close(reader);
    close(writer);
    check_error("no reader", open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    unlink("fifo"), unlink("regular"), unlink("zero"), unlink("socket");
}

static void links(void)
{
    make("one", "text");
    check("link", link("one", "two") == 0 && status_of("one").st_nlink == 2);
    check("the same inode", status_of("one").st_ino == status_of("two").st_ino);
    check_error("link over a file", link("one", "two"), EEXIST);
    check_error("link nothing", link("none", "three"), ENOENT);
    mkdir("directory", 0755);
    check_error("link a directory", link("directory", "three"), EPERM);
    check_error("link to a slash", link("one", "three/"), ENOENT);
    symlink("one", "soft");
    check("link does not follow", link("soft", "soft2") == 0 && S_ISLNK(status_of("soft2").st_mode));
    check("AT_SYMLINK_FOLLOW does", linkat(AT_FDCWD, "soft", AT_FDCWD, "three", AT_SYMLINK_FOLLOW) == 0
          && S_ISREG(status_of("three").st_mode) && status_of("one").st_nlink == 3);
    check("unlink one", unlink("one") == 0 && status_of("two").st_nlink == 2 && holds("two", "text"));
    int fd = open("two", O_RDWR);
    struct stat status;
    unlink("two"), unlink("three");
    check("no link, still open", fstat(fd, &status) == 0 && status.st_nlink == 0);
    char bytes[8];
    check("and readable", pread(fd, bytes, 8, 0) == 4);
    close(fd);
    check_error("link to another file system", link("soft", "/dev/stele-x"), EXDEV);
    unlink("soft"), unlink("soft2"), rmdir("directory");
}

static void renames(void)
{
    make("a", "A");
    check("rename", rename("a", "b") == 0 && !exists("a") && holds("b", "A"));
    make("c", "C");
    check("rename over", rename("b", "c") == 0 && holds("c", "A") && !exists("b"));
    check_error("rename nothing", rename("none", "c"), ENOENT);
    check("to itself", rename("c", "c") == 0 && holds("c", "A"));
    link("c", "hard");
    check("to a hard link does nothing", rename("c", "hard") == 0 && exists("c") && exists("hard"));
    unlink("hard");
    mkdir("d", 0755), mkdir("e", 0755), mkdir("d/in", 0755);
    check_error("a file over a directory", rename("c", "d"), EISDIR);
    check_error("a directory over a file", rename("d", "c"), ENOTDIR);
    check_error("a directory over a full one", rename("e", "d"), ENOTEMPTY);
    check_error("into itself", rename("d", "d/x"), EINVAL);
    check_error("deeper into itself", rename("d", "d/in/x"), EINVAL);
    check_error("over its own parent", rename("d/in", "d"), ENOTEMPTY);
    check_error("dot", rename("d/.", "x"), EBUSY);
    check_error("to dots", rename("c", "d/.."), EBUSY);
    check_error("a file to a slash", rename("c", "x/"), ENOTDIR);
    check_error("a file with a slash", rename("c/", "x"), ENOTDIR);
    check("a directory to a slash", rename("d", "x/") == 0 && exists("x/in"));
    check("a directory over an empty one", rename("x", "e") == 0 && exists("e/in") && !exists("x"));
    mkdir("from", 0755), mkdir("to", 0755);
    unsigned from = status_of("from").st_nlink, to = status_of("to").st_nlink;
    mkdir("from/moved", 0755);
    check("across directories", rename("from/moved", "to/moved") == 0);
    check("links follow", status_of("from").st_nlink == from && status_of("to").st_nlink == to + 1);
    struct stat up, dir = status_of("to");
    check("dots follow", stat("to/moved/..", &up) == 0 && up.st_ino == dir.st_ino);
    check_error("another file system", rename("c", "/proc/x"), EXDEV);

    make("old", "O"), make("new", "N");
    check_error("RENAME_NOREPLACE", rename2("old", "new", NOREPLACE), EEXIST);
    check("RENAME_NOREPLACE to a free name", rename2("old", "free", NOREPLACE) == 0 && holds("free", "O"));
    check("RENAME_EXCHANGE", rename2("free", "new", EXCHANGE) == 0 && holds("free", "N") && holds("new", "O"));
    check_error("RENAME_EXCHANGE with nothing", rename2("free", "none", EXCHANGE), ENOENT);
    check("exchange a file and a directory", rename2("free", "to", EXCHANGE) == 0 && holds("to", "N")
          && exists("free/moved"));
    check_error("exchange with the own parent", rename2("free/moved", "free", EXCHANGE), EINVAL);
    check_error("both flags", rename2("free", "new", NOREPLACE | EXCHANGE), EINVAL);
    check_error("unknown flags", rename2("free", "new", 64), EINVAL);
    rmdir("free/moved"), rmdir("free"), unlink("to"), unlink("new"), unlink("c");
    rmdir("e/in"), rmdir("e"), rmdir("from");

    make("open", "kept");
    int fd = open("open", O_RDONLY);
    char name[64], text[256];
    sprintf(name, "/proc/self/fd/%d", fd);
    rename("open", "moved");
    long length = readlink(name, text, sizeof text - 1);
    check("/proc/self/fd follows the rename", length > 6 && !memcmp(text + length - 6, "/moved", 6));
    unlink("moved");
    length = readlink(name, text, sizeof text - 1);
    check("and says (deleted)", length > 16 && !memcmp(text + length - 16, "/moved (deleted)", 16));
    check("and opens all the same", holds(name, "kept"));
    close(fd);
}

static volatile int over, missing, unlisted;

static void *opens(void *argument)
{
    while (!over) {
        int fd = open("atomic/x", O_RDONLY);
        if (fd < 0)
            missing++;
        else
            close(fd);
    }
    return argument;
}

static void *lists(void *argument)
{
    while (!over) {
        int seen = 0;
        DIR *directory = opendir("atomic");
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
            seen |= !strcmp(entry->d_name, "x");
        closedir(directory);
        unlisted += !seen;
    }
    return argument;
}

/* "If newpath already exists, it will be atomically replaced": it is there at each moment (rename(2)). */
static void replacing(void)
{
    pthread_t opener, lister;
    mkdir("atomic", 0700);
    close(creat("atomic/x", 0600));
    pthread_create(&opener, NULL, opens, NULL);
    pthread_create(&lister, NULL, lists, NULL);
    int done = 0;
    for (int round = 0; round < 5000; round++) {
        close(creat("atomic/t", 0600));
        done += rename("atomic/t", "atomic/x") == 0;
    }
    over = 1;
    pthread_join(opener, NULL);
    pthread_join(lister, NULL);
    check("renamed each time", done == 5000);
    check("the new name was never missing", missing == 0);
    check("nor in a listing", unlisted == 0);
}

int main(void)
{
    replacing();
    enter_tmpfs();
    directories();
    nodes();
    links();
    renames();
    leave_tmpfs();
    return finish();
}
