"""make check: format, lints, room order and the border of unsafe."""

import pathlib
import subprocess
import sys

import rooms

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command(title, *words):
    """Runs one tool; prints its output only if it fails."""
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    print(f"{'ok' if result.returncode == 0 else 'FAIL'}: {title}", flush=True)
    if result.returncode:
        print(result.stdout + result.stderr)
    return result.returncode == 0


def findings(title, lines):
    """Prints what one of our own checks found."""
    print(f"{'FAIL' if lines else 'ok'}: {title}", flush=True)
    for line in lines:
        print(f"    {line}")
    return not lines


def main():
    results = [
        command("rustfmt", "cargo", "fmt", "--check"),
        command("clippy", "cargo", "clippy", "--quiet", "--", "-D", "warnings"),
        findings("room order", rooms.order(ROOT)),
        findings("unsafe border", rooms.unsafe_border(ROOT)),
        findings("assembly only in asm/", rooms.assembly(ROOT)),
    ]
    counts = rooms.lines(ROOT)
    print(f"{sum(counts.values())} lines of code: " + ", ".join(f"{room} {count}" for room, count in counts.items()))
    sys.exit(0 if all(results) else 1)


main()
