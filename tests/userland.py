"""A Debian file tree to boot into, as debootstrap makes it; what no test reads is taken out."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

from guest import Guest
from qemu import PROMPT, ROOT, Failure, Machine, iso

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
        if as_root:  # whoever packs it must be able to read it
            subprocess.run([*as_root, "chmod", "-R", "a+rX", tree], check=True)
        made.write_text(words)
        return tree


# What both sides give a script: the same surroundings, an empty folder below /tmp.
ENVIRONMENT = "env --default-signal -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=vt100"
MOUNTS = """\
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
hostname stele
"""
INIT = f"""\
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
{MOUNTS}
stty -F /dev/console -opost
while read -r limit name command; do
    mkdir -p /tmp/$name && cd /tmp/$name
    echo "@@@ begin $name"
    {ENVIRONMENT} timeout -s KILL $limit $command < /dev/null > /out 2>&1
    status=$?
    cat /out
    echo "@@@ end $name $status"
    cd / && rm -rf /tmp/$name
done < /tests/list
[ ! -e /tests/session ] || {{
    stty -F /dev/console opost
    while :; do setsid -w agetty --autologin root --noclear -L 115200 ttyS0 vt100; done
}}
sync
echo o > /proc/sysrq-trigger
sleep 60
"""


def pack(tree, archive):
    """Packs a tree as it is: plain, which tcg unpacks sooner than anything compressed, and always in the same order."""
    partial = archive.with_suffix(".partial")
    with open(partial, "wb") as output:
        names = subprocess.run(["find", ".", "-mindepth", "1", "-print0"], cwd=tree, stdout=subprocess.PIPE, check=True)
        subprocess.run(["cpio", "--quiet", "--null", "--create", "--format=newc", "--owner=+0:+0", "--reproducible"], cwd=tree,
                       input=b"\0".join(sorted(names.stdout.split(b"\0")[:-1])), stdout=output, check=True)  # fmt: skip
    partial.replace(archive)


class Userland(Guest):
    """A guest whose init, shell and programs are Debian's."""

    def __init__(self, name, session=False, **configuration):
        self.name = name
        self.configuration = {"machine": "q35", "memory": "1536M", **configuration}
        self.folder = tempfile.TemporaryDirectory(prefix="stele-guest-")
        self.root = pathlib.Path(self.folder.name)
        self.lines = []
        (self.root / "tests").mkdir()
        if session:
            (self.root / "tests/session").touch()
        self._executable("init", INIT)

    def add_script(self, path, *beside, limit=300):
        """Adds a script for bash, and files that it finds in its own folder."""
        for file in (path, *beside):
            shutil.copy(file, self.root / "tests")
        self.add(path.stem, f"/bin/bash /tests/{path.name}", limit)

    def image(self, words=""):
        """Builds the ISO: Debian's tree, then what is added to it."""
        tree = root()
        base = ROOT / "build/debian/root.cpio"
        with _making:
            if not base.exists() or base.stat().st_mtime < (ROOT / "build/debian/packages").stat().st_mtime:
                pack(tree, base)
        self._finish()
        archive = ROOT / "build/tests" / f"{self.name}.cpio"
        pack(self.root, archive)
        with open(archive, "r+b") as output, open(base, "rb") as first:
            added = output.read()
            output.seek(0)
            shutil.copyfileobj(first, output)
            output.write(added)
        return iso(self.name, INITRAMFS=archive, CMDLINE=f"console=ttyS0 loglevel=5 {words}".strip())


    def run(self, limit=600, session=None):
        """Boots it; returns what `Guest.run` does. Then drives a session at the prompt, if there is one."""
        with Machine(self.image(), limit=limit, **self.configuration) as machine:
            try:
                if session:
                    machine.expect(PROMPT)
                    machine.limit = 120
                    session(machine)
                    machine.send("echo o > /proc/sysrq-trigger\n")
                machine.wait_for_end()
            except Failure:
                if session:
                    raise
            return self._results(machine.output)


def on_linux(script, *beside):
    """Runs a script in the same tree on the build host; returns its output and status."""
    tree = root()
    with tempfile.TemporaryDirectory(prefix="stele-host-") as folder:
        # Changes go to a layer of their own; not as process 1, which signals and orphans treat differently.
        commands = f"""\
set -e
mount -t tmpfs tmpfs {folder}
mkdir {folder}/upper {folder}/work {folder}/root
mount -t overlay -o lowerdir={tree},upperdir={folder}/upper,workdir={folder}/work overlay {folder}/root
cd {folder}/root
mkdir -p tests && cp {' '.join(map(str, (script, *beside)))} tests/
mount --rbind /sys sys
mount -t tmpfs tmpfs dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
chroot . /bin/bash -c '{MOUNTS.replace("mount -t sysfs sysfs /sys", "")}
mkdir /tmp/{script.stem} && cd /tmp/{script.stem} && {ENVIRONMENT} /bin/bash /tests/{script.name}; exit $?'
exit $?
"""
        result = subprocess.run(
            ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "sh", "-c", commands],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
        )  # fmt: skip
        return result.stdout.decode("utf-8", "replace").replace(f"/tests/{script.name}", script.name), result.returncode
