"""The third ring, the Open POSIX Test Suite (Debian's posixtestsuite): its conformance programs on Debian's Linux and on
Stele, both on a machine whose clock skips what is slept, so that a busy host plays no part."""

import concurrent.futures
import re
import subprocess

import compatibility
import debian
from guest import Guest

# Left out: asynchronous input and output, which musl makes of threads; what creates thousands of processes or threads.
LEFT_OUT = re.compile(r"aio_|lio_|speculative|pthread_cond_(broadcast|timedwait|wait).[124]-[1-3]$|shm_open.23-1")


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


def _suite():
    guest = Guest("posix", output_limit=300, memory="1G", counted=True)
    for program in _programs():
        guest.add_program(program, limit=100)
    sides = ({name: status == 0 for name, _, status in results} for results in (guest.run_on_linux(4000), guest.run(4000)))
    compatibility.judge("posixtestsuite", *sides)


def tests(long):
    """The tests of this ring: they take long."""
    return [("the Open POSIX Test Suite", _suite)] if long else []
