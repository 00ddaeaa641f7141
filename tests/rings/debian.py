"""The third ring, third part: Debian's dynamic programs, untouched: scripts whose output must be what the same tree's
programs print on the build host's Linux."""

import difflib

import userland
from qemu import ROOT, Failure

SCRIPTS = sorted((ROOT / "tests/debian").glob("*.sh"))


def _agree(smp):
    guest = userland.Userland(f"debian-{smp}", smp=smp)
    for script in SCRIPTS:
        guest.add_script(script)
    differences = []
    for (name, output, status), script in zip(guest.run(900), SCRIPTS, strict=True):
        wanted, wanted_status = userland.on_linux(script)
        if (output, status) != (wanted, wanted_status):
            lines = difflib.unified_diff(wanted.splitlines(), output.splitlines(), "Linux", "Stele", lineterm="")
            differences.append(f"{name}: status {wanted_status} on Linux, {status} here\n" + "\n".join(lines))
    if differences:
        raise Failure("\n".join(differences))


def tests(long):
    """The tests of this ring: they need the root user, for chroot and mounts."""
    return [(f"programs print what they print on Linux, {smp} CPU", lambda smp=smp: _agree(smp)) for smp in ((1, 4) if long else (1,))]
