"""A Debian file tree to boot into, as debootstrap makes it; what no test reads is taken out."""

import os
import subprocess
import threading

from qemu import ROOT, Failure

MIRROR = "http://deb.debian.org/debian"
RELEASE = "bookworm"
PACKAGES = [
    "procps", "python3", "perl", "git", "gcc", "libc6-dev", "make", "strace", "gdb-minimal", "vim", "less", "tmux", "login",
    "bsdutils", "util-linux", "mount",
]  # fmt: skip
# What no test reads; it would only make the image larger.
LEFT_OUT = [
    "dev/*", "usr/lib/gcc/x86_64-linux-gnu/*/lto*", "usr/lib/gcc/x86_64-linux-gnu/*/*san*", "usr/lib/x86_64-linux-gnu/*san.so*",
    "usr/lib/x86_64-linux-gnu/perl-base/unicore", "usr/share/doc", "usr/share/i18n", "usr/share/info", "usr/share/lintian",
    "usr/share/locale", "usr/share/man", "usr/share/vim/vim*/doc", "usr/share/vim/vim*/lang", "usr/share/vim/vim*/spell",
    "usr/share/vim/vim*/tutor", "usr/share/zoneinfo/right", "usr/share/zoneinfo/posix", "var/cache/*/*", "var/lib/apt/lists/*",
    "var/log/*",
]  # fmt: skip
_making = threading.Lock()


def root():
    """Makes the file tree of a small Debian in build/debian/root; returns it. Does so once for a list of packages."""
    with _making:
        folder = ROOT / "build/debian"
        tree, made = folder / "root", folder / "packages"
        words = " ".join([RELEASE, *PACKAGES, *LEFT_OUT])
        if made.exists() and made.read_text() == words:
            return tree
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*as_root, "rm", "-rf", tree], check=True)
        (folder / "cache").mkdir(parents=True, exist_ok=True)
        # What it mounts below the tree goes with the namespace, whatever happens.
        command = ["unshare", "--mount", "/usr/sbin/debootstrap", "--variant=minbase", f"--cache-dir={folder}/cache",
                   f"--include={','.join(PACKAGES)}", RELEASE, tree, MIRROR]  # fmt: skip
        result = subprocess.run([*as_root, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode:
            raise Failure(f"debootstrap failed:\n{result.stdout[-3000:]}")
        left_out = [path for pattern in LEFT_OUT for path in tree.glob(pattern)]
        subprocess.run([*as_root, "rm", "-rf", *left_out], check=True)
        subprocess.run([*as_root, "chmod", "-R", "a+rX", tree], check=True)  # whoever packs it must be able to read it
        made.write_text(words)
        return tree
