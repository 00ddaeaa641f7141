"""Debian's own Linux in the same QEMU: the measure for suites whose verdicts depend on the machine."""

import debian
from qemu import Machine


def machine(initramfs, words="", options=(), **configuration):
    """Boots an initramfs on Linux."""
    # Without the check, because on a loaded host it takes a late timer interrupt for a missing one.
    words = f"console=ttyS0 loglevel=4 panic=-1 no_timer_check {words}".strip()
    options = ["-kernel", str(kernel()), "-initrd", str(initramfs), "-append", words, *options]
    return Machine(None, *options, **configuration)


def kernel():
    """Returns the kernel of the release that the build host has."""
    return next(debian.unpacked("linux", "linux-image-amd64").glob("boot/vmlinuz-*"))
