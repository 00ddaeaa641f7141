"""The second ring, second part: what goes wrong ends in plain words, and what can survive does."""

import os
import pathlib
import random
import re
import subprocess
import tempfile

from guest import Guest
from qemu import PROMPT, ROOT, Failure, Machine, iso

IMAGE = ROOT / "build/stele.iso"


def _panic_report():
    with Machine(IMAGE) as machine:
        machine.expect(PROMPT)
        machine.send("echo c > /proc/sysrq-trigger\n")
        _expect_panic(machine, "sysrq")
        width, height, pixels = machine.screen()
        if len(set(pixels[i : i + 3] for i in range(0, len(pixels), 3))) < 2:
            raise Failure(f"the {width}x{height} screen is empty after a panic")


def _panic_while_others_run():
    """All CPUs run user code when one panics: they stop, the report is whole, the restart happens."""
    with Machine(iso("panic-smp", CMDLINE="panic=-1"), smp=4) as machine:
        machine.expect(PROMPT)
        machine.run("for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done")
        machine.send("echo c > /proc/sysrq-trigger\n")
        _expect_panic(machine, "sysrq")
        machine.wait_for_end(60)


def _expect_panic(machine, words):
    """A panic names its reason, the place, registers, functions, the version and the command line, and with the last
    log lines before it fits 25 lines of 80."""
    machine.expect("^PANIC: .*" + words, 60)
    machine.expect(r"^Stele 0\.1\.0.*\n", 10)
    text = machine.output[machine.output.index("\nPANIC: ") + 1 : machine.seen]
    lines = text.splitlines()
    if len(lines) > 22 or any(len(line) > 80 for line in lines):
        raise Failure(f"the report does not fit 80x25:\n{text}")
    for wanted in (r"^  at src/\S+:\d+", r"^rbp |^rax ", r"cr2 [0-9a-f]{16}", r"^  stele::.*\+0x"):
        if not re.search(wanted, text, re.M):
            raise Failure(f"the report lacks {wanted!r}:\n{text}")


def _provoked(word, words):
    """The kernel commits the fault that the command line asks for, once it has started."""

    def run():
        with Machine(iso(f"provoke-{word}", CMDLINE=f"provoke={word}")) as machine:
            _expect_panic(machine, words)

    return run


def _hang():
    """A task that lets no other run is told of, with the way there; only checked kernels look."""
    if os.environ.get("PROFILE") != "checked":
        return
    with Machine(iso("provoke-hang", CMDLINE="console=ttyS0 provoke=hang")) as machine:
        machine.expect(r"a task lets no other run for \d+ ms\n(.*\n)*.*provoke")


def _restarts_after_panic():
    with Machine(iso("panic-restart", CMDLINE="provoke=panic panic=-1")) as machine:
        machine.wait_for_end(60)


def _damaged_initramfs(damage, words, goes_on):
    """An initramfs that is cut off or spoiled: the log says where, what came before is there."""

    def run():
        with tempfile.TemporaryDirectory(prefix="stele-damaged-") as folder:
            root = pathlib.Path(folder, "root")
            (root / "bin").mkdir(parents=True)
            subprocess.run(["cp", "/bin/busybox", root / "bin/busybox"], check=True)
            (root / "init").write_text("#!/bin/busybox sh\necho the first file is there\n/bin/busybox poweroff -f\n")
            (root / "init").chmod(0o755)
            # Random, so that it stays long when compressed: the damage is to hit it and nothing before.
            (root / "zzz").write_bytes(random.Random(1).randbytes(200_000))
            archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=b"bin\nbin/busybox\ninit\nzzz\n",
                                     capture_output=True, check=True).stdout
            file = pathlib.Path(folder, "archive")
            file.write_bytes(damage(archive))
            image = iso(f"damaged-{damage.__name__.strip('_')}", INITRAMFS=file)
            with Machine(image) as machine:
                machine.expect(words)
                if goes_on:
                    machine.expect("the first file is there")
                    machine.wait_for_end()

    return run


def _cut_short(archive):
    return archive[:-100_000]


def _spoiled(archive):
    at = archive.rindex(b"070701", 0, archive.rindex(b"TRAILER"))
    at = archive.rindex(b"070701", 0, at)
    return archive[:at] + b"999999" + archive[at + 6 :]


def _not_an_archive(_archive):
    return b"This is no archive at all.\n" * 100


def _cut_gzip(archive):
    import gzip

    return gzip.compress(archive, 1)[:-5_000]


def _empty(_archive):
    return b""


def _zstd(bytes_):
    return subprocess.run(["zstd", "-q", "-c"], input=bytes_, capture_output=True, check=True).stdout


def _cut_zstd(archive):
    # Within the last block, of at most 128 KiB: what is damaged is lost by whole blocks.
    return _zstd(archive)[:-1_000]


