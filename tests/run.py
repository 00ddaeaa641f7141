"""make test: runs the three rings of tests and counts them.

    python3 tests/run.py [--long] [WORD…]    only tests whose names contain one of the words

Each module in tests/rings/ offers `tests(long)`: a list of (name, function). A function raises to fail. Tests run two
at a time; one that fails prints what it saw.
"""

import concurrent.futures
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
RINGS = ["host", "boots", "screen", "session", "session1", "faults", "programs", "debian", "memory", "bench", "suites", "posix"]


def run(name, function):
    """Runs one test; returns its name, its failure or None, and its seconds."""
    start = time.monotonic()
    try:
        function()
        failure = None
    except Exception as error:  # every failure of a test is a result, not an end of the run
        failure = str(error) if type(error).__name__ == "Failure" else traceback.format_exc()
    return name, failure, time.monotonic() - start


def main():
    long = "--long" in sys.argv
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if subprocess.run(["make", "--no-print-directory", "iso"], cwd=ROOT).returncode:
        print("0 passed, 1 failed")
        sys.exit(1)
    (ROOT / "build/tests").mkdir(exist_ok=True)
    shutil.copy(ROOT / "build/stele.elf", ROOT / "build/tests/stele.elf")
    tests = [
        (f"{ring}: {name}", function)
        for ring in RINGS
        if (ROOT / f"tests/rings/{ring}.py").exists()
        for name, function in importlib.import_module(f"rings.{ring}").tests(long)
    ]
    tests = [test for test in tests if not words or any(word in test[0] for word in words)]
    if not tests:
        print(f"no test has {' or '.join(words)} in its name")
    passed, failed = 0, []
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, *test) for test in tests]):
            name, failure, seconds = done.result()
            passed += failure is None
            print(f"{'ok  ' if failure is None else 'FAIL'} {name} ({seconds:.1f} s)", flush=True)
            if failure is not None:
                failed.append(name)
                print("    " + failure.replace("\n", "\n    "), flush=True)
    for name in failed:
        print(f"failed: {name}")
    print(f"{passed} passed, {len(failed)} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


main()
