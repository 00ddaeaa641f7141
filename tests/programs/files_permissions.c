/* Who may do what: modes, owners, sticky and set-group-ID directories, umask, access. */
#include "files.h"

#define NOBODY 65534
#define OTHER 1000

static void as_nobody(void)
{
    check_error("read 0600 of another", open("private", O_RDONLY), EACCES);
    check_error("write 0644 of another", open("public", O_WRONLY), EACCES);
    check("read 0644 of another", holds("public", "p"));
    check_error("search 0700 of another", open("closed/x", O_RDONLY), EACCES);
    check_error("even what is not there", open("closed/none", O_RDONLY), EACCES);
    check_error("list 0711", open("searched", O_RDONLY), EACCES);
    check("search 0711", holds("searched/x", "x"));
    check("access agrees", access("searched/x", R_OK) == 0 && access("searched", X_OK) == 0);
    check_error("access refuses", access("searched", R_OK), EACCES);
    check_error("create in 0755", open("mine", O_CREAT | O_WRONLY, 0644), EACCES);
    check_error("an existing name first", mkdir("public", 0755), EEXIST);
    check_error("unlink in 0755", unlink("public"), EACCES);
    check_error("rename in 0755", rename("public", "other"), EACCES);
    check_error("truncate", truncate("public", 0), EACCES);
    check_error("chmod", chmod("public", 0777), EPERM);
    check_error("chown", chown("public", NOBODY, -1), EPERM);
    check_error("touch", utimensat(AT_FDCWD, "public", NULL, 0), EACCES);
    struct timespec times[2] = {{1, 0}, {2, 0}};
    check_error("set times", utimensat(AT_FDCWD, "public", times, 0), EPERM);
    check("touch a writable one", utimensat(AT_FDCWD, "open", NULL, 0) == 0);
    check_error("set times of a writable one", utimensat(AT_FDCWD, "open", times, 0), EPERM);
    check_error("O_NOATIME", open("public", O_RDONLY | O_NOATIME), EPERM);
    check_error("mknod a device", mknod("shared/null", S_IFCHR | 0666, makedev(1, 3)), EPERM);
    check("mknod a fifo", mknod("shared/fifo", S_IFIFO | 0666, 0) == 0 && unlink("shared/fifo") == 0);
    check_error("chroot", chroot("."), EPERM);
    check_error("mount", mount("x", "shared", "tmpfs", 0, ""), EPERM);
    check_error("umount", umount("shared"), EPERM);

    check("create in a shared directory", make("shared/mine", "m") == 0);
    struct stat status = status_of("shared/mine");
    check("it is mine", status.st_uid == NOBODY && status.st_gid == NOBODY);
    check("chmod it", chmod("shared/mine", 0600) == 0);
    check_error("give it away", chown("shared/mine", OTHER, -1), EPERM);
    check_error("to another group", chown("shared/mine", -1, OTHER), EPERM);
    check("chown to myself", chown("shared/mine", NOBODY, NOBODY) == 0);
    check_error("unlink in a sticky directory", unlink("shared/others"), EPERM);
    check_error("rename there", rename("shared/others", "shared/stolen"), EPERM);
    check_error("replace there", rename("shared/mine", "shared/others"), EPERM);
    check("my own there", rename("shared/mine", "shared/still") == 0 && unlink("shared/still") == 0);

    chmod("shared/none", 0);
    make("shared/owner", "o");
    chmod("shared/owner", 0077);
    check_error("the owner's bits count for the owner", open("shared/owner", O_RDONLY), EACCES);
    unlink("shared/owner");

    check("a set-group-ID directory gives its group", make("grouped/file", "g") == 0
          && status_of("grouped/file").st_gid == OTHER);
    mkdir("grouped/directory", 0755);
    check("and itself to directories", status_of("grouped/directory").st_mode == (S_IFDIR | S_ISGID | 0755));
    int fd = open("grouped/bit", O_CREAT | O_WRONLY, S_ISGID | 0775);
    check("not the bit to another group's files", status_of("grouped/bit").st_mode == (S_IFREG | 0755));
    close(fd);
    check("chmod loses the bit there", chmod("grouped/bit", 02755) == 0
          && status_of("grouped/bit").st_mode == (S_IFREG | 0755));
    unlink("grouped/bit"), unlink("grouped/file"), rmdir("grouped/directory");

    make("shared/setuid", "s");
    chmod("shared/setuid", 06755);
    fd = open("shared/setuid", O_WRONLY);
    check("writing loses set-user-ID", write(fd, "t", 1) == 1 && (status_of("shared/setuid").st_mode & 07777) == 0755);
    close(fd);
    unlink("shared/setuid");
    check_error("move a directory that is not mine", rename("shared/theirs", "grouped/theirs"), EPERM);
    fd = open("shared/new0", O_CREAT | O_RDWR, 0);
    check("a new file's mode is for later opens", fd >= 0 && write(fd, "x", 1) == 1);
    check_error("later", open("shared/new0", O_RDONLY), EACCES);
    close(fd);
    unlink("shared/new0");
}

