"""make profile: instructions of each kernel function while a row of `make bench`, or a program, runs on Stele.

    python3 bench/profile.py ROW                     a row's measured region; `boot` is from reset to init, GRUB as outside
    python3 bench/profile.py PROGRAM ARGUMENTS…      a program from start to end, with the shared libraries it needs

INLINED=1 counts what was inlined as what it is in the source instead of as a part of the function around it. TOP=n shows
more lines.
"""

import bisect
import collections
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import machines  # noqa: E402
import payload  # noqa: E402
from table import goals, programs  # noqa: E402

OUT = machines.BUILD / "profile.out"


def plugin():
    """Builds QEMU's plugin; returns its path."""
    target = machines.BUILD / "profile_plugin.so"
    target.parent.mkdir(parents=True, exist_ok=True)
    source = ROOT / "bench/profile_plugin.c"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        flags = ["-shared", "-fPIC", "-O2", "-Wall", "-fvisibility=hidden"]
        subprocess.run(["cc", *flags, "-o", target, source], check=True)
    return target


def executed():
    """Returns the instructions outside of the kernel, and {address: how often} of those in it."""
    outside, counts = 0, collections.Counter()
    for line in OUT.read_text().splitlines():
        count, *addresses = line.split()
        if addresses == ["0"]:
            outside = int(count)
        for address in addresses:
            counts[int(address, 16)] += int(count)
    counts.pop(0, None)
    return outside, counts


def by_symbol(counts):
    """Returns {function: instructions}, with each address belonging to the symbol before it."""
    listed = subprocess.run(["nm", "-C", "--numeric-sort", machines.KERNEL], capture_output=True, text=True, check=True)
    symbols = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    symbols = [(int(address, 16), name) for address, kind, name in symbols if kind in "tTwW"]
    starts = [address for address, _ in symbols]
    functions = collections.Counter()
    for address, count in counts.items():
        functions[symbols[bisect.bisect_right(starts, address) - 1][1]] += count
    return functions


def by_source(counts):
    """Returns {function: instructions}, as the line tables name the innermost function at each address."""
    addresses = list(counts)
    listed = subprocess.run(["addr2line", "-C", "-f", "-e", machines.KERNEL], input="\n".join(map(hex, addresses)),
                            capture_output=True, text=True, check=True).stdout.splitlines()  # fmt: skip
    functions = collections.Counter()
    for address, name, place in zip(addresses, listed[::2], listed[1::2], strict=True):
        functions[f"{name}  {place.split(' ')[0]}" if os.environ.get("LINES") else name] += counts[address]
    return functions


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: make profile ROW=name, or PROGRAM=file ARGS='its arguments'")
    name, arguments = sys.argv[1], sys.argv[2:]
    if name not in [*goals(), "boot"] and not pathlib.Path(name).is_file():
        sys.exit(f"Stele: '{name}' is no row and no file. The rows: boot {' '.join(goals())}")
    options, once = ["-plugin", f"{plugin()},out={OUT}"], None
    if name == "boot":
        options[1] += ",boot=on"
        machines.on_stele(payload.archive(), "null-call", options, **machines.COUNTED)
    elif name in goals():
        is_program = name in programs()
        archive = payload.debian_archive() if is_program else payload.archive()
        configuration = {**machines.COUNTED, **({"memory": "2G"} if is_program else {})}
        once = machines.on_stele(archive, name, options, **configuration)[name]
    else:
        machines.on_stele(payload.archive(pathlib.Path(name), " ".join(arguments)), "program", options, **machines.COUNTED)
    outside, counts = executed()
    functions = by_source(counts) if os.environ.get("INLINED") else by_symbol(counts)
    functions["(outside of the kernel)"] = outside
    total = functions.total()
    times = round(total / once) if once else 1
    print(f"{total / times:12,.0f}         instructions{f' each, {times} times' if once else ''}")
    for function, count in functions.most_common(int(os.environ.get("TOP", "40"))):
        print(f"{count / times:12,.0f} {count / total:6.1%}  {function}")


main()
