"""The second ring, first part: the real ISO reaches its prompt on every kind of PC, and says in words what is wrong
where it cannot start."""

import pathlib
import struct
import subprocess
import tempfile

from gdbstub import EAX, EBX, Debugger, information
from qemu import PROMPT, ROOT, Failure, Machine, iso

IMAGE = ROOT / "build/stele.iso"
KERNEL = ROOT / "build/stele.elf"

# name: how the PC differs from QEMU's default one
CONFIGURATIONS = {
    "pc, BIOS, CD": {},
    "q35, BIOS, CD": {"machine": "q35"},
    "pc, BIOS, USB disk": {"usb": True},
    "q35, UEFI, CD": {"machine": "q35", "uefi": True},
    "q35, UEFI, USB disk": {"machine": "q35", "uefi": True, "usb": True},
    "pc, UEFI, CD": {"uefi": True},
    "qemu64": {"cpu": "qemu64"},
    "Nehalem": {"cpu": "Nehalem"},
    "without SMEP, SMAP, XSAVE": {"cpu": "max,-smep,-smap,-umip,-xsave,-fsgsbase,-pcid"},
    "32 MiB": {"memory": "32M"},
    "16 GiB": {"memory": "16G"},
    "2 CPUs": {"smp": 2},
    "8 CPUs": {"smp": 8, "machine": "q35"},
    "without VGA": {"options": ["-vga", "none"]},
    "standard VGA": {"options": ["-vga", "std"]},
}


def _reaches_prompt(options=(), **configuration):
    with Machine(IMAGE, *options, **configuration) as machine:
        machine.expect(PROMPT)
        answer = machine.run("echo $((6 * 7)); uname -s; nproc")
        if answer.split() != ["42", "Linux", str(configuration.get("smp", 1))]:
            raise Failure(f"the shell answered {answer!r}")
        machine.send("poweroff\n")
        machine.wait_for_end()


def _runs_cpus(wanted, words):
    """Of four CPUs, the command line's words let so many run."""
    with Machine(iso(f"cpus-{wanted}", CMDLINE=f"console=ttyS0 {words}"), smp=4) as machine:
        machine.expect(PROMPT)
        answer = machine.run("nproc; grep -c ^processor /proc/cpuinfo")
        if answer.split() != [str(wanted)] * 2:
            raise Failure(f"with {words} the shell answered {answer!r}")


def _without_serial_port():
    with Machine(IMAGE, serial=False) as machine:
        _type_until_end(machine)


def _type_until_end(machine):
    """Types `poweroff` on the keyboard, again and again until the shell is there to read it."""
    for _ in range(20):
        machine.keys("poweroff\n")
        try:
            machine.process.wait(5)
            return
        except subprocess.TimeoutExpired:
            pass
    raise Failure("poweroff typed on the keyboard did not end the machine")


def _bochs():
    """Bochs is a second, independent PC: BIOS, no virtual devices."""
    with tempfile.TemporaryDirectory(prefix="stele-bochs-") as folder:
        image = iso("bochs", CMDLINE="console=ttyS0", PROGRAM=_hello(folder))
        configuration = pathlib.Path(folder, "bochsrc")
        configuration.write_text(f"""\
megs: 256
cpu: count=1, ips=100000000, model=corei7_haswell_4770, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path={image}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={folder}/serial
sound: driver=dummy
display_library: rfb, options="timeout=0"
log: {folder}/log
clock: sync=none
panic: action=fatal
""")
        pathlib.Path(folder, "debugger").write_text("c\n")
        try:
            subprocess.run(
                ["bochs-bin", "-q", "-f", configuration, "-rc", f"{folder}/debugger"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300, cwd=folder,
            )
        except subprocess.TimeoutExpired:
            pass
        serial = pathlib.Path(folder, "serial").read_text(errors="replace")
        if "hello from a program of its own" not in serial:
            raise Failure(f"bochs' serial line:\n{serial}")


def _hello(folder):
    """Builds a static program that greets, and as process 1 then switches the machine off."""
    source = pathlib.Path(folder, "hello.c")
    source.write_text("""\
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>
int main(int argc, char **argv) {
    printf("hello from a program of its own, %d arguments, last %s\\n", argc - 1, argv[argc - 1]);
    fflush(stdout);
    sync();
    return reboot(RB_POWER_OFF);
}
""")
    subprocess.run(["musl-gcc", "-static", "-O1", "-o", f"{folder}/hello", source], check=True)
    return f"{folder}/hello"


def _own_program():
    with tempfile.TemporaryDirectory(prefix="stele-program-") as folder:
        image = iso("program", PROGRAM=_hello(folder), ARGS="one two")
        with Machine(image) as machine:
            machine.expect("hello from a program of its own, 2 arguments, last two")
            machine.wait_for_end()


def _relocated():
    """GRUB puts the kernel where the header's relocatable tag allows: here only above 48 MiB."""
    data = bytearray(KERNEL.read_bytes())
    header = data.index(struct.pack("<I", 0xE85250D6))
    at = header + 16
    while True:
        kind, _, size = struct.unpack_from("<HHI", data, at)
        if kind == 10:
            struct.pack_into("<I", data, at + 8, 48 << 20)
            break
        if kind == 0:
            raise Failure("the Multiboot2 header has no relocatable tag")
        at += (size + 7) & ~7
    kernel = ROOT / "build/tests/relocated.elf"
    kernel.parent.mkdir(parents=True, exist_ok=True)
    kernel.write_bytes(data)
    image = iso("relocated", KERNEL=kernel)
    with Machine(image) as machine:
        place = int(machine.expect(r"kernel at physical (0x[0-9a-f]+)").group(1), 16)
        if place < 48 << 20:
            raise Failure(f"the kernel runs at {place:#x}")
        machine.expect(PROMPT)


def _same_bytes_everywhere():
    """The same source gives the same kernel in another folder."""
    with tempfile.TemporaryDirectory(prefix="stele-copy-") as folder:
        copy = f"{folder}/a/quite different/place"
        copy = copy.replace(" ", "-")
        pathlib.Path(copy).mkdir(parents=True)
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["cpio", "-0", "-pdm", "--quiet", copy], cwd=ROOT, input=files, check=True)
        result = subprocess.run(["make", "build/stele.elf"], cwd=copy, capture_output=True, text=True)
        if result.returncode:
            raise Failure(result.stdout + result.stderr)
        if pathlib.Path(copy, "build/stele.elf").read_bytes() != KERNEL.read_bytes():
            raise Failure("build/stele.elf differs between two folders")


