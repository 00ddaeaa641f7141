"""The third ring, second part: our own programs in tests/programs/, each first on the build host's Linux, where it
must pass, then unchanged here."""

import os
import pathlib
import subprocess
import tempfile
import threading

from guest import Guest
from qemu import ROOT, Failure

SOURCES = sorted((ROOT / "tests/programs").glob("*.c"))
_BUILDING = threading.Lock()

# What takes all that it can get would harm the build host, so it runs here alone.
GREEDY = sorted((ROOT / "tests/greedy").glob("*.c"))


def build(source):
    """Compiles a program statically against musl, unless another test has; returns its path."""
    with _BUILDING:
        return _compile(source)


def _compile(source):
    target = ROOT / "build/tests" / source.parent.name / source.stem
    target.parent.mkdir(parents=True, exist_ok=True)
    newest = max(file.stat().st_mtime for file in (source, *source.parent.glob("*.h")))
    if not target.exists() or target.stat().st_mtime < newest:
        result = subprocess.run(
            ["musl-gcc", "-static", "-O1", "-g", "-Wall", "-pthread", "-idirafter", "/usr/include", "-idirafter",
             "/usr/include/x86_64-linux-gnu", "-o", target, source], capture_output=True, text=True)
        if result.returncode:
            raise Failure(result.stderr)
    return target


def _passes_on_linux(program):
    """Runs a program on the build host, in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="stele-host-") as folder:
        isolate = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--mount-proc"]
        if os.geteuid() != 0:
            isolate.insert(1, "--map-root-user")
        # Not as process 1 of its namespace, which signals and orphans treat differently.
        words = [*isolate, "sh", "-c", '"$0"; exit $?', program]
        result = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=120)
        return result.returncode, result.stdout.decode("utf-8", "replace")


def _on_linux(program):
    status, output = _passes_on_linux(program)
    if status:
        raise Failure(f"{program.name} fails on Linux, so the test is wrong: status {status}\n{output}")


def _on_stele(name="programs", sources=SOURCES, memory="512M", smp=1, words="", cpu="max"):
    """Runs all programs in one boot; on one CPU by a clock that counts instructions, so that a busy host plays no part."""
    guest = Guest(f"{name}-{smp}", memory=memory, smp=smp, cpu=cpu, counted=3 if smp == 1 else None)
    for source in sources:
        guest.add_program(build(source))
    bad = [f"{name}: status {status}\n{output}" for name, output, status in guest.run(900, words) if status != 0]
    if bad:
        raise Failure("\n".join(bad))


def tests(_long):
    """The tests of this ring."""
    found = [(f"{source.stem} on Linux", lambda source=source: _on_linux(build(source))) for source in SOURCES]
    found += [(f"{len(SOURCES)} programs on Stele, {smp} CPU", lambda smp=smp: _on_stele(smp=smp)) for smp in (1, 4)]
    clocks = [ROOT / f"tests/programs/{name}.c" for name in ("cpus", "timers")]
    found.append(("clocks without a trusted TSC", lambda: _on_stele("clocks", clocks, smp=4, words="tsc=unstable")))
    copies = [ROOT / f"tests/programs/{name}.c" for name in ("registers", "memory_file", "transfers")]
    found.append(("copies by vectors", lambda: _on_stele("copies", copies, smp=2, cpu="max,-erms,-fsrm")))
    return [*found, ("greedy programs in a small guest", lambda: _on_stele("greedy", GREEDY, "48M"))]
