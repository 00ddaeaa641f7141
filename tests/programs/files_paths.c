/* How names resolve, and which error comes first. */
#include "files.h"

static char long_name[300], long_path[5000];

static void errors(void)
{
    struct stat status;
    make("file", "x");
    mkdir("directory", 0755);
    check_error("missing", open("missing", O_RDONLY), ENOENT);
    check_error("missing directory", open("missing/file", O_RDONLY), ENOENT);
    check_error("empty name", open("", O_RDONLY), ENOENT);
    check_error("a file is no directory", open("file/x", O_RDONLY), ENOTDIR);
    check_error("a file with a slash", open("file/", O_RDONLY), ENOTDIR);
    check_error("a file with a dot", stat("file/.", &status), ENOTDIR);
    check_error("a file with dots", stat("file/..", &status), ENOTDIR);
    check("a directory with slashes", stat("directory///", &status) == 0);
    check_error("O_DIRECTORY on a file", open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
    check_error("writing a directory", open("directory", O_WRONLY), EISDIR);
    check_error("creating a directory by open", open("directory", O_CREAT | O_RDONLY, 0644), EISDIR);
    check_error("creating with a slash", open("new/", O_CREAT | O_WRONLY, 0644), EISDIR);
    check_error("creating exclusively what is there", open("file", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    check_error("creating exclusively a dot", open(".", O_CREAT | O_EXCL | O_RDONLY, 0644), EEXIST);
    check_error("creating a dot", open(".", O_CREAT | O_RDONLY, 0644), EISDIR);
    check_error("O_CREAT with O_DIRECTORY", open("new", O_CREAT | O_DIRECTORY | O_RDONLY, 0644), EINVAL);
    check("which makes nothing", !exists("new"));
    check_error("bad address", open((char *)1, O_RDONLY), EFAULT);

    memset(long_name, 'n', sizeof long_name - 1);
    check_error("a name of 299", open(long_name, O_RDONLY), ENAMETOOLONG);
    check_error("to create", open(long_name, O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
    check_error("to make a directory", mkdir(long_name, 0755), ENAMETOOLONG);
    long_name[255] = 0;
    check("a name of 255", make(long_name, "y") == 0 && unlink(long_name) == 0);
    for (int i = 0; i < 2047; i++)
        memcpy(long_path + 2 * i, "./", 2);
    long_path[4094] = 0;
    check("a path of 4094", stat(long_path, &status) == 0);
    strcpy(long_path + 4094, ".");
    check("a path of 4095", stat(long_path, &status) == 0);
    strcpy(long_path + 4095, "/");
    check_error("a path of 4096", stat(long_path, &status), ENAMETOOLONG);
}

static void links(void)
{
    struct stat status;
    char text[64];
    check("symlink", symlink("file", "link") == 0 && holds("link", "x"));
    check("readlink", readlink("link", text, sizeof text) == 4 && !memcmp(text, "file", 4));
    check("readlink cuts", readlink("link", text, 2) == 2);
    check_error("readlink of a file", readlink("file", text, sizeof text), EINVAL);
    check_error("readlink of nothing", readlink("missing", text, sizeof text), ENOENT);
    check_error("readlink without room", syscall(SYS_readlink, "link", text, 0), EINVAL);
    check_error("an empty target", symlink("", "empty"), ENOENT);
    check_error("a link that is there", symlink("file", "link"), EEXIST);
    check("lstat sees the link", lstat("link", &status) == 0 && S_ISLNK(status.st_mode) && status.st_size == 4);
    check("its mode", (status.st_mode & 07777) == 0777);
    check_error("O_NOFOLLOW", open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
    check_error("O_CREAT|O_EXCL does not follow", open("link", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
    check("dangling", symlink("made", "dangling") == 0);
    check_error("open dangling", open("dangling", O_RDONLY), ENOENT);
    int fd = open("dangling", O_CREAT | O_RDWR, 0644);
    check("O_CREAT makes the target", fd >= 0 && exists("made"));
    close(fd);

    symlink("directory", "way");
    make("directory/inside", "z");
    check("through a link", holds("way/inside", "z"));
    check("a link with a slash", lstat("way/", &status) == 0 && S_ISDIR(status.st_mode));
    check_error("unlink a link with a slash", unlink("way/"), ENOTDIR);
    check_error("rmdir a link", rmdir("way"), ENOTDIR);
    check_error("a link to a file with a slash", lstat("link/", &status), ENOTDIR);

    symlink("loop", "loop");
    check_error("a loop", open("loop", O_RDONLY), ELOOP);
    check_error("a loop on the way", open("loop/x", O_RDONLY), ELOOP);
    char name[16], target[16];
    symlink("file", "chain0");
    for (int i = 1; i <= 40; i++) {
        sprintf(name, "chain%d", i);
        sprintf(target, "chain%d", i - 1);
        symlink(target, name);
    }
    check("40 links", holds("chain39", "x"));
    check_error("41 links", open("chain40", O_RDONLY), ELOOP);
    symlink("/", "root");
    check("a link to the root", stat("root/", &status) == 0);
    symlink("..", "up");
    check("a link up", stat("directory/../up", &status) == 0);
}

static void descriptors(void)
{
    struct stat status;
    int directory = open("directory", O_RDONLY | O_DIRECTORY);
    int file = open("file", O_RDONLY);
    int fd = openat(directory, "inside", O_RDONLY);
    check("openat", fd >= 0);
    close(fd);
    check_error("openat of a bad descriptor", openat(999, "inside", O_RDONLY), EBADF);
    check_error("openat of a file", openat(file, "inside", O_RDONLY), ENOTDIR);
    check("an absolute name ignores it", (fd = openat(999, "/", O_RDONLY)) >= 0);
    close(fd);
    check_error("an empty name", fstatat(directory, "", &status, 0), ENOENT);
    check("AT_EMPTY_PATH", fstatat(file, "", &status, AT_EMPTY_PATH) == 0 && S_ISREG(status.st_mode));
    check("AT_EMPTY_PATH here", fstatat(AT_FDCWD, "", &status, AT_EMPTY_PATH) == 0 && S_ISDIR(status.st_mode));
    check_error("bad flags", fstatat(file, "", &status, 0x4), EINVAL);
    check_error("read a directory", read(directory, &status, 1), EISDIR);

    int path = open("link", O_PATH | O_NOFOLLOW);
    check("O_PATH on a link", path >= 0 && fstat(path, &status) == 0 && S_ISLNK(status.st_mode));
    char text[16];
    check("readlinkat of an empty name", readlinkat(path, "", text, sizeof text) == 4);
    check_error("read of O_PATH", read(path, text, 1), EBADF);
    check_error("fchmod of O_PATH", syscall(SYS_fchmod, path, 0600), EBADF);
    close(path);
    path = open("directory", O_PATH);
    check("openat of O_PATH", (fd = openat(path, "inside", O_RDONLY)) >= 0);
    close(fd);
    check("fchdir of O_PATH", fchdir(path) == 0 && exists("inside") && chdir("..") == 0);
    close(path);
    check_error("fchdir to a file", fchdir(file), ENOTDIR);
    check_error("chdir to a file", chdir("file"), ENOTDIR);
    close(file);
    close(directory);
}

static void removed(void)
{
    char text[4096];
    mkdir("gone", 0755);
    check("go there", chdir("gone") == 0);
    check("remove it", rmdir("../gone") == 0);
    check_error("getcwd", syscall(SYS_getcwd, text, sizeof text), ENOENT);
    check_error("create there", open("x", O_CREAT | O_WRONLY, 0644), ENOENT);
    check_error("mkdir there", mkdir("x", 0755), ENOENT);
    struct stat status;
    check("it still is", stat(".", &status) == 0 && status.st_nlink == 0);
    int fd = open(".", O_RDONLY);
    check_error("list it", syscall(SYS_getdents64, fd, text, sizeof text), ENOENT);
    close(fd);
    check("dots lead back", chdir("..") == 0);
    check("getcwd returns the length", syscall(SYS_getcwd, text, sizeof text) == (long)strlen(text) + 1);
    check_error("getcwd without room", syscall(SYS_getcwd, text, 3), ERANGE);
}

static void unnamed(void)
{
    struct stat status;
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    check("O_TMPFILE", fd >= 0 && fstat(fd, &status) == 0 && status.st_nlink == 0);
    check("write it", write(fd, "hidden", 6) == 6);
    check("link it", linkat(fd, "", AT_FDCWD, "shown", AT_EMPTY_PATH) == 0 && holds("shown", "hidden"));
    check("one link", fstat(fd, &status) == 0 && status.st_nlink == 1);
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
    check_error("not with O_EXCL", linkat(fd, "", AT_FDCWD, "other", AT_EMPTY_PATH), ENOENT);
    close(fd);
    check_error("O_TMPFILE read-only", open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
    check_error("O_TMPFILE in a file", open("file", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
}

static void roots(void)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        failures = 0;
        char text[256];
        check("chroot", chroot("directory") == 0);
        check("outside is unreachable",
              syscall(SYS_getcwd, text, sizeof text) > 0 && !strncmp(text, "(unreachable)/", 14));
        check("chdir", chdir("/") == 0 && exists("/inside"));
        check("the root has no parent", chdir("..") == 0 && exists("inside") && !exists("file"));
        check("getcwd is the root", syscall(SYS_getcwd, text, sizeof text) == 2 && !strcmp(text, "/"));
        symlink("/inside", "absolute");
        check("links start at the root", holds("absolute", "z"));
        _exit(failures);
    }
    waitpid(pid, &status, 0);
    check("chroot child", status == 0);
    check_error("chroot to a file", chroot("file"), ENOTDIR);
}

int main(void)
{
    enter_tmpfs();
    errors();
    links();
    descriptors();
    removed();
    unnamed();
    roots();
    leave_tmpfs();
    return finish();
}
