"""The initramfs that both kernels boot: our programs, built on this host, and Debian's static busybox."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import debian
import userland
from guest import busybox_folder
from machines import BUILD
from qemu import ROOT, Failure

PACKAGES = ["coreutils", "gcc", "libc6-dev", "python3-minimal", "rt-tests", "sqlite3", "stress-ng", "sysbench", "tar"]
# What no row reads; it would only make the archive larger.
LEFT_OUT = [*userland.LEFT_OUT, "usr/bin/*lto-dump*", "usr/lib/x86_64-linux-gnu/gconv", "usr/share/perl*", "usr/share/common-licenses"]
FLAGS = ["-O2", "-std=gnu2x", "-Wall", "-Wextra"]
MUSL = ["musl-gcc", "-static", "-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"]


def _compile(compiler, name, *sources):
    """Compiles a program unless it is newer than its sources; returns its path."""
    target = BUILD / name
    if not target.exists() or target.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        BUILD.mkdir(parents=True, exist_ok=True)
        units = [path for path in sources if path.suffix == ".c"]
        result = subprocess.run([*compiler, *FLAGS, "-o", target, *units], capture_output=True, text=True, check=False)
        if result.returncode:
            raise Failure(result.stderr)
    return target


def programs():
    """Builds the programs; returns their paths."""
    smallest = ROOT / "bench/exit.c"
    rows = sorted((ROOT / "bench/rows").iterdir())
    return [_compile(MUSL, "bench", *rows), _compile(MUSL, "static", smallest), _compile(["cc"], "dynamic", smallest)]


def archive(program=None, arguments=""):
    """Packs our programs and busybox; returns the archive's path. `program` is one more, and its one row is `program`."""
    with tempfile.TemporaryDirectory(prefix="stele-bench-") as folder:
        root = pathlib.Path(folder)
        _add_programs(root)
        if program:
            shutil.copy(program, root / "bench")
            _add_libraries(program, root)
            (root / "bench/list").write_text(f"program /bench/{program.name} {arguments}\n")
        _without_times(root)
        packed = BUILD / ("program.cpio.gz" if program else "bench.cpio.gz")
        environment = {"ROOT": folder, "PATH": os.environ["PATH"]}
        subprocess.run([ROOT / "grub/initramfs", packed], env=environment, check=True, stdout=subprocess.DEVNULL)
        return packed


def debian_archive():
    """Packs unmodified programs of Debian, and the list of what to do with them; returns the archive's path."""
    with tempfile.TemporaryDirectory(prefix="stele-bench-") as folder:
        root = pathlib.Path(folder)
        shutil.copytree(debian.unpacked("bench", *PACKAGES), root, symlinks=True, dirs_exist_ok=True)
        for path in [path for pattern in LEFT_OUT for path in root.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        _add_programs(root)
        shutil.copy(ROOT / "bench/programs", root / "bench/list")
        shutil.copy(ROOT / "bench/exit.c", root / "bench")
        _without_times(root)
        packed = BUILD / "debian.cpio"
        userland.pack(root, packed)
        return packed


def _add_programs(root):
    """Our programs, with busybox around them, and the one that measures as init."""
    busybox_folder(root)
    (root / "bench").mkdir()
    (root / "init").symlink_to("/bench/bench")
    for path in programs():
        shutil.copy(path, root / "bench")
        _add_libraries(path, root)


def _add_libraries(program, root):
    """ldd prints `name => path (address)` for libraries and `path (address)` for the interpreter."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(?<=\s)/\S+", listed):
        target = root / library[1:]
        if not os.path.lexists(target):  # Debian's own is as good
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)


def _without_times(root):
    """So that the same files are the same archive."""
    subprocess.run(["find", root, "-exec", "touch", "-h", "-d", "@0", "{}", "+"], check=True)