def _archives_in_a_row():
    """Plain, gzip and zstd archives follow each other, zeros between: later ones add to and replace what came before."""
    import gzip

    def archive(folder, **files):
        root = pathlib.Path(folder)
        for name, text in files.items():
            (root / name).write_bytes(text)
            (root / name).chmod(0o755)
        names = "".join(f"{name}\n" for name in files).encode()
        return subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, capture_output=True,
                              check=True).stdout

    with tempfile.TemporaryDirectory(prefix="stele-archives-") as folder:
        busybox = pathlib.Path("/bin/busybox").read_bytes()
        init = b"#!/busybox sh\n/busybox cat /one /two /three\n/busybox poweroff -f\n"
        modules = [
            archive(folder, busybox=busybox, one=b"the first\n"),
            bytes(700),
            gzip.compress(archive(folder, one=b"the first again\n", two=b"the second\n")),
            _zstd(archive(folder, three=b"the third\n")),
            bytes(4),
            archive(folder, init=init),
        ]
        file = pathlib.Path(folder, "archives")
        file.write_bytes(b"".join(modules))
        with Machine(iso("archives", INITRAMFS=file)) as machine:
            machine.expect("the first again\\s+the second\\s+the third")
            machine.wait_for_end()


def _bad_programs():
    """Programs that are no programs: the shell says so and lives."""
    with Machine(IMAGE) as machine:
        machine.expect(PROMPT)
        machine.run("stty cols 200")  # so that no command's echo is wrapped
        machine.run("cd /tmp 2>/dev/null || mkdir /tmp && cd /tmp")
        for size in (4, 16, 63, 64, 100, 200, 4096, 100_000):
            machine.run(f"head -c {size} /bin/busybox > cut; chmod +x cut")
            machine.run("./cut")
        for seek, junk in ((4, r"\001"), (18, r"\003"), (24, r"\377\377\377\377\377\377\377\177"), (32, r"\377\377\377"),
                           (54, r"\001"), (56, r"\377\377"), (80, r"\377\377\377\377\377\377\377\377")):
            machine.run("cp /bin/busybox bad")
            machine.run(f"printf '{junk}' | dd of=bad bs=1 seek={seek} conv=notrunc 2>/dev/null")
            machine.run("./bad true")
        machine.run("printf '#!/nowhere\\n' > s; chmod +x s; ./s")
        machine.run("printf '#!./s2\\n' > s1; printf '#!./s1\\n' > s2; chmod +x s1 s2; ./s1")
        answer = machine.run("echo $((40 + 2))")
        if answer.strip() != "42":
            raise Failure(f"the shell answered {answer!r}")


def _out_of_memory():
    """A program that wants more memory than there is is killed; the shell lives and the memory is free again."""
    with Machine(IMAGE, memory="32M") as machine:
        machine.expect(PROMPT)
        before = _free(machine)
        output = machine.run("awk 'BEGIN { s = \"x\"; while (1) s = s s }'; echo status $?", 120)
        if not re.search(r"status (137|2|1)|[Oo]ut of memory|Killed", output):
            raise Failure(f"awk without end printed {output!r}")
        machine.run("dd if=/dev/zero of=/fill bs=1M 2>/dev/null; rm /fill", 120)
        output = machine.run("tail /dev/zero; echo status $?", 120)
        if "status 137" not in output and "memory" not in output:
            raise Failure(f"tail /dev/zero printed {output!r}")
        after = _free(machine)
        if after < before - 1024:
            raise Failure(f"free memory was {before} KiB, is {after} KiB")


def _free(machine):
    return int(machine.run("free | awk '/^Mem/ { print $4 + $6 }'").split()[-1])


def tests(_long):
    """The tests of this ring."""
    return [
        ("panic report on serial line and screen", _panic_report),
        ("panic while other CPUs run programs", _panic_while_others_run),
        ("a task that does not give way", _hang),
        ("restart after a panic", _restarts_after_panic),
        ("stack overflow hits the guard page", _provoked("stack-overflow", "kernel stack overflow")),
        ("double fault", _provoked("double-fault", ".*(double fault|stack overflow)")),
        ("a write to code", _provoked("write-code", r"kernel wrote to address 0x\S+ \(not allowed\)")),
        ("a jump into data", _provoked("execute-data", r"kernel jumped to address 0x\S+ \(not allowed\)")),
        ("a null pointer", _provoked("null", r"kernel read address 0x0+ \(null pointer\)")),
        ("initramfs cut short", _damaged_initramfs(_cut_short, "(?i)initramfs.*offset", True)),
        ("initramfs with a spoiled header", _damaged_initramfs(_spoiled, "(?i)initramfs.*offset", True)),
        ("gzip initramfs cut short", _damaged_initramfs(_cut_gzip, "(?i)initramfs.*offset", True)),
        ("zstd initramfs cut short", _damaged_initramfs(_cut_zstd, "(?i)initramfs.*offset", True)),
        ("initramfs of several archives", _archives_in_a_row),
        ("not an archive", _damaged_initramfs(_not_an_archive, "(?i)initramfs", False)),
        ("empty initramfs", _damaged_initramfs(_empty, "(?i)initramfs|init", False)),
        ("bad programs", _bad_programs),
        ("no memory left", _out_of_memory),
    ]
