"""What a kernel and the usual initramfs, busybox with a shell, take up: the image, memory in use at the prompt, and the
least memory that boots up to the prompt. Here nothing is counted, so QEMU runs as quickly as it can."""

import hashlib
import subprocess

import linux
import machines
from qemu import PROMPT, ROOT, Failure, Machine, iso

MEMORY = 512  # MiB, where the memory in use is looked at
ROWS = ["kernel-image-bytes", "prompt-memory-kib", "least-memory-mib"]
WORDS = "console=ttyS0 loglevel=4 panic=-1"


def on_stele():
    """Returns {row: value}."""
    archive = _archive()
    image = iso("bench-prompt", KERNEL=machines.KERNEL, INITRAMFS=archive, CMDLINE=WORDS)
    stripped = machines.BUILD / "stele.elf"
    subprocess.run(["objcopy", "--strip-all", machines.KERNEL, stripped], check=True)
    return _rows(stripped, lambda memory: Machine(image, memory=f"{memory}M", limit=120), 4)


def on_linux():
    """The same on Linux, kept as long as the initramfs is the same."""
    archive = _archive()
    known = machines.BUILD / f"linux-prompt-{hashlib.sha256(archive.read_bytes()).hexdigest()[:16]}.txt"
    if not known.exists():
        words = machines.LINUX_WORDS
        rows = _rows(linux.kernel(), lambda memory: linux.machine(archive, words, memory=f"{memory}M", limit=240), 32)
        machines.write_rows(known, rows)
    return machines.read_rows(known)


def _archive():
    """The usual initramfs, as `make iso` packs it."""
    iso("bench-usual", KERNEL=machines.KERNEL)
    return ROOT / "build/tests/bench-usual.iso.initramfs"


def _rows(kernel, make, too_little):
    with make(MEMORY) as machine:
        machine.expect(PROMPT)
        available = machine.run("grep MemAvailable /proc/meminfo").split()[1]
    figures = [kernel.stat().st_size, MEMORY * 1024 - int(available), _least(make, too_little, MEMORY)]
    return dict(zip(ROWS, figures, strict=True))


def _least(make, too_little, enough):
    """Halves what lies between until one MiB makes the difference."""
    while enough - too_little > 1:
        memory = (too_little + enough) // 2 if enough < 4 * too_little else 2 * too_little
        try:
            with make(memory) as machine:
                machine.expect(PROMPT)
            enough = memory
        except Failure:
            too_little = memory
    return enough
