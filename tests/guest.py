"""Runs scripts and programs in a guest without a person: an initramfs whose init runs each, marks where its output
begins and ends, and switches the machine off."""

import pathlib
import re
import shutil
import subprocess
import tempfile

from qemu import Failure, Machine, iso

BUSYBOX = "/bin/busybox"
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /bin /sbin /usr/bin /usr/sbin /case
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mkdir -p /dev/shm /dev/pts
/bin/busybox mount -t tmpfs -o mode=1777 tmpfs /dev/shm
/bin/busybox mount -t devpts devpts /dev/pts 2>/dev/null
/bin/busybox stty -F /dev/console -opost
/bin/busybox hostname guest
while read -r limit name command; do
    /bin/busybox mkdir -p /case/$name && cd /case/$name
    echo "@@@ begin $name"
    /bin/busybox env -i PATH=/bin HOME=/ /bin/busybox timeout -s KILL $limit $command </dev/null >/out 2>&1
    status=$?
    /bin/busybox tail -c 60000 /out
    echo "@@@ end $name $status"
    cd / && /bin/busybox rm -rf /case/$name
done < /tests/list
/bin/busybox poweroff -f
"""


def busybox_folder(folder):
    """Makes FOLDER/bin with busybox and a link for each of its applets; returns it."""
    programs = pathlib.Path(folder, "bin")
    programs.mkdir(parents=True)
    shutil.copy(BUSYBOX, programs / "busybox")
    for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (programs / applet).symlink_to("busybox")
    return programs


class Guest:
    """An initramfs of tests, and how to run it on Stele."""

    def __init__(self, name, **configuration):
        self.name = name
        self.configuration = configuration
        self.folder = tempfile.TemporaryDirectory(prefix="stele-guest-")
        self.root = pathlib.Path(self.folder.name)
        busybox_folder(self.root)
        self.lines = []
        (self.root / "tests").mkdir()
        (self.root / "etc").mkdir()
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost guest\n")
        (self.root / "etc/nsswitch.conf").write_text("hosts: files\n")
        self._executable("init", INIT)

    def _executable(self, path, text):
        (self.root / path).write_text(text)
        (self.root / path).chmod(0o755)

    def add_script(self, path, limit=120):
        """Adds a shell script; it runs in an empty folder."""
        shutil.copy(path, self.root / "tests" / path.name)
        self.lines.append(f"{limit} {path.stem} /bin/busybox sh /tests/{path.name}")

    def add_program(self, path, arguments="", limit=120):
        """Adds a static program; it runs in an empty folder."""
        shutil.copy(path, self.root / "tests" / path.name)
        self.lines.append(f"{limit} {path.name} /tests/{path.name} {arguments}")

    def image(self, words=""):
        """Builds the ISO."""
        (self.root / "tests/list").write_text("".join(line + "\n" for line in self.lines))
        return iso(self.name, ROOT=self.root, CMDLINE=f"console=ttyS0 loglevel=4 {words}".strip())

    def run(self, limit=600):
        """Boots it; returns (name, output, status) for each test, in order. A missing one has the status None."""
        with Machine(self.image(), limit=limit, **self.configuration) as machine:
            try:
                machine.wait_for_end()
            except Failure:
                pass
            console = machine.output
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
