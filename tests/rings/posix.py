"""The third ring, the Open POSIX Test Suite (Debian's posixtestsuite): its conformance programs on the build host's Linux
and on Stele, here on a machine whose clock skips what is slept, so that a busy host plays no part."""

import concurrent.futures
import os
import re
import subprocess
import tempfile

import compatibility
import debian
from guest import Guest

# Left out: what sets the host's clock; asynchronous input and output, which musl makes of threads; message queues, which are
# not built in yet; what creates thousands of processes or threads.
LEFT_OUT = re.compile(r"clock_settime|aio_|lio_|mq_|speculative|pthread_cond_broadcast.1-2|shm_open.23-1")


def _compile(job):
    """Compiles one program; returns its path, or `None` where the suite does not fit today's headers."""
    source, target, include = job
    if not target.exists():
        words = ["-std=gnu99", "-O1", "-w", "-static", "-s", "-D_GNU_SOURCE", f"-I{include}", f"-I{source.parent}", source,
                 "-o", target]
        if subprocess.run(["musl-gcc", *words], capture_output=True).returncode:
            return None
    return target


def _programs():
    """Builds the programs, once; returns their paths."""
    tree = debian.source("posixtestsuite")
    folder = tree.parent / "programs"
    folder.mkdir(exist_ok=True)
    jobs = []
    for source in sorted((tree / "conformance/interfaces").glob("*/[0-9]*-[0-9]*.c")):
        name = f"{source.parent.name}.{source.stem}"
        if not LEFT_OUT.search(name) and re.search(r"\bmain\s*\(", source.read_text(errors="replace")):
            jobs.append((source, folder / name, tree / "include"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [program for program in pool.map(_compile, jobs) if program]


def _passes_on_linux(program):
    """Runs a program on the build host, in namespaces of its own."""
    isolate = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        isolate.insert(1, "--map-root-user")
    with tempfile.TemporaryDirectory(prefix="stele-posix-") as folder:
        words = [*isolate, "sh", "-c", 'mount -t tmpfs none /dev/shm; timeout -s KILL 60 "$0"; exit $?', program]
        return subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0


def _suite():
    programs = _programs()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        linux = {program.name: passes for program, passes in zip(programs, pool.map(_passes_on_linux, programs))}
    guest = Guest("posix", output_limit=300, memory="1G", counted=3)
    for program in programs:
        if linux[program.name]:
            guest.add_program(program, limit=100)
    compatibility.judge("posixtestsuite", linux, {name: status == 0 for name, _, status in guest.run(4000)})


def tests(long):
    """The tests of this ring: they take long."""
    return [("the Open POSIX Test Suite", _suite)] if long else []
