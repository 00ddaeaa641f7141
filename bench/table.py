"""make bench: the same unmodified programs on Stele and on Debian's Linux, counted in instructions.

    python3 bench/table.py [ROW…]      only some rows

Prints one table and, when all rows were asked for, writes it to bench/results.md. RUNS=n repeats every boot and shows how
far the runs lie apart. Fails where a row fails to run, never by a figure.
"""

import math
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import machines  # noqa: E402
import payload  # noqa: E402
import prompt  # noqa: E402
import scaling  # noqa: E402

RUNS = int(os.environ.get("RUNS", "1"))


def goals():
    """Returns the rows in their order as {name: wanted figure or None}."""
    lines = [line.split() for line in (ROOT / "bench/goals").read_text().splitlines() if not line.startswith("#")]
    return {name: int(goal[0]) if goal else None for name, *goal in lines}


def programs():
    """Returns the names of the rows that are Debian's programs."""
    return [line.split()[0] for line in (ROOT / "bench/programs").read_text().splitlines()]


def measure(names):
    """Returns each run's rows on Linux and on Stele: two lists of {name: value}. Linux runs all, because they are kept."""
    linux, stele = [{} for _ in range(RUNS)], [{} for _ in range(RUNS)]

    def boot(pack, every, **configuration):
        wanted = [name for name in every if name in names]
        archive = pack() if wanted else None
        for run in range(RUNS if wanted else 0):
            configuration = {**machines.COUNTED, **configuration}
            linux[run] |= machines.on_linux(archive, ",".join(every), run=run, **configuration)
            stele[run] |= machines.on_stele(archive, ",".join(wanted), **configuration)

    ours = [name for name in goals() if name not in [*programs(), *prompt.ROWS]]
    boot(payload.debian_archive, programs(), memory="2G")
    boot(payload.archive, ours)
    if set(prompt.ROWS) & set(names):
        linux[0] |= prompt.on_linux()
        stele[0] |= prompt.on_stele()
    return linux, stele


def table(names, linux, stele):
    """Returns the lines of the table and the names of the rows that have no figure."""
    wanted = goals()
    lines, ratios, missing = ["| row | Linux | Stele | ratio | goal |", "|---|--:|--:|--:|--:|"], [], []
    for name in names:
        values = [_middle([rows[name] for rows in runs if name in rows]) for runs in (linux, stele)]
        if None in values:
            missing.append(name)
        else:
            ratios.append(values[1] / values[0])
        ratio = "" if None in values else f"{ratios[-1]:.2f}"
        shown = ["failed" if value is None else f"{value:,}" for value in values]
        lines.append(f"| {name} | {shown[0]} | {shown[1]} | {ratio} | {wanted[name] and f'{wanted[name]:,}' or ''} |")
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        lines.append(f"| geometric mean of {len(ratios)} | | | {mean:.2f} | 0.33 |")
    return lines, missing


def _middle(values):
    return sorted(values)[len(values) // 2] if values else None


def spread(runs):
    """Says how far the runs of one kernel lie apart."""
    apart = {
        name: (max(values) - min(values)) / max(min(values), 1)
        for name in runs[0]
        if len(values := [rows[name] for rows in runs if name in rows]) > 1
    }
    if not apart:
        return "one run (RUNS=3 shows the spread)"
    name = max(apart, key=apart.get)
    return f"{len(runs)} runs, apart by at most {apart[name]:.1%} ({name}), in the middle {_middle(apart.values()):.2%}"


def main():
    names = sys.argv[1:] or list(goals())
    if unknown := [name for name in names if name not in goals()]:
        sys.exit(f"Stele: no row '{unknown[0]}'. The rows: {' '.join(goals())}")
    linux, stele = measure(names)
    lines, missing = table(names, linux, stele)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    lines += ["", f"Instructions; Stele at {commit}. Linux: {spread(linux)}. Stele: {spread(stele)}."]
    if not sys.argv[1:]:
        second, complete = scaling.table(payload.archive())
        lines += ["", *second, "", "Work done in the same time, and one worker's is 1; the best of five attempts each."]
        missing += [] if complete else ["scaling"]
    print("\n".join(lines))
    if not sys.argv[1:]:
        head = "# The last table of `make bench`\n\n"
        (ROOT / "bench/results.md").write_text(head + "\n".join(lines) + "\n")
    if missing:
        print(f"failed to run: {' '.join(missing)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
