/* mount and umount: flags, bind, move, what is busy; tmpfs' limits. */
#include "files.h"
#include <sys/xattr.h>

static void flags(void)
{
    mkdir("m", 0755);
    check("mount", mount("some", "m", "tmpfs", 0, "size=1m,mode=700,uid=5,gid=6") == 0);
    struct stat status = status_of("m");
    check("its options", (status.st_mode & 07777) == 0700 && status.st_uid == 5 && status.st_gid == 6);
    check("another device", status.st_dev != status_of(".").st_dev);
    struct statfs figures;
    check("its size", statfs("m", &figures) == 0 && figures.f_blocks == 256 && figures.f_bfree == 256);
    static char page[4096];
    int fd = open("m/big", O_CREAT | O_WRONLY, 0644), pages = 0;
    while (write(fd, page, sizeof page) == sizeof page)
        pages++;
    check("it fills up", pages >= 200 && pages <= 256);
    check_error("and says so", write(fd, page, sizeof page), ENOSPC);
    check("no blocks left", statfs("m", &figures) == 0 && figures.f_bfree <= 8);
    close(fd);
    unlink("m/big");
    check("and is empty again", statfs("m", &figures) == 0 && figures.f_bfree == 256);

    check("remount read-only", mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    check_error("create", open("m/x", O_CREAT | O_WRONLY, 0644), EROFS);
    check_error("mkdir", mkdir("m/x", 0755), EROFS);
    check_error("chmod", chmod("m", 0755), EROFS);
    check_error("access", access("m", W_OK), EROFS);
    check("shown", statfs("m", &figures) == 0 && figures.f_flags & 1);
    check("remount for writing", mount(NULL, "m", NULL, MS_REMOUNT, NULL) == 0 && make("m/x", "x") == 0);
    check("nodev", mount(NULL, "m", NULL, MS_REMOUNT | MS_NODEV | MS_NOEXEC, NULL) == 0);
    if (mknod("m/null", S_IFCHR | 0666, makedev(1, 3)) == 0)
        check_error("no devices", open("m/null", O_RDONLY), EACCES);
    chmod("m/x", 0755);
    check_error("no programs", access("m/x", X_OK), EACCES);
    char *arguments[] = {"x", NULL};
    check_error("exec", execv("m/x", arguments), EACCES);
    check("umount", umount("m") == 0 && !exists("m/x"));
    check_error("again", umount("m"), EINVAL);
}

static void places(void)
{
    check_error("on a file", (make("file", "f"), mount("x", "file", "tmpfs", 0, "")), ENOTDIR);
    check_error("nowhere", mount("x", "none", "tmpfs", 0, ""), ENOENT);
    check_error("an unknown type", mount("x", "m", "nofs", 0, ""), ENODEV);
    check_error("a bad option", mount("x", "m", "tmpfs", 0, "nonsense=1"), EINVAL);
    check_error("a bad flag", umount2("m", 0x100), EINVAL);

    mount("x", "m", "tmpfs", 0, "");
    make("m/below", "b");
    mount("y", "m", "tmpfs", 0, "");
    check("the later covers the earlier", !exists("m/below"));
    check("dots go out of both", chdir("m/..") == 0 && exists("m"));
    umount("m");
    check("and uncovers it", exists("m/below"));

    int fd = open("m/below", O_RDONLY);
    check_error("an open file keeps it busy", umount("m"), EBUSY);
    close(fd);
    chdir("m");
    check_error("a working directory too", umount("../m"), EBUSY);
    chdir("..");
    mkdir("m/in", 0755), mount("z", "m/in", "tmpfs", 0, "");
    check_error("a mount on it too", umount("m"), EBUSY);
    check_error("a mount point is not removed", rmdir("m/in"), EBUSY);
    check_error("nor renamed", rename("m/in", "m/out"), EBUSY);
    check_error("no link across", link("m/below", "m/in/x"), EXDEV);
    check_error("no rename across", rename("m/below", "m/in/x"), EXDEV);
    fd = open("m/below", O_RDONLY);
    check("MNT_DETACH takes all away", umount2("m", MNT_DETACH) == 0 && !exists("m/below"));
    char byte;
    check("an open file lives on", read(fd, &byte, 1) == 1 && byte == 'b');
    close(fd);
}

static void binds(void)
{
    mkdir("source", 0755), mkdir("target", 0755), mkdir("source/sub", 0755);
    make("source/file", "s");
    check("bind", mount("source", "target", NULL, MS_BIND, NULL) == 0 && holds("target/file", "s"));
    check("the same inode", status_of("source/file").st_ino == status_of("target/file").st_ino);
    make("target/new", "n");
    check("changes show in both", holds("source/new", "n"));
    check_error("EXDEV between binds", link("source/file", "target/y"), EXDEV);
    check("bind read-only", mount(NULL, "target", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
    check_error("not here", open("target/x", O_CREAT | O_WRONLY, 0644), EROFS);
    check("but there", make("source/x", "x") == 0);
    check_error("a link between binds: read-only comes first", link("source/x", "target/y"), EROFS);
    check("dots leave by the mount point", chdir("target/sub/../..") == 0 && exists("source"));
    umount("target");
    check("bind a file", mount("source/file", "file", NULL, MS_BIND, NULL) == 0 && holds("file", "s"));
    check_error("it cannot be removed", unlink("file"), EBUSY);
    check("umount the file", umount("file") == 0 && holds("file", "f"));
    check_error("a directory on a file", mount("source", "file", NULL, MS_BIND, NULL), ENOTDIR);

    mount("tmp", "source/sub", "tmpfs", 0, ""), make("source/sub/deep", "d");
    mount("source", "target", NULL, MS_BIND, NULL);
    check("bind alone", !exists("target/sub/deep"));
    umount("target");
    mount("source", "target", NULL, MS_BIND | MS_REC, NULL);
    check("bind recursively", exists("target/sub/deep"));
    umount2("target", MNT_DETACH);
    check("move", mount("source/sub", "target", NULL, MS_MOVE, NULL) == 0 && exists("target/deep")
          && !exists("source/sub/deep"));
    check_error("move no mount", mount("source", "target", NULL, MS_MOVE, NULL), EINVAL);
    umount("target");
    check("private", mount(NULL, ".", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
}

static void attributes(void)
{
    char value[64];
    check("set", setxattr("file", "trusted.one", "value", 5, 0) == 0);
    check("get", getxattr("file", "trusted.one", value, 64) == 5 && !memcmp(value, "value", 5));
    check("its length", getxattr("file", "trusted.one", NULL, 0) == 5);
    check_error("no room", getxattr("file", "trusted.one", value, 2), ERANGE);
    check_error("none", getxattr("file", "trusted.two", value, 64), ENODATA);
    check_error("XATTR_CREATE", setxattr("file", "trusted.one", "x", 1, XATTR_CREATE), EEXIST);
    check_error("XATTR_REPLACE", setxattr("file", "trusted.two", "x", 1, XATTR_REPLACE), ENODATA);
    check_error("an unknown space", setxattr("file", "strange.one", "x", 1, 0), EOPNOTSUPP);
    check("list", listxattr("file", value, 64) >= 12 && memmem(value, 64, "trusted.one", 12));
    check("remove", removexattr("file", "trusted.one") == 0);
    check_error("it is gone", removexattr("file", "trusted.one"), ENODATA);
}

int main(void)
{
    enter_tmpfs();
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    flags();
    places();
    binds();
    attributes();
    leave_tmpfs();
    return finish();
}