def _refuses(words, **configuration):
    """A PC on which Stele cannot run: it says so on the serial line."""
    with Machine(IMAGE, limit=30, **configuration) as machine:
        machine.expect(words)


def _entry():
    """The physical address at which GRUB enters the kernel."""
    return struct.unpack_from("<Q", KERNEL.read_bytes(), 24)[0] & 0x7FFF_FFFF  # linked high, loaded low


def _lied_to(lie, words, smp=1):
    """Starts the kernel with something changed at its very first instruction."""
    with tempfile.TemporaryDirectory(prefix="stele-gdb-") as folder:
        with Machine(IMAGE, "-S", "-gdb", f"unix:{folder}/gdb,server=on,wait=off", smp=smp) as machine:
            debugger = Debugger(f"{folder}/gdb")
            debugger.run_to(_entry())
            lie(debugger)
            debugger.go()
            machine.expect(words, 30)


def _enable_missing_cpu(debugger):
    """Says in ACPI's table of interrupt controllers (ACPI specification, 5.2.12) that a CPU is there which is not."""
    base = (256 << 20) - (128 << 10)
    memory = debugger.read(base, 128 << 10)
    table = memory.index(b"APIC")
    entry, end = table + 44, table + struct.unpack_from("<I", memory, table + 4)[0]
    while entry < end:
        kind, length, _, _, flags = struct.unpack_from("<BBBBI", memory, entry)
        if kind == 0 and flags == 0:
            debugger.write(base + entry + 4, b"\1")
            debugger.write(base + table + 9, bytes([memory[table + 9] - 1 & 0xFF]))  # the checksum
            return
        entry += length
    raise Failure("the table lists no missing CPU")


def _wrong_magic(debugger):
    debugger.set_register(EAX, 0x2BADB002)


def _hide(kind):
    """Turns each tag of a kind into one of an unknown kind."""

    def lie(debugger):
        for address, tag, _ in information(debugger)[1]:
            if tag == kind:
                debugger.write(address, struct.pack("<I", 0x7777))

    return lie


def _total_size(size):
    def lie(debugger):
        block, _ = information(debugger)
        debugger.write(block, struct.pack("<I", size))

    return lie


def _tag_size(kind, size):
    def lie(debugger):
        for address, tag, _ in information(debugger)[1]:
            if tag == kind:
                debugger.write(address + 4, struct.pack("<I", size))

    return lie


def _module_range(start, end):
    def lie(debugger):
        for address, tag, _ in information(debugger)[1]:
            if tag == 3:
                debugger.write(address + 8, struct.pack("<II", start, end))

    return lie


def _information_at(address):
    def lie(debugger):
        debugger.set_register(EBX, address)

    return lie


LIES = {
    "not started by a Multiboot2 loader": (_wrong_magic, "not started by a Multiboot2 loader"),
    "no memory map": (_hide(6), "PANIC.*memory map"),
    "no initramfs": (_hide(3), "PANIC.*no initramfs"),
    "information of no size": (_total_size(0), "boot information"),
    "information of enormous size": (_total_size(0xFFFF_FFF0), "boot information"),
    "information at an odd address": (_information_at(0x1003), "boot information"),
    "a tag of enormous size": (_tag_size(6, 0xFFFF_FFF0), "boot information|memory map"),
    "a tag of no size": (_tag_size(6, 0), "boot information|memory map"),
    "a module that ends before it starts": (_module_range(0x800_0000, 0x100_0000), "is not in memory; left out"),
    "a CPU that does not answer":
        (_enable_missing_cpu, r"APIC id 2 does not answer: left out\n(.*\n)*.*2 of 3 CPUs run", "2,maxcpus=3"),
    "a module outside memory": (_module_range(0xF000_0000, 0xF100_0000), "PANIC.*(module|initramfs|boot information)"),
}


def tests(_long):
    """The tests of this ring."""
    found = [(name, lambda values=values: _reaches_prompt(**values)) for name, values in CONFIGURATIONS.items()]
    found += [(f"lied to: {name}", lambda lie=lie: _lied_to(*lie)) for name, lie in LIES.items()]
    return found + [
        ("maxcpus=2", lambda: _runs_cpus(2, "maxcpus=2")),
        ("nosmp", lambda: _runs_cpus(1, "nosmp")),
        ("without serial port", _without_serial_port),
        ("no long mode", lambda: _refuses("long mode|64-bit", cpu="pentium3")),
        ("no NX", lambda: _refuses("NX|no-execute", cpu="qemu64,-nx")),
        ("too little memory", lambda: _refuses("(?i)memory", memory="6M")),
        ("bochs", _bochs),
        ("one's own program", _own_program),
        ("loaded at another address", _relocated),
        ("same bytes in two folders", _same_bytes_everywhere),
    ]
