"""The third ring, third part: what programs do to the machine's memory. Frames come back, and whoever takes all of them
is stopped, while the shell lives on."""

import re
import shutil
import tempfile
import pathlib

from guest import busybox_folder
from qemu import PROMPT, ROOT, Failure, Machine, iso
from rings.programs import build

FOLDER = ROOT / "tests/memory"


def _image(name, *programs):
    """An ISO with the usual shell, and programs in /."""
    with tempfile.TemporaryDirectory(prefix="stele-memory-") as place:
        root = pathlib.Path(place)
        busybox_folder(root)
        shutil.copytree(ROOT / "user/etc", root / "etc")
        for folder in ("dev", "proc", "sys", "tmp"):
            (root / folder).mkdir()
        (root / "init").symlink_to("bin/busybox")
        for program in programs:
            shutil.copy(build(program), root / program.stem)
        return iso(name, ROOT=root)


def _passes(program, arguments, cpus):
    """A program that looks at the free memory before and after itself."""

    def run():
        with Machine(_image(f"{program}-{cpus}", FOLDER / f"{program}.c"), memory="256M", smp=cpus, limit=400) as machine:
            machine.expect(PROMPT)
            output = machine.run(f"/{program} {arguments}; echo status $?")
            if "status 0" not in output:
                raise Failure(output)

    return run


def _free(machine):
    """Returns how much memory is free or cached, in KiB."""
    return int(machine.run("free | awk '/^Mem/ { print $4 + $6 }'").split()[-1])


def _bomb(way, memory, pattern, cpus=1):
    """A program takes all it gets: the log or its output says what became of it, the same shell answers, and the
    memory is free again."""

    def run():
        with Machine(_image(f"bomb-{way.replace(' ', '-')}-{cpus}", FOLDER / "bombs.c"), memory=memory, smp=cpus, limit=300) as machine:
            machine.expect(PROMPT)
            machine.run("stty cols 300")  # so that no command's echo is wrapped
            shell = machine.run("echo $$")
            machine.run("cd /tmp")
            before = _free(machine)
            machine.run(f"/bombs {way} > result &")
            machine.run("for i in 1 2 3 4 5 6 7 8; do sleep 1; kill -0 %1 || break; done 2>/dev/null", 300)
            machine.run("kill -9 %1 2>/dev/null; wait")
            output = machine.run("dmesg | grep Killed | tail -n 5; cat result", 60)
            if not re.search(pattern, output):
                raise Failure(f"{pattern!r} is not in\n{output}")
            machine.run("rm -rf d fill", 120)
            if machine.run("echo $$") != shell or not machine.run("echo $((40 + 2))").startswith("42"):
                raise Failure(f"the shell is another one\n{machine.output}")
            after = _free(machine)
            if after < before - 3072:
                raise Failure(f"{before} KiB were free, {after} KiB are\n{machine.output}")

    return run


KILLED = r"Out of memory: Killed process \d+ \(bombs\) total-vm:\d+kB, rss:\d+kB"
BOMBS = [
    ("heap", "64M", KILLED),
    ("forks", "64M", ""),
    ("forks as-nobody", "128M", ""),
    ("areas", "128M", ""),
    ("held", "64M", KILLED),
    ("tables", "64M", KILLED),
    ("aside", "64M", KILLED),
    ("threads", "64M", ""),
    ("files", "64M", ""),
    ("directories", "64M", r"\d+ deep: (No space|Cannot allocate)"),
    ("fill", "64M", r"\d+ KiB: No space left"),
]


def tests(long):
    """The tests of this ring."""
    found = [(f"frames after 10,000 forks on {cpus} CPUs", _passes("forks", 10000, cpus)) for cpus in (1, 4)]
    found += [(f"the heap after many objects on {cpus} CPUs", _passes("objects", "", cpus)) for cpus in (1, 4)]
    found += [("the heap after crowds at futexes", _passes("crowds", "", 1))]
    found += [("overcommit", _passes("overcommit", "", 1))]
    chosen = BOMBS if long else [bomb for bomb in BOMBS if bomb[0] in ("heap", "tables", "held", "forks as-nobody", "directories")]
    return found + [(f"bomb: {way} in {memory}", _bomb(way, memory, pattern)) for way, memory, pattern in chosen]
