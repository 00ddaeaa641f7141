"""The third ring, last part: test suites that others wrote, on the build host's Linux and on Stele; the difference must
be the list in docs/."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import debian
from guest import BUSYBOX, Guest
from qemu import ROOT, Failure

KNOWN = ROOT / "docs/busybox-testsuite.md"


def _busybox_tree(folder):
    """Lays out busybox' own test suite as it wants to be found, beside the Debian busybox."""
    source = debian.source("busybox")
    tree = pathlib.Path(folder, "suite")
    tree.mkdir()
    shutil.copytree(source / "testsuite", tree / "testsuite", symlinks=True)
    shutil.copytree(source / "scripts", tree / "scripts", symlinks=True)
    shutil.copy(BUSYBOX, tree / "busybox")
    shutil.copy(source / "debian/config/pkg/static", tree / ".config")
    subprocess.run(["cc", "-static", "-w", "-o", tree / "testsuite/echo-ne", source / "scripts/echo.c"], check=True)
    return tree


def _verdicts(output):
    """Counts each case's PASS and other verdicts; a name may occur several times."""
    found = {}
    for verdict, name in re.findall(r"^(PASS|FAIL|SKIPPED|UNTESTED): (.*)$", output, re.M):
        found.setdefault(name, []).append(verdict)
    return found


def _busybox_on_linux():
    with tempfile.TemporaryDirectory(prefix="stele-suite-") as folder:
        tree = _busybox_tree(folder)
        isolate = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--mount-proc"]
        if os.geteuid() != 0:
            isolate.insert(1, "--map-root-user")
        links = tree / "bin"
        links.mkdir()
        for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
            (links / applet).symlink_to(BUSYBOX)
        result = subprocess.run(
            # The cases' own `#!/bin/sh` shall be the same shell on both sides.
            [*isolate, "sh", "-c", f"mount --bind {BUSYBOX} /bin/sh && exec env -i PATH={links} HOME=/ "
             f"ECHO={tree}/testsuite/echo-ne ./runtest"], cwd=tree / "testsuite",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900, check=False)
        return _verdicts(result.stdout.decode("utf-8", "replace"))


def _busybox_on_stele():
    guest = Guest("busybox-suite", memory="1G")
    _busybox_tree(guest.root)
    # One case starts /bin/false under another name, which busybox' own would take for an applet's.
    (guest.root / "bin/false").unlink()
    subprocess.run(["cc", "-static", "-x", "c", "-o", guest.root / "bin/false", "-"], input=b"int main(void) { return 1; }",
                   check=True)
    script = guest.root / "runtest.sh"
    script.write_text("cd /suite/testsuite && ECHO=$PWD/echo-ne exec ./runtest\n")
    guest.add_script(script, limit=3000)
    ((_, output, _),) = guest.run(3300)
    return _verdicts(output)


def _busybox():
    linux, stele = _busybox_on_linux(), _busybox_on_stele()
    passing = {name for name, verdicts in linux.items() if set(verdicts) == {"PASS"}}
    missing = {name for name in passing if stele.get(name) != linux[name]}
    known = set(re.findall(r"^- `(.*)`:", KNOWN.read_text(), re.M)) if KNOWN.exists() else set()
    cases = sum(len(linux[name]) for name in passing)
    print(f"    busybox test suite: {cases} cases pass on Linux, of these {sum(len(linux[n]) for n in passing - missing)} here")
    if missing - known:
        raise Failure("pass on Linux, not here:\n" + "\n".join(f"{n}: {stele.get(n)}" for n in sorted(missing - known)))


def tests(long):
    """The tests of this ring: they take long."""
    return [("busybox' own test suite", _busybox)] if long else []
