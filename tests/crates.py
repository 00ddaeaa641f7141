"""Builds the test programs that published Rust crates bring with them: statically, against glibc, from the registry."""

import os
import pathlib
import re
import shutil
import subprocess

from qemu import ROOT, Failure

FOLDER = ROOT / "build/suites/crates"
TARGET = "x86_64-unknown-linux-gnu"

# Those whose published package holds tests of the operating system, with the features that these want.
CRATES = {
    "nix": ("0.31.3", ["--all-features"]),
    "polling": ("3.11.0", []),
    "tempfile": ("3.27.0", []),
    "signal-hook": ("0.3.18", ["--all-features"]),
    "parking_lot": ("0.13.0", []),
    "async-io": ("2.6.0", []),
    "async-process": ("2.5.0", []),
    "inotify": ("0.11.5", []),
    "shared_memory": ("0.12.4", []),
    "xattr": ("1.7.0", []),
    "socket2": ("0.6.5", ["--all-features"]),
    "rustix": ("1.1.6", ["--features", "all-apis"]),
    "walkdir": ("2.5.1", []),
    "fs4": ("1.1.0", ["--features", "sync"]),
    "timerfd": ("1.6.0", []),
    "filetime": ("0.2.29", []),
    "same-file": ("1.0.6", []),
    "os_pipe": ("1.2.3", []),
    "wait-timeout": ("0.2.1", []),
}


def _cargo(folder, *words, **environment):
    words = ["nice", "cargo", *words]
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})
    if result.returncode:
        raise Failure(f"{' '.join(words)} failed in {folder}:\n{result.stderr[-6000:]}")
    return result.stderr


def _source(name, version):
    """Has cargo fetch a crate; returns a copy of its folder that is a workspace of its own."""
    folder = FOLDER / name / f"{name}-{version}"
    if folder.exists():
        return folder
    package = FOLDER / name / "fetch"
    (package / "src").mkdir(parents=True, exist_ok=True)
    (package / "src/lib.rs").touch()
    (package / "Cargo.toml").write_text(
        f'[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n{name} = "={version}"\n'
    )
    _cargo(package, "fetch")
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    shutil.copytree(next(home.glob(f"registry/src/*/{name}-{version}")), folder)
    with open(folder / "Cargo.toml", "a") as manifest:
        manifest.write("\n[workspace]\n")
    return folder


def programs(name):
    """Returns the folder of a crate's test programs, each CRATE.PROGRAM, and their helpers, stripped; builds them once."""
    version, features = CRATES[name]
    done = FOLDER / name / f"programs-{version}"
    if not done.exists():
        output = _cargo(
            _source(name, version), "test", "--no-run", "--target", TARGET, "--target-dir", str(FOLDER / "target"), *features,
            RUSTFLAGS="-C target-feature=+crt-static --cap-lints warn", CARGO_PROFILE_TEST_DEBUG="0",
        )  # fmt: skip
        made = done.with_suffix(".part")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        for path in re.findall(r"Executable .* \((.*)\)", output):
            program = FOLDER / name / f"{name}-{version}" / path
            stem = program.name.rpartition("-")[0]
            subprocess.run(["strip", "-o", made / f"{name}.{stem}", program], check=True)
            # Some start the package's own programs, which they look for beside themselves.
            helper = program.parent.parent / stem
            if helper.exists():
                subprocess.run(["strip", "-o", made / stem, helper], check=True)
        made.rename(done)
    return done
