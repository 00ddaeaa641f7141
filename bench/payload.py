"""The initramfs that both kernels boot: our programs, built on this host, and Debian's static busybox."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from guest import busybox_folder
from machines import BUILD
from qemu import ROOT, Failure

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


def archive(program=None):
    """Packs the initramfs, with another program where one is given; returns its path."""
    with tempfile.TemporaryDirectory(prefix="stele-bench-") as folder:
        root = pathlib.Path(folder)
        busybox_folder(root)
        (root / "bench").mkdir()
        (root / "init").symlink_to("/bench/bench")
        for path in [*programs(), *([program] if program else [])]:
            shutil.copy(path, root / "bench")
            _add_libraries(path, root)
        packed = BUILD / ("program.cpio.gz" if program else "bench.cpio.gz")
        environment = {"ROOT": folder, "PATH": os.environ["PATH"]}
        subprocess.run([ROOT / "grub/initramfs", packed], env=environment, check=True, stdout=subprocess.DEVNULL)
        return packed


def _add_libraries(program, root):
    """ldd prints `name => path (address)` for libraries and `path (address)` for the interpreter."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(?<=\s)/\S+", listed):
        (root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library[1:])
