/* openat2: how a walk can be restricted. */
#include "files.h"

struct how {
    uint64_t flags, mode, resolve;
};

enum { NO_XDEV = 1, NO_MAGICLINKS = 2, NO_SYMLINKS = 4, BENEATH = 8, IN_ROOT = 16 };

static long try(const char *name, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct how how = {flags, mode, resolve};
    int directory = open("top", O_RDONLY | O_DIRECTORY);
    long fd = syscall(437, directory, name, &how, sizeof how);
    int error = errno;
    close(directory);
    if (fd >= 0)
        close(fd);
    errno = error;
    return fd >= 0 ? 0 : -1;
}

int main(void)
{
    enter_tmpfs();
    mkdir("top", 0755), mkdir("top/sub", 0755), mkdir("top/mounted", 0755);
    make("outside", "o"), make("top/file", "f"), make("top/sub/deep", "d");
    symlink("file", "top/link"), symlink("/file", "top/absolute"), symlink("../outside", "top/up");
    symlink("sub", "top/way");
    mount("x", "top/mounted", "tmpfs", 0, "");
    make("top/mounted/there", "t");

    check("plain", try("file", O_RDONLY, 0, 0) == 0);
    check_error("unknown flags", try("file", 1ULL << 40, 0, 0), EINVAL);
    check_error("unknown restrictions", try("file", O_RDONLY, 0, 64), EINVAL);
    check_error("a mode without O_CREAT", try("file", O_RDONLY, 0644, 0), EINVAL);
    check("a mode with it", try("new", O_CREAT | O_WRONLY, 0600, 0) == 0 && (status_of("top/new").st_mode & 0777) == 0600);
    check_error("a bad mode", try("new", O_CREAT | O_WRONLY, 010000, 0), EINVAL);
    struct how how = {0};
    check_error("too small", syscall(437, AT_FDCWD, "top", &how, 8), EINVAL);
    struct {
        struct how how;
        uint64_t more;
    } longer = {{0}, 1};
    check_error("more than is known", syscall(437, AT_FDCWD, "top", &longer, sizeof longer), E2BIG);

    check("NO_SYMLINKS", try("sub/deep", O_RDONLY, 0, NO_SYMLINKS) == 0);
    check_error("on the way", try("way/deep", O_RDONLY, 0, NO_SYMLINKS), ELOOP);
    check_error("at the end", try("link", O_RDONLY, 0, NO_SYMLINKS), ELOOP);
    check("BENEATH", try("sub/../link", O_RDONLY, 0, BENEATH) == 0);
    check_error("by dots", try("../outside", O_RDONLY, 0, BENEATH), EXDEV);
    check_error("by a link", try("up", O_RDONLY, 0, BENEATH), EXDEV);
    check_error("by an absolute name", try("/", O_RDONLY, 0, BENEATH), EXDEV);
    check_error("by an absolute link", try("absolute", O_RDONLY, 0, BENEATH), EXDEV);
    check("IN_ROOT: an absolute link", try("absolute", O_RDONLY, 0, IN_ROOT) == 0);
    check("an absolute name", try("/sub/deep", O_RDONLY, 0, IN_ROOT) == 0);
    check_error("dots stay", try("../outside", O_RDONLY, 0, IN_ROOT), ENOENT);
    check_error("both", try("file", O_RDONLY, 0, IN_ROOT | BENEATH), EINVAL);
    check("NO_XDEV", try("sub/deep", O_RDONLY, 0, NO_XDEV) == 0);
    check_error("into a mount", try("mounted/there", O_RDONLY, 0, NO_XDEV), EXDEV);
    check_error("to create there", try("mounted/new", O_CREAT | O_WRONLY, 0600, NO_XDEV), EXDEV);
    check_error("the mount itself", try("mounted", O_RDONLY, 0, NO_XDEV), EXDEV);
    symlink("/proc/self/fd/0", "top/magic");
    check_error("NO_MAGICLINKS", try("magic", O_RDONLY, 0, NO_MAGICLINKS), ELOOP);
    umount("top/mounted");
    leave_tmpfs();
    return finish();
}
