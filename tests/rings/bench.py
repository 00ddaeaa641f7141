"""A few rows of `make bench`, whose instructions must not grow: counts, which a loaded host does not change."""

import sys

from qemu import KERNEL, ROOT, Failure

sys.path.append(str(ROOT / "bench"))

import machines  # noqa: E402
import payload  # noqa: E402

ALLOWED = 1.05


def _within_limits():
    lines = [line.split() for line in (ROOT / "bench/limits").read_text().splitlines() if not line.startswith("#")]
    limits = {name: int(limit) for name, limit in lines}
    rows = machines.on_stele(payload.archive(), ",".join(limits), kernel=KERNEL, **machines.COUNTED)
    grown = [
        f"{name}: {rows.get(name, 'failed')} instructions, {limit} in bench/limits"
        for name, limit in limits.items()
        if name not in rows or rows[name] > limit * ALLOWED
    ]
    if grown:
        raise Failure("\n".join([*grown, "`make profile ROW=…` shows where they go"]))


def tests(_long):
    """The tests of this ring: none for a kernel with checks in it, which counts differently."""
    is_release = (ROOT / "build/profile").read_text().strip() == "release"
    return [("instructions are within bench/limits", _within_limits)] if is_release else []
