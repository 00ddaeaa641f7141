"""Boots the same initramfs on Stele and on Debian's Linux in a QEMU whose clock counts instructions; reads the rows that
it prints."""

import hashlib
import pathlib
import re
import struct
import subprocess

import linux
from gdbstub import Debugger
from qemu import ROOT, Machine, iso

BUILD = ROOT / "build/bench"
KERNEL = ROOT / "build/stele.elf"
# Without `erms` both kernels copy as on an older CPU: with it QEMU counts every byte of a `rep movsb`.
COUNTED = {"cpu": "max,-erms,-fsrm", "counted": 0, "smp": 1, "memory": "1G"}
# Linux at its fastest.
LINUX_WORDS = "mitigations=off init_on_alloc=0 randomize_kstack_offset=off audit=0 apparmor=0 selinux=0"
LINUX_ENTRY = 0x100000  # Documentation/arch/x86/boot.rst: code32_start of a bzImage
RAX, RDX, RIP = 0, 3, 16  # as gdb numbers the registers


def on_stele(archive, arguments="", options=(), limit=900, kernel=KERNEL, **configuration):
    """Boots Stele from GRUB; returns {row: value}. A row that failed is missing."""
    image = iso("bench", KERNEL=kernel, INITRAMFS=archive, CMDLINE="console=ttyS0 loglevel=4", ARGS=arguments)
    header = subprocess.run(["readelf", "-h", kernel], capture_output=True, text=True, check=True).stdout
    entry = int(re.search(r"Entry point address:\s+(0x\S+)", header)[1], 16) & 0x7FFF_FFFF  # linked high, loaded low
    return _rows(lambda *more: Machine(image, *options, *more, limit=limit, **configuration), entry)


def on_linux(archive, arguments="", options=(), limit=1800, run=0, keep=True, **configuration):
    """The same on Linux. What is kept of an equal machine and its `run` is not run again."""
    words = f"{LINUX_WORDS} -- {arguments}"
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(pathlib.Path(archive).read_bytes() + version)
    digest.update(repr((linux.kernel().name, words, options, sorted(configuration.items()), run)).encode())
    known = BUILD / f"linux-{digest.hexdigest()[:16]}.txt"
    if keep and known.exists():
        return read_rows(known)
    rows = _rows(lambda *more: linux.machine(archive, words, [*options, *more], limit=limit, **configuration), LINUX_ENTRY)
    if keep:
        write_rows(known, rows)
    return rows


def write_rows(path, rows):
    """Keeps {row: value}."""
    path.write_text("".join(f"{name} {value}\n" for name, value in rows.items()))


def read_rows(path):
    """Returns what `write_rows` kept."""
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def _rows(make, entry):
    """Runs a machine until its init says that it has ended. `boot` then counts from the kernel's entry on."""
    line = BUILD / "gdb"
    line.unlink(missing_ok=True)
    with make("-S", "-gdb", f"unix:{line},server=on,wait=off") as machine:
        before = _instructions_at(line, entry)
        machine.expect("^@end$")
        machine.wait_for_end()
        output = machine.output
    for failure in re.findall(r"^@row \S+ failed.*|^\S+\.c:\d+: .*|^@status [^0].*", output, re.M):
        print(f"    {failure}", flush=True)
    rows = {name: int(value) for name, value in re.findall(r"^@row (\S+) (\d+)$", output, re.M)}
    rows["boot"] -= before
    return rows


def _instructions_at(line, address):
    """Lets the machine run to an address; returns its time-stamp counter, which an rdtsc put there reads."""
    debugger = Debugger(str(line), limit=900)
    debugger.run_to(address)
    saved, code = debugger.registers(), debugger.read(address, 2)
    debugger.write(address, b"\x0f\x31")
    debugger.command("s")
    after = debugger.registers()
    debugger.write(address, code)
    for number in (RAX, RDX, RIP):
        debugger.set_register(number, struct.unpack_from("<Q", saved, number * 8)[0])
    debugger.go()
    low, high = (struct.unpack_from("<I", after, number * 8)[0] for number in (RAX, RDX))
    return high << 32 | low
