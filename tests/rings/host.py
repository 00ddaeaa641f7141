"""The first ring: pure code under plain `cargo test` on the build host, and the checks that need no machine."""

import re
import subprocess

from qemu import ROOT, Failure


def _pure_code():
    result = subprocess.run(
        ["cargo", "test", "--quiet", "--manifest-path", "tests/host/Cargo.toml", "--target-dir", "build/host"],
        cwd=ROOT, capture_output=True, text=True,
    )
    if result.returncode or not re.search(r"[1-9]\d* passed", result.stdout):
        raise Failure(result.stdout + result.stderr)


def _check():
    result = subprocess.run(["make", "--no-print-directory", "check"], cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise Failure(result.stdout + result.stderr)


def tests(_long):
    """The tests of this ring."""
    return [("pure code of src/util", _pure_code), ("make check", _check)]
