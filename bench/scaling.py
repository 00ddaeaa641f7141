"""The second table: how much more two CPUs get done than one. Nothing is counted here; the clock decides."""

import machines

MACHINE = {"cpu": "max", "smp": 2, "memory": "1G"}


def table(archive):
    """Returns the lines of the table, and whether every row ran on both."""
    linux = machines.on_linux(archive, "scale", keep=False, **MACHINE)
    stele = machines.on_stele(archive, "scale", **MACHINE)
    lines = ["| 2 CPUs, times one worker | Linux, 2 | Linux, 4 | Stele, 2 | Stele, 4 |", "|---|--:|--:|--:|--:|"]
    complete = linux.keys() == stele.keys()
    for name in [name.removesuffix("-1") for name in stele if name.endswith("-1")]:
        shown = [f"{rows.get(f'{name}-{workers}', 0) / 100:.2f}" for rows in (linux, stele) for workers in (2, 4)]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return lines, complete
