"""Runs scripts and programs in a guest without a person: an initramfs whose init runs each, marks where its output
begins and ends, and switches the machine off. The same guest runs on Linux in the same QEMU, as the measure."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import linux
from qemu import ROOT, Failure, Machine, iso

BUSYBOX = "/bin/busybox"
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /var/tmp /root /bin /sbin /usr/bin /usr/sbin /case
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
[ -c /dev/null ] || /bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t tmpfs -o mode=1777 tmpfs /tmp
/bin/busybox ip link set lo up 2>/dev/null
/bin/busybox mkdir -p /dev/shm /dev/pts
/bin/busybox mount -t tmpfs -o mode=1777 tmpfs /dev/shm
/bin/busybox mount -t devpts devpts /dev/pts 2>/dev/null
/bin/busybox stty -F /dev/console -opost
/bin/busybox hostname guest
while read -r limit name command; do
    /bin/busybox mkdir -p /case/$name && cd /case/$name
    echo "@@@ begin $name"
    /bin/busybox env -i PATH=/bin:/usr/bin:/sbin:/usr/sbin HOME=/ /bin/busybox timeout -s KILL $limit $command </dev/null >/out 2>&1
    status=$?
    /bin/busybox tail -c OUTPUT_LIMIT /out
    echo "@@@ end $name $status"
    cd / && /bin/busybox rm -rf /case/$name
done < /tests/list
/bin/busybox poweroff -f
"""


def busybox_folder(folder):
    """Makes FOLDER/bin with busybox and a link for each of its applets that is not there; returns it."""
    programs = pathlib.Path(folder, "bin")
    programs.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, programs / "busybox")
    for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if not any(pathlib.Path(folder, place, applet).exists() for place in ("bin", "usr/bin", "sbin", "usr/sbin")):
            (programs / applet).symlink_to("busybox")
    return programs


class Guest:
    """An initramfs of tests, and how to run it on Stele and on Linux."""

    def __init__(self, name, tree=None, output_limit=60000, **configuration):
        self.name = name
        self.configuration = configuration
        self.folder = tempfile.TemporaryDirectory(prefix="stele-guest-")
        self.root = pathlib.Path(self.folder.name)
        if tree:
            shutil.copytree(tree, self.root, symlinks=True, dirs_exist_ok=True)
        busybox_folder(self.root)
        self.lines = []
        (self.root / "tests").mkdir()
        (self.root / "etc").mkdir(exist_ok=True)
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost guest\n")
        (self.root / "etc/nsswitch.conf").write_text("hosts: files\n")
        self._executable("init", INIT.replace("OUTPUT_LIMIT", str(output_limit)))

    def _executable(self, path, text):
        (self.root / path).write_text(text)
        (self.root / path).chmod(0o755)

    def add(self, name, command, limit=120):
        """Adds a command; it runs in an empty folder."""
        self.lines.append(f"{limit} {name} {command}")

    def add_script(self, path, limit=120):
        """Adds a shell script."""
        shutil.copy(path, self.root / "tests" / path.name)
        self.add(path.stem, f"/bin/busybox sh /tests/{path.name}", limit)

    def add_program(self, path, arguments="", limit=120):
        """Adds a static program."""
        shutil.copy(path, self.root / "tests" / path.name)
        self.add(path.name, f"/tests/{path.name} {arguments}", limit)

    def _finish(self):
        (self.root / "tests/list").write_text("".join(line + "\n" for line in self.lines))

    def image(self, words=""):
        """Builds the ISO."""
        self._finish()
        return iso(self.name, ROOT=self.root, CMDLINE=f"console=ttyS0 loglevel=4 {words}".strip())

    def run(self, limit=600, words=""):
        """Boots it; returns (name, output, status) for each test, in order. A missing one has the status None."""
        return self._results(self._console(Machine(self.image(words), limit=limit, **self.configuration)))

    def run_on_linux(self, limit=600):
        """The same on Linux; what is known of an equal guest is not run again."""
        self._finish()
        known = ROOT / "build/suites/linux" / f"{self.name}-{self._hash()}.txt"
        if not known.exists():
            archive = self.root.with_suffix(".cpio.gz")
            subprocess.run([ROOT / "grub/initramfs", archive], env={"ROOT": self.root, "PATH": os.environ["PATH"]},
                           check=True, stdout=subprocess.DEVNULL)
            console = self._console(linux.machine(archive, limit=limit, **self.configuration))
            archive.unlink()
            if any(status is None for _, _, status in self._results(console)):
                raise Failure(f"on Linux not all tests ended; the console ended in:\n{console[-3000:]}")
            known.parent.mkdir(parents=True, exist_ok=True)
            known.write_text(console)
        return self._results(known.read_text())

    def _hash(self):
        digest = hashlib.sha256(repr(sorted(self.configuration.items())).encode())
        for path in sorted(self.root.rglob("*")):
            digest.update(str(path.relative_to(self.root)).encode())
            digest.update(path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
        return digest.hexdigest()[:16]

    @staticmethod
    def _console(machine):
        with machine:
            try:
                machine.wait_for_end()
            except Failure:
                pass
            return machine.output

    def _results(self, console):
        results = []
        for line in self.lines:
            name = line.split()[1]
            match = re.search(rf"^@@@ begin {re.escape(name)}\n(.*?)@@@ end {re.escape(name)} (\d+)$", console, re.S | re.M)
            if match:
                output = match.group(1).replace(f"/tests/{name}.sh", f"{name}.sh")
                results.append((name, output, int(match.group(2))))
            else:
                results.append((name, "no result; the console ended in:\n" + console[-3000:], None))
        return results