static void modes(void)
{
    make("private", "p"), chmod("private", 0600);
    make("public", "p");
    make("open", "o"), chmod("open", 0666);
    mkdir("closed", 0700), make("closed/x", "x");
    mkdir("searched", 0711), make("searched/x", "x");
    mkdir("shared", 0755), chmod("shared", 01777);
    make("shared/others", "o"), chown("shared/others", OTHER, OTHER);
    mkdir("shared/theirs", 0777);
    mkdir("grouped", 0777), chown("grouped", 0, OTHER), chmod("grouped", 02777);
    as_user(NOBODY, NOBODY, as_nobody);
}

static void umasks(void)
{
    check("umask returns the old", umask(077) == 022);
    make("masked", "");
    mkdir("maskedd", 0777);
    mknod("maskedf", S_IFIFO | 0666, 0);
    check("of a file", (status_of("masked").st_mode & 0777) == 0600);
    check("of a directory", (status_of("maskedd").st_mode & 0777) == 0700);
    check("of a fifo", (status_of("maskedf").st_mode & 0777) == 0600);
    check("and back", umask(022) == 077);
}

static void root(void)
{
    make("none", "n"), chmod("none", 0);
    check("root reads all", holds("none", "n"));
    check("root writes all", make("none", "m") == 0);
    check("access too", access("none", R_OK | W_OK) == 0);
    check_error("but executes not all", access("none", X_OK), EACCES);
    chmod("none", 0001);
    check("one bit is enough", access("none", X_OK) == 0);
    check_error("bad mode", access("none", 8), EINVAL);
    check_error("access to nothing", access("missing", F_OK), ENOENT);
    chmod("none", 06755);
    check("chown takes set-user-ID away", chown("none", OTHER, OTHER) == 0 && status_of("none").st_mode == (S_IFREG | 0755));
    chmod("none", 02644);
    check("but not mandatory locking", chown("none", 0, 0) == 0 && status_of("none").st_mode == (S_IFREG | 02644));
    symlink("none", "link");
    check("lchown", lchown("link", 5, 6) == 0 && status_of("link").st_uid == 5 && status_of("none").st_uid == 0);
    check("chown follows", chown("link", 7, -1) == 0 && status_of("none").st_uid == 7 && status_of("none").st_gid == 0);
    int fd = open("none", O_RDWR);
    check("fchmod", fchmod(fd, 0640) == 0 && (status_of("none").st_mode & 07777) == 0640);
    check("fchown", fchown(fd, -1, 9) == 0 && status_of("none").st_gid == 9);
    close(fd);
    check_error("fchmod of nothing", fchmod(999, 0600), EBADF);
    check_error("fchownat with bad flags", fchownat(AT_FDCWD, "none", 0, 0, 2), EINVAL);
}

static void real_ids(void)
{
    /* Effective user nobody, real user root: access(2) asks for the real one. */
    if (setresuid(0, NOBODY, 0))
        _exit(99);
    check_error("open as effective user", open("private", O_RDONLY), EACCES);
    check("access as real user", access("private", R_OK) == 0);
    check_error("AT_EACCESS", syscall(439, AT_FDCWD, "private", R_OK, AT_EACCESS), EACCES);
    setresuid(0, 0, 0);
}

int main(void)
{
    enter_tmpfs();
    modes();
    umasks();
    root();
    real_ids();
    leave_tmpfs();
    return finish();
}
